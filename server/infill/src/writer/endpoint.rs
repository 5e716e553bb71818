//! A model behind an OpenAI-compatible server, such as vLLM, SGLang or another machine's `infill serve`.
//!
//! Takes orders in words, sends each as a request of its own ([`wire`]), as fast as the server bears it ([`pace`]); gives
//! the answers. Many requests may be under way at once; dropping one closes its connection, by which servers know that
//! nobody waits any more. The key comes from the environment alone and is shown nowhere.

mod pace;
mod wire;

use std::env;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use prompt::Template;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};

use crate::flags::from_one;
use crate::writer::{Failure, Order, Written};
use pace::{Pace, Patience};

/// The variable that the key is in.
const KEY: &str = "INFILL_ENDPOINT_KEY";

/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 16 << 20;

/// The most of a server's words that are passed on, in characters.
const LONGEST_QUOTE: usize = 300;

/// A model behind a server. The key, if the server wants one, is read from INFILL_ENDPOINT_KEY.
#[derive(Clone, Debug, Default, Args)]
pub struct EndpointArgs {
    /// Let an OpenAI-compatible server write, such as vLLM; its address, to which /v1 is added if it has no path
    #[arg(
        long,
        value_name = "URL",
        conflicts_with_all = ["model", "quant", "threads", "window", "device", "memory"]
    )]
    pub endpoint: Option<String>,
    /// Its model, if it has several
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    pub endpoint_model: Option<String>,
    /// How that model wants to be asked: codegeex4_v1 or glm4_v1; the default goes by its name
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    pub endpoint_template: Option<String>,
    /// Most requests that are sent in a minute
    #[arg(long, value_name = "N", requires = "endpoint", value_parser = from_one)]
    pub requests_per_minute: Option<usize>,
    /// How often a request is sent again when the server fails or is busy
    #[arg(long, value_name = "N", requires = "endpoint", default_value_t = 6)]
    pub retries: u32,
    /// Seconds that an answer may take
    #[arg(long, value_name = "SECONDS", requires = "endpoint", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
}

/// A model behind a server.
pub struct Endpoint {
    client: Client,
    base: Url,
    model: String,
    id: String,
    template: Template,
    pace: Pace,
    retries: u32,
    timeout: Duration,
    /// How many requests were answered.
    answered: AtomicU64,
    /// Said once if the server counts no tokens.
    uncounted: Once,
}

/// Why a request brought nothing.
enum Miss {
    /// It may go better later.
    Passing {
        why: String,
        /// Whether the server only has too much to do.
        is_busy: bool,
        /// How long the server asks to wait.
        wait: Option<Duration>,
    },
    /// Neither this request nor others will be answered.
    Lasting(String),
    /// This request will not be answered.
    Refused(String),
}

impl Endpoint {
    /// The server at `url`, asked for its models if none is named.
    ///
    /// # Errors
    /// If the address or the key cannot be used, the server does not answer, or it does not say which model to take.
    pub async fn open(url: &str, arguments: &EndpointArgs) -> anyhow::Result<Endpoint> {
        let base = base(url)?;
        let client = client(headers(&base, env::var(KEY).ok())?, is_loopback(&base))?;
        let mut endpoint = Endpoint {
            client,
            id: String::new(),
            model: String::new(),
            template: Template::Glm4,
            pace: Pace::new(arguments.requests_per_minute),
            retries: arguments.retries,
            timeout: Duration::from_secs(arguments.timeout),
            answered: AtomicU64::new(0),
            uncounted: Once::new(),
            base,
        };
        endpoint.model = match &arguments.endpoint_model {
            Some(model) => model.clone(),
            None => endpoint.only_model().await?,
        };
        endpoint.id = format!("{} {}", endpoint.base, endpoint.model);
        endpoint.template = match &arguments.endpoint_template {
            Some(name) => Template::from_name(name)?,
            None => usual_template(&endpoint.model),
        };
        Ok(endpoint)
    }

