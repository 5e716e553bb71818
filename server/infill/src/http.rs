//! `infill serve`: a model over HTTP, for editors' plugins, scripts and `infill translate` on other machines.
//!
//! OpenAI's `/v1/completions` and `/v1/chat/completions`, llama.cpp's `/infill`, `/health`, `/metrics`. [`connections`]
//! lets clients in, [`guard`] says who may ask, [`completions`], [`chat`] and [`infill`] what is asked ([`openai`] what
//! is common to the first two), [`answers`] takes it to the engine and back, [`events`] sends it piece by piece. All of
//! it is batch work to the engine: several clients are answered side by side, and whoever leaves ends the work that was
//! done for him.

pub mod answers;
pub mod chat;
pub mod completions;
pub mod connections;
pub mod events;
pub mod fields;
pub mod guard;
pub mod infill;
pub mod metrics;
pub mod openai;
pub mod refusal;
pub mod stops;
pub mod wishes;

use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{FromRef, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use clap::Args;
use serde_json::{Value, json};
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::flags::ModelArgs;
use crate::http::connections::Patience;
use crate::http::guard::Guard;
use crate::http::metrics::Metrics;
use crate::http::refusal::Refusal;
use crate::interrupt::interrupted;
use crate::models::settings::Choice;
use crate::rooms::Rooms;

/// How long answers that are being written may go on once the server is to end.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// How long it takes at most to tell the others that there will be no more.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Arguments of `infill serve`.
///
/// On any address but this machine's own, a token is required: in a file, or in INFILL_SERVE_TOKEN. Clients send it as
/// `Authorization: Bearer TOKEN`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The address to listen at
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// The port; 0 takes one that is free
    #[arg(long, default_value_t = 8012)]
    pub port: u16,
    /// A file that holds the token that clients must send
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Which model to use
    #[command(flatten)]
    pub model: ModelArgs,
}

/// What the requests of one time share: all of them, unless the model is lost and another takes its place.
pub struct House {
    /// The model, and the engine that runs it.
    pub rooms: Rooms,
    /// What was done so far.
    pub metrics: Arc<Metrics>,
    /// Who may ask.
    pub guard: Guard,
    /// Becomes true when answers that are being written must end.
    pub closing: watch::Receiver<bool>,
    /// When the server started, in seconds since 1970.
    pub since: u64,
}

/// The house as it is now. Each request keeps the one that it came to.
#[derive(Clone)]
struct Current(Arc<RwLock<Arc<House>>>);

impl Current {
    fn of(house: House) -> Current {
        let current = Current(Arc::new(RwLock::new(Arc::new(house))));
        let there = Arc::downgrade(&current.0);
        current.house().rooms.succeeded_by(move |rooms| {
            if let Some(there) = there.upgrade() {
                let mut house = there.write().unwrap_or_else(PoisonError::into_inner);
                *house = Arc::new(House {
                    rooms,
                    metrics: Arc::clone(&house.metrics),
                    guard: house.guard.clone(),
                    closing: house.closing.clone(),
                    since: house.since,
                });
            }
        });
        current
    }

    fn house(&self) -> Arc<House> {
        let house = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&house)
    }
}

impl FromRef<Current> for Arc<House> {
    fn from_ref(current: &Current) -> Arc<House> {
        current.house()
    }
}

/// Serves until it is interrupted or told to end.
///
/// # Errors
/// If the address cannot be listened at or needs a token, or the model cannot be opened.
pub fn run(arguments: &ServeArgs) -> anyhow::Result<()> {
    let runtime = crate::runtime::runtime()?;
    let ended = runtime.block_on(listen(arguments));
    // A prompt that is being laid out for nobody need not be finished.
    runtime.shutdown_background();
    ended
}

