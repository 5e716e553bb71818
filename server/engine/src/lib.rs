//! One thread that owns the model and takes jobs in turn.
//!
//! Takes a [`Job`] (token ids, positions, when to stop) with a [`Watch`] that sees each token and a function that
//! takes the [`Answer`]; gives a [`Cancel`]. Keystrokes and invoked jobs go before look-ahead, and that before batch
//! work; a newer keystroke in a document ends the older one, and a cancelled job stops within one layer of the model.
//! What was run for a job is kept for those that begin alike, so that each runs only what is new.
//!
//! Does not know what a token means: it never sees text. What to ask is `prompt`'s, what to keep is `finish`'s.

mod care;
mod counters;
mod draw;
mod job;
mod queue;
mod recall;
mod run;
mod sample;
mod session;
mod speculate;
mod store;
mod thread;
mod watch;

pub use care::{Care, OnLost};
pub use counters::{Counters, Load, Totals};
pub use draw::Sampling;
pub use job::{Advance, Answer, Class, Ended, Job};
pub use queue::Cancel;
pub use recall::{Line, Recall};
pub use thread::Engine;
pub use watch::{Allowed, Flow, Watch};
