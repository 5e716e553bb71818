//! The key of a file context: which stored answers may be of use at a cursor.
//!
//! Takes the text on both sides of the cursor and gives a 128-bit key, the same in every run and on
//! every machine. Text on the cursor's own line is not part of the key: the store keeps it beside
//! each answer and compares it there, so that typing along a line stays in one place of the map.
//! Far edits do not void a key either, since only a bounded piece of text on each side is read.

/// Bytes before the cursor's line that make a context.
pub const LEFT_OF_LINE: usize = 1024;

/// Bytes after the cursor that make a context, counted behind the closing brackets of its line.
pub const RIGHT: usize = 512;

/// Bytes before the cursor that a caller should hand over where the document has them: enough for
/// [`LEFT_OF_LINE`] and a line of ordinary length.
pub const LEFT: usize = 4096;

/// Where an answer was asked, or is looked for.
///
/// Both sides are the document's own text next to the cursor, not the prompt's window: a window
/// slides while the user types, and a context that slides with it would never be found again.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Identity of the model; another model's answers are never given.
    pub model: &'a str,
    /// Name and version of the prompt's template.
    pub template: &'a str,
    /// Name of the document's language.
    pub language: &'a str,
    /// Path or URI of the document.
    pub path: &'a str,
    /// The kind of blank (mask and extent), numbered by the caller. An answer that is typed along
    /// stays good when the kind changes on the way, so it counts for exact hits only.
    pub kind: u8,
    /// A hash of what else the model is shown, such as other files; 0 if that is nothing.
    pub beside: u64,
    /// Text before the cursor, ideally [`LEFT`] bytes of it.
    pub left: &'a str,
    /// Text after the cursor, ideally [`RIGHT`] bytes and the rest of the line.
    pub right: &'a str,
}

/// A stable hash of everything in a context but the cursor's own line and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u128);

impl Key {
    /// The key of `context` as seen from the line that starts at byte `line` of its left side.
    pub(crate) fn new(context: &Context<'_>, line: usize) -> Key {
        let right = &context.right[closing_tail(context.right).len()..];
        let mut hash = Fnv::new();
        hash.field(context.model);
        hash.field(context.template);
        hash.field(context.language);
        hash.field(context.path);
        hash.field(last(&context.left[..line], LEFT_OF_LINE));
        hash.field(first(right, RIGHT));
        if context.beside != 0 {
            hash.bytes(&context.beside.to_le_bytes());
        }
        Key(hash.0)
    }
}

/// The rest of the line at the start of `right` if it is nothing but closing brackets, quotes,
/// separators and blanks (what an editor may have put there by itself), else an empty text.
pub(crate) fn closing_tail(right: &str) -> &str {
    let line = right.split(['\n', '\r']).next().unwrap_or_default();
    let closing = |c: char| {
        matches!(
            c,
            ')' | ']' | '}' | '>' | '"' | '\'' | '`' | ';' | ',' | ' ' | '\t'
        )
    };
    if line.chars().all(closing) { line } else { "" }
}

/// Byte offset at which the last line of `left` starts.
pub(crate) fn line_start(left: &str) -> usize {
    left.rfind(['\n', '\r']).map_or(0, |at| at + 1)
}

fn first(text: &str, bytes: usize) -> &str {
    let mut near = (0..=bytes.min(text.len())).rev();
    &text[..near.find(|at| text.is_char_boundary(*at)).unwrap_or(0)]
}

fn last(text: &str, bytes: usize) -> &str {
    let mut near = text.len().saturating_sub(bytes)..=text.len();
    &text[near.find(|at| text.is_char_boundary(*at)).unwrap_or(0)..]
}

/// FNV-1a of 128 bits: a few lines, the same for ever, and quick enough for two kilobytes. It is
/// not made against an adversary, who could only make his own file show his own text.
struct Fnv(u128);

impl Fnv {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    fn new() -> Fnv {
        Fnv(Fnv::OFFSET)
    }

    /// Adds one text and its length, so that two fields never run into one another.
    fn field(&mut self, text: &str) {
        let length = (text.len() as u64).to_le_bytes();
        self.bytes(&length);
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(Fnv::PRIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context<'a>(left: &'a str, right: &'a str) -> Context<'a> {
        Context {
            model: "m",
            template: "t",
            language: "rust",
            path: "/a.rs",
            kind: 0,
            beside: 0,
            left,
            right,
        }
    }

    fn key(left: &str, right: &str) -> Key {
        Key::new(&context(left, right), line_start(left))
    }

    #[test]
    fn is_the_same_in_every_run() {
        assert_eq!(
            key("fn a() {\n    ", "\n}\n").0,
            0xdcfa_4b19_017d_59a5_4f74_cfe9_b8e3_f07c
        );
    }

    #[test]
    fn does_not_see_the_line_of_the_cursor() {
        assert_eq!(key("a\nfoo", "\nb"), key("a\nfoo.bar", "\nb"));
        assert_eq!(key("a\nfoo(", ")\nb"), key("a\nfoo", "\nb"));
        assert_ne!(key("a\nfoo", "\nb"), key("c\nfoo", "\nb"));
        assert_ne!(key("a\nfoo", "\nb"), key("a\nfoo", "\nc"));
    }

    #[test]
    fn sees_what_else_is_shown() {
        let beside = |beside| {
            let context = Context {
                beside,
                ..context("a\nfoo", "\nb")
            };
            Key::new(&context, 2)
        };
        assert_eq!(beside(0), key("a\nfoo", "\nb"));
        assert_ne!(beside(1), beside(0));
        assert_ne!(beside(1), beside(2));
    }

    #[test]
    fn is_not_voided_by_far_edits() {
        let near = "x".repeat(LEFT_OF_LINE - 1) + "\n";
        assert_eq!(
            key(&format!("old{near}"), ""),
            key(&format!("new{near}"), "")
        );
        let below = format!("\n{}", "é".repeat(RIGHT));
        assert_eq!(
            key("", &format!("{below}old")),
            key("", &format!("{below}new"))
        );
    }

    #[test]
    fn keeps_fields_apart() {
        let one = Context {
            model: "ab",
            template: "c",
            ..context("", "")
        };
        let two = Context {
            model: "a",
            template: "bc",
            ..context("", "")
        };
        assert_ne!(Key::new(&one, 0), Key::new(&two, 0));
    }
}
