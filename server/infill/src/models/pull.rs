//! Pulling a model from a hub into the store.
//!
//! Takes a name, gives the record of what is in the store then. Files are fetched here and not by hf-hub, whose own
//! download keeps a cache of its own and checks nothing: each goes on where an earlier pull stopped, and counts only
//! once its checksum is the one that the hub publishes. What the hub says is for [`hub`](super::hub) to read.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{IsTerminal, Read, Write, stderr};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::models::hub::{Hub, Listing, Refused};
use crate::models::names;
use crate::models::store::{Entry, Record, Store};

/// How often a connection may break with nothing gained before the pull gives up.
const TRIES: u32 = 3;

/// The wait before a connection that brought nothing is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// The revision that is pulled unless another one is asked for.
pub const NEWEST: &str = "main";

/// The pull was ended from outside.
#[derive(Debug, thiserror::Error)]
#[error("it was given up; the next pull goes on from here")]
struct GivenUp;

/// The licence's file in a model's folder.
const LICENCE: &str = "INFILL-LICENCE.txt";

/// Sees how a pull goes, and may end it.
pub trait Watch: Sync {
    /// So many of all bytes have come. After false the pull ends; what has come stays for the next one.
    fn has(&self, come: u64, all: u64) -> bool;
}

/// Lets a pull go on to its end.
pub struct ToTheEnd;

impl Watch for ToTheEnd {
    fn has(&self, _: u64, _: u64) -> bool {
        true
    }
}

/// Pulls a model. What has come already is not fetched again.
///
/// # Errors
/// If the name is none, the hub refuses or cannot be reached, or what it sends is not what it promised.
pub fn pull(
    store: &Store,
    hub: &Hub,
    name: &str,
    revision: &str,
    watch: &dyn Watch,
) -> anyhow::Result<Record> {
    let asked = names::resolve(name)?;
    let _lock = store.lock(&asked.name)?;
    let listing = hub.list(&asked.repository, revision)?;
    let record = Record {
        files: chosen(&listing, asked.quant.as_deref())?,
        licence: licence(&listing),
        name: asked.name,
        repository: listing.repository.clone(),
        revision: listing.revision.clone(),
    };
    eprintln!(
        "{} at {}: licence {}",
        record.repository, record.revision, record.licence
    );
    if store.holds(&record)? {
        eprintln!("{} is in the store already", record.name);
        return Ok(record);
    }
    let partial = store.begin(&record)?;
    let mut earlier = 0;
    for entry in &record.files {
        let has = |come| watch.has(earlier + come, record.bytes());
        fetch(hub, &listing, &partial.join(&entry.name), entry, &has)
            .with_context(|| format!("cannot pull {} of {}", entry.name, record.repository))?;
        earlier += entry.bytes;
    }
    fs::write(
        partial.join(LICENCE),
        format!("{}\n{}\n", record.repository, record.licence),
    )
    .context("cannot write the licence down")?;
    store.complete(&record)?;
    Ok(record)
}

fn licence(listing: &Listing) -> String {
    let named = listing.licence.as_deref();
    let named = named.unwrap_or("not named; read the repository's page");
    match names::licence_note(&listing.repository) {
        Some(note) => format!("{named} ({note})"),
        None => named.to_owned(),
    }
}

/// The files that loading needs: the description, the tokenizer, the licence, and the weights in one form, safetensors
/// if there are any. Files in folders are none of them: what makers put there is other forms of the same weights.
fn chosen(listing: &Listing, quant: Option<&str>) -> anyhow::Result<Vec<Entry>> {
    let names: Vec<&str> = listing
        .files
        .iter()
        .map(|file| file.name.as_str())
        .filter(|name| names::is_plain(name))
        .collect();
    let weights = weights(&names, quant)
        .with_context(|| format!("cannot choose files of {}", listing.repository))?;
    let mut entries = Vec::new();
    for file in &listing.files {
        if names::is_plain(&file.name) && (weights.contains(&*file.name) || is_needed(&file.name)) {
            let lacks = |what| format!("the hub gives no {what} for {}", file.name);
            entries.push(Entry {
                name: file.name.clone(),
                bytes: file.bytes.with_context(|| lacks("size"))?,
                checksum: file.checksum.clone().with_context(|| lacks("checksum"))?,
            });
        }
    }
    Ok(entries)
}

fn weights<'a>(names: &[&'a str], quant: Option<&str>) -> anyhow::Result<BTreeSet<&'a str>> {
    let such = |start: &str, ends: &[&str]| -> BTreeSet<&'a str> {
        let is_such =
            |name: &&str| name.starts_with(start) && ends.iter().any(|end| name.ends_with(end));
        names.iter().copied().filter(is_such).collect()
    };
    if quant.is_none() {
        let forms = [
            such("model", &[".safetensors", ".safetensors.index.json"]),
            such("pytorch_model", &[".bin", ".bin.index.json"]),
            such("mp_rank_", &[".pt"]),
        ];
        if let Some(form) = forms.into_iter().find(|form| !form.is_empty()) {
            return Ok(form);
        }
    }
    let mut files = such("", &[".gguf"]);
    if files.is_empty() {
        bail!("there are no weights that infill can read");
    }
    let all: Vec<&str> = files.iter().copied().collect();
    if let Some(quant) = quant {
        files.retain(|name| {
            name.split(['-', '.'])
                .any(|part| part.eq_ignore_ascii_case(quant))
        });
    }
    // A file in parts, NAME-00001-of-00002.gguf, is one.
    let whole: BTreeSet<&str> = files
        .iter()
        .map(|name| name.split("-00").next().unwrap_or(name))
        .collect();
    if whole.len() != 1 {
        bail!(
            "say which of its GGUF files, as in NAME:Q4_K_M; there are {}",
            all.join(", ")
        );
    }
    Ok(files)
}

