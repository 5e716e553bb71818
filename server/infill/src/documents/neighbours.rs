//! What of the open documents may be shown beside another one.
//!
//! A document is lent or it is not; who judges that says so, and nothing of one that is not lent gets out here. Lent ones are
//! cut into excerpts once a version, by [`Documents::cut`], on a thread that may be busy; who completes takes what is there.

use std::cmp::Reverse;
use std::sync::Arc;

use prompt::Neighbour;
use tower_lsp::lsp_types::Url;

use super::Documents;

/// Bytes of all documents that are cut. Ranking so many takes some tenths of a millisecond.
const BYTES: usize = 2 << 20;

/// A document that is lent, as it was when it was cut.
pub struct Lent {
    /// Its address.
    pub url: Url,
    /// A number that grows with each edit of any document.
    pub edit: u64,
    /// Its excerpts.
    pub neighbour: Arc<Neighbour>,
}

impl Documents {
    /// Says whether excerpts of a document may be shown beside others. Those of one that was just opened may not.
    pub fn lend(&self, url: &Url, is_lent: bool) {
        if let Some(mut open) = self.open.get_mut(url) {
            open.is_lent = is_lent;
            open.cut.take_if(|_| !is_lent);
        }
    }

    /// Says so of all, each by its address.
    pub fn lend_all(&self, is_lent: impl Fn(&Url) -> bool) {
        // Not `iter_mut`: whoever judges may ask of any document.
        let urls: Vec<Url> = self.open.iter().map(|open| open.key().clone()).collect();
        for url in urls {
            self.lend(&url, is_lent(&url));
        }
    }

    /// Whether excerpts of a document may be shown beside others.
    pub fn is_lent(&self, url: &Url) -> bool {
        self.open.get(url).is_some_and(|open| open.is_lent)
    }

    /// Cuts the lent documents that were edited since they were cut; the excerpts of those that were edited longest ago are
    /// dropped where there are too many.
    pub fn cut(&self) {
        let lent = self.open.iter().filter(|open| open.is_lent);
        let mut lent: Vec<(u64, Url)> = lent.map(|open| (open.edit, open.key().clone())).collect();
        lent.sort_unstable_by_key(|&(edit, _)| Reverse(edit));
        let mut left = BYTES;
        for (_, url) in lent {
            left = match self.cut_one(&url, left) {
                Some(bytes) => left - bytes,
                None => 0,
            };
        }
    }

    /// Cuts a document if it was edited since and its excerpts are of at most `room` bytes. Gives how many they are of; none
    /// if there is no room for them.
    fn cut_one(&self, url: &Url, room: usize) -> Option<usize> {
        let known = self.open.get(url).and_then(|open| {
            let (edit, neighbour) = open.cut.clone()?;
            Some((edit, open.edit, neighbour))
        });
        let known = known.filter(|(cut, edit, _)| cut == edit);
        let neighbour = match known {
            Some((_, _, neighbour)) => neighbour,
            None if room == 0 => return None,
            None => {
                // No guard of the map is held while it is cut.
                let open = self.open.get(url)?;
                let (edit, snapshot) = (open.edit, open.document.snapshot());
                drop(open);
                let neighbour = Arc::new(Neighbour::new(&path(url), &snapshot));
                if let Some(mut open) = self.open.get_mut(url).filter(|open| open.is_lent) {
                    open.cut = Some((edit, Arc::clone(&neighbour)));
                }
                neighbour
            }
        };
        let bytes = neighbour.bytes();
        if bytes > room
            && let Some(mut open) = self.open.get_mut(url)
        {
            open.cut = None;
        }
        (bytes <= room).then_some(bytes)
    }

    /// The documents that may be shown beside this one, as they were when they were cut, the one edited last first.
    pub fn beside(&self, url: &Url) -> Vec<Lent> {
        let others = self
            .open
            .iter()
            .filter(|open| open.is_lent && open.key() != url);
        let lent = others.filter_map(|open| {
            let (edit, neighbour) = open.cut.clone()?;
            let url = open.key().clone();
            Some(Lent {
                url,
                edit,
                neighbour,
            })
        });
        let mut lent: Vec<Lent> = lent.collect();
        lent.sort_unstable_by_key(|lent| Reverse(lent.edit));
        lent
    }
}

/// A document's path, its folders parted by `/`; of one that is no file yet, what its address has for one.
pub fn path(url: &Url) -> String {
    match url.to_file_path() {
        Ok(path) => path.to_string_lossy().replace('\\', "/"),
        Err(()) => url.path().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use grammars::Language;
    use text::Edit;

    use super::*;

    fn url(name: &str) -> Url {
        Url::parse(&format!("file:///w/{name}")).unwrap()
    }

    fn open(documents: &Documents, name: &str, text: &str) {
        documents.open(url(name), text, 1, Language::PLAIN);
        documents.lend(&url(name), true);
    }

    fn beside(documents: &Documents, name: &str) -> Vec<String> {
        let lent = documents.beside(&url(name)).into_iter();
        lent.map(|lent| lent.neighbour.path().to_owned()).collect()
    }

    #[test]
    fn what_is_lent_is_there_once_it_is_cut_and_no_longer_than_it_is_lent() {
        let documents = Documents::default();
        for name in ["a", "b", "c"] {
            open(&documents, name, "some words\n");
        }
        documents.open(url("secret"), "some words\n", 1, Language::PLAIN);
        assert!(beside(&documents, "a").is_empty(), "nothing is cut yet");
        documents.cut();
        assert_eq!(beside(&documents, "a"), ["/w/c", "/w/b"]);
        let edit = Edit {
            range: 0..0,
            text: "more ".to_owned(),
        };
        documents.change(&url("b"), |document| {
            document.edit(&edit);
        });
        let edits = |documents: &Documents| {
            let lent = documents.beside(&url("a")).into_iter();
            lent.map(|lent| lent.edit).collect::<Vec<u64>>()
        };
        let before = edits(&documents);
        documents.cut();
        assert_eq!(beside(&documents, "a"), ["/w/b", "/w/c"]);
        assert!(edits(&documents)[0] > before[0]);
        documents.lend(&url("b"), false);
        assert_eq!(beside(&documents, "a"), ["/w/c"]);
        documents.lend_all(|other| *other == url("secret"));
        documents.cut();
        assert_eq!(beside(&documents, "a"), ["/w/secret"]);
        documents.close(&url("secret"));
        assert!(beside(&documents, "a").is_empty());
    }

    #[test]
    fn documents_edited_long_ago_give_way() {
        let documents = Documents::default();
        let text = "some words of many\n".repeat(6_000);
        for number in 0..30 {
            open(&documents, &number.to_string(), &text);
        }
        documents.cut();
        let kept = documents.beside(&url("none"));
        let bytes: usize = kept.iter().map(|lent| lent.neighbour.bytes()).sum();
        assert!((BYTES / 2..=BYTES).contains(&bytes), "{bytes}");
        let expected: Vec<Url> = (0..30)
            .rev()
            .map(|number| url(&number.to_string()))
            .collect();
        let kept: Vec<Url> = kept.into_iter().map(|lent| lent.url).collect();
        assert_eq!(kept, expected[..kept.len()]);
    }
}
