//! Tests of whole models, small and random, of every member of the family.

use super::*;
use crate::{
    fixture::{self, Weights as Stored},
    kernels::reference::assert_close,
};
use std::sync::atomic::{AtomicUsize, Ordering};

const IDS: [u32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];
const ROWS: [[u32; 12]; 2] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 2, 2, 2, 2],
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
];

fn chunk() -> Chunk<'static> {
    Chunk {
        ids: &IDS,
        positions: [&ROWS[0], &ROWS[1]],
        prefix: 8,
    }
}

/// Runs the tokens from `first` to `end`, and gives a row of logits for each.
fn run(model: &Model, kv: &mut KvCache, first: usize, end: usize) -> Vec<f32> {
    let chunk = Chunk {
        ids: &IDS[first..end],
        positions: [&ROWS[0][first..end], &ROWS[1][first..end]],
        prefix: 8,
    };
    model
        .forward(&chunk, kv, Want::All, &|| false)
        .unwrap()
        .values
}

/// Runs `test` on a random model of every member, with plain and with quantized weights.
fn on_all(test: impl Fn(&Model, &str)) {
    for config in fixture::members() {
        for weights in [Stored::F32, Stored::Q8] {
            let name = format!("{} {weights:?}", config.architecture.name());
            test(&fixture::model(&config, weights, 1), &name);
        }
    }
}

#[test]
fn the_last_row_is_the_last_of_all_rows() {
    on_all(|model, name| {
        let all = model
            .forward(&chunk(), &mut model.kv(), Want::All, &|| false)
            .unwrap();
        let last = model
            .forward(&chunk(), &mut model.kv(), Want::Last, &|| false)
            .unwrap();
        assert_eq!((all.rows, all.vocab, last.rows), (12, 100, 1), "{name}");
        assert!(all.values.iter().all(|logit| logit.is_finite()), "{name}");
        assert_close(last.row(0), all.row(11), 1e-4);
    });
}

#[test]
fn chunks_give_what_the_whole_gives() {
    on_all(|model, _| {
        let whole = run(model, &mut model.kv(), 0, 12);
        for size in [1, 3] {
            let mut kv = model.kv();
            // A prefix that is seen both ways comes in one chunk.
            let mut got = Vec::new();
            if model.config().prefix {
                got = run(model, &mut kv, 0, 8);
            }
            while kv.len() < 12 {
                let first = kv.len();
                got.extend(run(model, &mut kv, first, (first + size).min(12)));
            }
            assert_close(&got, &whole, 1e-4);
        }
    });
}

#[test]
fn what_is_cut_off_can_be_run_again() {
    on_all(|model, name| {
        let mut kv = model.kv();
        run(model, &mut kv, 0, 9);
        let want = run(model, &mut kv, 9, 12);
        // Other tokens in the same places leave nothing behind.
        kv.truncate(9);
        let other = Chunk {
            ids: &[50, 51],
            positions: [&[2, 2], &[2, 3]],
            prefix: 8,
        };
        model
            .forward(&other, &mut kv, Want::Last, &|| false)
            .unwrap();
        kv.truncate(9);
        assert_eq!(kv.len(), 9);
        assert_eq!(run(model, &mut kv, 9, 12), want, "{name}");
    });
}

#[test]
fn a_halted_pass_leaves_the_cache_as_it_was() {
    on_all(|model, name| {
        let mut kv = model.kv();
        run(model, &mut kv, 0, 9);
        let want = run(model, &mut kv, 9, 12);
        kv.truncate(9);
        let asked = AtomicUsize::new(0);
        let halt = || asked.fetch_add(1, Ordering::SeqCst) == 1;
        let other = Chunk {
            ids: &[50, 51],
            positions: [&[2, 2], &[5, 6]],
            prefix: 8,
        };
        let halted = model.forward(&other, &mut kv, Want::Last, &halt);
        assert!(matches!(halted, Err(Error::Halted)), "{name}");
        // Asked before each layer, until it says so.
        assert_eq!((asked.into_inner(), kv.len()), (2, 9), "{name}");
        assert_eq!(run(model, &mut kv, 9, 12), want, "{name}");
    });
}

#[test]
fn a_cache_holds_what_was_foretold() {
    on_all(|model, name| {
        let config = model.config();
        let mut kv = model.kv();
        assert_eq!(run(model, &mut kv, 0, 12).len(), 1200);
        // Keys lie in panels of whole lanes, the rest is as long as the tokens.
        let token = 4 * config.layers * config.attention.cached();
        let held = kv.bytes();
        assert!(
            (12 * token..=16 * token).contains(&held),
            "{name}: {held} for {token} a token"
        );
    });
}

#[test]
fn what_does_not_fit_the_model_is_refused_with_the_reason() {
    let model = fixture::model(&fixture::tiny(100), Stored::F32, 1);
    let refused = |chunk: Chunk| {
        let error = model
            .forward(&chunk, &mut model.kv(), Want::Last, &|| false)
            .unwrap_err();
        assert!(matches!(error, Error::Input(_)));
        error.to_string()
    };
    assert!(
        refused(Chunk {
            ids: &[],
            positions: [&[], &[]],
            prefix: 0
        })
        .contains("0 tokens")
    );
    assert!(
        refused(Chunk {
            ids: &[100],
            positions: [&[0], &[0]],
            prefix: 1
        })
        .contains("token 100")
    );
    assert!(
        refused(Chunk {
            ids: &[1],
            positions: [&[129], &[0]],
            prefix: 1
        })
        .contains("position 129")
    );
    assert!(
        refused(Chunk {
            ids: &[1],
            positions: [&[0], &[0, 1]],
            prefix: 1
        })
        .contains("2 positions")
    );
    assert!(
        refused(Chunk {
            prefix: 13,
            ..chunk()
        })
        .contains("split")
    );
}
