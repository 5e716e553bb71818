//! The store of answers: what was asked once, or is being typed along, needs no model.
//!
//! Takes settled answers together with the file context they were asked in, and gives back what is
//! left of one when the same place is asked again or when the user types what the answer said.
//! It compares text and counts bytes; it knows nothing of documents, tokens or models, and leaves
//! it to finishing to fit a hit into the text as it is now.

mod adopt;
mod key;
mod store;

pub use adopt::REACH;
pub use key::{Context, Key, LEFT, LEFT_OF_LINE, RIGHT};
pub use store::{Answer, Hit, Store, Tier};
