//! What a pass takes from the processor: one piece of memory, copied to the GPU at once.
//!
//! Takes the parts of a pass and the angles of their rows, gives bytes, and views of them once they are on the device. All
//! that differs from one step to the next is in here.

use crate::{
    Part,
    kernels::cuda::{DrawRow, Listing, Plain, Row, Sequence, Tables, View, bytes_of},
    layer::Pass,
    positions::Turns,
};
use std::ops::Range;

/// What begins in the bytes begins at a multiple of this: the largest number that a kernel reads at once.
const ALIGNMENT: usize = 16;

/// Where the inputs of a pass lie among its bytes.
pub(super) struct Layout {
    ids: Range<usize>,
    positions: [Range<usize>; 2],
    asking: Range<usize>,
    angles: [Range<usize>; 2],
    kept: Range<usize>,
    draws: Range<usize>,
    all: (Listing, Range<usize>),
    last: (Listing, Range<usize>),
}

/// The inputs of a pass on the device.
pub(super) struct Inputs<'a> {
    /// The tokens of all rows.
    pub(super) ids: View<'a>,
    /// Their two positions.
    pub(super) positions: [View<'a>; 2],
    /// The first positions of the rows that come out of the last layer.
    pub(super) asking: View<'a>,
    /// Cosines and sines of all rows, where queries and keys are turned.
    pub(super) angles: [View<'a>; 2],
    /// The numbers of the rows that come out of the last layer.
    pub(super) kept: View<'a>,
    /// How a token is chosen from each of these, if any is.
    pub(super) draws: View<'a>,
    /// All rows.
    pub(super) all: Tables<'a>,
    /// The rows that come out of the last layer.
    pub(super) last: Tables<'a>,
}

impl Layout {
    /// Writes the inputs of these parts, whose caches are `sequences`, in the place of the bytes that there were.
    pub(super) fn new(
        pass: &Pass,
        parts: &[Part],
        sequences: &[Sequence],
        turns: &Turns,
        draws: &[DrawRow],
        bytes: &mut Vec<u8>,
    ) -> Layout {
        bytes.clear();
        let chunks = || parts.iter().map(|part| part.chunk);
        let positions = |row: usize| chunks().flat_map(move |chunk| chunk.positions[row]);
        let ids: Vec<u32> = chunks().flat_map(|chunk| chunk.ids).copied().collect();
        let positions: [Vec<u32>; 2] = [0, 1].map(|row| positions(row).copied().collect());
        // A pass has fewer rows than a `u32` counts.
        let kept = pass.runs(pass.last);
        let kept = kept.flat_map(|run| run.from..run.from + run.count);
        let kept: Vec<u32> = kept.map(|row| row as u32).collect();
        let asking: Vec<u32> = kept.iter().map(|&row| positions[0][row as usize]).collect();
        let [all, last] = listings(pass, sequences);
        Layout {
            ids: put(bytes, &ids),
            positions: positions.each_ref().map(|row| put(bytes, row)),
            asking: put(bytes, &asking),
            angles: [&turns.cosines, &turns.sines].map(|angles| put(bytes, angles)),
            kept: put(bytes, &kept),
            draws: put(bytes, draws),
            all: placed(bytes, all),
            last: placed(bytes, last),
        }
    }

    /// The inputs in this memory, where the bytes are.
    pub(super) fn at<'a>(&self, memory: View<'a>) -> Inputs<'a> {
        let view = |range: &Range<usize>| memory.slice(range.start, range.len());
        let tables = |(listing, range): &(Listing, Range<usize>)| listing.at(view(range));
        Inputs {
            ids: view(&self.ids),
            positions: self.positions.each_ref().map(view),
            asking: view(&self.asking),
            angles: self.angles.each_ref().map(view),
            kept: view(&self.kept),
            draws: view(&self.draws),
            all: tables(&self.all),
            last: tables(&self.last),
        }
    }
}

/// Puts numbers behind the others; gives where they are.
fn put<T: Plain>(bytes: &mut Vec<u8>, numbers: &[T]) -> Range<usize> {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    let first = bytes.len();
    bytes.extend_from_slice(bytes_of(numbers));
    first..bytes.len()
}

fn placed(bytes: &mut Vec<u8>, listing: Listing) -> (Listing, Range<usize>) {
    let range = put(bytes, listing.bytes());
    (listing, range)
}

/// The tables of all rows, and of those that come out of the last layer.
fn listings(pass: &Pass, sequences: &[Sequence]) -> [Listing; 2] {
    let rows = |part: usize, from: usize| {
        let mask = pass.spans[part].mask;
        // A sequence that is cached has fewer tokens than a `u32` counts.
        (from..mask.new_tokens()).map(move |row| {
            let (place, visible) = (mask.past() + row, mask.visible(row));
            Row::new(part as u32, place as u32, visible as u32)
        })
    };
    let all = (0..sequences.len()).flat_map(|part| rows(part, 0));
    let runs = pass.runs(pass.last);
    let last = runs.flat_map(|run| rows(run.part, run.skipped));
    [all.collect::<Vec<_>>(), last.collect()].map(|rows| Listing::new(sequences, &rows))
}
