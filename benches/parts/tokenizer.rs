//! Text to token ids, with the embedded model's vocabulary.

use criterion::{Criterion, Throughput};

use crate::{embedded, source};

/// Benches the encoding of a line and of the whole text.
pub fn bench(criterion: &mut Criterion) {
    let Some((_, vocab)) = embedded::load("tokenizer") else {
        return;
    };
    let text = source::text();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let mut group = criterion.benchmark_group("tokenizer");
    group.bench_function("line", |bencher| {
        let mut lines = lines.iter().cycle();
        bencher.iter(|| vocab.encode(lines.next().expect("a cycle has no end")));
    });
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("text", |bencher| bencher.iter(|| vocab.encode(&text)));
    group.finish();
}
