//! Quantized blocks as files have them.
//!
//! Takes the bytes of one block, gives its stored numbers and scales in the order of the inputs, and puts them into
//! their places of a panel. The layouts are those of ggml's `ggml-common.h`; the makers' integers are described in
//! GLM-130B's quantization scripts.

use super::{BLOCK, PANEL, Packing};

/// A type that files store and that can be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// An f16 scale and 32 bytes.
    Q8_0,
    /// An f16 scale, 32 upper bits and 32 nibbles.
    Q5_0,
    /// An f16 scale and 32 nibbles.
    Q4_0,
    /// 256 upper bits, 256 times two lower bits, 16 scales of 6 bits and an f16 factor.
    Q3K,
    /// Two f16 factors, eight scales and eight minima of 6 bits, 256 nibbles.
    Q4K,
    /// The same with 256 upper bits before the nibbles.
    Q5K,
    /// 256 nibbles, 256 times two upper bits, 16 scales of 8 bits and an f16 factor.
    Q6K,
    /// Signed bytes; their scales are elsewhere.
    Int8,
    /// Two signed nibbles a byte, the even column in the high one; their scales are elsewhere.
    Int4,
}

/// The integers of the makers' own quantization, with one scale a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaledKind {
    /// One byte each.
    Int8,
    /// Two to a byte.
    Int4,
}

impl From<ScaledKind> for Stored {
    fn from(kind: ScaledKind) -> Stored {
        match kind {
            ScaledKind::Int8 => Stored::Int8,
            ScaledKind::Int4 => Stored::Int4,
        }
    }
}

impl Stored {
    /// How the type is packed.
    pub fn packing(self) -> Packing {
        match self {
            Stored::Q8_0 | Stored::Q5_0 => Packing::Q8_0,
            Stored::Q4_0 => Packing::Q4_0,
            Stored::Q4K => Packing::Q4K,
            Stored::Q5K => Packing::Q5K,
            Stored::Q3K | Stored::Q6K => Packing::Q6K,
            Stored::Int8 => Packing::Int8,
            Stored::Int4 => Packing::Int4,
        }
    }

    /// Bytes of a block.
    pub(crate) fn block_bytes(self) -> usize {
        match self {
            Stored::Q8_0 => 34,
            Stored::Q5_0 => 22,
            Stored::Q4_0 => 18,
            Stored::Q3K => 110,
            Stored::Q4K => 144,
            Stored::Q5K => 176,
            Stored::Q6K => 210,
            Stored::Int8 => BLOCK,
            Stored::Int4 => BLOCK / 2,
        }
    }

    /// Bytes of a row: whole blocks, but for the integers.
    pub(crate) fn row_bytes(self, columns: usize) -> usize {
        match self {
            Stored::Int8 => columns,
            Stored::Int4 => columns / 2,
            _ => columns / self.packing().inputs() * self.block_bytes(),
        }
    }

    /// Where a block has its f16 factors.
    #[cfg(any(test, feature = "fixture"))]
    pub(crate) fn factors(self) -> &'static [usize] {
        match self {
            Stored::Q8_0 | Stored::Q5_0 | Stored::Q4_0 => &[0],
            Stored::Q4K | Stored::Q5K => &[0, 2],
            Stored::Q3K => &[108],
            Stored::Q6K => &[208],
            Stored::Int8 | Stored::Int4 => &[],
        }
    }
}

/// What one block says, input by input.
pub(super) struct Block {
    /// f16 factors of the scales and of the minima.
    factors: [[u8; 2]; 2],
    scales: [u8; 16],
    minima: [u8; 8],
    codes: [u8; 256],
    /// Inputs that are there.
    count: usize,
}

impl Default for Block {
    fn default() -> Block {
        Block {
            factors: [[0; 2]; 2],
            scales: [0; 16],
            minima: [0; 8],
            codes: [0; 256],
            count: 0,
        }
    }
}

