//! Matrices of few-bit integers, packed for the kernels: Q8_0, Q4_0, Q4_K, Q5_K and Q6_K as GGUF files have them, and
//! the makers' own integers with a scale a row.
//!
//! Takes the rows of blocks of a file, gives the same weights in panels. In a file the weights of one output lie
//! together. Here 16 outputs lie side by side, a *quad* of inputs at a time, so that one load brings the same four
//! inputs' weights for 16 outputs, and the sums of 16 outputs never have to be added across a register. A panel is
//! a run of *groups* (as many inputs as a block of the file), a group is a header of scales and then *blocks* of 32
//! inputs, a block is eight quads. What is stored is a number without a sign, from which the type's offset is to be
//! taken:
//!
//! - 8 bits: 64 bytes a quad, (output, input of the quad).
//! - 4 to 6 bits: 64 bytes of the same order for two quads, the first in the lower nibbles and the second in the upper
//!   ones. The upper one or two bits follow in planes of their own, 64 bytes for eight or four quads, the first quad in
//!   the lowest bits.
//!
//! | type | bits of a weight in the file | here | a weight is |
//! |---|---|---|---|
//! | Q8_0 | 8.5 | 8.5 | d · (q − 128) |
//! | Q4_0 | 4.5 | 4.5 | d · (q − 8) |
//! | Q4_K | 4.5 | 4.625 | d · s · q − dmin · m, s and m in a byte each rather than in 6 bits |
//! | Q5_K | 5.5 | 5.625 | the same |
//! | Q6_K | 6.5625 | 6.5625 | d · s · (q − 32), a scale s for each 16 inputs |
//! | int8, int4 | 8, 4 | 8, 4 | q − 128 or q − 8, with an f32 scale an output |
//!
//! Q5_0 is held as Q8_0 and Q3_K as Q6_K, both without loss. The last panel is filled up, and so is the last block of a
//! row of int8 or int4 that is no multiple of 32, with numbers that nobody reads or that meet inputs of zero.

mod file;

use super::Unpack;
use half::f16;
use std::ops::Range;

/// Outputs in a panel.
pub(crate) const PANEL: usize = 16;
/// Inputs in a block.
pub(crate) const BLOCK: usize = 32;
/// Inputs in a quad.
pub(crate) const QUAD: usize = 4;
/// Weights of one quad of a panel.
pub(crate) const ACROSS: usize = PANEL * QUAD;
/// Weights of one block of a panel.
pub(crate) const WIDE: usize = PANEL * BLOCK;

/// How the weights of a matrix are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Bytes with an f16 scale for 32.
    Q8_0,
    /// Nibbles with an f16 scale for 32.
    Q4_0,
    /// Nibbles with a scale and a minimum for 32, f16 factors of both for 256.
    Q4K,
    /// The same with five bits.
    Q5K,
    /// Six bits with a scale for 16, an f16 factor for 256.
    Q6K,
    /// Bytes with a scale an output.
    Int8,
    /// Nibbles with a scale an output.
    Int4,
}

impl Packing {
    /// Inputs of a group.
    pub(crate) const fn inputs(self) -> usize {
        match self {
            Packing::Q4K | Packing::Q5K | Packing::Q6K => 256,
            _ => BLOCK,
        }
    }

    /// Bytes before the blocks of a group: for Q8_0 and Q4_0 16 scales; for Q4_K and Q5_K 16 factors of scales, 16 of
    /// minima, then for each block 16 scales and 16 minima; for Q6_K 16 factors, then for each half block 16 scales.
    pub(crate) const fn header(self) -> usize {
        match self {
            Packing::Q8_0 | Packing::Q4_0 => 2 * PANEL,
            Packing::Q4K | Packing::Q5K => 4 * PANEL + 8 * 2 * PANEL,
            Packing::Q6K => 2 * PANEL + 16 * PANEL,
            Packing::Int8 | Packing::Int4 => 0,
        }
    }

    /// Bits that lie in the upper plane.
    pub(crate) const fn upper_bits(self) -> usize {
        match self {
            Packing::Q5K => 1,
            Packing::Q6K => 2,
            _ => 0,
        }
    }

    /// Whether a weight is a byte, not nibbles and upper bits.
    pub(crate) const fn is_bytes(self) -> bool {
        matches!(self, Packing::Q8_0 | Packing::Int8)
    }

    /// Bytes of a block.
    pub(crate) const fn block(self) -> usize {
        if self.is_bytes() {
            WIDE
        } else {
            WIDE / 2 + WIDE / 8 * self.upper_bits()
        }
    }

    /// Bytes of a group.
    pub(crate) const fn group(self) -> usize {
        self.header() + self.inputs() / BLOCK * self.block()
    }

