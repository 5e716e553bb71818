//! Products against the reference, every way against the others, and what they reach.

use super::*;
use crate::{
    fixture::Random,
    kernels::{Rows, packed::tests::STORED, reference},
};
#[cfg(target_arch = "x86_64")]
use std::{cell::RefCell, hint::black_box, time::Instant};

/// Rows, outputs, inputs in units of a group.
const SHAPES: [(usize, usize, usize); 14] = [
    (1, 1, 1),
    (1, 17, 2),
    (2, 16, 3),
    (3, 40, 3),
    (4, 33, 5),
    (5, 16, 2),
    (6, 31, 2),
    (7, 515, 1),
    (8, 16, 11),
    (9, 50, 9),
    (1, 2050, 4),
    (67, 100, 3),
    (130, 48, 2),
    (250, 20, 17),
];

fn product(x: &[f32], weight: &PackedMatrix, bias: &[f32], threads: usize) -> Vec<f32> {
    product_by(best(), x, weight, bias, &Pool::new(threads).unwrap())
}

fn product_by(way: Way, x: &[f32], weight: &PackedMatrix, bias: &[f32], pool: &Pool) -> Vec<f32> {
    let rows = Rows::new(x, weight.columns());
    let mut activations = Activations::default();
    activations.set(rows, pool);
    let mut out = vec![f32::NAN; rows.count() * weight.rows()];
    let room = Out::new(weight, bias, false, &mut out, 0, rows.count());
    multiply(way, &activations, weight, &room, pool);
    out
}

/// The rows that integers stand for: nothing of them is rounded off.
fn rounded(x: Vec<f32>, width: usize) -> Vec<f32> {
    let mut activations = Activations::default();
    activations.set(Rows::new(&x, width), &Pool::new(1).unwrap());
    let mut left = x.clone();
    activations.take_from(&mut left, width);
    x.iter().zip(left).map(|(x, left)| x - left).collect()
}

#[test]
fn close_to_the_reference_and_equal_in_all_ways() {
    let mut random = Random::new(2);
    for (stored, _) in STORED {
        for (count, outputs, groups) in SHAPES {
            let mut inputs = groups * stored.packing().inputs();
            if matches!(stored.packing(), Packing::Int8 | Packing::Int4) {
                inputs -= 2 * (count % 16);
            }
            let weight = random.packed(stored, outputs, inputs);
            let x = rounded(random.normal(count * inputs), inputs);
            for bias in [vec![], random.normal(outputs)] {
                let want = reference::matmul(Rows::new(&x, inputs), &weight, &bias);
                let got = product(&x, &weight, &bias, 2);
                reference::assert_close(&got, &want, 2e-5);
                for (number, way) in ways().enumerate() {
                    let by_way = product_by(way, &x, &weight, &bias, &Pool::new(1).unwrap());
                    assert!(
                        same(&got, &by_way),
                        "{stored:?} {count}×{inputs}×{outputs}, way {number}"
                    );
                }
            }
        }
    }
}

/// A row's result does not depend on how many rows there are, where it is among them, or who computes it.
#[test]
fn a_row_is_the_same_in_any_company() {
    let mut random = Random::new(3);
    for (stored, _) in STORED {
        let (outputs, inputs) = (70, 1024);
        let weight = random.packed(stored, outputs, inputs);
        let bias = random.normal(outputs);
        let x = random.normal(300 * inputs);
        let all = product(&x, &weight, &bias, 1);
        for count in (1..15).chain([67, 128, 300]) {
            for threads in [1, 2, 5] {
                let first = (17 * count) % (301 - count);
                let x = &x[first * inputs..][..count * inputs];
                let got = product(x, &weight, &bias, threads);
                let want = &all[first * outputs..][..count * outputs];
                assert!(
                    same(&got, want),
                    "{stored:?}, {count} rows, {threads} threads"
                );
            }
        }
    }
}

