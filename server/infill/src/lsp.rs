//! `infill lsp`: a language server over standard input and output.
//!
//! [`front`] sees every message first and in the order of arrival; [`server`] answers what
//! tower-lsp routes; [`session`] is what both share, with the client's [`settings`], which documents
//! they leave alone ([`admission`]), what happens while keys come ([`typing`]) and what becomes of what
//! is shown ([`usage`]). What we say beyond the protocol is in [`announce`] and [`events`] and written
//! down in `editors/PROTOCOL.md`. The types that tower-lsp's protocol version does not know are in
//! [`proposed`], and every conversion between the protocol and the rooms is in [`convert`].

pub mod admission;
pub mod announce;
pub mod capabilities;
pub mod convert;
pub mod events;
pub mod front;
pub mod pending;
pub mod progress;
pub mod proposed;
pub mod request;
pub mod server;
pub mod session;
pub mod settings;
pub mod typing;
pub mod usage;
mod watchdog;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, stdin, stdout};
use tower_lsp::{LspService, Server};

use crate::flags::LspArgs;
use crate::lsp::front::Front;
use crate::lsp::server::Backend;
use crate::lsp::session::Session;

/// How many requests tower-lsp polls at once. Its default of 4 stops it from reading while four
/// completions are under way. A pending completion costs no more than a waiting future here, since
/// it runs as a task of its own, and a newer one for the same document ends it; so the limit is
/// only ever reached by a thousand documents at a time.
const CONCURRENT_REQUESTS: usize = 1024;

/// Time for the last responses to be written after `exit`.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Serves one client until it says `exit`, closes the pipe or dies.
///
/// # Errors
/// If the runtime cannot be started.
pub fn run(arguments: &LspArgs) -> anyhow::Result<ExitCode> {
    let runtime = crate::runtime::runtime()?;
    let session = Arc::new(Session::new(arguments.model.choice()));
    runtime.block_on(serve(Arc::clone(&session), stdin(), stdout()));
    // Standard input may still be blocked in a read that nothing can interrupt.
    runtime.shutdown_background();
    let orderly = session.was_shut_down();
    Ok(if orderly {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Serves one client over any pair of streams: standard ones, or a test's.
pub async fn serve<I, O>(session: Arc<Session>, input: I, output: O)
where
    I: AsyncRead + Unpin + Send + 'static,
    O: AsyncWrite + Send + 'static,
{
    let (service, socket) = LspService::build(|client| Backend::new(Arc::clone(&session), client))
        .custom_method("infill/status", Backend::status)
        .custom_method("infill/why", Backend::why)
        .custom_method("textDocument/didShowCompletion", Backend::did_show)
        .custom_method(
            "textDocument/didPartiallyAcceptCompletion",
            Backend::did_accept_part,
        )
        .custom_method("textDocument/didFocus", Backend::did_focus)
        .finish();
    let front = Front::new(service, Arc::clone(&session));
    let server = Server::new(input, output, socket).concurrency_level(CONCURRENT_REQUESTS);
    // A task of its own, because tower-lsp panics when the client closes its end in mid-message.
    let mut serving = tokio::spawn(server.serve(front));
    tokio::select! {
        ended = &mut serving => {
            if ended.is_err() {
                tracing::info!("the client closed the connection in mid-message");
            }
        }
        () = session.ended() => {
            // tower-lsp itself reads on after `exit`, so this waits only for what is being written.
            let _ = tokio::time::timeout(LAST_WORDS, &mut serving).await;
            serving.abort();
        }
    }
}
