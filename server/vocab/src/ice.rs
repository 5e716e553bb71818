//! `ice_text.model`, the sentencepiece model of ChatGLM-6B and GLM-130B.
//!
//! White space is text of its own there: a line end is `<n>`, a tab `<|tab|>`, a run of 2 to 80
//! spaces `<|blank_k|>`, and none of them joins with its neighbours. GLM-130B's file comes without
//! these and without the special tokens: whoever loads it adds them behind the pieces
//! (`GLM130BTokenizer` in SwissArmyTransformer); ChatGLM-6B's file has them all.
//!
//! Unlike the makers' code, text that merely spells such a token (`Array<n>`) stays what it is.

use crate::Error;
use crate::sentencepiece::file::{self, Kind, Model, Piece};
use crate::sentencepiece::{Apart, Edges, SentencePiece, is_marker};
use crate::tokenizer::{Encode, Parts};
use crate::tokens::Tokens;

const FILE: &str = "ice_text.model";

/// The ids of image codes, which come first.
const IMAGES: u32 = 20_000;

const NEWLINE: &str = "<n>";
const TAB: &str = "<|tab|>";
const LONGEST_BLANK: usize = 80;

/// What follows the pieces of a file that has no special tokens.
const SPECIAL: &[&str] = &[
    "[MASK]", "[gMASK]", "[sMASK]", "<eod>", "<sop>", "<eop>", "<ENC>", "<dBLOCK>",
];

/// Reads the file. With `images`, the ids of text come after those of image codes.
pub(crate) fn open(bytes: &[u8], images: bool) -> Result<Parts, Error> {
    let mut model = file::read(FILE, bytes)?;
    if !model.pieces.iter().any(|piece| piece.text == SPECIAL[0]) {
        complete(&mut model);
    }
    let first = if images { IMAGES } else { 0 };
    let (mut newline, mut tab, mut blanks) = (None, None, [None; LONGEST_BLANK - 1]);
    for (id, piece) in (first..).zip(&model.pieces) {
        match white_space(&piece.text) {
            Some(('\n', _)) => newline = Some(id),
            Some(('\t', _)) => tab = Some(id),
            Some((_, count)) => blanks[count - 2] = Some(id),
            None => {}
        }
    }
    let missing =
        |spelling: &str| Error::broken(FILE, "the pieces", format!("{spelling} is missing"));
    let mut tokens = Tokens::new(FILE);
    let pieces = SentencePiece::new(FILE, model, first, &mut tokens, |piece| {
        match white_space(&piece.text) {
            Some((character, count)) => Some(Apart::Text(vec![character as u8; count])),
            None => is_special(piece).then_some(Apart::Special),
        }
    })?;
    let ice = Ice {
        pieces,
        newline: newline.ok_or_else(|| missing(NEWLINE))?,
        tab: tab.ok_or_else(|| missing(TAB))?,
        blanks: (2..)
            .zip(blanks)
            .map(|(count, id)| id.ok_or_else(|| missing(&blank(count))))
            .collect::<Result<_, _>>()?,
    };
    Ok(Parts {
        encoder: Box::new(ice),
        tokens,
    })
}

/// The white space that a piece stands for: which character, and how often.
fn white_space(piece: &str) -> Option<(char, usize)> {
    match piece {
        NEWLINE => Some(('\n', 1)),
        TAB => Some(('\t', 1)),
        _ => {
            let count = piece.strip_prefix("<|blank_")?.strip_suffix("|>")?;
            let count = count.parse().ok()?;
            let is_known = (2..=LONGEST_BLANK).contains(&count) && blank(count) == piece;
            is_known.then_some((' ', count))
        }
    }
}

fn is_special(piece: &Piece) -> bool {
    SPECIAL.contains(&piece.text.as_str()) || is_marker(piece)
}

fn blank(count: usize) -> String {
    format!("<|blank_{count}|>")
}

/// Adds the special tokens, white space and all bytes.
fn complete(model: &mut Model) {
    let mut add = |text: String, kind: Kind| {
        model.pieces.push(Piece {
            text,
            score: 0.0,
            kind,
        });
    };
    for spelling in SPECIAL {
        add((*spelling).into(), Kind::Control);
    }
    add(TAB.into(), Kind::UserDefined);
    for count in 2..=LONGEST_BLANK {
        add(blank(count), Kind::UserDefined);
    }
    for byte in 0..=255 {
        add(format!("<0x{byte:02X}>"), Kind::Byte);
    }
    model.byte_fallback = true;
}

struct Ice {
    pieces: SentencePiece,
    newline: u32,
    tab: u32,
    /// The ids of runs of 2, 3, … spaces.
    blanks: Vec<u32>,
}

impl Ice {
    /// The id of the white space that `text` starts with, and its length.
    fn white_space(&self, text: &[u8]) -> Option<(u32, usize)> {
        match text.first()? {
            b'\n' => Some((self.newline, 1)),
            b'\t' => Some((self.tab, 1)),
            b' ' => {
                let spaces = text.iter().take_while(|byte| **byte == b' ').count();
                let count = spaces.min(LONGEST_BLANK);
                Some((*self.blanks.get(count.checked_sub(2)?)?, count))
            }
            _ => None,
        }
    }
}

impl Encode for Ice {
    fn encode(&self, text: &str, start: bool) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut at = 0;
        let mut plain = 0;
        while at < text.len() {
            let Some((id, len)) = self.white_space(&text.as_bytes()[at..]) else {
                at += 1;
                continue;
            };
            let edges = Edges {
                start: start && plain == 0,
                end: false,
            };
            self.pieces.part(&text[plain..at], edges, &mut ids);
            ids.push(id);
            at += len;
            plain = at;
        }
        if plain == 0 {
            return self.pieces.encode(text, start);
        }
        let edges = Edges {
            start: false,
            end: start,
        };
        self.pieces.part(&text[plain..], edges, &mut ids);
        ids
    }
}
