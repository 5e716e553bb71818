//! Whether a line opens a block, by its last words.
//!
//! Half-typed code seldom parses, and the line above an empty body least of all, so this reads the
//! line as a person would instead of asking the tree.

use grammars::Language;

/// Whether the code of this line, up to the cursor, ends where a block begins.
pub(crate) fn opens_block(language: Language, line: &str) -> bool {
    let code = without_comment(language, line).trim();
    let first = code
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or("");
    let last = code
        .rsplit(|c: char| c.is_whitespace() || c == ';')
        .next()
        .unwrap_or("");
    match language.name() {
        "python" => code.ends_with(':') && opens_suite(first, code),
        "yaml" => code.ends_with(':'),
        "bash" => code.ends_with('{') || ["then", "do", "else", "in"].contains(&last),
        "lua" => {
            ["then", "do", "else", "repeat"].contains(&last)
                || (code.ends_with(')') && (first == "function" || code.contains("function")))
        }
        "ruby" => {
            let takes_end = [
                "def", "class", "module", "if", "unless", "while", "until", "case", "when",
                "begin", "else", "elsif", "ensure", "rescue", "for",
            ];
            code.ends_with('{')
                || ["do", "then"].contains(&last)
                || (code.ends_with('|') && (code.contains("do |") || code.contains("{ |")))
                || takes_end.contains(&first)
        }
        "kotlin" | "scala" => code.ends_with('{') || (code.contains("{ ") && is_lambda_head(code)),
        _ => code.ends_with('{'),
    }
}

/// Whether a Python line that ends with a colon is the head of a suite and not part of a slice, a
/// dictionary or an annotation.
fn opens_suite(first: &str, code: &str) -> bool {
    const HEADS: [&str; 14] = [
        "async", "case", "class", "def", "elif", "else", "except", "finally", "for", "if", "match",
        "try", "while", "with",
    ];
    let closes_signature = code.starts_with(')');
    closes_signature || (HEADS.contains(&first) && is_balanced(code))
}

/// Whether every bracket that the line opens is closed on it, quotes not considered.
fn is_balanced(code: &str) -> bool {
    let count = |brackets: [char; 3]| code.chars().filter(|c| brackets.contains(c)).count();
    count(['(', '[', '{']) <= count([')', ']', '}'])
}

/// Whether the line ends with the parameters of a lambda: `items.map { item ->`.
fn is_lambda_head(code: &str) -> bool {
    code.ends_with("->") || code.ends_with("=>")
}

/// The line without a comment at its end. A mark inside a string is told by the odd number of
/// quotes before it.
fn without_comment(language: Language, line: &str) -> &str {
    let Some(mark) = language.line_comment() else {
        return line;
    };
    let starts = line.match_indices(mark).map(|(start, _)| start);
    let is_comment = |&start: &usize| {
        let before = &line[..start];
        let is_apart = before.is_empty() || before.ends_with([' ', '\t']);
        is_apart && before.matches(['"', '\'']).count().is_multiple_of(2)
    };
    starts
        .into_iter()
        .find(is_comment)
        .map_or(line, |start| &line[..start])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_open_a_block() {
        let table = [
            ("python", "def f(x):", true),
            ("python", "    if x:  # why", true),
            ("python", ") -> int:", true),
            ("python", "else:", true),
            ("python", "x = items[1:", false),
            ("python", "if x in {1:", false),
            ("python", "key: 1,", false),
            ("python", "name:", false),
            ("python", "return \"if a:\"", false),
            ("rust", "fn main() {", true),
            ("rust", "    match x { // each", true),
            ("rust", "let s = \"// {\"; {", true),
            ("rust", "let x = 1;", false),
            ("rust", "// {", false),
            ("lua", "if x then", true),
            ("lua", "local function f(a, b)", true),
            ("lua", "print(x)", false),
            ("bash", "for x in *; do", true),
            ("bash", "echo done", false),
            ("ruby", "items.each do |item|", true),
            ("ruby", "def name", true),
            ("ruby", "x = 1", false),
            ("kotlin", "items.map { item ->", true),
            ("yaml", "jobs:", true),
        ];
        for (name, line, expected) in table {
            let language = Language::named(name).unwrap();
            assert_eq!(opens_block(language, line), expected, "{name}: {line}");
        }
        assert!(!opens_block(Language::PLAIN, "as follows:"));
    }
}
