//! `infill bench`: what this build does on this machine, measured from outside, and what its model's engine does alone.

mod budget;
mod buffer;
mod client;
pub mod engine;
pub mod latency;
mod lookup;
mod memory;
mod pairs;
mod process;
mod recording;
mod replay;
mod report;
mod script;
mod suggestion;
