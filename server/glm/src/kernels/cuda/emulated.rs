//! A device for tests, on the processor: the same kernels, compiled by a C++ compiler.
//!
//! Takes the `.cu` files of this folder, gives a [`Device`]. The library is made when a test first asks for it, one for
//! each state of the sources, and found again by later ones. What a kernel must not do is an error of its launch;
//! `emulated/device.h` says what that is.

use super::device::{Arg, Ask, Buffer, Device, DeviceError, Launch, Recording, View};
use libloading::{Library, Symbol};
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// The sources, this file's folder.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kernels/cuda");
/// What the compiler is called with. No product and sum are made one operation: not every processor can. An access that is
/// not aligned as its type is stops at an illegal instruction, as a GPU stops.
const FLAGS: [&str; 12] = [
    "-std=c++17",
    "-O2",
    "-fPIC",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-fsanitize=alignment",
    "-fsanitize-undefined-trap-on-error",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-DINFILL_EMULATED",
    "-c",
];
/// Room for what the library says of a failure.
const WORDS: usize = 512;

/// A device of its own for each test. It replays a recording with the arguments that were recorded, so that one which should
/// have changed since shows.
#[derive(Clone)]
pub(crate) struct Emulated {
    machine: Arc<Machine>,
    /// What was asked for since a recording began, if one has.
    recording: Arc<Mutex<Option<Vec<Asked>>>>,
}

/// What a device was asked for.
enum Asked {
    Launch {
        kernel: String,
        grid: [u32; 3],
        threads: u32,
        /// As [`value`] gives them.
        args: Vec<(u64, u32, u32)>,
    },
    Copy {
        from: u64,
        to: u64,
        bytes: usize,
    },
}

/// What `emulated_open` gives.
struct Machine(*mut c_void);

// SAFETY: a machine is nothing but memory, which no thread owns.
unsafe impl Send for Machine {}
// SAFETY: the library lets one thread at a time allocate, free or launch; copies are the caller's affair, who has the
// views.
unsafe impl Sync for Machine {}

impl Drop for Machine {
    fn drop(&mut self) {
        let close: Symbol<unsafe extern "C" fn(*mut c_void)> = symbol(c"emulated_close");
        // SAFETY: it was opened once, and buffers hold a reference to it.
        unsafe { close(self.0) };
    }
}

/// An allocation, freed when it is dropped.
struct Owner {
    machine: Arc<Machine>,
    begin: *mut c_void,
}

// SAFETY: an address.
unsafe impl Send for Owner {}

impl Drop for Owner {
    fn drop(&mut self) {
        let free: Symbol<unsafe extern "C" fn(*mut c_void, *mut c_void)> = symbol(c"emulated_free");
        // SAFETY: this machine gave it, and nobody else frees it.
        unsafe { free(self.machine.0, self.begin) };
    }
}

/// `Argument` of `emulated/device.h`.
#[repr(C)]
struct Argument {
    value: *const c_void,
    bytes: u32,
    kind: u32,
}

type Start = unsafe extern "C" fn(
    *mut c_void,
    *const c_char,
    *const u32,
    u32,
    *const Argument,
    u32,
    *mut c_char,
    usize,
) -> c_int;

impl Emulated {
    /// A device without any memory yet.
    pub(crate) fn new() -> Emulated {
        let open: Symbol<unsafe extern "C" fn() -> *mut c_void> = symbol(c"emulated_open");
        // SAFETY: it takes nothing.
        let machine = Arc::new(Machine(unsafe { open() }));
        Emulated {
            machine,
            recording: Arc::default(),
        }
    }

    /// Records it if a recording has begun, else does it.
    fn ask(&self, asked: Asked) -> Result<(), DeviceError> {
        let mut recording = self
            .recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &mut *recording {
            Some(all) => all.push(asked),
            None => self.act(&asked)?,
        }
        Ok(())
    }

    /// What is asked for in a recording has to be a launch or a copy on the device.
    fn refuse_in_recording(&self, what: &str) -> Result<(), DeviceError> {
        let recording = self
            .recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match *recording {
            Some(_) => Err(DeviceError::Failed(format!("{what} in a recording"))),
            None => Ok(()),
        }
    }

