//! Checkpoints: named tensors and metadata, checked before anything is allocated.
//!
//! Takes a [`Source`], gives metadata values and candle tensors of the shapes that the caller states. Every error
//! names the file and the key or tensor. What the names mean is for `config` and the layers.

mod gguf;

use crate::{Error, kernels::Q8Matrix, layer::Matrix};
use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QMatMul, QStorage, QTensor},
};
use gguf::{Entry, Gguf, Value};
use std::{borrow::Cow, path::PathBuf, sync::Arc};

/// Greatest size that a metadata count may state; it keeps products of sizes far from overflow.
const LARGEST_COUNT: u64 = 1 << 24;

/// Where a GGUF file comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Bytes built into the binary.
    Static(&'static [u8]),
    /// A file or folder; files are mapped into memory while they are loaded.
    Path(PathBuf),
}

impl Source {
    /// Runs `load` on the source's bytes.
    pub(crate) fn read<T>(
        &self,
        device: &Device,
        load: impl FnOnce(&Checkpoint) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Source::Static(bytes) => load(&Checkpoint::open(
                "built into the binary".to_owned(),
                bytes,
                device,
            )?),
            Source::Path(path) => {
                let failed = |source| Error::Open {
                    path: path.clone(),
                    source,
                };
                let file = std::fs::File::open(path).map_err(failed)?;
                // SAFETY: the mapping is read-only and lives only while the tensors are copied out of it. Another
                // process that cut the file in these moments would end this one, as with every mapped file.
                let map = unsafe { memmap2::Mmap::map(&file) }.map_err(failed)?;
                load(&Checkpoint::open(path.display().to_string(), &map, device)?)
            }
        }
    }
}

/// An open checkpoint.
pub(crate) struct Checkpoint<'a> {
    file: String,
    gguf: Gguf<'a>,
    device: &'a Device,
}

