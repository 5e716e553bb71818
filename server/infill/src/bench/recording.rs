//! Recorded typing: one JSON object a line.
//!
//! ```json
//! {"time": 0, "kind": "open", "data": {"path": "cart.js", "text": "export "}}
//! {"time": 800, "kind": "jump", "data": {"line": 0, "column": 7}}
//! {"time": 950, "kind": "type", "data": {"text": "(", "tail": ")"}}
//! ```
//!
//! `time` is in milliseconds from the start. `open` begins a document; what follows it is typed there. The other kinds
//! are those of [`Key`]: `type`, `over`, `slip`, `backspace`, `walk`, `jump`, `paste` and `accept`, with its fields as
//! `data`. The gaps between the times are what counts: with a pace, the median gap becomes that pace.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::bench::buffer::Key;
use crate::bench::script::{Script, Step};

/// A gap of so many times the median one is a pause.
const PAUSE: f32 = 4.0;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds from the start.
    pub time: u32,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// A document was opened.
    Open(Open),
    /// Something was done in it.
    Key(Key),
}

/// A document was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum Open {
    /// The one kind that there is.
    Open {
        /// Its path.
        path: PathBuf,
        /// Its text.
        text: String,
    },
}

/// Reads a recording: a script for each document.
///
/// # Errors
/// If the file cannot be read or a line is none of the above, with its number; if a step does not fit its document.
pub fn read(path: &Path) -> anyhow::Result<Vec<Script>> {
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is no recording", path.display()))
}

fn parse(text: &str) -> anyhow::Result<Vec<Script>> {
    let mut documents: Vec<(Script, Vec<u32>)> = Vec::new();
    let mut last = 0;
    for (number, line) in (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let Line { time, event } =
            serde_json::from_str(line).with_context(|| format!("line {number}: {line}"))?;
        let gap = time.checked_sub(last);
        let gap =
            gap.with_context(|| format!("line {number} is earlier than the one before it"))?;
        last = time;
        match (event, documents.last_mut()) {
            (Event::Open(Open::Open { path, text }), _) => {
                let (steps, result) = (Vec::new(), None);
                let script = Script {
                    path,
                    text,
                    steps,
                    result,
                };
                documents.push((script, Vec::new()));
            }
            (Event::Key(key), Some((script, gaps))) => {
                let (gap_share, pause, looks) = (1.0, 0, false);
                script.steps.push(Step {
                    key,
                    gap: gap_share,
                    pause,
                    looks,
                });
                gaps.push(gap);
            }
            (Event::Key(_), None) => bail!("line {number}: no document is open yet"),
        }
    }
    let scripts = documents.into_iter().map(|(mut script, gaps)| {
        time_steps(&mut script.steps, &gaps);
        script.result = Some(script.play()?);
        Ok(script)
    });
    scripts.collect()
}

/// Sets the gaps before steps, and what of them is rest, from their milliseconds.
fn time_steps(steps: &mut [Step], gaps: &[u32]) {
    let mut sorted = gaps.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0).max(1);
    for (step, &gap) in steps.iter_mut().zip(gaps) {
        let share = gap as f32 / median as f32;
        if share > PAUSE {
            step.pause = gap - median;
        } else {
            step.gap = share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_a_script_for_each_document() {
        let text = r#"
            {"time": 0, "kind": "open", "data": {"path": "a.js", "text": "let x\n"}}
            {"time": 2000, "kind": "jump", "data": {"line": 0, "column": 5}}
            {"time": 2100, "kind": "type", "data": {"text": "(", "tail": ")"}}
            {"time": 2150, "kind": "slip", "data": {"text": "x"}}
            {"time": 2250, "kind": "backspace"}
            {"time": 2350, "kind": "accept", "data": {"text": "1)", "over": ")"}}
            {"time": 9000, "kind": "open", "data": {"path": "b.js", "text": ""}}
            {"time": 9100, "kind": "paste", "data": {"text": "pasted"}}
        "#;
        let scripts = parse(text).unwrap();
        let results: Vec<_> = scripts
            .iter()
            .map(|script| script.result.as_deref())
            .collect();
        assert_eq!(results, [Some("let x(1)\n"), Some("pasted")]);
        let times: Vec<_> = scripts[0]
            .steps
            .iter()
            .map(|step| (step.gap, step.pause))
            .collect();
        assert_eq!(times, [(1.0, 1900), (1.0, 0), (0.5, 0), (1.0, 0), (1.0, 0)]);
    }

    #[test]
    fn what_is_no_recording_is_refused_with_its_line() {
        let open = r#"{"time": 5, "kind": "open", "data": {"path": "a", "text": ""}}"#;
        for (text, expected) in [
            ("{}".to_owned(), "line 1"),
            (
                r#"{"time": 0, "kind": "backspace"}"#.to_owned(),
                "no document",
            ),
            (
                format!("{open}\n{{\"time\": 4, \"kind\": \"backspace\"}}"),
                "earlier",
            ),
            (
                format!("{open}\n{{\"time\": 6, \"kind\": \"backspace\"}}"),
                "step 1",
            ),
            (
                format!("{open}\n{{\"time\": 6, \"kind\": \"dance\"}}"),
                "line 2",
            ),
        ] {
            let error = format!("{:#}", parse(&text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
