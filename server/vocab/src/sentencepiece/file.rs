//! The file of a sentencepiece model: a protocol buffer, `ModelProto` of `sentencepiece_model.proto`.
//!
//! Gives the pieces and what is said of how text becomes pieces. Nothing is copied or counted
//! before it was found in the file, so a damaged length cannot claim memory. What training and
//! self-tests leave in a file is passed over.

use crate::Error;
use crate::tokens::MAX_IDS;

/// No piece is longer, in bytes. Trainers stop at sixteen characters unless told otherwise; the
/// bound keeps the time to encode in proportion to the text.
const LONGEST: usize = 1024;

/// What a file says.
pub(crate) struct Model {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) algorithm: Algorithm,
    /// Whether what no piece covers becomes its bytes, instead of the unknown piece.
    pub(crate) byte_fallback: bool,
    pub(crate) normal: Normal,
}

/// One piece; its id is its place.
pub(crate) struct Piece {
    /// With U+2581 for a space.
    pub(crate) text: String,
    /// A log probability (unigram) or minus the number of the merge (BPE).
    pub(crate) score: f32,
    pub(crate) kind: Kind,
}

impl Piece {
    /// Whether a file may hold this piece, or what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.text.is_empty() {
            return Err("it is empty".into());
        }
        if self.text.len() > LONGEST {
            let len = self.text.len();
            return Err(format!("it has {len} bytes, and {LONGEST} are the most"));
        }
        if !self.score.is_finite() {
            return Err("its score is no number".into());
        }
        Ok(())
    }
}

/// What a piece is for. The numbers are the file's, and those of GGUF's `token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text.
    Normal,
    /// Stands for what cannot be encoded.
    Unknown,
    /// No text.
    Control,
    /// Text that is never cut.
    UserDefined,
    /// Text that joins to longer pieces but is no id by itself.
    Unused,
    /// One byte, spelled `<0x0A>`.
    Byte,
}

impl Kind {
    pub(crate) fn from_number(number: u64) -> Option<Kind> {
        Some(match number {
            1 => Kind::Normal,
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            5 => Kind::Unused,
            6 => Kind::Byte,
            _ => return None,
        })
    }
}

/// How text is cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// The most probable way.
    Unigram,
    /// Neighbours join, best first.
    Bpe,
}

/// What happens to text before it is cut.
#[derive(Debug, Clone)]
pub(crate) struct Normal {
    /// Rules that replace characters (`nmt_nfkc` and its kind), compiled; empty for `identity`.
    pub(crate) rules: Vec<u8>,
    /// A whole text starts with a space.
    pub(crate) dummy_prefix: bool,
    /// Runs of spaces become one; a whole text neither starts nor ends with any.
    pub(crate) squeeze: bool,
    /// Spaces become U+2581.
    pub(crate) escape: bool,
}

impl Default for Normal {
    fn default() -> Normal {
        Normal {
            rules: Vec::new(),
            dummy_prefix: true,
            squeeze: true,
            escape: true,
        }
    }
}

/// Reads the bytes of `file`, which names them in errors.
pub(crate) fn read(file: &'static str, bytes: &[u8]) -> Result<Model, Error> {
    let mut model = Model {
        pieces: Vec::new(),
        algorithm: Algorithm::Unigram,
        byte_fallback: false,
        normal: Normal::default(),
    };
    let mut fields = Fields {
        file,
        what: "the file",
        rest: bytes,
    };
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Field::Bytes(bytes)) => {
                if model.pieces.len() >= MAX_IDS as usize {
                    let problem = format!("there are more than {MAX_IDS}");
                    return Err(Error::broken(file, "the pieces", problem));
                }
                let place = model.pieces.len();
                model.pieces.push(piece(file, place, bytes)?);
            }
            (2, Field::Bytes(bytes)) => trainer(file, bytes, &mut model)?,
            (3, Field::Bytes(bytes)) => normal(file, bytes, &mut model.normal)?,
            (5, Field::Bytes(bytes)) => {
                let mut after = Normal::default();
                normal(file, bytes, &mut after)?;
                if !after.rules.is_empty() {
                    return Err(Error::Unsupported(format!(
                        "{file} has rules for decoded text (denormalizer_spec)"
                    )));
                }
            }
            _ => {}
        }
    }
    if model.pieces.is_empty() {
        let problem = "it has no pieces; a sentencepiece model is expected";
        return Err(Error::broken(file, "the file", problem));
    }
    Ok(model)
}

