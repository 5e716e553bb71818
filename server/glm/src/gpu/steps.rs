//! Passes of few rows that were recorded, so that the next one of the same shape is asked for at once.
//!
//! Takes how a pass is asked for and what of it stays in the arguments of its launches; asks for it piece by piece the
//! first time, records it the second, and replays that from then on. What differs between passes of one shape lies in
//! their inputs.

use crate::kernels::cuda::{Ask, Device, DeviceError, Recording};
use std::{collections::HashMap, sync::Arc};

/// Most shapes that are kept: a recording takes some memory of both sides for each launch.
const MOST: usize = 32;

/// What launches of a pass have in their arguments, besides what is always the same in one model and its rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) sequences: usize,
    pub(super) rows: usize,
    /// Rows that come out of the last layer.
    pub(super) kept: usize,
    /// Rows from whose logits tokens are chosen.
    pub(super) chosen: usize,
    /// How keys are shared out, of all rows and of those that are kept.
    pub(super) parts: [usize; 2],
}

/// What is known of a shape.
#[derive(Debug)]
enum Step {
    /// There was one such pass.
    Seen,
    Recorded(Recording),
    /// The device cannot record it.
    Unrecorded,
}

/// The recordings of one model in one workspace.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// The weights and the rooms that they were made with.
    made_with: Option<(Arc<()>, usize)>,
    steps: HashMap<Shape, Step>,
}

impl Steps {
    /// Forgets all if they were made with other weights or other rooms than these.
    pub(super) fn keep_for(&mut self, weights: &Arc<()>, rooms: usize) {
        let is_same =
            |(mine, made): &(Arc<()>, usize)| Arc::ptr_eq(mine, weights) && *made == rooms;
        if !self.made_with.as_ref().is_some_and(is_same) {
            self.steps.clear();
            self.made_with = Some((weights.clone(), rooms));
        }
    }

    /// Asks for a pass of this shape, in the rooms and with the weights that it was last kept for.
    pub(super) fn ask(
        &mut self,
        device: &dyn Device,
        shape: Shape,
        ask: Ask,
    ) -> Result<(), DeviceError> {
        let Some(step) = self.steps.get_mut(&shape) else {
            if self.steps.len() >= MOST {
                self.steps.clear();
            }
            self.steps.insert(shape, Step::Seen);
            return ask();
        };
        if let Step::Seen = step {
            *step = match device.record(ask) {
                Some(recording) => Step::Recorded(recording),
                None => Step::Unrecorded,
            };
        }
        match step {
            // SAFETY: launches name weights and rooms, which are those that it was recorded with, and caches are found
            // through tables among the inputs, which are this pass's own and were made for the same shape.
            Step::Recorded(recording) => unsafe { device.replay(recording) },
            Step::Seen | Step::Unrecorded => ask(),
        }
    }
}
