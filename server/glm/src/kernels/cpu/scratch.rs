//! Room that each thread keeps from one task to the next, so that no task allocates.

use std::cell::Cell;

thread_local! {
    static ROOM: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Lends the calling thread's room for `count` numbers, whatever they are. Within `work` there is no other room.
pub(super) fn with_room<R>(count: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut room = ROOM.take();
    if room.len() < count {
        room.resize(count, 0.0);
    }
    let result = work(&mut room[..count]);
    ROOM.set(room);
    result
}
