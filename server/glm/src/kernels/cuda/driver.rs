//! A GPU through NVIDIA's driver, which is looked for when the program runs.
//!
//! Takes the number of a GPU, gives a [`Device`]: memory, copies and launches on one stream. Every error says in plain
//! words what is wrong and what to do. A machine without a driver is an error like any other: cudarc would panic there,
//! so the driver's library is asked for first.

#[cfg(feature = "cuda-nccl")]
pub(crate) mod nccl;

use super::{
    device::{Arg, Ask, Buffer, Device, DeviceError, Launch, Recording, View},
    ptx::ptx,
};
use crate::{Error, GpuInfo};
use cudarc::driver::{
    CudaContext, CudaGraph, CudaStream, DriverError, result,
    sys::{self, cudaError_enum as Code},
};
use std::{
    collections::HashMap,
    ffi::{CString, c_void},
    sync::{Arc, Mutex, PoisonError},
};

/// The oldest driver whose compiler knows the PTX that we ship, as CUDA's version: 1000 × major + 10 × minor.
const OLDEST_CUDA: i32 = 13_000;
/// The oldest GPUs that the kernels are compiled for: Ampere, 2020.
const OLDEST_CAPABILITY: (i32, i32) = (8, 0);

/// A GPU with our kernels on it.
pub struct Driver {
    card: Arc<Card>,
    module: sys::CUmodule,
    /// The kernels that were launched so far.
    functions: Mutex<HashMap<String, Function>>,
    number: usize,
    /// What its maker calls it.
    product: String,
    capability: (i32, i32),
    /// The driver's version, as CUDA's.
    cuda: i32,
    /// Whether the driver has what recordings need.
    records: bool,
}

/// The GPU's context and queue, which buffers keep alive.
struct Card {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    /// Whether memory comes out of the driver's pools, in the order of the queue.
    pooled: bool,
}

/// An allocation, freed when it is dropped.
struct Owner {
    card: Arc<Card>,
    address: sys::CUdeviceptr,
}

/// A recording.
struct Graph {
    graph: CudaGraph,
    card: Arc<Card>,
}

// SAFETY: the driver wants one thread at a time for a graph, and a recording has one owner and is not `Sync`.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        // The driver lets go of a graph only in its context. A device that is gone has taken it with it.
        let _ = self.card.bind();
    }
}

/// The handle of a kernel.
#[derive(Clone, Copy)]
struct Function(sys::CUfunction);

// SAFETY: the driver's handles of modules and functions may be used from any thread that has the context, which is made
// current before each use.
unsafe impl Send for Function {}
// SAFETY: the same.
unsafe impl Send for Driver {}
// SAFETY: the same; the driver itself keeps calls of several threads apart.
unsafe impl Sync for Driver {}

impl Card {
    /// Makes the context the calling thread's, without which the driver does nothing.
    fn bind(&self) -> Result<(), DeviceError> {
        failed(self.context.bind_to_thread())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.card.bind().is_err() {
            // A device that is gone has taken its memory with it.
            return;
        }
        // SAFETY: the address was given for this owner alone. What was asked for before and uses it comes before this
        // in the queue, or is waited for.
        let _ = unsafe {
            match self.card.pooled {
                true => result::free_async(self.address, self.card.stream.cu_stream()),
                false => {
                    let _ = result::stream::synchronize(self.card.stream.cu_stream());
                    result::free_sync(self.address)
                }
            }
        };
    }
}

/// What the driver says of itself.
struct Found {
    /// Its version as CUDA counts: 1000 × major + 10 × minor.
    cuda: i32,
    gpus: usize,
}

/// Looks for a driver that is new enough. The error says why there is none, and what to do.
fn find() -> Result<Found, String> {
    // SAFETY: loads the driver's library, which has no effect but to be there, and lets go of it.
    if !unsafe { sys::is_culib_present() } {
        return Err(
            "there is no NVIDIA driver on this machine; install one, or choose the device cpu"
                .to_owned(),
        );
    }
    result::init().map_err(said)?;
    let mut cuda = 0;
    // SAFETY: writes one integer.
    let asked = unsafe { sys::cuDriverGetVersion(&raw mut cuda) };
    if asked != Code::CUDA_SUCCESS || cuda < OLDEST_CUDA {
        return Err(format!(
            "the NVIDIA driver knows CUDA {} and {} is needed; install driver 580 or newer",
            version(cuda),
            version(OLDEST_CUDA),
        ));
    }
    let count = CudaContext::device_count().map_err(said)?;
    match usize::try_from(count) {
        Ok(0) | Err(_) => Err("the driver finds no GPU; choose the device cpu".to_owned()),
        Ok(gpus) => Ok(Found { cuda, gpus }),
    }
}

