//! Rows of f32 times a packed matrix: where a model spends its time.
//!
//! Takes [`Activations`] and a [`PackedMatrix`], gives f32. The sum of products within a block (of half a block, for
//! Q6_K) is an exact integer; the blocks' sums, each times its scale, are added in the order of the inputs. That order
//! is the same for one row and for many, for each share of the work and for the plain and the fast version, and so is
//! each result, to the last bit.
//!
//! Few rows meet the weights as they lie in memory, widened to 16 bits in registers, all rows at once. Many rows go
//! through in chunks that stay in the second-level cache: some inputs of a panel at a time are widened into the
//! first-level cache, and all rows of the chunk are multiplied by them, a few rows by 16 outputs with their sums in
//! registers.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;

use super::{activations::Activations, pool::Pool};
use crate::kernels::{
    Unpack,
    packed::{BLOCK, PANEL, PackedMatrix, Packing, WIDE},
};

/// Rows of activations in a tile: with twelve registers of sums, two of weights and one of inputs.
const TILE: usize = 6;
/// Bytes of integers that a chunk of rows may have, to stay in the second-level cache beside what comes by.
const CHUNK: usize = 192 << 10;
/// Most rows of a chunk: their sums are on the stack.
const MOST_ROWS: usize = 20 * TILE;
/// Multiply-adds of a task at least: a few microseconds.
const SMALL: usize = 1 << 17;
/// Tasks a thread, so that a thread that is held up by other programs keeps the others waiting for little.
const TASKS: usize = 4;

/// out(t, first + n) ← Σ x(t, k) · weight(n, k) + bias(n). `out` has x.count() rows of weight.rows() numbers or more;
/// `bias` may be empty.
///
/// # Panics
/// If a size is wrong.
pub fn matmul_packed(
    x: &Activations,
    weight: &PackedMatrix,
    bias: &[f32],
    out: &mut [f32],
    first: usize,
    pool: &Pool,
) {
    multiply(
        best(),
        x,
        weight,
        &Out::new(weight, bias, false, out, first, x.count()),
        pool,
    );
}

/// out(t, first + n) ← out(t, first + n) + Σ x(t, k) · weight(n, k), for the rest of activations.
///
/// # Panics
/// If a size is wrong.
pub fn add_packed(
    x: &Activations,
    weight: &PackedMatrix,
    out: &mut [f32],
    first: usize,
    pool: &Pool,
) {
    multiply(
        best(),
        x,
        weight,
        &Out::new(weight, &[], true, out, first, x.count()),
        pool,
    );
}

fn multiply(way: Way, x: &Activations, weight: &PackedMatrix, out: &Out, pool: &Pool) {
    let (count, outputs, panels) = (x.count(), weight.rows(), weight.panel_count());
    if count == 0 || outputs == 0 {
        return;
    }
    assert_eq!(x.blocks(), weight.columns().div_ceil(BLOCK), "inputs");
    let fitting = CHUNK / (x.blocks().max(1) * 2 * BLOCK) / TILE * TILE;
    let chunks = count.div_ceil(fitting.clamp(TILE, MOST_ROWS));
    let rows = count.div_ceil(chunks).next_multiple_of(TILE);
    let work = count * outputs * weight.columns();
    let tasks = (work / SMALL).clamp(1, TASKS * pool.threads());
    let shares = tasks.div_ceil(chunks).min(panels);
    let share = panels.div_ceil(shares);
    let shares = panels.div_ceil(share);
    let product = Product { x, weight, out };
    pool.run(chunks * shares, &|task| {
        let (chunk, first) = (task % chunks, task / chunks * share);
        let part = Part {
            first_row: count.min(chunk * rows),
            rows: rows.min(count.saturating_sub(chunk * rows)),
            panels: first..panels.min(first + share),
        };
        way(&product, &part);
    });
}

/// A way to multiply some rows by some panels.
type Way = fn(&Product, &Part);

/// Some rows by some panels.
struct Part {
    first_row: usize,
    rows: usize,
    panels: std::ops::Range<usize>,
}

/// What all tasks share.
struct Product<'a> {
    x: &'a Activations,
    weight: &'a PackedMatrix,
    out: &'a Out<'a>,
}