async fn listen(arguments: &ServeArgs) -> anyhow::Result<()> {
    let token = guard::token(arguments.token_file.as_deref())?;
    let address = address(&arguments.host, arguments.port).await?;
    let is_loopback = address.ip().is_loopback();
    if token.is_none() && !is_loopback {
        bail!(
            "{} can be reached from other machines: give a token with --token-file FILE or in {}, \
             or leave --host out to serve this machine alone",
            address.ip(),
            guard::TOKEN_VARIABLE
        );
    }
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen at {address}; --port 0 takes a free port"))?;
    let folder = std::env::current_dir().context("the current folder is gone")?;
    let choice = arguments.model.choice().or(Choice::found_from(&folder)?);
    let rooms = tokio::task::spawn_blocking(move || Rooms::open(&choice, &|_| {})).await??;
    let (close, closing) = watch::channel(false);
    let house = Current::of(House {
        rooms,
        metrics: Arc::new(Metrics::new()?),
        guard: Guard { token, is_loopback },
        closing,
        since: seconds(),
    });
    let address = listener.local_addr().context("the address is gone")?;
    let name = house.house().rooms.model.name.clone();
    // Whoever reads that it serves may tell it to end at once.
    let interrupted = interrupted();
    writeln!(stdout(), "serving {name} at http://{address}")
        .context("cannot write to standard output")?;
    until(interrupted, listener, house, close).await;
    Ok(())
}

/// The address to listen at.
async fn address(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut found = lookup_host((host, port))
        .await
        .with_context(|| format!("--host {host} is no address"))?;
    found
        .next()
        .with_context(|| format!("--host {host} has no address"))
}

/// Serves until `ending` is done; then stops listening, gives answers that are being written some time, and tells the
/// others that there will be no more.
async fn until(
    ending: impl Future<Output = String>,
    listener: TcpListener,
    house: Current,
    close: watch::Sender<bool>,
) {
    let ending = async {
        let why = ending.await;
        tracing::info!("the server ends: {why}");
    };
    let rest = connections::serve(listener, router(house), Patience::default(), ending).await;
    let mut rest = pin!(rest);
    if timeout(LAST_ANSWERS, &mut rest).await.is_err() {
        close.send_replace(true);
        if timeout(LAST_WORDS, &mut rest).await.is_err() {
            tracing::warn!("a client was left in mid-answer: it did not read what was sent");
        }
    }
}

/// What is where.
fn router(house: Current) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics::tell))
        .route("/v1/models", get(models))
        .route("/v1/completions", post(completions::answer))
        .route("/v1/chat/completions", post(chat::answer))
        .route("/infill", post(infill::answer))
        .fallback(|| async { Refusal::unknown_path() })
        .method_not_allowed_fallback(|| async { Refusal::wrong_method() })
        .layer(from_fn_with_state(house.clone(), guard::check))
        .layer(from_fn_with_state(house.clone(), metrics::count))
        .with_state(house)
}

async fn health() -> Response {
    json_response(&json!({ "status": "ok" }))
}

async fn models(State(house): State<Arc<House>>) -> Response {
    let model = &house.rooms.model;
    json_response(&json!({
        "object": "list",
        "data": [{
            "id": model.name,
            "object": "model",
            "created": house.since,
            "owned_by": "infill",
            "max_model_len": model.context,
        }],
    }))
}

/// A response of JSON.
pub fn json_response(value: &Value) -> Response {
    let body = value.to_string();
    let kind = (axum::http::header::CONTENT_TYPE, "application/json");
    axum::response::IntoResponse::into_response(([kind], body))
}

/// Seconds since 1970.
pub fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded;

    #[test]
    fn requests_that_come_after_a_model_is_lost_are_the_built_in_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.gguf");
        std::fs::write(&path, embedded::MODEL).unwrap();
        let choice = Choice {
            model: Some(path.display().to_string()),
            ..Choice::default()
        };
        let (device, switch) = glm::fixture::gpu(1 << 30);
        let (_close, closing) = watch::channel(false);
        let current = Current::of(House {
            rooms: Rooms::on(&device, &choice).unwrap(),
            metrics: Arc::new(Metrics::new().unwrap()),
            guard: Guard {
                token: Some("secret".to_owned()),
                is_loopback: true,
            },
            closing,
            since: 7,
        });
        let before = current.house();
        assert_eq!(before.rooms.engine.place(), "cuda:0 (emulated)");
        switch.lose_after(0);
        std::fs::remove_file(&path).unwrap();
        before.rooms.ends_of(&[1, 2, 3]);
        let after = current.house();
        assert_eq!(after.rooms.engine.place(), "cpu");
        assert_eq!(after.rooms.ends_of(&[1, 2, 3]), engine::Ended::Length);
        // All else is as it was.
        assert!(Arc::ptr_eq(&before.metrics, &after.metrics));
        assert_eq!(
            (after.guard.token.as_deref(), after.since),
            (Some("secret"), 7)
        );
    }
}
