//! One blank at a cursor, as editing makes it.
//!
//! A place where a typist might be is chosen, the text behind it is taken away, and
//! [`crate::situation`] says what is asked there, as it would in an editor; the answer is as much
//! of the text as that allows. In a share of the cases more than the answer is missing on the right,
//! as when a body or a file is being written.

use std::ops::Range;

use fastrand::Rng;
use text::Snapshot;

use super::{Example, Source};
use crate::situation::classify;
use crate::template::infill_v1;
use crate::{Around, Budget, Here, Mask, Reference, Situation, Template, Until, build, choose};

/// Share of cursor and block examples in which all text after the cursor is missing.
const NOTHING_AFTER: f32 = 0.2;
/// Share of cursor examples in which the rest of the block is missing.
const BLOCK_UNWRITTEN: f32 = 0.2;
/// Share of empty answers that are kept: a line that is complete needs nothing, but that is
/// learnt quickly.
const EMPTY_KEPT: f32 = 0.1;
/// Most tokens of a part of a line.
const PART_MAX: usize = 12;
/// Fewest tokens of Part A of an example with a short answer.
const PART_A_MIN: usize = 96;
/// Most of an example's tokens that a block's answer may be, out of four; the rest is Part A.
const ANSWER_QUARTERS: usize = 3;

/// A cut in the text: the cursor, and where the text goes on.
struct Cut {
    cursor: usize,
    resume: usize,
}

/// What is to be said at a cursor.
struct Said {
    ids: Vec<u32>,
    /// Whether it would go on.
    is_cut: bool,
}

/// Tokens of an example: those that it was made for, and the most that it may have.
#[derive(Clone, Copy)]
struct Lengths {
    own: usize,
    most: usize,
}

