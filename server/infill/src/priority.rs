//! The priority of the threads that compute.
//!
//! A completion that comes a moment later is a smaller loss than an editor that stutters, or a
//! compiler that takes longer.

/// What is added to the niceness of a thread that computes: an ordinary program beside it gets three
/// times its share of a core that both want.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// Puts the calling thread, and all that it will start, behind ordinary programs. Elsewhere than on
/// Linux this does nothing: niceness is the process's there, and messages must be read at once.
pub fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!("the threads that compute keep the usual priority: {error}");
    }
}
