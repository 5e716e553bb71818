//! What a question is asked with: the text around the blank, and excerpts of other documents.
//!
//! A template with a place for excerpts shows the best of them. A model that is told how the last tokens went on elsewhere in
//! the text is told how they went on in more of them. They are chosen when the cursor has come to rest, and stay while the user
//! types there, so that what the model has read and what it has answered stays good; a question with an excerpt that may not
//! be shown any more is not gone on with.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use engine::Class;
use prompt::{Anchor, Around, Budget, Here, Reference, Situation, Until, choose};
use tower_lsp::lsp_types::Url;

use super::anchors::{Extent, Placed};
use super::{Ask, NEAR_TOKENS, Trip, Why, answer_tokens};
use crate::documents::neighbours::{Lent, path};

/// Tokens set aside for what is typed before the answer, in models that count it among the text.
const HEAD_TOKENS: usize = 128;

/// The smallest context, in tokens, that has room to set aside for what is typed.
const ROOMY: usize = 2048;

/// Tokens of excerpts in which the same is looked up, about. Of 800 blanks the built-in model fills 14.9% exactly with none,
/// 18.0% with 400 and 19.5% with 3000 (`infill eval lines --neighbours --n 100 --seed 3` on packages that it has not seen).
const RECALLED_BESIDE: usize = 3000;

/// Bytes that the cursor may be away from where excerpts were chosen: as far as one types without leaving the place.
const REACH: usize = 1024;

/// The same for a model that reads all of its question anew whatever becomes of it, and is not waited for.
const REACH_AT_REST: usize = 256;

/// Excerpts of other documents, chosen for a place in one.
#[derive(Debug, Default)]
pub struct Beside {
    /// A hash of what the excerpts say; 0 if there are none.
    pub key: u64,
    /// The documents that they are of.
    pub files: Vec<Url>,
    /// Those that a prompt may show, each with the path that the model is told.
    shown: Vec<(String, String)>,
    /// Those in which is looked up how words go on, as one text.
    pub(super) looked_up: String,
    /// The place, in bytes.
    at: usize,
    /// A hash of what there was to choose from.
    choice: u64,
}

/// Tokens that excerpts may have.
#[derive(Clone, Copy)]
struct Room {
    shown: usize,
    looked_up: usize,
}

impl Beside {
    /// The best of these documents for a place.
    fn choose(here: &Here, lent: &[Lent], room: Room) -> Beside {
        let neighbours: Vec<_> = lent.iter().map(|lent| &*lent.neighbour).collect();
        let shown = choose(here, &neighbours, room.shown);
        let looked_up = choose(here, &neighbours, room.looked_up);
        let files = shown.iter().chain(&looked_up).map(|&(file, _)| file);
        let mut files: Vec<usize> = files.collect();
        files.sort_unstable();
        files.dedup();
        let owned = |(_, Reference { path, text })| (String::from(path), String::from(text));
        let shown: Vec<(String, String)> = shown.into_iter().map(owned).collect();
        let texts = looked_up
            .iter()
            .flat_map(|(_, excerpt)| [excerpt.text, "\n\n"]);
        let looked_up: String = texts.collect();
        Beside {
            key: match files.is_empty() {
                true => 0,
                false => hash(&(&shown, &looked_up)),
            },
            files: files
                .into_iter()
                .map(|file| lent[file].url.clone())
                .collect(),
            shown,
            looked_up,
            at: here.offset,
            choice: choice(lent),
        }
    }

    fn references(&self) -> Vec<Reference<'_>> {
        let shown = self.shown.iter();
        shown.map(|(path, text)| Reference { path, text }).collect()
    }
}

/// What there is to choose from.
fn choice(lent: &[Lent]) -> u64 {
    let documents: Vec<(&Url, u64)> = lent.iter().map(|lent| (&lent.url, lent.edit)).collect();
    hash(&documents)
}

/// The same within this process.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Trip {
    /// Anchors the blank at the cursor.
    pub(super) fn anchor(&self, situation: &Situation, extent: Extent) -> Result<Arc<Placed>, Why> {
        let full = self.room(situation.until);
        let beside = self.beside();
        let (part_a, references, earlier) = match extent {
            // A small window is for answering at once.
            Extent::Near => (full.min(NEAR_TOKENS), Vec::new(), None),
            Extent::Full => {
                // What is read anew in any case need not stay where it was.
                let earlier = (!self.rooms.model.reads_anew)
                    .then(|| self.rooms.anchors.newest(self.ask.view.number));
                (full, beside.references(), earlier.flatten())
            }
        };
        let budget = Budget {
            part_a,
            part_b: answer_tokens(situation.until),
        };
        let around = Around {
            path: &file_name(&self.ask.url),
            references: &references,
        };
        let anchor = Anchor::new(
            &self.ask.view.snapshot,
            situation,
            &self.rooms.vocab,
            self.rooms.template,
            &around,
            budget,
            earlier.as_ref().map(|placed| &placed.anchor),
        );
        let anchor = anchor.map_err(Why::Situation)?;
        let sides = self.sides(anchor.hole());
        Ok(Placed::new(anchor, extent, beside.key, sides))
    }

    /// Tokens of a full window.
    pub(super) fn room(&self, until: Until) -> usize {
        let context = self.rooms.model.context;
        let head = if context >= ROOMY { HEAD_TOKENS } else { 0 };
        let room = context.saturating_sub(answer_tokens(until) + head);
        room.min(self.rooms.window)
    }

    /// The excerpts of other documents that the question is asked with.
    pub(super) fn beside(&self) -> &Arc<Beside> {
        self.beside.get_or_init(|| {
            // The same for every kind of blank, so that they do not change with it.
            let part_a = self.room(Until::Block);
            let room = Room {
                shown: self.rooms.template.references(part_a),
                looked_up: self.rooms.recall.as_ref().map_or(0, |_| RECALLED_BESIDE),
            };
            match (room.shown, room.looked_up) {
                (0, 0) => Arc::default(),
                _ => self.choose_beside(room),
            }
        })
    }

    /// What was chosen for this place, if that still serves, else what is best now.
    fn choose_beside(&self, room: Room) -> Arc<Beside> {
        let Ask {
            url,
            view,
            offset,
            class,
            hypothetical,
            ..
        } = &*self.ask;
        let anchors = &self.rooms.anchors;
        // Who types goes on with what there is.
        let is_at_rest = matches!(class, Class::Ahead | Class::Invoked) && !hypothetical;
        let reach = match is_at_rest && self.rooms.model.reads_anew {
            true => REACH_AT_REST,
            false => REACH,
        };
        let is_lent = |url: &Url| self.documents.is_lent(url);
        let known = anchors
            .beside(view.number)
            .filter(|known| known.at.abs_diff(*offset) <= reach && known.files.iter().all(is_lent));
        if let Some(known) = known.clone().filter(|_| !is_at_rest) {
            return known;
        }
        if is_at_rest {
            self.documents.cut();
        }
        let lent = self.documents.beside(url);
        if let Some(known) = known.filter(|known| known.choice == choice(&lent)) {
            return known;
        }
        let here = Here {
            path: &path(url),
            snapshot: &view.snapshot,
            offset: *offset,
        };
        let beside = Arc::new(Beside::choose(&here, &lent, room));
        if !hypothetical {
            anchors.set_beside(view.number, &beside);
        }
        beside
    }
}

/// The name of the document's file; empty for a document that is no file yet.
fn file_name(url: &Url) -> String {
    let path = url.to_file_path().unwrap_or_default();
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
