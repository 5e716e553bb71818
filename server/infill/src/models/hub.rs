//! A hub of models: what a repository holds, where its files lie, and what a refusal means.
//!
//! Takes an endpoint and a repository's name, gives a [`Listing`] and the bytes behind an address. Hugging Face's hub
//! and its mirrors speak one dialect, whose addresses hf-hub knows; ModelScope speaks another and is asked in it when
//! an endpoint does not know the first. It knows no store.

use std::env;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use hf_hub::{Repo, RepoType};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};

use crate::models::names;
use crate::models::store::Checksum;

/// The hub that is asked if nobody names another.
const USUAL: &str = "https://huggingface.co";

/// A hub, as this user sees it.
pub struct Hub {
    endpoint: String,
    token: Option<String>,
    /// There is a token, but for another endpoint.
    withheld: bool,
    agent: Agent,
}

/// What a repository holds.
pub struct Listing {
    /// Its name on this hub.
    pub repository: String,
    /// The commit, or the branch where the hub names no commits.
    pub revision: String,
    /// The licence as the hub names it.
    pub licence: Option<String>,
    /// All its files.
    pub files: Vec<Listed>,
    folder: String,
}

impl Listing {
    /// Where this file is to be had.
    pub fn url(&self, file: &str) -> String {
        format!("{}/{file}", self.folder)
    }
}

/// A file of a repository.
pub struct Listed {
    /// Its path in the repository.
    pub name: String,
    /// Its size in bytes.
    pub bytes: Option<u64>,
    /// What its content must give.
    pub checksum: Option<Checksum>,
}

/// An answer that no second try will change.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    status: u16,
    message: String,
}

