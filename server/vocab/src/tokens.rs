//! The table of a vocabulary: the bytes behind every id, and the special tokens by spelling.
//!
//! Every kind of file is poured into this table, which refuses what no sound file has: ids out of
//! range, ids used twice, one spelling for two special tokens.

use std::collections::HashMap;

use crate::Error;
use crate::error::quote;

/// Ids are below this. The largest vocabulary of the family has 154,880 of them; a damaged file
/// must not make a table of four thousand million.
pub(crate) const MAX_IDS: u32 = 1 << 20;

/// The table.
pub(crate) struct Tokens {
    file: &'static str,
    /// The bytes each id stands for; empty for special ids and for gaps.
    bytes: Vec<Box<[u8]>>,
    special: HashMap<String, u32>,
}

impl Tokens {
    /// An empty table for what `file` holds.
    pub(crate) fn new(file: &'static str) -> Tokens {
        Tokens {
            file,
            bytes: Vec::new(),
            special: HashMap::new(),
        }
    }

    /// Enters a token of text.
    pub(crate) fn text(&mut self, id: u32, bytes: Vec<u8>) -> Result<(), Error> {
        let slot = self.slot(id)?;
        if !slot.is_empty() {
            let earlier = String::from_utf8_lossy(slot).into_owned();
            let later = String::from_utf8_lossy(&bytes).into_owned();
            return Err(Error::broken(
                self.file,
                format!("token id {id}"),
                format!(
                    "it stands for {} and for {}",
                    quote(&earlier),
                    quote(&later)
                ),
            ));
        }
        *slot = bytes.into();
        Ok(())
    }

    /// Enters a special token. One that is there already, under the same id, may come again.
    pub(crate) fn special(&mut self, spelling: &str, id: u32) -> Result<(), Error> {
        *self.slot(id)? = Box::default();
        match self.special.insert(spelling.to_owned(), id) {
            Some(earlier) if earlier != id => Err(Error::broken(
                self.file,
                format!("special token {}", quote(spelling)),
                format!("it has two ids, {earlier} and {id}"),
            )),
            _ => Ok(()),
        }
    }

    /// Enters special tokens under the ids from `first` on.
    pub(crate) fn specials(&mut self, spellings: &[&str], first: u32) -> Result<(), Error> {
        for (id, spelling) in (first..).zip(spellings) {
            self.special(spelling, id)?;
        }
        Ok(())
    }

    /// Makes room for an id that stands for nothing.
    pub(crate) fn silent(&mut self, id: u32) -> Result<(), Error> {
        self.slot(id).map(|_| ())
    }

    /// Whether no token of text has this id.
    pub(crate) fn is_free(&self, id: u32) -> bool {
        self.bytes
            .get(id as usize)
            .is_none_or(|bytes| bytes.is_empty())
    }

    /// How many ids there are so far: every id is below this.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("ids are below MAX_IDS")
    }

    /// The id of a special token.
    pub(crate) fn id(&self, spelling: &str) -> Option<u32> {
        self.special.get(spelling).copied()
    }

    /// The bytes of every id, and the special tokens.
    pub(crate) fn take(self) -> (Vec<Box<[u8]>>, HashMap<String, u32>) {
        (self.bytes, self.special)
    }

    /// The id of each single byte, or the first byte that has none.
    pub(crate) fn byte_ids(&self) -> Result<[u32; 256], Error> {
        let mut ids = [None; 256];
        for (id, token) in (0u32..).zip(&self.bytes) {
            if let [byte] = **token {
                ids[usize::from(byte)].get_or_insert(id);
            }
        }
        let mut bytes = [0; 256];
        for (byte, id) in (0u8..=255).zip(ids) {
            bytes[usize::from(byte)] = id.ok_or(Error::NotByteLevel { byte })?;
        }
        Ok(bytes)
    }

    fn slot(&mut self, id: u32) -> Result<&mut Box<[u8]>, Error> {
        if id >= MAX_IDS {
            return Err(Error::broken(
                self.file,
                format!("token id {id}"),
                format!("ids must be below {MAX_IDS}"),
            ));
        }
        let index = id as usize;
        if index >= self.bytes.len() {
            self.bytes.resize_with(index + 1, Box::default);
        }
        Ok(&mut self.bytes[index])
    }
}
