//! `infill bench`: what this build does on this machine, measured from outside.

mod client;
pub mod latency;
mod replay;
mod report;
