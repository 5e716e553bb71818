//! Checkpoints: named tensors and what describes them, checked before anything is allocated.
//!
//! Takes a [`Source`] in any of the formats in which models of this family are published, gives a description and
//! tensors by our own names, of the shapes that the caller states and in the types that [`Weights`] asks for. Every
//! error names the file and the key or tensor. What the names mean is for `config` and the layers.
//!
//! The way of a tensor: a container (`gguf`, `safetensors`, `torch`) finds its bytes in a mapped file, `shards` puts
//! the parts of a parallel run together, `layout` translates names, `view` holds the parts as addresses, and `load`
//! makes a matrix of them.

mod gguf;
mod inspect;
mod layout;
mod load;
mod needs;
mod opened;
mod pickle;
mod quantize;
mod safetensors;
mod shards;
mod source;
mod tokenizer;
mod torch;
mod view;
mod write;
mod zip;

pub use inspect::{Info, Memory, TensorInfo, inspect, verify};
pub use quantize::quantize;
pub use source::Source;
pub use tokenizer::GgufTokenizer;

pub(crate) use gguf::Value;
pub(crate) use load::GgmlRows;
pub(crate) use needs::{Need, Shape, needs};
#[cfg(any(test, feature = "fixture"))]
pub(crate) use write::{Part, header, pad};

use crate::{Config, Error, KvType, Vram, Weights, candle, layer::Matrix, ranks::Held};
use load::Form;
use memmap2::{Mmap, UncheckedAdvice};
use opened::{Described, Opened};
use source::Files;
use std::{collections::BTreeMap, ops::Range, path::PathBuf};
use view::View;

/// Greatest size that a metadata count may state; it keeps products of sizes far from overflow.
const LARGEST_COUNT: u64 = 1 << 24;
/// Pages of runs of fewer bytes are not given back to the system one by one.
const LARGE: usize = 1 << 16;

impl Source {
    /// Opens the checkpoint and runs `load` on it; `weights` is what matrices are to be brought to.
    pub(crate) fn read<T>(
        &self,
        weights: Weights,
        load: impl FnOnce(Checkpoint) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Source::Static(bytes) => {
                let file = "built into the binary".to_owned();
                let parts = [(file.clone(), *bytes)];
                let mut opened = Opened::gguf(&parts)?;
                opened.file = file;
                load(Checkpoint::new(opened, weights, &[]))
            }
            Source::Path(path) => {
                let files = Files::open(path)?;
                let opened = Opened::new(&files)?;
                load(Checkpoint::new(opened, weights, &files.maps))
            }
        }
    }
}

