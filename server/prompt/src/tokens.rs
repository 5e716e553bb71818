//! Ids from text and from tokens by their spelling, for the templates.
//!
//! The one way by which a special token gets into a prompt: a template names it. Text is encoded
//! as text, however it is spelled.

use vocab::Vocab;

use crate::{Error, Template};

/// A vocabulary as one template sees it.
#[derive(Clone, Copy)]
pub(crate) struct Tokens<'a> {
    pub vocab: &'a Vocab,
    pub template: Template,
}

impl<'a> Tokens<'a> {
    /// The id of the token with one of these spellings, which are its makers' over the years.
    pub fn id(&self, spellings: &[&'static str]) -> Result<u32, Error> {
        self.find(spellings).ok_or(Error::Missing {
            template: self.template,
            token: spellings[0],
        })
    }

    /// [`Tokens::id`] of a token that not every vocabulary has.
    pub fn find(&self, spellings: &[&'static str]) -> Option<u32> {
        spellings
            .iter()
            .find_map(|spelling| self.vocab.id(spelling))
    }

    /// The ids of those of these tokens that the vocabulary has.
    pub fn all(&self, spellings: &[&'static str]) -> Vec<u32> {
        let ids = spellings.iter().filter_map(|s| self.vocab.id(s));
        ids.collect()
    }

    /// An empty prompt.
    pub fn script(&self) -> Script<'a> {
        Script {
            tokens: *self,
            text: String::new(),
            ids: Vec::new(),
        }
    }
}

/// A prompt as it is written: tokens and text in turn.
pub(crate) struct Script<'a> {
    tokens: Tokens<'a>,
    /// Text that is not encoded yet.
    text: String,
    ids: Vec<u32>,
}

impl Script<'_> {
    /// A token that the template cannot do without.
    pub fn token(&mut self, spellings: &[&'static str]) -> Result<&mut Self, Error> {
        let id = self.tokens.id(spellings)?;
        self.cut();
        self.ids.push(id);
        Ok(self)
    }

    /// A mark that is a token in some vocabularies and plain text in others.
    pub fn mark(&mut self, spelling: &'static str) -> &mut Self {
        match self.tokens.vocab.id(spelling) {
            Some(id) => {
                self.cut();
                self.ids.push(id);
            }
            None => self.text.push_str(spelling),
        }
        self
    }

    /// Text. What comes up to the next token or cut is encoded together.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Text that the makers encode by itself, apart from what stands before and after it.
    pub fn piece(&mut self, text: &str) -> &mut Self {
        self.cut();
        self.text(text).cut();
        self
    }

    /// Ids of text that was encoded before.
    pub fn ids(&mut self, ids: &[u32]) -> &mut Self {
        self.cut();
        self.ids.extend_from_slice(ids);
        self
    }

    /// All of it.
    pub fn done(&mut self) -> Vec<u32> {
        self.cut();
        std::mem::take(&mut self.ids)
    }

    fn cut(&mut self) {
        if !self.text.is_empty() {
            self.ids.extend(self.tokens.vocab.encode_start(&self.text));
            self.text.clear();
        }
    }
}