impl Block {
    /// Reads a block; of the makers' integers, the last of a row may be short.
    pub(super) fn read(&mut self, stored: Stored, bytes: &[u8]) {
        self.count = stored.packing().inputs();
        match stored {
            Stored::Q8_0 => {
                self.factors[0] = [bytes[0], bytes[1]];
                unsign(&bytes[2..], &mut self.codes);
            }
            Stored::Q4_0 => {
                self.factors[0] = [bytes[0], bytes[1]];
                split(&bytes[2..], &mut self.codes[..32]);
            }
            Stored::Q5_0 => {
                self.factors[0] = [bytes[0], bytes[1]];
                split(&bytes[6..], &mut self.codes[..32]);
                for (input, code) in self.codes[..32].iter_mut().enumerate() {
                    let upper = bytes[2 + input / 8] >> (input % 8) & 1;
                    *code = (*code | upper << 4) + (128 - 16);
                }
            }
            Stored::Q4K | Stored::Q5K => {
                self.factors = [[bytes[0], bytes[1]], [bytes[2], bytes[3]]];
                self.scales_and_minima(&bytes[4..16]);
                let nibbles = &bytes[stored.block_bytes() - 128..];
                for (codes, nibbles) in self.codes.chunks_exact_mut(64).zip(nibbles.chunks(32)) {
                    split(nibbles, codes);
                }
                if stored == Stored::Q5K {
                    for (block, codes) in self.codes.chunks_exact_mut(32).enumerate() {
                        for (code, upper) in codes.iter_mut().zip(&bytes[16..48]) {
                            *code |= (upper >> block & 1) << 4;
                        }
                    }
                }
            }
            Stored::Q6K => {
                self.factors[0] = [bytes[208], bytes[209]];
                self.scales.copy_from_slice(&bytes[192..208]);
                let halves = self.codes.chunks_exact_mut(128);
                let lower = bytes[..128].chunks_exact(64);
                let upper = bytes[128..192].chunks_exact(32);
                for (codes, (lower, upper)) in halves.zip(lower.zip(upper)) {
                    split(lower, codes);
                    for (i, code) in codes.iter_mut().enumerate() {
                        *code |= (upper[i % 32] >> (2 * (i / 32)) & 3) << 4;
                    }
                }
            }
            Stored::Q3K => self.read_q3k(bytes),
            Stored::Int8 => {
                self.count = bytes.len();
                unsign(bytes, &mut self.codes);
            }
            Stored::Int4 => {
                self.count = 2 * bytes.len();
                for (codes, byte) in self.codes.chunks_exact_mut(2).zip(bytes) {
                    // A signed nibble with its sign turned is the number plus 8.
                    codes[0] = byte >> 4 ^ 8;
                    codes[1] = byte & 0x0f ^ 8;
                }
            }
        }
    }

    /// Eight scales and eight minima of 6 bits in 12 bytes: the first four of each in the low bits of the first eight
    /// bytes, the low nibbles of the others in the last four, their upper bits above the first.
    fn scales_and_minima(&mut self, bytes: &[u8]) {
        for i in 0..4 {
            self.scales[i] = bytes[i] & 63;
            self.minima[i] = bytes[4 + i] & 63;
            self.scales[4 + i] = bytes[8 + i] & 0x0f | bytes[i] >> 6 << 4;
            self.minima[4 + i] = bytes[8 + i] >> 4 | bytes[4 + i] >> 6 << 4;
        }
    }

    /// Three bits, from -4 to 3, held as six: the weights and scales are the same numbers.
    fn read_q3k(&mut self, bytes: &[u8]) {
        let (upper, lower, scales) = (&bytes[..32], &bytes[32..96], &bytes[96..108]);
        self.factors[0] = [bytes[108], bytes[109]];
        for (i, code) in self.codes.iter_mut().enumerate() {
            let (half, part, at) = (i / 128, i % 128 / 32, i % 32);
            let low = lower[32 * half + at] >> (2 * part) & 3;
            let high = upper[at] >> (4 * half + part) & 1;
            *code = (low | high << 2) + 28;
        }
        // The low nibbles of scales 0 to 7 are those of the first eight bytes, of 8 to 15 their high nibbles; the
        // upper two bits of scale i are bits 2 × (i / 4) of byte 8 + i % 4.
        for (i, scale) in self.scales.iter_mut().enumerate() {
            let low = scales[i % 8] >> (4 * (i / 8)) & 0x0f;
            let high = scales[8 + i % 4] >> (2 * (i / 4)) & 3;
            *scale = (low | high << 4).wrapping_sub(32);
        }
    }

    /// Puts the block into its group of a panel of zeros.
    pub(super) fn place(&self, packing: Packing, group: &mut [u8], lane: usize) {
        let (header, blocks) = group.split_at_mut(packing.header());
        match packing {
            Packing::Q8_0 | Packing::Q4_0 => {
                header[2 * lane..][..2].copy_from_slice(&self.factors[0]);
            }
            Packing::Q4K | Packing::Q5K => {
                header[2 * lane..][..2].copy_from_slice(&self.factors[0]);
                header[2 * PANEL + 2 * lane..][..2].copy_from_slice(&self.factors[1]);
                let parts = header[4 * PANEL..].chunks_exact_mut(2 * PANEL);
                for (part, (scale, minimum)) in parts.zip(self.scales.iter().zip(&self.minima)) {
                    part[lane] = *scale;
                    part[PANEL + lane] = *minimum;
                }
            }
            Packing::Q6K => {
                header[2 * lane..][..2].copy_from_slice(&self.factors[0]);
                let parts = header[2 * PANEL..].chunks_exact_mut(PANEL);
                for (part, scale) in parts.zip(&self.scales) {
                    part[lane] = *scale;
                }
            }
            Packing::Int8 | Packing::Int4 => {}
        }
        let blocks = blocks.chunks_exact_mut(packing.block());
        for (block, codes) in blocks.zip(self.codes[..self.count].chunks(BLOCK)) {
            for (input, &code) in codes.iter().enumerate() {
                packing.place(block, lane, input, code);
            }
        }
    }
}

/// Signed bytes, plus 128.
fn unsign(bytes: &[u8], codes: &mut [u8]) {
    for (code, byte) in codes.iter_mut().zip(bytes) {
        *code = byte ^ 0x80;
    }
}

/// The low nibbles, then the high ones.
fn split(bytes: &[u8], codes: &mut [u8]) {
    let (low, high) = codes.split_at_mut(bytes.len());
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        *low = byte & 0x0f;
        *high = byte >> 4;
    }
}
