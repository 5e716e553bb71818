//! The threads that requests are answered on, for editors and over HTTP.

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

/// Bytes of a thread's stack. Tree-sitter frees what it gave up of a text by recursion: in a text of nothing but opening
/// brackets, of which an excerpt of [`text::Snapshot::tree_near`] has tens of thousands, two million bytes are not enough.
const STACK: usize = 16 << 20;

/// A runtime with two threads, and more where requests block.
pub fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("infill-runtime")
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .context("cannot start the server's threads")
}
