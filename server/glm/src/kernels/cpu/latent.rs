//! Attention whose keys and values are one short row a token, shared by all heads.
//!
//! Takes queries that were brought to the latent's space, one row a token and head, and the cached rows: a token's
//! latent, then its rotated key. The whole row is the key, the latent alone the value, so a token is stored once. All
//! heads look at the same rows: the rows of queries are taken in tiles, whatever head or token they belong to.

use super::{attention::softmax, dots::dots, pool::Pool, products::times, scratch::with_room};
use crate::kernels::Rows;

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
    pool: &Pool,
) {
    pool.chunks(out, TILE * rank, |index, out| {
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

    with_room(M * most, |scores| {
        let paired = most / PAIR * PAIR;
        for row in (0..paired).step_by(PAIR) {
            let sums = dots::<M, PAIR>(&queries, &std::array::from_fn(|i| key(row + i)));
            for (scores, sums) in scores.chunks_exact_mut(most).zip(&sums) {
                scores[row..row + PAIR].copy_from_slice(sums);
            }
        }
        for row in paired..most {
            let sums = dots(&queries, &[key(row)]);
            for (scores, [sum]) in scores.chunks_exact_mut(most).zip(sums) {
                scores[row] = sum;
            }
        }
        let mut totals = [1.0; M];
        let rows = scores.chunks_exact_mut(most);
        for ((row, total), visible) in rows.zip(&mut totals).zip(visible) {
            *total = softmax(row, visible, scale);
        }
        let weights: [&[f32]; M] = std::array::from_fn(|m| &scores[m * most..][..most]);
        times(&weights, cache, width, rank, |m, at, sums| {
            for (out, sum) in out[m * rank + at..].iter_mut().zip(sums) {
                *out = sum / totals[m];
            }
        });
    });
}

/// A matrix (rows, columns) for each head, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct HeadMatrices<'a> {
    /// All their numbers.
    pub numbers: &'a [f32],
    /// How many matrices there are.
    pub heads: usize,
    /// Columns of each.
    pub columns: usize,
}

/// out(t, h) ← x(t, h) · matrix(h) for each head: row t of `x` has the heads' parts at a distance of `stride` from one
/// another, each as long as a matrix has rows, and a row of `out` has the heads' results `apart` from one another.
pub fn times_heads(
    x: Rows,
    stride: usize,
    matrices: HeadMatrices,
    out: &mut [f32],
    apart: usize,
    pool: &Pool,
) {
    let HeadMatrices {
        numbers,
        heads,
        columns,
    } = matrices;
    let rows = numbers.len() / heads / columns;
    pool.chunks(out, heads * apart, |t, out| {
        for (head, out) in out.chunks_exact_mut(apart).enumerate() {
            let x = &x.row(t)[head * stride..][..rows];
            let matrix = &numbers[head * rows * columns..][..rows * columns];
            times(&[x], matrix, columns, columns, |_, at, sums| {
                out[at..at + sums.len()].copy_from_slice(sums);
            });
        }
    });
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
            let pool = Pool::new(2).unwrap();
            attend_latent(queries, &cache, rank, 0.2, visible, &mut got, &pool);
            reference::assert_close(&got, &want, 1e-5);
        }
    }
}
