//! Tests of whole models, small and random, of every member of the family.

use super::*;
use crate::fixture::{self, Weights as Stored};

const IDS: [u32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];
const ROWS: [[u32; 12]; 2] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 2, 2, 2, 2],
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
];

fn chunk() -> Chunk<'static> {
    Chunk {
        ids: &IDS,
        positions: [&ROWS[0], &ROWS[1]],
        prefix: 8.into(),
    }
}

/// Runs the tokens from `first` to `end`, and gives a row of logits for each.
fn run(model: &Model, kv: &mut KvCache, first: usize, end: usize) -> Vec<f32> {
    let chunk = Chunk {
        ids: &IDS[first..end],
        positions: [&ROWS[0][first..end], &ROWS[1][first..end]],
        prefix: 8.into(),
    };
    logits(model, chunk, kv, Want::All)
}

/// The logits of one chunk after what is in the cache.
fn logits(model: &Model, chunk: Chunk, kv: &mut KvCache, want: Want) -> Vec<f32> {
    let mut work = model.workspace();
    let part = Part { chunk, kv, want };
    model
        .forward(&mut [part], &mut work, &mut || false)
        .unwrap();
    work.logits(0).values.to_vec()
}

/// Runs `test` on a random model of every member, with plain, with half and with quantized weights.
fn on_all(test: impl Fn(&Model, &str)) {
    for config in fixture::members() {
        for (stored, weights) in [
            (Stored::F32, Weights::AsStored),
            (Stored::F32, Weights::F16),
            (Stored::Q8, Weights::AsStored),
        ] {
            let bytes = fixture::gguf(&config, stored, 1, None).leak();
            let model = Model::open(&Source::Static(bytes), weights, &Device::Cpu).unwrap();
            let name = format!("{} {stored:?} {weights:?}", config.architecture.name());
            test(&model, &name);
        }
    }
}

#[test]
fn the_last_row_is_the_last_of_all_rows() {
    on_all(|model, name| {
        let all = logits(model, chunk(), &mut model.kv(), Want::All);
        let last = logits(model, chunk(), &mut model.kv(), Want::Last);
        assert_eq!((all.len(), last.len()), (1200, 100), "{name}");
        assert!(all.iter().all(|logit| logit.is_finite()), "{name}");
        assert_eq!(last, all[1100..], "{name}");
    });
}

