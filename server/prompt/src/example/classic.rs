//! GLM's own objectives: several blanks in one window of text.
//!
//! Runs of tokens, whole statements, and the second halves of lines. The answers are shuffled, so
//! that each is predicted from the text around it and from the answers before it.

use std::ops::Range;

use fastrand::Rng;
use text::{Region, Snapshot, before_closers};

use super::{Example, Source, weave};
use crate::Mask;
use crate::situation::{Situation, classify};
use crate::template::infill_v1;

/// Mean length of a blank of the token objective.
const SPAN_MEAN: f32 = 3.0;
/// Longest blank of the token objective.
const SPAN_MAX: usize = 39;
/// Share of a window's tokens that the token objective blanks.
const SPAN_SHARE: f32 = 0.15;
/// Shares of a window's tokens that the statement and line objectives blank, least and most.
const WIDE_SHARE: Range<f32> = 0.2..0.45;
/// A statement longer than this share of its window is left to the block objective.
const STATEMENT_SHARE: f32 = 0.25;
/// Lines after a window that its situations are judged by.
const LINES_AFTER: usize = 3;

/// A blank in the text: these bytes, behind this mask.
struct Blank {
    range: Range<usize>,
    mask: Mask,
}

impl Source<'_> {
    /// `[MASK]` over runs of tokens whose lengths are Poisson distributed.
    pub(super) fn tokens_blanked(&self, max_len: usize, rng: &mut Rng) -> Option<Example> {
        let room = self.room(max_len, 1.0 + 2.0 * SPAN_SHARE / SPAN_MEAN);
        let window = self.window(room, rng)?;
        let ids = self.vocab.encode(&self.text[window.clone()]);
        let wanted = (ids.len() as f32 * SPAN_SHARE) as usize;
        let mut spans: Vec<Range<usize>> = Vec::new();
        let mut covered = 0;
        // A crowded window may refuse many places: give up in time.
        for _ in 0..ids.len() {
            let len = poisson(SPAN_MEAN, rng).clamp(1, SPAN_MAX);
            if covered >= wanted || len > ids.len() {
                break;
            }
            let start = rng.usize(0..=ids.len() - len);
            let span = start..start + len;
            if spans
                .iter()
                .all(|other| span.end < other.start || other.end < span.start)
            {
                covered += len;
                spans.push(span);
            }
        }
        spans.sort_by_key(|span| span.start);
        let mut pieces = Vec::new();
        let mut start = 0;
        for span in &spans {
            pieces.push(&ids[start..span.start]);
            start = span.end;
        }
        pieces.push(&ids[start..]);
        let answers: Vec<&[u32]> = spans.into_iter().map(|span| &ids[span]).collect();
        let masks = vec![Mask::Mask; answers.len()];
        self.shuffled(&pieces, &masks, &answers, window.end, rng)
    }

    /// `[sMASK]` over whole statements.
    pub(super) fn statements_blanked(&self, max_len: usize, rng: &mut Rng) -> Option<Example> {
        let window = self.window(self.room(max_len, 1.1), rng)?;
        let tokens = self.tokens_in(&window);
        let longest = (tokens as f32 * STATEMENT_SHARE) as usize;
        let mut inside: Vec<&Range<usize>> = self
            .statements
            .iter()
            .filter(|range| window.start <= range.start && range.end <= window.end)
            .filter(|range| self.tokens_in(range) <= longest)
            .collect();
        rng.shuffle(&mut inside);
        let candidates = inside.into_iter().cloned();
        let blanks = self.choose(candidates, tokens, rng).into_iter();
        let blanks = blanks
            .map(|range| Blank {
                range,
                mask: Mask::SMask,
            })
            .collect();
        self.blanked(window, blanks, rng)
    }

    /// The rest of several lines, each from where a typist might be in it.
    pub(super) fn lines_blanked(&self, max_len: usize, rng: &mut Rng) -> Option<Example> {
        let window = self.window(self.room(max_len, 1.2), rng)?;
        let lines = self.snapshot.line_of(window.start)..self.snapshot.line_of(window.end);
        let mut lines: Vec<usize> = lines.collect();
        rng.shuffle(&mut lines);
        let rests: Vec<Range<usize>> = lines
            .into_iter()
            .filter_map(|line| self.rest_of_line(line, rng))
            .collect();
        let tokens = self.tokens_in(&window);
        let blanks = self.choose(rests.into_iter(), tokens, rng).into_iter();
        let blanks = blanks
            .filter_map(|range| self.judged(&window, range))
            .collect();
        self.blanked(window, blanks, rng)
    }

    /// A random end of the line, in every other case without the closers that an editor would have
    /// put there already. `None` if nothing is left.
    fn rest_of_line(&self, line: usize, rng: &mut Rng) -> Option<Range<usize>> {
        let range = self.snapshot.line_range(line);
        let start = self.typing_place(range.clone(), rng)?;
        let end = if rng.bool() {
            range.end
        } else {
            self.before_closers(start..range.end)
        };
        (start < end).then_some(start..end)
    }

    /// The end of the text in `rest`, without the closing brackets and quotes at its end.
    pub(super) fn before_closers(&self, rest: Range<usize>) -> usize {
        rest.start + before_closers(&self.text[rest])
    }

    /// The blank for a rest of a line, with the mask that the cursor would get in an editor.
    fn judged(&self, window: &Range<usize>, range: Range<usize>) -> Option<Blank> {
        let last = self.snapshot.line_of(window.end) + LINES_AFTER;
        let after = range.end..self.snapshot.line_start(last);
        let corrupted = [&self.text[window.start..range.start], &self.text[after]].concat();
        let excerpt = Snapshot::new(&corrupted, self.snapshot.language());
        let region = self.region(range.start);
        let Situation { mask, .. } = classify(&excerpt, region, range.start - window.start).ok()?;
        (mask != Mask::GMask).then_some(Blank { range, mask })
    }

    pub(super) fn region(&self, offset: usize) -> Region {
        self.syntax
            .map_or(Region::Code, |syntax| syntax.region(offset))
    }

    /// Takes candidates that do not touch until a random share of the window's tokens is reached.
    fn choose(
        &self,
        candidates: impl Iterator<Item = Range<usize>>,
        tokens: usize,
        rng: &mut Rng,
    ) -> Vec<Range<usize>> {
        let share = WIDE_SHARE.start + rng.f32() * (WIDE_SHARE.end - WIDE_SHARE.start);
        let wanted = (tokens as f32 * share) as usize;
        let mut chosen: Vec<Range<usize>> = Vec::new();
        let mut covered = 0;
        for range in candidates {
            if covered >= wanted {
                break;
            }
            if chosen
                .iter()
                .all(|other| range.end < other.start || other.end < range.start)
            {
                covered += self.tokens_in(&range);
                chosen.push(range);
            }
        }
        chosen
    }

    /// The example of a window with these blanks.
    fn blanked(
        &self,
        window: Range<usize>,
        mut blanks: Vec<Blank>,
        rng: &mut Rng,
    ) -> Option<Example> {
        blanks.sort_by_key(|blank| blank.range.start);
        let encode = |range: Range<usize>| self.vocab.encode(&self.text[range]);
        let mut pieces = Vec::new();
        let mut answers = Vec::new();
        let mut start = window.start;
        for Blank { range, .. } in &blanks {
            pieces.push(encode(start..range.start));
            answers.push(encode(range.clone()));
            start = range.end;
        }
        pieces.push(encode(start..window.end));
        let masks: Vec<Mask> = blanks.iter().map(|blank| blank.mask).collect();
        let pieces: Vec<&[u32]> = pieces.iter().map(Vec::as_slice).collect();
        let answers: Vec<&[u32]> = answers.iter().map(Vec::as_slice).collect();
        self.shuffled(&pieces, &masks, &answers, window.end, rng)
    }

    /// The example of these pieces and answers, the answers in random order.
    fn shuffled(
        &self,
        pieces: &[&[u32]],
        masks: &[Mask],
        answers: &[&[u32]],
        end: usize,
        rng: &mut Rng,
    ) -> Option<Example> {
        let reaches_end = end == self.text.len();
        let language = self.snapshot.language();
        let part_a = infill_v1::part_a(
            self.vocab,
            &self.special,
            language,
            pieces,
            masks,
            reaches_end,
        );
        let mut order: Vec<(usize, &[u32])> = answers.iter().copied().enumerate().collect();
        rng.shuffle(&mut order);
        (!order.is_empty()).then(|| weave(part_a, &order, &self.special))
    }

    /// Tokens of text for an example of `max_len`, if its blanks make it longer by `growth`.
    fn room(&self, max_len: usize, growth: f32) -> usize {
        let fixed = infill_v1::overhead(self.vocab, &self.special, self.snapshot.language());
        (max_len.saturating_sub(fixed) as f32 / growth) as usize
    }
}

/// A Poisson distributed number, by Knuth's multiplication of uniform ones.
fn poisson(mean: f32, rng: &mut Rng) -> usize {
    let limit = (-mean).exp();
    let mut product = rng.f32();
    let mut count = 0;
    while product > limit {
        product *= rng.f32();
        count += 1;
    }
    count
}
