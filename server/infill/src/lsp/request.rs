//! One file a request that the server computes something for.

pub mod completion;
pub mod inline_completion;
pub mod models;
pub mod status;
pub mod task;
pub mod why;
