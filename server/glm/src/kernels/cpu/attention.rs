//! Attention of some queries over the cached keys and values.
//!
//! Takes queries, the cache's keys and values and, for each query, how many keys it sees; gives the weighted values.
//! Keys lie in panels of 16 tokens ([`Keys`]), values in rows, so that both products are the same shape of loop:
//! a number of one side times 16 neighbouring numbers of the other, sums in registers. A tile of four queries shares
//! each load. The scores of a tile stay in the first-level cache; no matrix of queries × keys is ever built.

use super::{
    exponential::{exp, largest},
    products::{COLUMNS as PANEL, sum_products},
};
use crate::kernels::Rows;
use rayon::prelude::*;

/// Queries in a tile.
const TILE: usize = 4;
/// Multiply-adds below which a single token's work is not shared out.
const SMALL: usize = 1 << 18;

/// Cached keys: panels of 16 tokens, in each panel heads × size × 16 numbers, the 16 tokens' innermost.
#[derive(Debug, Default)]
pub struct Keys {
    panels: Vec<f32>,
}

impl Keys {
    /// Writes the keys of a run of tokens, the first of which is the sequence's token `at`.
    pub fn write(&mut self, at: usize, keys: Rows) {
        let width = keys.width();
        let panels = (at + keys.count()).div_ceil(PANEL);
        if self.panels.len() < panels * width * PANEL {
            self.panels.resize(panels * width * PANEL, 0.0);
        }
        for row in 0..keys.count() {
            let (panel, lane) = ((at + row) / PANEL, (at + row) % PANEL);
            let (panel, _) =
                self.panels[panel * width * PANEL..][..width * PANEL].as_chunks_mut::<PANEL>();
            for (tokens, &key) in panel.iter_mut().zip(keys.row(row)) {
                tokens[lane] = key;
            }
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.panels[..])
    }
}

/// The sizes of an attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    /// Heads of queries.
    pub queries: usize,
    /// Heads of keys and values; each serves a run of neighbouring heads of queries, all runs of one length.
    pub keys: usize,
    /// Numbers of a head.
    pub size: usize,
    /// What products of queries and keys are multiplied by.
    pub scale: f32,
}

/// What all tiles share.
struct Attention<'a> {
    queries: Rows<'a>,
    keys: &'a [f32],
    values: &'a [f32],
    heads: Heads,
}

/// The rows of one tile: queries that look at the keys of one head.
struct Tile<'a, const M: usize> {
    queries: [&'a [f32]; M],
    /// How many keys each sees.
    visible: [usize; M],
    /// Where in the output each one's mixed values begin.
    places: [usize; M],
}

/// out(t) ← for each head, the values weighted by softmax(query · key · scale) over the first `visible(t)` keys.
/// `visible` is at least 1 and at most the rows of `values`, which are as long as the keys; `out` has the queries' shape.
pub fn attend(
    queries: Rows,
    keys: &Keys,
    values: &[f32],
    heads: Heads,
    visible: impl Fn(usize) -> usize + Sync,
    out: &mut [f32],
) {
    let attention = Attention {
        queries,
        keys: &keys.panels,
        values,
        heads,
    };
    let width = queries.width();
    if queries.count() == 1 {
        return attention.one(visible(0), out);
    }
    out.par_chunks_mut(TILE * width)
        .enumerate()
        .for_each(|(tile, out)| {
            let first = tile * TILE;
            if out.len() == TILE * width {
                attention.tokens::<TILE>(first, &visible, out);
            } else {
                for (row, out) in out.chunks_exact_mut(width).enumerate() {
                    attention.tokens::<1>(first + row, &visible, out);
                }
            }
        });
}

