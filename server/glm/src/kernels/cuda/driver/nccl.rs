//! Sums over GPUs by NVIDIA's NCCL, which is looked for when the program runs.
//!
//! Takes the GPUs of this process in an order, gives an [`AllReduce`] over their queues: a communicator a GPU, all of them
//! asked as a group from whichever thread asks. The types are cudarc's. The library is not looked for by it, for it does not
//! know the name that the library's packages install, and panics where a function is missing; here each function is looked
//! up once, before any is called.

use super::{Card, Driver, failed};
use crate::kernels::cuda::{
    all_reduce::{AllReduce, Failed},
    device::{Device, DeviceError, View, bytes_of, bytes_of_mut},
};
use cudarc::{
    driver::sys::{self, cudaError_enum as Code},
    nccl::sys::{cudaStream_t, ncclComm_t, ncclDataType_t, ncclRedOp_t},
};
use libloading::Library;
use std::{
    ffi::{CStr, c_char, c_int, c_void},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The names of the library: that of its packages, and that of its development files.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];
/// NCCL's codes: done, and under way.
const SUCCESS: c_int = 0;
const IN_PROGRESS: c_int = 7;
/// Numbers of the first sum, which finds out whether there are sums at all.
const TRIED: usize = 1024;
/// How long that one may take, with the connections that are made for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// NCCL's functions that are used here. A code is a plain number: a library may be newer than cudarc's list of them.
pub(crate) struct Nccl {
    init_all: unsafe extern "C" fn(*mut ncclComm_t, c_int, *const c_int) -> c_int,
    all_reduce: AllReduceFn,
    group_start: unsafe extern "C" fn() -> c_int,
    group_end: unsafe extern "C" fn() -> c_int,
    async_error: unsafe extern "C" fn(ncclComm_t, *mut c_int) -> c_int,
    abort: unsafe extern "C" fn(ncclComm_t) -> c_int,
    error_string: unsafe extern "C" fn(c_int) -> *const c_char,
}

type AllReduceFn = unsafe extern "C" fn(
    *const c_void,
    *mut c_void,
    usize,
    ncclDataType_t,
    ncclRedOp_t,
    ncclComm_t,
    cudaStream_t,
) -> c_int;

/// GPUs that NCCL has joined.
pub(crate) struct Joined {
    nccl: Nccl,
    cards: Vec<Arc<Card>>,
    /// One a GPU; none once something has failed.
    communicators: Mutex<Vec<Communicator>>,
}

/// A handle of NCCL's.
struct Communicator(ncclComm_t);

// SAFETY: NCCL wants one thread at a time for a communicator, and the mutex that it is in sees to that.
unsafe impl Send for Communicator {}

impl Nccl {
    /// Looks for the library. The error says why it cannot be used, and what to do.
    pub(crate) fn find() -> Result<Nccl, String> {
        // SAFETY: what the library does when it is loaded is to prepare itself.
        let opened = NAMES
            .iter()
            .find_map(|name| unsafe { Library::new(*name) }.ok());
        let library = opened.ok_or_else(|| {
            format!(
                "NVIDIA's NCCL, {}, cannot be loaded; install it, in many systems the package libnccl2",
                NAMES[0]
            )
        })?;
        // SAFETY: these are the types of NCCL's interface since its version 2.4.
        let found = unsafe {
            Nccl {
                init_all: function(&library, c"ncclCommInitAll")?,
                all_reduce: function(&library, c"ncclAllReduce")?,
                group_start: function(&library, c"ncclGroupStart")?,
                group_end: function(&library, c"ncclGroupEnd")?,
                async_error: function(&library, c"ncclCommGetAsyncError")?,
                abort: function(&library, c"ncclCommAbort")?,
                error_string: function(&library, c"ncclGetErrorString")?,
            }
        };
        // It stays as long as the program: threads of its own may still be in it when the last communicator is given up.
        std::mem::forget(library);
        Ok(found)
    }

