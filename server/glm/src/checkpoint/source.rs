//! Where a checkpoint lies: which files belong to it, mapped into memory, and which file describes it.
//!
//! Takes a path as a person gives it, gives mapped files. Files that an index names must lie beside it. What is in
//! the files is for the containers.

use crate::Error;
use memmap2::Mmap;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
};

/// Largest index that is read; that of the largest model has 6 MB.
const LARGEST_INDEX: u64 = 16 << 20;
/// Largest description that is read, and other short texts.
const LARGEST_TEXT: u64 = 1 << 20;

/// Where a model comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A GGUF file built into the binary.
    Static(&'static [u8]),
    /// A GGUF file; a folder as the makers publish it (`config.json` and safetensors or `pytorch_model.bin`, whole or
    /// in shards); a single file of such a folder; a file or folder of SAT's shards (`mp_rank_00_model_states.pt`).
    Path(PathBuf),
}

/// The mapped files of a checkpoint.
pub(super) struct Files {
    /// What to call the checkpoint in messages: the path as given.
    pub(super) label: String,
    /// A name for people, from the path.
    pub(super) name: String,
    pub(super) maps: Vec<(PathBuf, Mmap)>,
    /// The shards are those of a parallel run, in the order of ranks.
    pub(super) ranks: bool,
    /// Which file is to hold which tensor, where an index says so.
    pub(super) index: Option<BTreeMap<String, PathBuf>>,
    /// `config.json` of transformers, with its path.
    pub(super) config: Option<(PathBuf, Map<String, Json>)>,
    /// `model_config.json` of SAT, with its path.
    pub(super) sat: Option<(PathBuf, Map<String, Json>)>,
}

/// The part of an index that is read.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Files {
    /// Finds and maps the files of the checkpoint at `path`.
    pub(super) fn open(path: &Path) -> Result<Files, Error> {
        let (folder, paths, ranks, index) = if path.is_dir() {
            let (paths, ranks, index) = inside(path)?;
            (path.to_owned(), paths, ranks, index)
        } else {
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            let is_rank = file_name(path).starts_with("mp_rank_");
            let paths = match is_rank {
                true => ranks_in(&folder)?,
                false => parts(path),
            };
            (folder, paths, is_rank, None)
        };
        let mut maps = Vec::new();
        for path in paths {
            let map = map(&path)?;
            maps.push((path, map));
        }
        let described = |name: &str| match [folder.join(name), folder.join("..").join(name)] {
            [here, _] if here.is_file() => object(&here).map(|object| Some((here, object))),
            [_, above] if ranks && above.is_file() => {
                object(&above).map(|object| Some((above, object)))
            }
            _ => Ok(None),
        };
        Ok(Files {
            label: path.display().to_string(),
            name: stem(path),
            config: if ranks {
                None
            } else {
                described("config.json")?
            },
            sat: described("model_config.json")?,
            maps,
            ranks,
            index,
        })
    }
}

type Inside = (Vec<PathBuf>, bool, Option<BTreeMap<String, PathBuf>>);

/// The files of a folder, in the order in which makers' own loaders look for them.
fn inside(folder: &Path) -> Result<Inside, Error> {
    for name in [
        "model.safetensors.index.json",
        "pytorch_model.bin.index.json",
    ] {
        let path = folder.join(name);
        if path.is_file() {
            let index = indexed(folder, &path)?;
            let files: BTreeSet<_> = index.values().cloned().collect();
            return Ok((files.into_iter().collect(), false, Some(index)));
        }
    }
    for name in ["model.safetensors", "pytorch_model.bin"] {
        let path = folder.join(name);
        if path.is_file() {
            return Ok((vec![path], false, None));
        }
    }
    for name in ["latest", "latest_checkpointed_iteration.txt"] {
        if let Ok(iteration) = read(&folder.join(name), LARGEST_TEXT) {
            let iteration = String::from_utf8_lossy(&iteration).trim().to_owned();
            if is_plain_name(&iteration) {
                return Ok((ranks_in(&folder.join(iteration))?, true, None));
            }
        }
    }
    let names = names(folder)?;
    if names
        .iter()
        .any(|path| file_name(path).starts_with("mp_rank_"))
    {
        return Ok((ranks_in(folder)?, true, None));
    }
    let mut order = [&["gguf"][..], &["safetensors"], &["bin", "pt", "pth"]];
    if folder.join("model_config.json").is_file() {
        // What SAT describes, SAT saved.
        order.reverse();
    }
    for endings in order {
        let matching: Vec<_> = names
            .iter()
            .filter(|path| {
                path.extension()
                    .is_some_and(|end| endings.iter().any(|e| end == *e))
            })
            .filter(|path| file_name(path) != "training_args.bin")
            .collect();
        let Some(first) = matching.first() else {
            continue;
        };
        let parts = parts(first);
        return match matching.iter().find(|path| !parts.contains(path)) {
            None => Ok((parts, false, None)),
            Some(other) => Err(format_error(
                folder,
                format!(
                    "has {} and {} and maybe more; name one of them",
                    file_name(first),
                    file_name(other)
                ),
            )),
        };
    }
    Err(format_error(
        folder,
        "has no model: no .gguf, no model.safetensors or pytorch_model.bin (or their .index.json), no mp_rank_00_model_states.pt".to_owned(),
    ))
}

