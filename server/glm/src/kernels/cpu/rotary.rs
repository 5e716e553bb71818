//! Rotary positions: pairs of a head's numbers turned by the token's angles, in place.

use super::pool::Pool;
use crate::Pairs;

/// Rows that one task takes; fewer are not worth waking a thread for.
const GRAIN: usize = 32;

/// The angles of some tokens.
#[derive(Debug, Clone, Copy)]
pub struct Turns<'a> {
    /// Cosines, `pairs` of them a token and section.
    pub cosines: &'a [f32],
    /// Sines, likewise.
    pub sines: &'a [f32],
    /// Sections of a head, one after the other, each with angles of its own.
    pub sections: usize,
    /// Pairs of a section; it has twice as many numbers.
    pub pairs: usize,
    /// Which two numbers of a section make a pair.
    pub layout: Pairs,
}

impl<'a> Turns<'a> {
    /// The angles of the tokens from `first` on.
    pub fn from(self, first: usize) -> Turns<'a> {
        let at = first * self.sections * self.pairs;
        Turns {
            cosines: &self.cosines[at..],
            sines: &self.sines[at..],
            ..self
        }
    }
}

/// Where the numbers to be turned lie in a token's row.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Length of a token's row.
    pub width: usize,
    /// Where the first head's rotated numbers begin.
    pub first: usize,
    /// Heads to be turned.
    pub count: usize,
    /// From one head to the next.
    pub stride: usize,
}

/// Turns the rotated numbers of every head of every row of `x`; there are angles for as many tokens as rows.
pub fn rotate(x: &mut [f32], heads: Heads, turns: Turns, pool: &Pool) {
    let a_token = turns.sections * turns.pairs;
    let row = |token: usize, row: &mut [f32]| {
        let cosines = &turns.cosines[token * a_token..][..a_token];
        let sines = &turns.sines[token * a_token..][..a_token];
        for head in 0..heads.count {
            let at = heads.first + head * heads.stride;
            rotate_head(&mut row[at..at + 2 * a_token], turns, cosines, sines);
        }
    };
    pool.chunks(x, GRAIN * heads.width, |chunk, rows| {
        let rows = rows.chunks_exact_mut(heads.width).enumerate();
        rows.for_each(|(token, x)| row(chunk * GRAIN + token, x));
    });
}

#[inline(always)]
fn rotate_head(head: &mut [f32], turns: Turns, cosines: &[f32], sines: &[f32]) {
    let sections = head.chunks_exact_mut(2 * turns.pairs);
    let angles = cosines
        .chunks_exact(turns.pairs)
        .zip(sines.chunks_exact(turns.pairs));
    for (section, (cosines, sines)) in sections.zip(angles) {
        match turns.layout {
            Pairs::Half => {
                let (first, second) = section.split_at_mut(turns.pairs);
                for (((a, b), cosine), sine) in first.iter_mut().zip(second).zip(cosines).zip(sines)
                {
                    (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
                }
            }
            Pairs::Interleaved => {
                let (pairs, _) = section.as_chunks_mut::<2>();
                for (([a, b], cosine), sine) in pairs.iter_mut().zip(cosines).zip(sines) {
                    (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Random, kernels::reference};

    #[test]
    fn close_to_the_reference() {
        let mut random = Random::new(11);
        let pool = Pool::new(2).unwrap();
        for (tokens, sections, pairs) in [(1, 1, 1), (3, 1, 5), (3, 2, 4), (200, 1, 32)] {
            for layout in [Pairs::Half, Pairs::Interleaved] {
                let size = 2 * sections * pairs;
                let heads = Heads {
                    width: 3 * (size + 3) + 2,
                    first: 2,
                    count: 2,
                    stride: size + 3,
                };
                let angles = random.normal(tokens * sections * pairs);
                let cosines: Vec<f32> = angles.iter().map(|x| x.cos()).collect();
                let sines: Vec<f32> = angles.iter().map(|x| x.sin()).collect();
                let mut got = random.normal(tokens * heads.width);
                let mut want = got.clone();
                for token in 0..tokens {
                    for head in 0..heads.count {
                        for section in 0..sections {
                            let at = token * heads.width
                                + heads.first
                                + head * heads.stride
                                + section * 2 * pairs;
                            let angle = (token * sections + section) * pairs;
                            reference::rotate(
                                &mut want[at..at + 2 * pairs],
                                layout,
                                &cosines[angle..angle + pairs],
                                &sines[angle..angle + pairs],
                            );
                        }
                    }
                }
                let turns = Turns {
                    cosines: &cosines,
                    sines: &sines,
                    sections,
                    pairs,
                    layout,
                };
                rotate(&mut got, heads, turns, &pool);
                reference::assert_close(&got, &want, 1e-6);
            }
        }
    }
}
