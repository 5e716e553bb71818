//! Byte-pair merging by priority: the algorithm that sentencepiece's BPE and tiktoken share.
//!
//! Takes a text cut into symbols and a priority for every pair of neighbours that may join; gives
//! the symbols that are left when no pair may. The best pair joins first, the leftmost of equals.
//! A list of merges cannot say the same: there, no two ways to spell a token are equal.
//!
//! After `SampleEncode` in sentencepiece's `bpe_model.cc`; O(n log n) for n symbols.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// A piece of the text on its way to become a token.
#[derive(Debug, Clone)]
pub(crate) struct Symbol {
    /// Where it lies in the text, in bytes; empty once it has joined its left neighbour.
    pub(crate) range: Range<usize>,
    /// Whether it stays as it is, whatever lies beside it.
    pub(crate) frozen: bool,
}

/// Joins neighbours until no pair has a priority. `priority` is asked with the range of the left
/// and of the right symbol, and answers `None` where the two make no token; more is better.
pub(crate) fn merge<P: Ord>(
    mut symbols: Vec<Symbol>,
    mut priority: impl FnMut(Range<usize>, Range<usize>) -> Option<P>,
) -> Vec<Range<usize>> {
    const NONE: usize = usize::MAX;
    let count = symbols.len();
    let mut before: Vec<usize> = (0..count)
        .map(|i| i.checked_sub(1).unwrap_or(NONE))
        .collect();
    let mut after: Vec<usize> = (1..=count).collect();
    if let Some(last) = after.last_mut() {
        *last = NONE;
    }
    // Best priority first, then leftmost; then what is needed to see whether it still holds.
    let mut agenda: BinaryHeap<(P, Reverse<usize>, usize, usize)> = BinaryHeap::new();
    let mut propose = |agenda: &mut BinaryHeap<_>, symbols: &[Symbol], left, right| {
        if left == NONE || right == NONE {
            return;
        }
        let (a, b): (&Symbol, &Symbol) = (&symbols[left], &symbols[right]);
        if a.frozen || b.frozen {
            return;
        }
        if let Some(priority) = priority(a.range.clone(), b.range.clone()) {
            agenda.push((
                priority,
                Reverse(left),
                right,
                a.range.len() + b.range.len(),
            ));
        }
    };
    for right in 1..count {
        propose(&mut agenda, &symbols, right - 1, right);
    }
    while let Some((_, Reverse(left), right, len)) = agenda.pop() {
        let (a, b) = (symbols[left].range.clone(), symbols[right].range.clone());
        if a.is_empty() || b.is_empty() || a.len() + b.len() != len {
            continue;
        }
        symbols[left].range = a.start..b.end;
        symbols[right].range = b.end..b.end;
        after[left] = after[right];
        if after[left] != NONE {
            before[after[left]] = left;
        }
        propose(&mut agenda, &symbols, before[left], left);
        propose(&mut agenda, &symbols, left, after[left]);
    }
    symbols.retain(|symbol| !symbol.range.is_empty());
    symbols.into_iter().map(|symbol| symbol.range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of `text` when these tokens join, earlier ones first.
    fn pieces(text: &str, tokens: &[&str]) -> Vec<String> {
        let symbols = (0..text.len())
            .map(|i| Symbol {
                range: i..i + 1,
                frozen: &text[i..=i] == "|",
            })
            .collect();
        let ranges = merge(symbols, |left, right| {
            let token = &text[left.start..right.end];
            tokens.iter().position(|t| *t == token).map(Reverse)
        });
        ranges
            .into_iter()
            .map(|range| text[range].to_owned())
            .collect()
    }

    #[test]
    fn the_best_pair_joins_first_and_the_leftmost_of_equals() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("", &[], &[]),
            ("a", &[], &["a"]),
            ("abc", &["bc", "ab"], &["a", "bc"]),
            ("abc", &["ab", "bc"], &["ab", "c"]),
            ("aaaaa", &["aa", "aaa"], &["aa", "aaa"]),
            ("aaaaa", &["aa", "aaaa"], &["aaaa", "a"]),
            ("abab", &["ab", "abab"], &["abab"]),
            ("a|aa", &["a|", "|a", "aa"], &["a", "|", "aa"]),
        ];
        for (text, tokens, expected) in cases {
            assert_eq!(pieces(text, tokens), *expected, "{text:?} with {tokens:?}");
        }
    }
}
