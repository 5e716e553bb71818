//! Whether a vocabulary treats every line by itself.
//!
//! If it does, the ids of a text are those of its lines in turn, and whoever cuts a text at line
//! starts may encode the lines apart. Files do not say so; it is found out, first from the tokens
//! (none may go on after a line end), then by trial on all short texts of the characters that
//! pre-tokenizers treat apart.

/// What texts are made of.
const CHARACTERS: [char; 6] = ['a', ' ', '\n', '\r', '\t', '('];

/// How long the texts are, in characters.
const LONGEST: u32 = 4;

/// Whether lines are independent, given the bytes of all tokens and how text is encoded.
pub(crate) fn are_local(tokens: &[Box<[u8]>], encode: impl Fn(&str) -> Vec<u32>) -> bool {
    if tokens.iter().any(|token| crosses(token)) {
        return false;
    }
    let base = CHARACTERS.len();
    for len in 2..=LONGEST {
        for number in 0..base.pow(len) {
            let text: String = (0..len)
                .map(|place| CHARACTERS[number / base.pow(place) % base])
                .collect();
            if !crosses(text.as_bytes()) {
                continue;
            }
            let by_line: Vec<u32> = lines(&text).flat_map(&encode).collect();
            if encode(&text) != by_line {
                return false;
            }
        }
    }
    true
}

/// Whether there is a line start inside.
fn crosses(bytes: &[u8]) -> bool {
    bytes
        .windows(2)
        .any(|pair| pair[0] == b'\n' || (pair[0] == b'\r' && pair[1] != b'\n'))
}

/// The lines of a text, each with its end: `\n`, `\r\n` or `\r`.
fn lines(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let end = text.find(['\n', '\r']).map_or(text.len(), |at| {
            at + if text[at..].starts_with("\r\n") { 2 } else { 1 }
        });
        let (line, rest) = text.split_at(end);
        text = rest;
        Some(line)
    })
}
