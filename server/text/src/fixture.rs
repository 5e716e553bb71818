//! Texts with marks in them, for tests and benches.
//!
//! Takes a text as a test writes it; gives the text without its marks and where
//! they were. A wrong mark is a mistake in the test, hence a panic.

/// What marks the cursor.
const CURSOR: char = '‸';

/// What starts a file, at the start of a line.
const FILE: &str = "//- ";

/// The text without its one `‸`, and the byte offset where that was.
///
/// # Panics
/// If there is no mark, or more than one.
pub fn cursor(marked: &str) -> (String, usize) {
    let (before, after) = marked
        .split_once(CURSOR)
        .expect("a fixture marks the cursor with ‸");
    assert!(
        !after.contains(CURSOR),
        "a fixture marks one cursor only: {marked}"
    );
    (format!("{before}{after}"), before.len())
}

/// The files of a text, as path and content: each starts with a line `//- /path`.
///
/// # Panics
/// If there is anything but blanks before the first such line.
pub fn files(text: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        if let Some(path) = line.strip_prefix(FILE) {
            files.push((path.trim().to_owned(), String::new()));
        } else if let Some((_, content)) = files.last_mut() {
            content.push_str(line);
        } else {
            assert!(
                line.trim().is_empty(),
                "a fixture of files starts with `//- /path`: {line}"
            );
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_taken_out() {
        assert_eq!(cursor("é‸x"), ("éx".to_owned(), 2));
        assert_eq!(cursor("‸"), (String::new(), 0));
    }

    #[test]
    fn files_are_split_at_their_paths() {
        let text = "\n//- /a.py\nx = 1\n\n//- /b/c.rs\nfn f() {}";
        let expected = [("/a.py", "x = 1\n\n"), ("/b/c.rs", "fn f() {}")];
        let expected = expected.map(|(path, text)| (path.to_owned(), text.to_owned()));
        assert_eq!(files(text), expected);
    }
}
