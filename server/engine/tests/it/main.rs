//! Jobs through a real engine on small random models.

/// What the engine and its drafts cost.
mod cost;
/// A device that fails under a model.
mod devices;
/// What the others use: models, jobs, watches, and plain greedy decoding to compare with.
mod harness;
/// Many documents at once in random order: every answer is that of an engine of its own.
mod interleaving;
/// Order, superseding, cancelling, endings.
mod jobs;
/// What a text says elsewhere counts.
mod recall;
/// Sampled answers are those of their seed, and as likely as the model says.
mod sampling;
/// Who runs when, and how soon a job stops.
mod scheduling;
/// What one job leaves to the next.
mod sessions;
/// Drafts change the time that an answer takes and nothing else.
mod speculation;
