//! Prompts as text: what a model reads for a cursor, a conversation or a task.
//!
//! Every file in `data/prompts/LANGUAGE/` has a `‸` at its cursor; the file of the same name with
//! `.prompt` behind it is the prompt for it in our own template. `data/prompts/templates` has the
//! prompts of every template for some of these files, and `data/prompts/tasks` those for tasks,
//! `data/prompts/translations` those for units of a translation.
//! Special tokens stand in `⟦ ⟧`, carriage returns as `␍`. `UPDATE=1` writes those files anew. The
//! vocabulary is the tests' own, so the goldens stay as they are when a model is trained.
//!
//! `data/prompts/chat` is written by `oracles/chat_templates.py`, which runs the makers' code, for
//! ChatGLM 1 to 3 and GLM-4.5; by hand from their published descriptions for the others.

use std::fs;
use std::path::{Path, PathBuf};

use grammars::Language;
use prompt::{
    Advance, Around, Attempt, Budget, Input, Kind, Message, Prompt, Reference, Role, Task,
    Template, Translation, Why, build, chat, situate, task,
};
use serde_json::Value;
use text::{Snapshot, fixture};
use vocab::Vocab;

/// Small enough that some of the files do not fit.
const BUDGET: Budget = Budget {
    part_a: 160,
    part_b: 32,
};

/// The situation and the prompt, or why there is none, in a form to read and compare.
fn render(text: &str, offset: usize, language: Language, vocab: &Vocab) -> String {
    let snapshot = Snapshot::new(text, language);
    let syntax = snapshot.syntax(&mut || false);
    let situation = match situate(&snapshot, syntax.as_ref(), offset) {
        Ok(situation) => situation,
        Err(why) => return format!("none: {why}\n"),
    };
    let template = Template::InfillV1;
    let prompt = build(
        &snapshot,
        &situation,
        vocab,
        template,
        &Around::default(),
        BUDGET,
    )
    .expect("the fixture has all tokens of this template");
    check_positions(&prompt, vocab);
    let scope = situation
        .scope
        .as_ref()
        .map_or("none".to_owned(), |scope| format!("{scope:?}"));
    format!(
        "situation: {:?} until {:?} in {:?}, indent {}, line {:?} | {:?}, scope {scope}\n\
         window: {:?} of {} bytes\n\
         positions: Part A 0..{} in row 0, mask at {}, sop at ({}, {})\n\
         ----\n{}\n",
        situation.mask,
        situation.until,
        situation.region,
        situation.indent,
        situation.line_left,
        situation.line_right,
        prompt.window,
        text.len(),
        prompt.part_a,
        prompt.mask_at.expect("this template has a mask"),
        prompt.positions[0][prompt.part_a],
        prompt.positions[1][prompt.part_a],
        spell(&prompt.ids, vocab, FAMILIES[0].1),
    )
}

/// What holds for every prompt of our own template, whatever its text.
fn check_positions(prompt: &Prompt, vocab: &Vocab) {
    let Prompt {
        ids,
        positions: [row_0, row_1],
        part_a,
        mask_at: Some(mask_at),
        advance: Advance::Span,
        ..
    } = prompt
    else {
        panic!("{prompt:?}")
    };
    let id = |token| vocab.id(token).expect("the fixture has it");
    assert!(*part_a <= BUDGET.part_a, "{part_a} tokens");
    assert_eq!(ids.len(), part_a + 1);
    assert_eq!(ids.last(), Some(&id("<|startofpiece|>")));
    let masks = ["[MASK]", "[sMASK]", "[gMASK]"].map(id);
    let places: Vec<usize> = (0..ids.len())
        .filter(|&at| masks.contains(&ids[at]))
        .collect();
    assert_eq!(places, [*mask_at]);
    let expected: Vec<u32> = (0..*part_a as u32).chain([*mask_at as u32]).collect();
    assert_eq!(row_0, &expected);
    assert!(row_1[..*part_a].iter().all(|&place| place == 0));
    assert_eq!(row_1.last(), Some(&1));
    assert_eq!(prompt.stops, ["<|endofpiece|>", "<|endoftext|>"].map(id));
}

/// The ids as text, special ones spelled out.
pub fn spell(ids: &[u32], vocab: &Vocab, special: &[&str]) -> String {
    let show = |token: &str| match token {
        "<|startofpiece|>" => "⟦sop⟧".to_owned(),
        token => format!("⟦{token}⟧"),
    };
    spell_as(ids, vocab, special, show).replace('\r', "␍")
}

fn spell_as(ids: &[u32], vocab: &Vocab, special: &[&str], show: impl Fn(&str) -> String) -> String {
    let name = |id: u32| special.iter().find(|token| vocab.id(token) == Some(id));
    let pieces = ids.chunk_by(|&a, &b| name(a).is_none() && name(b).is_none());
    pieces
        .map(|piece| name(piece[0]).map_or_else(|| vocab.decode(piece), |token| show(token)))
        .collect()
}

