//! A tiny vocabulary for tests: a byte-level BPE trained on the spot on a page of code.
//!
//! It has the pre-tokenizer and the special tokens of the real one and some 700 ids, is the same on
//! every run, and needs no file.

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    SplitDelimiterBehavior, TokenizerBuilder,
};

use crate::Vocab;

/// Where text may be cut into words before BPE: no piece crosses the start of a line.
const PIECES: &str =
    r"\r?\n|\r|[ ]{2,}|\t+|[^\r\n\t\p{L}\p{N}_]?[\p{L}_]+|\p{N}{1,3}| ?[^\s\p{L}\p{N}_]+|\s";

/// The words of GLM-4's vocabularies: marks take the line ends behind them along, and a run of blank
/// lines is one word.
const PIECES_ACROSS_LINES: &str =
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const SPECIAL: [&str; 7] = [
    "[MASK]",
    "[sMASK]",
    "[gMASK]",
    "<|startofpiece|>",
    "<|endofpiece|>",
    "[CLS]",
    "<|endoftext|>",
];

const TEXT: &str = r#"
# language: Python
def area(width, height):
    """Return the area of a rectangle."""
    if width < 0 or height < 0:
        raise ValueError("negative size")
    return width * height

class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def norm(self):
        return (self.x * self.x + self.y * self.y) ** 0.5

for item in items:
    print(item.name, len(items))

// language: Rust
pub fn insert(&mut self, key: String, value: usize) -> Option<usize> {
    let index = self.index_of(&key)?;
    match self.entries.get_mut(index) {
        Some(entry) => Some(std::mem::replace(&mut entry.value, value)),
        None => None,
    }
}

// language: TypeScript
export function first<T>(items: T[]): T | undefined {
    const result = items.filter((item) => item !== null);
    return result.length > 0 ? result[0] : undefined;
}

// language: Go
func (s *Server) Start(ctx context.Context) error {
	if err := s.listen(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

// language: Java
public static void main(String[] args) {
    System.out.println("hello, world");
    for (int i = 0; i < args.length; i++) {
        String name = args[i];
    }
}

// language: C++
#include <vector>
template <typename T> class Stack {
    std::vector<T> items;
};
"#;

/// The vocabulary itself.
pub fn vocab() -> Vocab {
    Vocab::from_json(tokenizer_json().as_bytes()).expect("the fixture has all it needs")
}

/// The same page of code with other special tokens: those of another family's vocabulary.
pub fn with_special(special: &[&str]) -> Vocab {
    let json = tokenizer_json_with(special);
    Vocab::from_json(json.as_bytes()).expect("the fixture has all it needs")
}

/// That vocabulary as a `tokenizer.json`.
pub fn tokenizer_json_with(special: &[&str]) -> String {
    json(special, PIECES)
}

/// A vocabulary with tokens that cross the start of a line.
pub fn across_lines() -> Vocab {
    let json = json(&SPECIAL, PIECES_ACROSS_LINES);
    Vocab::from_json(json.as_bytes()).expect("the fixture has all it needs")
}

/// The vocabulary as a `tokenizer.json`.
pub fn tokenizer_json() -> String {
    json(&SPECIAL, PIECES)
}

fn json(special: &[&str], pieces: &str) -> String {
    let split = Split::new(
        SplitPattern::Regex(pieces.into()),
        SplitDelimiterBehavior::Isolated,
        false,
    )
    .expect("the pattern is a valid regular expression");
    let pieces: [PreTokenizerWrapper; 2] =
        [split.into(), ByteLevel::new(false, false, false).into()];
    let mut tokenizer = TokenizerBuilder::<
        BPE,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >::new()
    .with_model(BPE::default())
    .with_pre_tokenizer(Some(Sequence::new(pieces.into()).into()))
    .with_decoder(Some(ByteLevel::default().into()))
    .build()
    .expect("the model is given");
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(700)
        .min_frequency(2)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(
            special
                .iter()
                .map(|&token| AddedToken::from(token, true))
                .collect(),
        )
        .build();
    tokenizer
        .train(&mut trainer, [TEXT].into_iter())
        .expect("training on a page of text works");
    tokenizer
        .to_string(false)
        .expect("a tokenizer can be written as JSON")
}