impl Hub {
    /// The hub at this endpoint, else at `HF_ENDPOINT`, else the usual one. `HF_TOKEN` is a token for one of the last
    /// two and goes nowhere else; `INFILL_TOKEN` is one for whatever endpoint is used.
    ///
    /// # Errors
    /// If the endpoint is no address.
    pub fn of_user(endpoint: Option<&str>) -> anyhow::Result<Hub> {
        let set = |name| env::var(name).ok().map(|value| value.trim().to_owned());
        let set = |name| set(name).filter(|value| !value.is_empty());
        let clean = |endpoint: &str| endpoint.trim().trim_end_matches('/').to_owned();
        let hugging_face = set("HF_ENDPOINT").map_or_else(|| USUAL.to_owned(), |set| clean(&set));
        let endpoint = endpoint.map_or_else(|| hugging_face.clone(), clean);
        if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
            bail!("the endpoint `{endpoint}` is no address; write https://HOST");
        }
        let theirs = set("HF_TOKEN");
        let belongs = endpoint == hugging_face || endpoint == USUAL;
        let withheld = theirs.is_some() && !belongs;
        let token = set("INFILL_TOKEN").or(theirs.filter(|_| belongs));
        let agent = Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            // A connection that stalls is given up, and the file goes on with a new one.
            .timeout_recv_body(Some(Duration::from_secs(600)))
            // The system's certificates, so that those count which a company has put there.
            .tls_config(
                TlsConfig::builder()
                    .root_certs(RootCerts::PlatformVerifier)
                    .build(),
            )
            // Renamed repositories and small files are redirects within the hub; large files are on other hosts.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .build()
            .into();
        Ok(Hub {
            endpoint,
            withheld: withheld && token.is_none(),
            token,
            agent,
        })
    }

    /// Asks for this address, from a byte on.
    ///
    /// # Errors
    /// [`Refused`] if the hub does not want to; others if the connection failed, which may go better next time.
    pub fn get(
        &self,
        url: &str,
        from: u64,
        repository: &str,
    ) -> anyhow::Result<Response<ureq::Body>> {
        // Compressed on the way, a file's bytes could not be counted.
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        request.call().map_err(|error| match error {
            ureq::Error::StatusCode(status @ 400..500) => anyhow!(Refused {
                status,
                message: self.refusal(status, repository),
            }),
            ureq::Error::StatusCode(status) => {
                anyhow!("{} answered with status {status}", self.endpoint)
            }
            error => anyhow!(
                "cannot reach {}: {error}; check the network, --endpoint and the proxy's settings",
                self.endpoint
            ),
        })
    }

    fn refusal(&self, status: u16, repository: &str) -> String {
        let Hub { endpoint, .. } = self;
        let page = format!("{endpoint}/{repository}");
        match status {
            401 if self.withheld => format!(
                "{endpoint} wants a login; HF_TOKEN is for another endpoint and was not sent, so set INFILL_TOKEN"
            ),
            401 if self.token.is_some() => {
                format!("{endpoint} does not take the token that HF_TOKEN or INFILL_TOKEN holds")
            }
            401 => format!(
                "{endpoint} does not show {repository} without a login: there is none of that name, or its makers \
                 want you to accept their licence; do so on {page}, then set HF_TOKEN to a token of yours"
            ),
            403 => format!(
                "the makers of {repository} want you to accept their licence first: do so on {page}, and pull again \
                 with HF_TOKEN set to a token of the same account"
            ),
            404 => {
                format!(
                    "{endpoint} has no {repository} of that revision; check the name and --revision"
                )
            }
            429 => format!("{endpoint} has had too many requests from here; try again later"),
            _ => format!("{endpoint} answered with status {status} for {repository}"),
        }
    }

    /// What a repository holds at this branch, tag or commit.
    ///
    /// # Errors
    /// If there is no such repository, the hub refuses or cannot be reached, or says nothing readable.
    pub fn list(&self, repository: &str, revision: &str) -> anyhow::Result<Listing> {
        if !revision.split('/').all(names::is_plain) {
            bail!("`{revision}` is no branch, tag or commit");
        }
        match self.hugging_face(repository, revision) {
            Err(error) if self.endpoint != USUAL && is_unknown(&error) => {
                tracing::info!("{error:#}; asking as ModelScope is asked");
                self.modelscope(repository, revision).map_err(|_| error)
            }
            listing => listing,
        }
    }

    fn hugging_face(&self, repository: &str, revision: &str) -> anyhow::Result<Listing> {
        let at = |revision: &str| {
            Repo::with_revision(repository.to_owned(), RepoType::Model, revision.to_owned())
        };
        let url = format!(
            "{}/api/{}?blobs=true",
            self.endpoint,
            at(revision).api_url()
        );
        let info: Info = self.read(&url, repository)?;
        if !names::is_plain(&info.sha) {
            bail!("{} gives no commit for {repository}", self.endpoint);
        }
        let repo = at(&info.sha);
        let tag = info
            .tags
            .iter()
            .find_map(|tag| tag.strip_prefix("license:"));
        let named = info.card.as_ref().and_then(|card| card.license.as_deref());
        Ok(Listing {
            repository: repository.to_owned(),
            licence: named.or(tag).map(str::to_owned),
            files: info.siblings.into_iter().map(Listed::from).collect(),
            folder: format!(
                "{}/{}/resolve/{}",
                self.endpoint,
                repo.url(),
                repo.url_revision()
            ),
            revision: info.sha,
        })
    }

    fn modelscope(&self, repository: &str, revision: &str) -> anyhow::Result<Listing> {
        let repository = match repository.split_once('/') {
            Some(("zai-org" | "THUDM", model)) => format!("ZhipuAI/{model}"),
            _ => repository.to_owned(),
        };
        let revision = match revision {
            "main" => "master",
            other => other,
        };
        let model = format!("{}/api/v1/models/{repository}", self.endpoint);
        let url = format!("{model}/repo/files?Revision={revision}&Recursive=true");
        let held: Answer<Held> = self.read(&url, &repository)?;
        let about: Answer<About> = self.read(&model, &repository)?;
        let files = held.data.files.into_iter().map(|file| Listed {
            name: file.path,
            bytes: file.size,
            checksum: file
                .sha256
                .filter(|hash| !hash.is_empty())
                .map(Checksum::Sha256),
        });
        Ok(Listing {
            licence: about.data.license.filter(|licence| !licence.is_empty()),
            files: files.collect(),
            folder: format!("{}/models/{repository}/resolve/{revision}", self.endpoint),
            revision: revision.to_owned(),
            repository,
        })
    }

    fn read<T: DeserializeOwned>(&self, url: &str, repository: &str) -> anyhow::Result<T> {
        let mut response = self.get(url, 0, repository)?;
        response.body_mut().read_json().with_context(|| {
            format!(
                "{} says nothing readable of {repository}; is it a hub of models?",
                self.endpoint
            )
        })
    }
}

/// Whether this is how an endpoint answers that knows nothing of the address: no such page, or a page for people.
fn is_unknown(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<Refused>() {
        Some(refused) => refused.status == 404,
        None => matches!(error.downcast_ref(), Some(ureq::Error::Json(_))),
    }
}

/// What Hugging Face's hub says of a repository.
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

impl From<Sibling> for Listed {
    fn from(file: Sibling) -> Listed {
        let (bytes, checksum) = match (file.lfs, file.blob) {
            (Some(lfs), _) => (lfs.size.or(file.size), Some(Checksum::Sha256(lfs.sha256))),
            (None, blob) => (file.size, blob.map(Checksum::Git)),
        };
        Listed {
            name: file.rfilename,
            bytes,
            checksum,
        }
    }
}

/// The frame of ModelScope's answers.
#[derive(Deserialize)]
struct Answer<T> {
    #[serde(rename = "Data")]
    data: T,
}

#[derive(Deserialize)]
struct Held {
    #[serde(rename = "Files")]
    files: Vec<Blob>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blob {
    path: String,
    size: Option<u64>,
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct About {
    #[serde(rename = "License")]
    license: Option<String>,
}
