//! Ends the session when the client's process is gone.
//!
//! A client that dies usually takes standard input with it, which ends the session sooner. This is
//! for the clients whose pipes are held open by someone else.

use std::sync::Arc;
use std::time::Duration;

use crate::lsp::session::Session;

/// How often the client's process is looked for.
const INTERVAL: Duration = Duration::from_secs(3);

/// Watches the client's process until it is gone, then ends the session. A process that cannot be
/// seen from the start, as from within a container, is not watched.
pub async fn watch(session: Arc<Session>, client: u32) {
    if !alive(client) {
        tracing::info!(
            "the client's process {client} cannot be seen from here, so it is not watched"
        );
        return;
    }
    while alive(client) {
        tokio::time::sleep(INTERVAL).await;
    }
    tracing::info!("the client's process {client} is gone");
    session.end();
}

#[cfg(unix)]
fn alive(process: u32) -> bool {
    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};

    let Some(id) = i32::try_from(process).ok().and_then(Pid::from_raw) else {
        return false;
    };
    // No permission to signal it means that it is there.
    test_kill_process(id) != Err(Errno::SRCH)
}

#[cfg(not(unix))]
fn alive(_process: u32) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_alive_until_it_has_ended() {
        let mut child = Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("every Unix has sleep");
        assert!(alive(child.id()) && alive(std::process::id()));
        child.kill().expect("it is ours");
        child.wait().expect("it was started");
        assert!(!alive(child.id()));
    }
}
