//! Strings that a text may start with: the dictionary of the unigram search and of symbols that
//! are never cut.
//!
//! A sorted list does for a trie: all strings with a given start lie side by side, so each further
//! byte narrows a range by two binary searches. The first byte has a table.

use std::ops::Range;

/// Strings, each with its id.
pub(crate) struct Prefixes {
    sorted: Vec<(Box<[u8]>, u32)>,
    /// Where the strings with each first byte begin, and the end of the list.
    first: Vec<usize>,
}

impl Prefixes {
    /// A dictionary of strings that are not empty and all different.
    pub(crate) fn new<'a>(strings: impl Iterator<Item = (&'a str, u32)>) -> Prefixes {
        let mut sorted: Vec<(Box<[u8]>, u32)> = strings
            .map(|(string, id)| (string.as_bytes().into(), id))
            .collect();
        sorted.sort_unstable();
        let first = (0..=256)
            .map(|byte| sorted.partition_point(|(string, _)| usize::from(string[0]) < byte))
            .collect();
        Prefixes { sorted, first }
    }

    /// The lengths and ids of all strings that `text` starts with, shortest first.
    pub(crate) fn of<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (usize, u32)> + 'a {
        let mut range: Range<usize> = match text.first() {
            Some(&byte) => self.first[usize::from(byte)]..self.first[usize::from(byte) + 1],
            None => 0..0,
        };
        let mut len = 0;
        std::iter::from_fn(move || {
            loop {
                // The strings of the range share their first `len` bytes, at least one from here on.
                if range.is_empty() || len == text.len() {
                    return None;
                }
                if len > 0 {
                    let byte = text[len];
                    let strings = &self.sorted[range.clone()];
                    let from = strings.partition_point(|(s, _)| s.get(len) < Some(&byte));
                    let to = strings.partition_point(|(s, _)| s.get(len) <= Some(&byte));
                    range = range.start + from..range.start + to;
                }
                len += 1;
                if let Some((string, id)) = self.sorted.get(range.clone()).and_then(<[_]>::first)
                    && string.len() == len
                {
                    return Some((len, *id));
                }
            }
        })
    }

    /// The length and id of the longest string that `text` starts with.
    pub(crate) fn longest(&self, text: &[u8]) -> Option<(usize, u32)> {
        self.of(text).last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_prefixes_are_found_shortest_first() {
        let strings = ["a", "ab", "abcd", "b", "bcd", "\u{2581}", "\u{2581}a"];
        let prefixes = Prefixes::new(strings.into_iter().zip(0..));
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("x", &[]),
            ("a", &["a"]),
            ("abc", &["a", "ab"]),
            ("abcdef", &["a", "ab", "abcd"]),
            ("bc", &["b"]),
            ("\u{2582}", &[]),
            ("\u{2581}ab", &["\u{2581}", "\u{2581}a"]),
        ];
        for (text, expected) in cases {
            let found: Vec<&str> = prefixes
                .of(text.as_bytes())
                .map(|(len, id)| {
                    assert_eq!(strings[id as usize], &text[..len]);
                    &text[..len]
                })
                .collect();
            assert_eq!(found, *expected, "{text:?}");
        }
    }
}
