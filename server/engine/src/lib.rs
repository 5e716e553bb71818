//! One thread that owns the model and takes jobs in turn.
//!
//! Takes a [`Job`] (token ids, positions, when to stop) with a [`Watch`] that sees each token and a function that
//! takes the [`Answer`]; gives a [`Cancel`]. Keystrokes and invoked jobs go before batch work, a newer keystroke in a
//! document ends the older one, and a cancelled job stops within one layer of the model.
//!
//! Does not know what a token means: it never sees text. What to ask is `prompt`'s, what to keep is `finish`'s.

mod job;
mod queue;
mod sample;
mod session;
mod thread;
mod watch;

pub use job::{Advance, Answer, Class, Ended, Job};
pub use queue::Cancel;
pub use thread::Engine;
pub use watch::{Flow, Watch};
