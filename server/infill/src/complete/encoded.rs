//! The text around blanks as tokens, encoded line by line: a line that was encoded for an earlier blank of the document
//! is not encoded again.
//!
//! Right for vocabularies no token of which crosses the start of a line, as `server/pretrain/tokenizer.py` makes them;
//! with others the tokens at line ends may be shorter ones than those of the whole text.

use std::collections::HashMap;
use std::sync::Arc;

use vocab::Vocab;

/// The tokens of the lines that were seen last.
#[derive(Default)]
pub struct Lines {
    known: HashMap<Box<str>, Box<[u32]>>,
}

impl Lines {
    /// The tokens of these texts. Their lines are known then, and no others.
    pub fn encode<const N: usize>(&mut self, texts: [String; N], vocab: &Vocab) -> [Arc<[u32]>; N] {
        let mut known = HashMap::new();
        let encoded = texts.map(|text| {
            let mut ids: Vec<u32> = Vec::new();
            for line in text.split_inclusive('\n') {
                // The same line may come twice.
                let kept = known
                    .remove_entry(line)
                    .or_else(|| self.known.remove_entry(line));
                let (line, tokens) =
                    kept.unwrap_or_else(|| (line.into(), vocab.encode(line).into()));
                ids.extend_from_slice(&tokens);
                known.insert(line, tokens);
            }
            ids.into()
        });
        self.known = known;
        encoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_give_the_tokens_of_the_whole_text_and_old_ones_are_forgotten() {
        let vocab = vocab::fixture::vocab();
        let mut lines = Lines::default();
        let text = "fn f() {\n    x\n}\n\nfn g() {\n    x\n}";
        for (left, right) in [(text, ""), ("x = 1\r\n", text), ("", "x = 1\n")] {
            let [one, other] = lines.encode([left.to_owned(), right.to_owned()], &vocab);
            assert_eq!(*one, *vocab.encode(left), "{left}");
            assert_eq!(*other, *vocab.encode(right), "{right}");
        }
        assert_eq!(lines.known.len(), 1);
    }
}
