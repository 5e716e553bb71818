//! Attention of some queries over the cached keys and values.
//!
//! Takes queries, the cache's keys and values and, for each query, how many keys it sees; gives the weighted values.
//! Keys lie in panels of 16 tokens ([`Keys`]), values in rows, so that both products are the same shape of loop:
//! a number of one side times 16 neighbouring numbers of the other, sums in registers. A tile of four queries shares
//! each load. The scores of a tile stay in the first-level cache; no matrix of queries × keys is ever built.

use super::{
    exponential::{exp, largest},
    pool::{Pool, Shards},
    products::{COLUMNS as PANEL, GROUPS, sum_products, takes_groups, times},
    scratch::with_room,
};
use crate::kernels::Rows;

/// Queries in a tile, and tokens in a task.
const TILE: usize = 4;
/// Multiply-adds of each half below which work is not shared out.
const SMALL: usize = 1 << 16;

/// Cached keys: panels of 16 tokens, in each panel heads × size × 16 numbers, the 16 tokens' innermost.
#[derive(Debug, Default)]
pub struct Keys {
    panels: Vec<f32>,
}

/// For how many tokens a cache of so many gets room: a quarter more at most, in few sizes, so that the memory which one
/// cache leaves serves the next.
pub fn room_for(tokens: usize) -> usize {
    let step = (tokens / 8).next_power_of_two().max(PANEL);
    tokens.next_multiple_of(step)
}

impl Keys {
    /// Writes the keys of a run of tokens, the first of which is the sequence's token `at`.
    pub fn write(&mut self, at: usize, keys: Rows) {
        let width = keys.width();
        let panels = (at + keys.count()).div_ceil(PANEL);
        self.make_room(at + keys.count(), width);
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

    /// Takes the first `count` tokens of other keys, `width` numbers each, instead of its own.
    pub fn copy(&mut self, other: &Keys, count: usize, width: usize) {
        self.panels.clear();
        self.make_room(count, width);
        let size = count.div_ceil(PANEL) * PANEL * width;
        self.panels.extend_from_slice(&other.panels[..size]);
    }

    fn make_room(&mut self, tokens: usize, width: usize) {
        if self.panels.capacity() < tokens.div_ceil(PANEL) * PANEL * width {
            let room = room_for(tokens) * width;
            self.panels.reserve_exact(room - self.panels.len());
        }
    }

    /// Bytes held, also those that were made room for.
    pub fn bytes(&self) -> usize {
        self.panels.capacity() * size_of::<f32>()
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
struct Attention<'a, V> {
    queries: Rows<'a>,
    keys: &'a [f32],
    values: &'a [f32],
    heads: Heads,
    visible: V,
    out: Shards<'a, f32>,
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
    pool: &Pool,
) {
    let (count, width) = (queries.count(), queries.width());
    let Some(last) = count.checked_sub(1) else {
        return;
    };
    assert_eq!(out.len(), count * width, "a place for each mixed value");
    let products = count * visible(last) * width;
    let attention = Attention {
        queries,
        keys: &keys.panels,
        values,
        heads,
        visible,
        out: Shards::new(out),
    };
    // Few tokens are shared out by heads of keys, many by tokens too.
    let task = |task: usize| {
        let first = task / heads.keys * TILE;
        // SAFETY: each task has tokens and a head of keys of its own.
        unsafe { attention.group(first, TILE.min(count - first), task % heads.keys) };
    };
    let tasks = count.div_ceil(TILE) * heads.keys;
    if products < SMALL {
        (0..tasks).for_each(task);
    } else {
        pool.run(tasks, &task);
    }
}

impl<V: Fn(usize) -> usize> Attention<'_, V> {
    /// The `tokens` from `first` on, with the heads of queries that share the keys of one head. All these queries look
    /// at the same keys, and so are taken four at a time, whichever token or head they belong to.
    ///
    /// # Safety
    /// No other thread works on the same tokens and head of keys.
    unsafe fn group(&self, first: usize, tokens: usize, key_head: usize) {
        let group = self.heads.queries / self.heads.keys;
        let most = (first..first + tokens).map(&self.visible).max();
        let room = most.unwrap_or(0).next_multiple_of(PANEL);
        with_room(TILE * room, |scores| {
            let place = |query: usize| (first + query / group, key_head * group + query % group);
            let mut query = 0;
            while query + TILE <= tokens * group {
                let places: [_; TILE] = std::array::from_fn(|m| place(query + m));
                // SAFETY: the caller vouches for it.
                unsafe { self.tile(places, key_head, scores) };
                query += TILE;
            }
            for query in query..tokens * group {
                // SAFETY: as above.
                unsafe { self.tile([place(query)], key_head, scores) };
            }
        });
    }

    /// One tile of queries, each a token and a head: scores, their softmax, the values mixed by it.
    ///
    /// # Safety
    /// No other thread works on the same tokens and heads.
    unsafe fn tile<const M: usize>(
        &self,
        places: [(usize, usize); M],
        key_head: usize,
        scores: &mut [f32],
    ) {
        let Heads { size, scale, .. } = self.heads;
        let visible = places.map(|(token, _)| (self.visible)(token));
        let most = visible.into_iter().fold(0, usize::max);
        let queries = places.map(|(token, head)| &self.queries.row(token)[head * size..][..size]);
        let padded = most.next_multiple_of(PANEL);
        let from = key_head * size;
        self.score(&queries, from, padded, scores);

        let mut rows = scores.chunks_exact_mut(padded);
        let mut totals = [1.0; M];
        for (total, visible) in totals.iter_mut().zip(visible) {
            if let Some(row) = rows.next() {
                *total = softmax(row, visible, scale);
            }
        }
        let weights: [&[f32]; M] = std::array::from_fn(|m| &scores[m * padded..][..most]);
        let width = self.heads.keys * size;
        let values = &self.values[from..];
        times(&weights, values, width, size, |m, at, sums| {
            let (token, head) = places[m];
            let first = token * self.queries.width() + head * size + at;
            // SAFETY: tokens and heads are this thread's alone, as the caller vouches, and one is written at a time.
            let out = unsafe { self.out.get(first..first + sums.len()) };
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum / totals[m];
            }
        });
    }

