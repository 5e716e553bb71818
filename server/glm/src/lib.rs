//! The GLM family: configuration, layers, checkpoints, kernels.
//!
//! Takes a GGUF checkpoint and token ids with their two positions, gives logits, or tokens chosen from them. Read
//! [`Model::forward`] first: it goes from the ids to the logits, and each step is one file. What runs is our own kernels
//! ([`kernels`]) on plain slices; candle-core reads and converts the quantized types, and runs whole models on Apple's GPUs.
//!
//! Does not know what a token means, what a prompt is, or when to stop: `vocab`, `prompt` and `engine` do.

mod candle;
pub mod checkpoint;
mod choice;
mod config;
mod device;
mod error;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
mod gpu;
pub mod kernels;
mod kv;
mod layer;
mod mask;
mod model;
mod positions;
mod ranks;
mod vram;
mod weights;
mod workspace;

pub use candle::Metal;
pub use checkpoint::{GgufTokenizer, Info, Memory, Source, TensorInfo, inspect, quantize, verify};
pub use choice::{Choice, Draw, choose, greedy};
pub use config::{
    Activation, Architecture, Attention, Block, Config, Experts, Grouped, Guidance, Latent,
    LineWeights, Norm, Pairs, PartA, Positions, RecallWeights, Rotary, Yarn,
};
pub use device::{Device, GpuInfo};
pub use error::Error;
pub use gpu::{Gpu, Together};
pub use kv::KvCache;
pub use mask::Prefix;
pub use model::{Chunk, Logits, Model, Part, Want, threads};
pub use vram::{Split, Vram};
pub use weights::{KvType, Quant, Weights};
pub use workspace::Workspace;