    /// How the model wants to be asked.
    pub fn template(&self) -> Template {
        self.template
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What tells it from others: where it is, and its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes one answer.
    ///
    /// # Errors
    /// [`Failure`], once the request was sent as often as it may be.
    pub async fn write(&self, order: &Order) -> Result<Written, Failure> {
        let (path, body) = wire::request(&self.model, order);
        let url = self.url(path);
        let send = || self.client.post(url.clone()).json(&body);
        let answer = self.patiently(send, wire::answered).await?;
        if !answer.is_counted {
            self.uncounted.call_once(|| {
                tracing::warn!(
                    "{} does not count tokens: they count as 0, and --budget tokens=N never ends the run",
                    self.base
                );
            });
        }
        Ok(answer.written)
    }

    /// The one model that the server has.
    async fn only_model(&self) -> anyhow::Result<String> {
        let url = self.url("models");
        let models = self.patiently(|| self.client.get(url.clone()), wire::models);
        let mut models = models.await.map_err(|failure| anyhow!("{failure}"))?;
        match (models.pop(), models.is_empty()) {
            (Some(model), true) => Ok(model),
            (None, _) => bail!(
                "{} lists no models; name one with --endpoint-model",
                self.base
            ),
            (Some(last), false) => bail!(
                "{} has several models; name one with --endpoint-model: {}, {last}",
                self.base,
                models.join(", ")
            ),
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base.path().trim_end_matches('/')
        ));
        url
    }

    /// Sends a request until it is answered or nothing more is to be hoped for: of the server, or, if it answers others
    /// meanwhile, of this request. A server that is busy but answers others is asked as long as it takes.
    async fn patiently<T>(
        &self,
        request: impl Fn() -> RequestBuilder,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let mut patience = Patience::new(self.retries);
        let mut answered_before = None;
        loop {
            self.pace.turn().await;
            let (why, is_busy, wait) = match self.once(request(), &read).await {
                Ok(answer) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(Miss::Refused(why)) => return Err(Failure::Refused(why)),
                Err(Miss::Lasting(why)) => return Err(Failure::Unavailable(why)),
                Err(Miss::Passing { why, is_busy, wait }) => (why, is_busy, wait),
            };
            let answered = self.answered.load(Ordering::Relaxed);
            let answers_others = answered > *answered_before.get_or_insert(answered);
            if is_busy && answers_others {
                patience = Patience::new(self.retries);
                answered_before = Some(answered);
            }
            let Some(usual) = patience.next() else {
                let tries = u64::from(self.retries) + 1;
                let why = format!("{why}, {tries} times in a row");
                return Err(match answers_others {
                    true => Failure::Refused(why + ", while others were answered"),
                    false => Failure::Unavailable(why),
                });
            };
            tracing::info!(%why, "the endpoint is asked again");
            // Who is told to wait speaks for all.
            if let Some(wait) = wait {
                self.pace.pause(wait);
            }
            tokio::time::sleep(usual).await;
        }
    }

    async fn once<T>(
        &self,
        request: RequestBuilder,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, Miss> {
        let passing = |why: String| Miss::Passing {
            why,
            is_busy: false,
            wait: None,
        };
        let whole = async {
            let response = request
                .send()
                .await
                .map_err(|error| self.unreached(&error))?;
            let (status, wait) = (response.status(), pace::retry_after(response.headers()));
            let body = self.body(response).await?;
            if status.is_success() {
                return read(&body)
                    .map_err(|why| passing(format!("{} {why}: {}", self.base, quoted(&body))));
            }
            Err(self.miss(status, wait, &body))
        };
        let late = || {
            format!(
                "{} gave no answer within {} s",
                self.base,
                self.timeout.as_secs()
            )
        };
        match tokio::time::timeout(self.timeout, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(passing(late())),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Miss> {
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.unreached(&error))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_ANSWER {
                let limit = LONGEST_ANSWER >> 20;
                let why = format!("{} answered with more than {limit} MiB", self.base);
                return Err(Miss::Refused(why));
            }
        }
        Ok(body)
    }

    fn unreached(&self, error: &reqwest::Error) -> Miss {
        let mut why = format!("cannot reach {}: {}", self.base, causes(error));
        if error.is_connect() {
            why.push_str("; check --endpoint, the network and the proxy's settings");
        }
        Miss::Passing {
            why,
            is_busy: false,
            wait: None,
        }
    }

    /// What an answer without success means.
    fn miss(&self, status: StatusCode, wait: Option<Duration>, body: &[u8]) -> Miss {
        let said = format!("{} answered {status}: {}", self.base, quoted(body));
        match status.as_u16() {
            400 | 413 | 422 => Miss::Refused(said),
            401 | 403 => Miss::Lasting(format!("{said}; the key is read from {KEY}")),
            404 => Miss::Lasting(format!(
                "{said}; check --endpoint and --endpoint-model ({})",
                self.model
            )),
            status @ (408 | 425 | 429 | 500..) => Miss::Passing {
                why: said,
                is_busy: status == 429,
                wait,
            },
            _ => Miss::Lasting(said),
        }
    }
}

/// Where requests go, below which the paths of the API are.
fn base(url: &str) -> anyhow::Result<Url> {
    let mut base = Url::parse(url).with_context(|| format!("--endpoint {url} is no URL"))?;
    if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
        bail!("--endpoint {url} is no address of the web, such as http://localhost:8000");
    }
    if !base.username().is_empty() || base.password().is_some() {
        bail!("--endpoint has a password in it; put the server's key into {KEY} instead");
    }
    if base.query().is_some() || base.fragment().is_some() {
        // What stands behind it may be a key.
        bail!("--endpoint has a ? or a # in it; give the address without it");
    }
    if base.path() == "/" {
        base.set_path("/v1");
    }
    Ok(base)
}

