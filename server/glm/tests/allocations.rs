//! Does a step allocate? A counting allocator looks on while a warmed-up model decodes.

use glm::{
    Chunk, KvCache, Model, Part, Prefix, Want, Workspace,
    fixture::{self, Weights},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

/// The system's allocator, counting what is asked of it on all threads.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator as it came.
#[expect(unsafe_code, reason = "a global allocator is unsafe by its trait")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(start, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of ten steps of two sequences at once.
fn of_ten_steps((caches, work): &mut ([KvCache; 2], Workspace), model: &Model) -> usize {
    caches.iter_mut().for_each(|kv| kv.truncate(0));
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    for step in 0..10 {
        let [first, second] = &mut *caches;
        let ids = [3 + step, 50 + step];
        let place = [step];
        let mut parts = [(first, &ids[..1]), (second, &ids[1..])].map(|(kv, ids)| Part {
            chunk: Chunk {
                ids,
                positions: [&place, &place],
                prefix: Prefix::default(),
            },
            kv,
            want: Want::Last,
        });
        model
            .forward(&mut parts, work, &mut || false)
            .expect("the tokens fit the model");
    }
    ALLOCATIONS.load(Ordering::SeqCst) - before
}

/// One test, so that no other allocates at the same time.
#[test]
fn a_step_allocates_nothing() {
    let members = fixture::members().into_iter();
    for config in members.chain([fixture::embedded()]) {
        for weights in [Weights::F32, Weights::Q8] {
            let model = fixture::model(&config, weights, 1);
            let mut state = ([model.kv(), model.kv()], model.workspace());
            // A helping thread's own room grows with its first task, which it may get late.
            let is_free = (0..20).any(|_| of_ten_steps(&mut state, &model) == 0);
            assert!(is_free, "{} {weights:?}", config.architecture.name());
        }
    }
}
