//! The activations of feed-forwards on the device.
//!
//! Takes what a feed-forward's first matrix gave, gives what its second one takes.

use super::device::{Arg, Device, DeviceError, Launch, View};
use crate::Activation;

/// Threads of a block, as in `activation.cu`.
const THREADS: u32 = 256;

/// The activation's number in `activation.cu`.
fn number(activation: Activation) -> Arg<'static> {
    Arg::U32(match activation {
        Activation::GeluTanh => 0,
        Activation::Gelu => 1,
        Activation::QuickGelu => 2,
        Activation::Silu => 3,
    })
}

/// x ← activation(x) for every x.
pub fn activate(device: &dyn Device, activation: Activation, x: View) -> Result<(), DeviceError> {
    let count = (x.bytes() / 4) as u32;
    if count == 0 {
        return Ok(());
    }
    let launch = Launch {
        kernel: "activate",
        grid: [count.div_ceil(THREADS), 1, 1],
        threads: THREADS,
        args: &[x.into(), count.into(), number(activation)],
    };
    // SAFETY: there are so many numbers.
    unsafe { device.launch(&launch) }
}

/// out (rows, width) ← activation(first half) · second half of each row of x (rows, 2 · width).
///
/// # Panics
/// If a size is wrong.
pub fn gate(
    device: &dyn Device,
    activation: Activation,
    x: View,
    width: usize,
    out: View,
) -> Result<(), DeviceError> {
    let rows = out.bytes() / (4 * width);
    assert_eq!(out.bytes(), 4 * rows * width, "whole rows");
    assert_eq!(x.bytes(), 2 * out.bytes(), "two halves");
    if rows == 0 {
        return Ok(());
    }
    let launch = Launch {
        kernel: "gate",
        grid: [(width as u32).div_ceil(THREADS), rows as u32, 1],
        threads: THREADS,
        args: &[
            x.into(),
            out.into(),
            Arg::U32(width as u32),
            number(activation),
        ],
    };
    // SAFETY: the sizes have been checked.
    unsafe { device.launch(&launch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::Random,
        kernels::{
            cuda::{
                emulated::Emulated,
                testing::{download, room, upload},
            },
            reference,
        },
    };

    const ALL: [Activation; 4] = [
        Activation::GeluTanh,
        Activation::Gelu,
        Activation::QuickGelu,
        Activation::Silu,
    ];

    #[test]
    fn close_to_the_reference() {
        let device = Emulated::new();
        for activation in ALL {
            let x: Vec<f32> = (0..403).map(|i| (i as f32 - 200.0) / 15.0).collect();
            let there = upload(&device, &x);
            activate(&device, activation, there.view()).unwrap();
            for (x, got) in x.into_iter().zip(download::<f32>(&device, &there)) {
                let want = reference::activate(activation, x);
                let close = (got - want).abs() <= 1e-6 * (1.0 + x.abs());
                assert!(close, "{activation:?}({x}) = {got}, not {want}");
            }
        }
    }

    #[test]
    fn a_gate_is_the_product_of_the_halves() {
        let (device, mut random) = (Emulated::new(), Random::new(12));
        for (rows, width) in [(1, 1), (3, 7), (2, 300)] {
            for activation in ALL {
                let x = random.normal(rows * 2 * width);
                let (there, out) = (upload(&device, &x), room(&device, rows * width));
                gate(&device, activation, there.view(), width, out.view()).unwrap();
                let want = x.chunks_exact(2 * width).flat_map(|row| {
                    let (first, second) = row.split_at(width);
                    let products = first.iter().zip(second);
                    products.map(|(&a, &b)| reference::activate(activation, a) * b)
                });
                let want: Vec<f32> = want.collect();
                reference::assert_close(&download(&device, &out), &want, 1e-6);
            }
        }
    }
}