#[test]
fn a_row_of_zeros_and_a_row_of_infinities_do_no_harm() {
    for (stored, _) in STORED {
        let inputs = stored.packing().inputs();
        let weight = Random::new(4).packed(stored, 20, inputs);
        let mut x = vec![0.0; 2 * inputs];
        x[inputs..].fill(f32::INFINITY);
        let out = product(&x, &weight, &[], 1);
        assert_eq!(out[..20], [0.0; 20], "{stored:?}");
        let after = &out[20..];
        assert!(
            after.iter().all(|x| x.is_nan()),
            "0 × ∞ shows what went wrong before"
        );
    }
}

/// What the products reach in each way, in turn, and what the processor's multiply-adds allow.
/// `cargo test --release -p glm -- --ignored --nocapture multiply_adds`
#[test]
#[ignore = "a measurement"]
#[cfg(target_arch = "x86_64")]
fn what_multiply_adds_allow() {
    /// A name, a loop, and how many multiply-adds it makes.
    type Loop = (&'static str, fn(&[i32; 64]) -> i32, usize);
    // Without optimization the figures mean nothing.
    const TURNS: usize = if cfg!(debug_assertions) { 3 } else { 200 };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = Pool::new(threads).unwrap();
    let best = |works: &[&dyn Fn()]| {
        let mut best = vec![f64::INFINITY; works.len()];
        for _ in 0..TURNS {
            for (work, best) in works.iter().zip(&mut best) {
                let began = Instant::now();
                work();
                *best = best.min(began.elapsed().as_secs_f64());
            }
        }
        best
    };
    let has = [super::super::has_avx512(), super::super::has_avx2()];
    let inputs: [i32; 64] = std::array::from_fn(|i| i as i32 * 77_777);
    // SAFETY: a loop is run only if the machine has its instructions.
    let loops: [Loop; 2] = unsafe {
        [
            ("AVX-512", |inputs| avx512::bare(inputs), avx512::BARE),
            ("AVX2", |inputs| avx2::bare(inputs), avx2::BARE),
        ]
    };
    let loops = loops.into_iter().zip(has);
    let loops: Vec<_> = loops.filter_map(|(one, has)| has.then_some(one)).collect();
    println!("thousand million multiply-adds a second, {threads} threads");
    for (name, bare, count) in &loops {
        let alone = || {
            pool.run(threads, &|_| {
                black_box(bare(black_box(&inputs)));
            });
        };
        let most = (threads * count) as f64 / best(&[&alone])[0] / 1e9;
        println!("{name}: {most:.0} at most");
    }
    let (outputs, columns) = (2816, 512);
    let mut random = Random::new(1);
    for (stored, _) in STORED {
        let weight = random.packed(stored, outputs, columns);
        print!("{stored:?}:");
        for rows in [1, 2, 4, 8, 16, 64] {
            let x = random.normal(rows * columns);
            let mut activations = Activations::default();
            activations.set(Rows::new(&x, columns), &pool);
            let out = RefCell::new(vec![0.0; rows * outputs]);
            let product = |way: Way| {
                let mut out = out.borrow_mut();
                let room = Out::new(&weight, &[], false, &mut out, 0, rows);
                for _ in 0..64 / rows {
                    multiply(way, &activations, &weight, &room, &pool);
                }
            };
            let ways: Vec<_> = ways().take(loops.len()).collect();
            let works: Vec<_> = ways.iter().map(|&way| move || product(way)).collect();
            let works: Vec<&dyn Fn()> = works.iter().map(|work| work as &dyn Fn()).collect();
            let count = 64 * outputs * columns;
            let reached = best(&works).into_iter();
            let reached = reached.map(|seconds| format!("{:.0}", count as f64 / seconds / 1e9));
            print!(
                " {rows} rows {},",
                reached.collect::<Vec<_>>().join(" and ")
            );
        }
        println!();
    }
}

fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
