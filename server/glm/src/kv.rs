//! The KV cache: what attention keeps of the tokens that were run, a layer each.
//!
//! Takes the keys and values of new tokens, or their latents, gives them to attention in the layout that its kernel
//! wants. A token counts only once a whole forward pass is done, so a halted pass leaves the cache as it was. When to
//! keep, cut or drop a cache is the engine's business.

use crate::{
    Attention, Config,
    kernels::{Rows, cpu::Keys},
};
use candle_core::Tensor;

/// The cache of one sequence. Cheap while empty; grows with the tokens.
#[derive(Debug)]
pub struct KvCache {
    length: usize,
    layers: Vec<LayerCache>,
}

impl KvCache {
    pub(crate) fn new(config: &Config) -> KvCache {
        let layer = || LayerCache {
            cached: match config.attention {
                Attention::Grouped(_) => Cached::Heads {
                    keys: Keys::default(),
                    values: Vec::new(),
                },
                Attention::Latent(_) => Cached::Latent { rows: Vec::new() },
            },
        };
        KvCache {
            length: 0,
            layers: std::iter::repeat_with(layer).take(config.layers).collect(),
        }
    }

    /// Tokens in the cache.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no token is in the cache.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets all tokens but the first `length`. Memory is kept for the next ones.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let bytes = |layer: &LayerCache| match &layer.cached {
            Cached::Heads { keys, values } => keys.bytes() + size_of_val(&values[..]),
            Cached::Latent { rows } => size_of_val(&rows[..]),
        };
        self.layers.iter().map(bytes).sum()
    }

    pub(crate) fn layers_mut(&mut self) -> &mut [LayerCache] {
        &mut self.layers
    }

    /// Counts the tokens that every layer has written.
    pub(crate) fn extend(&mut self, new: usize) {
        self.length += new;
    }
}

/// One layer's part.
#[derive(Debug)]
pub(crate) struct LayerCache {
    cached: Cached,
}

/// What a layer keeps.
#[derive(Debug)]
pub(crate) enum Cached {
    /// Keys in panels, values one row a token.
    Heads { keys: Keys, values: Vec<f32> },
    /// Latent and rotated key, one row a token.
    Latent { rows: Vec<f32> },
}

impl LayerCache {
    /// Writes the keys and values (T, heads × size) of tokens that follow the first `past`.
    pub(crate) fn write(
        &mut self,
        past: usize,
        new_keys: &Tensor,
        new_values: &Tensor,
    ) -> candle_core::Result<()> {
        let Cached::Heads { keys, values } = &mut self.cached else {
            candle_core::bail!("this cache holds latents");
        };
        with_rows(new_keys, |new| keys.write(past, new))?;
        with_rows(new_values, |new| append(values, past, new))
    }

    /// Writes the latents and rotated keys (T, rank + rope) of tokens that follow the first `past`.
    pub(crate) fn write_latent(&mut self, past: usize, new: &Tensor) -> candle_core::Result<()> {
        let Cached::Latent { rows } = &mut self.cached else {
            candle_core::bail!("this cache holds keys and values");
        };
        with_rows(new, |new| append(rows, past, new))
    }

    pub(crate) fn cached(&self) -> &Cached {
        &self.cached
    }
}

/// Puts rows after the first `past` of those that are there.
fn append(rows: &mut Vec<f32>, past: usize, new: Rows) {
    rows.truncate(past * new.width());
    (0..new.count()).for_each(|row| rows.extend_from_slice(new.row(row)));
}

fn with_rows(tensor: &Tensor, read: impl FnOnce(Rows)) -> candle_core::Result<()> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => read(Rows::of(storage, layout)?),
        _ => candle_core::bail!("this KV cache lives on the CPU"),
    }
    Ok(())
}
