//! Products on the emulated device beside plain ones, of each type, of odd sizes.

use super::*;
use crate::{
    fixture::Random,
    kernels::{
        Rows, Stored,
        cpu::{self, Pool},
        cuda::{
            emulated::Emulated,
            testing::{download, room, upload},
        },
        reference,
    },
};
use half::{bf16, f16};

/// A matrix in memory and on the device.
struct Both {
    here: Box<dyn Unpack>,
    there: Matrix,
}

fn packed(device: &dyn Device, random: &mut Random, stored: Stored, size: (usize, usize)) -> Both {
    let matrix = random.packed(stored, size.0, size.1);
    Both {
        there: Matrix::packed(device, &matrix).unwrap(),
        here: Box::new(matrix),
    }
}

fn halves(device: &dyn Device, random: &mut Random, kind: HalfKind, size: (usize, usize)) -> Both {
    let numbers = random.normal(size.0 * size.1).into_iter();
    let bits = numbers.map(|x| match kind {
        HalfKind::F16 => f16::from_f32(x).to_bits(),
        HalfKind::Bf16 => bf16::from_f32(x).to_bits(),
    });
    let matrix = HalfMatrix::new(bits.collect(), kind, size.0, size.1);
    Both {
        there: Matrix::half(device, &matrix).unwrap(),
        here: Box::new(matrix),
    }
}

fn floats(device: &dyn Device, random: &mut Random, size: (usize, usize)) -> Both {
    let matrix = FloatMatrix::new(random.normal(size.0 * size.1), size.0, size.1);
    Both {
        there: Matrix::float(device, &matrix).unwrap(),
        here: Box::new(matrix),
    }
}

const PACKED: [Stored; 7] = [
    Stored::Q8_0,
    Stored::Q4_0,
    Stored::Q4K,
    Stored::Q5K,
    Stored::Q6K,
    Stored::Int8,
    Stored::Int4,
];

/// One matrix of each type, of odd numbers of outputs and of inputs where the type allows.
fn one_of_each(device: &dyn Device, random: &mut Random, outputs: usize) -> Vec<Both> {
    let mut all: Vec<Both> = PACKED
        .iter()
        .map(|&stored| {
            let inputs = match stored {
                Stored::Q4K | Stored::Q5K | Stored::Q6K => 512,
                Stored::Int8 => 101,
                Stored::Int4 => 110,
                _ => 96,
            };
            packed(device, random, stored, (outputs, inputs))
        })
        .collect();
    for kind in [HalfKind::F16, HalfKind::Bf16] {
        for inputs in [72, 37] {
            all.push(halves(device, random, kind, (outputs, inputs)));
        }
    }
    all.push(floats(device, random, (outputs, 40)));
    all.push(floats(device, random, (outputs, 5)));
    all
}

/// The product on the device; between the rows of `out` lie `beside` numbers that stay as they are.
fn multiply(
    device: &dyn Device,
    matrix: &Matrix,
    x: &[f32],
    bias: &[f32],
    beside: usize,
) -> Vec<f32> {
    let rows = x.len() / matrix.inputs();
    let stride = matrix.outputs() + beside;
    let (x, out) = (upload(device, x), room(device, rows * stride));
    let bias = (!bias.is_empty()).then(|| upload(device, bias));
    let scratch = device.allocate(matrix.room(rows)).unwrap();
    let bias = bias.as_ref().map(Buffer::view);
    matrix
        .multiply(
            device,
            x.view(),
            rows,
            bias,
            out.view(),
            stride,
            scratch.view(),
        )
        .unwrap();
    let out: Vec<f32> = download(device, &out);
    for row in out.chunks(stride) {
        assert!(row[matrix.outputs()..].iter().all(|x| x.is_nan()));
    }
    out.chunks(stride)
        .flat_map(|row| row[..matrix.outputs()].to_vec())
        .collect()
}