/// The files that an index names, each checked to lie beside it.
fn indexed(folder: &Path, path: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let index: Index = serde_json::from_slice(&read(path, LARGEST_INDEX)?)
        .map_err(|error| format_error(path, format!("it is no index of weights: {error}")))?;
    if index.weight_map.is_empty() {
        return Err(format_error(path, "it names no file of weights".to_owned()));
    }
    let mut files = BTreeMap::new();
    for (tensor, name) in index.weight_map {
        if !is_plain_name(&name) {
            let why =
                format!("it puts tensor `{tensor}` into `{name}`, which is no file beside it");
            return Err(format_error(path, why));
        }
        files.insert(tensor, folder.join(name));
    }
    for file in files.values().collect::<BTreeSet<_>>() {
        if !file.is_file() {
            return Err(format_error(
                path,
                format!("the shard {} that it names is missing", file_name(file)),
            ));
        }
    }
    Ok(files)
}

/// The shards of a parallel run, all of them, in order.
fn ranks_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut ranks = BTreeMap::new();
    for path in names(folder)? {
        let name = file_name(&path);
        let rank = name
            .strip_prefix("mp_rank_")
            .and_then(|rest| rest.strip_suffix("_model_states.pt")?.parse::<usize>().ok());
        if let Some(rank) = rank {
            ranks.insert(rank, path);
        }
    }
    match ranks
        .keys()
        .enumerate()
        .find(|(place, rank)| place != *rank)
    {
        Some((place, _)) => Err(format_error(
            folder,
            format!("the shard of rank {place} is missing"),
        )),
        None if ranks.is_empty() => Err(format_error(
            folder,
            "has no mp_rank_00_model_states.pt".to_owned(),
        )),
        None => Ok(ranks.into_values().collect()),
    }
}

/// The parts of a GGUF file that was split (`name-00001-of-00003.gguf`), or the file alone.
fn parts(path: &Path) -> Vec<PathBuf> {
    let alone = || vec![path.to_owned()];
    let name = file_name(path);
    let Some((front, count)) = name
        .strip_suffix(".gguf")
        .and_then(|name| name.rsplit_once("-of-"))
    else {
        return alone();
    };
    let (Some((front, _)), Ok(count @ 2..=9999)) = (front.rsplit_once('-'), count.parse::<usize>())
    else {
        return alone();
    };
    (1..=count)
        .map(|part| path.with_file_name(format!("{front}-{part:05}-of-{count:05}.gguf")))
        .collect()
}

fn names(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Open {
        path: folder.to_owned(),
        source,
    };
    let mut paths = std::fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn map(path: &Path) -> Result<Mmap, Error> {
    let failed = |source| Error::Open {
        path: path.to_owned(),
        source,
    };
    regular(path)?;
    let file = File::open(path).map_err(failed)?;
    // SAFETY: the mapping is read-only and lives only while the tensors are copied out of it. Another process that
    // cut the file in these moments would end this one, as with every mapped file.
    unsafe { Mmap::map(&file) }.map_err(failed)
}

fn object(path: &Path) -> Result<Map<String, Json>, Error> {
    serde_json::from_slice(&read(path, LARGEST_TEXT)?)
        .map_err(|error| format_error(path, format!("it is not an object of JSON: {error}")))
}

/// The size of a file. Opening a pipe would wait for its other end, and a device may have no end.
fn regular(path: &Path) -> Result<u64, Error> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::Open {
        path: path.to_owned(),
        source,
    })?;
    match metadata.is_file() {
        true => Ok(metadata.len()),
        false => Err(format_error(path, "it is no regular file".to_owned())),
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Open {
        path: path.to_owned(),
        source,
    };
    let size = regular(path)?;
    if size > most {
        return Err(format_error(
            path,
            format!("it has {size} bytes, and no such file has more than {most}"),
        ));
    }
    std::fs::read(path).map_err(failed)
}

fn format_error(path: &Path, why: String) -> Error {
    Error::Format {
        file: path.display().to_string(),
        why,
    }
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name).components().count() == 1
        && Path::new(name).file_name().is_some()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// A name for people: the folder's, or the file's without its ending.
fn stem(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = if path.is_dir() {
        path.file_name()
    } else {
        path.file_stem()
    };
    name.unwrap_or_default().to_string_lossy().into_owned()
}
