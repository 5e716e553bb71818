//! The KV cache: what attention keeps of the tokens that were run, a layer each.
//!
//! Takes the keys and values of new tokens, or their latents, gives them to attention in the layout that its kernel
//! wants. A token counts only once a whole forward pass is done, so a halted pass leaves the cache as it was. When to
//! keep, cut or drop a cache is the engine's business.

use crate::{
    Attention, Config, candle, gpu,
    kernels::{
        Rows,
        cpu::{Keys, room_for},
    },
};

/// The cache of one sequence. Cheap while empty; grows with the tokens.
#[derive(Debug)]
pub struct KvCache {
    length: usize,
    /// Numbers of a token's values, or of its latent and rotated key.
    width: usize,
    /// One a layer; those of layers on a GPU stay empty.
    layers: Vec<LayerCache>,
    /// The layers on GPUs, one part a GPU.
    gpus: Vec<gpu::Cache>,
    /// All layers, if they are on Apple's GPU.
    metal: Option<candle::Cache>,
}

impl KvCache {
    /// An empty cache; with `gpus` or `metal` for the layers that are there.
    pub(crate) fn new(
        config: &Config,
        gpus: Vec<gpu::Cache>,
        metal: Option<candle::Cache>,
    ) -> KvCache {
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
            width: match config.attention {
                Attention::Grouped(sizes) => sizes.kv_heads * sizes.head_size,
                Attention::Latent(sizes) => sizes.kv_rank + sizes.rope,
            },
            layers: std::iter::repeat_with(layer).take(config.layers).collect(),
            gpus,
            metal,
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

    /// Takes the first `length` tokens of another cache of the same model instead of its own.
    ///
    /// # Panics
    /// If the other has fewer.
    pub fn copy(&mut self, other: &KvCache, length: usize) {
        assert!(length <= other.length, "tokens that were run");
        self.length = length;
        for (gpu, other) in self.gpus.iter_mut().zip(&other.gpus) {
            gpu.copy(other, length);
        }
        if let (Some(metal), Some(other)) = (&mut self.metal, &other.metal) {
            metal.copy(other, length);
        }
        let numbers = length * self.width;
        for (layer, other) in self.layers.iter_mut().zip(&other.layers) {
            if other.is_empty() {
                continue;
            }
            match (&mut layer.cached, &other.cached) {
                (
                    Cached::Heads { keys, values },
                    Cached::Heads {
                        keys: other_keys,
                        values: other_values,
                    },
                ) => {
                    keys.copy(other_keys, length, self.width);
                    values.clear();
                    make_room(values, length, self.width);
                    values.extend_from_slice(&other_values[..numbers]);
                }
                (Cached::Latent { rows }, Cached::Latent { rows: other_rows }) => {
                    rows.clear();
                    make_room(rows, length, self.width);
                    rows.extend_from_slice(&other_rows[..numbers]);
                }
                _ => unreachable!("both were made for one model"),
            }
        }
    }

    /// Bytes held, also those that were made room for.
    pub fn bytes(&self) -> usize {
        let bytes = |layer: &LayerCache| match &layer.cached {
            Cached::Heads { keys, values } => keys.bytes() + values.capacity() * size_of::<f32>(),
            Cached::Latent { rows } => rows.capacity() * size_of::<f32>(),
        };
        let on_gpus = self.gpus.iter().map(gpu::Cache::bytes).sum::<usize>();
        let on_metal = self.metal.as_ref().map_or(0, candle::Cache::bytes);
        self.layers.iter().map(bytes).sum::<usize>() + on_gpus + on_metal
    }

    /// The layers on the GPU of that number among the model's.
    ///
    /// # Panics
    /// If the cache was made for a model without any there.
    pub(crate) fn gpu(&mut self, stage: usize) -> &mut gpu::Cache {
        // A cache is run in the model that it was made for, and that gives it a part for each of its GPUs.
        &mut self.gpus[stage]
    }

    /// All layers, on Apple's GPU.
    ///
    /// # Panics
    /// If the cache was made for a model that is not there.
    pub(crate) fn metal(&mut self) -> &mut candle::Cache {
        // As for [`KvCache::gpu`].
        let metal = self.metal.as_mut();
        metal.expect("a cache is run in the model that it was made for")
    }

    pub(crate) fn layer(&mut self, index: usize) -> &mut LayerCache {
        &mut self.layers[index]
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
enum Cached {
    /// Keys in panels, values one row a token.
    Heads { keys: Keys, values: Vec<f32> },
    /// Latent and rotated key, one row a token.
    Latent { rows: Vec<f32> },
}

impl LayerCache {
    /// Whether no token was ever written.
    fn is_empty(&self) -> bool {
        match &self.cached {
            Cached::Heads { values, .. } => values.is_empty(),
            Cached::Latent { rows } => rows.is_empty(),
        }
    }

    /// Writes the keys and values (heads × size a row) of tokens that follow the first `past`.
    pub(crate) fn write(&mut self, past: usize, new_keys: Rows, new_values: Rows) {
        if let Cached::Heads { keys, values } = &mut self.cached {
            keys.write(past, new_keys);
            append(values, past, new_values);
        }
    }

    /// Writes the latents and rotated keys (rank + rope a row) of tokens that follow the first `past`.
    pub(crate) fn write_latent(&mut self, past: usize, new: Rows) {
        if let Cached::Latent { rows } = &mut self.cached {
            append(rows, past, new);
        }
    }

    /// The keys and values of all tokens.
    pub(crate) fn heads(&self) -> (&Keys, &[f32]) {
        match &self.cached {
            Cached::Heads { keys, values } => (keys, values),
            Cached::Latent { .. } => unreachable!("the cache was made for a model with latents"),
        }
    }

    /// The latents and rotated keys of all tokens, one row a token.
    pub(crate) fn latents(&self) -> &[f32] {
        match &self.cached {
            Cached::Latent { rows } => rows,
            Cached::Heads { .. } => unreachable!("the cache was made for a model with heads"),
        }
    }
}

/// Puts rows after the first `past` of those that are there.
fn append(rows: &mut Vec<f32>, past: usize, new: Rows) {
    rows.truncate(past * new.width());
    make_room(rows, past + new.count(), new.width());
    (0..new.count()).for_each(|row| rows.extend_from_slice(new.row(row)));
}

fn make_room(rows: &mut Vec<f32>, tokens: usize, width: usize) {
    if rows.capacity() < tokens * width {
        rows.reserve_exact(room_for(tokens) * width - rows.len());
    }
}
