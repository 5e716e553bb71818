//! When somebody wants this process to end: Ctrl+C, or whoever runs it.

/// Ends then, and says who it was. From this call on, not only once it is waited for, the process does not end by itself.
#[cfg(unix)]
pub fn interrupted() -> impl Future<Output = String> {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    async fn heard(signal: std::io::Result<Signal>) -> Option<()> {
        match signal {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    }
    let interrupted = signal(SignalKind::interrupt());
    let terminated = signal(SignalKind::terminate());
    async {
        tokio::select! {
            Some(()) = heard(interrupted) => "it was interrupted".to_owned(),
            Some(()) = heard(terminated) => "it was told to end".to_owned(),
            else => std::future::pending().await,
        }
    }
}

/// Ends then, and says who it was.
#[cfg(not(unix))]
pub async fn interrupted() -> String {
    match tokio::signal::ctrl_c().await {
        Ok(()) => "it was interrupted".to_owned(),
        Err(_) => std::future::pending().await,
    }
}