/// Compares with the golden file, or writes it if `UPDATE` is set.
pub fn check(golden: &Path, found: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(golden, found).expect("the golden file can be written");
        return;
    }
    let expected = fs::read_to_string(golden).unwrap_or_default();
    assert_eq!(
        found,
        expected,
        "{} differs; UPDATE=1 writes it anew",
        golden.display()
    );
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/prompts")
}

pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn files_give_their_golden_prompts() {
    let vocab = vocab::fixture::vocab();
    let mut checked = 0;
    for folder in entries(&folder()) {
        let name = folder.file_name().unwrap().to_str().unwrap();
        if ["chat", "made", "tasks", "templates", "translations"].contains(&name) {
            continue;
        }
        let language = Language::named(name).unwrap_or(Language::PLAIN);
        for path in entries(&folder) {
            let is_golden = path
                .extension()
                .is_some_and(|extension| extension == "prompt");
            if is_golden {
                continue;
            }
            let (text, offset) = fixture::cursor(&fs::read_to_string(&path).unwrap());
            let golden = PathBuf::from(format!("{}.prompt", path.display()));
            check(&golden, &render(&text, offset, language, &vocab));
            checked += 1;
        }
    }
    assert!(checked >= 15, "{checked} files");
}

/// The golden prompt of a text that is awkward to keep as a file.
fn check_made(name: &str, marked: &str, language: &str) {
    let (text, offset) = fixture::cursor(marked);
    let language = Language::named(language).unwrap_or(Language::PLAIN);
    let found = render(&text, offset, language, &vocab::fixture::vocab());
    check(
        &folder().join("made").join(format!("{name}.prompt")),
        &found,
    );
}

#[test]
fn ends_of_a_text() {
    check_made("empty", "‸", "python");
    check_made("empty_plain", "‸", "plain");
    check_made("start", "‸import sys\n", "python");
    check_made("end", "import sys\n\nsys.‸", "python");
}

#[test]
fn carriage_returns_stay_as_they_are() {
    check_made("crlf", "if x:\r\n    ‸\r\nelse:\r\n    pass\r\n", "python");
}

#[test]
fn a_very_long_line_is_cut_at_the_budget() {
    let line = "var a=f(x,1);".repeat(8_000);
    let (left, right) = line.split_at(line.len() / 2);
    check_made("long_line", &format!("{left}b=‸{right}\n"), "javascript");
    check_made(
        "below_long_line",
        &format!("{line}\n‸\nlast();\n"),
        "javascript",
    );
}

#[test]
fn text_that_spells_special_tokens_stays_text() {
    check_made(
        "special_spelled",
        "MASKS = [\"[MASK]\", \"[sMASK]\"]\nEND = \"<|endoftext|>\"\n[CLS] = ‸\n# <|startofpiece|>\n",
        "python",
    );
}

/// Templates, each with the special tokens of its family's vocabulary.
pub const FAMILIES: [(Template, &[&str]); 15] = {
    const GLM: &[&str] = &[
        "[MASK]",
        "[sMASK]",
        "[gMASK]",
        "<|startofpiece|>",
        "<|endofpiece|>",
        "[CLS]",
        "<|endoftext|>",
    ];
    const GLM130B: &[&str] = &["</s>", "[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"];
    const CHATGLM: &[&str] = &["</s>", "[MASK]", "[gMASK]", "<sop>", "<eop>"];
    const CHATGLM3: &[&str] = &[
        "</s>",
        "[MASK]",
        "[gMASK]",
        "sop",
        "eop",
        "<|system|>",
        "<|user|>",
        "<|assistant|>",
        "<|observation|>",
    ];
    const GLM4: &[&str] = &[
        "<|endoftext|>",
        "[MASK]",
        "[gMASK]",
        "[sMASK]",
        "<sop>",
        "<eop>",
        "<|system|>",
        "<|user|>",
        "<|assistant|>",
        "<|observation|>",
    ];
    const GLM45: &[&str] = &[
        "<|endoftext|>",
        "[MASK]",
        "[gMASK]",
        "[sMASK]",
        "<sop>",
        "<eop>",
        "<|system|>",
        "<|user|>",
        "<|assistant|>",
        "<|observation|>",
        "<|code_prefix|>",
        "<|code_middle|>",
        "<|code_suffix|>",
        "<think>",
        "</think>",
        "/nothink",
    ];
    [
        (Template::InfillV1, GLM),
        (Template::Glm, GLM),
        (Template::Glm130b, GLM130B),
        (Template::ChatGlm, CHATGLM),
        (Template::ChatGlm2, GLM130B),
        (Template::ChatGlm3, CHATGLM3),
        (Template::CodeGeex, &["<|endoftext|>"]),
        (Template::CodeGeex2, GLM130B),
        (Template::CodeGeex4, GLM45),
        (Template::Glm4, GLM4),
        (Template::Glm4_0414, GLM4),
        (Template::GlmZ1, GLM4),
        (Template::Glm45, GLM45),
        (Template::Glm47, GLM45),
        (Template::InfillV2, GLM),
    ]
};

