//! What tests of kernels share: numbers to the device and back, and caches in plain code.

use super::{
    device::{Buffer, Device, Plain, bytes_of_mut},
    sequences::{Listing, Row, Sequence, cache_bytes, row_bytes},
};
use crate::{KvType, kernels::reference};
use half::f16;
use std::ops::Range;

// SAFETY: a number is its bytes.
unsafe impl Plain for f16 {}

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

/// The bytes of a cache, written and read by plain code. What nobody has written is no number.
pub(crate) struct PlainCache {
    kv: KvType,
    capacity: usize,
    width: usize,
    pub(crate) bytes: Vec<u8>,
}

impl PlainCache {
    pub(crate) fn new(kv: KvType, layers: usize, capacity: usize, width: usize) -> PlainCache {
        PlainCache {
            kv,
            capacity,
            width,
            bytes: vec![0xff; cache_bytes(kv, layers, capacity, width)],
        }
    }

    /// Where a token's row is in a run, which are the keys of a layer or the values: its numbers, and their scales.
    pub(crate) fn row(&self, run: usize, token: usize) -> [Range<usize>; 2] {
        let [numbers, scales] = row_bytes(self.kv, self.width);
        let first = run * self.capacity * (numbers + scales);
        let behind = first + self.capacity * numbers;
        let places = [(first, numbers), (behind, scales)];
        places.map(|(first, bytes)| first + token * bytes..first + (token + 1) * bytes)
    }

    pub(crate) fn write(&mut self, run: usize, token: usize, numbers: &[f32]) {
        let halves = |numbers: &[f16]| -> Vec<u8> {
            let bytes = numbers.iter().flat_map(|x| x.to_le_bytes());
            bytes.collect()
        };
        let row = match self.kv {
            KvType::F16 => {
                let numbers: Vec<f16> = numbers.iter().map(|&x| f16::from_f32(x)).collect();
                [halves(&numbers), Vec::new()]
            }
            KvType::Q8 => {
                let (integers, scales) = reference::quantize_q8(numbers);
                let integers = integers.into_iter().map(|x| x as u8);
                [integers.collect(), halves(&scales)]
            }
        };
        for (place, bytes) in self.row(run, token).into_iter().zip(row) {
            self.bytes[place].copy_from_slice(&bytes);
        }
    }

    pub(crate) fn read(&self, run: usize, token: usize) -> Vec<f32> {
        let [numbers, scales] = self.row(run, token).map(|place| &self.bytes[place]);
        let half = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        match self.kv {
            KvType::F16 => numbers.chunks(2).map(half).collect(),
            KvType::Q8 => {
                let scale = |at: usize| half(&scales[2 * (at / 32)..]);
                let numbers = numbers.iter().enumerate();
                numbers
                    .map(|(at, &x)| f32::from(x as i8) * scale(at))
                    .collect()
            }
        }
    }
}
