//! The commands that run once and print: one file a command.

pub mod complete;
pub mod doctor;
pub mod generate;
pub mod model;
mod places;