impl<'a> Checkpoint<'a> {
    fn open(file: String, bytes: &'a [u8], device: &'a Device) -> Result<Checkpoint<'a>, Error> {
        match Gguf::parse(bytes) {
            Ok(gguf) => Ok(Checkpoint { file, gguf, device }),
            Err(why) => Err(Error::Format { file, why }),
        }
    }

    /// The checkpoint's content hash; see [`Gguf::digest`].
    pub(crate) fn digest(&self) -> u64 {
        self.gguf.digest()
    }

    /// The device that tensors are loaded to.
    pub(crate) fn device(&self) -> &Device {
        self.device
    }

    /// A string of the metadata.
    pub(crate) fn text(&self, key: &str) -> Result<&'a str, Error> {
        self.optional_text(key)?
            .ok_or_else(|| self.bad_metadata(key, "is missing"))
    }

    /// A string of the metadata that may be absent.
    pub(crate) fn optional_text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        match self.gguf.metadata.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad_metadata(key, "is not a string")),
        }
    }

    /// A size of the metadata, at least 1.
    pub(crate) fn count(&self, key: &str) -> Result<usize, Error> {
        match self.gguf.metadata.get(key) {
            None => Err(self.bad_metadata(key, "is missing")),
            Some(&Value::Integer(count)) if (1..=LARGEST_COUNT).contains(&count) => {
                Ok(count as usize)
            }
            Some(_) => Err(self.bad_metadata(key, "is not a positive count of sensible size")),
        }
    }

    /// A real number of the metadata.
    pub(crate) fn float(&self, key: &str) -> Result<f32, Error> {
        match self.gguf.metadata.get(key) {
            None => Err(self.bad_metadata(key, "is missing")),
            Some(&Value::Float(number)) => Ok(number as f32),
            Some(_) => Err(self.bad_metadata(key, "is not a floating-point number")),
        }
    }

    /// How many rows the matrix `name` has.
    pub(crate) fn rows(&self, name: &str) -> Result<usize, Error> {
        match self.entry(name)?.shape[..] {
            [rows, _] if (1..=LARGEST_COUNT).contains(&(rows as u64)) => Ok(rows),
            ref shape => {
                Err(self.bad_tensor(name, format!("has shape {shape:?}, not that of a matrix")))
            }
        }
    }

    /// The vector `name` of `length` numbers.
    pub(crate) fn vector(&self, name: &str, length: usize) -> Result<Tensor, Error> {
        self.dense(name, self.shaped(name, &[length])?)
    }

    /// The matrix `name` (rows, columns) as plain numbers, to be looked up by row.
    pub(crate) fn table(&self, name: &str, rows: usize, columns: usize) -> Result<Tensor, Error> {
        self.dense(name, self.shaped(name, &[rows, columns])?)
    }

    /// The matrix `name` (rows, columns), ready to multiply by.
    pub(crate) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Matrix, Error> {
        let entry = self.shaped(name, &[rows, columns])?;
        match entry.kind {
            GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => {
                Ok(Matrix::Dense(self.dense(name, entry)?))
            }
            GgmlDType::Q8_0 if self.device.is_cpu() => Ok(Matrix::Q8(Arc::new(Q8Matrix::pack(
                entry.bytes,
                rows,
                columns,
            )))),
            _ if entry.bytes.as_ptr().align_offset(align_of::<u32>()) != 0 => {
                Err(self.bad_tensor(name, "does not begin at an aligned address"))
            }
            kind => {
                let storage = QStorage::from_data(Cow::Borrowed(entry.bytes), self.device, kind)?;
                let tensor = Arc::new(QTensor::new(storage, (rows, columns))?);
                Ok(Matrix::Candle(QMatMul::from_arc(tensor)?))
            }
        }
    }

    /// An error about a metadata key of this file.
    pub(crate) fn bad_metadata(&self, key: &str, why: impl Into<String>) -> Error {
        Error::Metadata {
            file: self.file.clone(),
            key: key.to_owned(),
            why: why.into(),
        }
    }

    fn bad_tensor(&self, name: &str, why: impl Into<String>) -> Error {
        Error::Tensor {
            file: self.file.clone(),
            name: name.to_owned(),
            why: why.into(),
        }
    }

    fn entry(&self, name: &str) -> Result<&Entry<'a>, Error> {
        self.gguf
            .tensors
            .get(name)
            .ok_or_else(|| self.bad_tensor(name, "is missing"))
    }

    fn shaped(&self, name: &str, shape: &[usize]) -> Result<&Entry<'a>, Error> {
        let entry = self.entry(name)?;
        if entry.shape != shape {
            let why = format!(
                "has shape {:?} where the metadata asks for {shape:?}",
                entry.shape
            );
            return Err(self.bad_tensor(name, why));
        }
        Ok(entry)
    }

    fn dense(&self, name: &str, entry: &Entry) -> Result<Tensor, Error> {
        let kind = match entry.kind {
            GgmlDType::F32 => DType::F32,
            GgmlDType::F16 => DType::F16,
            GgmlDType::BF16 => DType::BF16,
            kind => {
                return Err(self.bad_tensor(
                    name,
                    format!("has type {kind:?} where plain numbers are needed"),
                ));
            }
        };
        let tensor = Tensor::from_raw_buffer(entry.bytes, kind, &entry.shape, self.device)?;
        Ok(tensor.to_dtype(DType::F32)?)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Device, Error, Model, Source,
        fixture::{self, Random, Weights},
    };

    fn file() -> Vec<u8> {
        let config = fixture::glm(1, 32, 2, 32, 20, 8);
        fixture::gguf(&config, Weights::Q8, 1, None)
    }

    fn load(bytes: &[u8]) -> Result<Model, Error> {
        Model::open(
            &Source::Static(bytes.to_vec().leak()),
            crate::Weights::AsStored,
            &Device::Cpu,
        )
    }

    /// The file with one run of bytes replaced by another of the same length.
    fn replaced(from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut bytes = file();
        let at = bytes
            .windows(from.len())
            .position(|window| window == from)
            .unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    }

    #[track_caller]
    fn refused(bytes: &[u8], parts: &[&str]) {
        let message = load(bytes)
            .err()
            .expect("a damaged file is refused")
            .to_string();
        for part in parts {
            assert!(message.contains(part), "`{message}` does not say `{part}`");
        }
    }

    #[test]
    fn errors_name_the_key_or_the_tensor() {
        assert!(load(&file()).is_ok());
        refused(b"", &["built into the binary", "magic"]);
        refused(b"PK\x03\x04 not a model", &["magic"]);
        refused(&replaced(b"GGUF\x03", b"GGUF\x01"), &["version is 1"]);
        refused(
            &replaced(b"glm.block_count", b"glm.block_kount"),
            &["`glm.block_count` is missing"],
        );
        refused(
            &replaced(b"general.name", b"general.mane"),
            &["`general.name` is missing"],
        );
        refused(
            &replaced(b"gelu_tanh", b"swishglu9"),
            &["`glm.activation` is `swishglu9`"],
        );
        refused(
            &replaced(b"blk.0.ffn_up.weight", b"blk.9.ffn_up.weight"),
            &["`blk.0.ffn_up.weight` is missing"],
        );
        let heads = [
            b"head_count".as_slice(),
            &4u32.to_le_bytes(),
            &2u32.to_le_bytes(),
        ]
        .concat();
        let three = [
            b"head_count".as_slice(),
            &4u32.to_le_bytes(),
            &3u32.to_le_bytes(),
        ]
        .concat();
        refused(
            &replaced(&heads, &three),
            &["head_count", "does not divide the width 32"],
        );
        let shape = |width: u64| {
            [
                b"output_norm.bias".as_slice(),
                &1u32.to_le_bytes(),
                &width.to_le_bytes(),
            ]
            .concat()
        };
        refused(
            &replaced(&shape(32), &shape(31)),
            &["`output_norm.bias` has shape [31]", "[32]"],
        );
        refused(
            &replaced(&shape(32), &shape(u64::MAX)),
            &["`output_norm.bias`", "past the end"],
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Model::open(
            &Source::Path("no/such/model.gguf".into()),
            crate::Weights::AsStored,
            &Device::Cpu,
        )
        .err()
        .unwrap();
        assert!(error.to_string().contains("no/such/model.gguf"), "{error}");
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let whole = file();
        let header = whole
            .windows(4)
            .rposition(|window| window == b"blk.")
            .unwrap()
            + 80;
        for length in (0..header).chain((header..whole.len()).step_by(997)) {
            assert!(load(&whole[..length]).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn a_file_with_wrong_bytes_never_panics() {
        let whole = file();
        let header = whole
            .windows(4)
            .rposition(|window| window == b"blk.")
            .unwrap()
            + 80;
        let mut random = Random::new(7);
        for _ in 0..3000 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random.bits() % 3 {
                bytes[random.bits() as usize % header] = random.bits() as u8;
            }
            if let Ok(model) = load(&bytes) {
                assert!(model.config().width > 0);
            }
        }
    }
}
