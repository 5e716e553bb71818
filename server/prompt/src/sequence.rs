//! A model's input: ids with two positions each, and how they go on.
//!
//! The one place that knows how positions run; prompts, chats and training examples are made of it.

/// How the two positions of a generated token follow from those of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// Row 0 counts on, row 1 stays: text that goes on where it is.
    Place,
    /// Row 0 stays, row 1 counts on: an answer at the place of its blank (GLM, ChatGLM-6B).
    Span,
    /// Both rows stay: an answer at the place of its blank, in a model with one row (GLM-130B).
    Still,
}

impl Advance {
    /// The positions of the token that comes `count` tokens after one at `last`.
    pub(crate) fn after(self, [row_0, row_1]: [u32; 2], count: u32) -> [u32; 2] {
        match self {
            Advance::Place => [row_0 + count, row_1],
            Advance::Span => [row_0, row_1 + count],
            Advance::Still => [row_0, row_1],
        }
    }
}

/// What a model reads before it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Two positions an id. A model with one row ignores the second.
    pub positions: [Vec<u32>; 2],
    /// How many ids at the start see one another; 0 if each sees only those before it.
    pub part_a: usize,
    /// Index of the mask token that the answer is for, in templates that have one.
    pub mask_at: Option<usize>,
    /// How positions go on.
    pub advance: Advance,
    /// Tokens that end the answer.
    pub stops: Vec<u32>,
}

impl Input {
    /// Text that is read from its start to its end and goes on.
    pub(crate) fn causal(ids: Vec<u32>, stops: Vec<u32>) -> Input {
        let Sequence { ids, positions, .. } = Sequence::new(ids);
        Input {
            ids,
            positions,
            part_a: 0,
            mask_at: None,
            advance: Advance::Place,
            stops,
        }
    }

    /// Part A, read as a whole, and the `sop` of the answer for the blank at `mask_at`.
    pub(crate) fn blank(part_a: Vec<u32>, mask_at: usize, sop: u32, stops: Vec<u32>) -> Input {
        let mut sequence = Sequence::new(part_a);
        sequence.open(mask_at, &[], sop);
        Input {
            ids: sequence.ids,
            positions: sequence.positions,
            part_a: sequence.part_a,
            mask_at: Some(mask_at),
            advance: Advance::Span,
            stops,
        }
    }

    /// How many ids come before the answer and its `sop`.
    pub(crate) fn question(&self) -> usize {
        match self.part_a {
            0 => self.ids.len(),
            part_a => part_a,
        }
    }
}

/// Part A and the pieces of Part B with GLM's two-dimensional positions.
pub(crate) struct Sequence {
    pub ids: Vec<u32>,
    /// Row 0: the place in Part A, or for Part B the place of its mask. Row 1: 0 in Part A, then
    /// 1, 2, … in each piece of Part B.
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
    pub fn open(&mut self, mask_at: usize, tokens: &[u32], sop: u32) {
        let row_0 = self.positions[0][mask_at];
        let len = tokens.len() + 1;
        self.ids.push(sop);
        self.ids.extend(tokens);
        self.positions[0].extend(std::iter::repeat_n(row_0, len));
        self.positions[1].extend((1u32..).take(len));
    }
}