/// The files of `data/prompts` that every template is asked about: a block, a statement, a blank in
/// a line, a comment and plain text.
const CURSORS: [&str; 6] = [
    "python/body.py",
    "python/argument.py",
    "rust/tail.rs",
    "typescript/condition.ts",
    "go/comment.go",
    "plain/letter.txt",
];

#[test]
fn every_template_gives_its_golden_prompts() {
    for (template, special) in FAMILIES {
        let vocab = vocab::fixture::with_special(special);
        let mut found = String::new();
        for name in CURSORS {
            let (folder_name, file) = name.split_once('/').unwrap();
            let language = Language::named(folder_name).unwrap_or(Language::PLAIN);
            let text = fs::read_to_string(folder().join(name)).unwrap();
            let (text, offset) = fixture::cursor(&text);
            let snapshot = Snapshot::new(&text, language);
            let syntax = snapshot.syntax(&mut || false);
            let situation = situate(&snapshot, syntax.as_ref(), offset).unwrap();
            let around = Around {
                path: file,
                references: &[],
            };
            let prompt = build(&snapshot, &situation, &vocab, template, &around, BUDGET);
            found += &format!(
                "==== {name}: {:?} until {:?}\n",
                situation.mask, situation.until
            );
            found += &match prompt {
                Ok(prompt) => {
                    check_prompt(&prompt, &text, offset);
                    show(&prompt, &vocab, special)
                }
                Err(why) => format!("none: {why}\n"),
            };
        }
        let golden = folder().join(format!("templates/{template}.txt"));
        check(&golden, &found);
    }
}

/// What holds for every prompt of every template.
fn check_prompt(prompt: &Prompt, text: &str, offset: usize) {
    let Prompt { ids, window, .. } = prompt;
    assert_eq!(prompt.positions.each_ref().map(Vec::len), [ids.len(); 2]);
    assert!(ids.len() <= BUDGET.part_a + 1, "{} tokens", ids.len());
    assert!(window.start <= offset && offset <= window.end && window.end <= text.len());
    assert!(!prompt.stops.is_empty());
}

fn show(prompt: &Prompt, vocab: &Vocab, special: &[&str]) -> String {
    let stops = spell(&prompt.stops, vocab, special);
    let last = prompt.positions.each_ref().map(|row| row[row.len() - 1]);
    format!(
        "window: {:?}; {} tokens, {} of them Part A, mask at {:?}; then {:?} from {last:?} to {stops}\n\
         ----\n{}\n",
        prompt.window,
        prompt.ids.len(),
        prompt.part_a,
        prompt.mask_at,
        prompt.advance,
        spell(&prompt.ids, vocab, special),
    )
}

#[test]
fn references_come_first_and_give_way_to_the_text() {
    let (template, special) = FAMILIES[8];
    assert_eq!(template, Template::CodeGeex4);
    let vocab = vocab::fixture::with_special(special);
    let (text, offset) = fixture::cursor("from shapes import area\n\nprint(area(‸))\n");
    let snapshot = Snapshot::new(&text, Language::named("python").unwrap());
    let situation = situate(&snapshot, None, offset).unwrap();
    let long = "x = 1\n".repeat(100);
    let references = [
        Reference {
            path: "shapes.py",
            text: "def area(width, height):\n    return width * height",
        },
        Reference {
            path: "long.py",
            text: &long,
        },
    ];
    let around = Around {
        path: "src/main.py",
        references: &references,
    };
    let budget = Budget {
        part_a: 320,
        part_b: 32,
    };
    let prompt = build(&snapshot, &situation, &vocab, template, &around, budget).unwrap();
    let golden = folder().join("made/references.prompt");
    check(&golden, &show(&prompt, &vocab, special));
}

#[test]
fn a_vocabulary_without_the_code_tokens_says_what_is_missing() {
    let vocab = vocab::fixture::with_special(FAMILIES[9].1);
    let snapshot = Snapshot::new("x = ", Language::PLAIN);
    let situation = situate(&snapshot, None, 4).unwrap();
    let template = Template::CodeGeex4;
    let why = build(
        &snapshot,
        &situation,
        &vocab,
        template,
        &Around::default(),
        BUDGET,
    );
    assert!(matches!(why, Err(Why::Model(_))), "{why:?}");
    let why = why.unwrap_err().to_string();
    assert!(
        why.contains("<|code_suffix|>") && why.contains("codegeex4_v1"),
        "{why}"
    );
}