    /// Joins the GPUs, and tries a sum. The error says why they do not add up.
    pub(crate) fn join(self, drivers: &[Driver]) -> Result<Joined, String> {
        let fail = |why: String| format!("NCCL does not join the GPUs: {why}");
        let numbers = drivers.iter().map(|driver| driver.number as c_int);
        let numbers: Vec<c_int> = numbers.collect();
        let mut communicators = vec![std::ptr::null_mut(); numbers.len()];
        // SAFETY: there are as many places as numbers.
        let code = unsafe {
            (self.init_all)(
                communicators.as_mut_ptr(),
                numbers.len() as c_int,
                numbers.as_ptr(),
            )
        };
        self.check(code).map_err(fail)?;
        let communicators = communicators.into_iter().map(Communicator);
        let joined = Joined {
            nccl: self,
            cards: drivers.iter().map(|driver| driver.card.clone()).collect(),
            communicators: Mutex::new(communicators.collect()),
        };
        joined.try_out(drivers).map_err(fail)?;
        Ok(joined)
    }

    /// Gives communicators up, so that nothing waits for a sum that will not come, nor for a GPU that is gone.
    fn abort(&self, communicators: &mut Vec<Communicator>) {
        for Communicator(communicator) in communicators.drain(..) {
            // SAFETY: NCCL gave it, and it is not used again. What it says of its end helps nobody.
            let _ = unsafe { (self.abort)(communicator) };
        }
    }

    fn check(&self, code: c_int) -> Result<(), String> {
        if code == SUCCESS {
            return Ok(());
        }
        // SAFETY: NCCL has words for every code, which stay where they are.
        let words = unsafe {
            let words = (self.error_string)(code);
            (!words.is_null()).then(|| CStr::from_ptr(words))
        };
        let words = words.map_or("an error without a name".into(), CStr::to_string_lossy);
        Err(format!(
            "{words} ({code}); NCCL_DEBUG=WARN makes it say more"
        ))
    }
}

/// The function of that name.
///
/// # Safety
/// It is of that type.
unsafe fn function<T: Copy>(library: &Library, name: &CStr) -> Result<T, String> {
    // SAFETY: the caller knows the type.
    let found = unsafe { library.get::<T>(name.to_bytes_with_nul()) };
    let found = found.map_err(|_| {
        let name = name.to_string_lossy();
        format!("NVIDIA's NCCL on this machine is too old: it has no {name}; install a newer one")
    })?;
    Ok(*found)
}

impl Joined {
    /// Adds numbers whose sum is known: GPUs that see one another and cannot reach one another would else never answer.
    fn try_out(&self, drivers: &[Driver]) -> Result<(), String> {
        let said = |error: DeviceError| error.to_string();
        let mut parts = Vec::new();
        for (rank, driver) in drivers.iter().enumerate() {
            let driver: &dyn Device = driver;
            let part = driver.filled(&[(rank + 1) as f32; TRIED]);
            parts.push(part.map_err(said)?);
        }
        let views: Vec<View> = parts.iter().map(|part| part.view()).collect();
        let outcome = self
            .add_up(&views)
            .and_then(|()| self.wait_until(Some(Instant::now() + PATIENCE)));
        outcome.map_err(|failed| said(failed.error))?;
        let count = drivers.len();
        let sum = (count * (count + 1) / 2) as f32;
        for (driver, part) in drivers.iter().zip(&parts) {
            let mut got = [0.0f32; TRIED];
            let to = bytes_of_mut(&mut got);
            driver.download(part.view(), to).map_err(said)?;
            if bytes_of(&got) != bytes_of(&[sum; TRIED]) {
                return Err(format!("they make {} of a sum of {sum}", got[0]));
            }
        }
        Ok(())
    }

    /// What failed on a GPU, after which there are no more sums.
    fn lost(
        &self,
        communicators: &mut Vec<Communicator>,
        rank: usize,
        error: DeviceError,
    ) -> Failed {
        self.nccl.abort(communicators);
        Failed { rank, error }
    }

