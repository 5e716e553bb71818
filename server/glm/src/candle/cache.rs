//! The KV cache of one sequence on a device of candle's: f32, two tensors a layer.
//!
//! Takes keys and values (heads, tokens, numbers) of new tokens, gives tensors of all of them with room for more. What is
//! behind the tokens that a sequence has is never looked at.

use super::Metal;
use crate::{Error, Grouped, kernels::cpu::room_for};
use candle_core::{DType, Result, Tensor};

/// The cache of one sequence.
#[derive(Debug)]
pub(crate) struct Cache {
    metal: Metal,
    sizes: Grouped,
    /// Tokens that there is room for.
    room: usize,
    /// The keys and values of each layer (heads, room, numbers).
    layers: Vec<Option<[Tensor; 2]>>,
    /// What went wrong when tokens were copied into it; told by the next pass.
    fault: Option<Error>,
}

impl Cache {
    /// An empty cache of so many layers.
    pub(super) fn new(metal: &Metal, layers: usize, sizes: Grouped) -> Cache {
        Cache {
            metal: metal.clone(),
            sizes,
            room: 0,
            layers: vec![None; layers],
            fault: None,
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let tensors = self.layers.iter().flatten().flatten();
        tensors.map(|it| it.elem_count() * size_of::<f32>()).sum()
    }

    /// Makes room for so many tokens; the first `kept` stay.
    pub(super) fn grow(&mut self, tokens: usize, kept: usize) -> std::result::Result<(), Error> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if tokens <= self.room {
            return Ok(());
        }
        let room = room_for(tokens);
        let layers = self.layers.iter();
        let layers = layers.map(|layer| self.moved(layer.as_ref(), room, kept).map(Some));
        let layers = self.metal.said(layers.collect())?;
        (self.layers, self.room) = (layers, room);
        Ok(())
    }

    /// Takes the first `tokens` of another cache of the same model. If the device fails, the next pass says so.
    pub(crate) fn copy(&mut self, other: &Cache, tokens: usize) {
        if tokens == 0 {
            *self = Cache::new(&self.metal, self.layers.len(), self.sizes);
            return;
        }
        let room = room_for(tokens);
        let layers = other.layers.iter();
        let layers = layers.map(|layer| other.moved(layer.as_ref(), room, tokens).map(Some));
        let copied = match &other.fault {
            Some(_) => Err(Error::Device {
                device: Metal::NAME.to_owned(),
                why: "a sequence that was to be copied is not there".to_owned(),
            }),
            None => self.metal.said(layers.collect()),
        };
        match copied {
            Ok(layers) => (self.layers, self.room, self.fault) = (layers, room, None),
            Err(error) => self.fault = Some(error),
        }
    }

    /// A layer's tensors with so much room and the first `kept` tokens of the old ones.
    fn moved(&self, old: Option<&[Tensor; 2]>, room: usize, kept: usize) -> Result<[Tensor; 2]> {
        let Grouped {
            kv_heads,
            head_size,
            ..
        } = self.sizes;
        let moved = |half: usize| -> Result<Tensor> {
            let shape = (kv_heads, room, head_size);
            let new = Tensor::zeros(shape, DType::F32, &self.metal.device)?;
            if let (Some(old), 1..) = (old, kept) {
                let tokens = old[half].narrow(1, 0, kept)?.contiguous()?;
                new.slice_set(&tokens, 1, 0)?;
            }
            Ok(new)
        };
        Ok([moved(0)?, moved(1)?])
    }

    /// Writes the keys and values of tokens that follow the first `past` in a layer.
    ///
    /// # Panics
    /// If no room was made.
    pub(super) fn write(&self, layer: usize, past: usize, new: [Tensor; 2]) -> Result<()> {
        let tensors = self.layer(layer).iter().zip(new);
        tensors
            .into_iter()
            .try_for_each(|(tensor, new)| tensor.slice_set(&new, 1, past))
    }

    /// The keys and values of a layer.
    ///
    /// # Panics
    /// If no room was made.
    pub(super) fn layer(&self, layer: usize) -> &[Tensor; 2] {
        let layer = self.layers[layer].as_ref();
        // Every pass makes room in its parts' caches first.
        layer.expect("room was made before a pass")
    }
}
