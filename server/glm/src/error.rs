//! What can go wrong with a model, each with what was being done, to what, why not, and what to do now.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened or mapped.
    #[error("cannot open the model file {path}: {source}; check the path and its permissions")]
    Open {
        /// The path as given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error(
        "cannot write the model file {path}: {source}; check the folder's permissions and free space"
    )]
    Write {
        /// The path as given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are not a whole file of a known format.
    #[error("cannot read the model {file}: {why}; fetch or export it again")]
    Format {
        /// The file, or the name of the embedded model.
        file: String,
        /// What is wrong, with the place.
        why: String,
    },
    /// A metadata key is missing or has a value that no model of this kind can have.
    #[error(
        "cannot load the model {file}: metadata `{key}` {why}; the file is damaged or describes no model of this family"
    )]
    Metadata {
        /// The file, or the name of the embedded model.
        file: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A tensor is missing, or its shape, type or size is wrong.
    #[error("cannot load the model {file}: tensor `{name}` {why}; export the model again")]
    Tensor {
        /// The file, or the name of the embedded model.
        file: String,
        /// The tensor.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The tokens or positions asked for do not fit this model.
    #[error("cannot run the model: {0}")]
    Input(String),
    /// The caller's `halt` said so; the cache is as it was before the call.
    #[error("the computation was halted")]
    Halted,
    /// The worker threads could not be started.
    #[error(
        "cannot start the model's threads: {0}; free some memory or raise the limit of threads"
    )]
    Threads(std::io::Error),
    /// There is no such device, or this build cannot use it.
    #[error("cannot use the device {device}: {why}")]
    NoDevice {
        /// Its name, as in `cuda:0`.
        device: String,
        /// Why not, and what to do.
        why: String,
    },
    /// A GPU could not do what it was asked.
    #[error("the device {device} failed: {why}")]
    Device {
        /// Its name, as in `cuda:0`.
        device: String,
        /// What it said, and what to do.
        why: String,
    },
    /// A GPU has no memory left.
    #[error(
        "the memory of the device {device} is full; close what else uses it, or let the model take less with `--vram`"
    )]
    OutOfMemory {
        /// Its name, as in `cuda:0`.
        device: String,
    },
    /// The processor's memory has no room for weights that are to leave a GPU.
    #[error("there is no memory for {bytes} bytes of weights of a GPU; they stay there")]
    NoMemory {
        /// What was asked for.
        bytes: usize,
    },
    /// candle refused an operation.
    #[error("cannot run the model: {0}")]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// Whether a device is at fault: what failed may well be done on another.
    pub fn is_devices(&self) -> bool {
        matches!(
            self,
            Error::NoDevice { .. } | Error::Device { .. } | Error::OutOfMemory { .. }
        )
    }
}
