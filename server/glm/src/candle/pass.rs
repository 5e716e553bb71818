//! A pass through a model on a device of candle's.
//!
//! Takes the tokens of all parts and their caches; gives the logits that are wanted. Products, norms and activations are one
//! operation for all parts' rows; caches and attention are each part's own. Operations are asked for in a queue; a pass of
//! many rows waits for each layer before it asks for the next, so that it stops within one, others wait for the logits
//! alone.

use super::{
    OnMetal, SCORES,
    weights::{Layer, Norm},
};
use crate::{
    Activation, Error, Grouped, Pairs, Part, Positions as Kind,
    kernels::cpu::Pool,
    layer::Pass,
    positions::{Positions, Turns},
    vram,
    workspace::Workspace,
};
use candle_core::{D, Device, Result, Tensor};

/// Rows of a pass from which on its layers take so much longer than it takes to wait for one that each is waited for.
const LONG: usize = vram::CHUNK / 2;

/// What all layers of a pass share, on the device.
struct Shared {
    /// The rows' cosines and sines (rows, 1, sections, pairs), if queries and keys are turned.
    turns: Option<[Tensor; 2]>,
    /// Queries that are taken together, of all rows and of those that come out of the last layer.
    tiles: [Vec<Tile>; 2],
    /// The numbers of the rows that come out of the last layer, if that is not all.
    kept: Option<Tensor>,
}

/// Some rows of one part that attend together.
struct Tile {
    part: usize,
    /// The first one's place among all rows.
    from: usize,
    count: usize,
    /// Keys that any of them sees, from the first on.
    keys: usize,
    /// What is added to their scores (1, rows, keys), if not all of them see all of these.
    mask: Option<Tensor>,
}