    fn act(&self, asked: &Asked) -> Result<(), DeviceError> {
        match asked {
            Asked::Launch {
                kernel,
                grid,
                threads,
                args,
            } => self.start(kernel, *grid, *threads, args),
            &Asked::Copy { from, to, bytes } => {
                // SAFETY: views lie in buffers, whose memory is this process's own, and do not overlap.
                unsafe {
                    std::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, bytes);
                }
                Ok(())
            }
        }
    }

    fn start(
        &self,
        kernel: &str,
        grid: [u32; 3],
        threads: u32,
        args: &[(u64, u32, u32)],
    ) -> Result<(), DeviceError> {
        let start: Symbol<Start> = symbol(c"emulated_launch");
        let fail = |why: String| DeviceError::Kernel {
            kernel: kernel.to_owned(),
            why,
        };
        let name = CString::new(kernel).map_err(|error| fail(error.to_string()))?;
        let arguments: Vec<Argument> = args
            .iter()
            .map(|(value, bytes, kind)| Argument {
                value: (&raw const *value).cast(),
                bytes: *bytes,
                kind: *kind,
            })
            .collect();
        let mut why = [0u8; WORDS];
        // SAFETY: the library checks the name, the number and the types of the arguments; who launches vouches for the
        // memory, and what lies beside buffers faults there.
        let failed = unsafe {
            start(
                self.machine.0,
                name.as_ptr(),
                grid.as_ptr(),
                threads,
                arguments.as_ptr(),
                arguments.len() as u32,
                why.as_mut_ptr().cast(),
                why.len(),
            )
        };
        if failed == 0 {
            return Ok(());
        }
        let why = CStr::from_bytes_until_nul(&why).map_or("", |why| why.to_str().unwrap_or(""));
        Err(fail(why.to_owned()))
    }
}

impl Device for Emulated {
    fn allocate(&self, bytes: usize) -> Result<Buffer, DeviceError> {
        self.refuse_in_recording("memory was asked for")?;
        type Allocate = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
        let allocate: Symbol<Allocate> = symbol(c"emulated_allocate");
        // SAFETY: the machine is open.
        let begin = unsafe { allocate(self.machine.0, bytes) };
        if begin.is_null() {
            return Err(DeviceError::OutOfMemory { bytes });
        }
        let owner = Owner {
            machine: self.machine.clone(),
            begin,
        };
        Ok(Buffer::new(begin as u64, bytes, Box::new(owner)))
    }

    fn upload(&self, from: &[u8], to: View) -> Result<(), DeviceError> {
        assert_eq!(from.len(), to.bytes(), "as many bytes");
        self.refuse_in_recording("an upload was asked for")?;
        // SAFETY: a view lies in a buffer, whose memory is this process's own.
        unsafe { std::ptr::copy(from.as_ptr(), to.address() as *mut u8, from.len()) };
        Ok(())
    }

