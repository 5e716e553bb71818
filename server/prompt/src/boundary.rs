//! Where a text that goes on can be cut so that its tokens stay what they are.
//!
//! A tokenizer takes the longest pieces that it knows, so the last tokens of a text depend on what
//! comes after them: `retu` is two tokens, `return` is one. What stands before the last word is
//! safe. The rest is for token healing: the model is made to write it itself, and may write more.

use vocab::Vocab;

/// Bytes at the end of a text that are looked at: a longer word is no word.
const REACH: usize = 128;

/// Words that every vocabulary of code has as one token with the blank or sign before it, if it takes
/// the two together at all.
const WORDS: [&str; 5] = ["x", "self", "return", "is", "the"];

/// The same for signs.
const SIGNS: [&str; 5] = ["=", "(", "==", "->", "//"];

/// How many bytes of `text` are whole tokens, whatever follows.
///
/// The cut is at the start of the last word, with what stands before it if the vocabulary may take
/// the two together; of a text that ends with blanks, where the next word's token may begin. All of
/// `text` where a vocabulary's tokens do not tell which bytes they came from (sentencepiece that
/// normalizes, WordPiece).
pub(crate) fn settled(vocab: &Vocab, text: &str) -> usize {
    let Some(last) = text.chars().next_back() else {
        return 0;
    };
    let mut near = text.len().saturating_sub(REACH)..text.len();
    let from = near.find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let from = from + text[from..].rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let tail = &text[from..];
    let start = match Class::of(last) {
        Class::Blank => tail.len(),
        class => tail.trim_end_matches(|c| Class::of(c) == class).len(),
    };
    let words = match Class::of(last) {
        Class::Word => &WORDS[..],
        Class::Sign => &SIGNS[..],
        Class::Blank => &[WORDS, SIGNS].concat(),
    };
    let mut common: Option<Vec<usize>> = None;
    for probe in [tail.to_owned()]
        .into_iter()
        .chain(words.iter().map(|word| format!("{}{word}", &tail[..start])))
    {
        let Some(ends) = token_ends(vocab, &probe) else {
            return text.len();
        };
        common = Some(match common {
            None => ends,
            Some(common) => common
                .into_iter()
                .filter(|end| ends.contains(end))
                .collect(),
        });
    }
    let ends = common.unwrap_or_default().into_iter();
    let safe = ends
        .filter(|&end| end <= start && tail.is_char_boundary(end))
        .max();
    from + safe.unwrap_or(0)
}

/// Where the tokens of a text end, in bytes, if they tell.
fn token_ends(vocab: &Vocab, text: &str) -> Option<Vec<usize>> {
    let mut end = 0;
    let ends: Vec<usize> = vocab
        .encode(text)
        .into_iter()
        .map(|id| {
            end += vocab.bytes(id).len();
            end
        })
        .collect();
    (end == text.len()).then_some(ends)
}

/// Characters that tokenizers take together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Blank,
    Word,
    Sign,
}

impl Class {
    fn of(c: char) -> Class {
        if c.is_whitespace() {
            Class::Blank
        } else if c.is_alphanumeric() || c == '_' {
            Class::Word
        } else {
            Class::Sign
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocab::fixture;

    /// `¦` marks the cut.
    #[test]
    fn the_last_word_is_open_and_all_before_it_is_settled() {
        let vocab = fixture::vocab();
        for marked in [
            "¦",
            "¦retu",
            "    ¦retu",
            "x =¦ val",
            "x =¦ ",
            "f¦(",
            "a¦.b_1",
            "if x:\n¦",
            "if x:\n    ¦",
            "if x:\n    ¦ret",
            "s = '¦世界",
            "é¦()",
        ] {
            let text = marked.replace('¦', "");
            let cut = settled(&vocab, &text);
            assert_eq!(format!("{}¦{}", &text[..cut], &text[cut..]), marked);
        }
    }

    /// Whatever is typed on, the ids before the cut are those of the longer text. Blanks count as
    /// all that will be typed of them.
    #[test]
    fn ids_before_the_cut_never_change() {
        for vocab in [fixture::vocab(), fixture::across_lines()] {
            let text = "if value == 10:\n    return self.total(a, b)  # größer\n\ndone = {}\n";
            let cuts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            let whole = vocab.encode(text);
            for at in cuts.filter(|&at| !text[at..].starts_with(char::is_whitespace)) {
                let cut = settled(&vocab, &text[..at]);
                let ids = vocab.encode(&text[..cut]);
                if vocab.is_line_local() {
                    assert!(
                        whole.starts_with(&ids),
                        "{:?} of {:?}",
                        &text[..cut],
                        &text[..at]
                    );
                }
                assert_eq!(vocab.decode(&ids), text[..cut]);
            }
        }
    }
}
