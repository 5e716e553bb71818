//! The unigram model: the most probable way to cut a text into pieces.
//!
//! After `EncodeOptimized` in sentencepiece's `unigram_model.cc`, down to which sums are rounded:
//! of two ways that are equal on paper the same one must win. O(n) for n bytes, times how many
//! pieces start at one place.

use std::ops::Range;

use super::file::Kind;
use super::prefixes::Prefixes;

/// How much less probable than any piece the unknown one is.
const UNKNOWN_PENALTY: f32 = 10.0;

/// What the search knows.
pub(crate) struct Unigram {
    /// All pieces that text can become.
    pieces: Prefixes,
    /// By id.
    scores: Vec<(Kind, f32)>,
    /// The best score of a normal piece.
    most: f32,
    unknown: u32,
    unknown_score: f32,
}

/// The best way to reach a place.
#[derive(Clone, Copy)]
struct Best {
    id: u32,
    score: f32,
    from: Option<usize>,
}

impl Unigram {
    /// From the pieces that text can become, the kind and score of all, and the unknown piece.
    pub(crate) fn new(pieces: Prefixes, scores: Vec<(Kind, f32)>, unknown: u32) -> Unigram {
        let (mut least, mut most) = (f32::MAX, f32::MIN_POSITIVE);
        for (kind, score) in &scores {
            if *kind == Kind::Normal {
                least = least.min(*score);
                // Starts at the least positive number, not the least of all, as the original does.
                most = most.max(*score);
            }
        }
        Unigram {
            pieces,
            scores,
            most,
            unknown,
            unknown_score: least - UNKNOWN_PENALTY,
        }
    }

    /// The pieces of a text: where each lies, and its id or that of the unknown piece.
    pub(crate) fn cut(&self, text: &str) -> Vec<(Range<usize>, u32)> {
        let start = Best {
            id: self.unknown,
            score: 0.0,
            from: None,
        };
        let mut best = vec![start; text.len() + 1];
        for (at, character) in text.char_indices() {
            let so_far = best[at].score;
            let mut is_covered = false;
            for (len, id) in self.pieces.of(&text.as_bytes()[at..]) {
                let (kind, score) = self.scores[id as usize];
                let score = match kind {
                    Kind::Unused => continue,
                    Kind::UserDefined => len as f32 * self.most - 0.1,
                    _ => score,
                };
                let score = score + so_far;
                let end = &mut best[at + len];
                if end.from.is_none() || score > end.score {
                    *end = Best {
                        id,
                        score,
                        from: Some(at),
                    };
                }
                is_covered |= len == character.len_utf8();
            }
            if !is_covered {
                let score = self.unknown_score + so_far;
                let end = &mut best[at + character.len_utf8()];
                if end.from.is_none() || score > end.score {
                    *end = Best {
                        id: self.unknown,
                        score,
                        from: Some(at),
                    };
                }
            }
        }
        let mut pieces = Vec::new();
        let mut end = text.len();
        while let Some(from) = best[end].from {
            pieces.push((from..end, best[end].id));
            end = from;
        }
        pieces.reverse();
        pieces
    }
}
