//! Training examples: blanks made in whole texts, with the answers that belong into them.
//!
//! Takes a snapshot with its syntax and gives [`Example`]s, drawn at random but the same for the
//! same seed. Two families are mixed ([`Mix`]): GLM's own objectives, several blanks in a window of
//! text, and blanks at the cursor of a typist, which go through [`crate::situate`]'s rules and
//! [`crate::build`], so that a model meets in training exactly what it is asked in an editor; a share of these may show
//! excerpts of other files ([`Beside`]). [`translated`] makes an example of a translation and the answer to it.

mod classic;
mod cursor;
mod pair;

use std::ops::Range;

use fastrand::Rng;
pub use pair::translated;
use text::{Snapshot, Syntax};
use vocab::{Special, Vocab};

use crate::sequence::Sequence;
use crate::template::infill_v1::{self, PartA};
use crate::tokens::Tokens;
use crate::{Error, Neighbour, Template};

/// One training example: a model's input and what it has to predict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Part A with its masks, then for each blank `sop` and its answer; or a text without Part A.
    pub ids: Vec<u32>,
    /// As in [`crate::Prompt`].
    pub positions: [Vec<u32>; 2],
    /// Length of Part A in tokens.
    pub part_a: usize,
    /// What each token of Part B must predict: the answer, then `eop`. [`NO_LOSS`] where there is nothing to learn.
    pub targets: Vec<u32>,
}

/// The target of a token whose prediction does not count.
pub const NO_LOSS: u32 = u32::MAX;

/// How often each kind of example is drawn, as weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// `[MASK]` over short runs of tokens, 15% of a window.
    pub tokens: f32,
    /// `[sMASK]` over whole statements, 20% to 45% of a window.
    pub statements: f32,
    /// The second halves of several lines of a window.
    pub lines: f32,
    /// `[gMASK]` over the last 50% to 100% of a window.
    pub tail: f32,
    /// The whole body of a function, class, branch or loop.
    pub block: f32,
    /// One blank at a cursor: the rest of a line or statement, a part of a line, a statement.
    pub cursor: f32,
}

impl Mix {
    /// Nothing at all.
    pub const NONE: Mix = Mix {
        tokens: 0.0,
        statements: 0.0,
        lines: 0.0,
        tail: 0.0,
        block: 0.0,
        cursor: 0.0,
    };

    /// The weight of a kind, by the name of its field.
    pub fn weight(&mut self, kind: &str) -> Option<&mut f32> {
        Some(match kind {
            "tokens" => &mut self.tokens,
            "statements" => &mut self.statements,
            "lines" => &mut self.lines,
            "tail" => &mut self.tail,
            "block" => &mut self.block,
            "cursor" => &mut self.cursor,
            _ => return None,
        })
    }
}

impl Default for Mix {
    /// The mix for a model of a few million parameters, where every token of loss counts.
    fn default() -> Mix {
        Mix {
            tokens: 0.1,
            statements: 0.2,
            lines: 0.2,
            tail: 0.2,
            block: 0.15,
            cursor: 0.15,
        }
    }
}

/// Other files, of which examples with a cursor may show excerpts, as [`crate::choose`] gives them.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// The text's own path, its folders parted by `/`.
    pub path: &'a str,
    /// The other files, as `choose` takes them.
    pub neighbours: &'a [&'a Neighbour],
    /// The share of the examples with a cursor that look for excerpts, 0 to 1.
    pub share: f32,
}

/// One text, prepared to draw examples from.
pub struct Source<'a> {
    snapshot: &'a Snapshot,
    syntax: Option<&'a Syntax>,
    vocab: &'a Vocab,
    special: Special,
    text: String,
    /// Where each line starts, and the end of the text.
    line_starts: Vec<usize>,
    /// How many tokens there are before each line, and in the whole text.
    tokens_before: Vec<usize>,
    statements: Vec<Range<usize>>,
    blocks: Vec<Range<usize>>,
    beside: Option<Beside<'a>>,
}

/// Makes one example of a kind, of about the given number of tokens.
type Kind<'a> = fn(&Source<'a>, usize, &mut Rng) -> Option<Example>;

