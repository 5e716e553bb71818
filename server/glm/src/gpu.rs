//! Models on a GPU: which one, what of a model is there, and its passes.
//!
//! Takes a checkpoint and as much of the GPU's memory as it may have, keeps the first layers there, quantized as they
//! are stored, and the head if all fits. Takes the hidden states of a pass as the processor has looked them up, gives
//! them after its layers, or the logits. What does not fit, and what no kernel is written for, the processor runs. The
//! engine sees none of this but errors that name the device.

mod cache;
#[cfg(any(test, feature = "fixture"))]
pub(crate) mod faulty;
mod inputs;
mod pass;
mod rooms;
mod steps;
mod weights;

pub(crate) use cache::Cache;
pub(crate) use rooms::Rooms;
pub(crate) use steps::Steps;
pub(crate) use weights::OnGpu;

use crate::{
    Error,
    kernels::cuda::{Buffer, Device, DeviceError, View},
};
use std::{fmt, sync::Arc};

/// What is left free of a GPU's memory, for the driver and for whoever draws the screen.
#[cfg(feature = "cuda")]
const SPARE: u64 = 256 << 20;

/// A GPU that models can be opened on.
#[derive(Clone)]
pub struct Gpu {
    device: Arc<dyn Device + Send + Sync>,
    name: String,
    /// Bytes that a model may take.
    room: u64,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "Gpu({}, {} bytes)", self.name, self.room)
    }
}

impl Gpu {
    /// The NVIDIA GPU of that number, of whose free memory a model may take at most `vram` bytes.
    #[cfg(feature = "cuda")]
    pub(crate) fn open(number: usize, vram: Option<u64>) -> Result<Gpu, Error> {
        use crate::kernels::cuda::Driver;
        // cudarc panics where the driver's library lacks a function.
        let opened = std::panic::catch_unwind(|| Driver::open(number));
        let driver = opened.unwrap_or_else(|_| {
            Err(Error::NoDevice {
                device: format!("cuda:{number}"),
                why: "the library of the NVIDIA driver is not whole; install driver 580 or newer"
                    .to_owned(),
            })
        })?;
        let free = driver.free().map_err(|error| Error::NoDevice {
            device: driver.name().to_owned(),
            why: error.to_string(),
        })?;
        let free = free.saturating_sub(SPARE);
        Ok(Gpu {
            name: driver.name().to_owned(),
            device: Arc::new(driver),
            room: vram.map_or(free, |vram| vram.min(free)),
        })
    }

    /// Another device under that name, of which a model may take `room` bytes.
    #[cfg(any(test, feature = "fixture"))]
    pub(crate) fn of(device: Arc<dyn Device + Send + Sync>, name: &str, room: u64) -> Gpu {
        Gpu {
            device,
            name: name.to_owned(),
            room,
        }
    }

    /// Its name, for people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the device said, as an error of ours.
    fn said<T>(&self, result: Result<T, DeviceError>) -> Result<T, Error> {
        result.map_err(|error| match error {
            DeviceError::OutOfMemory { .. } => Error::OutOfMemory {
                device: self.name.clone(),
            },
            DeviceError::Failed(why) => Error::Device {
                device: self.name.clone(),
                why,
            },
            kernel @ DeviceError::Kernel { .. } => Error::Device {
                device: self.name.clone(),
                why: kernel.to_string(),
            },
        })
    }

    fn allocate(&self, bytes: usize) -> Result<Buffer, Error> {
        self.said(self.device.allocate(bytes))
    }

    fn upload(&self, from: &[u8], to: View) -> Result<(), Error> {
        self.said(self.device.upload(from, to))
    }

    fn copy(&self, from: View, to: View) -> Result<(), Error> {
        self.said(self.device.copy(from, to))
    }

    /// A buffer of these numbers.
    fn filled(&self, numbers: &[f32]) -> Result<Buffer, Error> {
        let device: &dyn Device = &*self.device;
        self.said(device.filled(numbers))
    }
}

#[cfg(test)]
mod tests;
