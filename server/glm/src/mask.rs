//! Which keys each query may see: Part A both ways, Part B only backwards.
//!
//! Takes the length of the prefix (Part A) and of what the cache holds already, gives a number per query. A mask of
//! this family is always "the first n keys", so nothing of size new × (past + new) is ever built.

use crate::Error;

/// The mask of one chunk of new tokens over a cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mask {
    /// Tokens of the sequence with a smaller index see one another.
    prefix: usize,
    /// Tokens in the cache already.
    past: usize,
    /// Tokens of this chunk.
    new: usize,
}

impl Mask {
    /// The mask for `new` tokens after `past`. The prefix must lie in this chunk or in the cache as a whole: a part of
    /// it, run alone, would never see the rest.
    pub(crate) fn new(prefix: usize, past: usize, new: usize) -> Result<Mask, Error> {
        let whole = past >= prefix || (past == 0 && new >= prefix);
        if !whole {
            return Err(Error::Input(format!(
                "a prefix of {prefix} tokens was split: {past} are in the cache and the chunk has {new}; run all of it at once"
            )));
        }
        Ok(Mask { prefix, past, new })
    }

    /// Tokens in the cache before this chunk.
    pub(crate) fn past(&self) -> usize {
        self.past
    }

    /// Tokens of this chunk.
    pub(crate) fn new_tokens(&self) -> usize {
        self.new
    }

    /// How many keys, from the first on, the chunk's query `row` sees.
    pub(crate) fn visible(&self, row: usize) -> usize {
        self.prefix
            .max(self.past + row + 1)
            .min(self.past + self.new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: usize, past: usize, new: usize, visible: &[usize]) {
        let mask = Mask::new(prefix, past, new).unwrap();
        let got: Vec<usize> = (0..new).map(|row| mask.visible(row)).collect();
        assert_eq!(got, visible);
    }

    #[test]
    fn part_a_sees_itself_and_part_b_looks_back() {
        check(3, 0, 5, &[3, 3, 3, 4, 5]);
        check(3, 3, 2, &[4, 5]);
        check(3, 4, 3, &[5, 6, 7]);
        check(0, 0, 3, &[1, 2, 3]);
        check(3, 0, 3, &[3, 3, 3]);
    }

    #[test]
    fn a_split_prefix_is_refused() {
        assert!(Mask::new(4, 0, 3).is_err());
        assert!(Mask::new(4, 2, 5).is_err());
    }
}
