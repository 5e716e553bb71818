//! Answers with characters that no source file has: half a character at the end of a cut stream,
//! or control characters.

/// The text before the first character that cannot be meant.
pub(crate) fn cut(text: &str) -> &str {
    let stray = |c: char| c == '\u{fffd}' || (c.is_control() && c != '\n' && c != '\t');
    &text[..text.find(stray).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn keeps_tabs_and_other_alphabets() {
        assert_eq!(cut("\tgröße = \"日本\"\n"), "\tgröße = \"日本\"\n");
        assert_eq!(cut("a = \"日\u{fffd}"), "a = \"日");
        assert_eq!(cut("a\u{0}b"), "a");
    }
}