impl OnMetal {
    /// Runs the model on all parts' tokens, whose rows are in `work.states.x` unless they are looked up here; puts the logits
    /// that are wanted into `work.logits`. All keys and values are cached. `between` is asked before each layer.
    pub(crate) fn forward(
        &self,
        parts: &mut [Part<'_>],
        work: &mut Workspace,
        rows: usize,
        positions: &Positions,
        pool: &Pool,
        between: &mut dyn FnMut() -> bool,
    ) -> std::result::Result<(), Error> {
        let metal = &self.metal;
        for (span, part) in work.spans.iter().zip(&mut *parts) {
            let past = span.mask.past();
            let tokens = past + span.mask.new_tokens();
            part.kv.metal().grow(tokens, past)?;
        }
        let width = self.sizes.width;
        let x = &mut work.states.x[..rows * width];
        if self.looks_up {
            x.fill(0.0);
            let mut rest = &mut *x;
            for part in &*parts {
                let (mine, others) = rest.split_at_mut(part.chunk.ids.len() * width);
                positions.add(mine, width, part.chunk.positions)?;
                rest = others;
            }
        }
        let pass = Pass {
            spans: &work.spans,
            rows,
            width,
            last: self.layers.len() - 1,
            turns: None,
            pool,
        };
        let shared = metal.said(self.share(&pass, &work.turns))?;
        let mut x = metal.said(self.look_up(parts, x))?;
        let kept = pass.kept(pass.last);
        for (index, layer) in self.layers.iter().enumerate() {
            if between() {
                return Err(Error::Halted);
            }
            let out = self.layer(index, layer, x, parts, &pass, &shared);
            x = metal.said(out)?;
            if rows >= LONG {
                metal.said(metal.device.synchronize())?;
            }
        }
        if kept == 0 {
            // The tokens only went into the caches; what went wrong is told now.
            return metal.said(metal.device.synchronize());
        }
        let logits = metal.said(self.logits(&x))?;
        work.logits_mut(kept).0.copy_from_slice(&logits);
        Ok(())
    }

    /// The rows of all tokens (rows, width): `x`, with their embeddings if these are looked up here.
    fn look_up(&self, parts: &[Part<'_>], x: &[f32]) -> Result<Tensor> {
        let device = &self.metal.device;
        let width = self.sizes.width;
        let x = Tensor::from_slice(x, (x.len() / width, width), device)?;
        if !self.looks_up {
            return Ok(x);
        }
        let ids = parts.iter().flat_map(|part| part.chunk.ids);
        let ids: Vec<u32> = ids.copied().collect();
        let count = ids.len();
        let embedded = self.head.look_up(&Tensor::from_vec(ids, count, device)?)?;
        embedded + x
    }

    fn share(&self, pass: &Pass, turns: &Turns) -> Result<Shared> {
        let device = &self.metal.device;
        let turned = |numbers: &[f32], sections: usize, pairs: usize| {
            Tensor::from_slice(numbers, (pass.rows, 1, sections, pairs), device)
        };
        let mut kept = Vec::new();
        for run in pass.runs(pass.last) {
            kept.extend((run.from..run.from + run.count).map(|row| row as u32));
        }
        let count = kept.len();
        Ok(Shared {
            turns: match self.sizes.positions {
                Kind::Learned { .. } => None,
                Kind::Rotary(sizes) => {
                    let pairs = sizes.size / sizes.rows / 2;
                    let [cosines, sines] = [&turns.cosines, &turns.sines];
                    Some([
                        turned(cosines, sizes.rows, pairs)?,
                        turned(sines, sizes.rows, pairs)?,
                    ])
                }
            },
            tiles: [self.tiles(pass, 0)?, self.tiles(pass, pass.last)?],
            kept: match count < pass.rows {
                true => Some(Tensor::from_vec(kept, count, device)?),
                false => None,
            },
        })
    }

    /// The rows that come out of a layer, in tiles of so many that their scores stay few.
    fn tiles(&self, pass: &Pass, layer: usize) -> Result<Vec<Tile>> {
        let mut tiles = Vec::new();
        for run in pass.runs(layer) {
            let mask = &pass.spans[run.part].mask;
            let all = mask.past() + mask.new_tokens();
            let most = (SCORES / (self.sizes.heads.heads * all)).max(1);
            for first in (0..run.count).step_by(most) {
                let count = most.min(run.count - first);
                let visible = (first..first + count).map(|row| mask.visible(run.skipped + row));
                let visible: Vec<usize> = visible.collect();
                let keys = visible.iter().copied().max().unwrap_or(0);
                tiles.push(Tile {
                    part: run.part,
                    from: run.from + first,
                    count,
                    keys,
                    mask: match visible.iter().all(|&seen| seen == keys) {
                        true => None,
                        false => Some(mask_of(&visible, keys, &self.metal.device)?),
                    },
                });
            }
        }
        Ok(tiles)
    }

    /// Runs a block. All keys and values are cached; of the last layer's rows only those come out that are kept.
    fn layer(
        &self,
        index: usize,
        layer: &Layer,
        x: Tensor,
        parts: &mut [Part<'_>],
        pass: &Pass,
        shared: &Shared,
    ) -> Result<Tensor> {
        let normed = layer.before[0].forward(&x)?;
        let Some(out) = self.attention(index, layer, &normed, parts, pass, shared)? else {
            return Ok(x);
        };
        let (mut x, mut normed) = (x, normed);
        if let (true, Some(kept)) = (index == pass.last, &shared.kept) {
            // No later layer needs the other rows.
            x = x.index_select(kept, 0)?;
            normed = normed.index_select(kept, 0)?;
        }
        let x = self.sum(layer, 0, x, normed, out)?;
        let normed = layer.before[1].forward(&x)?;
        let out = self.feed_forward(layer, &normed)?;
        self.sum(layer, 1, x, normed, out)
    }

    /// What a half gave, added to what it was given.
    fn sum(
        &self,
        layer: &Layer,
        half: usize,
        x: Tensor,
        normed: Tensor,
        out: Tensor,
    ) -> Result<Tensor> {
        match (&layer.after, self.sizes.alpha) {
            (Some(after), _) => x + after[half].forward(&out)?,
            (None, Some(alpha)) => (normed * f64::from(alpha))? + out,
            (None, None) => x + out,
        }
    }

    /// Caches the keys and values of all rows; gives what the rows attend to that come out, if there are any.
    fn attention(
        &self,
        index: usize,
        layer: &Layer,
        normed: &Tensor,
        parts: &mut [Part<'_>],
        pass: &Pass,
        shared: &Shared,
    ) -> Result<Option<Tensor>> {
        let Grouped {
            heads,
            kv_heads,
            head_size,
            ..
        } = self.sizes.heads;
        let fused = layer.query_key_value.forward(normed)?;
        let split = |first: usize, count: usize| {
            let part = fused.narrow(1, first * head_size, count * head_size)?;
            part.reshape((pass.rows, count, head_size))
        };
        let turned = |x: Tensor, norm: Option<&Norm>| {
            let x = match norm {
                Some(norm) => norm.forward(&x)?,
                None => x,
            };
            self.turn(x, shared.turns.as_ref())
        };
        let norms = layer.head_norms.as_ref();
        let queries = turned(split(0, heads)?, norms.map(|[query, _]| query))?;
        let keys = turned(split(heads, kv_heads)?, norms.map(|[_, key]| key))?;
        let values = split(heads + kv_heads, kv_heads)?;
        for (span, part) in pass.spans.iter().zip(&mut *parts) {
            let new = |x: &Tensor| {
                let rows = x.narrow(0, span.first, span.mask.new_tokens())?;
                rows.transpose(0, 1)?.contiguous()
            };
            let new = [new(&keys)?, new(&values)?];
            part.kv.metal().write(index, span.mask.past(), new)?;
        }
        let tiles = &shared.tiles[usize::from(index == pass.last)];
        if tiles.is_empty() {
            return Ok(None);
        }
        let queries = (queries * (1.0 / (head_size as f64).sqrt()))?;
        let mixed = tiles.iter().map(|tile| {
            let cached = parts[tile.part].kv.metal().layer(index);
            self.attend(&queries, tile, cached)
        });
        let mixed = mixed.collect::<Result<Vec<_>>>()?;
        let mixed = match &mixed[..] {
            [one] => one.clone(),
            all => Tensor::cat(all, 0)?,
        };
        layer.output.forward(&mixed).map(Some)
    }

    /// The values that a tile's queries (all rows, heads, numbers) mix, a row each.
    fn attend(&self, queries: &Tensor, tile: &Tile, cached: &[Tensor; 2]) -> Result<Tensor> {
        let Grouped {
            heads,
            kv_heads,
            head_size,
            ..
        } = self.sizes.heads;
        let Tile { count, keys, .. } = *tile;
        let group = heads / kv_heads;
        let queries = queries.narrow(0, tile.from, count)?;
        // Heads that share keys, and their rows, are one product.
        let queries = queries.transpose(0, 1)?.contiguous()?;
        let queries = queries.reshape((kv_heads, group * count, head_size))?;
        let [cached_keys, cached_values] = cached;
        let seen = cached_keys.narrow(1, 0, keys)?;
        let mut scores = queries.matmul(&seen.transpose(1, 2)?)?;
        if let Some(mask) = &tile.mask {
            let by_row = scores.reshape((heads, count, keys))?;
            scores = by_row.broadcast_add(mask)?;
            scores = scores.reshape((kv_heads, group * count, keys))?;
        }
        let weights = softmax(&scores)?;
        let mixed = weights.matmul(&cached_values.narrow(1, 0, keys)?)?;
        let mixed = mixed.reshape((heads, count, head_size))?;
        let mixed = mixed.transpose(0, 1)?.contiguous()?;
        mixed.reshape((count, heads * head_size))
    }

    /// Queries or keys (rows, heads, numbers), turned by their rows' angles.
    fn turn(&self, x: Tensor, turns: Option<&[Tensor; 2]>) -> Result<Tensor> {
        let (Kind::Rotary(sizes), Some([cosines, sines])) = (self.sizes.positions, turns) else {
            return Ok(x);
        };
        let (rows, heads, head_size) = x.dims3()?;
        let (sections, pairs) = (sizes.rows, sizes.size / sizes.rows / 2);
        // Where the two of a pair lie in a section.
        let (shape, dimension) = match sizes.pairs {
            Pairs::Half => ((rows, heads, sections, 2, pairs), 3),
            Pairs::Interleaved => ((rows, heads, sections, pairs, 2), 4),
        };
        let turned = x.narrow(2, 0, sizes.size)?.reshape(shape)?;
        let half = |index| turned.narrow(dimension, index, 1)?.squeeze(dimension);
        let (a, b) = (half(0)?, half(1)?);
        let first = (a.broadcast_mul(cosines)? - b.broadcast_mul(sines)?)?;
        let second = (b.broadcast_mul(cosines)? + a.broadcast_mul(sines)?)?;
        let turned = Tensor::stack(&[first, second], dimension)?;
        let turned = turned.reshape((rows, heads, sizes.size))?;
        match head_size - sizes.size {
            0 => Ok(turned),
            rest => Tensor::cat(&[turned, x.narrow(2, sizes.size, rest)?], 2),
        }
    }

    fn feed_forward(&self, layer: &Layer, normed: &Tensor) -> Result<Tensor> {
        let up = layer.up.forward(normed)?;
        let (inner, activation) = (self.sizes.inner, self.sizes.activation);
        let inner = match self.sizes.gated {
            true => {
                let gate = activate(activation, &up.narrow(1, 0, inner)?)?;
                gate * up.narrow(1, inner, inner)?
            }
            false => activate(activation, &up),
        }?;
        layer.down.forward(&inner)
    }

    /// The logits of rows after the last layer, one row after the other, on the processor.
    fn logits(&self, x: &Tensor) -> Result<Vec<f32>> {
        let logits = self.head.forward(&self.norm.forward(x)?)?;
        logits.flatten_all()?.to_vec1()
    }
}

/// 0 where a row sees a key, of which it sees so many; minus infinity elsewhere.
fn mask_of(visible: &[usize], keys: usize, device: &Device) -> Result<Tensor> {
    let row = |&seen: &usize| {
        let hidden = std::iter::repeat_n(f32::NEG_INFINITY, keys - seen);
        std::iter::repeat_n(0.0, seen).chain(hidden)
    };
    let numbers: Vec<f32> = visible.iter().flat_map(row).collect();
    Tensor::from_vec(numbers, (1, visible.len(), keys), device)
}

/// The innermost numbers, as parts of a whole that grow with their exponentials.
fn softmax(scores: &Tensor) -> Result<Tensor> {
    let largest = scores.max_keepdim(D::Minus1)?;
    let weights = scores.broadcast_sub(&largest)?.exp()?;
    weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)
}

fn activate(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::GeluTanh => x.gelu(),
        Activation::Gelu => x.gelu_erf(),
        // x · sigmoid(1.702 x) by way of y · sigmoid(y).
        Activation::QuickGelu => (x * 1.702)?.silu()? / 1.702,
        Activation::Silu => x.silu(),
    }
}
