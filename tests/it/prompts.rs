//! Prompts as text: what the model reads for a cursor in each language.
//!
//! Every file in `data/prompts/LANGUAGE/` has a `‸` at its cursor; the file of the same name with
//! `.prompt` behind it is the prompt for it, with special tokens in `⟦ ⟧` and carriage returns as
//! `␍`. `UPDATE=1` writes those files anew. The vocabulary is the tests' own, so the goldens stay
//! as they are when a model is trained.

use std::fs;
use std::path::{Path, PathBuf};

use grammars::Language;
use prompt::{Budget, Prompt, build, situate};
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
    let prompt = build(&snapshot, &situation, vocab, BUDGET);
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
        prompt.mask_at,
        prompt.positions[0][prompt.part_a],
        prompt.positions[1][prompt.part_a],
        spell(&prompt.ids, vocab),
    )
}

/// What holds for every prompt, whatever its text.
fn check_positions(prompt: &Prompt, vocab: &Vocab) {
    let Prompt {
        ids,
        positions: [row_0, row_1],
        part_a,
        mask_at,
        ..
    } = prompt;
    let special = vocab.special().expect("a vocabulary of this template has its special tokens");
    assert!(*part_a <= BUDGET.part_a, "{part_a} tokens");
    assert_eq!(ids.len(), part_a + 1);
    assert_eq!(ids.last(), Some(&special.sop));
    let masks = [special.mask, special.smask, special.gmask];
    let places: Vec<usize> = (0..ids.len())
        .filter(|&at| masks.contains(&ids[at]))
        .collect();
    assert_eq!(places, [*mask_at]);
    let expected: Vec<u32> = (0..*part_a as u32).chain([*mask_at as u32]).collect();
    assert_eq!(row_0, &expected);
    assert!(row_1[..*part_a].iter().all(|&place| place == 0));
    assert_eq!(row_1.last(), Some(&1));
}

/// The ids as text, special ones spelled out.
fn spell(ids: &[u32], vocab: &Vocab) -> String {
    let special = vocab.special().expect("a vocabulary of this template has its special tokens");
    let name = |id: u32| match id {
        id if id == special.mask => Some("⟦[MASK]⟧"),
        id if id == special.smask => Some("⟦[sMASK]⟧"),
        id if id == special.gmask => Some("⟦[gMASK]⟧"),
        id if id == special.sop => Some("⟦sop⟧"),
        id if id == special.cls => Some("⟦[CLS]⟧"),
        id if id == special.eos => Some("⟦<|endoftext|>⟧"),
        _ => None,
    };
    let pieces = ids.chunk_by(|&a, &b| name(a).is_none() && name(b).is_none());
    let text: String = pieces
        .map(|piece| name(piece[0]).map_or_else(|| vocab.decode(piece), str::to_owned))
        .collect();
    text.replace('\r', "␍")
}

/// Compares with the golden file, or writes it if `UPDATE` is set.
fn check(golden: &Path, found: &str) {
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

fn entries(folder: &Path) -> Vec<PathBuf> {
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