/// The conversations of `chat/conversations.json`.
fn conversations() -> Vec<(String, Vec<Message>)> {
    let text = fs::read_to_string(folder().join("chat/conversations.json"))
        .expect("the conversations are there");
    let json: Value = serde_json::from_str(&text).expect("they are JSON");
    let message = |message: &Value| Message {
        role: match message["role"].as_str().expect("a string") {
            "system" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            other => panic!("{other}"),
        },
        content: message["content"].as_str().expect("a string").to_owned(),
    };
    let conversation = |(name, messages): (&String, &Value)| {
        let messages = messages.as_array().expect("a list");
        (name.clone(), messages.iter().map(message).collect())
    };
    json.as_object()
        .expect("an object")
        .iter()
        .map(conversation)
        .collect()
}

#[test]
fn conversations_read_as_their_makers_render_them() {
    let mut checked = 0;
    for (template, special) in FAMILIES {
        let vocab = vocab::fixture::with_special(special);
        for (name, messages) in conversations() {
            let path = folder().join(format!("chat/{template}.{name}.txt"));
            let Ok(expected) = fs::read_to_string(&path) else {
                continue;
            };
            let input = chat(template, &vocab, &messages).unwrap();
            let found = spell_as(&input.ids, &vocab, special, str::to_owned);
            assert_eq!(found, expected, "{}", path.display());
            check_roles(&input, &vocab, &messages);
            checked += 1;
        }
    }
    assert_eq!(checked, 25);
}

/// Role tokens are as many as there are turns, whatever the messages spell.
fn check_roles(input: &Input, vocab: &Vocab, messages: &[Message]) {
    let roles = ["<|system|>", "<|user|>", "<|assistant|>"].map(|token| vocab.id(token));
    let turns = input.ids.iter().filter(|&&id| roles.contains(&Some(id)));
    let expected = if roles[1].is_some() {
        messages.len() + 1
    } else {
        0
    };
    assert_eq!(turns.count(), expected);
}

#[test]
fn tasks_give_their_golden_prompts() {
    let python = Language::named("python").unwrap();
    let to = Language::named("rust").unwrap();
    let code = "def area(width, height):\n    return width * height\n";
    let diff = "--- a/shapes.py\n+++ b/shapes.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n";
    let kinds = [
        (Kind::Explain, code, ""),
        (Kind::Comment, code, ""),
        (Kind::Translate { to }, code, ""),
        (Kind::Fix, code, "It should refuse negative sizes."),
        (Kind::Review, diff, ""),
        (Kind::Tests, code, "Use pytest."),
    ];
    for (template, special) in FAMILIES {
        let vocab = vocab::fixture::with_special(special);
        let mut found = String::new();
        for (kind, code, note) in kinds {
            let asked = Task {
                kind,
                language: python,
                code,
                note,
            };
            found += &format!("==== {kind:?}\n").replace("Language(", "(");
            found += &match task(template, &vocab, &asked) {
                Ok(input) => spell(&input.ids, &vocab, special) + "\n",
                Err(error) => format!("none: {error}\n"),
            };
        }
        check(&folder().join(format!("tasks/{template}.txt")), &found);
    }
}

#[test]
fn translations_give_their_golden_prompts() {
    let plain = Translation {
        from: Language::named("python").unwrap(),
        to: Language::named("rust").unwrap(),
        code: "def area(shape):\n    return width(shape) * 2\n",
        context: "",
        declaration: "",
        note: "",
        attempts: &[],
    };
    let inside = Translation {
        context: "from shapes import Shape\n\ndef width(shape): ...\n",
        declaration: "fn area(shape: &Shape) -> f64 {\n",
        ..plain
    };
    let attempts = [
        (
            "fn area() {}\n",
            "error[E0061]: this function takes 0 arguments\n --> src/lib.rs:9:5\n",
        ),
        (
            "fn area(shape: Shape) -> f64 {}",
            "error[E0308]: mismatched types",
        ),
    ];
    let attempts = attempts.map(|(code, complaint)| Attempt {
        code: code.to_owned(),
        complaint: complaint.to_owned(),
    });
    let again = Translation {
        attempts: &attempts,
        ..plain
    };
    for (template, special) in FAMILIES {
        let vocab = vocab::fixture::with_special(special);
        let mut found = String::new();
        for (name, translation) in [("alone", plain), ("inside", inside), ("again", again)] {
            let input = translation
                .request(template)
                .and_then(|request| request.input(template, &vocab));
            let prompt = match input {
                Ok(input) => spell(&input.ids, &vocab, special),
                Err(error) => format!("none: {error}"),
            };
            found += &format!("==== {name}\n{prompt}\n");
        }
        check(
            &folder().join(format!("translations/{template}.txt")),
            &found,
        );
    }
}
