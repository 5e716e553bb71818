//! Rows of f32 times a packed matrix: where a model spends its time.
//!
//! Takes [`Activations`] and a [`PackedMatrix`], gives f32. The sum of products within a block (of half a block, for
//! Q6_K) is an exact integer. Times the scale of the weights, less what is taken from all of them times the sum of the
//! inputs, that is what the block comes to in units of its activations. The blocks are added in the order of the inputs.
//! That order is the same for one row and for many, for each share of the work and for
//! the plain and the fast version, and so is each result, to the last bit.
//!
//! Few rows meet the weights as they lie in memory, brought to bytes in registers, all rows at once. Many rows go
//! through in chunks that stay in the second-level cache: some inputs of a panel at a time are brought to bytes in the
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
    packed::{ACROSS, BLOCK, PANEL, PackedMatrix, Packing, QUAD, WIDE},
};

/// Rows of activations that chunks are made of.
const TILE: usize = 8;
/// Bytes of integers that a chunk of rows may have, to stay in the second-level cache beside what comes by.
const CHUNK: usize = 192 << 10;
/// Most rows of a chunk: their sums are on the stack.
const MOST_ROWS: usize = 15 * TILE;
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

/// out(t, first + n) ← out(t, first + n) + Σ x(t, k) · weight(n, k), for what was left of activations.
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
    let fitting = CHUNK / (x.blocks().max(1) * BLOCK) / TILE * TILE;
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
    let plain: Way = |product, part| product.run_widened(part, sum);
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
        let neon: Way = |product, part| product.run_widened(part, neon::sum);
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
    /// A row at a time by a widened block; `sum` is [`sum`] or as good.
    fn run_widened(&self, part: &Part, sum: impl Sum) {
        match self.weight.packing() {
            Packing::Q8_0 => self.widened(Packing::Q8_0, part, sum),
            Packing::Q4_0 => self.widened(Packing::Q4_0, part, sum),
            Packing::Q4K => self.widened(Packing::Q4K, part, sum),
            Packing::Q5K => self.widened(Packing::Q5K, part, sum),
            Packing::Q6K => self.widened(Packing::Q6K, part, sum),
            Packing::Int8 => self.widened(Packing::Int8, part, sum),
            Packing::Int4 => self.widened(Packing::Int4, part, sum),
        }
    }

    /// Inlined for each packing, so that each is a loop of its own.
    #[inline(always)]
    fn widened(&self, packing: Packing, part: &Part, sum: impl Sum) {
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
                        let x = Inputs::new(self.x, part.first_row + row, first + index, packing);
                        block.add(&x, totals, &sum);
                    }
                }
            }
            for (row, totals) in totals.iter().enumerate().take(part.rows) {
                let row = part.first_row + row;
                // SAFETY: this row's outputs of this panel are this task's alone.
                unsafe { self.out.place(row, panel, totals) };
            }
        }
    }
}

/// The sums of the products of some inputs with their quads of weights, for 16 outputs.
trait Sum: Fn(&[i8], &[[i8; ACROSS]]) -> [i32; PANEL] {}

impl<F: Fn(&[i8], &[[i8; ACROSS]]) -> [i32; PANEL]> Sum for F {}

/// A block of a panel, widened.
struct Widened<'a> {
    packing: Packing,
    group: &'a [u8],
    /// Which block of the group it is.
    index: usize,
    wide: &'a [i8; WIDE],
}

/// A block of a row.
struct Inputs<'a> {
    numbers: &'a [i8],
    /// The sums of the inputs that share a scale.
    sums: &'a [f32],
    unit: f32,
}

impl Inputs<'_> {
    fn new(x: &Activations, row: usize, block: usize, packing: Packing) -> Inputs<'_> {
        let parts = BLOCK / packing.scaled();
        let sums = match parts {
            1 => x.sums(row),
            _ => x.halves(row),
        };
        Inputs {
            numbers: &x.numbers(row)[block * BLOCK..][..BLOCK],
            sums: &sums[block * parts..][..parts],
            unit: x.units(row)[block],
        }
    }
}

