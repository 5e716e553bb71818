//! Is the model the model? Logits and greedy tokens against numbers made by the public PyTorch source.
//!
//! `data/parity/glm/make.py` made the data and says how; nothing here needs Python. Each case is a GGUF file with
//! random weights and a JSON file: a Part A with two masks and two spans of Part B, the reference's logits for every
//! token of it, and the 64 tokens that follow greedily. Ours must agree in one pass and in chunks over the KV cache.

use glm::{Chunk, Device, KvCache, Model, Part, Prefix, Source, Want, Weights};
use serde::Deserialize;
use std::path::PathBuf;

/// The largest difference of two logits, relative to the largest logit: plain numbers differ by the order of sums.
const CLOSE: f32 = 1e-4;
/// Q8_0 weights, and activations rounded to blocks of 8 bits, against the numbers before rounding: what quantizing costs
/// this small random model.
const ROUNDED: f32 = 5e-2;

#[derive(Deserialize)]
struct Case {
    ids: Vec<u32>,
    positions: [Vec<u32>; 2],
    part_a: usize,
    logits: Vec<Vec<f32>>,
    greedy: Vec<u32>,
}

impl Case {
    /// Part A as the model reads it.
    fn prefix(&self, model: &Model) -> Prefix {
        let mask_at = self.positions[0][self.part_a..].iter().min();
        let mask_at = mask_at.map(|&place| place as usize);
        model.config().part_a.zones(self.part_a, mask_at)
    }

    fn chunk(&self, model: &Model, first: usize, last: usize) -> Chunk<'_> {
        let positions = self.positions.each_ref().map(|row| &row[first..last]);
        Chunk {
            ids: &self.ids[first..last],
            positions,
            prefix: self.prefix(model),
        }
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("data/parity/glm")
        .join(name)
}

fn load(name: &str, weights: Weights) -> (Model, Case) {
    let source = Source::Path(path(&format!("{name}.gguf")));
    let model = Model::open(&source, weights, &Device::Cpu).expect("the stored model loads");
    (model, numbers(name))
}

fn numbers(name: &str) -> Case {
    let json = std::fs::read(path(&format!("{name}.json"))).expect("the numbers are stored");
    serde_json::from_slice(&json).expect("make.py wrote them")
}

fn run(model: &Model, chunk: &Chunk, kv: &mut KvCache, want: Want) -> Vec<f32> {
    let mut work = model.workspace();
    let part = Part {
        chunk: *chunk,
        kv,
        want,
    };
    model
        .forward(&mut [part], &mut work, &mut || false)
        .expect("the example fits the model");
    work.logits(0).values.to_vec()
}

#[track_caller]
fn check(got: &[f32], want: &[f32], bound: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let error = got
        .iter()
        .zip(want)
        .fold(0.0f32, |largest, (a, b)| largest.max((a - b).abs()))
        / scale;
    println!("{what}: largest difference {error:.1e} of the largest logit");
    assert!(
        error <= bound,
        "{what}: off by {error:e} of the largest logit, more than {bound:e}"
    );
}

/// Runs the example in chunks that end at `ends`, then checks the logits of all its tokens.
#[track_caller]
fn check_in_chunks(model: &Model, case: &Case, ends: &[usize], bound: f32, what: &str) {
    let mut kv = model.kv();
    let mut got = Vec::new();
    for &end in ends {
        got.extend(run(
            model,
            &case.chunk(model, kv.len(), end),
            &mut kv,
            Want::All,
        ));
    }
    assert_eq!(
        kv.len(),
        case.ids.len(),
        "{what}: the chunks cover the example"
    );
    check(
        &got,
        &case.logits.concat(),
        bound,
        &format!("{what}, chunks ending at {ends:?}"),
    );
}

/// The greedy continuation of the example, whose last chunk is run with [`Want::Last`] like in a decoder.
fn continuation(model: &Model, case: &Case, ends: &[usize]) -> Vec<u32> {
    let mut kv = model.kv();
    let mut logits = Vec::new();
    for &end in ends {
        logits = run(
            model,
            &case.chunk(model, kv.len(), end),
            &mut kv,
            Want::Last,
        );
    }
    let [row_0, mut row_1] = case
        .positions
        .each_ref()
        .map(|row| *row.last().expect("an example is not empty"));
    let mut tokens = Vec::new();
    while tokens.len() < case.greedy.len() {
        let best = (0..logits.len())
            .max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
            .expect("a vocabulary is not empty") as u32;
        tokens.push(best);
        row_1 += 1;
        let step = Chunk {
            ids: &[best],
            positions: [&[row_0], &[row_1]],
            prefix: case.prefix(model),
        };
        logits = run(model, &step, &mut kv, Want::Last);
    }
    tokens
}

#[test]
fn logits_and_tokens_are_the_references() {
    // The reference multiplies f32 activations by the numbers that Q8_0 stands for.
    let cases = [
        ("small", Weights::AsStored),
        ("odd", Weights::AsStored),
        ("small_q8", Weights::F32),
    ];
    for (name, weights) in cases {
        let (model, case) = load(name, weights);
        let (a, all) = (case.part_a, case.ids.len());
        for ends in [
            vec![all],
            vec![a, all],
            vec![a + 1, a + 4, a + 8, all],
            (a..=all).collect(),
        ] {
            check_in_chunks(&model, &case, &ends, CLOSE, name);
            assert_eq!(
                continuation(&model, &case, &ends),
                case.greedy,
                "{name}, chunks ending at {ends:?}"
            );
        }
    }
}

#[test]
fn a_far_zone_is_run_by_itself_and_the_rest_at_once() {
    let (model, case) = load("zones", Weights::AsStored);
    let (a, all) = (case.part_a, case.ids.len());
    assert_eq!(case.prefix(&model), Prefix { far: 3, length: a });
    for ends in [
        vec![all],
        vec![3, all],
        vec![1, 2, 3, a, all],
        vec![2, a, a + 5, all],
        vec![1, a + 4, all],
    ] {
        check_in_chunks(&model, &case, &ends, CLOSE, "zones");
        assert_eq!(
            continuation(&model, &case, &ends),
            case.greedy,
            "chunks ending at {ends:?}"
        );
    }
}

#[test]
fn rounding_to_q8_costs_little() {
    let (model, _) = load("small_q8", Weights::AsStored);
    let case = numbers("small");
    check_in_chunks(
        &model,
        &case,
        &[case.ids.len()],
        ROUNDED,
        "Q8_0 weights against plain ones",
    );
}

#[test]
fn a_rolled_back_cache_is_as_good_as_new() {
    let (model, case) = load("odd", Weights::AsStored);
    let (a, all) = (case.part_a, case.ids.len());
    let mut kv = model.kv();
    let fresh = run(&model, &case.chunk(&model, 0, all), &mut kv, Want::Last);
    kv.truncate(a);
    let wrong: Vec<u32> = case.ids[a..].iter().map(|id| (id + 7) % 89).collect();
    let positions = case.positions.each_ref().map(|row| &row[a..]);
    run(
        &model,
        &Chunk {
            ids: &wrong,
            positions,
            prefix: a.into(),
        },
        &mut kv,
        Want::All,
    );
    kv.truncate(a + 2);
    let again = run(&model, &case.chunk(&model, a + 2, all), &mut kv, Want::Last);
    assert!(again != fresh, "the two wrong tokens that stayed must show");
    kv.truncate(a);
    let again = run(&model, &case.chunk(&model, a, all), &mut kv, Want::Last);
    check(&again, &fresh, 1e-5, "after rolling back");
}