/// A version of CUDA as people write it.
fn version(cuda: i32) -> String {
    format!("{}.{}", cuda / 1000, cuda % 1000 / 10)
}

impl Driver {
    /// How many GPUs there are.
    ///
    /// # Errors
    /// If there is no driver, it is too old, or it finds none.
    pub fn count() -> Result<usize, Error> {
        let none = |why| Error::NoDevice {
            device: "cuda".to_owned(),
            why,
        };
        find().map(|found| found.gpus).map_err(none)
    }

    /// The GPU of that number.
    ///
    /// # Errors
    /// If there is no driver, it is too old, there is no such GPU, or it is too old.
    pub fn open(number: usize) -> Result<Driver, Error> {
        Driver::open_with(number, true)
    }

    /// The same, with memory that other GPUs' kernels reach, as NCCL's do: what comes out of a pool of the driver's they
    /// do not.
    ///
    /// # Errors
    /// As [`Driver::open`].
    #[cfg(feature = "cuda-nccl")]
    pub(crate) fn open_to_others(number: usize) -> Result<Driver, Error> {
        Driver::open_with(number, false)
    }

    fn open_with(number: usize, pools: bool) -> Result<Driver, Error> {
        let none = |why: String| Error::NoDevice {
            device: format!("cuda:{number}"),
            why,
        };
        let Found { cuda, gpus } = find().map_err(none)?;
        if number >= gpus {
            return Err(none(match gpus {
                1 => "there is one GPU, cuda:0".to_owned(),
                _ => format!("there are {gpus} GPUs, cuda:0 to cuda:{}", gpus - 1),
            }));
        }
        let open = || -> Result<_, DriverError> {
            let context = CudaContext::new(number)?;
            let capability = context.compute_capability()?;
            Ok((context.new_stream()?, context.name()?, capability, context))
        };
        let (stream, product, capability, context) = open().map_err(|error| none(said(error)))?;
        if capability < OLDEST_CAPABILITY {
            return Err(none(format!(
                "{product} has compute capability {}.{} and {}.{} is needed",
                capability.0, capability.1, OLDEST_CAPABILITY.0, OLDEST_CAPABILITY.1,
            )));
        }
        let damaged = |error: &dyn std::error::Error| none(format!("its kernels: {error}"));
        let text = CString::new(ptx().map_err(|error| damaged(&error))?);
        let text = text.map_err(|error| damaged(&error))?;
        // SAFETY: the context is current on this thread since it was made, and the text ends with a zero byte.
        let module = unsafe { result::module::load_data(text.as_ptr().cast()) };
        let module = module.map_err(|error| none(format!("its kernels: {}", said(error))))?;
        Ok(Driver {
            card: Arc::new(Card {
                pooled: pools && context.has_async_alloc(),
                context,
                stream,
            }),
            module,
            functions: Mutex::default(),
            number,
            product,
            capability,
            cuda,
            records: records(),
        })
    }

    /// What it is, and how much of its memory is free.
    ///
    /// # Errors
    /// If the driver does not say.
    pub fn info(&self) -> Result<GpuInfo, DeviceError> {
        self.card.bind()?;
        let (free, total) = failed(result::mem_get_info())?;
        let (major, minor) = self.capability;
        Ok(GpuInfo {
            name: format!("cuda:{}", self.number),
            product: self.product.clone(),
            capability: format!("{major}.{minor}"),
            driver: format!("CUDA {}", version(self.cuda)),
            total: total as u64,
            free: free as u64,
        })
    }

    fn stream(&self) -> sys::CUstream {
        self.card.stream.cu_stream()
    }