    /// Waits, at most until then. As GPUs that wait for one another in a sum wait for ever if one has failed, all are looked
    /// at in turn, not one after the other.
    fn wait_until(&self, end: Option<Instant>) -> Result<(), Failed> {
        let mut communicators = self
            .communicators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut is_done = true;
            for (rank, card) in self.cards.iter().enumerate() {
                let asked = card.is_done();
                let fault = communicators.get(rank).and_then(|it| self.fault(it));
                match asked.and_then(|done| fault.map_or(Ok(done), Err)) {
                    Ok(done) => is_done &= done,
                    Err(error) => return Err(self.lost(&mut communicators, rank, error)),
                }
            }
            if is_done {
                return Ok(());
            }
            if end.is_some_and(|end| Instant::now() > end) {
                let seconds = PATIENCE.as_secs();
                let why = format!("a sum over the GPUs took longer than {seconds} seconds");
                return Err(self.lost(&mut communicators, 0, DeviceError::Failed(why)));
            }
            std::thread::yield_now();
        }
    }

    /// What went wrong since it was asked for.
    fn fault(&self, communicator: &Communicator) -> Option<DeviceError> {
        let mut code = SUCCESS;
        // SAFETY: the communicator was not given up, and one number is written.
        let asked = unsafe { (self.nccl.async_error)(communicator.0, &raw mut code) };
        let code = if asked == SUCCESS { code } else { asked };
        let is_fault = code != IN_PROGRESS;
        let outcome = is_fault.then(|| self.nccl.check(code))?;
        outcome
            .err()
            .map(|why| DeviceError::Failed(format!("NCCL says: {why}")))
    }
}

impl AllReduce for Joined {
    fn add_up(&self, parts: &[View]) -> Result<(), Failed> {
        assert_eq!(parts.len(), self.cards.len(), "a part a GPU");
        let bytes = parts[0].bytes();
        assert!(
            parts.iter().all(|part| part.bytes() == bytes),
            "as many bytes"
        );
        let mut communicators = self
            .communicators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if communicators.is_empty() {
            let why = "it was parted from the other GPUs when one failed";
            let error = DeviceError::Failed(why.to_owned());
            return Err(Failed { rank: 0, error });
        }
        let nccl = &self.nccl;
        let asked = communicators.iter().zip(&self.cards).zip(parts).enumerate();
        // SAFETY: a view lies in a buffer of the GPU of its communicator, whose queue comes after what wrote there; in the
        // same place is allowed. A group that was begun is ended.
        let (mut codes, end) = unsafe {
            let begun = (nccl.group_start)();
            let codes = asked.map(|(rank, ((communicator, card), part))| {
                let at = part.address() as *mut c_void;
                let code = (nccl.all_reduce)(
                    at,
                    at,
                    bytes / size_of::<f32>(),
                    ncclDataType_t::ncclFloat32,
                    ncclRedOp_t::ncclSum,
                    communicator.0,
                    card.stream.cu_stream().cast(),
                );
                (rank, code)
            });
            let codes: Vec<(usize, c_int)> = std::iter::once((0, begun)).chain(codes).collect();
            (codes, (nccl.group_end)())
        };
        codes.push((0, end));
        for (rank, code) in codes {
            if let Err(why) = nccl.check(code) {
                let error = DeviceError::Failed(format!("NCCL says: {why}"));
                return Err(self.lost(&mut communicators, rank, error));
            }
        }
        Ok(())
    }

    fn wait(&self) -> Result<(), Failed> {
        self.wait_until(None)
    }

    fn abandon(&self) {
        let communicators = self.communicators.lock();
        let mut communicators = communicators.unwrap_or_else(PoisonError::into_inner);
        self.nccl.abort(&mut communicators);
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let communicators = self.communicators.get_mut();
        self.nccl
            .abort(communicators.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Card {
    /// Whether all that was asked for is done.
    fn is_done(&self) -> Result<bool, DeviceError> {
        self.bind()?;
        // SAFETY: the stream lives as long as the card.
        match unsafe { sys::cuStreamQuery(self.stream.cu_stream()) } {
            Code::CUDA_ERROR_NOT_READY => Ok(false),
            code => failed(code.result()).map(|()| true),
        }
    }
}
