//! CodeGeeX4-ALL-9B: a request that names file, language and mode, then suffix, prefix, middle.
//!
//! Both code markers stay even if their side is empty, and nothing stands between a marker and the
//! code. The mode is `LINE` where the answer has to end with its line, else `BLOCK`: a statement may
//! take several lines, and what is more than one is cut. Other files come first, each under
//! `###REFERENCE:`.
//!
//! The guides show the text without `[gMASK]<sop>`, which the published tokenizer puts before every
//! text that it encodes; so it is put here. Whether blanks were trained with it is not published.
//!
//! Source: `guides` and README of THUDM/CodeGeeX4, whose template this follows with single line ends.

use super::Blank;
use super::glm4::STOPS;
use super::plain::SOP;
use crate::chat::{self, Message};
use crate::sequence::Input;
use crate::tokens::{Script, Tokens};
use crate::{Error, Reference, Until};

/// Tokens that can only mean that the middle is over.
pub(crate) const CODE_STOPS: &[&str] = &[
    "<|assistant|>",
    "<|code_suffix|>",
    "<|code_prefix|>",
    "<|code_middle|>",
];

pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    let Blank {
        tokens,
        language,
        situation,
        around,
        ..
    } = *blank;
    let mut script = tokens.script();
    script.token(&["[gMASK]"])?.token(SOP)?;
    script.token(&["<|user|>"])?.text("\n");
    for Reference { path, text } in around.references {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        script.text(&format!("###REFERENCE:\n###PATH:{path}\n{text}{end}"));
    }
    let path = around.path;
    // The line stays where the language is unknown, its value does not.
    let language = language.tag().map_or("", |_| language.title());
    let mode = match situation.until {
        Until::Line => "LINE",
        Until::Statement | Until::Block => "BLOCK",
    };
    script.text(&format!(
        "###PATH:{path}\n###LANGUAGE:{language}\n###MODE:{mode}\n"
    ));
    middle(&mut script, blank)?;
    script.token(&["<|assistant|>"])?.text("\n");
    let stops = [STOPS, CODE_STOPS].concat();
    Ok(Input::causal(script.done(), tokens.all(&stops)))
}

/// Suffix, prefix and the place of the middle.
pub(crate) fn middle(script: &mut Script, blank: &Blank) -> Result<(), Error> {
    script.token(&["<|code_suffix|>"])?.ids(blank.right);
    script.token(&["<|code_prefix|>"])?.ids(blank.left);
    script.token(&["<|code_middle|>"])?;
    Ok(())
}

/// Turns without anything between them; the answer begins on the line after its role.
pub(crate) fn chat(tokens: Tokens, messages: &[Message]) -> Result<Input, Error> {
    chat::check(tokens.template, messages)?;
    let mut script = tokens.script();
    script.token(&["[gMASK]"])?.token(SOP)?;
    for Message { role, content } in messages {
        script.token(&[role.token()])?.text("\n").text(content);
    }
    script.token(&["<|assistant|>"])?.text("\n");
    Ok(Input::causal(script.done(), tokens.all(STOPS)))
}
