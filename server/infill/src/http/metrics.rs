//! What the server has done, for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use engine::{Answer, Engine};
use prometheus::{
    Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry, TEXT_FORMAT, TextEncoder,
};

use crate::http::House;
use crate::http::refusal::Refusal;

/// Paths that are counted by name.
const PATHS: [&str; 6] = [
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/models",
    "/infill",
    "/health",
    "/metrics",
];

/// Seconds to a first token: a small model's at once, a large one's with much to read.
const TO_FIRST: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

/// Seconds from a token to the next.
const TO_NEXT: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// What was done so far.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    tokens: IntCounterVec,
    to_first: Histogram,
    to_next: Histogram,
    running: IntGauge,
    waiting: IntGauge,
    kept_bytes: IntGauge,
}

impl Metrics {
    /// All of it nothing yet.
    ///
    /// # Errors
    /// If two have one name.
    pub fn new() -> anyhow::Result<Metrics> {
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
        };
        let metrics = Metrics {
            registry: Registry::new(),
            requests: IntCounterVec::new(
                Opts::new(
                    "infill_requests_total",
                    "Responses begun, by path and status.",
                ),
                &["path", "status"],
            )?,
            tokens: IntCounterVec::new(
                Opts::new(
                    "infill_tokens_total",
                    "Tokens of prompts that were read or were there from before (reused), and of answers that were \
                     written or had been before (replayed).",
                ),
                &["kind"],
            )?,
            to_first: histogram(
                "infill_time_to_first_token_seconds",
                "From a request to the first token of an answer.",
                &TO_FIRST,
            )?,
            to_next: histogram(
                "infill_time_per_token_seconds",
                "From a token of an answer to the next.",
                &TO_NEXT,
            )?,
            running: IntGauge::new("infill_jobs_running", "Answers that are being written.")?,
            waiting: IntGauge::new("infill_jobs_waiting", "Answers that wait for their turn.")?,
            kept_bytes: IntGauge::new(
                "infill_kv_kept_bytes",
                "Keys and values that are kept for prompts that begin alike, besides those of running answers.",
            )?,
        };
        let Metrics {
            registry,
            requests,
            tokens,
            to_first,
            to_next,
            running,
            waiting,
            kept_bytes,
        } = &metrics;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(tokens.clone()))?;
        registry.register(Box::new(to_first.clone()))?;
        registry.register(Box::new(to_next.clone()))?;
        registry.register(Box::new(running.clone()))?;
        registry.register(Box::new(waiting.clone()))?;
        registry.register(Box::new(kept_bytes.clone()))?;
        for kind in ["read", "reused", "written", "replayed"] {
            tokens.with_label_values(&[kind]);
        }
        Ok(metrics)
    }

    /// The first token of an answer has come.
    pub fn first(&self, waited: Duration) {
        self.to_first.observe(waited.as_secs_f64());
    }

    /// Another one has.
    pub fn next(&self, waited: Duration) {
        self.to_next.observe(waited.as_secs_f64());
    }

    /// A job is over, whatever became of it.
    pub fn job(&self, answer: &Answer) {
        for (kind, count) in [
            ("read", answer.prefilled),
            ("reused", answer.reused),
            ("written", answer.decoded),
            ("replayed", answer.replayed),
        ] {
            self.tokens.with_label_values(&[kind]).inc_by(count as u64);
        }
    }

    /// All of it as text.
    fn text(&self, engine: &Engine) -> anyhow::Result<String> {
        let load = engine.load();
        // There are never so many that they would not fit.
        self.running.set(load.running as i64);
        self.waiting.set(load.waiting as i64);
        self.kept_bytes
            .set(engine.counters().kept_bytes.cast_signed());
        let families = self.registry.gather();
        TextEncoder::new()
            .encode_to_string(&families)
            .context("the metrics cannot be written")
    }
}

/// `GET /metrics`.
pub async fn tell(State(house): State<Arc<House>>) -> Response {
    match house.metrics.text(&house.rooms.engine) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => Refusal::failed(&format!("{error:#}")).into_response(),
    }
}

/// Counts a request once its response begins.
pub async fn count(State(house): State<Arc<House>>, request: Request, next: Next) -> Response {
    let path = PATHS.into_iter().find(|&path| path == request.uri().path());
    let response = next.run(request).await;
    let status = response.status();
    let path = path.unwrap_or("other");
    tracing::info!("{path}: {status}");
    let requests = &house.metrics.requests;
    requests.with_label_values(&[path, status.as_str()]).inc();
    response
}
