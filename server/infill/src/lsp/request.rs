//! One file a request that the server computes something for.

pub mod inline_completion;
pub mod status;
