//! The GGUF container: a header of metadata and tensor descriptions, then the tensors' bytes.
//!
//! Takes the whole file as bytes (built in or mapped), gives views into it. Nothing is copied, and every length and
//! offset is checked against the bytes that are there, so a hostile header cannot make it allocate or panic. Knows
//! nothing of models.
//!
//! Format: magic `GGUF`, version (u32), counts of tensors and of metadata pairs (u64), the pairs, the descriptions
//! (name, dimensions innermost first, type, offset), padding, data. Little-endian throughout; versions 2 and 3.

use super::view::{Entry, Kind, LONGEST_NAME, MOST_TENSORS, size};
use candle_core::quantized::GgmlDType;
use std::collections::BTreeMap;

/// Where tensor data begins and how it is spaced, unless the metadata says otherwise.
const ALIGNMENT: u64 = 32;
/// More dimensions than any tensor in this format has.
const MOST_DIMENSIONS: u32 = 4;
/// Most pairs of metadata; files have dozens.
const MOST_PAIRS: u64 = 1 << 16;

/// A parsed file; borrows the bytes.
pub(crate) struct Gguf<'a> {
    pub(crate) metadata: BTreeMap<&'a str, Value<'a>>,
    pub(crate) tensors: BTreeMap<&'a str, Entry<'a>>,
    header: &'a [u8],
}

/// A metadata value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Integer(u64),
    Negative,
    Float(f64),
    Bool(bool),
    Text(&'a str),
    Array(Array<'a>),
}

/// An array of the metadata, checked and left where it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Array<'a> {
    kind: u32,
    count: u64,
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// The elements; empty for an array of arrays.
    pub(crate) fn values(self) -> impl Iterator<Item = Value<'a>> {
        let mut reader = Reader {
            bytes: self.bytes,
            at: 0,
        };
        (0..self.count).map_while(move |_| reader.value(self.kind).ok())
    }

    /// The number of its elements' type, how many there are, and their bytes.
    pub(crate) fn parts(self) -> (u32, u64, &'a [u8]) {
        (self.kind, self.count, self.bytes)
    }
}

impl<'a> Gguf<'a> {
    /// Reads the header and finds every tensor's bytes. The error says what is wrong and where.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Gguf<'a>, String> {
        let mut reader = Reader { bytes, at: 0 };
        if reader.take(4).ok() != Some(b"GGUF") {
            return Err("it does not begin with the magic `GGUF`".to_owned());
        }
        let version = reader.u32()?;
        if !(2..=3).contains(&version) {
            return Err(format!(
                "its GGUF version is {version}, and only 2 and 3 are known"
            ));
        }
        let tensor_count = reader.u64()?;
        let pair_count = reader.u64()?;
        if tensor_count > MOST_TENSORS as u64 || pair_count > MOST_PAIRS {
            return Err(format!(
                "its header speaks of {tensor_count} tensors and {pair_count} pairs of metadata, more than any model has"
            ));
        }

        let mut metadata = BTreeMap::new();
        for _ in 0..pair_count {
            let key = reader.text()?;
            let kind = reader.u32()?;
            let value = reader.value(kind)?;
            if metadata.insert(key, value).is_some() {
                return Err(format!("metadata `{key}` is there twice"));
            }
        }
        let alignment = match metadata.get("general.alignment") {
            None => ALIGNMENT,
            Some(&Value::Integer(alignment))
                if alignment.is_power_of_two() && alignment <= 1 << 16 =>
            {
                alignment
            }
            Some(_) => return Err("`general.alignment` is not a small power of two".to_owned()),
        };

        let mut described = Vec::new();
        for _ in 0..tensor_count {
            described.push(reader.description()?);
        }
        let header = &bytes[..reader.at];
        let start = (reader.at as u64).next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for (name, shape, kind, offset) in described {
            let tensor = locate(bytes, start, shape, kind, offset)
                .map_err(|why| format!("tensor `{name}` {why}"))?;
            if tensors.insert(name, tensor).is_some() {
                return Err(format!("tensor `{name}` is there twice"));
            }
        }
        Ok(Gguf {
            metadata,
            tensors,
            header,
        })
    }

    /// The bytes before the tensors'.
    pub(crate) fn header(&self) -> &'a [u8] {
        self.header
    }
}

/// A hash of headers, and of each tensor's name and first and last bytes.
pub(crate) fn digest(headers: &[u8], tensors: &[(String, &[u8])]) -> u64 {
    const SAMPLE: usize = 4096;
    let mut hash = Fnv::new();
    hash.write(headers);
    for (name, bytes) in tensors {
        hash.write(name.as_bytes());
        hash.write(&bytes[..bytes.len().min(SAMPLE)]);
        hash.write(&bytes[bytes.len().saturating_sub(SAMPLE)..]);
    }
    hash.0
}

