//! The special tokens of a GLM vocabulary, found by their spelling.
//!
//! Text never becomes one of these ids (see `Vocab::encode`): only code that lays out a prompt
//! puts them in, so a buffer that quotes `[MASK]` cannot open a blank.

use crate::Error;

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
    /// Looks every special token up by the spellings that the makers gave it over the years, best
    /// known first; the first one missing is the error.
    pub(crate) fn find(id: impl Fn(&str) -> Option<u32>) -> Result<Special, Error> {
        let find = |spellings: &[&'static str]| {
            spellings
                .iter()
                .find_map(|spelling| id(spelling))
                .ok_or(Error::MissingSpecial {
                    spelling: spellings[0],
                })
        };
        Ok(Special {
            mask: find(&["[MASK]"])?,
            smask: find(&["[sMASK]"])?,
            gmask: find(&["[gMASK]"])?,
            sop: find(&["<|startofpiece|>", "<sop>", "sop"])?,
            eop: find(&["<|endofpiece|>", "<eop>", "eop"])?,
            cls: find(&["[CLS]", "<ENC>"])?,
            eos: find(&["<|endoftext|>", "</s>", "<eos>", "[PAD]"])?,
        })
    }
}

/// Whether an entry of a plain vocabulary is a marker by its looks: `[MASK]` and its kind, or
/// `<|name|>`. Some files list such tokens among the normal ones (the code tokens of CodeGeeX4's
/// GGUF, `<|endoftext|>` of GPT-2); text must not become one of them all the same.
pub(crate) fn looks_special(spelling: &str) -> bool {
    const KNOWN: &[&str] = &[
        "[MASK]", "[gMASK]", "[sMASK]", "[CLS]", "[SEP]", "[UNK]", "[PAD]", "[dBLOCK]", "<sop>",
        "<eop>",
    ];
    let inner = spelling
        .strip_prefix("<|")
        .and_then(|rest| rest.strip_suffix("|>"));
    KNOWN.contains(&spelling)
        || inner.is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
}
