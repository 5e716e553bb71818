//! Token healing: which tokens may come next when the text must begin with given bytes.
//!
//! A prompt that ends inside a word, or between the bytes of a character, puts a token boundary where the model never
//! saw one. So its end is cut back to a boundary that is safe, and the bytes cut off come back as a constraint on the
//! first tokens of the answer: each must begin with what is left of them, or be a beginning of it. An answer that the
//! model would have given anyway passes unchanged, wherever its text is cut.

use std::sync::Arc;

use crate::Vocab;

/// The tokens of a vocabulary in the order of their bytes, so that those with a common beginning lie side by side.
pub(crate) struct ByBytes {
    /// The first bytes of a token, most significant first, and its id.
    sorted: Vec<(u64, u32)>,
    /// Bytes of the longest token.
    longest: usize,
}

impl ByBytes {
    /// Sorts the tokens that stand for bytes; special ones stand for none.
    pub(crate) fn new(tokens: &[Box<[u8]>]) -> ByBytes {
        let mut sorted: Vec<(u64, u32)> = (0u32..)
            .zip(tokens)
            .filter(|(_, bytes)| !bytes.is_empty())
            .map(|(id, bytes)| (first_bytes(bytes), id))
            .collect();
        // The first eight bytes settle nearly every comparison without a look at the tokens.
        sorted.sort_unstable_by(|&(a, a_id), &(b, b_id)| {
            let bytes = |id: u32| &tokens[id as usize];
            a.cmp(&b)
                .then_with(|| bytes(a_id).cmp(bytes(b_id)))
                .then(a_id.cmp(&b_id))
        });
        ByBytes {
            sorted,
            longest: tokens.iter().map(|bytes| bytes.len()).max().unwrap_or(0),
        }
    }

    /// Puts into `ids` the tokens that begin with `left` and those that are a beginning of it.
    fn fitting(&self, vocab: &Vocab, left: &[u8], ids: &mut Vec<u32>) {
        ids.clear();
        let bytes = |entry: &(u64, u32)| vocab.bytes(entry.1);
        let mut rest = &self.sorted[..];
        for length in 1..=left.len().min(self.longest) {
            // In this order a token's beginnings come before it.
            let beginning = &left[..length];
            rest = &rest[rest.partition_point(|entry| bytes(entry) < beginning)..];
            if length < left.len() {
                let equal = rest.partition_point(|entry| bytes(entry) == beginning);
                ids.extend(rest[..equal].iter().map(|&(_, id)| id));
            } else {
                let longer = rest.partition_point(|entry| bytes(entry).starts_with(left));
                ids.extend(rest[..longer].iter().map(|&(_, id)| id));
            }
        }
    }
}

/// The first eight bytes as a number that compares as they do.
fn first_bytes(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    let length = bytes.len().min(8);
    first[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(first)
}

/// The bytes that an answer must still begin with, and the tokens that they leave.
pub struct Heal {
    vocab: Arc<Vocab>,
    left: Vec<u8>,
    ids: Vec<u32>,
}

impl Heal {
    /// An answer whose text must begin with `bytes`. They may end anywhere, also inside a character.
    pub fn new(vocab: Arc<Vocab>, bytes: &[u8]) -> Heal {
        let mut heal = Heal {
            vocab,
            left: bytes.to_vec(),
            ids: Vec::new(),
        };
        heal.look_up();
        heal
    }

    /// Whether all the bytes have come; then any token may follow.
    pub fn done(&self) -> bool {
        self.left.is_empty()
    }

    /// The tokens that may come next, in no order of meaning; special ones never. Empty once [`Heal::done`], and if
    /// the vocabulary has no token for what is left.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The bytes left. After the same tokens, if one key is a beginning of another, then the tokens that the longer
    /// one allows are among those of the shorter; the empty one, of a constraint that is done, allows any.
    pub fn key(&self) -> &[u8] {
        &self.left
    }

    /// The next token has come. One that does not fit, which only a caller that ignores [`Heal::ids`] takes, ends the
    /// constraint; a special one changes nothing.
    pub fn push(&mut self, id: u32) {
        let bytes = self.vocab.bytes(id);
        if self.left.is_empty() || bytes.is_empty() {
            return;
        }
        match self.left.starts_with(bytes) {
            true => drop(self.left.drain(..bytes.len())),
            false => self.left.clear(),
        }
        self.look_up();
    }

    fn look_up(&mut self) {
        if self.left.is_empty() {
            self.ids.clear();
        } else {
            let index = self.vocab.by_bytes();
            index.fitting(&self.vocab, &self.left, &mut self.ids);
        }
    }
}

#[cfg(test)]
mod tests;