/// The view of one tensor's bytes, if the file has them all.
fn locate(
    bytes: &[u8],
    start: u64,
    shape: Vec<usize>,
    kind: u32,
    offset: u64,
) -> Result<Entry<'_>, String> {
    let kind = tensor_type(kind).ok_or_else(|| format!("has the unknown type {kind}"))?;
    if shape.is_empty() || shape.contains(&0) {
        return Err(format!("has the empty shape {shape:?}"));
    }
    let first = start
        .checked_add(offset)
        .and_then(|first| usize::try_from(first).ok());
    let slice = match size(&shape, kind) {
        Ok(size) => first.and_then(|first| bytes.get(first..first.checked_add(size)?)),
        Err(why) if why.contains("block") => return Err(why),
        Err(_) => None,
    };
    match slice {
        Some(bytes) => Ok(Entry { shape, kind, bytes }),
        None => Err(format!(
            "of shape {shape:?} at offset {offset} reaches past the end of the file"
        )),
    }
}

/// The tensor types by their number in the file.
fn tensor_type(number: u32) -> Option<Kind> {
    use GgmlDType::*;
    let kind = match number {
        0 => F32,
        1 => F16,
        2 => Q4_0,
        3 => Q4_1,
        6 => Q5_0,
        7 => Q5_1,
        8 => Q8_0,
        10 => Q2K,
        11 => Q3K,
        12 => Q4K,
        13 => Q5K,
        14 => Q6K,
        24 => return Some(Kind::Codes),
        25 => return Some(Kind::Other("i16")),
        26 => return Some(Kind::Other("i32")),
        27 => return Some(Kind::Other("i64")),
        28 => return Some(Kind::Other("f64")),
        30 => BF16,
        _ => return None,
    };
    Some(Kind::Ggml(kind))
}

/// Reads little-endian values off the front of the bytes.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| self.at.checked_add(count));
        let slice = end.and_then(|end| self.bytes.get(self.at..end));
        let Some(slice) = slice else {
            return Err(format!(
                "its header is cut short: {count} bytes wanted at {}, the file has {}",
                self.at,
                self.bytes.len()
            ));
        };
        self.at += slice.len();
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let length = self.u64()?;
        let at = self.at;
        std::str::from_utf8(self.take(length)?)
            .map_err(|_| format!("the string at byte {at} is not UTF-8"))
    }

    fn value(&mut self, kind: u32) -> Result<Value<'a>, String> {
        let signed = |number: i64| u64::try_from(number).map_or(Value::Negative, Value::Integer);
        Ok(match kind {
            0 => Value::Integer(u8::from_le_bytes(self.array()?).into()),
            1 => signed(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.array()?).into()),
            3 => signed(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => signed(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => Value::Bool(self.take(1)? != [0]),
            8 => Value::Text(self.text()?),
            9 => Value::Array(self.array_value()?),
            10 => Value::Integer(self.u64()?),
            11 => signed(i64::from_le_bytes(self.array()?)),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            _ => {
                return Err(format!(
                    "the metadata at byte {} has the unknown type {kind}",
                    self.at
                ));
            }
        })
    }

    fn array_value(&mut self) -> Result<Array<'a>, String> {
        let kind = self.u32()?;
        let count = self.u64()?;
        let start = self.at;
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => {
                for _ in 0..count {
                    self.text()?;
                }
                0
            }
            _ => {
                return Err(format!(
                    "the array at byte {} has elements of the unknown type {kind}",
                    self.at
                ));
            }
        };
        let bytes = count
            .checked_mul(size)
            .ok_or("an array's length overflows")?;
        self.take(bytes)?;
        Ok(Array {
            kind,
            count,
            bytes: &self.bytes[start..self.at],
        })
    }

    fn description(&mut self) -> Result<(&'a str, Vec<usize>, u32, u64), String> {
        let at = self.at;
        let name = self.text()?;
        if name.len() > LONGEST_NAME {
            return Err(format!(
                "the tensor at byte {at} has a name of {} bytes",
                name.len()
            ));
        }
        let dimensions = self.u32()?;
        if dimensions > MOST_DIMENSIONS {
            return Err(format!("tensor `{name}` has {dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = self.u64()?;
            shape.push(
                usize::try_from(size)
                    .map_err(|_| format!("tensor `{name}` is too large for this machine"))?,
            );
        }
        shape.reverse();
        Ok((name, shape, self.u32()?, self.u64()?))
    }
}

/// FNV-1a, 64 bits: short, and the same for ever, which the standard library does not promise of its own.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
