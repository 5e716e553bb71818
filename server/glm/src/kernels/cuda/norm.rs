//! Norms of rows on the device, with the sum that comes before them.
//!
//! Takes hidden states and what a half of a block gave, gives their sum and its norm in one launch.

use super::device::{Arg, Buffer, Device, DeviceError, Launch, View};

/// Threads of a block, as in `norm.cu`.
const THREADS: u32 = 256;

/// A norm over whole rows, on the device.
#[derive(Debug)]
pub struct Norm {
    weight: Buffer,
    /// Layer norm has it, root-mean-square norm does not.
    bias: Option<Buffer>,
    epsilon: f32,
    width: usize,
}

/// What a norm is taken of: base · alpha + added, or the base alone if nothing is added.
#[derive(Debug, Clone, Copy)]
pub struct Sum<'a> {
    /// (rows, width).
    pub base: View<'a>,
    /// (rows, width), and where the sum goes, which may be either.
    pub added: Option<(View<'a>, View<'a>)>,
    /// What the base is multiplied by.
    pub alpha: f32,
}

impl<'a> Sum<'a> {
    /// These rows as they are.
    pub fn of(base: View<'a>) -> Sum<'a> {
        Sum {
            base,
            added: None,
            alpha: 1.0,
        }
    }
}

impl Norm {
    /// Copies a norm's weights, and biases if it has any, to the device.
    ///
    /// # Panics
    /// If there is not a bias for each weight.
    pub fn new(
        device: &dyn Device,
        weight: &[f32],
        bias: Option<&[f32]>,
        epsilon: f32,
    ) -> Result<Norm, DeviceError> {
        assert!(bias.is_none_or(|bias| bias.len() == weight.len()));
        Ok(Norm {
            weight: device.filled(weight)?,
            bias: bias.map(|bias| device.filled(bias)).transpose()?,
            epsilon,
            width: weight.len(),
        })
    }

    /// The memory that it lies in.
    pub(crate) fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer> {
        let Norm {
            weight,
            bias,
            epsilon: _,
            width: _,
        } = self;
        std::iter::once(weight).chain(bias)
    }

    /// normed ← the norm of every row of the sum. `normed` (rows, width) may lie where the base or what is added does, but not
    /// where the sum goes.
    ///
    /// # Panics
    /// If a size is wrong.
    pub fn forward(&self, device: &dyn Device, sum: Sum, normed: View) -> Result<(), DeviceError> {
        let row = 4 * self.width;
        let bytes = normed.bytes();
        assert!(bytes.is_multiple_of(row), "whole rows");
        assert!(sum.base.bytes() == bytes, "as many rows");
        let sizes = |(added, to): (View, View)| added.bytes() == bytes && to.bytes() == bytes;
        assert!(sum.added.is_none_or(sizes), "as many rows");
        if bytes == 0 {
            return Ok(());
        }
        let mut args: Vec<Arg> = vec![
            sum.base.into(),
            sum.added.map(|added| added.0).into(),
            sum.alpha.into(),
            sum.added.map(|added| added.1).into(),
            (&self.weight).into(),
        ];
        args.extend(self.bias.as_ref().map(Arg::from));
        args.extend([
            self.epsilon.into(),
            normed.into(),
            Arg::U32(self.width as u32),
        ]);
        let launch = Launch {
            kernel: match self.bias {
                Some(_) => "layer_norm",
                None => "rms_norm",
            },
            grid: [(bytes / row) as u32, 1, 1],
            threads: THREADS,
            args: &args,
        };
        // SAFETY: the sizes have been checked.
        unsafe { device.launch(&launch) }
    }
}

/// sum ← base · alpha + added, number by number; all of one size, and `sum` may be either.
///
/// # Panics
/// If a size is wrong.
pub fn add(
    device: &dyn Device,
    base: View,
    added: View,
    alpha: f32,
    sum: View,
) -> Result<(), DeviceError> {
    let count = sum.bytes() / 4;
    assert!(base.bytes() == sum.bytes() && added.bytes() == sum.bytes());
    if count == 0 {
        return Ok(());
    }
    let launch = Launch {
        kernel: "add",
        grid: [count.div_ceil(THREADS as usize) as u32, 1, 1],
        threads: THREADS,
        args: &[
            base.into(),
            added.into(),
            alpha.into(),
            sum.into(),
            Arg::U32(count as u32),
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
            Rows,
            cuda::{
                emulated::Emulated,
                testing::{download, room, upload},
            },
            reference,
        },
    };

    #[test]
    fn close_to_the_reference() {
        let (device, mut random) = (Emulated::new(), Random::new(1));
        for (count, width) in [(1, 1), (3, 40), (2, 257), (5, 1030)] {
            let size = count * width;
            let (base, added) = (random.normal(size), random.normal(size));
            let (weight, bias) = (random.normal(width), random.normal(width));
            let summed: Vec<f32> = base.iter().zip(&added).map(|(b, a)| b * 2.5 + a).collect();
            for bias in [None, Some(&bias[..])] {
                let norm = Norm::new(&device, &weight, bias, 1e-5).unwrap();
                let wanted = |x: &[f32]| match bias {
                    Some(bias) => reference::layer_norm(Rows::new(x, width), &weight, bias, 1e-5),
                    None => reference::rms_norm(Rows::new(x, width), &weight, 1e-5),
                };
                let (there, more) = (upload(&device, &base), upload(&device, &added));
                let normed = room(&device, size);
                let sum = Sum::of(there.view());
                norm.forward(&device, sum, normed.view()).unwrap();
                reference::assert_close(&download(&device, &normed), &wanted(&base), 1e-5);

                // The sum in a place of its own, and where the base was.
                let elsewhere = room(&device, size);
                for to in [&elsewhere, &there] {
                    let normed = room(&device, size);
                    let sum = Sum {
                        base: there.view(),
                        added: Some((more.view(), to.view())),
                        alpha: 2.5,
                    };
                    norm.forward(&device, sum, normed.view()).unwrap();
                    reference::assert_close(&download(&device, to), &summed, 1e-6);
                    reference::assert_close(&download(&device, &normed), &wanted(&summed), 1e-5);
                }
                // The norm where the base was, as DeepNorm has it.
                let (there, sum_to) = (upload(&device, &base), room(&device, size));
                let sum = Sum {
                    base: there.view(),
                    added: Some((more.view(), sum_to.view())),
                    alpha: 2.5,
                };
                norm.forward(&device, sum, there.view()).unwrap();
                reference::assert_close(&download(&device, &there), &wanted(&summed), 1e-5);
            }
        }
    }

    #[test]
    fn sums_are_sums() {
        let (device, mut random) = (Emulated::new(), Random::new(2));
        for count in [1, 256, 1000] {
            let (base, added) = (random.normal(count), random.normal(count));
            let (there, more) = (upload(&device, &base), upload(&device, &added));
            add(&device, there.view(), more.view(), 3.0, more.view()).unwrap();
            let want: Vec<f32> = base.iter().zip(&added).map(|(b, a)| b * 3.0 + a).collect();
            reference::assert_close(&download(&device, &more), &want, 1e-6);
        }
    }
}
