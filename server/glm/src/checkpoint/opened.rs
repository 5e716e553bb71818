//! From mapped files to stored tensors: which format they have, what describes them, which layout their names show.
//!
//! Takes [`Files`] or the bytes of a GGUF file, gives [`Opened`]. Tensors keep the makers' names here.

use super::{
    gguf::{Gguf, Value},
    layout::{self, Layout, Stored},
    safetensors, shards,
    source::Files,
    torch,
    view::{self, Entry, Kind, View},
};
use crate::Error;
use std::{collections::BTreeMap, path::PathBuf};

/// What describes a checkpoint, as `Description` hands it out.
pub(super) enum Described<'a> {
    Gguf(BTreeMap<&'a str, Value<'a>>),
    Json(&'a serde_json::Map<String, serde_json::Value>),
    Sat(Option<&'a serde_json::Map<String, serde_json::Value>>),
}

/// The parsed containers of a checkpoint.
pub(super) struct Opened<'a> {
    pub(super) file: String,
    pub(super) name: String,
    pub(super) format: &'static str,
    pub(super) described: Described<'a>,
    /// The file that the description is in.
    pub(super) described_in: String,
    pub(super) stored: Stored<'a>,
    pub(super) layout: &'static Layout,
    /// What the digest covers: headers, then names with first and last bytes.
    pub(super) headers: Vec<u8>,
    pub(super) samples: Vec<(String, &'a [u8])>,
}

impl<'a> Opened<'a> {
    /// Parses the files of a checkpoint, whichever format they have.
    pub(super) fn new(files: &'a Files) -> Result<Opened<'a>, Error> {
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
    pub(super) fn gguf(parts: &[(String, &'a [u8])]) -> Result<Opened<'a>, Error> {
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
            Some(scales) if entry.kind == Kind::Codes => view.scaled(scales).ok_or_else(|| {
                format!("the scales `{name}_scale` are not one a row of `{name}`")
            })?,
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
