//! Attention whose keys and values are one short row a token, shared by all heads.
//!
//! Takes queries that were brought to the latent's space, one row a token and head, and the cached rows: a token's
//! latent, then its rotated key. The whole row is the key, the latent alone the value, so a token is stored once. All
//! heads look at the same rows: the rows of queries are taken in tiles, whatever head or token they belong to.

use super::{
    attention::softmax,
    dots::dots,
    products::{COLUMNS, sum_products},
};
use crate::kernels::Rows;
use rayon::prelude::*;

/// Queries in a tile.
const TILE: usize = 4;
/// Cached rows that a tile is multiplied with at a time.
const PAIR: usize = 2;

/// out(r) ← the first `rank` numbers of the cached rows, weighted by softmax(query · row · scale) over the first
/// `visible(r)` of them. `cache` holds rows as long as the queries'; `visible` is at least 1; `out` is queries.count() ×
/// `rank`.
pub fn attend_latent(
    queries: Rows,
    cache: &[f32],
    rank: usize,
    scale: f32,
    visible: impl Fn(usize) -> usize + Sync,
    out: &mut [f32],
) {
    out.par_chunks_mut(TILE * rank)
        .enumerate()
        .for_each(|(index, out)| {
            let first = index * TILE;
            if out.len() == TILE * rank {
                tile::<TILE>(queries, cache, rank, scale, first, &visible, out);
            } else {
                for (row, out) in out.chunks_exact_mut(rank).enumerate() {
                    tile::<1>(queries, cache, rank, scale, first + row, &visible, out);
                }
            }
        });
}

fn tile<const M: usize>(
    queries: Rows,
    cache: &[f32],
    rank: usize,
    scale: f32,
    first: usize,
    visible: &impl Fn(usize) -> usize,
    out: &mut [f32],
) {
    let width = queries.width();
    let visible: [usize; M] = std::array::from_fn(|m| visible(first + m));
    let most = visible.into_iter().fold(0, usize::max);
    let queries: [&[f32]; M] = std::array::from_fn(|m| queries.row(first + m));
    let key = |row: usize| &cache[row * width..][..width];

    let mut scores = visible.map(|_| vec![0.0; most]);
    let paired = most / PAIR * PAIR;
    for row in (0..paired).step_by(PAIR) {
        let sums = dots::<M, PAIR>(&queries, &std::array::from_fn(|i| key(row + i)));
        for (scores, sums) in scores.iter_mut().zip(&sums) {
            scores[row..row + PAIR].copy_from_slice(sums);
        }
    }
    for row in paired..most {
        for (scores, [sum]) in scores.iter_mut().zip(dots(&queries, &[key(row)])) {
            scores[row] = sum;
        }
    }
    let totals: [f32; M] = std::array::from_fn(|m| softmax(&mut scores[m], visible[m], scale));

    let weights: [&[f32]; M] = std::array::from_fn(|m| &scores[m][..]);
    let whole = rank / COLUMNS * COLUMNS;
    for at in (0..whole).step_by(COLUMNS) {
        let sums = sum_products(&weights, &cache[at..], width);
        for ((out, sums), total) in out.chunks_exact_mut(rank).zip(&sums).zip(totals) {
            for (out, sum) in out[at..][..COLUMNS].iter_mut().zip(sums) {
                *out = sum / total;
            }
        }
    }
    // Only latents of odd lengths have columns left.
    for at in whole..rank {
        for ((out, weights), total) in out.chunks_exact_mut(rank).zip(weights).zip(totals) {
            let values = cache[at..].iter().step_by(width);
            let sum: f32 = weights.iter().zip(values).map(|(w, v)| w * v).sum();
            out[at] = sum / total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Random, kernels::reference};

    #[test]
    fn close_to_the_reference() {
        let mut random = Random::new(10);
        for (past, new, heads, rank, rope) in
            [(0, 1, 1, 4, 2), (40, 1, 5, 64, 8), (3, 21, 3, 20, 6)]
        {
            let width = rank + rope;
            let queries = random.normal(new * heads * width);
            let cache = random.normal((past + new) * width);
            let queries = Rows::new(&queries, width);
            let visible = |row: usize| past + row / heads + 1;
            let want =
                reference::attend_latent(queries, Rows::new(&cache, width), rank, 0.2, visible);
            let mut got = vec![f32::NAN; new * heads * rank];
            attend_latent(queries, &cache, rank, 0.2, visible, &mut got);
            reference::assert_close(&got, &want, 1e-5);
        }
    }
}
