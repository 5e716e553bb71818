//! From an answer to a program with the problem's tests below it.
//!
//! Text that goes on with a declaration ends by the paper's rules. An answer in a conversation is a function of its own:
//! it gets what stands above the function in the declaration, unless it says that itself, and loses what the tests define.

use std::ops::Range;

use text::{ItemKind, Snapshot};

use crate::eval::translate::languages::{End, Head, Row};
use crate::eval::translate::problems::Problem;

/// What a model gave, or a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It goes on where the declaration ends.
    Rest(String),
    /// It is whole.
    Whole(String),
}

/// Text up to where it ends by the rules of its language.
pub fn cut(end: End, text: &str) -> String {
    match end {
        End::Outdent => {
            let is_body = |line: &&str| line.trim().is_empty() || line.starts_with([' ', '\t']);
            text.split_inclusive('\n').take_while(is_body).collect()
        }
        End::Brace(missing) => {
            let mut open = 1;
            let closing = text.bytes().position(|byte| {
                match byte {
                    b'{' => open += 1,
                    b'}' => open -= 1,
                    _ => {}
                }
                open == 0
            });
            match closing {
                Some(place) => format!("{}{missing}\n", &text[..=place]),
                None => match text.rfind('}') {
                    Some(place) => format!("{}\n", &text[..=place]),
                    None => text.to_owned(),
                },
            }
        }
    }
}

/// The code that an answer makes of a problem, without tests.
pub fn code(row: &Row, problem: &Problem, answer: &Answer) -> String {
    let text = match answer {
        Answer::Rest(rest) => return problem.declaration.clone() + rest,
        Answer::Whole(text) => text,
    };
    let own = pieces(row, text);
    let defines = |name: &String| own.iter().any(|piece| piece.names.contains(name));
    let asked = asked(row, problem);
    if asked.as_ref().is_some_and(|name| !defines(name)) {
        return problem.declaration.clone() + text;
    }
    let tested: Vec<String> = pieces(row, &problem.test)
        .into_iter()
        .filter_map(|piece| piece.names.into_iter().next())
        .collect();
    let mut whole = above(row, problem, text, &own);
    let mut from = 0;
    for piece in &own {
        let name = piece.names.first();
        if name.is_some_and(|name| tested.contains(name) && asked.as_ref() != Some(name)) {
            whole += &text[from..piece.range.start];
            from = piece.range.end;
        }
    }
    whole + &text[from..]
}

/// The code with all that is run around it.
pub fn program(row: &Row, problem: &Problem, code: &str) -> String {
    let test = &problem.test;
    let packages = match row.head {
        Head::Lines(lines) => {
            let missing = lines.iter().filter(|line| !code.contains(**line));
            let head: String = missing.map(|line| format!("{line}\n")).collect();
            return format!("{head}{code}\n{test}{}", row.foot);
        }
        Head::Setup(packages) => packages,
    };
    let (own, code) = without_imports(row, code);
    let setup = format!("{}\n{own}", problem.test_setup);
    let is_used = |package: &&&str| {
        let name = package.rsplit('/').next().unwrap_or(package);
        code.contains(&format!("{name}.")) && !setup.contains(&format!("\"{package}\""))
    };
    let used = packages.iter().filter(is_used);
    let imports: String = used
        .map(|package| format!("import \"{package}\"\n"))
        .collect();
    format!("{setup}{imports}\n{code}\n{test}{}", row.foot)
}

/// A piece of code at its top.
struct Piece {
    range: Range<usize>,
    is_import: bool,
    /// What it defines, its own name first.
    names: Vec<String>,
}

fn pieces(row: &Row, text: &str) -> Vec<Piece> {
    let syntax = Snapshot::new(text, row.language()).syntax(&mut || false);
    let items = syntax.map(|syntax| syntax.items()).unwrap_or_default();
    let piece = |item: text::Item| Piece {
        range: item.range,
        is_import: item.kind == ItemKind::Import,
        names: match item.kind {
            ItemKind::Definition(names) => names,
            ItemKind::Import | ItemKind::Rest => Vec::new(),
        },
    };
    items.into_iter().map(piece).collect()
}

/// The pieces of a problem's own code: those above what is asked for, and it.
fn declared(row: &Row, problem: &Problem) -> (String, Vec<Piece>, Option<Piece>) {
    let text = format!("{}{}", problem.declaration, problem.canonical_solution);
    let end = problem.declaration.trim_end().len();
    let mut pieces = pieces(row, &text);
    pieces.retain(|piece| piece.range.start < end);
    let asked = pieces.pop_if(|piece| piece.range.end > end);
    (text, pieces, asked)
}

/// The name of what is asked for.
fn asked(row: &Row, problem: &Problem) -> Option<String> {
    declared(row, problem).2?.names.into_iter().next()
}

/// What stands above the function in the declaration and the answer does not say.
fn above(row: &Row, problem: &Problem, answer: &str, own: &[Piece]) -> String {
    let (text, pieces, _) = declared(row, problem);
    let (mut above, mut hidden) = (String::new(), String::new());
    for piece in pieces {
        let code = text[piece.range.clone()].trim();
        let mut names = piece.names.iter();
        let is_said = answer.contains(code)
            || names.any(|name| own.iter().any(|own| own.names.first() == Some(name)));
        if is_said {
            continue;
        }
        // The answer may bring in some of these names itself; names from a `*` give way to them.
        match piece.is_import && row.imports_once {
            true => hidden += &format!("pub {code} "),
            false => above += &format!("{code}\n"),
        }
    }
    if !hidden.is_empty() {
        above = format!("mod given {{ {hidden}}}\nuse given::*;\n{above}");
    }
    above
}

/// The imports of Go code, which must come first, and the rest without its `package`.
fn without_imports(row: &Row, code: &str) -> (String, String) {
    let (mut imports, mut rest) = (String::new(), String::new());
    let mut from = 0;
    for piece in pieces(row, code) {
        let own = &code[piece.range.clone()];
        if piece.is_import || own.starts_with("package ") {
            rest += &code[from..piece.range.start];
            from = piece.range.end;
            if piece.is_import {
                imports += &format!("{own}\n");
            }
        }
    }
    (imports, rest + &code[from..])
}