    fn download(&self, from: View, to: &mut [u8]) -> Result<(), DeviceError> {
        assert_eq!(from.bytes(), to.len(), "as many bytes");
        self.refuse_in_recording("a download was asked for")?;
        // SAFETY: as above.
        unsafe { std::ptr::copy(from.address() as *const u8, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn copy(&self, from: View, to: View) -> Result<(), DeviceError> {
        assert_eq!(from.bytes(), to.bytes(), "as many bytes");
        let (from, to, bytes) = (from.address(), to.address(), from.bytes());
        assert!(from.abs_diff(to) >= bytes as u64, "no overlap");
        self.ask(Asked::Copy { from, to, bytes })
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        // Every argument in eight bytes; all machines with an emulation have the low bytes first.
        self.ask(Asked::Launch {
            kernel: launch.kernel.to_owned(),
            grid: launch.grid,
            threads: launch.threads,
            args: launch.args.iter().map(value).collect(),
        })
    }

    fn synchronize(&self) -> Result<(), DeviceError> {
        self.refuse_in_recording("waiting was asked for")
    }

    fn record(&self, ask: Ask) -> Option<Recording> {
        let swap = |with| {
            let mut recording = self
                .recording
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *recording, with)
        };
        swap(Some(Vec::new()));
        let asked = ask();
        let recorded = swap(None)?;
        asked.ok().map(|()| Recording::new(recorded))
    }

    unsafe fn replay(&self, recording: &Recording) -> Result<(), DeviceError> {
        let recorded: &Vec<Asked> = recording.of()?;
        recorded.iter().try_for_each(|asked| self.act(asked))
    }
}

/// An argument's bits, how many bytes of them count, and its kind in the library's terms.
fn value(arg: &Arg) -> (u64, u32, u32) {
    match *arg {
        Arg::Memory(view) => (view.address(), 8, 0),
        Arg::Nothing => (0, 8, 0),
        Arg::U32(number) => (number.into(), 4, 1),
        Arg::I32(number) => (u64::from(number as u32), 4, 1),
        Arg::F32(number) => (number.to_bits().into(), 4, 2),
    }
}

fn symbol<T>(name: &CStr) -> Symbol<'static, T> {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let path = build();
        // SAFETY: the library was made from our own sources; what it does when it is loaded is to list its kernels.
        unsafe { Library::new(&path) }
            .unwrap_or_else(|error| panic!("cannot load {}: {error}", path.display()))
    });
    // SAFETY: the callers name the types that `emulated/runtime.cpp` has.
    unsafe { library.get(name.to_bytes_with_nul()) }.expect("the library has what runtime.cpp says")
}

/// The library of the sources as they are now, made if it is not there. Test processes that ask at once wait for one.
pub(crate) fn build() -> PathBuf {
    let mut sources = Vec::new();
    for folder in [Path::new(FOLDER), &Path::new(FOLDER).join("emulated")] {
        let entries = fs::read_dir(folder).expect("the sources are where this was compiled");
        sources.extend(entries.map(|entry| entry.expect("a readable folder").path()));
    }
    let has = |path: &Path, endings: &[&str]| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| endings.contains(&ending))
    };
    sources.retain(|path| has(path, &["cu", "cuh", "h", "cpp"]));
    sources.sort();
    let read = |path: &PathBuf| fs::read(path).expect("a readable source");
    let headers: Vec<_> = sources
        .iter()
        .filter(|path| has(path, &["cuh", "h"]))
        .map(read)
        .collect();

    // Beside the test program, which Cargo's `clean` takes away.
    let program = std::env::current_exe().expect("a test program has a path");
    let folder = program.with_file_name("emulated-kernels");
    fs::create_dir_all(&folder).expect("cargo's folder takes files");
    let lock = fs::File::create(folder.join("lock")).expect("cargo's folder takes files");
    lock.lock().expect("the folder's file system has locks");
    let mut library = DefaultHasher::new();
    let mut objects = Vec::new();
    for source in sources.iter().filter(|path| has(path, &["cu", "cpp"])) {
        let mut hasher = DefaultHasher::new();
        (&headers, read(source), FLAGS).hash(&mut hasher);
        let hash = hasher.finish();
        hash.hash(&mut library);
        let object = folder.join(format!("{hash:016x}.o"));
        if !object.exists() {
            let unfinished = object.with_extension("unfinished");
            compile(
                Command::new("c++")
                    .args(FLAGS)
                    .args(["-x", "c++"])
                    .arg(source),
                &unfinished,
            );
            fs::rename(&unfinished, &object).expect("cargo's folder takes files");
        }
        objects.push(object);
    }
    let library = folder.join(format!("{:016x}.so", library.finish()));
    if !library.exists() {
        let unfinished = library.with_extension("unfinished");
        compile(
            Command::new("c++").arg("-shared").args(&objects),
            &unfinished,
        );
        fs::rename(&unfinished, &library).expect("cargo's folder takes files");
    }
    library
}

fn compile(command: &mut Command, to: &Path) {
    let output = command
        .arg("-o")
        .arg(to)
        .output()
        .unwrap_or_else(|error| panic!("tests of kernels need a C++ compiler, `c++`: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{said}");
}

#[cfg(test)]
mod tests;
