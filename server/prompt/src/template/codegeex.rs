//! CodeGeeX-13B: a tag line that names the language, then code to go on with; no opening token.
//!
//! Source: README and `codegeex/benchmark` of THUDM/CodeGeeX.

use super::Blank;
use super::plain;
use crate::Error;
use crate::sequence::Input;
use crate::tokens::Tokens;

/// What ends a text.
const EOS: &[&str] = &["<|endoftext|>"];

pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    let mut script = blank.tokens.script();
    script.text(&plain::tag_line(blank)).ids(blank.left);
    let mut ids = script.done();
    let eos = blank.tokens.id(EOS)?;
    if ids.is_empty() {
        // A model has to read something: the end of one text is the start of the next.
        ids.push(eos);
    }
    Ok(Input::causal(ids, vec![eos]))
}

/// Text to go on with.
pub(crate) fn text(tokens: Tokens, text: &str) -> Result<Input, Error> {
    let ids = tokens.script().text(text).done();
    Ok(Input::causal(ids, vec![tokens.id(EOS)?]))
}
