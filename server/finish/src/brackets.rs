//! Brackets and quotes of a piece of code, read without a grammar.
//!
//! Takes text from the middle of a file, which no parser can read by itself, and gives what it
//! opens and leaves open and what it closes without having opened. It knows strings, characters
//! and comments of the usual kinds well enough for a few lines. Where the whole text can be parsed,
//! the syntax tree has the last word; see the syntax filter.

use grammars::Language;

/// The marks around a string, long ones first.
const MARKS: [&str; 5] = ["\"\"\"", "'''", "\"", "'", "`"];

/// Languages in which a single quote holds one character, so that a lone one opens nothing.
const ONE_CHARACTER: [&str; 8] = [
    "c", "cpp", "csharp", "go", "java", "kotlin", "rust", "scala",
];

/// What a piece of code leaves open or closes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Opening brackets without their closing ones.
    pub open: Vec<char>,
    /// Closing brackets and quotes of what was opened before the piece, with their places.
    pub closed: Vec<(usize, char)>,
    /// The mark of the string that the piece ends in.
    pub inside: Option<&'static str>,
    /// Opening brackets that another kind of closing bracket went past.
    pub crossed: usize,
}

impl Scan {
    /// How many brackets and quotes lack their partner within the piece.
    pub(crate) fn imbalance(&self) -> usize {
        self.open_count() + self.closed.len() + self.crossed
    }

    /// How many brackets and strings are open at the end of the piece.
    pub(crate) fn open_count(&self) -> usize {
        self.open.len() + usize::from(self.inside.is_some())
    }

    fn close(&mut self, at: usize, bracket: char) {
        let partner = match bracket {
            ')' => '(',
            ']' => '[',
            _ => '{',
        };
        match self.open.iter().rposition(|open| *open == partner) {
            Some(place) => {
                self.crossed += self.open.len() - place - 1;
                self.open.truncate(place);
            }
            None => self.closed.push((at, bracket)),
        }
    }
}

/// Reads `text`, which begins inside a string with the mark `inside` if there is one.
pub(crate) fn scan(text: &str, inside: Option<&'static str>, language: Language) -> Scan {
    let mut scan = Scan::default();
    let mut at = 0;
    if let Some(mark) = inside {
        match string_end(text, mark) {
            StringEnd::Closed(end) => {
                scan.closed.push((end - mark.len(), quote_of(mark)));
                at = end;
            }
            StringEnd::Line(end) => at = end,
            StringEnd::Text => return Scan { inside, ..scan },
        }
    }
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        if let Some(length) = comment(rest, language) {
            at += length;
        } else if let Some(mark) = opening_mark(&text[..at], rest, language) {
            let start = at + mark.len();
            match string_end(&text[start..], mark) {
                StringEnd::Closed(length) | StringEnd::Line(length) => at = start + length,
                StringEnd::Text => {
                    return Scan {
                        inside: Some(mark),
                        ..scan
                    };
                }
            }
        } else {
            match next {
                '(' | '[' | '{' => scan.open.push(next),
                ')' | ']' | '}' => scan.close(at, next),
                _ => {}
            }
            at += next.len_utf8();
        }
    }
    scan
}

fn quote_of(mark: &str) -> char {
    mark.chars().next().unwrap_or('"')
}

/// Bytes of the comment at the start of `rest`.
fn comment(rest: &str, language: Language) -> Option<usize> {
    if language
        .line_comment()
        .is_some_and(|mark| rest.starts_with(mark))
    {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let (open, close) = language.block_comment()?;
    let body = rest.strip_prefix(open)?;
    Some(
        body.find(close)
            .map_or(rest.len(), |end| open.len() + end + close.len()),
    )
}

/// The mark of the string that opens at the start of `rest`.
fn opening_mark(before: &str, rest: &str, language: Language) -> Option<&'static str> {
    let mark = *MARKS.iter().find(|mark| rest.starts_with(**mark))?;
    let body = &rest[mark.len()..];
    let line = body.split('\n').next().unwrap_or_default();
    let opens = match mark {
        "'" if ONE_CHARACTER.contains(&language.name()) => {
            body.starts_with('\\') || body.chars().nth(1) == Some('\'')
        }
        // Elsewhere it may be an apostrophe.
        "'" => line.contains('\'') || !before.ends_with(char::is_alphanumeric),
        "`" => body.contains('`'),
        _ => true,
    };
    opens.then_some(mark)
}

/// Where the string goes whose inner text begins a piece.
enum StringEnd {
    /// To the end of its closing mark, that many bytes on.
    Closed(usize),
    /// Nowhere: its line ends first, and such strings do not cross lines.
    Line(usize),
    /// Past the end of the piece.
    Text,
}

fn string_end(body: &str, mark: &str) -> StringEnd {
    let crosses_lines = mark.len() > 1 || mark == "`";
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if body[at..].starts_with(mark) {
            return StringEnd::Closed(at + mark.len());
        } else if c == '\n' && !crosses_lines {
            return StringEnd::Line(at);
        }
    }
    StringEnd::Text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(language: &str, text: &str, open: &str, closed: &str, inside: Option<&str>) {
        let language = Language::named(language).expect("a language of the table");
        let scan = scan(text, None, language);
        assert_eq!(scan.open.iter().collect::<String>(), open, "open in {text}");
        let said: String = scan.closed.iter().map(|(_, c)| c).collect();
        assert_eq!(said, closed, "closed in {text}");
        assert_eq!(scan.inside, inside, "inside in {text}");
    }

    #[test]
    fn reads_strings_comments_and_brackets() {
        check("python", "foo(a[0], {", "({", "", None);
        check("python", "a]) + (b", "(", "])", None);
        check("python", "x = \"(\" + '[' # {", "", "", None);
        check("python", "x = \"a\\\"(", "", "", Some("\""));
        check("python", "\"\"\"a (\n b [", "", "", Some("\"\"\""));
        check("rust", "fn f<'a>(x: &'a str) -> char { '(' }", "", "", None);
        check("rust", "let c = '\\''; (", "(", "", None);
        check("javascript", "`a ${b(\n`, /* ( */ c(", "(", "", None);
        check("go", "don't(", "(", "", None);
    }

    #[test]
    fn begins_inside_a_string() {
        let python = Language::named("python").expect("a language of the table");
        let scan = scan("hello (\") + f(", Some("\""), python);
        assert_eq!(scan.closed, [(7, '"'), (8, ')')]);
        assert_eq!(scan.open, ['(']);
    }

    #[test]
    fn counts_what_lacks_a_partner() {
        let count = |text| scan(text, None, Language::PLAIN).imbalance();
        assert_eq!(count("(a [b] {c})"), 0);
        assert_eq!(count("(a [b) c"), 1);
        assert_eq!(count("a) (b"), 2);
    }
}
