//! What sentencepiece does to text before it cuts it: replaces characters and treats spaces.
//!
//! The rules that replace characters come compiled in the model file: a double-array trie (Darts)
//! over strings of UTF-8, whose values are places in a list of replacements that end with NUL.
//! After `Normalizer::Normalize` in sentencepiece's `normalizer.cc`.

use super::file;
use super::prefixes::Prefixes;
use crate::Error;

/// What stands for a space in pieces.
pub(crate) const SPACE: &str = "\u{2581}";

/// Where a text lies in the whole it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edges {
    /// Nothing is before it: it gets the dummy prefix, and loses spaces at its start.
    pub(crate) start: bool,
    /// Nothing comes after it: it loses spaces at its end.
    pub(crate) end: bool,
}

/// The rules of one model.
pub(crate) struct Normalizer {
    rules: Option<Rules>,
    dummy_prefix: bool,
    squeeze: bool,
    escape: bool,
}

impl Normalizer {
    /// Reads what `file` says.
    pub(crate) fn new(file: &'static str, normal: &file::Normal) -> Result<Normalizer, Error> {
        let rules = match normal.rules.as_slice() {
            [] => None,
            blob => Some(Rules::read(blob).ok_or_else(|| {
                let problem = "the compiled rules are damaged (precompiled_charsmap)";
                Error::broken(file, "normalizer_spec", problem)
            })?),
        };
        Ok(Normalizer {
            rules,
            dummy_prefix: normal.dummy_prefix,
            squeeze: normal.squeeze,
            escape: normal.escape,
        })
    }

    /// `text` as it is cut into pieces; `whole` are symbols that no rule touches.
    pub(crate) fn apply(&self, text: &str, edges: Edges, whole: &Prefixes) -> String {
        let mut rest = text;
        if self.squeeze && edges.start {
            rest = self.after_spaces(rest, whole);
        }
        let mut normal = String::with_capacity(text.len() * 2);
        if self.dummy_prefix && edges.start {
            normal.push_str(self.space());
        }
        let mut after_space = self.squeeze && edges.start;
        while !rest.is_empty() {
            let (mut part, len) = self.step(rest, whole);
            rest = &rest[len..];
            if after_space {
                part = part.trim_start_matches(' ');
            }
            if !part.is_empty() {
                after_space = self.squeeze && part.ends_with(' ');
            }
            for (place, words) in part.split(' ').enumerate() {
                if place > 0 {
                    normal.push_str(self.space());
                }
                normal.push_str(words);
            }
        }
        if self.squeeze && edges.end {
            let kept = normal.trim_end_matches(self.space()).len();
            normal.truncate(kept);
        }
        normal
    }

    /// Whether nothing is left of a whole text.
    pub(crate) fn is_blank(&self, text: &str, whole: &Prefixes) -> bool {
        text.is_empty() || (self.squeeze && self.after_spaces(text, whole).is_empty())
    }

    fn space(&self) -> &'static str {
        if self.escape { SPACE } else { " " }
    }

    fn after_spaces<'a>(&self, mut text: &'a str, whole: &Prefixes) -> &'a str {
        while !text.is_empty() {
            match self.step(text, whole) {
                (" ", len) => text = &text[len..],
                _ => break,
            }
        }
        text
    }

    /// What the start of `text`, which is not empty, becomes, and how long that start is.
    fn step<'a>(&'a self, text: &'a str, whole: &Prefixes) -> (&'a str, usize) {
        if let Some((len, _)) = whole.longest(text.as_bytes()) {
            return (&text[..len], len);
        }
        if let Some(replaced) = self.rules.as_ref().and_then(|rules| rules.longest(text)) {
            return replaced;
        }
        let len = text.chars().next().map_or(0, char::len_utf8);
        (&text[..len], len)
    }
}

/// Compiled rules.
struct Rules {
    units: Vec<u32>,
    /// The replacements, each up to a NUL.
    list: String,
}

impl Rules {
    fn read(blob: &[u8]) -> Option<Rules> {
        let (len, rest) = blob.split_at_checked(4)?;
        let len = u32::from_le_bytes(len.try_into().ok()?) as usize;
        let (trie, list) = rest.split_at_checked(len)?;
        if trie.is_empty() || !len.is_multiple_of(4) {
            return None;
        }
        let units = trie
            .chunks_exact(4)
            .map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]))
            .collect();
        let list = String::from_utf8(list.to_vec()).ok()?;
        Some(Rules { units, list })
    }

    /// What the longest rule for the start of `text` puts there, and how long that start is.
    ///
    /// A damaged trie gives fewer or other rules, never one that splits a character.
    fn longest(&self, text: &str) -> Option<(&str, usize)> {
        let offset = |unit: u32| (unit >> 10) << ((unit & (1 << 9)) >> 6);
        let mut found = None;
        let mut place = offset(*self.units.first()?);
        for (index, byte) in text.bytes().enumerate() {
            place ^= u32::from(byte);
            let Some(&unit) = self.units.get(place as usize) else {
                break;
            };
            // The label; the top bit marks units that are values.
            if unit & ((1 << 31) | 0xff) != u32::from(byte) {
                break;
            }
            place ^= offset(unit);
            let has_value = unit & (1 << 8) != 0;
            if has_value
                && text.is_char_boundary(index + 1)
                && let Some(value) = self.units.get(place as usize)
                && let Some(replacement) = self.list.get((value & !(1 << 31)) as usize..)
            {
                let end = replacement.find('\0').unwrap_or(replacement.len());
                found = Some((&replacement[..end], index + 1));
            }
        }
        found
    }
}