    /// What is taken from a stored byte to get its sign back.
    pub(crate) const fn centre(self) -> u8 {
        if self.is_bytes() { 128 } else { 0 }
    }

    /// What else is taken from the stored number to get the weight in units of its scale.
    pub(crate) const fn offset(self) -> i32 {
        match self {
            Packing::Q4_0 | Packing::Int4 => 8,
            Packing::Q6K => 32,
            _ => 0,
        }
    }

    /// Inputs that share a scale.
    pub(crate) const fn scaled(self) -> usize {
        match self {
            Packing::Q6K => 16,
            _ => BLOCK,
        }
    }

    /// Whether a minimum is taken from each weight.
    const fn has_minima(self) -> bool {
        matches!(self, Packing::Q4K | Packing::Q5K)
    }

    /// Whether something is taken from each weight: a minimum, or an offset times the scale.
    pub(crate) const fn has_lows(self) -> bool {
        self.has_minima() || self.offset() != 0
    }

    /// Whether activations are to be multiplied with as they are, not rounded to 8 bits: that is how the makers run
    /// their own integers, and costs two more products with what was rounded off. Who chose blocks of a GGUF file has
    /// chosen this rounding of activations in every other program too.
    pub(crate) const fn is_fine(self) -> bool {
        matches!(self, Packing::Int8 | Packing::Int4)
    }

    /// The weight of one output of a block, in units of its scale.
    #[inline(always)]
    fn code(self, block: &[u8], lane: usize, input: usize) -> i32 {
        let (quad, at) = (input / QUAD, QUAD * lane + input % QUAD);
        if self.is_bytes() {
            return i32::from(block[ACROSS * quad + at]) - i32::from(self.centre());
        }
        let mut code = field(block, 4, quad, at);
        let bits = self.upper_bits();
        if bits > 0 {
            code |= field(&block[WIDE / 2..], bits, quad, at) << 4;
        }
        i32::from(code) - self.offset()
    }

    /// Puts a stored number into a block of zeros.
    #[inline(always)]
    fn place(self, block: &mut [u8], lane: usize, input: usize, code: u8) {
        let (quad, at) = (input / QUAD, QUAD * lane + input % QUAD);
        if self.is_bytes() {
            block[ACROSS * quad + at] = code;
            return;
        }
        let (byte, shift) = field_place(4, quad, at);
        block[byte] |= (code & 0x0f) << shift;
        let bits = self.upper_bits();
        if bits > 0 {
            let (byte, shift) = field_place(bits, quad, at);
            block[WIDE / 2 + byte] |= (code >> 4) << shift;
        }
    }

    /// The scale of one output for the inputs from `scaled` × `index` of a group on.
    #[inline(always)]
    pub(crate) fn scale(self, group: &[u8], lane: usize, index: usize) -> f32 {
        let factor = || f16::from_le_bytes([group[2 * lane], group[2 * lane + 1]]).to_f32();
        match self {
            Packing::Q8_0 | Packing::Q4_0 => factor(),
            Packing::Q4K | Packing::Q5K => {
                factor() * f32::from(group[4 * PANEL + 2 * PANEL * index + lane])
            }
            Packing::Q6K => factor() * f32::from(group[2 * PANEL + PANEL * index + lane] as i8),
            Packing::Int8 | Packing::Int4 => 1.0,
        }
    }

    /// What is taken from each weight of one output for the inputs from `scaled` × `index` of a group on.
    #[inline(always)]
    pub(crate) fn low(self, group: &[u8], lane: usize, index: usize) -> f32 {
        match self.offset() {
            0 => self.minimum(group, lane, index),
            offset => self.scale(group, lane, index) * offset as f32,
        }
    }

    /// The minimum of one output for block `index` of a group.
    #[inline(always)]
    fn minimum(self, group: &[u8], lane: usize, index: usize) -> f32 {
        if !self.has_minima() {
            return 0.0;
        }
        let factor = &group[2 * PANEL + 2 * lane..][..2];
        f16::from_le_bytes([factor[0], factor[1]]).to_f32()
            * f32::from(group[4 * PANEL + 2 * PANEL * index + PANEL + lane])
    }

    /// A block's stored numbers, bytes with their signs: (quad, output, input of the quad).
    #[inline(always)]
    pub(crate) fn widen(self, block: &[u8], wide: &mut [i8; WIDE]) {
        for (quad, wide) in wide.as_chunks_mut::<ACROSS>().0.iter_mut().enumerate() {
            for (at, wide) in wide.iter_mut().enumerate() {
                let mut code = match self.is_bytes() {
                    true => block[ACROSS * quad + at],
                    false => field(block, 4, quad, at),
                };
                match self.upper_bits() {
                    0 => {}
                    bits => code |= field(&block[WIDE / 2..], bits, quad, at) << 4,
                }
                *wide = code.wrapping_sub(self.centre()) as i8;
            }
        }
    }
}

