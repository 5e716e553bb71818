//! The embedded model: a whole prompt, and one token after it.

use criterion::{Criterion, Throughput};
use glm::{Chunk, KvCache, Model, Part, Want, Workspace};
use prompt::{Around, Budget, Prompt, Template};
use vocab::Vocab;

use crate::prompt::ANSWER;
use crate::{embedded, source};

/// Benches a prompt that fills the model's context, a short one, and the decoding of one token.
pub fn bench(criterion: &mut Criterion) {
    let Some((model, vocab)) = embedded::load("prefill and decode") else {
        return;
    };
    let mut work = model.workspace();
    let longest = model.config().context - ANSWER;

    let mut group = criterion.benchmark_group("prefill");
    for tokens in [64, longest] {
        let prompt = prompt(&vocab, tokens);
        group.throughput(Throughput::Elements(prompt.ids.len() as u64));
        group.bench_function(format!("{tokens}"), |bencher| {
            let mut kv = model.kv();
            bencher.iter(|| prefill(&model, &prompt, &mut kv, &mut work));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("decode");
    for tokens in [64, longest] {
        let prompt = prompt(&vocab, tokens);
        let mut kv = model.kv();
        prefill(&model, &prompt, &mut kv, &mut work);
        let length = kv.len();
        let place = [*prompt.positions[0].last().expect("a prompt has tokens")];
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("after {tokens}"), |bencher| {
            bencher.iter(|| {
                kv.truncate(length);
                let chunk = Chunk {
                    ids: &prompt.ids[..1],
                    positions: [&place, &[2]],
                    prefix: model.config().part_a.zones(prompt.part_a, prompt.mask_at),
                };
                let part = Part {
                    chunk,
                    kv: &mut kv,
                    want: Want::Last,
                };
                model
                    .forward(&mut [part], &mut work, &mut || false)
                    .expect("one token more fits")
            });
        });
    }
    group.finish();
}

fn prompt(vocab: &Vocab, part_a: usize) -> Prompt {
    let snapshot = source::snapshot();
    let cursor = source::cursor(&snapshot.text());
    let situation = prompt::situate(&snapshot, None, cursor).expect("a statement can stand there");
    prompt::build(
        &snapshot,
        &situation,
        vocab,
        Template::InfillV1,
        &Around::default(),
        Budget {
            part_a,
            part_b: ANSWER,
        },
    )
    .expect("the embedded model has all tokens of its template")
}

/// Runs a prompt from its start into a cache whose memory is there already.
fn prefill(model: &Model, prompt: &Prompt, kv: &mut KvCache, work: &mut Workspace) {
    kv.truncate(0);
    let positions = [
        prompt.positions[0].as_slice(),
        prompt.positions[1].as_slice(),
    ];
    let chunk = Chunk {
        ids: &prompt.ids,
        positions,
        prefix: model.config().part_a.zones(prompt.part_a, prompt.mask_at),
    };
    let part = Part {
        chunk,
        kv,
        want: Want::Last,
    };
    model
        .forward(&mut [part], work, &mut || false)
        .expect("a prompt fits its model");
}