impl Widened<'_> {
    /// Adds to the totals what the block comes to.
    #[inline(always)]
    fn add(&self, x: &Inputs, totals: &mut [f32; PANEL], sum: impl Sum) {
        let (packing, scaled) = (self.packing, self.packing.scaled());
        let (quads, _) = self.wide.as_chunks::<ACROSS>();
        let first = self.index * (BLOCK / scaled);
        let parts = x.numbers.chunks_exact(scaled);
        let parts = parts.zip(quads.chunks_exact(scaled / QUAD)).zip(x.sums);
        for (at, ((numbers, quads), x_sum)) in (first..).zip(parts) {
            let sums = sum(numbers, quads);
            for (lane, (total, sum)) in totals.iter_mut().zip(sums).enumerate() {
                let scale = packing.scale(self.group, lane, at);
                let part = if packing.has_lows() {
                    (sum as f32).mul_add(scale, -(packing.low(self.group, lane, at) * x_sum))
                } else {
                    sum as f32 * scale
                };
                *total = part.mul_add(x.unit, *total);
            }
        }
    }
}

/// The plain version of what [`Sum`] says.
#[inline(always)]
fn sum(x: &[i8], quads: &[[i8; ACROSS]]) -> [i32; PANEL] {
    let mut sums = [0; PANEL];
    for (x, weights) in x.as_chunks::<QUAD>().0.iter().zip(quads) {
        for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<QUAD>().0) {
            let products = weights.iter().zip(x);
            *sum += products
                .map(|(w, x)| i32::from(*w) * i32::from(*x))
                .sum::<i32>();
        }
    }
    sums
}

/// Where the integers of `M` rows of activations lie: those of the first row, and how far the next is.
#[cfg(target_arch = "x86_64")]
struct RowPlaces<const M: usize> {
    blocks: usize,
    numbers: *const i8,
    units: *const f32,
    sums: *const f32,
    halves: *const f32,
    centres: *const i32,
}

#[cfg(target_arch = "x86_64")]
impl<const M: usize> RowPlaces<M> {
    /// # Panics
    /// If there are not so many rows.
    #[inline(always)]
    fn new(product: &Product, first: usize) -> RowPlaces<M> {
        let x = product.x;
        assert!(first + M <= x.count());
        RowPlaces {
            blocks: x.blocks(),
            numbers: x.numbers(first).as_ptr(),
            units: x.units(first).as_ptr(),
            sums: x.sums(first).as_ptr(),
            halves: x.halves(first).as_ptr(),
            centres: x.centres(first).as_ptr(),
        }
    }

    /// A quad of a row's inputs.
    ///
    /// # Safety
    /// The rows have such a quad.
    #[inline(always)]
    unsafe fn quad(&self, row: usize, quad: usize) -> i32 {
        // SAFETY: as the caller vouches.
        unsafe {
            let quads = self.numbers.add(row * self.blocks * BLOCK);
            quads.add(QUAD * quad).cast::<i32>().read_unaligned()
        }
    }

    /// What an integer of a row's block is worth.
    ///
    /// # Safety
    /// The rows have such a block.
    #[inline(always)]
    unsafe fn unit(&self, row: usize, at: usize) -> f32 {
        // SAFETY: as the caller vouches.
        unsafe { *self.units.add(row * self.blocks + at) }
    }

    /// The sum of a row's inputs that meet part `part` of a block `at` of weights, which has so many.
    ///
    /// # Safety
    /// The rows have such a block, and a block one or two parts.
    #[inline(always)]
    unsafe fn sum(&self, row: usize, at: usize, part: usize, parts: usize) -> f32 {
        let at = row * self.blocks + at;
        // SAFETY: as the caller vouches.
        unsafe {
            match parts {
                1 => *self.sums.add(at),
                _ => *self.halves.add(at * parts + part),
            }
        }
    }

    /// What the products of a row's block with stored bytes begin with.
    ///
    /// # Safety
    /// The rows have such a block.
    #[inline(always)]
    unsafe fn centre(&self, row: usize, at: usize) -> i32 {
        // SAFETY: as the caller vouches.
        unsafe { *self.centres.add(row * self.blocks + at) }
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
    unsafe fn place(&self, row: usize, panel: usize, totals: &[f32; PANEL]) {
        let first = panel * PANEL;
        let count = PANEL.min(self.outputs - first);
        // SAFETY: the row has numbers from `first` on, `count` of them, which the caller owns.
        let out = unsafe {
            std::slice::from_raw_parts_mut(self.numbers.add(row * self.stride + first), count)
        };
        let mut products = *totals;
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
mod tests;
