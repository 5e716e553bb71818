//! Excerpts of other files as text: what is chosen of them for a cursor, and the prompt that shows it.
//!
//! Every `.txt` file in `data/neighbours` has several files, each under a line `//- /path`: the one that is worked in with a
//! `‸` at its cursor, then the others, the one edited last first. The file of the same name with `.chosen` behind it has what
//! is shown of them. `UPDATE=1` writes those anew.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;

use grammars::Language;
use prompt::{
    Around, Budget, Here, Neighbour, Prompt, Reference, Template, build, choose, situate,
};
use text::{Snapshot, fixture};
use vocab::Vocab;

use crate::prompts::{FAMILIES, check, entries, spell};

const BUDGET: Budget = Budget {
    part_a: 900,
    part_b: 32,
};

/// A case: the file that is worked in, and those beside it.
struct Scene {
    path: String,
    snapshot: Snapshot,
    offset: usize,
    neighbours: Vec<Neighbour>,
}

impl Scene {
    fn new(text: &str) -> Scene {
        let language = |path: &str| Language::of_path(Path::new(path)).unwrap();
        let mut files = fixture::files(text).into_iter();
        let (path, marked) = files.next().unwrap();
        let (text, offset) = fixture::cursor(&marked);
        let neighbour = |(path, text): (String, String)| {
            Neighbour::new(&path, &Snapshot::new(&text, language(&path)))
        };
        Scene {
            snapshot: Snapshot::new(&text, language(&path)),
            neighbours: files.map(neighbour).collect(),
            path,
            offset,
        }
    }

    fn choose(&self, tokens: usize) -> Vec<Reference<'_>> {
        let here = Here {
            path: &self.path,
            snapshot: &self.snapshot,
            offset: self.offset,
        };
        let neighbours: Vec<&Neighbour> = self.neighbours.iter().collect();
        let chosen = choose(&here, &neighbours, tokens).into_iter();
        chosen.map(|(_, excerpt)| excerpt).collect()
    }

    fn build(&self, references: &[Reference], template: Template, budget: Budget) -> Prompt {
        let situation = situate(&self.snapshot, None, self.offset).unwrap();
        let around = Around {
            path: "",
            references,
        };
        let vocab = vocab::fixture::vocab();
        let snapshot = &self.snapshot;
        build(snapshot, &situation, &vocab, template, &around, budget).unwrap()
    }
}

fn show(prompt: &Prompt, vocab: &Vocab) -> String {
    spell(&prompt.ids, vocab, FAMILIES[0].1)
}

#[test]
fn files_give_their_golden_excerpts() {
    let vocab = vocab::fixture::vocab();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/neighbours");
    let mut checked = 0;
    for path in entries(&folder) {
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let scene = Scene::new(&std::fs::read_to_string(&path).unwrap());
        let references = scene.choose(Template::InfillV2.references(BUDGET.part_a));
        let mut found = String::new();
        for Reference { path, text } in &references {
            found += &format!("==== {path}\n{text}\n");
        }
        let prompt = scene.build(&references, Template::InfillV2, BUDGET);
        assert!(prompt.part_a <= BUDGET.part_a);
        found += &format!("---- {} tokens\n{}\n", prompt.part_a, show(&prompt, &vocab));
        check(&path.with_extension("chosen"), &found);
        checked += 1;
    }
    assert!(checked >= 4, "{checked} cases");
}

const PEN: &str = "//- /pen.py
from keeper import feed, water

def evening(animals, hour):
    feed(animals, hour)
    ‸
//- /keeper.py
def feed(animals, hour):
    return [animal for animal in animals if animal.eats(hour)]

def water(animals, hour):
    return [animal for animal in animals if animal.drinks(hour)]
";

/// A model of the first version reads what it was trained on, whatever is open beside the text.
#[test]
fn only_the_second_version_shows_other_files() {
    let scene = Scene::new(PEN);
    let references = scene.choose(1000);
    assert_eq!(references.len(), 1);
    let [first, second] = [Template::InfillV1, Template::InfillV2];
    let plain = scene.build(&[], first, BUDGET);
    assert_eq!(scene.build(&references, first, BUDGET), plain);
    assert_eq!(scene.build(&[], second, BUDGET), plain);
    let beside = scene.build(&references, second, BUDGET);
    let vocab = vocab::fixture::vocab();
    let shown = show(&beside, &vocab).replace("# keeper.py\n", "");
    let excerpt = format!("{}\n\n", references[0].text);
    assert_eq!(shown.replacen(&excerpt, "", 1), show(&plain, &vocab));
}

/// Excerpts that do not fit a third are left out, whichever they are.
#[test]
fn excerpts_take_a_third_of_the_question_at_most() {
    let scene = Scene::new(PEN);
    let references = scene.choose(1000);
    let length = |references: &[Reference], part_a| {
        let budget = Budget { part_a, ..BUDGET };
        let prompt = scene.build(references, Template::InfillV2, budget);
        assert!(prompt.part_a <= part_a);
        prompt.part_a
    };
    let taken = length(&references, 900) - length(&[], 900);
    assert!(taken > 60);
    for part_a in [60, 120, 2 * taken, 3 * taken - 1] {
        assert_eq!(length(&references, part_a), length(&[], part_a), "{part_a}");
    }
    let long = "x = 1\n".repeat(1000);
    let long = Reference {
        path: "long.py",
        text: &long,
    };
    assert_eq!(
        length(&[long, references[0], long], 900),
        taken + length(&[], 900)
    );
    // Its own few tokens count as well.
    let roomy = 3 * (taken + 20);
    assert_eq!(length(&references, roomy), taken + length(&[], roomy));
}

#[test]
fn what_is_chosen_fits_the_room_and_is_no_twin() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/neighbours");
    let scene = Scene::new(&std::fs::read_to_string(folder.join("twins.txt")).unwrap());
    let mut most = 0;
    for tokens in [0, 10, 60, 120, 250, 500, 1000] {
        let references = scene.choose(tokens);
        let bytes: usize = references
            .iter()
            .map(|reference| reference.text.len())
            .sum();
        assert!(bytes <= 3 * tokens, "{tokens}: {bytes}");
        let mut lines: Vec<&str> = references.iter().flat_map(|r| r.text.lines()).collect();
        lines.retain(|line| line.contains("fn "));
        let all = lines.len();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), all, "{tokens}: the twin is not shown as well");
        most = most.max(all);
    }
    assert!(most >= 3, "{most}");
}

/// Of two files that share the same words, the one that is imported, nearer, or edited last comes first.
#[test]
fn files_are_preferred_that_belong_together() {
    let first = |text: &str| Scene::new(text).choose(1000)[0].path.to_owned();
    let other = "def feed(animals, hour):\n    return [one for one in animals if one.eats(hour)]\n";
    let here = "from b.keeper import feed\n\ndef evening(animals, hour):\n    feed(‸)\n";
    let scene =
        |one: &str, two: &str| format!("//- /a/pen.py\n{here}//- {one}\n{other}//- {two}\n{other}");
    assert_eq!(first(&scene("/b/cook.py", "/b/keeper.py")), "b/keeper.py");
    assert_eq!(first(&scene("/b/cook.py", "/a/cook.py")), "a/cook.py");
    assert_eq!(first(&scene("/b/cook.py", "/c/cook.py")), "b/cook.py");
    assert_eq!(first(&scene("/a/cook.js", "/a/cook.py")), "a/cook.py");
    assert_eq!(
        first(&scene("/b/cook.py", "/b/keeper/__init__.py")),
        "keeper/__init__.py"
    );
}
