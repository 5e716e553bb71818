//! How an engine lives with the device that its model is on.

use std::time::Duration;

/// Hears why a model is lost.
pub type OnLost = Box<dyn FnOnce(&str) + Send>;

/// What an engine does about its model's device besides running on it.
#[derive(Default)]
pub struct Care {
    /// After how long without a job the weights leave a GPU's memory for the computer's; they come back for the next job.
    /// Never, without it.
    pub idle: Option<Duration>,
    /// Called once if the device has failed and the model can be loaded for the processor neither, with both reasons, on the
    /// engine's thread, before the jobs in work are answered that they failed. Another engine may then be there for those
    /// to come.
    pub on_lost: Option<OnLost>,
}