    /// The kernel of that name.
    fn function(&self, name: &str) -> Result<sys::CUfunction, DeviceError> {
        let mut functions = self
            .functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(name) {
            return Ok(function.0);
        }
        let fail = |why| DeviceError::Kernel {
            kernel: name.to_owned(),
            why,
        };
        let text = CString::new(name).map_err(|error| fail(error.to_string()))?;
        // SAFETY: the module is loaded as long as this lives.
        let found = unsafe { result::module::get_function(self.module, text) };
        let function = found.map_err(|error| fail(said(error)))?;
        functions.insert(name.to_owned(), Function(function));
        Ok(function)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // A device that is gone takes its module with it.
        if self.card.bind().is_ok() {
            // SAFETY: nothing launches its kernels any more, and those that were launched are waited for.
            unsafe {
                let _ = result::stream::synchronize(self.stream());
                let _ = result::module::unload(self.module);
            }
        }
    }
}

impl Device for Driver {
    fn allocate(&self, bytes: usize) -> Result<Buffer, DeviceError> {
        self.card.bind()?;
        // The driver gives no room of no size.
        let size = bytes.max(1);
        // SAFETY: what is at the address is nobody's until the buffer is.
        let address = unsafe {
            match self.card.pooled {
                true => result::malloc_async(self.stream(), size),
                false => result::malloc_sync(size),
            }
        };
        let address = address.map_err(|error| match error.0 {
            Code::CUDA_ERROR_OUT_OF_MEMORY => DeviceError::OutOfMemory { bytes },
            _ => DeviceError::Failed(said(error)),
        })?;
        let owner = Owner {
            card: self.card.clone(),
            address,
        };
        Ok(Buffer::new(address, bytes, Box::new(owner)))
    }

    fn upload(&self, from: &[u8], to: View) -> Result<(), DeviceError> {
        assert_eq!(from.len(), to.bytes(), "as many bytes");
        if from.is_empty() {
            return Ok(());
        }
        self.card.bind()?;
        // SAFETY: a view lies in a buffer. From memory that is not pinned the driver has copied when this returns.
        failed(unsafe { result::memcpy_htod_async(to.address(), from, self.stream()) })
    }

    fn download(&self, from: View, to: &mut [u8]) -> Result<(), DeviceError> {
        assert_eq!(from.bytes(), to.len(), "as many bytes");
        if !to.is_empty() {
            self.card.bind()?;
            // SAFETY: a view lies in a buffer, and what is copied is waited for below.
            failed(unsafe { result::memcpy_dtoh_async(to, from.address(), self.stream()) })?;
        }
        self.synchronize()
    }

    fn copy(&self, from: View, to: View) -> Result<(), DeviceError> {
        assert_eq!(from.bytes(), to.bytes(), "as many bytes");
        if from.bytes() == 0 {
            return Ok(());
        }
        self.card.bind()?;
        let (from, to, bytes) = (from.address(), to.address(), from.bytes());
        // SAFETY: views lie in buffers, and the caller says that these do not overlap.
        failed(unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream()) })
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        self.card.bind()?;
        let function = self.function(launch.kernel)?;
        // Every argument in eight bytes, of which the driver reads as many as the kernel's parameter has.
        let mut values: Vec<u64> = launch.args.iter().map(bits).collect();
        let mut addresses: Vec<*mut c_void> = values
            .iter_mut()
            .map(|value| (value as *mut u64).cast())
            .collect();
        let [x, y, z] = launch.grid;
        // SAFETY: the function is of a module that is loaded, the caller vouches for the arguments, and the driver has
        // copied them when this returns.
        let launched = unsafe {
            result::launch_kernel(
                function,
                (x, y, z),
                (launch.threads, 1, 1),
                0,
                self.stream(),
                &mut addresses,
            )
        };
        launched.map_err(|error| DeviceError::Kernel {
            kernel: launch.kernel.to_owned(),
            why: said(error),
        })
    }

    fn synchronize(&self) -> Result<(), DeviceError> {
        self.card.bind()?;
        // SAFETY: the stream lives as long as the card.
        failed(unsafe { result::stream::synchronize(self.stream()) })
    }

    fn record(&self, ask: Ask) -> Option<Recording> {
        if !self.records {
            return None;
        }
        // Other threads may go on with what they do.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.card.stream.begin_capture(mode).ok()?;
        let asked = ask();
        // In any case, else the stream would record for ever.
        let flags = sys::CUgraphInstantiate_flags(0);
        let graph = self.card.stream.end_capture(flags).ok().flatten();
        let card = self.card.clone();
        let graph = graph.map(|graph| Recording::new(Graph { graph, card }));
        graph.filter(|_| asked.is_ok())
    }

    unsafe fn replay(&self, recording: &Recording) -> Result<(), DeviceError> {
        let recording: &Graph = recording.of()?;
        self.card.bind()?;
        failed(recording.graph.launch())
    }
}

