//! What kernels run on: memory of a device, and launches one after another.
//!
//! Takes kernels by their names and arguments, gives nothing until it is asked to [`Device::download`]. All of a device's
//! work is one queue: copies and launches happen in the order in which they were asked for, and none but `download` and
//! `synchronize` waits. What is asked for can also be recorded once and replayed: a launch's arguments are addresses and
//! sizes that stay, and whatever changes from step to step lies in memory. The one implementation is the driver of a GPU,
//! the other, for tests, the emulation.

use std::{any::Any, fmt, marker::PhantomData};

/// What went wrong on a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// There is no room for so much.
    #[error("the device has no room for {bytes} more bytes")]
    OutOfMemory {
        /// What was asked for.
        bytes: usize,
    },
    /// A kernel could not be started, or did what it must not do.
    #[error("kernel `{kernel}` failed: {why}")]
    Kernel {
        /// Its name.
        kernel: String,
        /// What the device said.
        why: String,
    },
    /// The device does not work, or not any more.
    #[error("the device failed: {0}")]
    Failed(String),
}

/// Memory of a device, given back when it is dropped. What it holds at first is undefined. It begins at a multiple of
/// 16 bytes at least.
pub struct Buffer {
    address: u64,
    bytes: usize,
    _owner: Box<dyn Any + Send>,
}

impl Buffer {
    /// `bytes` bytes at this address, which belong to the owner and live as long as it.
    pub(crate) fn new(address: u64, bytes: usize, owner: Box<dyn Any + Send>) -> Buffer {
        Buffer {
            address,
            bytes,
            _owner: owner,
        }
    }

    /// All of it.
    pub fn view(&self) -> View<'_> {
        View {
            address: self.address,
            bytes: self.bytes,
            buffer: PhantomData,
        }
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives the memory back; what is left has no bytes.
    pub fn release(&mut self) {
        *self = Buffer::new(0, 0, Box::new(()));
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "Buffer({} bytes)", self.bytes)
    }
}

/// A part of a buffer. Kernels write through it, too: the order of the queue is what keeps them apart.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    address: u64,
    bytes: usize,
    buffer: PhantomData<&'a Buffer>,
}

impl<'a> View<'a> {
    /// Where it begins, as the device counts.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// `bytes` bytes from `first` on.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn slice(&self, first: usize, bytes: usize) -> View<'a> {
        assert!(
            first
                .checked_add(bytes)
                .is_some_and(|end| end <= self.bytes),
            "bytes {first} and {bytes} more of a buffer of {}",
            self.bytes
        );
        View {
            address: self.address + first as u64,
            bytes,
            ..*self
        }
    }
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Arg<'a> {
    /// A pointer.
    Memory(View<'a>),
    /// The pointer to nothing.
    Nothing,
    /// `u32`.
    U32(u32),
    /// `s32`.
    I32(i32),
    /// `float`.
    F32(f32),
}

impl<'a> From<View<'a>> for Arg<'a> {
    fn from(view: View<'a>) -> Arg<'a> {
        Arg::Memory(view)
    }
}

impl<'a> From<&'a Buffer> for Arg<'a> {
    fn from(buffer: &'a Buffer) -> Arg<'a> {
        Arg::Memory(buffer.view())
    }
}

impl<'a> From<Option<View<'a>>> for Arg<'a> {
    fn from(view: Option<View<'a>>) -> Arg<'a> {
        view.map_or(Arg::Nothing, Arg::Memory)
    }
}

impl From<u32> for Arg<'_> {
    fn from(number: u32) -> Self {
        Arg::U32(number)
    }
}

impl From<f32> for Arg<'_> {
    fn from(number: f32) -> Self {
        Arg::F32(number)
    }
}

/// One launch of a kernel. Its shared memory is part of the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The kernel's name.
    pub kernel: &'a str,
    /// Blocks in x, y and z; none of them is 0.
    pub grid: [u32; 3],
    /// Threads of a block, all in x, as many as the kernel was written for.
    pub threads: u32,
    /// Its arguments in their order.
    pub args: &'a [Arg<'a>],
}

