//! What a model runs on: the processor, GPUs beside it, or Apple's GPU.
//!
//! Takes names or the numbers of GPUs, gives the device to open a model on, or why there is none and what to do about it.

use crate::{
    Error, KvType, Metal,
    gpu::{Gpu, Together},
};

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
    /// GPUs that work on every layer together, and the processor for what does not fit there; in turn if that cannot be.
    Together(Together),
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

impl Device {
    /// The same, where caches are of this type on all of its GPUs, if heads allow.
    pub fn with_kv(mut self, kv: KvType) -> Device {
        let gpus: &mut [Gpu] = match &mut self {
            Device::Cpu | Device::Metal(_) => &mut [],
            Device::Gpus(gpus) => gpus,
            Device::Together(together) => &mut together.gpus,
        };
        gpus.iter_mut().for_each(|gpu| gpu.kv = kv);
        self
    }

    /// What caches on its GPUs are to be of.
    pub(crate) fn kv(&self) -> KvType {
        let gpus: &[Gpu] = match self {
            Device::Cpu | Device::Metal(_) => &[],
            Device::Gpus(gpus) => gpus,
            Device::Together(together) => &together.gpus,
        };
        gpus.first().map(|gpu| gpu.kv).unwrap_or_default()
    }
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

    /// The same GPUs, to work on every layer together by way of NCCL. If there is no NCCL, or the build has no `cuda-nccl`
    /// feature, they take layers in turn, and [`crate::Model::apart`] says why.
    ///
    /// # Errors
    /// As [`Device::cuda`].
    pub fn cuda_together(numbers: &[usize], vram: Option<u64>) -> Result<Device, Error> {
        Together::open(numbers, vram).map(Device::Together)
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

    /// Looks for what [`Device::cuda_together`] needs besides the GPUs.
    ///
    /// # Errors
    /// What it lacks.
    pub fn find_nccl() -> Result<(), String> {
        driver::find_nccl().map(|_| ())
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

    /// The same GPUs, to work on every layer together.
    ///
    /// # Errors
    /// Always: this build has no `cuda` feature.
    pub fn cuda_together(numbers: &[usize], _vram: Option<u64>) -> Result<Device, Error> {
        let names: Vec<String> = numbers.iter().map(usize::to_string).collect();
        Err(not_built(&format!("cuda:{}", names.join("+")), "cuda"))
    }

    /// Looks for what [`Device::cuda_together`] needs besides the GPUs.
    ///
    /// # Errors
    /// Always: this build has no `cuda` feature.
    pub fn find_nccl() -> Result<(), String> {
        Err(not_built("cuda", "cuda").to_string())
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
    #[cfg(feature = "cuda-nccl")]
    use crate::kernels::cuda::Nccl;
    use crate::{
        Error,
        kernels::cuda::{AllReduce, Driver},
    };
    use std::sync::Arc;

    /// A GPU with our kernels on it, and what it is.
    type Opened = (Driver, GpuInfo);
    /// Several, and what adds up over them, or why nothing does.
    type Joined = (Vec<Opened>, Result<Arc<dyn AllReduce>, String>);

    /// How many GPUs there are.
    pub(crate) fn count() -> Result<usize, Error> {
        whole("cuda", Driver::count)
    }

    /// The GPU of that number.
    pub(crate) fn open(number: usize) -> Result<Opened, Error> {
        let name = format!("cuda:{number}");
        let driver = whole(&name, || Driver::open(number))?;
        told(driver, name)
    }

    /// The GPUs of these numbers, and what adds up over them, or why nothing does.
    pub(crate) fn join(numbers: &[usize]) -> Result<Joined, Error> {
        match find_nccl() {
            #[cfg(feature = "cuda-nccl")]
            Ok(nccl) => join_by(nccl, numbers),
            Err(why) => {
                let opened = numbers.iter().map(|&number| open(number));
                Ok((opened.collect::<Result<_, _>>()?, Err(why)))
            }
        }
    }

    #[cfg(feature = "cuda-nccl")]
    fn join_by(nccl: Nccl, numbers: &[usize]) -> Result<Joined, Error> {
        let opened = numbers.iter().map(|&number| {
            let open = || Driver::open_to_others(number);
            whole(&format!("cuda:{number}"), open)
        });
        let drivers: Vec<Driver> = opened.collect::<Result<_, _>>()?;
        let join = std::panic::AssertUnwindSafe(|| Ok(nccl.join(&drivers)));
        let joined = whole("cuda", join)?;
        // What was taken to join them is not free any more.
        let opened = numbers.iter().zip(drivers);
        let told = opened.map(|(number, driver)| told(driver, format!("cuda:{number}")));
        let joined = joined.map(|joined| Arc::new(joined) as Arc<dyn AllReduce>);
        Ok((told.collect::<Result<_, _>>()?, joined))
    }

    /// NCCL, or why it cannot be used.
    #[cfg(feature = "cuda-nccl")]
    pub(crate) fn find_nccl() -> Result<Nccl, String> {
        Nccl::find()
    }

    /// Why there is no NCCL.
    #[cfg(not(feature = "cuda-nccl"))]
    pub(crate) fn find_nccl() -> Result<std::convert::Infallible, String> {
        Err("this program was built without NCCL; build it with `--features cuda-nccl`".to_owned())
    }

    fn told(driver: Driver, device: String) -> Result<Opened, Error> {
        let info = driver.info().map_err(|error| Error::NoDevice {
            device,
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
