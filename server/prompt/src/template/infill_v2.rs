//! Infill's own GLM, version 2: version 1 with excerpts of other files.
//!
//! They stand in front of the text: each a line with its path, as the language writes a comment, the excerpt, and a blank
//! line. Without any it is version 1, token for token.

use grammars::Language;

use super::{Blank, infill_v1};
use crate::sequence::Input;
use crate::{Error, Reference};

/// The name of this template, as [`infill_v1::VERSION`] is that of the one before.
pub(crate) const VERSION: &str = "infill_v2";

/// A blank with excerpts, and the text around it.
pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    let mut left = Vec::new();
    for reference in blank.around.references {
        let shown = shown(blank.language, reference);
        left.extend(blank.tokens.vocab.encode(&shown));
    }
    left.extend_from_slice(blank.left);
    infill_v1::blank(&Blank {
        left: &left,
        ..*blank
    })
}

/// An excerpt under its path, if it has one.
fn shown(language: Language, reference: &Reference) -> String {
    let Reference { path, text } = *reference;
    let path = match (path, language.line_comment(), language.block_comment()) {
        ("", _, _) => String::new(),
        (path, Some(mark), _) => format!("{mark} {path}\n"),
        (path, None, Some((begin, end))) => format!("{begin} {path} {end}\n"),
        (path, None, None) => format!("{path}\n"),
    };
    format!("{path}{}\n\n", text.trim_end())
}
