//! Models on GPUs: which ones, what of a model is where, and its passes.
//!
//! Takes a checkpoint and as much of the GPUs' memory as it may have, keeps the first layers there, quantized as they
//! are stored, and the head if all fits; [`Stages`] are the GPUs in the order of their layers, or one of all that share
//! them. Takes the tokens of a pass, or their hidden states as the processor has looked them up, gives these after its
//! layers, or the logits, or the tokens chosen from them. What does not fit, and what no kernel is written for, the
//! processor runs. The engine sees none of this but errors that name the device.

mod cache;
#[cfg(any(test, feature = "fixture"))]
pub(crate) mod faulty;
mod inputs;
mod pass;
mod rooms;
mod stage;
mod stages;
mod steps;
mod weights;

pub(crate) use cache::Cache;
pub(crate) use rooms::Rooms;
pub(crate) use stages::Stages;
pub(crate) use steps::Steps;

use crate::{
    Error, KvType,
    kernels::cuda::{AllReduce, Buffer, Device, DeviceError, View},
};
#[cfg(feature = "cuda")]
use crate::{GpuInfo, kernels::cuda::Driver};
use std::{fmt, sync::Arc};

/// GPUs that work on every layer of a model together, where it can be cut for them.
#[derive(Clone)]
pub struct Together {
    pub(crate) gpus: Vec<Gpu>,
    /// What adds up over them in their order, or why nothing does; then they take layers one after the other.
    pub(crate) all_reduce: Result<Arc<dyn AllReduce>, String>,
}

impl Together {
    /// The NVIDIA GPUs of these numbers, of each of whose free memory a model may take at most `vram` bytes.
    #[cfg(feature = "cuda")]
    pub(crate) fn open(numbers: &[usize], vram: Option<u64>) -> Result<Together, Error> {
        let (drivers, all_reduce) = crate::device::driver::join(numbers)?;
        let gpus = drivers.into_iter();
        Ok(Together {
            gpus: gpus
                .map(|(driver, info)| Gpu::new(driver, &info, vram))
                .collect(),
            all_reduce,
        })
    }
}

impl fmt::Debug for Together {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Together { gpus, all_reduce } = self;
        let why = all_reduce.as_ref().err();
        write!(formatter, "Together({gpus:?}, {why:?})")
    }
}

/// A GPU that models can be opened on.
#[derive(Clone)]
pub struct Gpu {
    device: Arc<dyn Device + Send + Sync>,
    name: String,
    /// Bytes that a model may take.
    room: u64,
    /// What caches are to be of, the same for all GPUs of a [`Device`](crate::Device).
    pub(crate) kv: KvType,
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
        let (driver, info) = crate::device::driver::open(number)?;
        Ok(Gpu::new(driver, &info, vram))
    }

    #[cfg(feature = "cuda")]
    fn new(driver: Driver, info: &GpuInfo, vram: Option<u64>) -> Gpu {
        Gpu {
            name: format!("{} ({})", info.name, info.product),
            device: Arc::new(driver),
            room: info.room(vram),
            kv: KvType::default(),
        }
    }

    /// Another device under that name, of which a model may take `room` bytes.
    #[cfg(any(test, feature = "fixture"))]
    pub(crate) fn of(device: Arc<dyn Device + Send + Sync>, name: &str, room: u64) -> Gpu {
        Gpu {
            device,
            name: name.to_owned(),
            room,
            kv: KvType::default(),
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