/// How often a kind is tried at other places of the text before it is given up.
const TRIES: usize = 4;

impl<'a> Source<'a> {
    /// Reads the whole text once: its lines, tokens, statements and blocks.
    ///
    /// # Errors
    /// If the vocabulary lacks a token that examples are made of.
    pub fn new(
        snapshot: &'a Snapshot,
        syntax: Option<&'a Syntax>,
        vocab: &'a Vocab,
    ) -> Result<Source<'a>, Error> {
        let template = Template::InfillV1;
        let special = infill_v1::special(Tokens { vocab, template })?;
        let text = snapshot.text();
        let lines = 0..=snapshot.line_count();
        let line_starts: Vec<usize> = lines.map(|line| snapshot.line_start(line)).collect();
        let mut tokens_before = vec![0];
        let mut tokens = 0;
        for line in line_starts.windows(2) {
            tokens += vocab.encode(&text[line[0]..line[1]]).len();
            tokens_before.push(tokens);
        }
        let all = 0..text.len();
        let statements = syntax.map_or_else(Vec::new, |syntax| syntax.statements(all.clone()));
        let blocks = syntax.map_or_else(Vec::new, |syntax| syntax.blocks(all));
        Ok(Source {
            snapshot,
            syntax,
            vocab,
            special,
            text,
            line_starts,
            tokens_before,
            statements,
            blocks,
            beside: None,
        })
    }

    /// The same text with other files beside it.
    pub fn beside(self, beside: Beside<'a>) -> Source<'a> {
        let beside = Some(beside);
        Source { beside, ..self }
    }

    /// Tokens of the whole text.
    pub fn tokens(&self) -> usize {
        *self.tokens_before.last().unwrap_or(&0)
    }

    /// Draws one example of at most `max_len` tokens. `None` if the kind that was drawn finds no
    /// place in this text, which happens in short texts and in those without syntax.
    pub fn draw(&self, mix: &Mix, max_len: usize, rng: &mut Rng) -> Option<Example> {
        let kinds: [(f32, Kind<'a>); 6] = [
            (mix.tokens, Self::tokens_blanked),
            (mix.statements, Self::statements_blanked),
            (mix.lines, Self::lines_blanked),
            (mix.tail, Self::tail_blanked),
            (mix.block, Self::block_blanked),
            (mix.cursor, Self::cursor_blanked),
        ];
        let sum: f32 = kinds.iter().map(|(weight, _)| weight).sum();
        let mut rest = rng.f32() * sum;
        let chosen = kinds.iter().find(|(weight, _)| {
            rest -= weight;
            rest < 0.0
        });
        let (_, kind) = chosen.unwrap_or(&kinds[0]);
        (0..TRIES)
            .find_map(|_| kind(self, max_len, rng))
            .filter(|example| example.ids.len() <= max_len)
    }

    /// A run of whole lines of at most `room` tokens, at a random place; short only if the text is.
    fn window(&self, room: usize, rng: &mut Rng) -> Option<Range<usize>> {
        let start = rng.usize(0..=self.tokens().saturating_sub(room));
        let first = self.tokens_before.partition_point(|&tokens| tokens < start);
        let end = *self.tokens_before.get(first)? + room;
        let last = self.tokens_before.partition_point(|&tokens| tokens <= end) - 1;
        (first < last).then(|| self.line_starts[first]..self.line_starts[last])
    }

    /// About how many tokens these bytes are.
    fn tokens_in(&self, range: &Range<usize>) -> usize {
        let before = |offset: usize| {
            let line = self.snapshot.line_of(offset);
            let (start, end) = (self.line_starts[line], self.line_starts[line + 1]);
            let tokens = self.tokens_before[line + 1] - self.tokens_before[line];
            self.tokens_before[line] + tokens * (offset - start) / (end - start).max(1)
        };
        before(range.end) - before(range.start)
    }

    /// Where the line of `offset` ends, its terminator not included.
    fn line_end(&self, offset: usize) -> usize {
        self.snapshot.line_range(self.snapshot.line_of(offset)).end
    }
}

/// Puts Part A and the answers together, the answers in the order given: each is the index of its
/// mask among the masks of Part A, and its tokens.
fn weave(part_a: PartA, answers: &[(usize, &[u32])], special: &Special) -> Example {
    let mut sequence = Sequence::new(part_a.ids);
    let mut targets = Vec::new();
    for &(mask, answer) in answers {
        sequence.open(part_a.masks[mask], answer, special.sop);
        targets.extend_from_slice(answer);
        targets.push(special.eop);
    }
    let Sequence {
        ids,
        positions,
        part_a,
    } = sequence;
    Example {
        ids,
        positions,
        part_a,
        targets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grammars::Language;
    use vocab::fixture;

    /// The worked example of the GLM paper: x1 … x6 with {x3} and {x5, x6} blanked, the latter
    /// first. Tokens are 11 … 16 here.
    #[test]
    fn the_papers_own_example() {
        let special = fixture::vocab().special().unwrap();
        let Special { mask, sop, eop, .. } = special;
        let part_a = PartA {
            ids: vec![11, 12, mask, 14, mask],
            masks: vec![2, 4],
        };
        let example = weave(part_a, &[(1, &[15, 16]), (0, &[13])], &special);
        assert_eq!(example.part_a, 5);
        assert_eq!(example.ids, [11, 12, mask, 14, mask, sop, 15, 16, sop, 13]);
        assert_eq!(example.positions[0], [0, 1, 2, 3, 4, 4, 4, 4, 2, 2]);
        assert_eq!(example.positions[1], [0, 0, 0, 0, 0, 1, 2, 3, 1, 2]);
        assert_eq!(example.targets, [15, 16, eop, 13, eop]);
    }

    const PYTHON: &str = include_str!("example/sample.py.txt");

    /// Draws many examples of one kind and gives them with the vocabulary they are in.
    fn draw(mix: Mix, max_len: usize) -> (Vec<Example>, Vocab) {
        let vocab = fixture::vocab();
        let snapshot = Snapshot::new(PYTHON, Language::named("python").unwrap());
        let syntax = snapshot.syntax(&mut || false);
        let source = Source::new(&snapshot, syntax.as_ref(), &vocab).unwrap();
        let mut rng = Rng::with_seed(7);
        let examples = (0..200)
            .filter_map(|_| source.draw(&mix, max_len, &mut rng))
            .collect();
        (examples, vocab)
    }

    /// Part A with every mask answered, as text, and how many masks there were.
    fn answered(example: &Example, vocab: &Vocab) -> (String, usize) {
        let special = vocab.special().unwrap();
        let masks = [special.mask, special.smask, special.gmask];
        let (part_a, part_b) = example.ids.split_at(example.part_a);
        let rows = &example.positions[0][example.part_a..];
        let mut text = String::new();
        let mut count = 0;
        for (place, &id) in part_a.iter().enumerate() {
            if masks.contains(&id) {
                count += 1;
                let piece = part_b
                    .iter()
                    .zip(rows)
                    .filter(|&(_, &row)| row as usize == place);
                let ids: Vec<u32> = piece.map(|(&id, _)| id).collect();
                assert_eq!(ids[0], special.sop);
                text += &vocab.decode(&ids);
            } else {
                text += &vocab.decode(&[id]);
            }
        }
        let text = text
            .strip_prefix("# language: Python\n")
            .unwrap()
            .to_owned();
        (text, count)
    }

    #[test]
    fn every_kind_is_well_formed_and_its_answers_are_the_text() {
        let kinds = [
            (
                "tokens",
                Mix {
                    tokens: 1.0,
                    ..Mix::NONE
                },
            ),
            (
                "statements",
                Mix {
                    statements: 1.0,
                    ..Mix::NONE
                },
            ),
            (
                "lines",
                Mix {
                    lines: 1.0,
                    ..Mix::NONE
                },
            ),
            (
                "tail",
                Mix {
                    tail: 1.0,
                    ..Mix::NONE
                },
            ),
            (
                "block",
                Mix {
                    block: 1.0,
                    ..Mix::NONE
                },
            ),
            (
                "cursor",
                Mix {
                    cursor: 1.0,
                    ..Mix::NONE
                },
            ),
        ];
        for (name, mix) in kinds {
            let (examples, vocab) = draw(mix, 256);
            assert!(examples.len() > 100, "{name}: {} of 200", examples.len());
            for example in &examples {
                let len = example.ids.len();
                assert!(len <= 256, "{name}: {len}");
                assert_eq!(example.positions.each_ref().map(Vec::len), [len; 2]);
                assert_eq!(example.targets.len(), len - example.part_a);
                let (text, masks) = answered(example, &vocab);
                assert!(masks > 0);
                if ["tokens", "statements", "lines"].contains(&name) {
                    assert!(PYTHON.contains(&text), "{name}: {text}");
                }
            }
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_examples() {
        assert_eq!(draw(Mix::default(), 128).0, draw(Mix::default(), 128).0);
    }

    #[test]
    fn a_good_part_of_every_example_is_loss() {
        let (examples, _) = draw(Mix::default(), 256);
        let loss: usize = examples.iter().map(|example| example.targets.len()).sum();
        let all: usize = examples.iter().map(|example| example.ids.len()).sum();
        assert!((20..50).contains(&(loss * 100 / all)), "{loss} of {all}");
    }

    /// Examples with a cursor, and which of them show an excerpt of the file beside the text.
    fn drawn_beside(share: f32, max_len: usize) -> Vec<(Example, bool)> {
        const OTHER: &str = "def fill(shelf, boxes):\n    for box in boxes:\n        shelf.put(box)\n    return shelf\n";
        let vocab = fixture::vocab();
        let python = Language::named("python").unwrap();
        let snapshot = Snapshot::new(PYTHON, python);
        let syntax = snapshot.syntax(&mut || false);
        let other = Neighbour::new("shop/shelf.py", &Snapshot::new(OTHER, python));
        let source = Source::new(&snapshot, syntax.as_ref(), &vocab).unwrap();
        let neighbours = [&other];
        let source = source.beside(Beside {
            path: "shop/main.py",
            neighbours: &neighbours,
            share,
        });
        let mix = Mix {
            cursor: 1.0,
            block: 0.5,
            tail: 0.5,
            ..Mix::NONE
        };
        let mut rng = Rng::with_seed(7);
        let excerpt = format!("# shop/shelf.py\n{OTHER}\n");
        (0..200)
            .filter_map(|_| source.draw(&mix, max_len, &mut rng))
            .map(|example| {
                let part_a = vocab.decode(&example.ids[..example.part_a]);
                assert!(example.ids.len() <= max_len);
                let has = part_a.contains(&format!("# language: Python\n{excerpt}"));
                assert_eq!(part_a.contains("shelf.put"), has, "{part_a}");
                (example, has)
            })
            .collect()
    }

    #[test]
    fn a_share_of_examples_shows_excerpts() {
        let shown = |share| {
            let drawn = drawn_beside(share, 900);
            drawn.iter().filter(|(_, has)| *has).count() * 100 / drawn.len()
        };
        assert_eq!(shown(0.0), 0);
        assert!((30..70).contains(&shown(0.5)), "{}", shown(0.5));
        assert!(shown(1.0) > 75, "{}", shown(1.0));
        assert_eq!(drawn_beside(0.5, 900), drawn_beside(0.5, 900));
        // No room is left for any.
        assert!(drawn_beside(1.0, 200).iter().all(|(_, has)| !has));
    }

    #[test]
    fn texts_too_short_to_blank_give_nothing() {
        let vocab = fixture::vocab();
        for text in ["", "\n", "\r\n\r\n", "x"] {
            let snapshot = Snapshot::new(text, Language::PLAIN);
            let source = Source::new(&snapshot, None, &vocab).unwrap();
            let mut rng = Rng::with_seed(1);
            for _ in 0..100 {
                if let Some(example) = source.draw(&Mix::default(), 64, &mut rng) {
                    assert!(example.ids.len() <= 64);
                }
            }
        }
    }
}
