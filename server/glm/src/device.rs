//! What a model runs on: the processor, or a GPU beside it.
//!
//! Takes the number of a GPU, gives the device to open a model on, or why there is none and what to do about it.

use crate::{Error, gpu::Gpu};

/// What a model runs on.
#[derive(Debug, Clone, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU, and the processor for what does not fit there; only in builds with the feature `cuda`.
    Gpu(Gpu),
}

impl Device {
    /// The NVIDIA GPU of that number, of whose memory a model may take at most `vram` bytes; without a bound, what is
    /// free.
    ///
    /// # Errors
    /// If this build has no `cuda` feature, there is no driver or it is too old, or there is no such GPU.
    #[cfg(feature = "cuda")]
    pub fn cuda(number: usize, vram: Option<u64>) -> Result<Device, Error> {
        Gpu::open(number, vram).map(Device::Gpu)
    }

    /// The NVIDIA GPU of that number, of whose memory a model may take at most `vram` bytes.
    ///
    /// # Errors
    /// Always: this build has no `cuda` feature.
    #[cfg(not(feature = "cuda"))]
    pub fn cuda(number: usize, _vram: Option<u64>) -> Result<Device, Error> {
        Err(Error::NoDevice {
            device: format!("cuda:{number}"),
            why: "this program was built without it; build it with `--features cuda`".to_owned(),
        })
    }
}
