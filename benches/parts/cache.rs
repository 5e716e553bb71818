//! The store of answers: what a keystroke pays to learn that no model is needed, or that one is.

use cache::{Answer, Context, LEFT, RIGHT, Store};
use criterion::Criterion;

use crate::source;

/// Bytes that the store may hold; small enough to be full after some thousand answers.
const BYTES: usize = 1 << 20;

/// Benches an insert into a full store, a hit of the same place, one typed along, and a miss.
pub fn bench(criterion: &mut Criterion) {
    let text = source::text();
    let cursor = source::cursor(&text);
    let (left, right) = text.split_at(cursor);
    let right: String = right.chars().take(2 * RIGHT).collect();
    let asked = near(left, "");
    let typed = near(left, "let total = ");
    let contradicted = near(left, "let other = ");
    let context = |left| Context {
        left,
        ..place(&right)
    };
    let answer = || Answer {
        text: "let total = self.entries.len() + 1;".to_owned(),
        score: 1.0,
    };

    let mut group = criterion.benchmark_group("cache");
    group.bench_function("insert", |bencher| {
        let store = Store::new(BYTES);
        let mut number = 0_u64;
        bencher.iter(|| {
            number += 1;
            let path = number.to_string();
            store.insert(
                &Context {
                    path: &path,
                    ..context(&asked)
                },
                answer(),
            );
        });
    });
    let store = Store::new(BYTES);
    store.insert(&context(&asked), answer());
    for (name, left, hits) in [
        ("exact", &asked, true),
        ("adopted", &typed, true),
        ("miss", &contradicted, false),
    ] {
        assert_eq!(store.get(&context(left)).is_some(), hits, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| store.get(&context(left))));
    }
    group.finish();
}

fn place(right: &str) -> Context<'_> {
    Context {
        model: "infill-v2",
        template: "infill_v1",
        language: "rust",
        path: "file:///home/me/project/src/main.rs",
        kind: 0,
        beside: 0,
        left: "",
        right,
    }
}

/// The last of the text before the cursor, with what was typed there since.
fn near(left: &str, typed: &str) -> String {
    let from = (left.len().saturating_sub(LEFT)..).find(|at| left.is_char_boundary(*at));
    format!("{}{typed}", &left[from.unwrap_or(0)..])
}
