//! The sessions that no job is using, bounded in bytes.
//!
//! Takes sessions back from jobs, gives each new job the one that saves it most: the one that shares the longest
//! beginning, unless most of it would be thrown away for that while there is room for another. The ones used longest
//! ago go first.

use crate::{Job, session::Session};
use glm::{KvCache, Prefix};

/// The store.
pub(crate) struct Store {
    /// The one used longest ago comes first.
    resting: Vec<Session>,
    /// Most bytes of these and of the sessions in use.
    limit: usize,
}

impl Store {
    /// An empty store that keeps sessions up to this many bytes, with those in use.
    pub(crate) fn new(limit: usize) -> Store {
        Store {
            resting: Vec::new(),
            limit,
        }
    }

    /// A session for a job, and how many tokens of its prompt are in it. `used` are the bytes of the sessions in use,
    /// `fresh` makes an empty cache.
    pub(crate) fn take(
        &mut self,
        job: &Job,
        prefix: Prefix,
        used: usize,
        fresh: impl FnOnce() -> KvCache,
    ) -> (Session, usize) {
        let worth = |(index, session): (usize, &Session)| {
            let common = session.common(job, prefix);
            let lost = session.len() - common;
            let replayed = match common == job.ids.len() {
                true => session.chosen_after(common),
                false => 0,
            };
            // Of equals the one used last.
            (common, replayed, std::cmp::Reverse(lost), index)
        };
        // What the model has written is soon written again; what it has read took longer.
        let read_in_vain = |(_, session): &(usize, &Session)| {
            let common = session.common(job, prefix);
            session.read_after(common) > common
        };
        let best = self
            .resting
            .iter()
            .enumerate()
            // A short common beginning must not cost a long session.
            .filter(|one| !read_in_vain(one))
            .map(worth)
            .filter(|&(common, ..)| common > 0)
            .max();
        if let Some((common, _, _, index)) = best {
            return (self.resting.remove(index), common);
        }
        if self.is_full(used) {
            // The memory of the one used longest ago serves again, and what it shares, too.
            let session = self.resting.remove(0);
            return match session.common(job, prefix) {
                0 => (Session::new(session.kv, prefix), 0),
                common => (session, common),
            };
        }
        (Session::new(fresh(), prefix), 0)
    }

    /// Whether another session as large as those here would be too much.
    fn is_full(&self, used: usize) -> bool {
        let bytes = self.bytes();
        !self.resting.is_empty() && used + bytes + bytes / self.resting.len() > self.limit
    }

    /// Puts a session back that no job uses any more.
    pub(crate) fn put(&mut self, mut session: Session, used: usize) {
        session.settle();
        if session.len() > 0 {
            self.resting.push(session);
        }
        self.fit(used);
    }

    /// Drops sessions until all those left fit beside `used` bytes of sessions in use.
    pub(crate) fn fit(&mut self, used: usize) {
        while !self.resting.is_empty() && used + self.bytes() > self.limit {
            self.resting.remove(0);
        }
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        self.resting.clear();
    }

    /// The sessions.
    pub(crate) fn resting(&self) -> &[Session] {
        &self.resting
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.resting.iter().map(Session::bytes).sum()
    }
}
