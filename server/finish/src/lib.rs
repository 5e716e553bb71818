//! From a model's raw answer to an item that fits the text.
//!
//! Three verbs, in the order in which an answer meets them:
//! - [`Stop`] listens while the answer comes and says when it has left what was asked for;
//! - [`settle`] takes the whole answer and gives the text worth keeping. It needs nothing but the
//!   answer and the [`Ask`], so what it gives is stored;
//! - [`fit`] takes settled text, fresh or stored, and the text as it is now, and gives an [`Item`]:
//!   one that repeats nothing after the cursor, leaves no bracket worse than before and adds no
//!   syntax error.
//!
//! [`unfenced`] takes the code out of what a model says in a conversation.
//!
//! Whatever is withheld comes back as [`Why`]. Each thing that models do wrong is one file under
//! `filter`. This room takes text and trees from `text` and knows nothing of tokens, prompts, the
//! cache or any protocol.

mod ask;
mod brackets;
mod fence;
mod filter;
mod fit;
mod lines;
mod scope;
mod settle;
mod stop;
mod why;

pub use ask::{Ask, Until};
pub use fence::unfenced;
pub use fit::{Item, fit};
pub use settle::{Settled, settle, whole_lines};
pub use stop::Stop;
pub use why::Why;
