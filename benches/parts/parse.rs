//! Edits and parses: what each keystroke costs before anything is asked.

use criterion::{BatchSize, Criterion, Throughput};
use text::{Document, Edit};

use crate::source;

/// Words that are typed at the cursor, one character a keystroke.
const TYPED: &str = "let total = self.entries.len() + 1;\n";

/// Benches an edit, a snapshot, a full parse and the parse after one typed character.
pub fn bench(criterion: &mut Criterion) {
    let text = source::text();
    let cursor = source::cursor(&text);
    let mut group = criterion.benchmark_group("parse");

    group.bench_function("edit", |bencher| {
        let mut document = parsed(&text);
        let mut typing = Typing::at(cursor);
        bencher.iter(|| document.edit(&typing.next()));
    });
    group.bench_function("keystroke", |bencher| {
        let mut document = parsed(&text);
        let mut typing = Typing::at(cursor);
        bencher.iter(|| {
            document.edit(&typing.next());
            parse(&mut document);
        });
    });
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("full", |bencher| {
        let document = || Document::new(&text, 0, source::language());
        bencher.iter_batched_ref(document, parse, BatchSize::LargeInput);
    });
    group.finish();
}

fn parsed(text: &str) -> Document {
    let mut document = Document::new(text, 0, source::language());
    parse(&mut document);
    document
}

fn parse(document: &mut Document) {
    let snapshot = document.snapshot();
    snapshot
        .tree(&mut || false)
        .expect("there is time and a grammar");
    document.adopt(snapshot.parsed().expect("it has just been parsed"));
}

/// Types [`TYPED`] at a place, deletes it in one go, and begins again.
struct Typing {
    start: usize,
    typed: usize,
}

impl Typing {
    fn at(start: usize) -> Typing {
        Typing { start, typed: 0 }
    }

    fn next(&mut self) -> Edit {
        let end = self.start + self.typed;
        match TYPED.get(self.typed..self.typed + 1) {
            Some(next) => {
                self.typed += 1;
                Edit {
                    range: end..end,
                    text: next.to_owned(),
                }
            }
            None => {
                self.typed = 0;
                Edit {
                    range: self.start..end,
                    text: String::new(),
                }
            }
        }
    }
}