    /// The products of the queries with the first `padded` keys of the head that begins at column `from`.
    fn score<const M: usize>(
        &self,
        queries: &[&[f32]; M],
        from: usize,
        padded: usize,
        scores: &mut [f32],
    ) {
        let panel = self.heads.keys * self.heads.size * PANEL;
        let keys = &self.keys[from * PANEL..];
        let mut at = 0;
        if takes_groups(M) {
            while at + GROUPS * PANEL <= padded {
                let keys = &keys[at / PANEL * panel..];
                let sums = sum_products::<M, GROUPS>(queries, keys, PANEL, panel);
                for (m, sums) in sums.iter().enumerate() {
                    let scores = &mut scores[m * padded + at..];
                    scores[..GROUPS * PANEL].copy_from_slice(sums.as_flattened());
                }
                at += GROUPS * PANEL;
            }
        }
        while at < padded {
            let sums = sum_products::<M, 1>(queries, &keys[at / PANEL * panel..], PANEL, 0);
            for (m, sums) in sums.iter().enumerate() {
                scores[m * padded + at..][..PANEL].copy_from_slice(sums.as_flattened());
            }
            at += PANEL;
        }
    }
}

/// Turns the first `visible` scores into e^(scale · (score − largest)), the rest into 0; returns their sum.
pub(super) fn softmax(scores: &mut [f32], visible: usize, scale: f32) -> f32 {
    let (seen, unseen) = scores.split_at_mut(visible);
    unseen.fill(0.0);
    softmax_seen(seen, scale)
}

vectorized! {
    fn softmax_seen(scores: &mut [f32], scale: f32) -> f32 {
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
        let pool = Pool::new(2).unwrap();
        attend(queries, &cache, &values, heads, visible, &mut got, &pool);
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
