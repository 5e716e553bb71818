//! Translations that a small model knows by heart, so that all of translating is tested with a model that writes.
//!
//! Takes `tests/data/translate`: pairs of code and its translation, some with wrong attempts and what their test says of
//! them, and the model that was trained on them. Every pair is as it claims, and the model writes it to the letter, the
//! wrong attempts first, whether it is asked alone or along with all others.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use grammars::Language;
use infill::models::settings::Choice;
use infill::rooms::Rooms;
use infill::writer::{Order, Writer};
use prompt::{Attempt, Request, Template, Translation};
use serde::Deserialize;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::tidy;

/// More tokens than any of the answers has.
const MAX_TOKENS: usize = 400;

#[derive(Deserialize)]
struct Pair {
    id: String,
    from: String,
    to: String,
    code: String,
    #[serde(default)]
    context: String,
    #[serde(default)]
    declaration: String,
    translation: String,
    test: String,
    #[serde(default)]
    attempts: Vec<Wrong>,
}

#[derive(Deserialize)]
struct Wrong {
    code: String,
    complaint: String,
}

#[test]
fn translations_pass_their_tests_and_wrong_attempts_are_told_why() {
    for pair in pairs() {
        let ran = run(&pair, &pair.translation);
        assert!(ran.status.success(), "{}: {ran:?}", pair.id);
        for Wrong { code, complaint } in &pair.attempts {
            let ran = run(&pair, code);
            let output = [ran.stdout, ran.stderr].concat();
            let output = String::from_utf8(output).unwrap();
            assert_eq!(output.trim_end(), complaint, "{}", pair.id);
            assert_eq!(ran.status.code(), Some(1), "{}", pair.id);
        }
    }
}

#[test]
fn the_model_writes_every_pair_alone_and_among_all_others() {
    let model = tidy::root().join("tests/data/translate/pairs.gguf");
    let choice = Choice {
        model: Some(model.to_str().unwrap().to_owned()),
        ..Choice::default()
    };
    let rooms = Rooms::open(&choice, &|_| ()).unwrap();
    let writer = Arc::new(Writer::Engine(Arc::new(rooms)));
    assert_eq!(writer.template(), Template::Glm4);

    let lessons: Vec<Lesson> = pairs().iter().flat_map(Pair::lessons).collect();
    assert!(lessons.len() > 40);
    let runtime = Runtime::new().unwrap();
    let mut writing = JoinSet::new();
    for lesson in lessons.clone() {
        let writer = Arc::clone(&writer);
        writing.spawn_on(
            async move { lesson.check(&writer, "among others").await },
            runtime.handle(),
        );
    }
    runtime.block_on(writing.join_all());

    // Another engine, which has read and written nothing yet.
    let rooms = Rooms::open(&choice, &|_| ()).unwrap();
    let writer = Writer::Engine(Arc::new(rooms));
    for lesson in lessons {
        runtime.block_on(lesson.check(&writer, "alone"));
    }
}

/// A question and the answer that was learned.
#[derive(Clone)]
struct Lesson {
    name: String,
    request: Request,
    answer: String,
}

impl Lesson {
    async fn check(self, writer: &Writer, how: &str) {
        let order = Order {
            request: self.request,
            sampling: Default::default(),
            max_tokens: MAX_TOKENS,
        };
        let written = writer.write(&order).await.unwrap();
        assert_eq!(written.text, self.answer, "{}, {how}", self.name);
        assert!(written.is_whole, "{}, {how}", self.name);
    }
}

impl Pair {
    /// What the model is asked in turn until it gives the right translation.
    fn lessons(&self) -> Vec<Lesson> {
        let attempts = self.attempts.iter().map(|wrong| Attempt {
            code: wrong.code.clone(),
            complaint: wrong.complaint.clone(),
        });
        let attempts: Vec<Attempt> = attempts.collect();
        let [from, to] = [&self.from, &self.to].map(|name| Language::named(name).unwrap());
        let lesson = |round: usize| {
            let translation = Translation {
                from,
                to,
                code: &self.code,
                context: &self.context,
                declaration: &self.declaration,
                note: "",
                attempts: &attempts[..round],
            };
            let next = attempts.get(round);
            let code = next.map_or(&self.translation, |attempt| &attempt.code);
            Lesson {
                name: format!("{} after {round} attempts", self.id),
                request: translation.request(Template::Glm4).unwrap(),
                answer: format!("\n```{}\n{code}```", self.to),
            }
        };
        (0..=attempts.len()).map(lesson).collect()
    }
}

fn pairs() -> Vec<Pair> {
    let folder = tidy::root().join("tests/data/translate/pairs");
    let lists = ["python-javascript.jsonl", "python-rust.jsonl"];
    let read = |list| {
        let text = fs::read_to_string(folder.join(list)).unwrap();
        let pairs = text.lines().map(|line| serde_json::from_str(line).unwrap());
        pairs.collect::<Vec<Pair>>()
    };
    lists.into_iter().flat_map(read).collect()
}

/// Runs a translation with the pair's test below it.
fn run(pair: &Pair, code: &str) -> Output {
    let folder = std::env::temp_dir().join(format!("infill-pairs-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let program = format!("{code}\n{}", pair.test);
    let output = match &*pair.to {
        "javascript" => node(&folder, &program),
        "rust" => rust(&folder, &program),
        other => panic!("{}: no way to run {other}", pair.id),
    };
    fs::remove_dir_all(&folder).unwrap();
    output
}

fn node(folder: &Path, program: &str) -> Output {
    fs::write(folder.join("unit.js"), program).unwrap();
    let mut node = Command::new("node");
    node.arg("unit.js").current_dir(folder).output().unwrap()
}

/// What the compiler says counts as output, warnings as well.
fn rust(folder: &Path, program: &str) -> Output {
    fs::write(folder.join("unit.rs"), program).unwrap();
    let command = "rustc --edition 2021 unit.rs -o unit && ./unit";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(folder)
        .output()
        .unwrap()
}
