//! What is kept of a sequence: its tokens, where each came from, and the KV cache of those that were run.
//!
//! Takes tokens of prompts and tokens that the model chose, and tells how far they are those of another prompt. Which
//! session a job gets is the store's business, what is run in it that of `run`.

use crate::{Advance, Job, sample::Choice};
use glm::{KvCache, Prefix};

/// One sequence. At rest, all its tokens but the last have been run; the last only waits if the model chose it.
pub(crate) struct Session {
    pub(crate) kv: KvCache,
    /// Part A.
    prefix: Prefix,
    ids: Vec<u32>,
    positions: [Vec<u32>; 2],
    /// A token each: none for a token of a prompt.
    choices: Vec<Option<Choice>>,
}

impl Session {
    /// An empty session on this cache, whose memory is used again.
    pub(crate) fn new(mut kv: KvCache, prefix: Prefix) -> Session {
        kv.truncate(0);
        Session {
            kv,
            prefix,
            ids: Vec::new(),
            positions: [Vec::new(), Vec::new()],
            choices: Vec::new(),
        }
    }

    /// Its tokens.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Two positions a token.
    pub(crate) fn positions(&self) -> [&[u32]; 2] {
        self.positions.each_ref().map(Vec::as_slice)
    }

    /// The cache to run in, the tokens, their positions.
    pub(crate) fn split(&mut self) -> (&mut KvCache, &[u32], [&[u32]; 2]) {
        let positions = self.positions.each_ref().map(Vec::as_slice);
        (&mut self.kv, &self.ids, positions)
    }

    /// Tokens known.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let keys = self.choices.iter().flatten();
        let keys = keys.map(|choice| choice.key.as_ref().map_or(0, |key| key.len()));
        let rows = self.positions.iter().map(Vec::capacity).sum::<usize>() + self.ids.capacity();
        self.kv.bytes()
            + rows * size_of::<u32>()
            + self.choices.capacity() * size_of::<Option<Choice>>()
            + keys.sum::<usize>()
    }

    /// How many tokens at the beginning of a job's prompt, which has this Part A, are these and were run as they would be
    /// for it.
    pub(crate) fn common(&self, job: &Job, prefix: Prefix) -> usize {
        common(self.prefix, (&self.ids, self.positions()), job, prefix)
    }

    /// How many tokens after the first `count` the model chose.
    pub(crate) fn chosen_after(&self, count: usize) -> usize {
        let behind = self.choices.iter().skip(count);
        behind.take_while(|choice| choice.is_some()).count()
    }

    /// How many tokens after the first `count` came with prompts.
    pub(crate) fn read_after(&self, count: usize) -> usize {
        let behind = self.choices.iter().skip(count);
        behind.filter(|choice| choice.is_none()).count()
    }

    /// The choice at `index`, if there is one and its token stands where an answer that advances so would have it.
    pub(crate) fn choice(&self, index: usize, places: [u32; 2]) -> Option<&Choice> {
        let choice = self.choices.get(index)?.as_ref()?;
        let [row_0, row_1] = &self.positions;
        (places == [row_0[index], row_1[index]]).then_some(choice)
    }

    /// Takes the first `count` tokens of another session, all of which were run, instead of its own.
    pub(crate) fn copy(&mut self, other: &Session, count: usize) {
        self.kv.copy(&other.kv, count);
        self.prefix = other.prefix;
        self.ids.clear();
        self.ids.extend_from_slice(&other.ids[..count]);
        for (row, other) in self.positions.iter_mut().zip(&other.positions) {
            row.clear();
            row.extend_from_slice(&other[..count]);
        }
        self.choices.clear();
        self.choices.resize_with(count, || None);
    }

    /// Forgets all tokens but the first `count`, and the keys and values of all but the first `run`.
    pub(crate) fn cut(&mut self, count: usize, run: usize) {
        self.ids.truncate(count);
        self.choices.truncate(count);
        self.positions
            .iter_mut()
            .for_each(|row| row.truncate(count));
        self.kv.truncate(self.prefix.settled(run.min(count)));
    }

    /// Puts the rest of a prompt, which has this Part A, behind its first tokens, which are here.
    pub(crate) fn extend(&mut self, job: &Job, prefix: Prefix) {
        let count = self.len();
        self.prefix = prefix;
        self.ids.extend_from_slice(&job.ids[count..]);
        for (row, all) in self.positions.iter_mut().zip(&job.positions) {
            row.extend_from_slice(&all[count..]);
        }
        self.choices.resize_with(job.ids.len(), || None);
    }

    /// Puts a token behind the others that the model chose.
    pub(crate) fn push(&mut self, choice: Choice, [row_0, row_1]: [u32; 2]) {
        self.ids.push(choice.id);
        self.positions[0].push(row_0);
        self.positions[1].push(row_1);
        self.choices.push(Some(choice));
    }

    /// Forgets the tokens that still wait to be run, but for a first one that the model chose.
    pub(crate) fn settle(&mut self) {
        let run = self.kv.len();
        let kept = run + self.chosen_after(run).min(1);
        self.cut(kept, run);
    }
}

/// [`Session::common`] for tokens of a sequence with the Part A `ours`. Of Part A all counts, or only its far zone.
pub(crate) fn common(
    ours: Prefix,
    (ids, [row_0, row_1]): (&[u32], [&[u32]; 2]),
    job: &Job,
    theirs: Prefix,
) -> usize {
    let same = |ours: &[u32], theirs: &[u32]| {
        let pairs = ours.iter().zip(theirs);
        pairs.take_while(|(a, b)| a == b).count()
    };
    let count = same(ids, &job.ids)
        .min(same(row_0, &job.positions[0]))
        .min(same(row_1, &job.positions[1]));
    match ours == theirs {
        true => ours.settled(count),
        false => count.min(ours.far).min(theirs.far),
    }
}

/// The positions of the token that comes `count` tokens after a prompt.
pub(crate) fn places(job: &Job, count: usize) -> [u32; 2] {
    let last = job
        .positions
        .each_ref()
        .map(|row| row.last().copied().unwrap_or(0));
    // A context holds far fewer tokens than a `u32` counts.
    job.advance.after(last, count as u32)
}

/// Whether a token with these positions, the `length`th of its sequence, has no place in a context.
pub(crate) fn is_past_the_end(
    advance: Advance,
    [row_0, row_1]: [u32; 2],
    length: usize,
    context: usize,
) -> bool {
    match advance {
        Advance::Place => row_0 as usize >= context,
        // The table of places within an answer has a row for 0, which no answer uses.
        Advance::Span => row_1 as usize > context,
        Advance::Still => length > context,
    }
}
