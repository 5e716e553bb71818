//! Playing scripts on a server: a key, the request that an editor makes for it, the answer.
//!
//! Any number of documents are typed in at once over one connection, each with one request under way at most. Without a
//! pace the next key is pressed when the answer is there. With one, keys come when they are due, and a request that has
//! no answer by then is cancelled, as VS Code does.

use std::path::{Path, absolute};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use grammars::Language;
use serde_json::{Value, json};
use tower_lsp::lsp_types::Url;

use crate::bench::buffer::{Buffer, Change, Key, Place};
use crate::bench::client::{Answer, Client, PATIENCE};
use crate::bench::script::{Script, keys};
use crate::bench::suggestion::{Right, Suggestion};

const INLINE_COMPLETION: &str = "textDocument/inlineCompletion";

/// `triggerKind` of a request that the client makes while the user types.
const AUTOMATIC: u32 = 2;

/// What kind of key a completion was asked for after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One that types on: characters, closers, line ends; wrong ones, too.
    Forward,
    /// One that takes back.
    Backspace,
    /// One that takes a suggestion.
    Accept,
    /// A block from the clipboard.
    Paste,
    /// No key: the cursor is somewhere else now.
    Jump,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [
        Kind::Forward,
        Kind::Backspace,
        Kind::Accept,
        Kind::Paste,
        Kind::Jump,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Forward => "forward",
            Kind::Backspace => "backspace",
            Kind::Accept => "accept",
            Kind::Paste => "paste",
            Kind::Jump => "jump",
        }
    }

    /// What the editor asks for after this key. None if it does not ask.
    fn of(key: &Key) -> Option<Kind> {
        match key {
            Key::Type { .. } | Key::Over { .. } | Key::Slip { .. } => Some(Kind::Forward),
            Key::Backspace => Some(Kind::Backspace),
            Key::Accept { .. } => Some(Kind::Accept),
            Key::Paste { .. } => Some(Kind::Paste),
            Key::Jump { .. } => Some(Kind::Jump),
            Key::Walk { .. } => None,
        }
    }
}

/// What one request came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Stroke {
    /// The key it was made for.
    pub kind: Kind,
    /// From the key's message to the answer. None if the next key came first.
    pub latency: Option<Duration>,
    /// Whether there was something to show.
    pub shown: bool,
    /// Whether the answer before it showed this very key.
    pub foreseen: bool,
    /// What the server says that it took, if it does.
    pub cost: Option<Cost>,
}

/// What a server says that an answer took.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// Tokens that the model read.
    pub prefilled: u64,
    /// Tokens that the model wrote.
    pub decoded: u64,
    /// Where the answer came from.
    pub tier: String,
}

impl Cost {
    /// Reads the field `infill` of an answer.
    fn of(answer: &Value) -> Option<Cost> {
        let record = answer.get("infill")?;
        Some(Cost {
            prefilled: record["tokens_prefilled"].as_u64()?,
            decoded: record["tokens_decoded"].as_u64()?,
            tier: record["cache"].as_str()?.to_owned(),
        })
    }
}

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Played {
    /// The requests, a document's in their order.
    pub strokes: Vec<Stroke>,
    /// Keys that writing the text takes, slips apart.
    pub keys: usize,
    /// Keys of these that taking every suggestion that was right would have saved.
    pub saved: usize,
}

/// Plays scripts, so many at a time.
///
/// # Errors
/// If the server ends or does not answer, or a script does not fit its document.
pub fn play(
    client: &mut Client,
    scripts: &[Script],
    editors: usize,
    pace: Option<Duration>,
) -> anyhow::Result<Played> {
    let mut waiting = scripts.iter().enumerate();
    let mut players: Vec<Player> = Vec::new();
    let mut played = Played::default();
    loop {
        while players.len() < editors {
            let Some((number, script)) = waiting.next() else {
                break;
            };
            players.push(Player::open(client, script, number, pace)?);
        }
        if players.is_empty() {
            return Ok(played);
        }
        // Answers first: one that came before its next key was due has been in time.
        while let Some(answer) = client.answer(Duration::ZERO)? {
            hand_over(&mut players, answer)?;
        }
        for player in &mut players {
            player.press_due(client)?;
        }
        let due = players.iter().filter_map(Player::due).min();
        let now = Instant::now();
        let wait = due.map_or(PATIENCE, |due| due.saturating_duration_since(now));
        let is_stuck = due.is_none() && players.iter().any(|player| !player.is_done());
        match client.answer(if is_stuck || due.is_some() {
            wait
        } else {
            Duration::ZERO
        })? {
            Some(answer) => hand_over(&mut players, answer)?,
            None if is_stuck => bail!("the server did not answer within {PATIENCE:?}"),
            None => {}
        }
        let mut index = 0;
        while index < players.len() {
            if players[index].is_done() {
                let (strokes, saved, keys) = players.swap_remove(index).close(client)?;
                played.strokes.extend(strokes);
                played.saved += saved;
                played.keys += keys;
            } else {
                index += 1;
            }
        }
    }
}