/// Launches and copies that a device recorded.
pub struct Recording(
    #[cfg_attr(
        not(any(test, feature = "fixture", feature = "cuda")),
        expect(dead_code)
    )]
    Box<dyn Any + Send>,
);

impl Recording {
    /// What only the device looks into.
    #[cfg(any(test, feature = "fixture", feature = "cuda"))] // a build without any has no device
    pub(crate) fn new(recorded: impl Any + Send) -> Recording {
        Recording(Box::new(recorded))
    }

    /// What it was made of, if it was of this type.
    #[cfg(any(test, feature = "fixture", feature = "cuda"))]
    pub(crate) fn of<T: Any>(&self) -> Result<&T, DeviceError> {
        let other = || DeviceError::Failed("another device made the recording".to_owned());
        self.0.downcast_ref().ok_or_else(other)
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("Recording")
    }
}

/// Asks a device for something.
pub type Ask<'a> = &'a mut dyn FnMut() -> Result<(), DeviceError>;

/// A device with one queue.
pub trait Device {
    /// Room for so many bytes, also for none.
    fn allocate(&self, bytes: usize) -> Result<Buffer, DeviceError>;

    /// Copies bytes to the device. They may be changed as soon as this returns.
    ///
    /// # Panics
    /// If the sizes differ.
    fn upload(&self, from: &[u8], to: View) -> Result<(), DeviceError>;

    /// Copies bytes from the device, after all that was asked for before.
    ///
    /// # Panics
    /// If the sizes differ.
    fn download(&self, from: View, to: &mut [u8]) -> Result<(), DeviceError>;

    /// Copies bytes on the device, from one place to another that does not overlap it.
    ///
    /// # Panics
    /// If the sizes differ.
    fn copy(&self, from: View, to: View) -> Result<(), DeviceError>;

    /// Starts a kernel.
    ///
    /// # Safety
    /// The kernel has such parameters, and with these arguments it reads and writes nothing but what they name.
    unsafe fn launch(&self, launch: &Launch) -> Result<(), DeviceError>;

    /// Waits until all is done, and tells what went wrong since the last time.
    fn synchronize(&self) -> Result<(), DeviceError>;

    /// Records the launches and copies on the device that `ask` asks for, instead of doing them; `ask` asks for nothing
    /// else. None if the device cannot record that: then it is to be asked for as ever, and that will tell what is wrong,
    /// if anything is.
    fn record(&self, ask: Ask) -> Option<Recording>;

    /// Asks for all that was recorded.
    ///
    /// # Safety
    /// The memory that was named in what was recorded is still there, and what holds for the launches then holds for them
    /// with what is in that memory now.
    unsafe fn replay(&self, recording: &Recording) -> Result<(), DeviceError>;
}

/// A type whose values are their bytes, any of which are a value.
///
/// # Safety
/// It has no padding and no bytes that are no value.
pub unsafe trait Plain: Copy {}

// SAFETY: numbers are their bytes.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}
// SAFETY: as above.
unsafe impl Plain for u8 {}

/// The bytes of some numbers.
pub fn bytes_of<T: Plain>(numbers: &[T]) -> &[u8] {
    // SAFETY: a plain type has no padding, and the bytes are borrowed as long as the numbers.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

/// The bytes of some numbers, to be written.
pub fn bytes_of_mut<T: Plain>(numbers: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and any bytes are plain values.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers)) }
}

impl dyn Device + '_ {
    /// A new buffer with these numbers.
    pub fn filled<T: Plain>(&self, numbers: &[T]) -> Result<Buffer, DeviceError> {
        let bytes = bytes_of(numbers);
        let buffer = self.allocate(bytes.len())?;
        self.upload(bytes, buffer.view())?;
        Ok(buffer)
    }
}
