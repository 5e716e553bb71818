//! The commands that run once and print: one file a command.

pub mod complete;
pub mod model;