/// What describes a checkpoint.
#[derive(Debug)]
pub(crate) enum Description<'a> {
    /// The metadata of a GGUF file.
    Gguf(&'a BTreeMap<&'a str, Value<'a>>),
    /// The `config.json` of a class of transformers.
    Json(&'a serde_json::Map<String, serde_json::Value>),
    /// A training checkpoint, with its `model_config.json` if there is one.
    Sat(Option<&'a serde_json::Map<String, serde_json::Value>>),
}

/// An open checkpoint.
pub(crate) struct Checkpoint<'a> {
    opened: Opened<'a>,
    heads: Option<usize>,
    weights: Weights,
    maps: &'a [(PathBuf, Mmap)],
}

impl<'a> Checkpoint<'a> {
    fn new(opened: Opened<'a>, weights: Weights, maps: &'a [(PathBuf, Mmap)]) -> Checkpoint<'a> {
        Checkpoint {
            opened,
            heads: None,
            weights,
            maps,
        }
    }

    /// Tells how many heads there are, which matrices that hold the heads one after the other need. Before it, such
    /// a matrix has the right shape and the wrong order.
    pub(crate) fn arrange(&mut self, config: &Config) {
        self.heads = Some(config.attention.heads());
    }

    /// What describes the model.
    pub(crate) fn description(&self) -> Description<'_> {
        match &self.opened.described {
            Described::Gguf(metadata) => Description::Gguf(metadata),
            Described::Json(map) => Description::Json(map),
            Described::Sat(map) => Description::Sat(*map),
        }
    }

    /// The container's name, for people.
    pub(crate) fn format(&self) -> &'static str {
        self.opened.format
    }

    /// A name for people where the description has none: the folder's or file's.
    pub(crate) fn name(&self) -> String {
        match self.optional_text("general.name") {
            Ok(Some(name)) => name.to_owned(),
            _ => self.opened.name.clone(),
        }
    }

    /// A hash of the content that is the same on every machine and cheap for any size: the headers, and the first and
    /// last bytes of every tensor.
    pub(crate) fn digest(&self) -> u64 {
        gguf::digest(&self.opened.headers, &self.opened.samples)
    }

    /// A string of the metadata.
    pub(crate) fn text(&self, key: &str) -> Result<&str, Error> {
        self.optional_text(key)?
            .ok_or_else(|| self.bad_metadata(key, "is missing"))
    }

    /// A string of the metadata that may be absent.
    pub(crate) fn optional_text(&self, key: &str) -> Result<Option<&str>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad_metadata(key, "is not a string")),
        }
    }

    fn value(&self, key: &str) -> Option<&Value<'a>> {
        match &self.opened.described {
            Described::Gguf(metadata) => metadata.get(key),
            _ => None,
        }
    }

    /// How many tensors the files have.
    pub(crate) fn tensors(&self) -> usize {
        self.opened.stored.len()
    }

    /// Whether the tensor is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        matches!(self.find(name), Ok(Some(_)))
    }

    /// The shape of the tensor `name`; of codes, as they are stored.
    pub(crate) fn shape(&self, name: &str) -> Result<Vec<usize>, Error> {
        Ok(self.view(name)?.shape)
    }

    /// How many rows the matrix `name` has.
    pub(crate) fn rows(&self, name: &str) -> Result<usize, Error> {
        match self.shape(name)?[..] {
            [rows, _] if (1..=LARGEST_COUNT).contains(&(rows as u64)) => Ok(rows),
            ref shape => {
                Err(self.bad_tensor(name, format!("has shape {shape:?}, not that of a matrix")))
            }
        }
    }

    /// The vector `name` of `length` numbers.
    pub(crate) fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, Error> {
        let view = self.view(name)?;
        let is_plain = view.sheets().all(|sheet| sheet.kind.is_plain());
        if view.shape != [length] || !is_plain {
            let why = match is_plain {
                true => format!(
                    "has shape {:?} where the model's sizes ask for [{length}]",
                    view.shape
                ),
                false => "has a type that no vector has".to_owned(),
            };
            return Err(self.bad_tensor(name, why));
        }
        load::dense(&view, 1, &|_| {})
    }

    /// The matrix `name` (rows, columns) as plain numbers.
    pub(crate) fn table(&self, name: &str, rows: usize, columns: usize) -> Result<Vec<f32>, Error> {
        let view = self.checked(name, rows, columns)?;
        let table = load::dense(&view, columns, &|slab| self.release(slab))?;
        self.release(&view);
        Ok(table)
    }

    /// The matrix `name` (rows, columns), ready to multiply by.
    pub(crate) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Matrix, Error> {
        let all = 0..rows;
        self.matrix_of(name, rows, columns, std::slice::from_ref(&all))
    }

    /// These runs of rows, one after the other, of the matrix `name` (rows, columns), ready to multiply by.
    pub(crate) fn matrix_of(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
        runs: &[Range<usize>],
    ) -> Result<Matrix, Error> {
        let whole = self.checked(name, rows, columns)?;
        let runs: Option<Vec<_>> = runs.iter().map(|run| whole.slice(run.clone())).collect();
        let view = runs.and_then(View::stacked);
        let view = view.ok_or_else(|| self.bad_tensor(name, "has not these rows"))?;
        let form = Form::of(self.weights, name, columns);
        let matrix = load::matrix(&view, columns, form, &|slab| self.release(slab))?;
        self.release(&view);
        Ok(matrix)
    }

    /// What the model needs of a GPU's memory, with such caches; the error says why it cannot run on one.
    pub(crate) fn vram(&self, config: &Config, kv: KvType) -> Result<Result<Vram, String>, Error> {
        let held = self.held(config)?;
        let size = |need: &Need| held.get(&need.name)?.bytes;
        Ok(Vram::new(config, kv, size))
    }

    /// What each matrix takes on a GPU, by its name.
    pub(crate) fn held(&self, config: &Config) -> Result<BTreeMap<String, Held>, Error> {
        let mut all = BTreeMap::new();
        for need in needs(config) {
            if let Shape::Matrix(rows, columns) = need.shape {
                let view = self.checked(&need.name, rows, columns)?;
                let form = Form::of(self.weights, &need.name, columns);
                let held = Held {
                    bytes: load::held_on_device(&view, columns, form),
                    block: form.block(load::block_as_stored(&view, columns)),
                };
                all.insert(need.name, held);
            }
        }
        Ok(all)
    }

    /// The matrix `name` (rows, columns) in types that candle multiplies by.
    pub(crate) fn ggml(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Vec<GgmlRows>, Error> {
        let view = self.checked(name, rows, columns)?;
        let form = Form::of(self.weights, name, columns);
        let rows = load::ggml_rows(&view, columns, form, &|slab| self.release(slab))?;
        self.release(&view);
        rows.ok_or_else(|| self.bad_tensor(name, candle::NO_PRODUCT))
    }

    /// Bytes that the model needs of the memory of a device of candle's; the error says why it cannot run on one.
    pub(crate) fn candle(&self, config: &Config) -> Result<Result<u64, String>, Error> {
        let mut sizes = BTreeMap::new();
        for need in needs(config) {
            if let Shape::Matrix(rows, columns) = need.shape {
                let view = self.checked(&need.name, rows, columns)?;
                let form = Form::of(self.weights, &need.name, columns);
                let bytes = load::held_by_candle(&view, columns, form);
                sizes.insert(need.name, bytes);
            }
        }
        let size = |need: &Need| sizes.get(&need.name).copied().flatten();
        Ok(candle::needed(config, size))
    }

    /// The matrices `name`, one an expert, of (rows, columns) each.
    pub(crate) fn experts(
        &self,
        name: &str,
        count: usize,
        rows: usize,
        columns: usize,
    ) -> Result<Vec<Matrix>, Error> {
        let whole = self.checked(name, count.saturating_mul(rows), columns)?;
        let form = Form::of(self.weights, name, columns);
        let experts = whole
            .split(count)
            .ok_or_else(|| self.bad_tensor(name, format!("has not {count} experts")))?;
        let load = |expert: &View| {
            let matrix = load::matrix(expert, columns, form, &|slab| self.release(slab))?;
            self.release(expert);
            Ok(matrix)
        };
        experts.iter().map(load).collect()
    }

    /// An error about a key of the description.
    pub(crate) fn bad_metadata(&self, key: &str, why: impl Into<String>) -> Error {
        Error::Metadata {
            file: self.opened.described_in.clone(),
            key: key.to_owned(),
            why: why.into(),
        }
    }

    fn bad_tensor(&self, name: &str, why: impl Into<String>) -> Error {
        Error::Tensor {
            file: self.opened.file.clone(),
            name: name.to_owned(),
            why: why.into(),
        }
    }

    fn find(&self, name: &str) -> Result<Option<View<'a>>, String> {
        self.opened
            .layout
            .find(&self.opened.stored, name, self.heads)
    }

    fn view(&self, name: &str) -> Result<View<'a>, Error> {
        match self.find(name) {
            Ok(Some(view)) => Ok(view),
            Ok(None) => Err(self.bad_tensor(name, "is missing")),
            Err(why) => Err(self.bad_tensor(name, why)),
        }
    }

    fn checked(&self, name: &str, rows: usize, columns: usize) -> Result<View<'a>, Error> {
        let view = self.view(name)?;
        view.check(rows, columns)
            .map_err(|why| self.bad_tensor(name, why))?;
        Ok(view)
    }

    /// Gives the mapped pages of a tensor that has been copied back to the system, so that file and copy are not in
    /// memory together.
    fn release(&self, view: &View) {
        for sheet in view.sheets() {
            if sheet.bytes.len() < LARGE {
                continue;
            }
            let start = sheet.bytes.as_ptr() as usize;
            for (_, map) in self.maps {
                let first = map.as_ptr() as usize;
                if (first..first + map.len()).contains(&start) {
                    // SAFETY: the mapping is read-only and backed by its file, so pages dropped are read again when
                    // they are touched again. Failure only means that they stay.
                    let _ = unsafe {
                        map.unchecked_advise_range(
                            UncheckedAdvice::DontNeed,
                            start - first,
                            sheet.bytes.len(),
                        )
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
