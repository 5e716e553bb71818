//! What an editor shows at a blank in a text, when it is asked by hand.
//!
//! Takes the text before the blank and behind it, asks [`complete`], the path that serves editors, and gives what is in
//! the blank then. What an editor would not show counts as an empty answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use engine::Class;
use grammars::Language;
use tower_lsp::lsp_types::Url;

use crate::complete::{Ask, Outcome, Why, complete};
use crate::documents::Documents;
use crate::flags::ModelArgs;
use crate::models::settings::Choice;
use crate::rooms::Rooms;

/// A text with a blank in it, where the cursor is.
#[derive(Clone, Copy, Debug)]
pub struct Blank<'a> {
    /// The name of the file, or its path.
    pub file: &'a str,
    /// Its language.
    pub language: Language,
    /// The text before the blank.
    pub before: &'a str,
    /// The text behind it.
    pub after: &'a str,
    /// Other files that are open, the one edited last first.
    pub others: &'a [Other],
}

/// A file that is open beside the one with the blank.
#[derive(Clone, Debug)]
pub struct Other {
    /// Its path, as that of the blank's.
    pub file: String,
    /// Its language.
    pub language: Language,
    /// What is in it.
    pub text: String,
}

/// What fills a blank.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What is in the blank then.
    pub text: String,
    /// The whole text then.
    pub code: String,
    /// Whether there was anything to show.
    pub is_shown: bool,
    /// How likely the model found its first line, 0 to 1, if there is one.
    pub score: Option<f32>,
}

impl Answer {
    /// This text in the blank, by nobody's model; not shown if it is empty.
    pub fn known(text: &str, before: &str, after: &str) -> Answer {
        Answer {
            text: text.to_owned(),
            code: [before, text, after].concat(),
            is_shown: !text.is_empty(),
            score: None,
        }
    }
}

/// An editor without a screen.
pub struct Editor {
    rooms: Arc<Rooms>,
    documents: Arc<Documents>,
    asked: AtomicUsize,
}

impl Editor {
    /// Loads the model that the arguments choose, else the one of the settings around the current folder.
    ///
    /// # Errors
    /// If the settings or the model cannot be read.
    pub fn open(arguments: &ModelArgs) -> anyhow::Result<Editor> {
        let folder = std::env::current_dir().context("there is no current folder")?;
        let choice = arguments.choice().or(Choice::found_from(&folder)?);
        Ok(Editor {
            rooms: Arc::new(Rooms::open(&choice, &|_| {})?),
            documents: Arc::default(),
            asked: AtomicUsize::new(0),
        })
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.rooms.model.name
    }

    /// The score from which on its model's answers are shown unasked, if its file says so.
    pub fn threshold(&self) -> Option<f32> {
        self.rooms.model.threshold
    }

    /// What is shown at the blank.
    ///
    /// # Errors
    /// If the model could not be run or a step broke.
    pub async fn show(&self, blank: &Blank<'_>) -> anyhow::Result<Answer> {
        let Blank {
            file,
            language,
            before,
            after,
            others,
        } = *blank;
        let text = [before, after].concat();
        let folder = self.asked.fetch_add(1, Ordering::Relaxed);
        let mut opened = Vec::new();
        for other in others.iter().rev() {
            let url = address(folder, &other.file)?;
            let Other { language, text, .. } = other;
            self.documents.open(url.clone(), text, 0, *language);
            self.documents.lend(&url, true);
            opened.push(url);
        }
        let url = address(folder, file)?;
        self.documents.open(url.clone(), &text, 0, language);
        let view = self.documents.view(&url).context("the file was closed")?;
        let ask = Ask {
            url: url.clone(),
            view,
            offset: before.len(),
            class: Class::Invoked,
            hypothetical: false,
            single_line: false,
            delay: Duration::ZERO,
        };
        let (rooms, documents) = (Arc::clone(&self.rooms), Arc::clone(&self.documents));
        let outcome = complete(rooms, documents, ask).await;
        opened.push(url);
        for url in &opened {
            self.documents.close(url);
        }
        let Outcome {
            shown, exchange, ..
        } = outcome;
        let item = match shown {
            Ok(shown) => shown.item,
            Err(Why::Failed(why)) => bail!("the model could not be run: {why}"),
            Err(Why::Broken(error)) => return Err(error).context("the completion broke off"),
            Err(_) => return Ok(Answer::known("", before, after)),
        };
        let code = format!(
            "{}{}{}",
            &text[..item.range.start],
            item.text,
            &text[item.range.end..]
        );
        // Closing brackets behind the blank may be replaced by the same ones.
        let behind = code.get(before.len()..).unwrap_or_default();
        let filled = behind.strip_suffix(after).unwrap_or(behind).to_owned();
        Ok(Answer {
            text: filled,
            code,
            is_shown: true,
            score: exchange.score,
        })
    }
}

/// A file in a folder of its blank's own, so that no answer stored for another blank of it serves.
fn address(folder: usize, file: &str) -> anyhow::Result<Url> {
    let mut url = Url::parse("file:///").context("a file has no address")?;
    url.set_path(&format!("/{folder}/{file}"));
    Ok(url)
}
