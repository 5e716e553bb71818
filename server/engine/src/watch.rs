//! A look at each token as it comes, the word to stop, and a say in which token may come.

/// Sees the tokens of one job on the engine's thread; it should be quick.
pub trait Watch: Send {
    /// A token was generated. After [`Flow::Enough`] there is no further one.
    fn token(&mut self, id: u32) -> Flow;

    /// Which tokens may come next; asked before each. The default lets any come.
    fn allowed(&self) -> Allowed<'_> {
        Allowed::Any
    }
}

/// Whether to generate on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    More,
    /// The answer is long enough; this token still belongs to it.
    Enough,
}

/// Which tokens may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed<'a> {
    /// Any.
    Any,
    /// One of some. None at all ends the answer.
    Only {
        /// A name for the constraint, which means nothing to the engine but this: after the same tokens, if one key is
        /// a beginning of another, the tokens that the longer one allows are among those of the shorter.
        key: &'a [u8],
        /// The tokens, in any order.
        ids: &'a [u32],
    },
}

impl Allowed<'_> {
    /// Whether nothing may come.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Allowed::Only { ids: [], .. })
    }
}
