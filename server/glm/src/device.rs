//! What a model runs on: the processor, GPUs beside it, or Apple's GPU.
//!
//! Takes names or the numbers of GPUs, gives the device to open a model on, or why there is none and what to do about it.

use crate::{Error, Metal, gpu::Gpu};

/// What is left free of a GPU's memory, for the driver and for whoever draws the screen.
const SPARE: u64 = 256 << 20;

/// What a model runs on.
#[derive(Debug, Clone, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// GPUs, and the processor for what does not fit there; only in builds with the feature `cuda`. The first that holds
    /// all of a model has it; else each in turn takes layers.
    Gpus(Vec<Gpu>),
    /// Apple's GPU, for whole models; only in builds with the feature `metal`.
    Metal(Metal),
}

/// An NVIDIA GPU as its driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuInfo {
    /// Its name in settings, as in `cuda:0`.
    pub name: String,
    /// What its maker calls it.
    pub product: String,
    /// Its compute capability, as in `8.9`.
    pub capability: String,
    /// What its driver knows, as in `CUDA 13.0`.
    pub driver: String,
    /// Bytes of its memory.
    pub total: u64,
    /// Those that nobody uses.
    pub free: u64,
}

impl GpuInfo {
    /// Bytes that a model may take which is to take at most `vram`; without a bound, what is free but for a reserve.
    pub fn room(&self, vram: Option<u64>) -> u64 {
        let free = self.free.saturating_sub(SPARE);
        vram.map_or(free, |vram| vram.min(free))
    }
}

impl Device {
    /// The GPUs that this build can use, as for [`Device::metal`] or [`Device::all_cuda`]: no machine has both.
    ///
    /// # Errors
    /// As these.
    pub fn any(vram: Option<u64>) -> Result<Device, Error> {
        if cfg!(feature = "metal") {
            Device::metal(vram)
        } else {
            Device::all_cuda(vram)
        }
    }

    /// Apple's GPU, of whose memory a model may take at most `vram` bytes; without a bound, what the system recommends.
    ///
    /// # Errors
    /// If this build has no `metal` feature, or the system has no such GPU.
    pub fn metal(vram: Option<u64>) -> Result<Device, Error> {
        Metal::open(vram).map(Device::Metal)
    }
}

#[cfg(feature = "cuda")]
impl Device {
    /// The NVIDIA GPUs of these numbers, of each of whose memory a model may take at most `vram` bytes; without a bound,
    /// what is free.
    ///
    /// # Errors
    /// If this build has no `cuda` feature, there is no driver or it is too old, or one of the GPUs cannot be used.
    pub fn cuda(numbers: &[usize], vram: Option<u64>) -> Result<Device, Error> {
        let gpus = numbers.iter().map(|&number| Gpu::open(number, vram));
        gpus.collect::<Result<_, _>>().map(Device::Gpus)
    }

    /// All NVIDIA GPUs that can be used, as for [`Device::cuda`].
    ///
    /// # Errors
    /// If there is none: as [`Device::cuda`], of the first.
    pub fn all_cuda(vram: Option<u64>) -> Result<Device, Error> {
        let opened = (0..driver::count()?).map(|number| Gpu::open(number, vram));
        let (gpus, errors): (Vec<_>, Vec<_>) = opened.partition(Result::is_ok);
        let first = errors.into_iter().find_map(Result::err);
        let gpus: Vec<Gpu> = gpus.into_iter().flatten().collect();
        match first {
            Some(error) if gpus.is_empty() => Err(error),
            _ => Ok(Device::Gpus(gpus)),
        }
    }

    /// Each NVIDIA GPU of this machine, or why it cannot be used. Looks as [`Device::cuda`] does, and loads no model.
    ///
    /// # Errors
    /// The one reason why there is none.
    pub fn gpus() -> Result<Vec<Result<GpuInfo, Error>>, Error> {
        let info = |number| driver::open(number).map(|(_, info)| info);
        Ok((0..driver::count()?).map(info).collect())
    }
}

#[cfg(not(feature = "cuda"))]
impl Device {
    /// The NVIDIA GPUs of these numbers, of each of whose memory a model may take at most `vram` bytes.
    ///
    /// # Errors
    /// Always: this build has no `cuda` feature.
    pub fn cuda(numbers: &[usize], _vram: Option<u64>) -> Result<Device, Error> {
        let names: Vec<String> = numbers.iter().map(usize::to_string).collect();
        let device = format!("cuda:{}", names.join(","));
        Err(not_built(&device, "cuda"))
    }

    /// All NVIDIA GPUs that can be used.
    ///
    /// # Errors
    /// Always: this build has no `cuda` feature.
    pub fn all_cuda(_vram: Option<u64>) -> Result<Device, Error> {
        Err(not_built("cuda", "cuda"))
    }

    /// Each NVIDIA GPU of this machine, or why it cannot be used.
    ///
    /// # Errors
    /// Always: this build has no `cuda` feature.
    pub fn gpus() -> Result<Vec<Result<GpuInfo, Error>>, Error> {
        Err(not_built("cuda", "cuda"))
    }
}

#[cfg(not(all(feature = "cuda", feature = "metal")))]
pub(crate) fn not_built(device: &str, feature: &str) -> Error {
    Error::NoDevice {
        device: device.to_owned(),
        why: format!("this program was built without it; build it with `--features {feature}`"),
    }
}

/// NVIDIA's driver, which cudarc panics at where its library lacks a function.
#[cfg(feature = "cuda")]
pub(crate) mod driver {
    use super::GpuInfo;
    use crate::{Error, kernels::cuda::Driver};

    /// How many GPUs there are.
    pub(crate) fn count() -> Result<usize, Error> {
        whole("cuda", Driver::count)
    }

    /// The GPU of that number with our kernels on it, and what it is.
    pub(crate) fn open(number: usize) -> Result<(Driver, GpuInfo), Error> {
        let name = format!("cuda:{number}");
        let driver = whole(&name, || Driver::open(number))?;
        let info = driver.info().map_err(|error| Error::NoDevice {
            device: name,
            why: error.to_string(),
        })?;
        Ok((driver, info))
    }

    fn whole<T>(
        device: &str,
        ask: impl FnOnce() -> Result<T, Error> + std::panic::UnwindSafe,
    ) -> Result<T, Error> {
        std::panic::catch_unwind(ask).unwrap_or_else(|_| {
            Err(Error::NoDevice {
                device: device.to_owned(),
                why: "the library of the NVIDIA driver is not whole; install driver 580 or newer"
                    .to_owned(),
            })
        })
    }
}
