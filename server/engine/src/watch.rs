//! A look at each token as it comes, and the word to stop.

/// Sees the tokens of one job on the engine's thread; it should be quick.
pub trait Watch: Send {
    /// A token was generated. After [`Flow::Enough`] there is no further one.
    fn token(&mut self, id: u32) -> Flow;
}

/// Whether to generate on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    More,
    /// The answer is long enough; this token still belongs to it.
    Enough,
}