/// All ways to multiply that this machine has, the fastest first. Each gives the same, to the last bit.
fn ways() -> impl Iterator<Item = Way> {
    let plain: Way = |product, part| product.run_widened(part, add);
    #[cfg(target_arch = "x86_64")]
    let fast = {
        // SAFETY: the machine has the instructions, as is seen before a way is given.
        let avx512: Way = |product, part| unsafe { avx512::run(product, part) };
        // SAFETY: the same.
        let avx2: Way = |product, part| unsafe { avx2::run(product, part) };
        [(super::has_avx512(), avx512), (super::has_avx2(), avx2)]
    };
    #[cfg(target_arch = "aarch64")]
    let fast = {
        let neon: Way = |product, part| product.run_widened(part, neon::add);
        [(true, neon)]
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let fast = [];
    let fast = fast.into_iter().filter(|(has, _)| *has);
    fast.map(|(_, way)| way).chain([plain])
}

/// The fastest way.
fn best() -> Way {
    ways().next().expect("the plain way is always there")
}

impl Product<'_> {
    /// A row at a time by a widened block; `add` is [`add`] or as good.
    fn run_widened(&self, part: &Part, add: impl Add) {
        match self.weight.packing() {
            Packing::Q8_0 => self.widened(Packing::Q8_0, part, add),
            Packing::Q4_0 => self.widened(Packing::Q4_0, part, add),
            Packing::Q4K => self.widened(Packing::Q4K, part, add),
            Packing::Q5K => self.widened(Packing::Q5K, part, add),
            Packing::Q6K => self.widened(Packing::Q6K, part, add),
            Packing::Int8 => self.widened(Packing::Int8, part, add),
            Packing::Int4 => self.widened(Packing::Int4, part, add),
        }
    }

    /// Inlined for each packing, so that each is a loop of its own.
    #[inline(always)]
    fn widened(&self, packing: Packing, part: &Part, add: impl Add) {
        let mut wide = [0; WIDE];
        for panel in part.panels.clone() {
            let mut totals = [[0.0; PANEL]; MOST_ROWS];
            let groups = self.weight.panel(panel).chunks_exact(packing.group());
            for (group, first) in groups.zip((0..).step_by(packing.inputs() / BLOCK)) {
                let blocks = group[packing.header()..].chunks_exact(packing.block());
                for (index, block) in blocks.enumerate().take(self.x.blocks() - first) {
                    packing.widen(block, &mut wide);
                    let block = Widened {
                        packing,
                        group,
                        index,
                        wide: &wide,
                    };
                    for (row, totals) in totals.iter_mut().enumerate().take(part.rows) {
                        let at = first + index;
                        let x = &self.x.numbers(part.first_row + row)[at * BLOCK..][..BLOCK];
                        add(&block, x, self.x.sums(part.first_row + row)[at], totals);
                    }
                }
            }
            for (row, totals) in totals.iter().enumerate().take(part.rows) {
                let row = part.first_row + row;
                // SAFETY: this row's outputs of this panel are this task's alone.
                unsafe { self.out.place(row, panel, self.x.unit(row), totals) };
            }
        }
    }
}

/// Adds the products of a widened block's 32 inputs, whose sum is the third argument, to the totals of 16 outputs.
trait Add: Fn(&Widened, &[i16], i32, &mut [f32; PANEL]) {}

impl<F: Fn(&Widened, &[i16], i32, &mut [f32; PANEL])> Add for F {}

/// A block of a panel, widened.
struct Widened<'a> {
    packing: Packing,
    group: &'a [u8],
    /// Which block of the group it is.
    index: usize,
    wide: &'a [i16; WIDE],
}

impl Widened<'_> {
    /// The scale of an output for a part of the block.
    #[inline(always)]
    fn scale(&self, lane: usize, part: usize) -> f32 {
        let at = self.index * (BLOCK / self.packing.scaled()) + part;
        self.packing.scale(self.group, lane, at)
    }

    /// Takes the outputs' minima, times the sum of the inputs, from the totals.
    #[inline(always)]
    fn take_minima(&self, sum: i32, totals: &mut [f32; PANEL]) {
        if self.packing.has_minima() {
            for (lane, total) in totals.iter_mut().enumerate() {
                let minimum = self.packing.minimum(self.group, lane, self.index);
                *total = (-minimum).mul_add(sum as f32, *total);
            }
        }
    }
}

/// The plain version of what [`Add`] says.
#[inline(always)]
fn add(block: &Widened, x: &[i16], sum: i32, totals: &mut [f32; PANEL]) {
    let scaled = block.packing.scaled();
    let (pairs, _) = block.wide.as_chunks::<{ 2 * PANEL }>();
    let parts = x.chunks_exact(scaled).zip(pairs.chunks_exact(scaled / 2));
    for (part, (x, pairs)) in parts.enumerate() {
        let mut sums = [0i32; PANEL];
        for (x, weights) in x.chunks_exact(2).zip(pairs) {
            for (sum, w) in sums.iter_mut().zip(weights.chunks_exact(2)) {
                *sum += i32::from(w[0]) * i32::from(x[0]) + i32::from(w[1]) * i32::from(x[1]);
            }
        }
        for (lane, (total, sum)) in totals.iter_mut().zip(sums).enumerate() {
            *total = (sum as f32).mul_add(block.scale(lane, part), *total);
        }
    }
    block.take_minima(sum, totals);
}