impl Source<'_> {
    /// `[gMASK]` over the last half of a window, or more of it, with nothing after it.
    pub(super) fn tail_blanked(&self, max_len: usize, rng: &mut Rng) -> Option<Example> {
        let window = self.window(max_len, rng)?;
        let kept = (self.tokens_in(&window) as f32 * 0.5 * rng.f32()) as usize;
        let first = self.snapshot.line_of(window.start);
        let before = self.tokens_before[first] + kept;
        let line = self
            .tokens_before
            .partition_point(|&tokens| tokens <= before)
            - 1;
        let cursor = self.after_indentation(self.snapshot.line_range(line));
        let said = self.answer(cursor..self.text.len(), max_len - kept.min(max_len));
        let cut = Cut {
            cursor,
            resume: self.text.len(),
        };
        let (corrupted, situation) = self.situation(&cut)?;
        let is_tail = situation.mask == Mask::GMask && !said.ids.is_empty();
        let lengths = Lengths::all(max_len);
        is_tail.then(|| self.filled(&corrupted, &situation, &said, lengths, rng))
    }

    /// The body of a function, class, branch or loop.
    pub(super) fn block_blanked(&self, max_len: usize, rng: &mut Rng) -> Option<Example> {
        let block = rng.choice(&self.blocks)?.clone();
        let body = self.body(&block);
        let text = &self.text[body.clone()];
        let content =
            body.start + (text.len() - text.trim_start().len())..body.start + text.trim_end().len();
        let head = self.text[..block.start].trim_end().len();
        let has_braces = body.start > block.start;
        // Either a line for the body is there already, or the cursor is behind what opens it; the
        // closing brace is then where it belongs, or still next to the cursor.
        let (cursor, end) = match (rng.usize(0..4), has_braces) {
            (0..2, _) => (content.start, content.end),
            (2, true) => (body.start, content.end),
            (_, true) => (body.start, body.end),
            (_, false) => (head, content.end),
        };
        let nothing_after = rng.f32() < NOTHING_AFTER;
        let end = if nothing_after { block.end } else { end };
        let answer_max = max_len * ANSWER_QUARTERS / 4;
        let said = self.answer(cursor..end.max(cursor), answer_max);
        let cut = Cut {
            cursor,
            resume: if nothing_after { self.text.len() } else { end },
        };
        if said.ids.is_empty() || said.is_cut {
            return None;
        }
        let (corrupted, situation) = self.situation(&cut)?;
        let is_block = situation.mask == Mask::GMask;
        let lengths = Lengths::all(max_len);
        is_block.then(|| self.filled(&corrupted, &situation, &said, lengths, rng))
    }

    /// The rest of a line or statement, a part of a line, or a whole statement.
    pub(super) fn cursor_blanked(&self, max_len: usize, rng: &mut Rng) -> Option<Example> {
        match rng.usize(0..10) {
            0..=1 => self.part_of_line(max_len, rng),
            2..=3 => {
                let statement = rng.choice(&self.statements)?.clone();
                self.rest_blanked(statement.start, statement.end, max_len, rng)
            }
            _ => {
                let line = self
                    .snapshot
                    .line_range(rng.usize(0..self.snapshot.line_count()));
                let cursor = self.typing_place(line.clone(), rng)?;
                let end = if rng.bool() {
                    line.end
                } else {
                    self.before_closers(cursor..line.end)
                };
                self.rest_blanked(cursor, end, max_len, rng)
            }
        }
    }

    /// A few tokens with more of the line after them.
    fn part_of_line(&self, max_len: usize, rng: &mut Rng) -> Option<Example> {
        let line = self
            .snapshot
            .line_range(rng.usize(0..self.snapshot.line_count()));
        let cursor = self.typing_place(line.clone(), rng)?;
        let mut ids = self.vocab.encode(&self.text[cursor..line.end]);
        if ids.len() < 2 {
            return None;
        }
        ids.truncate(rng.usize(1..ids.len().min(PART_MAX + 1)));
        let bytes: usize = ids.iter().map(|&id| self.vocab.bytes(id).len()).sum();
        let resume = cursor + bytes;
        if !self.text.is_char_boundary(resume) {
            return None;
        }
        let (corrupted, situation) = self.situation(&Cut { cursor, resume })?;
        let is_part = situation.mask == Mask::Mask;
        let is_cut = false;
        is_part.then(|| {
            let lengths = self.some_len(max_len, rng);
            let said = Said { ids, is_cut };
            self.filled(&corrupted, &situation, &said, lengths, rng)
        })
    }

    /// What is asked at `cursor` if the text up to `end`, or more, has not been written yet.
    fn rest_blanked(
        &self,
        cursor: usize,
        end: usize,
        max_len: usize,
        rng: &mut Rng,
    ) -> Option<Example> {
        let scope = self.syntax.and_then(|syntax| syntax.block(cursor));
        let body_end = scope.map_or(self.text.len(), |block| {
            let body = self.body(&block);
            body.start + self.text[body].trim_end().len()
        });
        let unwritten = rng.f32();
        let resume = if unwritten < NOTHING_AFTER {
            self.text.len()
        } else if unwritten < NOTHING_AFTER + BLOCK_UNWRITTEN {
            end.max(body_end)
        } else {
            end
        };
        let (corrupted, situation) = self.situation(&Cut { cursor, resume })?;
        let end = match situation.until {
            Until::Line => end.min(self.line_end(cursor)),
            Until::Statement => self.statement_end(cursor, end, resume, rng),
            Until::Block => body_end.max(end).min(resume),
        };
        let lengths = self.some_len(max_len, rng);
        let said = self.answer(cursor..end, lengths.own * ANSWER_QUARTERS / 4);
        let is_kept = !said.ids.is_empty() || rng.f32() < EMPTY_KEPT;
        is_kept.then(|| self.filled(&corrupted, &situation, &said, lengths, rng))
    }

    /// The end of the statement around `cursor`, if it is among the text that is missing, else the
    /// end of the line.
    fn statement_end(&self, cursor: usize, end: usize, resume: usize, rng: &mut Rng) -> usize {
        let statement = self.syntax.and_then(|syntax| syntax.statement(cursor));
        match statement {
            Some(range) if range.end > end && range.end <= resume && rng.bool() => range.end,
            _ => end,
        }
    }

    /// The text with the cut made in it, and the situation of the cursor there.
    fn situation(&self, cut: &Cut) -> Option<(Snapshot, Situation)> {
        let text = [&self.text[..cut.cursor], &self.text[cut.resume..]].concat();
        let corrupted = Snapshot::new(&text, self.snapshot.language());
        let situation = classify(&corrupted, self.region(cut.cursor), cut.cursor).ok()?;
        Some((corrupted, situation))
    }

    /// The prompt for the situation with its answer. An answer that was cut does not end: its last
    /// token is a target only, and no `eop` follows.
    fn filled(
        &self,
        corrupted: &Snapshot,
        situation: &Situation,
        said: &Said,
        lengths: Lengths,
        rng: &mut Rng,
    ) -> Example {
        let Said { ids: answer, .. } = said;
        let part_b = answer.len() + 1;
        let beside = self.excerpts(corrupted, situation.offset, part_b, lengths, rng);
        let (max_len, excerpts) = beside.unwrap_or((lengths.own, Vec::new()));
        let budget = Budget {
            part_a: max_len.saturating_sub(part_b),
            part_b,
        };
        let around = Around {
            references: &excerpts,
            ..Around::default()
        };
        // Without excerpts it gives what the version before it gives.
        let template = Template::InfillV2;
        let prompt = build(corrupted, situation, self.vocab, template, &around, budget)
            .expect("`Source::new` has found every token of this template");
        let mut targets = answer.clone();
        let input = if said.is_cut {
            &answer[..answer.len() - 1]
        } else {
            targets.push(self.special.eop);
            answer
        };
        let mut ids = prompt.ids;
        let mut positions = prompt.positions;
        ids.extend_from_slice(input);
        let place = positions[0].last().copied().unwrap_or(0);
        positions[0].extend(std::iter::repeat_n(place, input.len()));
        positions[1].extend((2u32..).take(input.len()));
        Example {
            ids,
            positions,
            part_a: prompt.part_a,
            targets,
        }
    }

    /// Excerpts of the files beside the text, in the share of cases that is to have some, and how long the example is then:
    /// a long one, so that there is room for them and for the text.
    fn excerpts(
        &self,
        corrupted: &Snapshot,
        offset: usize,
        part_b: usize,
        lengths: Lengths,
        rng: &mut Rng,
    ) -> Option<(usize, Vec<Reference<'_>>)> {
        let beside = self.beside.filter(|beside| rng.f32() < beside.share)?;
        let Lengths { own, most } = lengths;
        let max_len = rng.usize(most * 3 / 4..=most).max(own);
        let here = Here {
            path: beside.path,
            snapshot: corrupted,
            offset,
        };
        let room = Template::InfillV2.references(max_len.saturating_sub(part_b));
        let chosen = choose(&here, beside.neighbours, room).into_iter();
        let excerpts: Vec<Reference> = chosen.map(|(_, excerpt)| excerpt).collect();
        (!excerpts.is_empty()).then_some((max_len, excerpts))
    }

    /// The answer, at most `room - 1` tokens so that `sop` has a place too.
    fn answer(&self, range: Range<usize>, room: usize) -> Said {
        // A token is seldom longer than 16 bytes: no need to encode a whole file for its start.
        let end = range
            .end
            .min(range.start.saturating_add(room.saturating_mul(16)));
        let mut ids = self.vocab.encode(&self.snapshot.slice(range.start..end));
        let most = room.saturating_sub(1);
        let is_cut = end < range.end || ids.len() > most;
        ids.truncate(most);
        Said { ids, is_cut }
    }

    /// What is inside a block: between its braces if it has braces.
    fn body(&self, block: &Range<usize>) -> Range<usize> {
        let text = &self.text[block.clone()];
        if text.len() >= 2 && text.starts_with('{') && text.ends_with('}') {
            block.start + 1..block.end - 1
        } else {
            block.clone()
        }
    }

    /// Where in a line a typist may be: behind its indentation, behind a mark or blank, or anywhere.
    pub(super) fn typing_place(&self, line: Range<usize>, rng: &mut Rng) -> Option<usize> {
        let start = self.after_indentation(line.clone());
        let text = &self.text[start..line.end];
        let places: Vec<usize> = match rng.usize(0..20) {
            0..=2 => vec![0],
            3..=9 => {
                let is_mark = |c: char| !c.is_alphanumeric() && c != '_';
                text.match_indices(is_mark)
                    .map(|(index, mark)| index + mark.len())
                    .collect()
            }
            _ => text
                .char_indices()
                .map(|(index, _)| index)
                .skip(1)
                .chain([text.len()])
                .collect(),
        };
        rng.choice(&places)
            .filter(|_| !text.is_empty())
            .map(|place| start + place)
    }

    fn after_indentation(&self, line: Range<usize>) -> usize {
        let text = &self.text[line.clone()];
        line.start + (text.len() - text.trim_start_matches([' ', '\t']).len())
    }

    /// A length for an example with a short answer, more often short than long: a long Part A
    /// costs more than such an answer teaches.
    fn some_len(&self, max_len: usize, rng: &mut Rng) -> Lengths {
        let fixed = infill_v1::overhead(self.vocab, &self.special, self.snapshot.language());
        let least = max_len.min(fixed + PART_A_MIN);
        Lengths {
            own: least + ((max_len - least) as f32 * rng.f32().powi(2)) as usize,
            most: max_len,
        }
    }
}

impl Lengths {
    /// An example that may be as long as any.
    fn all(max_len: usize) -> Lengths {
        Lengths {
            own: max_len,
            most: max_len,
        }
    }
}
