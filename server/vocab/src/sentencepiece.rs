//! Sentencepiece models: ChatGLM2 and ChatGLM3, CodeGeeX2, the Chinese GLMs; with `ice` ChatGLM-6B
//! and GLM-130B, with `gguf` all that was converted from these.
//!
//! Takes a model that was read elsewhere; gives an encoder and the table of bytes. Both of
//! sentencepiece's algorithms are here, since no library in Rust has equal scores, user-defined
//! symbols and 32-bit sums as the original does, and rare texts would get other ids. What a model
//! says of text before it is cut is applied in full: compiled rules (`nmt_nfkc` and its kind), the
//! dummy prefix, squeezed spaces.

mod bpe;
pub(crate) mod file;
mod normal;
mod prefixes;
mod unigram;

use std::collections::HashSet;
use std::ops::Range;

use self::bpe::Bpe;
use self::file::{Algorithm, Kind, Model, Piece};
pub(crate) use self::normal::Edges;
use self::normal::{Normalizer, SPACE};
use self::prefixes::Prefixes;
use self::unigram::Unigram;
use crate::error::quote;
use crate::special::looks_special;
use crate::tokenizer::{Encode, Parts};
use crate::tokens::Tokens;
use crate::{Error, Pieces, added};

/// What follows the pieces of ChatGLM2 and CodeGeeX2 (`SPTokenizer` in `tokenization_chatglm.py`).
const CHATGLM2: &[&str] = &["[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"];

/// What ChatGLM3 adds.
const CHATGLM3: &[&str] = &["<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"];

/// What follows the pieces of the Chinese GLMs, and how far behind them (`ChineseSPTokenizer` in
/// `data_utils` of GLM, with `fix_command_token` as in all that was published).
const CHINESE: &[(&str, u32)] = &[
    ("<|endoftext|>", 0),
    ("[SEP]", 1),
    ("[CLS]", 2),
    ("[MASK]", 3),
    ("[UNK]", 4),
    ("<|startofpiece|>", 6),
    ("<|endofpiece|>", 7),
    ("[sMASK]", 8),
    ("[gMASK]", 9),
];

/// Reads a model file, and the special tokens that follow it.
pub(crate) fn open(bytes: &[u8], config: Option<&[u8]>, special: Pieces) -> Result<Parts, Error> {
    let file = match special {
        Pieces::ChatGlm2 | Pieces::ChatGlm3 => "tokenizer.model",
        Pieces::GlmChinese => "cog-pretrain.model",
    };
    let mut tokens = Tokens::new(file);
    let model = file::read(file, bytes)?;
    let encoder = SentencePiece::new(file, model, 0, &mut tokens, |piece| {
        is_marker(piece).then_some(Apart::Special)
    })?;
    let next = tokens.len();
    for (spelling, id) in added::read(config)? {
        if !tokens.is_free(id) {
            let problem = "its id belongs to a piece of the model";
            let place = quote(&spelling);
            return Err(Error::broken("tokenizer_config.json", place, problem));
        }
        tokens.special(&spelling, id)?;
    }
    let following: Vec<(&str, u32)> = match special {
        Pieces::ChatGlm2 => CHATGLM2.iter().copied().zip(0..).collect(),
        Pieces::ChatGlm3 => CHATGLM2.iter().chain(CHATGLM3).copied().zip(0..).collect(),
        Pieces::GlmChinese => CHINESE.to_vec(),
    };
    for (spelling, place) in following {
        if tokens.id(spelling).is_none() {
            tokens.special(spelling, next + place)?;
        }
    }
    Ok(Parts {
        encoder: Box::new(encoder),
        tokens,
    })
}

/// Whether a user-defined symbol is a marker that text must not become.
pub(crate) fn is_marker(piece: &Piece) -> bool {
    const BARE: &[&str] = &["sop", "eop", "<eod>", "<ENC>", "<dBLOCK>", "<unused_0>"];
    piece.kind == Kind::UserDefined
        && (looks_special(&piece.text) || BARE.contains(&piece.text.as_str()))
}

/// What a piece is that plain text never becomes, besides those whose kind says so.
pub(crate) enum Apart {
    /// A special token.
    Special,
    /// A token of text that the caller places by itself; these are its bytes.
    Text(Vec<u8>),
}

/// A model at work.
pub(crate) struct SentencePiece {
    normalizer: Normalizer,
    /// Symbols that are never cut and that no rule touches.
    whole: Prefixes,
    search: Search,
    /// The ids of single bytes, for what no piece covers.
    byte_ids: Option<Box<[u32; 256]>>,
    unknown: u32,
    /// The id of the first piece.
    first: u32,
}

enum Search {
    Unigram(Unigram),
    Bpe(Bpe),
}

