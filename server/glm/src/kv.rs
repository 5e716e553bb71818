//! The KV cache: keys and values of the tokens that were run, a layer each.
//!
//! Takes the keys and values of new tokens, gives them to attention in the layout that its kernel wants. A token
//! counts only once a whole forward pass is done, so a halted pass leaves the cache as it was. When to keep, cut or
//! drop a cache is the engine's business.

use crate::kernels::{Rows, cpu::Keys};
use candle_core::Tensor;

/// The cache of one sequence. Cheap while empty; grows with the tokens.
#[derive(Debug)]
pub struct KvCache {
    length: usize,
    layers: Vec<LayerCache>,
}

impl KvCache {
    pub(crate) fn new(layers: usize, width: usize) -> KvCache {
        let layer = || LayerCache {
            width,
            keys: Keys::default(),
            values: Vec::new(),
        };
        KvCache {
            length: 0,
            layers: std::iter::repeat_with(layer).take(layers).collect(),
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
        self.layers
            .iter()
            .map(|layer| layer.keys.bytes() + size_of_val(&layer.values[..]))
            .sum()
    }

    pub(crate) fn layers_mut(&mut self) -> &mut [LayerCache] {
        &mut self.layers
    }

    /// Counts the tokens that every layer has written.
    pub(crate) fn extend(&mut self, new: usize) {
        self.length += new;
    }
}

/// The keys and values of one layer.
#[derive(Debug)]
pub(crate) struct LayerCache {
    width: usize,
    keys: Keys,
    values: Vec<f32>,
}

impl LayerCache {
    /// Writes the keys and values (T, width) of tokens that follow the first `past`.
    pub(crate) fn write(
        &mut self,
        past: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> candle_core::Result<()> {
        with_rows(keys, |keys| self.keys.write(past, keys))?;
        with_rows(values, |values| {
            self.values.truncate(past * self.width);
            (0..values.count()).for_each(|row| self.values.extend_from_slice(values.row(row)));
        })
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }
}

fn with_rows(tensor: &Tensor, read: impl FnOnce(Rows)) -> candle_core::Result<()> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => read(Rows::of(storage, layout)?),
        _ => candle_core::bail!("this KV cache lives on the CPU"),
    }
    Ok(())
}
