//! Criterion benches of the parts of a completion, one file a part, in the order in which a
//! keystroke meets them. `cargo bench -p benches` runs all, `cargo bench -p benches -- parse` those
//! of one part. What a whole keystroke takes is measured by `infill bench latency`.

mod cache;
mod embedded;
mod finish;
mod kernels;
mod model;
mod parse;
mod prompt;
mod source;
mod tokenizer;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    parts,
    parse::bench,
    tokenizer::bench,
    prompt::bench,
    cache::bench,
    model::bench,
    kernels::bench,
    finish::bench
);
criterion_main!(parts);
