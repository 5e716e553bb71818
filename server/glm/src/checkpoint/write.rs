//! The GGUF container as it is written: the header, then the tensors' bytes, each padded.
//!
//! Takes metadata and the description of every tensor, gives the bytes before the first tensor's. `gguf` reads it.

use crate::config::Pair;
use candle_core::quantized::GgmlDType;
use std::io::Write;

/// How the data of tensors is spaced.
const ALIGNMENT: u64 = 32;
/// The type of signed bytes.
const CODES: u32 = 24;

/// A tensor of the file to be.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    name: String,
    shape: Vec<usize>,
    kind: u32,
    pub(crate) bytes: u64,
}

impl Part {
    /// A tensor of one of GGML's types.
    pub(crate) fn ggml(name: String, shape: Vec<usize>, kind: GgmlDType) -> Part {
        let count: usize = shape.iter().product();
        Part {
            name,
            shape,
            kind: number(kind),
            bytes: (count / kind.block_size() * kind.type_size()) as u64,
        }
    }

    /// A tensor of signed bytes.
    pub(crate) fn codes(name: String, shape: Vec<usize>) -> Part {
        Part {
            name,
            bytes: shape.iter().product::<usize>() as u64,
            shape,
            kind: CODES,
        }
    }
}

/// Everything before the first tensor's bytes. The tensors follow in this order, each after [`pad`].
pub(crate) fn header(metadata: &[(String, Pair)], parts: &[&Part]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((parts.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, pair) in metadata {
        text(&mut out, key);
        match pair {
            Pair::Text(value) => {
                out.extend(8u32.to_le_bytes());
                text(&mut out, value);
            }
            Pair::Count(value) => {
                out.extend(10u32.to_le_bytes());
                out.extend(value.to_le_bytes());
            }
            Pair::Float(value) => {
                out.extend(6u32.to_le_bytes());
                out.extend((*value as f32).to_le_bytes());
            }
            Pair::Flag(value) => {
                out.extend(7u32.to_le_bytes());
                out.push((*value).into());
            }
            Pair::Array(kind, count, bytes) => {
                out.extend(9u32.to_le_bytes());
                out.extend(kind.to_le_bytes());
                out.extend(count.to_le_bytes());
                out.extend(bytes);
            }
        }
    }
    let mut offset = 0u64;
    for part in parts {
        text(&mut out, &part.name);
        out.extend((part.shape.len() as u32).to_le_bytes());
        for &size in part.shape.iter().rev() {
            out.extend((size as u64).to_le_bytes());
        }
        out.extend(part.kind.to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += part.bytes.next_multiple_of(ALIGNMENT);
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT as usize), 0);
    out
}

/// Fills up the place of a tensor of which `written` bytes have been written.
pub(crate) fn pad(file: &mut impl Write, written: u64) -> std::io::Result<()> {
    let missing = written.next_multiple_of(ALIGNMENT) - written;
    file.write_all(&[0; ALIGNMENT as usize][..missing as usize])
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// The number of a type in the file.
fn number(kind: GgmlDType) -> u32 {
    use GgmlDType::*;
    match kind {
        F32 => 0,
        F16 => 1,
        Q4_0 => 2,
        Q4_1 => 3,
        Q5_0 => 6,
        Q5_1 => 7,
        Q8_0 => 8,
        Q8_1 => 9,
        Q2K => 10,
        Q3K => 11,
        Q4K => 12,
        Q5K => 13,
        Q6K => 14,
        Q8K => 15,
        BF16 => 30,
    }
}
