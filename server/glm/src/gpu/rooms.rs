//! What a pass computes in on a GPU, kept from one pass to the next.
//!
//! Takes sizes, gives views of memory that grows to the largest pass so far.

use super::Gpu;
use crate::{
    Error,
    kernels::cuda::{Buffer, View},
};

/// Room for rows of f32 numbers, and for a pass's inputs.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    rooms: [Option<Buffer>; Room::COUNT],
    /// How often one was made anew, elsewhere.
    pub(super) moves: usize,
    /// The bytes of a pass's inputs, before they are copied to the GPU.
    pub(super) staged: Vec<u8>,
}

/// What is in a room.
#[derive(Debug, Clone, Copy)]
pub(super) enum Room {
    /// Hidden states.
    X,
    /// The same, normed.
    Normed,
    /// What a half of a layer gives.
    Out,
    /// Queries, keys and values, side by side.
    Fused,
    /// The same of those rows alone that come out of the last layer, or of learned queries.
    Asked,
    /// What the learned queries come from.
    Asking,
    /// Rows on their way to another place.
    Spare,
    /// What attention gives.
    Mixed,
    /// The inner states of a feed-forward before its activation.
    Up,
    /// The same after it, where it is gated.
    Gated,
    Logits,
    /// How likely tokens are beside the likeliest, where one is drawn.
    Weights,
    /// The tokens chosen, and what they are chosen by.
    Choices,
    /// What products bring activations to.
    Products,
    /// What attention to parts of a row's keys gives.
    Parts,
    /// What the pass takes from the processor.
    Inputs,
}

impl Room {
    const COUNT: usize = Room::Inputs as usize + 1;
}

impl Rooms {
    /// Makes room for so many bytes, what was there is lost if there was less.
    pub(super) fn make(&mut self, gpu: &Gpu, room: Room, bytes: usize) -> Result<(), Error> {
        let held = &mut self.rooms[room as usize];
        if held.as_ref().is_none_or(|buffer| buffer.bytes() < bytes) {
            // The old one first, so that both need not be there.
            *held = None;
            self.moves += 1;
            *held = Some(gpu.allocate(bytes)?);
        }
        Ok(())
    }

    /// The first numbers of a room.
    ///
    /// # Panics
    /// If it was not made, or for fewer.
    pub(super) fn view(&self, room: Room, numbers: usize) -> View<'_> {
        self.first(room, numbers * size_of::<f32>())
    }

    /// The first bytes of a room.
    ///
    /// # Panics
    /// If it was not made, or for fewer.
    pub(super) fn first(&self, room: Room, bytes: usize) -> View<'_> {
        self.whole(room).slice(0, bytes)
    }

    /// All of a room.
    ///
    /// # Panics
    /// If it was not made.
    pub(super) fn whole(&self, room: Room) -> View<'_> {
        let buffer = self.rooms[room as usize].as_ref();
        // A pass calls `make_room`, which makes those that it uses, before it looks at one.
        let buffer = buffer.expect("all rooms are made at the beginning of a pass");
        buffer.view()
    }
}
