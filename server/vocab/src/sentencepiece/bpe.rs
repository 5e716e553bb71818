//! Sentencepiece's BPE: neighbours join while together they are a piece, those of the best score
//! first.
//!
//! After `SampleEncode` in sentencepiece's `bpe_model.cc`, without the sampling.

use std::collections::HashMap;
use std::ops::Range;

use super::file::{Kind, Piece};
use super::prefixes::Prefixes;
use crate::merge::{Symbol, merge};

/// What merging knows.
pub(crate) struct Bpe {
    pieces: HashMap<Box<str>, Entry>,
    unknown: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    id: u32,
    priority: u32,
    /// It joins to longer pieces, but falls apart again where it is left over.
    is_unused: bool,
}

impl Bpe {
    /// From all pieces, and those among them that text can become.
    pub(crate) fn new(pieces: &[Piece], plain: &[(&str, u32)], unknown: u32) -> Bpe {
        let entry = |&(text, id): &(&str, u32)| {
            let piece = &pieces[id as usize];
            let entry = Entry {
                id,
                priority: priority(piece.score),
                is_unused: piece.kind == Kind::Unused,
            };
            (text.into(), entry)
        };
        Bpe {
            pieces: plain.iter().map(entry).collect(),
            unknown,
        }
    }

    /// The pieces of a text: where each lies, and its id or that of the unknown piece. `whole` are
    /// symbols that join with nothing.
    pub(crate) fn cut(&self, text: &str, whole: &Prefixes) -> Vec<(Range<usize>, u32)> {
        let mut symbols = Vec::new();
        let mut at = 0;
        while let Some(character) = text[at..].chars().next() {
            let found = whole.longest(&text.as_bytes()[at..]);
            let len = found.map_or(character.len_utf8(), |(len, _)| len);
            symbols.push(Symbol {
                range: at..at + len,
                frozen: found.is_some(),
            });
            at += len;
        }
        // Where unused pieces were joined, to take them apart again.
        let mut seams: HashMap<&str, usize> = HashMap::new();
        let ranges = merge(symbols, |left, right| {
            let piece = &text[left.start..right.end];
            let entry = self.pieces.get(piece)?;
            if entry.is_unused {
                seams.insert(piece, left.len());
            }
            Some(entry.priority)
        });
        let mut pieces = Vec::with_capacity(ranges.len());
        let mut apart = Vec::new();
        for range in ranges {
            apart.push(range);
            while let Some(range) = apart.pop() {
                let piece = &text[range.clone()];
                let entry = self.pieces.get(piece);
                let seam = seams
                    .get(piece)
                    .filter(|_| entry.is_some_and(|e| e.is_unused));
                match seam {
                    Some(len) => {
                        let middle = range.start + len;
                        apart.push(middle..range.end);
                        apart.push(range.start..middle);
                    }
                    None => pieces.push((range, entry.map_or(self.unknown, |entry| entry.id))),
                }
            }
        }
        pieces
    }
}

/// A number that orders as a finite score does; both zeros are the same.
fn priority(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 {
        bits | (1 << 31)
    } else {
        !bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_order_as_scores_do() {
        let scores = [-1e30, -2.5, -1.0, -1e-40, 0.0, 1e-40, 1.0, 7.5];
        for pair in scores.windows(2) {
            assert!(priority(pair[0]) < priority(pair[1]), "{pair:?}");
        }
        assert_eq!(priority(-0.0), priority(0.0));
    }
}