impl SentencePiece {
    /// Checks a model, and enters its pieces into `tokens` from the id `first` on. `apart` says
    /// which pieces are not text like any other.
    pub(crate) fn new(
        file: &'static str,
        model: Model,
        first: u32,
        tokens: &mut Tokens,
        apart: impl Fn(&Piece) -> Option<Apart>,
    ) -> Result<SentencePiece, Error> {
        let mut unknown = None;
        let mut byte_ids = [None; 256];
        // The pieces that text can become.
        let mut plain: Vec<(&str, u32)> = Vec::with_capacity(model.pieces.len());
        let mut seen = HashSet::with_capacity(model.pieces.len());
        for (place, piece) in (0u32..).zip(&model.pieces) {
            let wrong = |problem: &str| {
                let place = format!("piece {place}, {}", quote(&piece.text));
                Err(Error::broken(file, place, problem))
            };
            let id = first + place;
            match (apart(piece), piece.kind) {
                (Some(Apart::Special), _) | (None, Kind::Control) => {
                    tokens.special(&piece.text, id)?;
                }
                (Some(Apart::Text(bytes)), _) => tokens.text(id, bytes)?,
                (None, Kind::Unknown) => {
                    tokens.special(&piece.text, id)?;
                    if unknown.replace(place).is_some() {
                        return wrong("a second unknown piece");
                    }
                }
                (None, Kind::Byte) => {
                    let Some(byte) = byte(&piece.text) else {
                        return wrong("this is no byte");
                    };
                    tokens.text(id, vec![byte])?;
                    if byte_ids[usize::from(byte)].replace(place).is_some() {
                        return wrong("the byte has an earlier piece");
                    }
                }
                (None, Kind::Normal | Kind::UserDefined | Kind::Unused) => {
                    let text = match model.normal.escape {
                        true => piece.text.replace(SPACE, " "),
                        false => piece.text.clone(),
                    };
                    tokens.text(id, text.into_bytes())?;
                    if !seen.insert(&piece.text) {
                        return wrong("it is there twice");
                    }
                    plain.push((&piece.text, place));
                }
            }
        }
        let byte_ids = match model.byte_fallback {
            true => Some(all_bytes(file, byte_ids)?),
            false => None,
        };
        if unknown.is_none() && byte_ids.is_none() {
            let problem = "there is neither an unknown piece nor one for every byte";
            return Err(Error::broken(file, "the pieces", problem));
        }
        let unknown = unknown.unwrap_or(u32::MAX);
        let is_whole =
            |&&(_, place): &&(&str, u32)| model.pieces[place as usize].kind == Kind::UserDefined;
        let whole = Prefixes::new(plain.iter().filter(is_whole).copied());
        let search = match model.algorithm {
            Algorithm::Unigram => {
                let scores = model.pieces.iter().map(|piece| (piece.kind, piece.score));
                let pieces = Prefixes::new(plain.iter().copied());
                Search::Unigram(Unigram::new(pieces, scores.collect(), unknown))
            }
            Algorithm::Bpe => Search::Bpe(Bpe::new(&model.pieces, &plain, unknown)),
        };
        Ok(SentencePiece {
            normalizer: Normalizer::new(file, &model.normal)?,
            whole,
            search,
            byte_ids,
            unknown,
            first,
        })
    }

    /// Adds the ids of a part of a text.
    pub(crate) fn part(&self, text: &str, edges: Edges, ids: &mut Vec<u32>) {
        let text = self.normalizer.apply(text, edges, &self.whole);
        let pieces: Vec<(Range<usize>, u32)> = match &self.search {
            Search::Unigram(unigram) => unigram.cut(&text),
            Search::Bpe(bpe) => bpe.cut(&text, &self.whole),
        };
        let mut after_unknown = false;
        for (range, id) in pieces {
            let is_unknown = id == self.unknown;
            match &self.byte_ids {
                Some(byte_ids) if is_unknown => {
                    let bytes = text[range].bytes();
                    ids.extend(bytes.map(|byte| self.first + byte_ids[usize::from(byte)]));
                }
                // A run of what is unknown is one piece.
                None if is_unknown && after_unknown => {}
                _ => ids.push(self.first + id),
            }
            after_unknown = is_unknown;
        }
    }

    /// Whether a whole text has no ids at all.
    pub(crate) fn is_blank(&self, text: &str) -> bool {
        self.normalizer.is_blank(text, &self.whole)
    }
}

impl Encode for SentencePiece {
    fn encode(&self, text: &str, start: bool) -> Vec<u32> {
        let mut ids = Vec::new();
        if !start || !self.is_blank(text) {
            self.part(text, Edges { start, end: start }, &mut ids);
        }
        ids
    }
}

/// The byte that a piece such as `<0x0A>` spells.
fn byte(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hex = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

fn all_bytes(file: &'static str, found: [Option<u32>; 256]) -> Result<Box<[u32; 256]>, Error> {
    let mut ids = Box::new([0; 256]);
    for (byte, (id, found)) in ids.iter_mut().zip(found).enumerate() {
        *id = found.ok_or_else(|| {
            let problem = format!("the piece <0x{byte:02X}> is missing (byte_fallback)");
            Error::broken(file, "the pieces", problem)
        })?;
    }
    Ok(ids)
}