impl Attention<'_> {
    /// All heads for the `M` tokens from `first` on.
    fn tokens<const M: usize>(
        &self,
        first: usize,
        visible: &impl Fn(usize) -> usize,
        out: &mut [f32],
    ) {
        let (width, size) = (self.queries.width(), self.heads.size);
        let visible: [usize; M] = std::array::from_fn(|row| visible(first + row));
        let mut scores = self.scores(visible);
        for head in 0..self.heads.queries {
            let tile = Tile {
                queries: std::array::from_fn(|m| self.query(first + m, head)),
                visible,
                places: std::array::from_fn(|m| m * width + head * size),
            };
            self.tile(&tile, head / self.group(), &mut scores, out);
        }
    }

    /// All heads for a single token. Heads that share their keys make a tile; if there is much to do, the heads of keys
    /// are shared out over the threads.
    fn one(&self, visible: usize, out: &mut [f32]) {
        let group = self.group() * self.heads.size;
        let head = |(head, out): (usize, &mut [f32])| self.one_group(head, visible, out);
        if visible * self.queries.width() < SMALL {
            out.chunks_exact_mut(group).enumerate().for_each(head);
        } else {
            out.par_chunks_exact_mut(group).enumerate().for_each(head);
        }
    }

    /// A single token's heads of queries that share the keys of one head.
    fn one_group(&self, key_head: usize, visible: usize, out: &mut [f32]) {
        let (group, size) = (self.group(), self.heads.size);
        let first = key_head * group;
        let tiled = group / TILE * TILE;
        if tiled > 0 {
            let mut scores = self.scores([visible; TILE]);
            for from in (0..tiled).step_by(TILE) {
                let tile = Tile {
                    queries: std::array::from_fn(|m| self.query(0, first + from + m)),
                    visible: [visible; TILE],
                    places: std::array::from_fn(|m| (from + m) * size),
                };
                self.tile(&tile, key_head, &mut scores, out);
            }
        }
        // Without shared keys this is all there is: one row of scores, not a tile of them.
        let mut scores = self.scores([visible; 1]);
        for from in tiled..group {
            let tile = Tile {
                queries: [self.query(0, first + from)],
                visible: [visible],
                places: [from * size],
            };
            self.tile(&tile, key_head, &mut scores, out);
        }
    }

    /// Heads of queries that share a head of keys.
    fn group(&self) -> usize {
        self.heads.queries / self.heads.keys
    }

    fn query(&self, token: usize, head: usize) -> &[f32] {
        &self.queries.row(token)[head * self.heads.size..][..self.heads.size]
    }

    /// Room for the scores of a tile, whole panels of them.
    fn scores<const M: usize>(&self, visible: [usize; M]) -> [Vec<f32>; M] {
        let most = visible.into_iter().fold(0, usize::max);
        visible.map(|_| vec![0.0; most.next_multiple_of(PANEL)])
    }

    /// One tile: scores, their softmax, the values mixed by it.
    fn tile<const M: usize>(
        &self,
        tile: &Tile<M>,
        key_head: usize,
        scores: &mut [Vec<f32>; M],
        out: &mut [f32],
    ) {
        let most = tile.visible.into_iter().fold(0, usize::max);
        let from = key_head * self.heads.size;
        self.score(&tile.queries, from, scores);
        let totals: [f32; M] =
            std::array::from_fn(|m| softmax(&mut scores[m], tile.visible[m], self.heads.scale));
        let weights = std::array::from_fn(|m| &scores[m][..most]);
        self.mix(&weights, &totals, from, &tile.places, out);
    }

    /// The products of the queries with the keys of the head that begins at column `from`.
    fn score<const M: usize>(
        &self,
        queries: &[&[f32]; M],
        from: usize,
        scores: &mut [Vec<f32>; M],
    ) {
        let width = self.heads.keys * self.heads.size;
        for panel in 0..scores[0].len() / PANEL {
            let keys = &self.keys[(panel * width + from) * PANEL..];
            let sums = sum_products(queries, keys, PANEL);
            for (scores, sums) in scores.iter_mut().zip(&sums) {
                scores[panel * PANEL..][..PANEL].copy_from_slice(sums);
            }
        }
    }

    /// The values of the head that begins at column `from`, mixed by the weights, whose sums are `totals`.
    fn mix<const M: usize>(
        &self,
        weights: &[&[f32]; M],
        totals: &[f32; M],
        from: usize,
        places: &[usize; M],
        out: &mut [f32],
    ) {
        let (width, size) = (self.heads.keys * self.heads.size, self.heads.size);
        let whole = size / PANEL * PANEL;
        for at in (0..whole).step_by(PANEL) {
            let sums = sum_products(weights, &self.values[from + at..], width);
            for ((place, sums), total) in places.iter().zip(&sums).zip(totals) {
                for (out, sum) in out[place + at..][..PANEL].iter_mut().zip(sums) {
                    *out = sum / total;
                }
            }
        }
        // Only heads of odd sizes have columns left.
        for at in whole..size {
            for ((place, weights), total) in places.iter().zip(weights).zip(totals) {
                let values = self.values[from + at..].iter().step_by(width);
                let sum: f32 = weights
                    .iter()
                    .zip(values)
                    .map(|(weight, value)| weight * value)
                    .sum();
                out[place + at] = sum / total;
            }
        }
    }
}

