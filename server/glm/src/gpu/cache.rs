//! The KV cache of one sequence on a GPU: f16 or q8, one buffer for all of its layers there.
//!
//! Takes room for more tokens, gives each layer's keys and values as rows, one a token, heads side by side. A layer's
//! keys lie before its values, each with room for as many tokens as the cache has; in q8 the integers of all rows come first
//! and then their scales.

use super::Gpu;
use crate::{
    Error, KvType,
    kernels::{
        cpu::room_for,
        cuda::{Buffer, Sequence, cache_bytes, row_bytes},
    },
};

/// Tokens that a cache gets room for at least, and in steps: whole tiles of the attention kernels.
const STEP: usize = 64;

/// For how many tokens a cache of so many gets room.
pub(super) fn room(tokens: usize) -> usize {
    room_for(tokens).next_multiple_of(STEP)
}

/// The cache of one sequence.
#[derive(Debug)]
pub(crate) struct Cache {
    gpu: Gpu,
    kv: KvType,
    layers: usize,
    /// Numbers of a token's keys, or of its values, in one layer.
    width: usize,
    /// Tokens that there is room for.
    room: usize,
    buffer: Option<Buffer>,
    /// What went wrong when tokens were copied into it; told by the next pass.
    fault: Option<Error>,
}

impl Cache {
    /// An empty cache of so many layers, for `keys` numbers a token and layer.
    pub(crate) fn new(gpu: &Gpu, kv: KvType, layers: usize, keys: usize) -> Cache {
        Cache {
            gpu: gpu.clone(),
            kv,
            layers,
            width: keys,
            room: 0,
            buffer: None,
            fault: None,
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.as_ref().map_or(0, Buffer::bytes)
    }

    /// Makes room for so many tokens; the first `kept` stay.
    pub(super) fn grow(&mut self, tokens: usize, kept: usize) -> Result<(), Error> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if tokens <= self.room {
            return Ok(());
        }
        let room = room(tokens);
        let bytes = cache_bytes(self.kv, self.layers, room, self.width);
        let new = self.gpu.allocate(bytes)?;
        if let Some(old) = &self.buffer {
            self.take_rows(old, self.room, &new, room, kept)?;
        }
        self.buffer = Some(new);
        self.room = room;
        Ok(())
    }

    /// Takes the first `tokens` of another cache of the same model. If the device fails, the next pass says so.
    pub(crate) fn copy(&mut self, other: &Cache, tokens: usize) {
        let copied = self.grow(tokens, 0).and_then(|()| {
            match (&other.buffer, &self.buffer) {
                _ if other.fault.is_some() => Err(Error::Device {
                    device: self.gpu.name.clone(),
                    why: "a sequence that was to be copied is not there".to_owned(),
                }),
                (Some(from), Some(to)) => self.take_rows(from, other.room, to, self.room, tokens),
                // No token was run.
                _ => Ok(()),
            }
        });
        self.fault = copied.err();
    }

    /// Copies the first `tokens` of each layer's keys and values.
    fn take_rows(
        &self,
        from: &Buffer,
        from_room: usize,
        to: &Buffer,
        to_room: usize,
        tokens: usize,
    ) -> Result<(), Error> {
        let (mut from_at, mut to_at) = (0, 0);
        for _ in 0..2 * self.layers {
            for row in row_bytes(self.kv, self.width) {
                let bytes = tokens * row;
                if bytes > 0 {
                    let from = from.view().slice(from_at, bytes);
                    self.gpu.copy(from, to.view().slice(to_at, bytes))?;
                }
                from_at += from_room * row;
                to_at += to_room * row;
            }
        }
        Ok(())
    }

    /// It, as the kernels' tables have it.
    ///
    /// # Panics
    /// If no room was made.
    pub(super) fn sequence(&self) -> Sequence {
        // `grow` makes it for at least one token, and every pass grows its parts' caches first.
        let buffer = self.buffer.as_ref().expect("room was made before a pass");
        Sequence::new(self.kv, buffer.view(), self.layers, self.room, self.width)
    }
}
