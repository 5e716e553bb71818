//! When somebody wants this process to end: Ctrl+C, or whoever runs it.

/// Ends then, and says who it was.
pub async fn interrupted() -> String {
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<Option<()>>();
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => "it was interrupted".to_owned(),
        Some(()) = terminated => "it was told to end".to_owned(),
    }
}
