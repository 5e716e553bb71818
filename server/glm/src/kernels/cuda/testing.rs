//! What tests of kernels share: numbers to the device and back.

use super::{
    device::{Buffer, Device, Plain, bytes_of_mut},
    sequences::{Listing, Row, Sequence},
};

// SAFETY: a number is its bytes.
unsafe impl Plain for half::f16 {}

/// A buffer of these numbers.
pub(crate) fn upload<T: Plain>(device: &dyn Device, numbers: &[T]) -> Buffer {
    device.filled(numbers).unwrap()
}

/// A buffer for so many f32, of numbers that are none.
pub(crate) fn room(device: &dyn Device, count: usize) -> Buffer {
    upload(device, &vec![f32::NAN; count])
}

/// The numbers of a buffer.
pub(crate) fn download<T: Plain + Default>(device: &dyn Device, buffer: &Buffer) -> Vec<T> {
    let mut numbers = vec![T::default(); buffer.bytes() / size_of::<T>()];
    device
        .download(buffer.view(), bytes_of_mut(&mut numbers))
        .unwrap();
    numbers
}

/// The tables of these rows, and where they are on the device.
pub(crate) fn listed(
    device: &dyn Device,
    sequences: &[Sequence],
    rows: &[Row],
) -> (Listing, Buffer) {
    let listing = Listing::new(sequences, rows);
    let there = upload(device, listing.bytes());
    (listing, there)
}