/// Turns the first `visible` scores into e^(scale · (score − largest)), the rest into 0; returns their sum.
pub(super) fn softmax(scores: &mut [f32], visible: usize, scale: f32) -> f32 {
    let (seen, unseen) = scores.split_at_mut(visible);
    unseen.fill(0.0);
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the machine has the instructions.
        return unsafe { softmax_avx2(seen, scale) };
    }
    softmax_plain(seen, scale)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn softmax_avx2(scores: &mut [f32], scale: f32) -> f32 {
    softmax_plain(scores, scale)
}

#[inline(always)]
fn softmax_plain(scores: &mut [f32], scale: f32) -> f32 {
    let largest = largest(scores);
    let (chunks, rest) = scores.as_chunks_mut::<PANEL>();
    let mut sums = [0.0; PANEL];
    for chunk in chunks {
        for (sum, score) in sums.iter_mut().zip(chunk) {
            *score = exp((*score - largest) * scale);
            *sum += *score;
        }
    }
    let mut total = sums.into_iter().sum::<f32>();
    for score in rest {
        *score = exp((*score - largest) * scale);
        total += *score;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Random, kernels::reference};

    #[track_caller]
    fn check(
        past: usize,
        new: usize,
        heads: (usize, usize),
        size: usize,
        visible: impl Fn(usize) -> usize + Sync,
    ) {
        let mut random = Random::new(5);
        let all = past + new;
        let heads = Heads {
            queries: heads.0,
            keys: heads.1,
            size,
            scale: 0.3,
        };
        let (width, key_width) = (heads.queries * size, heads.keys * size);
        let queries = random.normal(new * width);
        let (keys, values) = (
            random.normal(all * key_width),
            random.normal(all * key_width),
        );
        let queries = Rows::new(&queries, width);
        let [key_rows, value_rows] = [&keys, &values].map(|rows| Rows::new(rows, key_width));
        let mut cache = Keys::default();
        cache.write(
            0,
            Rows::new(&vec![f32::NAN; (all + 20) * key_width], key_width),
        );
        cache.write(0, key_rows.slice(0, past));
        cache.write(past, key_rows.slice(past, new));
        let want = reference::attend(queries, key_rows, value_rows, heads, &visible);
        let mut got = vec![f32::NAN; new * width];
        attend(queries, &cache, &values, heads, visible, &mut got);
        reference::assert_close(&got, &want, 1e-5);
    }

    #[test]
    fn close_to_the_reference() {
        check(0, 1, (1, 1), 8, |_| 1);
        check(40, 1, (4, 4), 64, |_| 41);
        check(0, 67, (2, 2), 64, |row| (row + 1).max(30));
        check(33, 6, (3, 3), 20, |row| 34 + row);
        check(15, 4, (2, 2), 16, |row| 16 + row);
    }

    #[test]
    fn heads_that_share_keys() {
        check(37, 1, (12, 2), 16, |_| 38);
        check(3, 1, (3, 1), 20, |_| 4);
        check(700, 1, (32, 2), 24, |_| 701);
        check(0, 21, (6, 3), 16, |row| row + 1);
        check(17, 5, (10, 2), 18, |row| 18 + row);
    }
}
