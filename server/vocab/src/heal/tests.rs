//! The constraint against its definition, and against a make-believe model that decodes under it.

use std::collections::BTreeSet;

use super::*;
use crate::fixture;

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// A model: the score of a token after others, from nothing but a hash. Long tokens are liked, so that texts have
/// words in them.
fn score(vocab: &Vocab, before: &[u32], id: u32) -> u64 {
    let mix = |sum: u64, id: &u32| (sum ^ u64::from(*id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let recent = &before[before.len().saturating_sub(3)..];
    let hash = recent.iter().chain([&id]).fold(0x51, mix) >> 32;
    hash * vocab.bytes(id).len().min(4) as u64
}

/// The model's favourite among the tokens that may come next.
fn greedy(vocab: &Vocab, before: &[u32], heal: &Heal) -> u32 {
    let all: Vec<u32> = (0..vocab.len() as u32)
        .filter(|&id| !vocab.bytes(id).is_empty())
        .collect();
    let ids = if heal.done() { &all[..] } else { heal.ids() };
    let best = ids
        .iter()
        .max_by_key(|&&id| (score(vocab, before, id), std::cmp::Reverse(id)));
    *best.expect("a byte-level vocabulary fits everything")
}

/// What the model writes after `before` if it must begin with `head`.
fn write(vocab: &Arc<Vocab>, before: &[u32], head: &[u8], count: usize) -> Vec<u32> {
    let mut heal = Heal::new(vocab.clone(), head);
    let mut ids = before.to_vec();
    for _ in 0..count {
        let id = greedy(vocab, &ids, &heal);
        heal.push(id);
        ids.push(id);
    }
    ids.split_off(before.len())
}

fn bytes(vocab: &Vocab, ids: &[u32]) -> Vec<u8> {
    ids.iter()
        .flat_map(|&id| vocab.bytes(id))
        .copied()
        .collect()
}

fn vocab() -> Arc<Vocab> {
    Arc::new(fixture::vocab())
}

/// Bytes such as a cut leaves: of the page that the vocabulary comes from, of other scripts, of no text at all.
fn some_bytes(random: &mut Random) -> Vec<u8> {
    const TEXTS: [&str; 3] = [
        "    return width * height\n\n\nclass Point:\n    def __init__(self, x, y):",
        "grüße 世界 😀 pub fn insert(&mut self, key: String)",
        "\t\t}\r\n std::mem::replace",
    ];
    if random.below(8) == 0 {
        return (0..1 + random.below(5))
            .map(|_| random.below(256) as u8)
            .collect();
    }
    let text = TEXTS[random.below(3)].as_bytes();
    let start = random.below(text.len());
    let end = (start + 1 + random.below(14)).min(text.len());
    text[start..end].to_vec()
}

#[test]
fn the_tokens_are_those_of_the_definition() {
    let vocab = vocab();
    let mut random = Random(1);
    for _ in 0..300 {
        let left = some_bytes(&mut random);
        let heal = Heal::new(vocab.clone(), &left);
        let fits = |bytes: &[u8]| {
            !bytes.is_empty() && (bytes.starts_with(&left) || left.starts_with(bytes))
        };
        let expected: BTreeSet<u32> = (0..vocab.len() as u32)
            .filter(|&id| fits(vocab.bytes(id)))
            .collect();
        let got: BTreeSet<u32> = heal.ids().iter().copied().collect();
        assert_eq!(got, expected, "{left:?}");
        assert_eq!(got.len(), heal.ids().len(), "none comes twice: {left:?}");
    }
}

#[test]
fn what_comes_begins_with_the_bytes() {
    let vocab = vocab();
    let mut random = Random(2);
    for _ in 0..200 {
        let head = some_bytes(&mut random);
        let before: Vec<u32> = (0..3).map(|_| random.below(700) as u32).collect();
        let text = bytes(&vocab, &write(&vocab, &before, &head, head.len()));
        assert!(text.starts_with(&head), "{head:?}: {text:?}");
    }
}

#[test]
fn a_longer_key_allows_no_more() {
    let vocab = vocab();
    let mut random = Random(3);
    for _ in 0..200 {
        let long = some_bytes(&mut random);
        let mut longer = Heal::new(vocab.clone(), &long);
        let mut shorter = Heal::new(vocab.clone(), &long[..random.below(long.len() + 1)]);
        while !longer.done() {
            assert!(longer.key().starts_with(shorter.key()));
            let allowed: BTreeSet<_> = shorter.ids().iter().collect();
            assert!(shorter.done() || longer.ids().iter().all(|id| allowed.contains(id)));
            let id = longer.ids()[random.below(longer.ids().len())];
            longer.push(id);
            shorter.push(id);
        }
        assert!(shorter.done());
    }
}

#[test]
fn a_text_cut_anywhere_is_written_again() {
    let vocab = vocab();
    let mut random = Random(4);
    for _ in 0..30 {
        let before: Vec<u32> = (0..3).map(|_| random.below(700) as u32).collect();
        let whole = write(&vocab, &before, b"", 12);
        let text = bytes(&vocab, &whole);
        for cut in 0..text.len() {
            assert_eq!(write(&vocab, &before, &text[..cut], 12), whole, "at {cut}");
            // The same if the prompt already holds the tokens before the cut, or all but the last few of them.
            let mut kept = random.below(13);
            while bytes(&vocab, &whole[..kept]).len() > cut {
                kept -= 1;
            }
            let head = &text[bytes(&vocab, &whole[..kept]).len()..cut];
            let prompt = [&before[..], &whole[..kept]].concat();
            assert_eq!(write(&vocab, &prompt, head, 12 - kept), whole[kept..]);
        }
    }
}

#[test]
fn special_tokens_neither_fit_nor_change_anything() {
    let vocab = vocab();
    let special = vocab.special().unwrap();
    let mut heal = Heal::new(vocab.clone(), b"[MASK");
    assert!(!heal.ids().contains(&special.mask));
    heal.push(special.eop);
    assert_eq!(heal.key(), b"[MASK");
    heal.push(vocab.byte_id(b'['));
    assert_eq!(heal.key(), b"MASK");
    heal.push(vocab.byte_id(b'x'));
    assert!(heal.done() && heal.ids().is_empty() && heal.key().is_empty());
}
