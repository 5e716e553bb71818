//! The store as its users see it: what is found where, what is forgotten, and that it stays within
//! its bytes whatever is put in by however many threads.

use cache::{Answer, Context, Store, Tier};
use proptest::prelude::*;

/// Splits marked text at the cursor `‸`.
fn sides(marked: &str) -> (&str, &str) {
    marked.split_once('‸').expect("the text marks its cursor")
}

fn context<'a>(marked: &'a str) -> Context<'a> {
    let (left, right) = sides(marked);
    Context {
        model: "m",
        template: "t",
        language: "python",
        path: "/a.py",
        kind: 0,
        beside: 0,
        left,
        right,
    }
}

fn answer(text: &str) -> Answer {
    Answer {
        text: text.to_owned(),
        score: 1.0,
    }
}

/// What the store has at `now` after `text` was answered at `asked`.
fn found(asked: &str, text: &str, now: &str) -> Option<(String, Tier)> {
    let store = Store::new(1 << 20);
    store.insert(&context(asked), answer(text));
    store.get(&context(now)).map(|hit| (hit.text, hit.tier))
}

#[test]
fn finds_the_same_question_and_what_is_typed_along() {
    let exact = |text: &str| Some((text.to_owned(), Tier::Exact));
    let adopted = |text: &str| Some((text.to_owned(), Tier::Adopted));
    let cases = [
        (
            "the same place",
            "a\nre‸\nb",
            "turn x",
            "a\nre‸\nb",
            exact("turn x"),
        ),
        (
            "typed along",
            "a\nre‸\nb",
            "turn x",
            "a\nreturn‸\nb",
            adopted(" x"),
        ),
        (
            "typed otherwise",
            "a\nre‸\nb",
            "turn x",
            "a\nresult‸\nb",
            None,
        ),
        ("all typed", "a\nre‸\nb", "turn x", "a\nreturn x‸\nb", None),
        (
            "deleted before the answer",
            "a\nre‸\nb",
            "turn x",
            "a\nr‸\nb",
            None,
        ),
        (
            "another line above",
            "a\nre‸\nb",
            "turn x",
            "c\nreturn‸\nb",
            None,
        ),
        (
            "another line below",
            "a\nre‸\nb",
            "turn x",
            "a\nreturn‸\nc",
            None,
        ),
        (
            "code to the right now",
            "a\nre‸\nb",
            "turn x",
            "a\nreturn‸ y\nb",
            None,
        ),
        (
            "across a line end",
            "a:‸\nb",
            "\n    c = 1\n    d",
            "a:\n    c‸\nb",
            adopted(" = 1\n    d"),
        ),
        (
            "two line ends",
            "a:‸\nb",
            "\n    c\n    d",
            "a:\n    c\n    ‸\nb",
            adopted("d"),
        ),
        (
            "CRLF",
            "a:‸\r\nb",
            "\n    c\n    d",
            "a:\r\n    c\r\n    ‸\r\nb",
            adopted("d"),
        ),
        (
            "closer inserted",
            "x = f‸\nb",
            "oo(a, b)",
            "x = foo(‸)\nb",
            adopted("a, b)"),
        ),
        (
            "closer not in the answer",
            "x = f‸\nb",
            "oo(a",
            "x = foo(‸)\nb",
            None,
        ),
        (
            "closer typed over",
            "f(‸)\nb",
            "a).c()",
            "f(a)‸\nb",
            adopted(".c()"),
        ),
        (
            "quote inserted",
            "p(‸)\nb",
            "\"hi\")",
            "p(\"‸\")\nb",
            adopted("hi\")"),
        ),
        ("another closer there", "f(‸)\nb", "a)", "f(a‸]\nb", None),
    ];
    for (what, asked, text, now, expected) in cases {
        assert_eq!(found(asked, text, now), expected, "{what}");
    }
}

#[test]
fn looks_back_no_further_than_it_should() {
    let long = "x".repeat(200);
    let typed = |n: usize| format!("a\n{}‸\nb", &long[..n]);
    assert!(found("a\n‸\nb", &long, &typed(128)).is_some());
    assert!(found("a\n‸\nb", &long, &typed(129)).is_none());
}

#[test]
fn the_kind_of_blank_counts_for_the_same_place_only() {
    let store = Store::new(1 << 20);
    store.insert(&context("a\nre‸"), answer("turn x"));
    assert!(
        store
            .get(&Context {
                kind: 1,
                ..context("a\nre‸")
            })
            .is_none()
    );
    assert!(
        store
            .get(&Context {
                kind: 1,
                ..context("a\nret‸")
            })
            .is_some()
    );
    assert!(
        store
            .get(&Context {
                model: "n",
                ..context("a\nret‸")
            })
            .is_none()
    );
}

#[test]
fn a_newer_answer_replaces_the_older_one() {
    let store = Store::new(1 << 20);
    store.insert(&context("a\nre‸"), answer("turn x"));
    store.insert(&context("a\nre‸"), answer("sult"));
    assert_eq!(store.len(), 1);
    assert_eq!(
        store.get(&context("a\nre‸")).map(|hit| hit.text),
        Some("sult".to_owned())
    );
    store.clear();
    assert_eq!((store.len(), store.bytes()), (0, 0));
}

#[test]
fn forgets_what_was_least_recently_used() {
    let store = Store::new(4096);
    let place = |n: usize| format!("line {n}\n‸");
    let text = "y".repeat(400);
    for n in 0..5 {
        store.insert(&context(&place(n)), answer(&text));
    }
    assert!(store.get(&context(&place(0))).is_some());
    for n in 5..10 {
        store.insert(&context(&place(n)), answer(&text));
    }
    assert!(store.get(&context(&place(0))).is_some(), "it was used");
    assert!(store.get(&context(&place(1))).is_none(), "it was not");
    assert!(store.get(&context(&place(9))).is_some(), "it is the newest");
}

#[test]
fn threads_share_it() {
    let store = Store::new(20_000);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..500 {
                    let place = format!("line {}\nfoo‸", (n * 7 + thread) % 60);
                    store.insert(&context(&place), answer(&format!(" = {n}")));
                    let typed = place.replace('‸', " = ‸");
                    assert!(
                        store
                            .get(&context(&typed))
                            .is_none_or(|hit| hit.text.parse::<u32>().is_ok())
                    );
                    assert!(store.bytes() <= 20_000);
                    if n % 100 == 0 && thread == 0 {
                        store.clear();
                    }
                }
            });
        }
    });
    assert!(store.bytes() <= 20_000);
}

proptest! {
    #[test]
    fn stays_within_its_bytes(
        bound in 0..4000_usize,
        steps in proptest::collection::vec((0..12_usize, 0..20_usize, 0..900_usize), 1..80),
    ) {
        let store = Store::new(bound);
        for (above, typed, length) in steps {
            let place = format!("{above}\n{}‸", "z".repeat(typed));
            store.insert(&context(&place), answer(&"z".repeat(length)));
            prop_assert!(store.bytes() <= bound);
            if let Some(hit) = store.get(&context(&place)) {
                prop_assert!(hit.text.chars().all(|c| c == 'z'));
            }
        }
        store.clear();
        prop_assert_eq!(store.bytes(), 0);
    }
}
