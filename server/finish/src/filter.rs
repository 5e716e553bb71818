//! What models do wrong, one thing a file. Each has a folder of golden cases of its own name, beside
//! those of the scope.

pub(crate) mod closers;
pub(crate) mod following;
pub(crate) mod head;
pub(crate) mod indentation;
pub(crate) mod midline;
pub(crate) mod minimum;
pub(crate) mod preceding;
pub(crate) mod repetition;
pub(crate) mod syntax;
pub(crate) mod unprintable;
