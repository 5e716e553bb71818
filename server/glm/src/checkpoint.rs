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
mod pickle;
mod quantize;
mod safetensors;
mod shards;
mod source;
mod tokenizer;
mod torch;
mod view;
mod zip;

pub use inspect::{Info, Memory, TensorInfo, inspect, verify};
pub use quantize::quantize;
pub use source::Source;
pub use tokenizer::GgufTokenizer;

pub(crate) use gguf::Value;

use crate::{Config, Error, Weights, layer::Matrix};
use candle_core::{Device, Tensor};
use gguf::Gguf;
use layout::{Layout, Stored};
use load::Form;
use memmap2::{Mmap, UncheckedAdvice};
use source::Files;
use std::{collections::BTreeMap, path::PathBuf};
use view::{Entry, View};

/// Greatest size that a metadata count may state; it keeps products of sizes far from overflow.
const LARGEST_COUNT: u64 = 1 << 24;
/// Pages of tensors smaller than this are not given back to the system one by one.
const LARGE: usize = 1 << 20;

impl Source {
    /// Opens the checkpoint and runs `load` on it; `weights` is what matrices are to be brought to.
    pub(crate) fn read<T>(
        &self,
        weights: Weights,
        device: &Device,
        load: impl FnOnce(Checkpoint) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Source::Static(bytes) => {
                let file = "built into the binary".to_owned();
                let parts = [(file.clone(), *bytes)];
                let mut opened = Opened::gguf(&parts)?;
                opened.file = file;
                load(opened.checkpoint(weights, device, &[]))
            }
            Source::Path(path) => {
                let files = Files::open(path)?;
                let opened = Opened::new(&files)?;
                load(opened.checkpoint(weights, device, &files.maps))
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

enum Described<'a> {
    Gguf(BTreeMap<&'a str, Value<'a>>),
    Json(&'a serde_json::Map<String, serde_json::Value>),
    Sat(Option<&'a serde_json::Map<String, serde_json::Value>>),
}

/// The parsed containers of a checkpoint.
struct Opened<'a> {
    file: String,
    name: String,
    format: &'static str,
    described: Described<'a>,
    /// The file that the description is in.
    described_in: String,
    stored: Stored<'a>,
    layout: &'static Layout,
    /// What the digest covers: headers, then names with first and last bytes.
    headers: Vec<u8>,
    samples: Vec<(String, &'a [u8])>,
}

impl<'a> Opened<'a> {
    fn new(files: &'a Files) -> Result<Opened<'a>, Error> {
        let parts: Vec<(String, &[u8])> = files
            .maps
            .iter()
            .map(|(path, map)| (path.display().to_string(), &map[..]))
            .collect();
        let mut opened = match parts.first() {
            Some((_, bytes)) if torch::is_torch(bytes) || safetensors::is_safetensors(bytes) => {
                Opened::published(files, &parts)?
            }
            Some((file, bytes)) if !bytes.starts_with(b"GGUF") => {
                return Err(Error::Format {
                    file: file.clone(),
                    why: match bytes.len() {
                        0 => "it is empty".to_owned(),
                        size => format!(
                            "it has {size} bytes and begins like no file of GGUF, safetensors or PyTorch"
                        ),
                    },
                });
            }
            _ => Opened::gguf(&parts)?,
        };
        opened.file.clone_from(&files.label);
        opened.name.clone_from(&files.name);
        Ok(opened)
    }

    /// A GGUF file, or the parts of one.
    fn gguf(parts: &[(String, &'a [u8])]) -> Result<Opened<'a>, Error> {
        let mut metadata = None;
        let mut headers = Vec::new();
        let mut entries = BTreeMap::new();
        for (file, bytes) in parts {
            let failed = |why| Error::Format {
                file: file.clone(),
                why,
            };
            let gguf = Gguf::parse(bytes).map_err(failed)?;
            view::shared_in_bounds(gguf.tensors.values(), bytes).map_err(failed)?;
            headers.extend_from_slice(gguf.header());
            for (name, entry) in gguf.tensors {
                if entries.insert(name.to_owned(), entry).is_some() {
                    return Err(failed(format!("tensor `{name}` is there twice")));
                }
            }
            metadata.get_or_insert(gguf.metadata);
        }
        let metadata = metadata.unwrap_or_default();
        let layout = Layout::of_gguf(match metadata.get("general.architecture") {
            Some(Value::Text(architecture)) => Some(architecture),
            _ => None,
        });
        let samples = samples(&entries);
        let described_in = parts.first().map(|part| part.0.clone()).unwrap_or_default();
        let stored = scaled(entries).map_err(|why| Error::Format {
            file: described_in.clone(),
            why,
        })?;
        Ok(Opened {
            file: described_in.clone(),
            name: String::new(),
            format: "GGUF",
            described: Described::Gguf(metadata),
            described_in,
            stored,
            layout,
            headers,
            samples,
        })
    }

    /// What the makers publish for transformers, or save as they train.
    fn published(files: &'a Files, parts: &[(String, &'a [u8])]) -> Result<Opened<'a>, Error> {
        let mut format = "safetensors";
        let mut headers = Vec::new();
        let mut samples_of_all = Vec::new();
        let mut shards = Vec::new();
        for (place, (file, bytes)) in parts.iter().enumerate() {
            let failed = |why| Error::Format {
                file: file.clone(),
                why,
            };
            let entries = if torch::is_torch(bytes) {
                format = if files.ranks { "SAT" } else { "PyTorch" };
                torch::tensors(bytes)
            } else {
                safetensors::tensors(bytes)
            };
            let entries = entries.map_err(failed)?;
            view::shared_in_bounds(entries.values(), bytes).map_err(failed)?;
            let entries = unwrapped(entries).map_err(failed)?;
            for (name, entry) in &entries {
                headers.extend(format!("{name} {:?} {:?}\n", entry.kind, entry.shape).bytes());
            }
            samples_of_all.extend(samples(&entries));
            if files.ranks || place == 0 {
                shards.push(entries);
            } else {
                for (name, entry) in entries {
                    if shards[0].contains_key(&name) {
                        return Err(failed(format!("tensor `{name}` is there twice")));
                    }
                    shards[0].insert(name, entry);
                }
            }
        }
        let failed = |why| Error::Format {
            file: files.label.clone(),
            why,
        };
        for (tensor, file) in files.index.iter().flatten() {
            if shards
                .iter()
                .all(|shard| !shard.contains_key(layout::unwrapped(tensor)))
            {
                let why = format!(
                    "tensor `{tensor}` is not in {}, where the index has it",
                    file.display()
                );
                return Err(failed(why));
            }
        }
        let shards = shards
            .into_iter()
            .map(scaled)
            .collect::<Result<Vec<_>, _>>();
        let stored = shards::merged(shards.map_err(failed)?).map_err(failed)?;
        let layout = Layout::of(&stored).ok_or_else(|| {
            failed("its tensors have the names of no model of this family".to_owned())
        })?;
        let (described, described_in) = match (&files.config, &files.sat) {
            (Some((path, map)), _) => (Described::Json(map), path.clone()),
            (None, Some((path, map))) => (Described::Sat(Some(map)), path.clone()),
            (None, None) if format == "safetensors" => {
                return Err(failed("there is no config.json beside it".to_owned()));
            }
            (None, None) => (Described::Sat(None), PathBuf::from(&files.label)),
        };
        if let Described::Json(map) | Described::Sat(Some(map)) = described {
            headers.extend(serde_json::to_vec(map).unwrap_or_default());
        }
        Ok(Opened {
            file: files.label.clone(),
            name: files.name.clone(),
            format,
            described,
            described_in: described_in.display().to_string(),
            stored,
            layout,
            headers,
            samples: samples_of_all,
        })
    }

    fn checkpoint(
        self,
        weights: Weights,
        device: &'a Device,
        maps: &'a [(PathBuf, Mmap)],
    ) -> Checkpoint<'a> {
        Checkpoint {
            opened: self,
            heads: None,
            weights,
            device,
            maps,
        }
    }
}

/// The entries without the prefixes of wrapping classes. Where a file has more than the model, the model is in its
/// `module`.
fn unwrapped(entries: BTreeMap<String, Entry>) -> Result<BTreeMap<String, Entry>, String> {
    let has_module = entries.keys().any(|name| name.starts_with("module."));
    let mut unwrapped = BTreeMap::new();
    for (name, entry) in entries {
        if has_module && !name.starts_with("module.") {
            continue;
        }
        let short = layout::unwrapped(&name).to_owned();
        if unwrapped.insert(short, entry).is_some() {
            return Err(format!("tensor `{name}` is there twice"));
        }
    }
    Ok(unwrapped)
}

/// Views of the entries, those of codes with their scales.
fn scaled(entries: BTreeMap<String, Entry>) -> Result<Stored, String> {
    let mut stored = Stored::new();
    for (name, entry) in &entries {
        let view = View::of(entry);
        let view = match entries.get(&format!("{name}_scale")) {
            Some(scales) if entry.kind == view::Kind::Codes => {
                view.scaled(scales).ok_or_else(|| {
                    format!("the scales `{name}_scale` are not one a row of `{name}`")
                })?
            }
            _ => view,
        };
        stored.insert(name.clone(), view);
    }
    Ok(stored)
}

fn samples<'a>(entries: &BTreeMap<String, Entry<'a>>) -> Vec<(String, &'a [u8])> {
    entries
        .iter()
        .map(|(name, entry)| (name.clone(), entry.bytes))
        .collect()
}

/// An open checkpoint.
pub(crate) struct Checkpoint<'a> {
    opened: Opened<'a>,
    heads: Option<usize>,
    weights: Weights,
    device: &'a Device,
    maps: &'a [(PathBuf, Mmap)],
}

impl<'a> Checkpoint<'a> {
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

    /// The device that tensors are loaded to.
    pub(crate) fn device(&self) -> &'a Device {
        self.device
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
    pub(crate) fn vector(&self, name: &str, length: usize) -> Result<Tensor, Error> {
        let view = self.view(name)?;
        let is_plain = view
            .strips
            .iter()
            .flat_map(|strip| &strip.sheets)
            .all(|sheet| sheet.kind.is_plain());
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
        Ok(load::dense(&view, 1, self.device)?.flatten_all()?)
    }

    /// The matrix `name` (rows, columns) as plain numbers.
    pub(crate) fn table(&self, name: &str, rows: usize, columns: usize) -> Result<Tensor, Error> {
        let view = self.checked(name, rows, columns)?;
        let table = load::dense(&view, columns, self.device)?;
        self.release(&view);
        Ok(table)
    }

    /// The matrix `name` (rows, columns), ready to multiply by.
    pub(crate) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Matrix, Error> {
        let view = self.checked(name, rows, columns)?;
        let form = Form::of(self.weights, name, columns);
        let matrix = load::matrix(&view, columns, form, self.device)?;
        self.release(&view);
        Ok(matrix)
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
            let matrix = load::matrix(expert, columns, form, self.device)?;
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
        for sheet in view.strips.iter().flat_map(|strip| &strip.sheets) {
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
mod containers;
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