/// Byte and lowest bit, in planes of fields of so many bits, of the number `at` of a quad.
#[inline(always)]
fn field_place(bits: usize, quad: usize, at: usize) -> (usize, usize) {
    let quads = 8 / bits;
    (ACROSS * (quad / quads) + at, bits * (quad % quads))
}

/// What lies there.
#[inline(always)]
fn field(planes: &[u8], bits: usize, quad: usize, at: usize) -> u8 {
    let (byte, shift) = field_place(bits, quad, at);
    planes[byte] >> shift & ((1 << bits) - 1)
}

/// A matrix (rows, columns) in panels of 16 outputs.
#[derive(Debug)]
pub struct PackedMatrix {
    packing: Packing,
    rows: usize,
    columns: usize,
    panels: Vec<u8>,
    /// One an output, of int8 and int4.
    scales: Vec<f32>,
}

impl PackedMatrix {
    /// Packs rows as a GGUF file has them.
    ///
    /// # Panics
    /// If there are not exactly the blocks of that many rows.
    pub fn pack(stored: Stored, blocks: &[u8], rows: usize, columns: usize) -> PackedMatrix {
        let panels = PackedMatrix::panels_of(stored, blocks, columns);
        PackedMatrix::of_panels(stored.packing(), panels, Vec::new(), rows, columns)
    }

    /// The panels of some rows, the first of them the first of a panel. The panels of all rows, one after the other,
    /// are the matrix's.
    pub(crate) fn panels_of(stored: Stored, blocks: &[u8], columns: usize) -> Vec<u8> {
        let packing = stored.packing();
        let row_bytes = stored.row_bytes(columns);
        let rows = blocks.len() / row_bytes.max(1);
        let groups = columns.div_ceil(packing.inputs());
        let size = packing.group();
        let mut panels = vec![0; PackedMatrix::size(packing, rows, columns)];
        let mut block = file::Block::default();
        for (row, bytes) in blocks.chunks_exact(row_bytes).enumerate() {
            let panel = &mut panels[row / PANEL * groups * size..][..groups * size];
            let groups = panel.chunks_exact_mut(size);
            for (group, bytes) in groups.zip(bytes.chunks(stored.block_bytes())) {
                block.read(stored, bytes);
                block.place(packing, group, row % PANEL);
            }
        }
        panels
    }

    /// The matrix of these panels, with a scale an output or none.
    ///
    /// # Panics
    /// If there are not exactly the panels of that many rows, or not a scale for each row of int8 or int4.
    pub(crate) fn of_panels(
        packing: Packing,
        panels: Vec<u8>,
        scales: Vec<f32>,
        rows: usize,
        columns: usize,
    ) -> PackedMatrix {
        let size = PackedMatrix::size(packing, rows, columns);
        assert_eq!(panels.len(), size, "all panels");
        let has_scales = matches!(packing, Packing::Int8 | Packing::Int4);
        assert_eq!(
            scales.len(),
            if has_scales { rows } else { 0 },
            "all scales"
        );
        PackedMatrix {
            packing,
            rows,
            columns,
            panels,
            scales,
        }
    }

    /// Some of the columns, which begin where a group does, and end where one does or with the last.
    ///
    /// # Panics
    /// If they do not.
    pub(crate) fn cut(&self, columns: Range<usize>) -> PackedMatrix {
        let (inputs, size) = (self.packing.inputs(), self.packing.group());
        let ends = columns.end.is_multiple_of(inputs) || columns.end == self.columns;
        assert!(columns.start.is_multiple_of(inputs) && ends, "whole groups");
        let groups = columns.start / inputs..columns.end.div_ceil(inputs);
        let panels = (0..self.panel_count()).flat_map(|panel| {
            let panel = &self.panel(panel)[groups.start * size..groups.end * size];
            panel.iter().copied()
        });
        PackedMatrix::of_panels(
            self.packing,
            panels.collect(),
            self.scales.clone(),
            self.rows,
            columns.len(),
        )
    }

    /// Bytes of the panels of that many rows.
    pub(crate) fn size(packing: Packing, rows: usize, columns: usize) -> usize {
        rows.div_ceil(PANEL) * columns.div_ceil(packing.inputs()) * packing.group()
    }

    /// How the weights are packed.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Bytes that the weights take.
    pub fn bytes(&self) -> usize {
        self.panels.len() + size_of_val(&self.scales[..])
    }

    /// Panels of 16 outputs, the last one partly of zeros.
    pub(crate) fn panel_count(&self) -> usize {
        self.rows.div_ceil(PANEL)
    }

