//! Lines and blanks: the few questions about text that several filters ask.

/// The text with every line end as a line feed.
pub(crate) fn unified(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// The blanks at the start of a line.
pub(crate) fn blanks(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// Columns that the blanks at a line's start take; a tab goes to the next multiple of four.
pub(crate) fn columns(line: &str) -> usize {
    blanks(line).chars().fold(0, |column, blank| match blank {
        '\t' => column / 4 * 4 + 4,
        _ => column + 1,
    })
}

/// Whether a line says enough for its repetition to mean something: `}`, `else` and `x = 1` come
/// twice by nature, so a line needs a few letters and more than one of them in a row.
pub(crate) fn is_telling(line: &str) -> bool {
    line.chars().filter(|c| c.is_alphanumeric()).count() >= 4
}

/// The words of a line: runs of letters, digits and underscores.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// Whether a line ends with something that the next line is indented for.
pub(crate) fn opens(line: &str) -> bool {
    line.trim_end().ends_with([':', '{', '(', '[', '=', '>'])
}

/// Each line of a text with the byte at which it starts, without line feeds.
pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |start, line| {
        let at = *start;
        *start += line.len();
        Some((at, line.strip_suffix('\n').unwrap_or(line)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_columns_and_lines() {
        assert_eq!(columns("\t  x"), 6);
        assert_eq!(columns("  \tx"), 4);
        let lines: Vec<_> = numbered("a\n\nbc\n").collect();
        assert_eq!(lines, [(0, "a"), (2, ""), (3, "bc")]);
        assert_eq!(unified("a\r\nb\rc\n"), "a\nb\nc\n");
    }
}