/// Gives an answer to the player that waits for it; one that was cancelled is nobody's.
fn hand_over(players: &mut [Player], answer: Answer) -> anyhow::Result<()> {
    match players.iter_mut().find(|player| player.waits_for(&answer)) {
        Some(player) => player.take(answer),
        None => Ok(()),
    }
}

/// Opens a document under its own name and a number.
///
/// # Errors
/// If the path has no URL or the server has ended.
pub fn open(client: &mut Client, path: &Path, number: usize, text: &str) -> anyhow::Result<Url> {
    let path = absolute(path).with_context(|| format!("cannot resolve {}", path.display()))?;
    let mut url =
        Url::from_file_path(&path).map_err(|()| anyhow!("{} has no URL", path.display()))?;
    // The same file may be open several times: each time in a folder of its own, which is not on the disk.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop().push(&format!("editor-{number}")).push(&name);
    }
    let language = Language::of_path(&path).map_or("plaintext", Language::name);
    client.notify(
        "textDocument/didOpen",
        json!({ "textDocument": { "uri": url, "languageId": language, "version": 0, "text": text } }),
    )?;
    Ok(url)
}

/// A request under way.
struct Asked {
    id: u64,
    at: Instant,
    kind: Kind,
    foreseen: bool,
}

/// One document being typed in.
struct Player<'a> {
    script: &'a Script,
    buffer: Buffer,
    url: Url,
    version: i32,
    /// How many steps are done.
    done: usize,
    /// When the next key is pressed, unless an answer is waited for.
    due: Instant,
    pace: Option<Duration>,
    asked: Option<Asked>,
    /// A suggestion that the person is going to take.
    taking: Option<Right>,
    /// Whether what is shown goes on with the next key.
    foresees: bool,
    strokes: Vec<Stroke>,
    saved: usize,
    /// The step up to which suggestions have saved keys already.
    saved_until: usize,
}

