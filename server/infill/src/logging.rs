//! Where log lines go: to standard error, never to standard output, which belongs to the protocol.
//!
//! Quiet by default. tower-lsp's own warnings (a notification that nobody handles, and the like)
//! are shown only when more than the default was asked for.

use std::io::stderr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{fmt, registry};

use crate::flags::LogLevel;

/// Starts logging at this level for the rest of the process. A second call changes nothing.
pub fn start(level: LogLevel) {
    let ours = LevelFilter::from(level);
    let others = if level == LogLevel::Warn {
        LevelFilter::ERROR
    } else {
        ours
    };
    let lines = fmt::layer().with_writer(stderr).with_ansi(false);
    let log = registry().with(lines).with(
        Targets::new()
            .with_default(others)
            .with_target(env!("CARGO_CRATE_NAME"), ours),
    );
    // An error means that a log was started before, as tests in one process do.
    let _ = tracing::subscriber::set_global_default(log);
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> LevelFilter {
        match level {
            LogLevel::Off => LevelFilter::OFF,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }
}
