//! Text that a model simply goes on with, for families that never learnt to fill in a blank.
//!
//! Causal models of the family saw source files in training, so they go on with one; they cannot
//! see what follows the cursor. A comment with the file's path comes first: it tells the language
//! and the purpose of a file of which only the middle may be shown.

use super::Blank;
use crate::Error;
use crate::sequence::Input;

/// `[gMASK]<sop>`, the path's comment line and the text before the cursor.
pub(crate) fn blank(
    blank: &Blank,
    stops: &[&'static str],
    head: impl FnOnce(&Blank) -> String,
) -> Result<Input, Error> {
    let mut script = blank.tokens.script();
    script.token(&["[gMASK]"])?.token(SOP)?;
    script.text(&head(blank)).ids(blank.left);
    Ok(Input::causal(script.done(), blank.tokens.all(stops)))
}

/// What opens a text, by its makers' spellings: ChatGLM2 and 3 have it bare, GLM-4 in brackets.
pub(crate) const SOP: &[&str] = &["<sop>", "sop"];

/// The path in a comment of the language, as a line; nothing if there is no path or no comment.
pub(crate) fn path_comment(blank: &Blank) -> String {
    let path = blank.around.path;
    let (line, block) = (
        blank.language.line_comment(),
        blank.language.block_comment(),
    );
    match (line, block) {
        _ if path.is_empty() => String::new(),
        (Some(mark), _) => format!("{mark} {path}\n"),
        (None, Some((open, close))) => format!("{open} {path} {close}\n"),
        (None, None) => String::new(),
    }
}

/// CodeGeeX's tag line, `# language: Python`; nothing for a text of no known language.
pub(crate) fn tag_line(blank: &Blank) -> String {
    let tag = blank.language.tag();
    tag.map_or(String::new(), |tag| format!("{tag}\n"))
}