/// Whether the driver's library has the functions that recordings need; cudarc panics where one is missing.
fn records() -> bool {
    let names: [&[u8]; 6] = [
        b"cuStreamBeginCapture_v2\0",
        b"cuStreamEndCapture\0",
        b"cuGraphInstantiateWithFlags\0",
        b"cuGraphLaunch\0",
        b"cuGraphExecDestroy\0",
        b"cuGraphDestroy\0",
    ];
    // SAFETY: the library is there, for the driver has been asked for its version; functions are looked for and not called.
    let has = |name: &&[u8]| unsafe { sys::culib().get::<unsafe extern "C" fn()>(*name).is_ok() };
    names.iter().all(has)
}

/// An argument as the low bytes of a number; every machine with such a GPU has them first.
fn bits(arg: &Arg) -> u64 {
    match *arg {
        Arg::Memory(view) => view.address(),
        Arg::Nothing => 0,
        Arg::U32(number) => number.into(),
        Arg::I32(number) => (number as u32).into(),
        Arg::F32(number) => number.to_bits().into(),
    }
}

fn failed<T>(result: Result<T, DriverError>) -> Result<T, DeviceError> {
    result.map_err(|error| DeviceError::Failed(said(error)))
}

/// What the driver's code means and what to do.
fn said(error: DriverError) -> String {
    let DriverError(code) = error;
    let known = match code {
        Code::CUDA_ERROR_OUT_OF_MEMORY => {
            "its memory is full; close what else uses the GPU, or let the model take less with --vram"
        }
        Code::CUDA_ERROR_NO_DEVICE => "the driver finds no GPU; choose the device cpu",
        Code::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
            "the NVIDIA driver is older than our kernels; install driver 580 or newer"
        }
        Code::CUDA_ERROR_INVALID_PTX | Code::CUDA_ERROR_NO_BINARY_FOR_GPU => {
            "the GPU or its driver does not know our kernels; this is a fault of ours"
        }
        Code::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
        | Code::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE => {
            "the driver and its library are of different versions; restart the machine after an update"
        }
        Code::CUDA_ERROR_DEVICE_UNAVAILABLE | Code::CUDA_ERROR_MPS_CONNECTION_FAILED => {
            "another program holds it for itself"
        }
        Code::CUDA_ERROR_ILLEGAL_ADDRESS
        | Code::CUDA_ERROR_MISALIGNED_ADDRESS
        | Code::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | Code::CUDA_ERROR_INVALID_ADDRESS_SPACE
        | Code::CUDA_ERROR_INVALID_PC
        | Code::CUDA_ERROR_ASSERT
        | Code::CUDA_ERROR_LAUNCH_FAILED => "a kernel failed; this is a fault of ours",
        Code::CUDA_ERROR_LAUNCH_TIMEOUT => "a kernel took longer than the system lets the GPU work",
        Code::CUDA_ERROR_ECC_UNCORRECTABLE | Code::CUDA_ERROR_HARDWARE_STACK_ERROR => {
            "its memory or hardware has a fault"
        }
        Code::CUDA_ERROR_DEINITIALIZED | Code::CUDA_ERROR_CONTEXT_IS_DESTROYED => {
            "the driver was taken away"
        }
        _ => "",
    };
    let number = code as u32;
    let words = match error.error_string() {
        Ok(words) => words.to_string_lossy().into_owned(),
        Err(_) => "an error without a name".to_owned(),
    };
    match known {
        "" => format!("CUDA says: {words} ({number})"),
        _ => format!("{known} (CUDA says: {words}, {number})"),
    }
}

#[cfg(test)]
mod tests;
