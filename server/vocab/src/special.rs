//! The special tokens of a GLM vocabulary, found by their spelling.
//!
//! Text never becomes one of these ids (see `Vocab::encode`): only code that lays out a prompt
//! puts them in, so a buffer that quotes `[MASK]` cannot open a blank.

use crate::tokenizer::Error;

/// Ids of the tokens that give a GLM prompt its structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Special {
    /// `[MASK]`: a short blank inside a line.
    pub mask: u32,
    /// `[sMASK]`: a blank for the rest of a line or a whole statement.
    pub smask: u32,
    /// `[gMASK]`: a blank for a block, or for all that follows.
    pub gmask: u32,
    /// `<|startofpiece|>`: opens the input of every answer.
    pub sop: u32,
    /// `<|endofpiece|>`: closes every answer.
    pub eop: u32,
    /// `[CLS]`: the first token of every prompt.
    pub cls: u32,
    /// `<|endoftext|>`: the end of a file.
    pub eos: u32,
}

impl Special {
    /// Looks every special token up by its spelling; the first one missing is the error.
    pub(crate) fn find(id: impl Fn(&str) -> Option<u32>) -> Result<Special, Error> {
        let find = |spelling| id(spelling).ok_or(Error::MissingSpecial { spelling });
        Ok(Special {
            mask: find("[MASK]")?,
            smask: find("[sMASK]")?,
            gmask: find("[gMASK]")?,
            sop: find("<|startofpiece|>")?,
            eop: find("<|endofpiece|>")?,
            cls: find("[CLS]")?,
            eos: find("<|endoftext|>")?,
        })
    }
}
