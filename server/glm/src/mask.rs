//! Which keys each query may see: Part A both ways, Part B only backwards.
//!
//! Takes the zones of the prefix (Part A) and the length of what the cache holds already, gives a number per query. A mask
//! of this family is always "the first n keys", so nothing of size new × (past + new) is ever built.

use crate::Error;

/// The tokens at the start of a sequence that are read as a question: Part A.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prefix {
    /// How many of them are the far zone: each sees only those before it, so that its keys and values stay true whatever
    /// comes after. 0 in models that read all of Part A both ways.
    pub far: usize,
    /// How many they are. Those after the far zone see one another and the far zone; 0 in a causal model.
    pub length: usize,
}

impl Prefix {
    /// How many of a sequence's first `count` tokens have the same keys and values in every sequence that begins with
    /// them, if this is its Part A: all that end the prefix or stand in its far zone.
    pub fn settled(self, count: usize) -> usize {
        if count < self.length {
            count.min(self.far)
        } else {
            count
        }
    }
}

/// A prefix without a far zone.
impl From<usize> for Prefix {
    fn from(length: usize) -> Prefix {
        Prefix { far: 0, length }
    }
}

/// The mask of one chunk of new tokens over a cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mask {
    prefix: Prefix,
    /// Tokens in the cache already.
    past: usize,
    /// Tokens of this chunk.
    new: usize,
}

impl Mask {
    /// The mask for `new` tokens after `past`. What sees all of the prefix must lie in this chunk or in the cache as a
    /// whole: a part of it, run alone, would never see the rest.
    pub(crate) fn new(prefix: Prefix, past: usize, new: usize) -> Result<Mask, Error> {
        let Prefix { far, length } = prefix;
        let end = past + new;
        let is_split = |place: usize| far < place && place < length;
        if is_split(past) || is_split(end) {
            return Err(Error::Input(format!(
                "a prefix of {length} tokens was split: {past} are in the cache and the chunk has {new}; run all of it but \
                 the first {far} at once"
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
        let before = self.past + row + 1;
        if before <= self.prefix.far {
            return before;
        }
        // A chunk that has some of these has all of them.
        self.prefix.length.max(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONES: Prefix = Prefix { far: 3, length: 5 };

    #[track_caller]
    fn check(prefix: impl Into<Prefix>, past: usize, new: usize, visible: &[usize]) {
        let mask = Mask::new(prefix.into(), past, new).unwrap();
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
    fn the_far_zone_looks_back_and_the_rest_of_part_a_sees_all() {
        check(ZONES, 0, 7, &[1, 2, 3, 5, 5, 6, 7]);
        check(ZONES, 0, 2, &[1, 2]);
        check(ZONES, 2, 1, &[3]);
        check(ZONES, 2, 3, &[3, 5, 5]);
        check(ZONES, 3, 4, &[5, 5, 6, 7]);
        check(ZONES, 6, 2, &[7, 8]);
    }

    #[test]
    fn a_split_prefix_is_refused() {
        assert!(Mask::new(4.into(), 0, 3).is_err());
        assert!(Mask::new(4.into(), 2, 5).is_err());
        for (past, new) in [(0, 4), (2, 2), (3, 1), (4, 3)] {
            assert!(Mask::new(ZONES, past, new).is_err(), "{new} after {past}");
        }
    }

    #[test]
    fn what_stays_true_is_the_far_zone_or_all() {
        let settled = [0, 2, 3, 4, 5, 9].map(|count| ZONES.settled(count));
        assert_eq!(settled, [0, 2, 3, 3, 5, 9]);
        assert_eq!(
            [2, 4, 7].map(|count| Prefix::from(4).settled(count)),
            [0, 4, 7]
        );
        assert_eq!(Prefix::default().settled(7), 7);
    }
}