/// Whether loading needs this file beside the weights.
fn is_needed(name: &str) -> bool {
    const NEEDED: &[&str] = &[
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "ice_text.model",
        "cog-pretrain.model",
        "vocab.json",
        "merges.txt",
        "vocab.txt",
        "added_tokens.json",
        "MODEL_LICENSE",
    ];
    NEEDED.contains(&name) || name.to_lowercase().starts_with("licen")
}

/// Fetches one file, going on where its partial file ends.
fn fetch(
    hub: &Hub,
    listing: &Listing,
    path: &Path,
    entry: &Entry,
    has: &dyn Fn(u64) -> bool,
) -> anyhow::Result<()> {
    let bar = progress(entry);
    let mut failures = 0;
    loop {
        let have = fs::metadata(path).map_or(0, |data| data.len());
        bar.set_position(have);
        if have >= entry.bytes && path.exists() {
            break;
        }
        if let Err(error) = append(hub, listing, path, have, entry, &bar, has) {
            let gained = fs::metadata(path).map_or(0, |data| data.len()) > have;
            failures = if gained { 1 } else { failures + 1 };
            if failures >= TRIES || error.is::<Refused>() || error.is::<GivenUp>() {
                return Err(error);
            }
            tracing::info!("the connection broke, going on: {error:#}");
            if !gained {
                thread::sleep(PAUSE);
            }
        }
    }
    let length = fs::metadata(path)?.len();
    if length != entry.bytes || !entry.checksum.holds(path)? {
        fs::remove_file(path)?;
        bail!(
            "what came is not what the hub promised (its checksum differs), and was thrown away; pull again"
        );
    }
    bar.finish();
    if !stderr().is_terminal() {
        eprintln!("{}: {} bytes, checksum right", entry.name, entry.bytes);
    }
    Ok(())
}

fn append(
    hub: &Hub,
    listing: &Listing,
    path: &Path,
    have: u64,
    entry: &Entry,
    bar: &ProgressBar,
    has: &dyn Fn(u64) -> bool,
) -> anyhow::Result<()> {
    let response = hub.get(&listing.url(&entry.name), have, &listing.repository)?;
    // A server that does not know ranges sends the whole file again.
    let goes_on = have > 0 && response.status() == 206;
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .append(goes_on)
        .truncate(!goes_on)
        .open(path)?;
    let mut left = if goes_on {
        entry.bytes - have
    } else {
        entry.bytes
    };
    bar.set_position(entry.bytes - left);
    // No more than was promised, whatever the server sends.
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        let room = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        match body.read(&mut buffer[..room])? {
            0 => bail!("the connection ended {left} bytes early"),
            read => {
                file.write_all(&buffer[..read])?;
                bar.inc(read as u64);
                left -= read as u64;
                if !has(entry.bytes - left) {
                    file.sync_all()?;
                    bail!(GivenUp);
                }
            }
        }
    }
    file.sync_all()?;
    Ok(())
}

fn progress(entry: &Entry) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
            .expect("the template is right");
    ProgressBar::new(entry.bytes)
        .with_style(style)
        .with_message(entry.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_come_in_one_form() {
        let safe = &[
            "model-00001-of-00002.safetensors",
            "model.safetensors.index.json",
        ];
        let pickled = &["pytorch_model.bin", "pytorch_model.bin.index.json"];
        let split = &["m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"];
        let others = &["training_args.bin", "adapter_model.safetensors", "x.py"];
        let all = |parts: &[&[&'static str]]| parts.concat();
        let set = |names: &[&'static str]| -> BTreeSet<&str> { names.iter().copied().collect() };
        for (names, quant, expected) in [
            (all(&[safe, pickled, split, others]), None, &safe[..]),
            (all(&[pickled, split, others]), None, &pickled[..]),
            (all(&[split, others]), None, &split[..]),
            (
                all(&[safe, split, &["m-Q4_K_M.gguf"]]),
                Some("q8_0"),
                &split[..],
            ),
            (
                all(&[split, &["m-Q4_K_M.gguf"]]),
                Some("Q4_K_M"),
                &["m-Q4_K_M.gguf"][..],
            ),
        ] {
            assert_eq!(weights(&names, quant).unwrap(), set(expected), "{names:?}");
        }
        for (names, quant) in [
            (all(&[others]), None),
            (all(&[split, &["m-Q4_K_M.gguf"]]), None),
            (all(&[split]), Some("Q4_K")),
            (all(&[safe]), Some("Q4_K")),
        ] {
            assert!(weights(&names, quant).is_err(), "{names:?}");
        }
    }
}
