//! Pulling a model from the hub into the store: the one place that touches the network.
//!
//! hf-hub knows the hub, its addresses and what a repository holds. Its own download keeps a cache of its own and
//! checks nothing, so files are fetched here: each goes on where an earlier pull stopped, and counts only once its
//! checksum is the one that the hub publishes.

use std::fs::{self, OpenOptions};
use std::io::{IsTerminal, Read, Write, stderr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Repo, RepoType};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use ureq::Agent;

use crate::models::names;
use crate::models::store::{Checksum, Entry, Record, Store};

/// How often a connection may break with nothing gained before the pull gives up.
const TRIES: u32 = 3;

/// What to pull, and from where.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// A known name, or OWNER/NAME.
    pub name: &'a str,
    /// A branch, tag or commit.
    pub revision: &'a str,
    /// Another hub than the usual one.
    pub endpoint: Option<&'a str>,
    /// What the hub knows the user by.
    pub token: Option<&'a str>,
}

/// What the hub says of a repository.
#[derive(Deserialize)]
struct Info {
    sha: String,
    siblings: Vec<Sibling>,
    #[serde(default, rename = "cardData")]
    card: Option<Card>,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Card {
    license: Option<String>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: Option<u64>,
}

/// Pulls a model. What has come already is not fetched again.
///
/// # Errors
/// If the hub refuses or cannot be reached, or what it sends is not what it promised.
pub fn pull(store: &Store, wanted: &Wanted) -> anyhow::Result<Record> {
    let (repository, name) = names::resolve(wanted.name)?;
    let _lock = store.lock(&name)?;
    let mut builder = ApiBuilder::new()
        .with_progress(false)
        .with_token(wanted.token.map(str::to_owned));
    if let Some(endpoint) = wanted.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    let api = builder
        .build()
        .context("cannot set the connection to the hub up")?;
    let at = |revision: &str| {
        api.repo(Repo::with_revision(
            repository.clone(),
            RepoType::Model,
            revision.to_owned(),
        ))
    };
    let mut response = at(wanted.revision)
        .info_request()
        .query("blobs", "true")
        .call()
        .map_err(|error| refusal(&error, &repository))?;
    let info: Info = response
        .body_mut()
        .read_json()
        .with_context(|| format!("the hub says nothing readable of {repository}"))?;
    if !names::is_plain(&info.sha) {
        bail!("the hub gives no commit for {repository}");
    }
    let licence = licence(&info, &repository);
    eprintln!("{repository} at {}: licence {licence}", info.sha);

    let entries = entries(&info)?;
    if store
        .record(&name)?
        .is_some_and(|old| old.revision == info.sha && old.files == entries)
    {
        eprintln!("{name} is in the store already");
    } else {
        let partial = store.partial(&name);
        fs::create_dir_all(&partial)
            .with_context(|| format!("cannot make {}", partial.display()))?;
        let repo = at(&info.sha);
        let agent: Agent = Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .build()
            .into();
        for entry in &entries {
            let url = repo.url(&entry.name);
            fetch(
                &agent,
                &url,
                wanted.token,
                &partial.join(&entry.name),
                entry,
            )
            .with_context(|| format!("cannot pull {} of {repository}", entry.name))?;
        }
        fs::write(
            partial.join("INFILL-LICENCE.txt"),
            format!("{repository}\n{licence}\n"),
        )
        .context("cannot write the licence down")?;
    }
    let record = Record {
        name,
        repository,
        revision: info.sha,
        licence,
        files: entries,
    };
    if store.partial(&record.name).exists() {
        store.complete(&record)?;
    }
    Ok(record)
}

fn licence(info: &Info, repository: &str) -> String {
    let tag = info
        .tags
        .iter()
        .find_map(|tag| tag.strip_prefix("license:"));
    let named = info
        .card
        .as_ref()
        .and_then(|card| card.license.as_deref())
        .or(tag);
    let named = named.unwrap_or("not named; read the repository's page");
    match names::licence_note(repository) {
        Some(note) => format!("{named} ({note})"),
        None => named.to_owned(),
    }
}

/// The files that loading needs. Weights come once: as safetensors if there are any.
fn entries(info: &Info) -> anyhow::Result<Vec<Entry>> {
    let safe = info
        .siblings
        .iter()
        .any(|file| file.rfilename.ends_with(".safetensors"));
    let mut entries = Vec::new();
    for file in info
        .siblings
        .iter()
        .filter(|file| is_needed(&file.rfilename, safe))
    {
        let (checksum, bytes) = match (&file.lfs, &file.blob) {
            (Some(lfs), _) => (Checksum::Sha256(lfs.sha256.clone()), lfs.size.or(file.size)),
            (None, Some(blob)) => (Checksum::Git(blob.clone()), file.size),
            (None, None) => bail!("the hub gives no checksum for {}", file.rfilename),
        };
        entries.push(Entry {
            name: file.rfilename.clone(),
            bytes: bytes
                .with_context(|| format!("the hub gives no size for {}", file.rfilename))?,
            checksum,
        });
    }
    let is_weights = |name: &str| {
        [".safetensors", ".bin", ".gguf", ".pt"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    if !entries.iter().any(|entry| is_weights(&entry.name)) {
        bail!("the repository has no weights that infill can read");
    }
    Ok(entries)
}

fn is_needed(name: &str, safe: bool) -> bool {
    if !names::is_plain(name) || name == "training_args.bin" {
        return false;
    }
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    ends(&[".safetensors", ".safetensors.index.json", ".gguf"])
        || (!safe && ends(&[".bin", ".bin.index.json", ".pt"]))
        || [
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "tokenizer.model",
        ]
        .contains(&name)
        || [
            "ice_text.model",
            "cog-pretrain.model",
            "vocab.json",
            "merges.txt",
            "vocab.txt",
            "added_tokens.json",
        ]
        .contains(&name)
        || name.to_lowercase().starts_with("licen")
        || name == "MODEL_LICENSE"
}

/// Fetches one file, going on where its partial file ends.
fn fetch(
    agent: &Agent,
    url: &str,
    token: Option<&str>,
    path: &Path,
    entry: &Entry,
) -> anyhow::Result<()> {
    let bar = progress(entry);
    let mut failures = 0;
    loop {
        let have = fs::metadata(path).map_or(0, |data| data.len());
        bar.set_position(have);
        if have >= entry.bytes && path.exists() {
            break;
        }
        match append(agent, url, token, path, have, entry.bytes, &bar) {
            Ok(()) => failures = 0,
            Err(error) => {
                let gained = fs::metadata(path).map_or(0, |data| data.len()) > have;
                failures = if gained { 1 } else { failures + 1 };
                if failures >= TRIES || error.downcast_ref::<Refused>().is_some() {
                    return Err(error);
                }
                tracing::info!("the connection broke, going on: {error:#}");
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

/// An answer that no second try will change.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

fn append(
    agent: &Agent,
    url: &str,
    token: Option<&str>,
    path: &Path,
    have: u64,
    bytes: u64,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let mut request = agent.get(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if have > 0 {
        request = request.header("range", format!("bytes={have}-"));
    }
    let response = request.call().map_err(|error| match error {
        ureq::Error::StatusCode(status @ 400..500) => {
            anyhow!(Refused(format!("the hub answered with status {status}")))
        }
        error => anyhow!(error),
    })?;
    // A server that does not know ranges sends the whole file again.
    let goes_on = have > 0 && response.status() == 206;
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .append(goes_on)
        .truncate(!goes_on)
        .open(path)?;
    let mut left = if goes_on { bytes - have } else { bytes };
    bar.set_position(bytes - left);
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

fn refusal(error: &ureq::Error, repository: &str) -> anyhow::Error {
    match error {
        ureq::Error::StatusCode(401 | 403) => anyhow!(
            "the hub does not show {repository} to you: it is not there, or its makers want you to agree to their \
             terms on its page; then set HF_TOKEN to a token of yours"
        ),
        ureq::Error::StatusCode(404) => {
            anyhow!("the hub has no {repository} of that revision; check the name and --revision")
        }
        ureq::Error::StatusCode(status) => {
            anyhow!("the hub answered with status {status} for {repository}")
        }
        error => anyhow!(
            "cannot reach the hub: {error}; check the network, --endpoint and the proxy's settings"
        ),
    }
}