fn piece(file: &'static str, place: usize, bytes: &[u8]) -> Result<Piece, Error> {
    let wrong = |problem: String| Error::broken(file, format!("piece {place}"), problem);
    let mut piece = Piece {
        text: String::new(),
        score: 0.0,
        kind: Kind::Normal,
    };
    let mut fields = Fields {
        file,
        what: "a piece",
        rest: bytes,
    };
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Field::Bytes(text)) => {
                let text = std::str::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
                text.clone_into(&mut piece.text);
            }
            (2, Field::Four(bits)) => piece.score = f32::from_bits(bits),
            (3, Field::Number(number)) => {
                piece.kind = Kind::from_number(number)
                    .ok_or_else(|| wrong(format!("it has the unknown type {number}")))?;
            }
            _ => {}
        }
    }
    piece.check().map_err(wrong)?;
    Ok(piece)
}

fn trainer(file: &'static str, bytes: &[u8], model: &mut Model) -> Result<(), Error> {
    let mut fields = Fields {
        file,
        what: "trainer_spec",
        rest: bytes,
    };
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (3, Field::Number(1)) => model.algorithm = Algorithm::Unigram,
            (3, Field::Number(2)) => model.algorithm = Algorithm::Bpe,
            (3, Field::Number(other)) => {
                return Err(Error::Unsupported(format!(
                    "{file} has the model type {other}, neither unigram (1) nor BPE (2)"
                )));
            }
            (24, Field::Number(1..)) => {
                return Err(Error::Unsupported(format!(
                    "{file} puts spaces after words (treat_whitespace_as_suffix)"
                )));
            }
            (35, Field::Number(number)) => model.byte_fallback = number != 0,
            _ => {}
        }
    }
    Ok(())
}

fn normal(file: &'static str, bytes: &[u8], normal: &mut Normal) -> Result<(), Error> {
    let mut fields = Fields {
        file,
        what: "normalizer_spec",
        rest: bytes,
    };
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (2, Field::Bytes(bytes)) => normal.rules = bytes.to_vec(),
            (3, Field::Number(number)) => normal.dummy_prefix = number != 0,
            (4, Field::Number(number)) => normal.squeeze = number != 0,
            (5, Field::Number(number)) => normal.escape = number != 0,
            _ => {}
        }
    }
    Ok(())
}

/// A value on the wire.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four bytes, little-endian.
    Four(u32),
    /// Eight bytes; nothing here needs them.
    Eight,
}

/// The fields of one message in turn.
struct Fields<'a> {
    file: &'static str,
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The next field's number and value; none at the end of the message.
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let field = self.field().ok_or_else(|| {
            let problem = "it is cut off or no protocol buffer; is it a sentencepiece model?";
            Error::broken(self.file, self.what, problem)
        })?;
        Ok(Some(field))
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Field::Number(self.number()?),
            1 => {
                self.take(8)?;
                Field::Eight
            }
            2 => {
                let len = usize::try_from(self.number()?).ok()?;
                Field::Bytes(self.take(len)?)
            }
            5 => Field::Four(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        (tag >> 3 != 0).then_some((tag >> 3, value))
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    /// A number of seven bits a byte, the least first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for (place, &byte) in self.rest.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.rest = &self.rest[place + 1..];
                return Some(number);
            }
        }
        None
    }
}
