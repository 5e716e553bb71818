//! From a raw answer to an item, on a text that has been parsed already.

use criterion::Criterion;
use finish::{Ask, Settled, Stop, Until};
use text::Snapshot;

use crate::source;

/// A block as a model gives it, with more than was asked for.
const RAW: &str = "let total = self.entries.len();\n    if total == 0 {\n        return;\n    }\n\n\nfn other() {\n    other();\n}\n";

/// Benches the watch over a coming answer, settling it, and fitting it into the text.
pub fn bench(criterion: &mut Criterion) {
    let snapshot = source::snapshot();
    let cursor = source::cursor(&snapshot.text());
    let ask = Ask::at(&snapshot, cursor, Until::Block);
    let settled = finish::settle(RAW, &ask).expect("the answer has a block in it");
    let mut group = criterion.benchmark_group("finish");
    group.bench_function("stop", |bencher| bencher.iter(|| watch(&ask)));
    group.bench_function("settle", |bencher| {
        bencher.iter(|| finish::settle(RAW, &ask))
    });
    group.bench_function("fit line", |bencher| {
        let line = Settled {
            text: "let total = self.entries.len();".to_owned(),
        };
        bencher.iter(|| fit(&line, &ask, &snapshot, cursor));
    });
    group.bench_function("fit block", |bencher| {
        bencher.iter(|| fit(&settled, &ask, &snapshot, cursor));
    });
    group.finish();
}

/// Reads the answer in pieces of four characters, about a token each.
fn watch(ask: &Ask) -> bool {
    let mut stop = Stop::new(ask);
    RAW.as_bytes()
        .chunks(4)
        .any(|piece| stop.push(&String::from_utf8_lossy(piece)))
}

fn fit(settled: &Settled, ask: &Ask, snapshot: &Snapshot, cursor: usize) -> bool {
    finish::fit(settled, ask, snapshot, cursor, &mut || false).is_ok()
}