#[test]
fn chunks_give_what_the_whole_gives() {
    on_all(|model, name| {
        let whole = run(model, &mut model.kv(), 0, 12);
        for size in [1, 3, 8] {
            let mut kv = model.kv();
            // A prefix that is seen both ways comes in one chunk.
            let mut got = Vec::new();
            if model.config().part_a == PartA::Whole {
                got = run(model, &mut kv, 0, 8);
            }
            while kv.len() < 12 {
                let first = kv.len();
                got.extend(run(model, &mut kv, first, (first + size).min(12)));
            }
            assert_eq!(got, whole, "{name}");
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
            prefix: 8.into(),
        };
        logits(model, other, &mut kv, Want::Last);
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
        let mut asked = 0;
        let mut halt = || {
            asked += 1;
            asked == 2
        };
        let other = Chunk {
            ids: &[50, 51],
            positions: [&[2, 2], &[5, 6]],
            prefix: 8.into(),
        };
        let part = Part {
            chunk: other,
            kv: &mut kv,
            want: Want::Last,
        };
        let halted = model.forward(&mut [part], &mut model.workspace(), &mut halt);
        assert!(matches!(halted, Err(Error::Halted)), "{name}");
        // Asked before each layer, until it says so.
        assert_eq!((asked, kv.len()), (2, 9), "{name}");
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
        let mut kv = model.kv();
        let part = Part {
            chunk,
            kv: &mut kv,
            want: Want::Last,
        };
        let error = model
            .forward(&mut [part], &mut model.workspace(), &mut || false)
            .unwrap_err();
        assert!(matches!(error, Error::Input(_)));
        error.to_string()
    };
    assert!(
        refused(Chunk {
            ids: &[],
            positions: [&[], &[]],
            prefix: Prefix::default()
        })
        .contains("0 tokens")
    );
    assert!(
        refused(Chunk {
            ids: &[100],
            positions: [&[0], &[0]],
            prefix: 1.into()
        })
        .contains("token 100")
    );
    assert!(
        refused(Chunk {
            ids: &[1],
            positions: [&[129], &[0]],
            prefix: 1.into()
        })
        .contains("position 129")
    );
    assert!(
        refused(Chunk {
            ids: &[1],
            positions: [&[0], &[0, 1]],
            prefix: 1.into()
        })
        .contains("2 positions")
    );
    assert!(
        refused(Chunk {
            prefix: 13.into(),
            ..chunk()
        })
        .contains("split")
    );
}

/// A pass of several sequences: each gets what it would get alone, and one that wants nothing is cached all the same.
#[test]
fn sequences_in_one_pass_do_not_touch_one_another() {
    on_all(|model, name| {
        let lengths = [9, 12, 10];
        let alone = lengths.map(|length| run(model, &mut model.kv(), 0, length));
        let mut caches = lengths.map(|_| model.kv());
        let wants = [Want::All, Want::None, Want::Last];
        let mut parts: Vec<Part> = caches
            .iter_mut()
            .zip(lengths)
            .zip(wants)
            .map(|((kv, length), want)| Part {
                chunk: Chunk {
                    ids: &IDS[..length],
                    positions: [&ROWS[0][..length], &ROWS[1][..length]],
                    prefix: 8.into(),
                },
                kv,
                want,
            })
            .collect();
        let mut work = model.workspace();
        model.forward(&mut parts, &mut work, &mut || false).unwrap();
        assert_eq!(work.logits(0).values, alone[0], "{name}");
        assert_eq!(work.logits(1).rows, 0, "{name}");
        assert_eq!(work.logits(2).values, &alone[2][900..], "{name}");
        assert_eq!(caches.each_ref().map(KvCache::len), lengths, "{name}");
        caches[1].truncate(11);
        let again = run(model, &mut caches[1], 11, 12);
        assert_eq!(again, alone[1][1100..], "{name}");
    });
}

/// The logits are the same bits on any number of threads, and for one token among 70 as for one alone: the sizes are
/// those at which every kernel shares its work out.
#[test]
fn threads_and_company_change_no_bit() {
    let config = Config {
        layers: 2,
        ..fixture::causal()
    };
    for (stored, weights) in [
        (Stored::F32, Weights::AsStored),
        (Stored::F32, Weights::F16),
        (Stored::Q8, Weights::AsStored),
    ] {
        let bytes = fixture::gguf(&config, stored, 1, None).leak();
        let open = |threads| {
            let model = Model::open(&Source::Static(bytes), weights, &Device::Cpu).unwrap();
            Model {
                pool: Pool::new(threads).unwrap(),
                ..model
            }
        };
        let ids: Vec<u32> = (0..70).map(|i| (i * 53) % 16_000).collect();
        let places: Vec<u32> = (0..70).collect();
        let run = |model: &Model, size: usize| {
            let mut kv = model.kv();
            let mut last = Vec::new();
            while kv.len() < ids.len() {
                let first = kv.len();
                let end = ids.len().min(first + size);
                let chunk = Chunk {
                    ids: &ids[first..end],
                    positions: [&places[first..end], &places[first..end]],
                    prefix: Prefix::default(),
                };
                last = logits(model, chunk, &mut kv, Want::Last);
            }
            last
        };
        let alone = run(&open(1), 70);
        for threads in [1, 2, 5] {
            let model = open(threads);
            for size in [1, 7, 70] {
                assert!(run(&model, size) == alone, "{weights:?} {threads} {size}");
            }
        }
    }
}

#[test]
fn another_pass_may_run_between_two_layers() {
    on_all(|model, name| {
        let want = run(model, &mut model.kv(), 0, 12);
        let (mut kv, mut work) = (model.kv(), model.workspace());
        let mut inner = Vec::new();
        let part = Part {
            chunk: chunk(),
            kv: &mut kv,
            want: Want::All,
        };
        let mut between = || {
            inner.push(run(model, &mut model.kv(), 0, 12));
            false
        };
        model.forward(&mut [part], &mut work, &mut between).unwrap();
        assert_eq!(work.logits(0).values, want, "{name}");
        assert_eq!(inner.len(), model.config().layers, "{name}");
        assert!(inner.into_iter().all(|inner| inner == want), "{name}");
    });
}

#[test]
fn default_threads_leave_room() {
    let threads = [1, 2, 3, 4, 8, 12, 16, 64].map(default_threads);
    assert_eq!(threads, [1, 2, 2, 2, 4, 6, 8, 8]);
}