/// What goes with every request. A key goes over TLS, or does not leave the machine.
fn headers(base: &Url, key: Option<String>) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let Some(key) = key.filter(|key| !key.is_empty()) else {
        return Ok(headers);
    };
    if base.scheme() != "https" && !is_loopback(base) {
        bail!("{KEY} would be sent to {base} for everybody to read; use https, or unset it");
    }
    let value = HeaderValue::from_str(&format!("Bearer {key}"));
    let mut value = value.map_err(|_| anyhow!("{KEY} has characters that no key has"))?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

/// Whether this is an address of this machine, which no other can listen to.
fn is_loopback(base: &Url) -> bool {
    match base.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn client(headers: HeaderMap, is_loopback: bool) -> anyhow::Result<Client> {
    // One provider of cryptography for the whole program, the one that models are pulled with; that it is set already is
    // no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = match is_loopback {
        // A proxy would read what is not to leave this machine, and find another server by the same address.
        true => Client::builder().no_proxy(),
        false => Client::builder(),
    };
    builder
        .default_headers(headers)
        .user_agent(concat!("infill/", env!("CARGO_PKG_VERSION")))
        // A key is not to follow wherever a server points.
        .redirect(redirect::Policy::none())
        .connect_timeout(Duration::from_secs(30))
        .build()
        .context("cannot make requests")
}

/// How a model of this name is asked, if nobody says: as a chat that every server knows, with the system prompt that its
/// makers give it.
fn usual_template(model: &str) -> Template {
    let is_codegeex4 = model.to_lowercase().contains("codegeex4");
    match is_codegeex4 {
        true => Template::CodeGeex4,
        false => Template::Glm4,
    }
}

/// An error with all that led to it; reqwest's own words name the address alone.
fn causes(error: &reqwest::Error) -> String {
    let first: &dyn std::error::Error = error;
    let causes = std::iter::successors(first.source(), |error| error.source());
    match causes.last() {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    }
}

/// The beginning of what a server said, on one line.
fn quoted(body: &[u8]) -> String {
    let text = wire::message(body).unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let quote: String = text.chars().take(LONGEST_QUOTE).collect();
    match quote.len() {
        0 => "nothing".to_owned(),
        length if length < text.len() => quote + "...",
        _ => quote,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_get_their_path() {
        for (url, expected) in [
            ("http://localhost:8000", "http://localhost:8000/v1"),
            ("http://localhost:8000/", "http://localhost:8000/v1"),
            ("https://models.example/v1", "https://models.example/v1"),
            (
                "https://models.example/api/paas/v4/",
                "https://models.example/api/paas/v4/",
            ),
        ] {
            assert_eq!(base(url).unwrap().as_str(), expected);
        }
        for (url, word) in [
            ("localhost:8000", "no address"),
            ("models", "no URL"),
            ("https://me:secret@models.example", "password"),
            ("https://models.example/v1?key=1", "a ?"),
        ] {
            let error = base(url).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_key_does_not_travel_in_the_open() {
        let with_key = |url: &str| headers(&base(url).unwrap(), Some("k".to_owned()));
        for url in [
            "https://models.example",
            "http://localhost:1",
            "http://127.0.0.1:1",
            "http://[::1]:1",
        ] {
            assert!(with_key(url).unwrap().contains_key(AUTHORIZATION), "{url}");
        }
        let error = with_key("http://models.example").unwrap_err().to_string();
        assert!(error.contains("https"), "{error}");
        assert!(
            headers(&base("http://models.example").unwrap(), None)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_a_server_says_is_quoted_on_one_line() {
        assert_eq!(quoted(b" a\n b "), "a b");
        assert_eq!(
            quoted(b"{\"error\": {\"message\": \"too long\"}}"),
            "too long"
        );
        let long = "é".repeat(LONGEST_QUOTE + 1);
        assert_eq!(quoted(long.as_bytes()).chars().count(), LONGEST_QUOTE + 3);
    }
}
