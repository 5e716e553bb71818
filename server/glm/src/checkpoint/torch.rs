//! PyTorch's own files, `.bin` and `.pt`: a zip with one pickle that describes the tensors and one file a storage.
//!
//! Takes the whole file as bytes, gives its tensors by name with views of their bytes. Shapes, strides and offsets
//! are checked against the storages that are there.

use super::{
    pickle::{self, Described},
    view::{Entry, Kind, size},
    zip,
};
use candle_core::quantized::GgmlDType;
use std::collections::BTreeMap;

/// Largest description that is read; it holds no weights.
const LARGEST_PICKLE: usize = 64 << 20;
/// How a file of PyTorch before 1.6 begins: a pickle of a magic number.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Whether the bytes begin like a file of PyTorch, of any age.
pub(crate) fn is_torch(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK") || bytes.starts_with(LEGACY)
}

/// The tensors of the file. The error says what is wrong and where.
pub(crate) fn tensors(bytes: &[u8]) -> Result<BTreeMap<String, Entry<'_>>, String> {
    if bytes.starts_with(LEGACY) {
        return Err("it was written by PyTorch before 1.6 (no zip); convert it with \
            `python -c \"import sys, torch; torch.save(torch.load(sys.argv[1], map_location='cpu'), sys.argv[2])\" old new`"
            .to_owned());
    }
    let files = zip::files(bytes)?;
    let (root, description) = files
        .iter()
        .find_map(|(name, bytes)| Some((name.strip_suffix("data.pkl")?, *bytes)))
        .filter(|(root, _)| root.is_empty() || root.ends_with('/'))
        .ok_or("its zip has no data.pkl, so it is no checkpoint of PyTorch")?;
    if let Some(order) = files.get(format!("{root}byteorder").as_str())
        && *order != b"little"
    {
        return Err(
            "its numbers are big-endian; save it again on a little-endian machine".to_owned(),
        );
    }
    if description.len() > LARGEST_PICKLE {
        return Err(format!(
            "its data.pkl has {} bytes, more than any description",
            description.len()
        ));
    }
    let mut tensors = BTreeMap::new();
    for (name, described) in pickle::tensors(description)? {
        // A tensor without numbers is as good as none.
        if described.shape.contains(&0) {
            continue;
        }
        let storage = files.get(format!("{root}data/{}", described.key).as_str());
        let entry = storage
            .ok_or_else(|| format!("has no storage `{}` in the zip", described.key))
            .and_then(|storage| entry(&described, storage))
            .map_err(|why| format!("tensor `{name}` {why}"))?;
        if tensors.insert(name.clone(), entry).is_some() {
            return Err(format!("tensor `{name}` is there twice"));
        }
    }
    Ok(tensors)
}

fn entry<'a>(described: &Described, storage: &'a [u8]) -> Result<Entry<'a>, String> {
    let kind = match described.storage {
        "FloatStorage" => Kind::Ggml(GgmlDType::F32),
        "HalfStorage" => Kind::Ggml(GgmlDType::F16),
        "BFloat16Storage" => Kind::Ggml(GgmlDType::BF16),
        "CharStorage" => Kind::Codes,
        "DoubleStorage" => Kind::Other("f64"),
        "LongStorage" => Kind::Other("i64"),
        "IntStorage" => Kind::Other("i32"),
        "ShortStorage" => Kind::Other("i16"),
        "ByteStorage" => Kind::Other("u8"),
        "BoolStorage" => Kind::Other("bool"),
        other => return Err(format!("has the unknown storage {other}")),
    };
    let shape = described
        .shape
        .iter()
        .map(|&n| usize::try_from(n).map_err(|_| "is too large for this machine".to_owned()))
        .collect::<Result<Vec<_>, _>>()?;
    let size = size(&shape, kind)?;
    let mut contiguous = 1u64;
    for (dimension, &length) in described.shape.iter().enumerate().rev() {
        let stride = described.strides.get(dimension).copied();
        if length > 1 && stride != Some(contiguous) {
            return Err(format!(
                "has strides {:?} for shape {shape:?}; save it contiguous",
                described.strides
            ));
        }
        contiguous = contiguous.saturating_mul(length);
    }
    let width = kind.size(1).unwrap_or(1) as u64;
    let first = described
        .offset
        .checked_mul(width)
        .and_then(|first| usize::try_from(first).ok());
    let bytes = first.and_then(|first| storage.get(first..first.checked_add(size)?));
    let bytes = bytes.ok_or_else(|| {
        format!(
            "of shape {shape:?} at element {} reaches past its storage of {} bytes",
            described.offset,
            storage.len()
        )
    })?;
    Entry::new(shape, kind, bytes)
}
