//! The problems of a data set, as HumanEval-X is handed out: `LANGUAGE.jsonl.gz` or `LANGUAGE.jsonl`, an object a line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::eval::data;
use crate::eval::translate::languages::Row;

/// A problem in one language. Other keys of its line are left alone.
#[derive(Debug, Clone, Deserialize)]
pub struct Problem {
    /// Its language and number, such as `Rust/12`.
    pub task_id: String,
    /// What stands above the body of the function that is asked for, without words on what it does.
    pub declaration: String,
    /// The body, and whatever goes below it.
    pub canonical_solution: String,
    /// What goes below it and fails unless the function is right.
    pub test: String,
    /// Go's first lines of a program.
    #[serde(default)]
    pub test_setup: String,
}

/// A problem of HumanEval-X whose own solution does not pass its own tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub task: &'static str,
    /// The first digits of [`Problem::hash`]: a corrected problem is another one.
    pub hash: &'static str,
    /// Why it cannot pass.
    pub reason: &'static str,
}

/// What is broken in the data as it is handed out; found by running it all, each checked by hand.
pub static BROKEN: &[Broken] = &[
    Broken {
        task: "Python/142",
        hash: "115b996920212c21",
        reason: "its declaration ends with a lone quotation mark, a string that is never closed",
    },
    Broken {
        task: "CPP/38",
        hash: "55d8e94fec55aa1d",
        reason: "its declaration holds the first half of the solution, which the solution begins with again",
    },
];

impl Problem {
    /// A number that the problem has in all languages.
    fn number(&self) -> Option<u32> {
        self.task_id.rsplit('/').next()?.parse().ok()
    }

    /// A hash of all that is run of it.
    pub fn hash(&self) -> String {
        let parts = [&*self.declaration, &self.canonical_solution, &self.test];
        format!("{:x}", Sha256::digest(parts.join("\0")))
    }

    /// What is known to be broken in it.
    pub fn broken(&self, known: &[Broken]) -> Option<Broken> {
        let hash = self.hash();
        let mut known = known.iter();
        let found = known.find(|known| known.task == self.task_id && hash.starts_with(known.hash));
        found.copied()
    }

    /// Whether one of these stands in it.
    pub fn mentions(&self, marks: &[&str]) -> bool {
        let parts = [
            &self.declaration,
            &self.canonical_solution,
            &self.test,
            &self.test_setup,
        ];
        let mut marks = marks.iter();
        marks.any(|mark| parts.iter().any(|part| part.contains(mark)))
    }
}

/// The file of a language, if the folder has one.
pub fn file(folder: &Path, row: &Row) -> Option<PathBuf> {
    let name = |ending| folder.join(format!("{}.{ending}", row.name));
    let mut names = ["jsonl.gz", "jsonl"].map(name).into_iter();
    names.find(|path| path.is_file())
}

/// The problems of a language by their numbers.
///
/// # Errors
/// If the folder has no file for it, or a line of the file is no problem.
pub fn read(folder: &Path, row: &Row) -> anyhow::Result<BTreeMap<u32, Problem>> {
    let Some(path) = file(folder, row) else {
        bail!(
            "{} has no {1}.jsonl.gz and no {1}.jsonl; --data wants a folder with a file for each language",
            folder.display(),
            row.name
        );
    };
    let mut problems = BTreeMap::new();
    for (line, problem) in data::read::<Problem>(&path)? {
        let place = || format!("{}:{line}", path.display());
        let Some(number) = problem.number() else {
            bail!(
                "{}: its task_id is `{}`; expected LANGUAGE/NUMBER",
                place(),
                problem.task_id
            );
        };
        if let Some(other) = problems.insert(number, problem) {
            bail!("{}: {} was there before", place(), other.task_id);
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_broken_only_as_it_was_looked_at() {
        let mut problem = Problem {
            task_id: "Rust/7".to_owned(),
            declaration: "fn f() -> i32 {\n".to_owned(),
            canonical_solution: "    1\n}\n".to_owned(),
            test: "#[test] fn t() { assert_eq!(f(), 2) }".to_owned(),
            test_setup: String::new(),
        };
        let hash: &'static str = problem.hash()[..12].to_owned().leak();
        let known = [Broken {
            task: "Rust/7",
            hash,
            reason: "1 is not 2",
        }];
        assert_eq!(problem.broken(&known), Some(known[0]));
        problem.canonical_solution = "    2\n}\n".to_owned();
        assert_eq!(problem.broken(&known), None);
        assert!(problem.mentions(&["nothing", "fn t"]) && !problem.mentions(&["nothing"]));
    }
}
