//! Which brackets and quotes of a text belong together, as an editor that closes them by itself would see it.
//!
//! By looking alone, for any language: good enough to type a text the way a person does, since what is typed is right
//! whatever pairs are found.

use std::collections::HashMap;

/// Pairs of places in a text, in bytes: each opener's closer, and back.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    closer: HashMap<usize, usize>,
    opener: HashMap<usize, usize>,
}

impl Pairs {
    /// Finds them. They nest; an opener or closer that is alone, or that crosses another pair, is in none.
    pub fn of(text: &str) -> Pairs {
        let mut pairs = Pairs::default();
        let mut open: Vec<(usize, char)> = Vec::new();
        let mut chars = text.char_indices();
        let mut previous = ' ';
        while let Some((at, char)) = chars.next() {
            if let Some(end) = quoted(text, at, char, previous) {
                pairs.add(at, end);
                // A quote's inside is opaque.
                chars.by_ref().find(|&(at, _)| at == end);
            } else if closer_of(char).is_some() {
                open.push((at, char));
            } else if let Some(place) = open
                .iter()
                .rposition(|&(_, left)| closer_of(left) == Some(char))
            {
                pairs.add(open[place].0, at);
                open.truncate(place);
            }
            previous = char;
        }
        pairs
    }

    /// Where the pair closes that opens here.
    pub fn closer(&self, opener: usize) -> Option<usize> {
        self.closer.get(&opener).copied()
    }

    /// Where the pair opens that closes here.
    pub fn opener(&self, closer: usize) -> Option<usize> {
        self.opener.get(&closer).copied()
    }

    /// Whether no pair has one end in this range and one outside it.
    pub fn are_whole_in(&self, start: usize, end: usize) -> bool {
        let inside = start..end;
        (start..end).all(|at| {
            let ends = [self.closer(at), self.opener(at)];
            ends.iter().flatten().all(|other| inside.contains(other))
        })
    }

    fn add(&mut self, opener: usize, closer: usize) {
        self.closer.insert(opener, closer);
        self.opener.insert(closer, opener);
    }
}

/// The closer of an opening bracket.
fn closer_of(char: char) -> Option<char> {
    match char {
        '(' => Some(')'),
        '[' => Some(']'),
        '{' => Some('}'),
        _ => None,
    }
}

/// Where the quote that begins at `at` ends, on the same line. An apostrophe in a word and Rust's lifetimes are none.
fn quoted(text: &str, at: usize, char: char, previous: char) -> Option<usize> {
    let is_quote = match char {
        '"' | '`' => !previous.is_alphanumeric(),
        '\'' => !previous.is_alphanumeric() && !matches!(previous, '&' | '<' | '_'),
        _ => false,
    };
    if !is_quote {
        return None;
    }
    let start = at + char.len_utf8();
    let mut is_escaped = false;
    for (place, found) in text[start..].char_indices() {
        match found {
            '\n' => return None,
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            found if found == char => return Some(start + place),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_nest_and_quotes_are_opaque() {
        // Each text has `^` under one opener and `$` under its closer, or no `$` if there is none.
        for (text, marks) in [
            ("f(a, b)", " ^    $"),
            ("f(a[0])", "   ^ $ "),
            ("f(\")\", x)", " ^      $"),
            ("f(\")\", x)", "  ^ $    "),
            ("don't 'a'", "      ^ $"),
            ("<'a>(&'a str)", "    ^       $"),
            ("x(]", " ^ "),
            ("(]{)}", "^  $ "),
            ("(]{)}", "  ^  "),
            (r#""\"" x"#, r"^  $  "),
        ] {
            let pairs = Pairs::of(text);
            let opener = marks.find('^').unwrap();
            assert_eq!(pairs.closer(opener), marks.find('$'), "{text}");
        }
    }

    #[test]
    fn a_range_is_whole_if_no_pair_leaves_it() {
        let pairs = Pairs::of("f(a) [b");
        assert!(pairs.are_whole_in(0, 4) && pairs.are_whole_in(4, 7));
        assert!(!pairs.are_whole_in(0, 3) && !pairs.are_whole_in(2, 5));
    }
}