/// Where the integers of `M` rows of activations lie.
#[cfg(target_arch = "x86_64")]
struct RowPlaces<const M: usize> {
    numbers: [*const i16; M],
    halves: [*const i32; M],
    sums: [*const i32; M],
}

#[cfg(target_arch = "x86_64")]
impl<const M: usize> RowPlaces<M> {
    /// # Panics
    /// If there are not so many rows.
    fn new(product: &Product, first: usize) -> RowPlaces<M> {
        assert!(first + M <= product.x.count());
        RowPlaces {
            numbers: std::array::from_fn(|row| product.x.numbers(first + row).as_ptr()),
            halves: std::array::from_fn(|row| product.x.halves(first + row).as_ptr()),
            sums: std::array::from_fn(|row| product.x.sums(first + row).as_ptr()),
        }
    }
}

/// Where the products go.
struct Out<'a> {
    /// The first output of the first row.
    numbers: *mut f32,
    stride: usize,
    outputs: usize,
    bias: &'a [f32],
    /// One an output, or none.
    scales: &'a [f32],
    /// Whether the products are added to what is there.
    adds: bool,
}

// SAFETY: tasks write to different numbers, as `matmul_packed` shares them out.
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    /// Room in `out` for the products of `count` rows: those of a row begin with its number `first`.
    ///
    /// # Panics
    /// If a size is wrong.
    fn new(
        weight: &'a PackedMatrix,
        bias: &'a [f32],
        adds: bool,
        out: &'a mut [f32],
        first: usize,
        count: usize,
    ) -> Out<'a> {
        let outputs = weight.rows();
        let (size, stride) = (out.len(), out.len() / count.max(1));
        assert!(
            size == count * stride && (count == 0 || first + outputs <= stride),
            "room for all outputs"
        );
        assert!(bias.is_empty() || bias.len() == outputs, "a bias an output");
        Out {
            numbers: out[first.min(size)..].as_mut_ptr(),
            stride,
            outputs,
            bias,
            scales: weight.scales(),
            adds,
        }
    }

    /// Writes a panel's 16 outputs of one row, leaving out those that only fill up the last panel.
    ///
    /// # Safety
    /// There is such a row, and nobody else writes to its numbers of this panel.
    #[inline(always)]
    unsafe fn place(&self, row: usize, panel: usize, unit: f32, totals: &[f32; PANEL]) {
        let first = panel * PANEL;
        let count = PANEL.min(self.outputs - first);
        // SAFETY: the row has numbers from `first` on, `count` of them, which the caller owns.
        let out = unsafe {
            std::slice::from_raw_parts_mut(self.numbers.add(row * self.stride + first), count)
        };
        let mut products = totals.map(|total| total * unit);
        if !self.scales.is_empty() {
            for (product, scale) in products.iter_mut().zip(&self.scales[first..]) {
                *product *= scale;
            }
        }
        if self.adds {
            for (out, product) in out.iter_mut().zip(products) {
                *out += product;
            }
        } else if let Ok(out) = <&mut [f32; PANEL]>::try_from(&mut *out) {
            // One store, where the length is known.
            *out = products;
        } else {
            out.copy_from_slice(&products[..count]);
        }
        if !self.bias.is_empty() {
            for (out, bias) in out.iter_mut().zip(&self.bias[first..]) {
                *out += bias;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::Random,
        kernels::{Rows, packed::tests::STORED, reference},
    };
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

    fn product_by(
        way: Way,
        x: &[f32],
        weight: &PackedMatrix,
        bias: &[f32],
        pool: &Pool,
    ) -> Vec<f32> {
        let rows = Rows::new(x, weight.columns());
        let mut activations = Activations::default();
        activations.set(rows, pool);
        let mut out = vec![f32::NAN; rows.count() * weight.rows()];
        let room = Out::new(weight, bias, false, &mut out, 0, rows.count());
        multiply(way, &activations, weight, &room, pool);
        out
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
                let x = random.normal(count * inputs);
                for bias in [vec![], random.normal(outputs)] {
                    let want = reference::matmul(Rows::new(&x, inputs), &weight, &bias);
                    let got = product(&x, &weight, &bias, 2);
                    reference::assert_close(&got, &want, 2e-4);
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
}
