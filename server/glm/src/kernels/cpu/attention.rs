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
use std::ops::Range;

/// Queries in a tile.
const TILE: usize = 4;

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

/// What all tiles share.
struct Attention<'a> {
    queries: Rows<'a>,
    keys: &'a [f32],
    values: &'a [f32],
    heads: usize,
}

/// out(t) ← for each head, the values weighted by softmax(query · key / √size) over the first `visible(t)` keys.
/// `visible` is at least 1 and at most the rows of `values`, which are as long as the queries; `out` has the queries' shape.
pub fn attend(
    queries: Rows,
    keys: &Keys,
    values: &[f32],
    heads: usize,
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
        let visible = [visible(0)];
        return attention.tile::<1>(0, visible, out);
    }
    out.par_chunks_mut(TILE * width)
        .enumerate()
        .for_each(|(tile, out)| {
            let first = tile * TILE;
            if out.len() == TILE * width {
                attention.tile::<TILE>(first, std::array::from_fn(|row| visible(first + row)), out);
            } else {
                for (row, out) in out.chunks_exact_mut(width).enumerate() {
                    attention.tile::<1>(first + row, [visible(first + row)], out);
                }
            }
        });
}

impl Attention<'_> {
    /// All heads for the `M` queries from `first` on.
    fn tile<const M: usize>(&self, first: usize, visible: [usize; M], out: &mut [f32]) {
        let width = self.queries.width();
        let size = width / self.heads;
        let scale = 1.0 / (size as f32).sqrt();
        let most = visible.into_iter().fold(0, usize::max);
        let mut scores = visible.map(|_| vec![0.0; most.next_multiple_of(PANEL)]);
        for from in (0..width).step_by(size) {
            let queries = std::array::from_fn(|m| &self.queries.row(first + m)[from..from + size]);
            self.score(&queries, from, &mut scores);
            let totals: [f32; M] =
                std::array::from_fn(|m| softmax(&mut scores[m], visible[m], scale));
            let weights = std::array::from_fn(|m| &scores[m][..most]);
            self.mix(&weights, &totals, from..from + size, out);
        }
    }

    /// The products of the queries with the keys of the head that begins at column `from`.
    fn score<const M: usize>(
        &self,
        queries: &[&[f32]; M],
        from: usize,
        scores: &mut [Vec<f32>; M],
    ) {
        let width = self.queries.width();
        for panel in 0..scores[0].len() / PANEL {
            let keys = &self.keys[(panel * width + from) * PANEL..];
            let sums = sum_products(queries, keys, PANEL);
            for (scores, sums) in scores.iter_mut().zip(&sums) {
                scores[panel * PANEL..][..PANEL].copy_from_slice(sums);
            }
        }
    }

    /// The `columns` of the values, mixed by the weights, whose sums are `totals`.
    fn mix<const M: usize>(
        &self,
        weights: &[&[f32]; M],
        totals: &[f32; M],
        columns: Range<usize>,
        out: &mut [f32],
    ) {
        let width = self.queries.width();
        let whole = columns.len() / PANEL * PANEL;
        for at in columns.clone().take(whole).step_by(PANEL) {
            let sums = sum_products(weights, &self.values[at..], width);
            for ((out, sums), total) in out.chunks_exact_mut(width).zip(&sums).zip(totals) {
                for (out, sum) in out[at..at + PANEL].iter_mut().zip(sums) {
                    *out = sum / total;
                }
            }
        }
        // Only heads of odd sizes have columns left.
        for at in columns.skip(whole) {
            for ((out, weights), total) in out.chunks_exact_mut(width).zip(weights).zip(totals) {
                let values = self.values[at..].iter().step_by(width);
                let sum: f32 = weights
                    .iter()
                    .zip(values)
                    .map(|(weight, value)| weight * value)
                    .sum();
                out[at] = sum / total;
            }
        }
    }
}

/// Turns the first `visible` scores into e^(scale · (score − largest)), the rest into 0; returns their sum.
fn softmax(scores: &mut [f32], visible: usize, scale: f32) -> f32 {
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
        heads: usize,
        size: usize,
        visible: impl Fn(usize) -> usize + Sync,
    ) {
        let mut random = Random::new(5);
        let (width, all) = (heads * size, past + new);
        let (queries, keys, values) = (
            random.normal(new * width),
            random.normal(all * width),
            random.normal(all * width),
        );
        let [queries, key_rows, value_rows] =
            [&queries, &keys, &values].map(|rows| Rows::new(rows, width));
        let mut cache = Keys::default();
        cache.write(0, Rows::new(&vec![f32::NAN; (all + 20) * width], width));
        cache.write(0, key_rows.slice(0, past));
        cache.write(past, key_rows.slice(past, new));
        let want = reference::attend(queries, key_rows, value_rows, heads, &visible);
        let mut got = vec![f32::NAN; new * width];
        attend(queries, &cache, &values, heads, visible, &mut got);
        reference::assert_close(&got, &want, 1e-5);
    }

    #[test]
    fn close_to_the_reference() {
        check(0, 1, 1, 8, |_| 1);
        check(40, 1, 4, 64, |_| 41);
        check(0, 67, 2, 64, |row| (row + 1).max(30));
        check(33, 6, 3, 20, |row| 34 + row);
        check(15, 4, 2, 16, |row| 16 + row);
    }
}
