//! Models: their names, the store they are pulled into, and how files become something to run.
//!
//! Only [`pull`] touches the network, by way of [`hub`].

pub mod device;
pub mod hub;
pub mod names;
pub mod open;
pub mod pull;
pub mod settings;
pub mod store;
