//! Part A and the pieces of Part B as one sequence with GLM's two-dimensional positions.
//!
//! The one place that knows how positions run; prompts and training examples are both made of it.

use vocab::Special;

/// The input of a model: ids, and for each id its place in both rows.
pub(crate) struct Sequence {
    pub ids: Vec<u32>,
    pub positions: [Vec<u32>; 2],
    /// Length of Part A in tokens.
    pub part_a: usize,
}

impl Sequence {
    /// A sequence of Part A alone: its tokens count up in row 0 and are 0 in row 1.
    pub fn new(part_a: Vec<u32>) -> Sequence {
        let rows = [(0u32..).take(part_a.len()).collect(), vec![0; part_a.len()]];
        Sequence {
            part_a: part_a.len(),
            ids: part_a,
            positions: rows,
        }
    }

    /// Appends a piece of Part B, `sop` and `tokens`: all have the place of their mask in row 0
    /// and count from 1 in row 1.
    pub fn open(&mut self, mask_at: usize, tokens: &[u32], special: &Special) {
        let row_0 = self.positions[0][mask_at];
        let len = tokens.len() + 1;
        self.ids.push(special.sop);
        self.ids.extend(tokens);
        self.positions[0].extend(std::iter::repeat_n(row_0, len));
        self.positions[1].extend((1u32..).take(len));
    }
}