impl<'a> Player<'a> {
    fn open(
        client: &mut Client,
        script: &'a Script,
        number: usize,
        pace: Option<Duration>,
    ) -> anyhow::Result<Player<'a>> {
        Ok(Player {
            script,
            buffer: Buffer::new(&script.text, client.encoding()),
            url: open(client, &script.path, number, &script.text)?,
            version: 0,
            done: 0,
            due: Instant::now(),
            pace,
            asked: None,
            taking: None,
            foresees: false,
            strokes: Vec::with_capacity(script.steps.len()),
            saved: 0,
            saved_until: 0,
        })
    }

    /// When the next key is to be pressed. None if an answer must come first, or there is none.
    fn due(&self) -> Option<Instant> {
        let is_free = self.asked.is_none() || self.pace.is_some();
        (is_free && self.done < self.script.steps.len()).then_some(self.due)
    }

    fn is_done(&self) -> bool {
        self.asked.is_none() && self.done == self.script.steps.len()
    }

    fn waits_for(&self, answer: &Answer) -> bool {
        self.asked
            .as_ref()
            .is_some_and(|asked| asked.id == answer.id)
    }

    /// Presses the next key if it is due.
    fn press_due(&mut self, client: &mut Client) -> anyhow::Result<()> {
        let Some(due) = self.due().filter(|&due| due <= Instant::now()) else {
            return Ok(());
        };
        if let Some(asked) = self.asked.take() {
            client.notify("$/cancelRequest", json!({ "id": asked.id }))?;
            self.strokes.push(Stroke {
                kind: asked.kind,
                latency: None,
                shown: false,
                foreseen: asked.foreseen,
                cost: None,
            });
        }
        let (change, kind) = match self.taking.take() {
            Some(right) => {
                self.done += right.steps;
                (Some(self.buffer.edit(&right.edit)), Some(Kind::Accept))
            }
            None => {
                let key = &self.script.steps[self.done].key;
                let change = self.buffer.press(key).with_context(|| {
                    format!("{}, step {}", self.script.path.display(), self.done + 1)
                })?;
                self.done += 1;
                (change, Kind::of(key))
            }
        };
        self.ask(client, change, kind)?;
        let pause = self.pause();
        self.due = match (self.pace, self.asked.is_some()) {
            (Some(pace), _) => due + pace.mul_f32(self.gap()) + pause,
            (None, true) => due,
            (None, false) => Instant::now() + pause,
        };
        Ok(())
    }

    fn gap(&self) -> f32 {
        self.script
            .steps
            .get(self.done)
            .map_or(1.0, |step| step.gap)
    }

    fn pause(&self) -> Duration {
        let pause = self
            .script
            .steps
            .get(self.done)
            .map_or(0, |step| step.pause);
        Duration::from_millis(pause.into())
    }

    /// Tells the server what the key has changed, and asks.
    fn ask(
        &mut self,
        client: &mut Client,
        change: Option<Change>,
        kind: Option<Kind>,
    ) -> anyhow::Result<()> {
        let change = change.map(|change| {
            self.version += 1;
            let range = json!({ "start": position(change.start), "end": position(change.end) });
            json!({
                "textDocument": { "uri": self.url, "version": self.version },
                "contentChanges": [{ "range": range, "text": change.text }],
            })
        });
        let change = change.map(|params| ("textDocument/didChange", params));
        let Some(kind) = kind else {
            return match change {
                Some((method, params)) => client.notify(method, params),
                None => Ok(()),
            };
        };
        let params = json!({
            "textDocument": { "uri": self.url },
            "position": position(self.buffer.cursor()),
            "context": { "triggerKind": AUTOMATIC },
        });
        let at = Instant::now();
        let id = client.send(change, (INLINE_COMPLETION, params))?;
        let foreseen = std::mem::take(&mut self.foresees);
        self.asked = Some(Asked {
            id,
            at,
            kind,
            foreseen,
        });
        Ok(())
    }

    /// Takes the answer that was waited for.
    fn take(&mut self, answer: Answer) -> anyhow::Result<()> {
        let Some(Asked {
            at, kind, foreseen, ..
        }) = self.asked.take()
        else {
            return Ok(());
        };
        let result = answer
            .result
            .map_err(|error| anyhow!("the server answered with an error: {error}"))?;
        let suggestion = Suggestion::of(&result).filter(|suggestion| !suggestion.is_empty());
        self.strokes.push(Stroke {
            kind,
            latency: Some(answer.at.saturating_duration_since(at)),
            shown: suggestion.is_some(),
            foreseen,
            cost: Cost::of(&result),
        });
        let next = &self.script.steps[self.done..];
        self.foresees = suggestion
            .as_ref()
            .zip(next.first())
            .is_some_and(|(suggestion, step)| suggestion.foresees(&self.buffer, &step.key));
        let right = suggestion.and_then(|suggestion| suggestion.right(&self.buffer, next));
        if let Some(right) = right {
            if self.done >= self.saved_until {
                self.saved += right.saved;
                self.saved_until = self.done + right.steps;
            }
            if next.first().is_some_and(|step| step.looks) {
                self.taking = Some(right);
            }
        }
        if self.pace.is_none() {
            self.due = answer.at + self.pause();
        }
        Ok(())
    }

    /// Closes the document and gives what it came to: the requests, the keys saved, and all keys.
    fn close(self, client: &mut Client) -> anyhow::Result<(Vec<Stroke>, usize, usize)> {
        client.notify(
            "textDocument/didClose",
            json!({ "textDocument": { "uri": self.url } }),
        )?;
        // A check of the bench itself: whatever was accepted on the way, the text is the one that was to be typed.
        if self
            .script
            .result
            .as_ref()
            .is_some_and(|result| *result != self.buffer.text())
        {
            bail!("the replay of {} went astray", self.script.path.display());
        }
        Ok((self.strokes, self.saved, keys(&self.script.steps)))
    }
}

fn position(place: Place) -> Value {
    json!({ "line": place.line, "character": place.column })
}