#[test]
fn few_rows_are_multiplied_as_on_the_processor() {
    let (device, mut random) = (Emulated::new(), Random::new(1));
    let pool = Pool::new(1).unwrap();
    for outputs in [1, 35] {
        for both in one_of_each(&device, &mut random, outputs) {
            let inputs = both.there.inputs();
            for rows in [1, 2, 3, 8, 19] {
                let x = random.normal(rows * inputs);
                let bias = random.normal(outputs);
                let got = multiply(&device, &both.there, &x, &bias, 3);
                let x = Rows::new(&x, inputs);
                let mut rounded: Vec<f32> = Vec::new();
                // What the integers stand for, where activations are rounded.
                if both.there.kind.limbs() == 1 && matches!(both.there.kind, Type::Packed(_)) {
                    let mut activations = cpu::Activations::default();
                    activations.set(x, &pool);
                    let mut left: Vec<f32> =
                        (0..rows).flat_map(|row| x.row(row).to_vec()).collect();
                    activations.take_from(&mut left, inputs);
                    let all = (0..rows).flat_map(|row| x.row(row)).zip(&left);
                    rounded.extend(all.map(|(x, left)| x - left));
                } else {
                    rounded.extend((0..rows).flat_map(|row| x.row(row)));
                }
                let want = reference::matmul(Rows::new(&rounded, inputs), &*both.here, &bias);
                reference::assert_close(&got, &want, 2e-6);
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_every_company() {
    let (device, mut random) = (Emulated::new(), Random::new(2));
    for both in one_of_each(&device, &mut random, 18) {
        let inputs = both.there.inputs();
        let x = random.normal(11 * inputs);
        let all = multiply(&device, &both.there, &x, &[], 0);
        for (row, want) in x.chunks(inputs).zip(all.chunks(18)) {
            assert_eq!(multiply(&device, &both.there, row, &[], 0), want);
        }
    }
}

#[test]
fn long_rows_go_round_several_times() {
    let (device, mut random) = (Emulated::new(), Random::new(3));
    for stored in PACKED {
        let both = packed(&device, &mut random, stored, (17, 5376));
        // Integers that are not rounded on their way: the largest of 32 is the largest of 8 bits.
        let x: Vec<f32> = (0..2 * 5376)
            .map(|at| {
                if at % 32 == 0 {
                    127.0
                } else {
                    (random.bits() % 255) as f32 - 127.0
                }
            })
            .collect();
        let got = multiply(&device, &both.there, &x, &[], 0);
        let want = reference::matmul(Rows::new(&x, 5376), &*both.here, &[]);
        reference::assert_close(&got, &want, 2e-6);
    }
}

#[test]
fn numbers_that_are_not_finite_stay_so() {
    let (device, mut random) = (Emulated::new(), Random::new(4));
    for both in one_of_each(&device, &mut random, 3) {
        for bad in [f32::NAN, f32::INFINITY] {
            for rows in [1, 40] {
                let mut x = random.normal(rows * both.there.inputs());
                x[2] = bad;
                let got = multiply(&device, &both.there, &x, &[], 0);
                assert!(
                    got[..3].iter().all(|x| !x.is_finite()),
                    "{:?} {got:?}",
                    both.there.kind
                );
                assert!(got[3..].iter().all(|x| x.is_finite()));
            }
        }
    }
}

#[test]
fn many_rows_are_multiplied_on_tensor_cores() {
    let (device, mut random) = (Emulated::new(), Random::new(5));
    for outputs in [35, 70] {
        for both in one_of_each(&device, &mut random, outputs) {
            let inputs = both.there.inputs();
            for rows in [MANY_ROWS, 66] {
                let mut x = random.normal(rows * inputs);
                // A row of zeros, one of large numbers and one of small ones.
                x[..inputs].fill(0.0);
                x[inputs..2 * inputs].iter_mut().for_each(|x| *x *= 1e6);
                x[2 * inputs..3 * inputs]
                    .iter_mut()
                    .for_each(|x| *x *= 1e-8);
                let bias = vec![0.0; outputs];
                let got = multiply(&device, &both.there, &x, &bias, 1);
                let want = reference::matmul(Rows::new(&x, inputs), &*both.here, &bias);
                for (got, want) in got.chunks(outputs).zip(want.chunks(outputs)) {
                    reference::assert_close(got, want, 2e-3);
                }
            }
        }
    }
}

#[test]
fn tiles_of_both_sizes_give_the_same() {
    let (device, mut random) = (Emulated::new(), Random::new(6));
    let both = packed(&device, &mut random, Stored::Q4_0, (128 * 64 + 3, 64));
    let x = random.normal(130 * 64);
    // 2 × 65 tiles of 128, and, a row at a time, tiles of 64.
    let all = multiply(&device, &both.there, &x, &[], 0);
    let some = multiply(&device, &both.there, &x[..40 * 64], &[], 0);
    assert_eq!(all[..some.len()], some);
}

#[test]
fn embeddings_are_rows_and_places() {
    let (device, mut random) = (Emulated::new(), Random::new(7));
    for both in one_of_each(&device, &mut random, 20) {
        let inputs = both.there.inputs();
        let ids = [0u32, 19, 7, 16, 7];
        let tables = [random.normal(4 * inputs), random.normal(6 * inputs)];
        let positions = [[3u32, 0, 1, 2, 3], [5u32, 5, 0, 1, 4]];
        let on_device = |which: usize| {
            (
                upload(&device, &tables[which]),
                upload(&device, &positions[which]),
            )
        };
        let (first, second) = (on_device(0), on_device(1));
        let views = [&first, &second].map(|both| Some((both.0.view(), both.1.view())));
        for places in [[None, None], [views[0], None], views] {
            let out = room(&device, 5 * inputs);
            let ids_there = upload(&device, &ids);
            both.there
                .embed(&device, ids_there.view(), places, out.view())
                .unwrap();
            let got: Vec<f32> = download(&device, &out);
            let mut want = vec![f32::NAN; inputs];
            for (token, got) in got.chunks(inputs).enumerate() {
                both.here.unpack_row(ids[token] as usize, &mut want);
                for (which, place) in places.iter().enumerate() {
                    if place.is_some() {
                        let at = positions[which][token] as usize * inputs;
                        let row = &tables[which][at..at + inputs];
                        want.iter_mut().zip(row).for_each(|(want, x)| *want += x);
                    }
                }
                reference::assert_close(got, &want, 1e-6);
            }
        }
    }
}

#[test]
fn rows_are_gathered() {
    let device = Emulated::new();
    let numbers = Random::new(8).normal(4 * 37);
    let (x, rows) = (upload(&device, &numbers), upload(&device, &[3u32, 0, 3]));
    let out = room(&device, 3 * 37);
    gather(&device, x.view(), rows.view(), 37, out.view()).unwrap();
    let want = [&numbers[3 * 37..], &numbers[..37], &numbers[3 * 37..]].concat();
    assert_eq!(download::<f32>(&device, &out), want);
}
