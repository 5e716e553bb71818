//! Models on Apple's GPUs, by the operations of candle.
//!
//! Takes a checkpoint, keeps all of a dense model's matrices on a device of candle's, quantized as they are stored; takes the
//! tokens of a pass, gives logits. Weights, caches and passes are files of this folder, and say nothing of Apple: the same
//! code runs on candle's processor device, which is how it is tested. What it cannot run it refuses with a reason, and the
//! processor runs that by our own kernels. The engine sees none of this but errors that name the device.

mod cache;
mod pass;
mod weights;

pub(crate) use cache::Cache;
pub(crate) use weights::OnMetal;

use crate::{
    Attention, Config, Error, PartA,
    checkpoint::{Need, Shape, needs},
    vram::{CHUNK, SIDE_BY_SIDE},
};
use candle_core::Device;
use std::fmt;

/// Why there is no product with a matrix of the makers' integers.
pub(crate) const NO_PRODUCT: &str =
    "has integers with a scale a row (int8 or int4), which candle does not multiply by";

/// Scores of attention that are there at once: heads × queries × keys. More queries are taken in turn.
const SCORES: usize = 1 << 23;
/// Buffers of scores that softmax goes through, each at most twice as large as it must be.
const SCORE_BUFFERS: usize = 2 * 4;

/// Apple's GPU, which models can be opened on.
#[derive(Clone)]
pub struct Metal {
    device: Device,
    /// Bytes that a model may take.
    room: u64,
    /// What makes it fail.
    #[cfg(any(test, feature = "fixture"))]
    switch: crate::gpu::faulty::Switch,
}

impl fmt::Debug for Metal {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "Metal({} bytes)", self.room)
    }
}

impl Metal {
    /// Its name in settings.
    pub const NAME: &str = "metal";

    /// The first GPU that the system has, of whose memory a model may take at most `vram` bytes, and no more than the
    /// system recommends to a program.
    ///
    /// # Errors
    /// If there is none.
    #[cfg(feature = "metal")]
    pub fn open(vram: Option<u64>) -> Result<Metal, Error> {
        let none = |why: String| Error::NoDevice {
            device: Metal::NAME.to_owned(),
            why,
        };
        // candle panics where the system has no GPU.
        let opened = std::panic::catch_unwind(|| Device::new_metal(0));
        let device = match opened {
            Ok(Ok(device)) => device,
            Ok(Err(error)) => return Err(none(reason(error))),
            Err(_) => return Err(none("the system has no GPU for Metal".to_owned())),
        };
        let metal = device
            .as_metal_device()
            .map_err(|error| none(reason(error)))?;
        let most = metal.recommended_max_working_set_size() as u64;
        Ok(Metal {
            device,
            room: vram.map_or(most, |vram| vram.min(most)),
            #[cfg(any(test, feature = "fixture"))]
            switch: crate::gpu::faulty::Switch::new(),
        })
    }

    /// The first GPU that the system has, of whose memory a model may take at most `vram` bytes.
    ///
    /// # Errors
    /// Always: this build has no `metal` feature.
    #[cfg(not(feature = "metal"))]
    pub fn open(_vram: Option<u64>) -> Result<Metal, Error> {
        Err(crate::device::not_built(Metal::NAME, "metal"))
    }

    /// candle's processor device in its place, of which a model may take `room` bytes.
    #[cfg(any(test, feature = "fixture"))]
    pub(crate) fn emulated(room: u64) -> Metal {
        Metal {
            device: Device::Cpu,
            room,
            switch: crate::gpu::faulty::Switch::new(),
        }
    }

    /// What makes it fail.
    #[cfg(any(test, feature = "fixture"))]
    pub(crate) fn switch(&self) -> crate::gpu::faulty::Switch {
        self.switch.clone()
    }

    /// Bytes that a model may take.
    pub fn room(&self) -> u64 {
        self.room
    }

    /// Whether a model has room there that needs so many bytes.
    ///
    /// # Errors
    /// Why not.
    pub fn fits(&self, needed: u64) -> Result<(), String> {
        if needed <= self.room {
            return Ok(());
        }
        Err(format!(
            "the model does not fit on {}: it needs {} MiB and may take {}",
            Metal::NAME,
            needed.div_ceil(1 << 20),
            self.room >> 20,
        ))
    }

    /// What candle said, as an error of ours.
    fn said<T>(&self, result: candle_core::Result<T>) -> Result<T, Error> {
        #[cfg(any(test, feature = "fixture"))]
        let result = result.and_then(|value| {
            let alive = self.switch.alive();
            alive.map_err(|error| candle_core::Error::Msg(error.to_string()))?;
            self.switch.count_launch();
            Ok(value)
        });
        result.map_err(|error| Error::Device {
            device: Metal::NAME.to_owned(),
            why: reason(error),
        })
    }
}

/// What went wrong, in one line.
fn reason(error: candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => reason(*inner),
        error => error.to_string().replace('\n', ": "),
    }
}

/// Why no model of this kind runs on candle's devices, if none does.
fn refusal(config: &Config) -> Option<String> {
    let what = match config.attention {
        Attention::Latent(_) => "latent attention",
        _ if config.experts.is_some() => "experts",
        _ if config.top_query => "learned queries",
        Attention::Grouped(_) => return None,
    };
    let name = config.architecture.name();
    Some(format!(
        "{name} has {what}, which a model on {} cannot have",
        Metal::NAME
    ))
}

/// Bytes that a model needs whose matrices take `matrix(need)` bytes, its caches apart; the error says why it cannot run.
pub(crate) fn needed(
    config: &Config,
    matrix: impl Fn(&Need) -> Option<u64>,
) -> Result<u64, String> {
    if let Some(why) = refusal(config) {
        return Err(why);
    }
    let Attention::Grouped(sizes) = config.attention else {
        return Err("it has no heads".to_owned());
    };
    let mut bytes = 0u64;
    for need in needs(config) {
        bytes = bytes.saturating_add(match need.shape {
            // The processor looks these up.
            Shape::Table(..) => continue,
            _ if need.name.ends_with("_embd.weight") && !config.tied => continue,
            Shape::Vector(length) => 4 * length as u64,
            _ => matrix(&need).ok_or_else(|| format!("`{}` {NO_PRODUCT}", need.name))?,
        });
    }
    // Part A is run at once.
    let rows = match config.part_a {
        PartA::Causal => CHUNK,
        PartA::Whole | PartA::Zones { .. } => config.context.clamp(CHUNK, 4 * CHUNK),
    };
    let fused = sizes.queries() + 2 * sizes.keys();
    let up = if config.gated { 3 } else { 2 } * config.inner;
    let row = 6 * config.width + 4 * fused + 2 * sizes.queries() + up;
    let scores = SCORES.min(rows * sizes.heads * config.context);
    let numbers = rows * row + SIDE_BY_SIDE * config.vocabulary + SCORE_BUFFERS * scores;
    Ok(bytes.saturating_add(4 * numbers as u64))
}

#[cfg(test)]
mod tests;
