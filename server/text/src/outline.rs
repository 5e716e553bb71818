//! What a file is made of at its top: imports, definitions, and the rest.
//!
//! Takes a text with its tree; gives its pieces in order, and a piece without the bodies of its functions. Which nodes
//! are definitions and imports is the queries' in `grammars`.

use std::ops::Range;

use crate::syntax::Syntax;

/// A piece of a file: a node at the top of its tree, with the comments right above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its bytes, from the start of its first line's text.
    pub range: Range<usize>,
    /// What it is.
    pub kind: ItemKind,
}

/// What a piece of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// It brings in names from elsewhere.
    Import,
    /// It defines functions, types or values of these names; the first is its own, others are inside it.
    Definition(Vec<String>),
    /// Statements, or a comment of its own.
    Rest,
}

impl Syntax {
    /// The pieces of the file, in order. Blank text is in none of them, all other text in one.
    pub fn items(&self) -> Vec<Item> {
        let imports = self.imports();
        let mut symbols = self.symbols();
        symbols.sort_by_key(|(range, _)| range.start);
        let mut items: Vec<Item> = Vec::new();
        let mut above: Option<Range<usize>> = None;
        for (range, belongs_below) in self.top() {
            // Comments in a row, and what follows them without a blank line, are one piece.
            let joined = above
                .take()
                .filter(|above| !self.has_blank_line(above.end..range.start));
            let start = joined.map_or(range.start, |above| {
                items.pop();
                above.start
            });
            let whole = start..range.end;
            let inside =
                |other: &Range<usize>| range.start <= other.start && other.end <= range.end;
            let names: Vec<String> = symbols
                .iter()
                .filter(|(symbol, _)| inside(symbol))
                .map(|(_, name)| name.clone())
                .collect();
            let kind = if imports.iter().any(inside) && names.is_empty() {
                ItemKind::Import
            } else if names.is_empty() {
                ItemKind::Rest
            } else {
                ItemKind::Definition(names)
            };
            above = belongs_below.then(|| whole.clone());
            items.push(Item { range: whole, kind });
        }
        items
    }

    /// The text of a definition with `...` for the bodies of the functions in it: all bodies of its members, or its own
    /// if it has no members.
    pub fn signature(&self, item: &Range<usize>) -> String {
        let blocks = self.blocks(item.clone());
        let first_block = |symbol: &Range<usize>| {
            let mut inside = blocks.iter();
            inside
                .find(|block| symbol.start <= block.start && block.end <= symbol.end)
                .cloned()
        };
        let mut bodies: Vec<Range<usize>> = self
            .symbols()
            .iter()
            .map(|(symbol, _)| symbol)
            .filter(|symbol| item.start <= symbol.start && symbol.end <= item.end)
            .filter_map(first_block)
            .collect();
        bodies.sort_by_key(|body| body.start);
        bodies.dedup();
        // Only the innermost: those of a class's members and not that of the class.
        let holds_another = |body: &Range<usize>| {
            let mut others = bodies.iter();
            others.any(|other| other != body && body.start <= other.start && other.end <= body.end)
        };
        let innermost: Vec<_> = bodies.iter().filter(|body| !holds_another(body)).collect();
        let mut text = String::new();
        let mut from = item.start;
        for body in innermost {
            if body.start < from {
                continue;
            }
            text += self.slice(from..body.start).trim_end();
            text += match self.slice(body.clone()).starts_with('{') {
                true => " { ... }",
                false => " ...",
            };
            from = body.end;
        }
        text + &self.slice(from..item.end)
    }
}

#[cfg(test)]
mod tests {
    use grammars::Language;

    use super::*;
    use crate::Snapshot;

    fn syntax(language: &str, text: &str) -> Syntax {
        let snapshot = Snapshot::new(text, Language::named(language).unwrap());
        snapshot.syntax(&mut || false).unwrap()
    }

    const PYTHON: &str = "\"\"\"Shapes.\"\"\"
import math
from typing import List

LIMIT = 3

# How large
# it is.
@cached
def area(r):
    return math.pi * r

# On its own.

class Shape(Base):
    size = 1

    def grow(self, by):
        if by:
            self.size += by

    async def shrink(self): return 1

if __name__ == '__main__':
    print(area(2))
";

    #[test]
    fn a_file_is_cut_at_its_top() {
        let syntax = syntax("python", PYTHON);
        let found: Vec<String> = syntax
            .items()
            .iter()
            .map(|item| {
                let text = syntax.slice(item.range.clone());
                let (first, last) = (text.lines().next().unwrap(), text.lines().last().unwrap());
                match &item.kind {
                    ItemKind::Import => format!("import: {first}"),
                    ItemKind::Definition(names) => format!("{names:?}: {first} … {last}"),
                    ItemKind::Rest => format!("rest: {first}"),
                }
            })
            .collect();
        let expected = [
            "rest: \"\"\"Shapes.\"\"\"",
            "import: import math",
            "import: from typing import List",
            "[\"LIMIT\"]: LIMIT = 3 … LIMIT = 3",
            "[\"area\"]: # How large …     return math.pi * r",
            "rest: # On its own.",
            "[\"Shape\", \"size\", \"grow\", \"shrink\"]: class Shape(Base): …     async def shrink(self): return 1",
            "rest: if __name__ == '__main__':",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_signature_has_no_bodies() {
        let python = syntax("python", PYTHON);
        let items = python.items();
        let signature = |index: usize| python.signature(&items[index].range);
        assert_eq!(signature(3), "LIMIT = 3");
        assert_eq!(
            signature(4),
            "# How large\n# it is.\n@cached\ndef area(r): ..."
        );
        assert_eq!(
            signature(6),
            "class Shape(Base):\n    size = 1\n\n    def grow(self, by): ...\n\n    async def shrink(self): ..."
        );

        let rust = syntax(
            "rust",
            "impl A {\n    /// One.\n    fn one(&self) -> u8 {\n        1\n    }\n}\n\n#[inline]\nfn two() {}\n",
        );
        let items = rust.items();
        assert_eq!(
            rust.signature(&items[0].range),
            "impl A {\n    /// One.\n    fn one(&self) -> u8 { ... }\n}"
        );
        assert_eq!(
            rust.signature(&items[1].range),
            "#[inline]\nfn two() { ... }"
        );
    }
}
