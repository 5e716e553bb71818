//! Texts that end an answer, found while it comes.
//!
//! What may be the beginning of one is held back until it is clear that it is not.

/// Looks for the texts that end one answer.
#[derive(Debug, Default)]
pub struct Stops {
    texts: Vec<String>,
    /// The end of what came, which may be the beginning of one of them.
    held: String,
}

/// What is known once another piece has come.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What surely belongs to the answer.
    pub released: String,
    /// What does if nothing more comes.
    pub held: String,
    /// The text that has come and ends the answer.
    pub stop: Option<String>,
}

impl Stops {
    /// For these texts, none of which is empty.
    pub fn new(texts: Vec<String>) -> Stops {
        Stops {
            texts,
            held: String::new(),
        }
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &str) -> Heard {
        let mut text = std::mem::take(&mut self.held) + piece;
        let found = self
            .texts
            .iter()
            .filter_map(|stop| Some((text.find(&**stop)?, stop)));
        // Of several at one place, the one that says most.
        let first = found.min_by_key(|(at, stop)| (*at, std::cmp::Reverse(stop.len())));
        if let Some((at, stop)) = first {
            text.truncate(at);
            return Heard {
                released: text,
                held: String::new(),
                stop: Some(stop.clone()),
            };
        }
        let begins = |at: &usize| self.texts.iter().any(|stop| stop.starts_with(&text[*at..]));
        let at = text.char_indices().map(|(at, _)| at).find(begins);
        self.held = text.split_off(at.unwrap_or(text.len()));
        Heard {
            released: text,
            held: self.held.clone(),
            stop: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was released piece by piece, what was held at the end, and what ended it.
    fn hear(stops: &[&str], pieces: &[&str]) -> (Vec<String>, String, Option<String>) {
        let mut listener = Stops::new(stops.iter().map(|&stop| stop.to_owned()).collect());
        let mut released = Vec::new();
        let mut last = Heard::default();
        for piece in pieces {
            last = listener.push(piece);
            released.push(last.released.clone());
            if last.stop.is_some() {
                break;
            }
        }
        (released, last.held, last.stop)
    }

    #[test]
    fn a_stop_is_found_across_pieces_and_what_may_be_one_is_held() {
        let table = [
            (
                &["END"][..],
                &["a", "bE", "N", "Dc"][..],
                &["a", "b", "", ""][..],
                "",
                Some("END"),
            ),
            (
                &["END"],
                &["a EN", "Ox", "E"],
                &["a ", "ENOx", ""],
                "E",
                None,
            ),
            (
                &["\n\n"],
                &["x\n", "y\n", "\nz"],
                &["x", "\ny", ""],
                "",
                Some("\n\n"),
            ),
            (&["aab"], &["aa", "ab"], &["", "a"], "", Some("aab")),
            (&["é!"], &["é", "é!"], &["", "é"], "", Some("é!")),
            (&["b", "abc"], &["a", "b"], &["", "a"], "", Some("b")),
            (&["ab", "abc"], &["abc"], &[""], "", Some("abc")),
            (&[], &["anything", ""], &["anything", ""], "", None),
        ];
        for (stops, pieces, released, held, stop) in table {
            let (found, rest, end) = hear(stops, pieces);
            assert_eq!(found, released, "{stops:?} {pieces:?}");
            assert_eq!(
                (&*rest, end.as_deref()),
                (held, stop),
                "{stops:?} {pieces:?}"
            );
        }
    }

    #[test]
    fn nothing_is_lost_and_nothing_comes_twice() {
        let text = "a stop, a sto, a stst, stop";
        for cut in 1..6 {
            let mut listener = Stops::new(vec!["stop!".to_owned(), "tst?".to_owned()]);
            let characters: Vec<char> = text.chars().collect();
            let pieces = characters
                .chunks(cut)
                .map(|piece| piece.iter().collect::<String>());
            let mut said = String::new();
            let mut held = String::new();
            for piece in pieces {
                let heard = listener.push(&piece);
                said += &heard.released;
                held = heard.held;
            }
            assert_eq!(said + &held, text, "{cut}");
        }
    }
}
