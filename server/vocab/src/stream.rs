//! Token ids to text as they come: whole characters only.
//!
//! A byte-level token may end inside a UTF-8 sequence. The stream keeps such a tail back until the
//! tokens that complete it have come, so that whoever reads it sees valid text at every step.

use std::sync::Arc;

use crate::Vocab;

/// Decodes one answer token by token.
pub struct Stream {
    vocab: Arc<Vocab>,
    pending: Vec<u8>,
}

impl Stream {
    /// An empty stream over `vocab`.
    pub fn new(vocab: Arc<Vocab>) -> Stream {
        Stream {
            vocab,
            pending: Vec::new(),
        }
    }

    /// Takes the next token and gives the characters that are now complete, often none or several.
    /// Bytes that can never become a character give U+FFFD; special tokens give nothing.
    pub fn push(&mut self, id: u32) -> String {
        self.pending.extend(self.vocab.bytes(id));
        let mut text = String::new();
        let mut done = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            done += chunk.valid().len();
            let broken = chunk.invalid();
            let is_tail = done + broken.len() == self.pending.len();
            if broken.is_empty() || (is_tail && is_unfinished(broken)) {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            done += broken.len();
        }
        self.pending.drain(..done);
        text
    }
}

/// Whether more bytes could still complete this broken sequence to a character.
fn is_unfinished(broken: &[u8]) -> bool {
    std::str::from_utf8(broken).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn ids(vocab: &Vocab, bytes: &[u8]) -> Vec<u32> {
        bytes.iter().map(|&byte| vocab.byte_id(byte)).collect()
    }

    #[test]
    fn characters_come_out_whole() {
        let vocab = Arc::new(fixture::vocab());
        let mut stream = Stream::new(vocab.clone());
        let pieces: Vec<String> = ids(&vocab, "aé😀".as_bytes())
            .into_iter()
            .map(|id| stream.push(id))
            .collect();
        assert_eq!(pieces, ["a", "", "é", "", "", "", "😀"]);
    }

    #[test]
    fn bytes_that_are_no_text_become_the_replacement_character() {
        let vocab = Arc::new(fixture::vocab());
        let mut stream = Stream::new(vocab.clone());
        let pieces: Vec<String> = ids(&vocab, b"\xf0\x9fa\xff\xc3")
            .into_iter()
            .map(|id| stream.push(id))
            .collect();
        assert_eq!(pieces, ["", "", "\u{fffd}a", "\u{fffd}", ""]);
    }

    #[test]
    fn special_and_unknown_ids_are_silent() {
        let vocab = Arc::new(fixture::vocab());
        let mut stream = Stream::new(vocab.clone());
        assert_eq!(stream.push(vocab.special().unwrap().eop), "");
        assert_eq!(stream.push(u32::MAX), "");
        assert_eq!(stream.push(vocab.byte_id(b'x')), "x");
    }
}
