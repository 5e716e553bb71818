//! The languages of HumanEval-X, one row each: how answers end, how programs are put together and how they are run.
//!
//! All that differs between languages is in this table; the other files read it.

use anyhow::{Context as _, bail};
use grammars::Language;

/// What is known of one language.
#[derive(Debug)]
pub struct Row {
    /// As the data set names its file, and as the results name it.
    pub name: &'static str,
    /// Where text ends that goes on with a declaration.
    pub end: End,
    /// What a program begins with.
    pub head: Head,
    /// Whether it is an error to import a name twice.
    pub imports_once: bool,
    /// What a program ends with.
    pub foot: &'static str,
    /// The program's file.
    pub file: &'static str,
    /// A file beside it, and what is in it.
    pub beside: Option<(&'static str, &'static str)>,
    /// What is run in turn; [`MORE`] stands for what the [`Need`]s add.
    pub commands: &'static [&'static [&'static str]],
    /// What the last command says once all tests have run; a program may also end early, and with success.
    pub says: &'static str,
    /// What problems may need that does not come with the tools.
    pub needs: &'static [Need],
}

/// Where text ends that goes on with a declaration, by the paper's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Before the first line that is not indented.
    Outdent,
    /// At the brace that closes the declaration's own; then this is missing.
    Brace(&'static str),
}

/// What a program begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// These lines; those that the declaration has are not repeated.
    Lines(&'static [&'static str]),
    /// The problem's own `test_setup`, and imports of these packages where the code uses them.
    Setup(&'static [&'static str]),
}

/// Something that does not come with a language's tools.
#[derive(Debug, PartialEq, Eq)]
pub struct Need {
    /// What it is called.
    pub name: &'static str,
    /// A problem with one of these in its text needs it.
    pub marks: &'static [&'static str],
    /// Where it is from.
    pub from: From,
}

/// Where something is from that problems need.
#[derive(Debug, PartialEq, Eq)]
pub enum From {
    /// A header of the system and the package that brings it; with it, these arguments are added.
    Header(&'static str, &'static str, &'static [&'static str]),
    /// Crates that Cargo gets and builds once, as lines of a manifest.
    Cargo(&'static str),
    /// A package that npm gets once.
    Npm(&'static str),
    /// A module that Go gets once, and one of its packages.
    Go(&'static str, &'static str),
}

/// Stands in a command for what needs add.
pub const MORE: &str = "{more}";

/// What a program says when all of its tests have run.
const DONE: &str = "all tests of this problem have run";

/// The languages, in the order of the paper's tables, Rust last.
#[rustfmt::skip]
pub static ROWS: [Row; 6] = [
    Row {
        name: "python", imports_once: false, end: End::Outdent, file: "program.py", beside: None,
        head: Head::Lines(&[
            "import math", "import re", "import sys", "import copy", "import datetime", "import itertools",
            "import collections", "import heapq", "import statistics", "import functools", "import hashlib",
            "import string", "from typing import *", "from collections import *",
        ]),
        foot: "\nprint('all tests of this problem have run')\n",
        commands: &[&["python3", "program.py"]],
        says: DONE, needs: &[],
    },
    Row {
        name: "cpp", imports_once: false, end: End::Brace(""), file: "program.cpp", beside: None,
        head: Head::Lines(&[
            "#include<stdlib.h>", "#include<algorithm>", "#include<math.h>", "#include<stdio.h>", "#include<vector>",
            "#include<string>", "#include<climits>", "#include<cstring>", "#include<iostream>",
        ]),
        foot: "",
        commands: &[&["g++", "-std=c++17", "-w", "-o", "program", "program.cpp", MORE], &["./program"]],
        says: "",
        needs: &[
            Need { name: "Boost", marks: &["<boost/"], from: From::Header("boost/any.hpp", "libboost-dev", &[]) },
            Need { name: "OpenSSL", marks: &["<openssl/"],
                   from: From::Header("openssl/md5.h", "libssl-dev", &["-lcrypto"]) },
        ],
    },
    Row {
        name: "java", imports_once: false, end: End::Brace("\n}"), file: "Main.java", beside: None,
        head: Head::Lines(&[]), foot: "",
        commands: &[&["javac", "-J-Xmx512m", "Main.java"], &["java", "-Xmx512m", "-ea", "Main"]],
        says: "", needs: &[],
    },
    Row {
        name: "js", imports_once: false, end: End::Brace(""), file: "program.js",
        // A failed assertion of a console is a line on standard error and nothing else.
        beside: Some(("asserts.js", "console.assert = (holds, ...words) => {\n  \
            if (!holds) throw new Error(['an assertion failed', ...words].join(' '));\n};\n")),
        head: Head::Lines(&[]), foot: "\nconsole.log('all tests of this problem have run');\n",
        commands: &[&["node", "--require", "./asserts.js", "program.js"]],
        says: DONE,
        needs: &[Need { name: "js-md5", marks: &["'js-md5'", "\"js-md5\""], from: From::Npm("js-md5@0.7.3") }],
    },
    Row {
        name: "go", imports_once: false, end: End::Brace(""), file: "main_test.go", beside: None,
        head: Head::Setup(&[
            "bytes", "crypto/md5", "fmt", "math", "math/rand", "regexp", "sort", "strconv", "strings", "time",
        ]),
        foot: "",
        commands: &[&["go", "test", "main_test.go"]],
        says: "ok",
        needs: &[Need { name: "testify", marks: &["stretchr/testify"],
                        from: From::Go("github.com/stretchr/testify@v1.8.0", "github.com/stretchr/testify/assert") }],
    },
    Row {
        name: "rust", imports_once: true, end: End::Brace(""), file: "program.rs", beside: None,
        head: Head::Lines(&[]), foot: "",
        // A `main` that a model wrote is a function like others to tests.
        commands: &[
            &["rustc", "--test", "--edition", "2021", "-A", "warnings", "-o", "program", "program.rs", MORE],
            &["./program", "--test-threads", "1"],
        ],
        says: "test result: ok",
        needs: &[Need { name: "the crates rand, regex and md5",
                        marks: &["use rand", "use regex", "use md5", "rand::", "regex::", "md5::"],
                        from: From::Cargo("rand = \"0.4\"\nregex = \"1\"\nmd5 = \"0.7\"\n") }],
    },
];

impl Row {
    /// The language as all else knows it.
    pub fn language(&self) -> Language {
        Language::named(self.name).expect("a test holds that every row's name is known")
    }

    /// The row of a language by any of its names.
    ///
    /// # Errors
    /// If the data set has no such language.
    pub fn named(name: &str) -> anyhow::Result<&'static Row> {
        let names = ROWS.each_ref().map(|row| row.name).join(", ");
        let Some(language) = Language::named(name) else {
            bail!("there is no language `{name}`; HumanEval-X has {names}");
        };
        let found = ROWS.iter().find(|row| row.language() == language);
        found.with_context(|| format!("HumanEval-X has no {}; it has {names}", language.title()))
    }

    /// The tools that its commands begin with.
    pub fn tools(&self) -> impl Iterator<Item = &'static str> {
        let first = self.commands.iter().filter_map(|words| words.first());
        first.copied().filter(|word| !word.starts_with("./"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_language() {
        for row in &ROWS {
            assert_eq!(Row::named(row.name).unwrap().name, row.name);
            assert!(row.language().grammar().is_some());
            assert!(row.foot.is_empty() || row.foot.contains(row.says));
        }
        assert_eq!(Row::named("javascript").unwrap().name, "js");
        assert_eq!(Row::named("C++").unwrap().name, "cpp");
    }
}
