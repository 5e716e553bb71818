//! The language server and command line.
//!
//! The only room that knows tower-lsp, JSON, tokio and the disk. It takes text from an editor or a
//! file, leads it through the other rooms ([`complete`]) and gives the answer back in the shape
//! that was asked for. What a cursor means, what the model reads, how it computes and what may be
//! shown is decided in the rooms; `server/ARCHITECTURE.md` is their map.

pub mod bench;
pub mod command;
pub mod complete;
pub mod corpus;
pub mod documents;
pub mod embedded;
pub mod eval;
pub mod flags;
pub mod http;
pub mod input;
mod interrupt;
pub mod logging;
pub mod lsp;
pub mod models;
mod priority;
pub mod rooms;
mod runtime;
pub mod sandbox;
pub mod shards;
pub mod translate;
mod trigger;
pub mod writer;

use std::process::ExitCode;

use flags::{Bench, Command, Flags};

/// Runs one command of the command line and says what the process should exit with.
///
/// # Errors
/// Whatever keeps the command from doing its work, with what to do about it.
pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logging::start(flags.log);
    match flags.command {
        Command::Complete(arguments) => command::complete::run(&arguments)?,
        Command::Doctor(arguments) => return command::doctor::run(&arguments),
        Command::Lsp(arguments) => return lsp::run(&arguments),
        Command::Shards(arguments) => shards::run(&arguments)?,
        Command::Model(command) => return command::model::run(&command),
        Command::Generate(arguments) => command::generate::run(&arguments)?,
        Command::Serve(arguments) => http::run(&arguments)?,
        Command::Translate(arguments) => return translate::run(&arguments),
        Command::Eval(what) => return eval::run(&what),
        Command::Sandboxed(arguments) => return sandbox::supervisor::run(&arguments),
        Command::Bench(Bench::Latency(arguments)) => return bench::latency::run(&arguments),
        Command::Bench(Bench::Engine(arguments)) => bench::engine::run(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}
