//! From a cursor, and other files beside it, to a prompt.

use criterion::Criterion;
use prompt::{Around, Budget, Here, Neighbour, Template};

use crate::{embedded, source};

/// Tokens set aside for the answer.
pub const ANSWER: usize = 64;

/// Files that are open beside the text.
const BESIDE: usize = 20;

/// Benches where the cursor is, and the prompt that is built for it.
pub fn bench(criterion: &mut Criterion) {
    let Some((model, vocab)) = embedded::load("prompt") else {
        return;
    };
    let snapshot = source::snapshot();
    let cursor = source::cursor(&snapshot.text());
    let syntax = snapshot
        .syntax(&mut || false)
        .expect("there is time and a grammar");
    let situate = || prompt::situate(&snapshot, Some(&syntax), cursor);
    let situation = situate().expect("a statement can stand there");
    let budget = Budget {
        part_a: model.config().context - ANSWER,
        part_b: ANSWER,
    };

    let mut group = criterion.benchmark_group("prompt");
    group.bench_function("situate", |bencher| bencher.iter(situate));
    group.bench_function("build", |bencher| {
        let (template, around) = (Template::InfillV1, Around::default());
        bencher.iter(|| prompt::build(&snapshot, &situation, &vocab, template, &around, budget));
    });
    group.bench_function("cut", |bencher| {
        bencher.iter(|| Neighbour::new("text.rs", &snapshot));
    });
    let files: Vec<Neighbour> = (0..BESIDE)
        .map(|number| Neighbour::new(&format!("{number}/text.rs"), &snapshot))
        .collect();
    let files: Vec<&Neighbour> = files.iter().collect();
    let here = Here {
        path: "text.rs",
        snapshot: &snapshot,
        offset: cursor,
    };
    let tokens = Template::InfillV2.references(budget.part_a);
    group.bench_function("choose", |bencher| {
        bencher.iter(|| prompt::choose(&here, &files, tokens));
    });
    group.finish();
}
