//! The safetensors container: the length of a header, the header in JSON, then the tensors' bytes.
//!
//! Takes the whole file as bytes, gives its tensors by name with views of their bytes. The header may not be larger
//! than the file or than any header is, and is read straight into descriptions, so that a hostile one costs little.

use super::view::{Entry, Kind, LONGEST_NAME, MOST_DIMENSIONS, MOST_TENSORS};
use candle_core::quantized::GgmlDType;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// Largest header that is read: [`MOST_TENSORS`] take a fifth of it. The format's own limit is 100 MB.
const LARGEST_HEADER: u64 = 64 << 20;

/// Whether the bytes begin like a file of this format.
pub(crate) fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{')
}

/// The tensors of the file. The error says what is wrong and where.
pub(crate) fn tensors(bytes: &[u8]) -> Result<BTreeMap<String, Entry<'_>>, String> {
    let (&length, rest) = bytes
        .split_first_chunk()
        .ok_or("it is too short for a safetensors file")?;
    let length = u64::from_le_bytes(length);
    if length > LARGEST_HEADER || length > rest.len() as u64 {
        return Err(format!(
            "its header should have {length} bytes, and the file has {}: it is cut short or no safetensors file",
            rest.len()
        ));
    }
    let (header, data) = rest.split_at(length as usize);
    let header: Header = serde_json::from_slice(header)
        .map_err(|error| format!("its header is not that of a safetensors file: {error}"))?;
    let mut tensors = BTreeMap::new();
    for (name, described) in header.0 {
        // A tensor without numbers is as good as none.
        if described.shape.0.contains(&0) {
            continue;
        }
        let entry = entry(&described, data).map_err(|why| format!("tensor `{name}` {why}"))?;
        if tensors.insert(name.to_string(), entry).is_some() {
            return Err(format!("tensor `{name}` is there twice"));
        }
    }
    no_overlap(&tensors)?;
    Ok(tensors)
}

fn entry<'a>(described: &Description, data: &'a [u8]) -> Result<Entry<'a>, String> {
    let kind = match &*described.dtype {
        "F32" => Kind::Ggml(GgmlDType::F32),
        "F16" => Kind::Ggml(GgmlDType::F16),
        "BF16" => Kind::Ggml(GgmlDType::BF16),
        "I8" => Kind::Codes,
        "U8" => Kind::Other("u8"),
        "BOOL" => Kind::Other("bool"),
        "F64" => Kind::Other("f64"),
        "I64" => Kind::Other("i64"),
        "U64" => Kind::Other("u64"),
        "I32" => Kind::Other("i32"),
        "U32" => Kind::Other("u32"),
        "I16" => Kind::Other("i16"),
        "U16" => Kind::Other("u16"),
        "F8_E4M3" | "F8_E5M2" => Kind::Other("fp8"),
        other => return Err(format!("has the unknown type {other}")),
    };
    let [from, to] = described.data_offsets;
    let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    let bytes = range
        .and_then(|(from, to)| data.get(from..to))
        .ok_or_else(|| {
            format!(
                "at {from} to {to} does not lie within the file's {} bytes of data",
                data.len()
            )
        })?;
    Entry::new(described.shape.0.clone(), kind, bytes)
}

/// Bytes that belong to two tensors are a sign of a damaged or hostile file.
fn no_overlap(tensors: &BTreeMap<String, Entry>) -> Result<(), String> {
    let mut ranges: Vec<_> = tensors
        .iter()
        .filter(|(_, entry)| !entry.bytes.is_empty())
        .map(|(name, entry)| (entry.bytes.as_ptr_range(), name))
        .collect();
    ranges.sort_by_key(|(range, _)| range.start);
    for pair in ranges.windows(2) {
        if let [(first, name), (second, other)] = pair
            && second.start < first.end
        {
            return Err(format!("tensors `{name}` and `{other}` overlap"));
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Description<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Shape,
    data_offsets: [u64; 2],
}

/// A shape of no more dimensions than a tensor may have.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;
        impl<'de> Visitor<'de> for Sizes {
            type Value = Shape;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                write!(out, "at most {MOST_DIMENSIONS} sizes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sizes: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(size) = sizes.next_element()? {
                    if shape.len() == MOST_DIMENSIONS {
                        return Err(A::Error::invalid_length(shape.len() + 1, &self));
                    }
                    shape.push(size);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Sizes)
    }
}

/// The header's pairs in order, doubles and all, without the free text.
struct Header<'a>(Vec<(Cow<'a, str>, Description<'a>)>);

impl<'de> Deserialize<'de> for Header<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Header<'de>;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else if pairs.len() == MOST_TENSORS || name.len() > LONGEST_NAME {
                        return Err(A::Error::custom(format!(
                            "more than {MOST_TENSORS} tensors, or a name of more than {LONGEST_NAME} bytes"
                        )));
                    } else {
                        pairs.push((name, map.next_value()?));
                    }
                }
                Ok(Header(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