    /// Groups of a panel.
    pub(crate) fn groups(&self) -> usize {
        self.columns.div_ceil(self.packing.inputs())
    }

    /// All panels, one after the other.
    pub(crate) fn panels(&self) -> &[u8] {
        &self.panels
    }

    /// One panel, group by group.
    pub(crate) fn panel(&self, panel: usize) -> &[u8] {
        let size = self.groups() * self.packing.group();
        &self.panels[panel * size..][..size]
    }

    /// The scales of all outputs; none if each is in the panels.
    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }
}

impl Unpack for PackedMatrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        let (packing, lane) = (self.packing, row % PANEL);
        let scale = self.scales.get(row).copied().unwrap_or(1.0);
        let groups = self.panel(row / PANEL).chunks_exact(packing.group());
        for (group, out) in groups.zip(out.chunks_mut(packing.inputs())) {
            let blocks = group[packing.header()..].chunks_exact(packing.block());
            for (index, (block, out)) in blocks.zip(out.chunks_mut(BLOCK)).enumerate() {
                let minimum = packing.minimum(group, lane, index);
                for (input, out) in out.iter_mut().enumerate() {
                    let at = (index * BLOCK + input) / packing.scaled();
                    let unit = scale * packing.scale(group, lane, at);
                    *out = unit * packing.code(block, lane, input) as f32 - minimum;
                }
            }
        }
    }
}

pub use file::{ScaledKind, Stored};

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::fixture::Random;
    use candle_core::quantized::GgmlDType;
    use std::borrow::Cow;

    /// Every stored type, with candle's name for it where it has one.
    pub(crate) const STORED: [(Stored, Option<GgmlDType>); 9] = [
        (Stored::Q8_0, Some(GgmlDType::Q8_0)),
        (Stored::Q5_0, Some(GgmlDType::Q5_0)),
        (Stored::Q4_0, Some(GgmlDType::Q4_0)),
        (Stored::Q3K, Some(GgmlDType::Q3K)),
        (Stored::Q4K, Some(GgmlDType::Q4K)),
        (Stored::Q5K, Some(GgmlDType::Q5K)),
        (Stored::Q6K, Some(GgmlDType::Q6K)),
        (Stored::Int8, None),
        (Stored::Int4, None),
    ];

    #[test]
    fn unpacking_gives_the_weights_of_the_file() {
        let mut random = Random::new(5);
        for (stored, kind) in STORED {
            let Some(kind) = kind else { continue };
            let (rows, columns) = (19, 512);
            let bytes = random.blocks(stored, rows, columns);
            let file = kind.from_data(Cow::Borrowed(&bytes));
            let want = file.dequantize(rows * columns).unwrap();
            let want = want.as_slice::<f32>().unwrap();
            let matrix = PackedMatrix::pack(stored, &bytes, rows, columns);
            let mut got = vec![f32::NAN; columns];
            for (row, want) in want.chunks_exact(columns).enumerate() {
                matrix.unpack_row(row, &mut got);
                assert_eq!(got, want, "{stored:?}, row {row}");
            }
        }
    }

    #[test]
    fn makers_integers_are_signed() {
        let bytes = [1, 0xff, 0x80, 127];
        let panels = PackedMatrix::panels_of(Stored::Int8, &bytes, 2);
        let bytes = PackedMatrix::of_panels(Packing::Int8, panels, vec![0.5, 2.0], 2, 2);
        let mut row = [f32::NAN; 2];
        bytes.unpack_row(0, &mut row);
        assert_eq!(row, [0.5, -0.5]);
        bytes.unpack_row(1, &mut row);
        assert_eq!(row, [-256.0, 254.0]);

        let panels = PackedMatrix::panels_of(Stored::Int4, &[0x1f, 0x87], 4);
        let nibbles = PackedMatrix::of_panels(Packing::Int4, panels, vec![0.5], 1, 4);
        let mut row = [f32::NAN; 4];
        nibbles.unpack_row(0, &mut row);
        assert_eq!(row, [0.5, -0.5, -4.0, 3.5]);
    }

    #[test]
    fn widened_blocks_are_the_weights() {
        let mut random = Random::new(6);
        for (stored, _) in STORED {
            let packing = stored.packing();
            let matrix = random.packed(stored, PANEL, 512);
            let group = &matrix.panel(0)[..packing.group()];
            let block = &group[packing.header()..][..packing.block()];
            let mut wide = [i8::MAX; WIDE];
            packing.widen(block, &mut wide);
            for (at, &got) in wide.iter().enumerate() {
                let (quad, lane, input) = (at / ACROSS, at / QUAD % PANEL, at % QUAD);
                let want = packing.code(block, lane, QUAD * quad + input) + packing.offset();
                assert_eq!(i32::from(got), want, "{stored:?}, number {at}");
            }
        }
    }
}
