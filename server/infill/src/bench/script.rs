//! What a person does in one document, as values: typed, mistyped, pasted, jumped.
//!
//! A synthetic script takes parts of a file out and puts them back the way people do: with brackets and quotes that the
//! editor closes, line ends that bring their indentation, wrong keys and backspaces, pasted blocks, pauses, and jumps
//! from one part to the next. It is made from a seed alone, so each run types the same. [`crate::bench::recording`]
//! reads scripts that somebody else wrote.

use std::ops::Range;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use text::Encoding;

use crate::bench::buffer::{Buffer, Key};
use crate::bench::pairs::Pairs;

/// Keys that are typed in one part before the cursor jumps to the next.
const KEYS_A_PART: usize = 40;

/// Lines of the text that a part has to itself at least, typed or left as they are.
const LINES_A_PART: usize = 12;

/// How often, one in so many: a wrong key, before a letter.
const SLIP: u32 = 40;
/// A block that is pasted, where a line begins.
const PASTE: u32 = 12;
/// A pause, before any key and before the first one of a line.
const PAUSE: u32 = 60;
const PAUSE_AT_LINE: u32 = 8;
/// A look at what is suggested, which is accepted if it is right.
const LOOK: u32 = 3;

/// Milliseconds of a pause.
const PAUSES: Range<u32> = 300..1200;

/// Bytes of a block that is pasted.
const BLOCK: Range<usize> = 16..400;

/// One step of a script.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What is done.
    pub key: Key,
    /// The gap before it, where 1 is the usual one between two keys.
    pub gap: f32,
    /// Milliseconds of rest before it, besides.
    pub pause: u32,
    /// Whether the person would, instead, accept a suggestion that says what comes next.
    pub looks: bool,
}

/// What is done in one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// The document's path.
    pub path: PathBuf,
    /// The text before the first step.
    pub text: String,
    /// The steps.
    pub steps: Vec<Step>,
    /// The text after the last step, where it is known.
    pub result: Option<String>,
}

impl Script {
    /// Types parts of a text again, some `keystrokes` in all and to the end of their lines; fewer if the text is short.
    pub fn synthetic(path: &Path, text: &str, keystrokes: usize, seed: u64) -> Script {
        let mut rng = Rng::with_seed(seed);
        let parts = parts(text, keystrokes);
        let mut order: Vec<usize> = (0..parts.len()).collect();
        rng.shuffle(&mut order);
        let mut is_typed = vec![false; parts.len()];
        let without = |is_typed: &[bool]| {
            let mut rest = text.to_owned();
            for (part, _) in parts
                .iter()
                .zip(is_typed)
                .rev()
                .filter(|(_, typed)| !**typed)
            {
                rest.replace_range(part.clone(), "");
            }
            rest
        };
        let before = without(&is_typed);
        let mut steps = Vec::new();
        for index in order {
            let part = &parts[index];
            let start = text[..part.start].rfind('\n').map_or(0, |at| at + 1);
            let gone = parts[..index]
                .iter()
                .zip(&is_typed)
                .filter(|(_, typed)| !**typed);
            let gone: usize = gone.map(|(part, _)| lines(&text[part.clone()])).sum();
            let jump = Key::Jump {
                line: lines(&text[..part.start]) - gone,
                column: part.start - start,
            };
            let mut typist = Typist::new(&text[part.clone()], &mut rng);
            typist.push(jump);
            steps.extend(typist.steps());
            is_typed[index] = true;
        }
        Script {
            path: path.to_owned(),
            text: before,
            steps,
            result: Some(text.to_owned()),
        }
    }

    /// How many keys the typing itself takes, slips apart.
    pub fn keys(&self) -> usize {
        keys(&self.steps)
    }

    /// The text after the last step.
    ///
    /// # Errors
    /// If a step does not fit the text, with its number.
    pub fn play(&self) -> anyhow::Result<String> {
        let mut buffer = Buffer::new(&self.text, Encoding::Utf8);
        for (number, step) in (1..).zip(&self.steps) {
            let pressed = buffer.press(&step.key);
            pressed
                .map_err(|error| error.context(format!("step {number} does not fit the text")))?;
        }
        Ok(buffer.text())
    }
}

/// How many keys these steps take, slips apart.
pub fn keys(steps: &[Step]) -> usize {
    steps.iter().filter(|step| step.key.is_needed()).count()
}

/// The parts of a text that are typed, spread over it: whole lines, each from its first text on, without the last
/// line's end.
fn parts(text: &str, keystrokes: usize) -> Vec<Range<usize>> {
    let starts: Vec<usize> = line_starts(text).collect();
    let count = keystrokes.div_ceil(KEYS_A_PART);
    let count = count.min(starts.len().div_ceil(LINES_A_PART));
    let mut parts = Vec::new();
    for zone in 0..count {
        let end = starts
            .get((zone + 1) * starts.len() / count)
            .copied()
            .unwrap_or(text.len());
        // Some way into its zone, so that there is context on both sides.
        let first = (3 * zone + 1) * starts.len() / (3 * count);
        let mut start = starts.get(first).copied().unwrap_or(end);
        start += text[start..end].len() - text[start..end].trim_start().len();
        let wanted = (zone + 1) * keystrokes / count - zone * keystrokes / count;
        let (mut at, mut typed) = (start, 0);
        while at < end && (typed < wanted || line_end(&text[at..]).is_none()) {
            at += first_key(&text[at..end]).len();
            typed += 1;
        }
        at = start + text[start..at].trim_end().len();
        if at > start {
            parts.push(start..at);
        }
    }
    parts
}

fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1))
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}

/// How long the line end is that a text begins with.
fn line_end(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n', ..] => Some(1),
        _ => None,
    }
}

/// What the next key inserts: a character, or a line end with its indentation.
fn first_key(text: &str) -> &str {
    let Some(length) = line_end(text) else {
        return &text[..text.chars().next().map_or(0, char::len_utf8)];
    };
    let blank = text[length..].len() - text[length..].trim_start_matches([' ', '\t']).len();
    &text[..length + blank]
}

/// Types one part.
struct Typist<'a> {
    part: &'a str,
    pairs: Pairs,
    rng: &'a mut Rng,
    /// What the editor has put behind the cursor and the person has not passed yet.
    tail: String,
    steps: Vec<Step>,
}

impl<'a> Typist<'a> {
    fn new(part: &'a str, rng: &'a mut Rng) -> Typist<'a> {
        Typist {
            part,
            pairs: Pairs::of(part),
            rng,
            tail: String::new(),
            steps: Vec::new(),
        }
    }

    fn steps(mut self) -> Vec<Step> {
        let mut at = 0;
        while at < self.part.len() {
            at += match line_end(&self.part[at..]) {
                Some(length) => self.end_line(at, length),
                None => self.char(at),
            };
        }
        self.steps
    }

    /// Ends a line; gives how many bytes of the part are there by that.
    fn end_line(&mut self, at: usize, length: usize) -> usize {
        let rest = &self.part[at..];
        let ahead = self.tail.len() - self.tail.trim_start().len();
        let ahead = &self.tail[..ahead + 1.min(self.tail.len() - ahead)];
        if line_end(ahead).is_some() && rest.starts_with(ahead) {
            let text = ahead.to_owned();
            self.tail.drain(..text.len());
            let passed = text.len();
            self.push(Key::Walk { text });
            return passed;
        }
        let text = first_key(rest).to_owned();
        let tail = self.closing_line(at).to_owned();
        self.tail.insert_str(0, &tail);
        let typed = text.len();
        self.push(Key::Type { text, tail });
        debug_assert!(typed >= length);
        typed + self.paste(at + typed)
    }

    /// Behind an opener that the editor has closed, a line end brings the line of the closer, too, if that is to stand
    /// on one of its own.
    fn closing_line(&self, at: usize) -> &'a str {
        let opener = at.checked_sub(1);
        let Some(closer) = opener.and_then(|opener| self.pairs.closer(opener)) else {
            return "";
        };
        let before = &self.part[..closer];
        let line = before.trim_end_matches([' ', '\t']);
        let end = match line.strip_suffix('\n') {
            Some(line) => line.strip_suffix('\r').unwrap_or(line).len(),
            None => return "",
        };
        if end <= at { "" } else { &before[end..] }
    }

    fn char(&mut self, at: usize) -> usize {
        let Some(char) = self.part[at..].chars().next() else {
            return 0;
        };
        if char.is_ascii_alphabetic() && self.rng.u32(..SLIP) == 0 {
            let wrong = self.rng.char('a'..='z').to_string();
            self.push(Key::Slip { text: wrong });
            self.push(Key::Backspace);
        }
        let text = char.to_string();
        if self.pairs.opener(at).is_some() {
            self.tail.drain(..text.len());
            self.push(Key::Over { text });
        } else if let Some(closer) = self.pairs.closer(at) {
            let closer = self.part[closer..].chars().next().unwrap_or_default();
            self.tail.insert(0, closer);
            let tail = closer.to_string();
            self.push(Key::Type { text, tail });
        } else {
            let tail = String::new();
            self.push(Key::Type { text, tail });
        }
        char.len_utf8()
    }

    /// Now and then, where a line begins, the next lines come from the clipboard.
    fn paste(&mut self, at: usize) -> usize {
        let rest = &self.part[at..];
        if rest.is_empty() || line_end(rest).is_some() || self.rng.u32(..PASTE) != 0 {
            return 0;
        }
        let ends = rest
            .match_indices('\n')
            .map(|(end, _)| rest[..end].trim_end().len());
        let ends = ends.chain([rest.len()]);
        let fits = |&end: &usize| BLOCK.contains(&end) && self.pairs.are_whole_in(at, at + end);
        let Some(end) = ends.take_while(|&end| end < BLOCK.end).filter(fits).last() else {
            return 0;
        };
        let text = rest[..end].to_owned();
        self.push(Key::Paste { text });
        end
    }

    fn push(&mut self, key: Key) {
        let is_line = matches!(self.steps.last(), Some(Step { key: Key::Type { text, .. }, .. }) if text.contains('\n'));
        let odds = if is_line { PAUSE_AT_LINE } else { PAUSE };
        let pause = match self.rng.u32(..odds) {
            0 => self.rng.u32(PAUSES),
            _ => 0,
        };
        // Gaps between keys are spread like a lognormal; twelve uniform numbers make a normal one.
        let normal: f32 = (0..12).map(|_| self.rng.f32()).sum::<f32>() - 6.0;
        self.steps.push(Step {
            key,
            gap: (0.4 * normal).exp(),
            pause,
            looks: self.rng.u32(..LOOK) == 0,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn synthetic(text: &str, keystrokes: usize, seed: u64) -> Script {
        Script::synthetic(Path::new("a.rs"), text, keystrokes, seed)
    }

    /// Keys as short text: `(+)` types `(` and gets `)`, `>` passes what follows, `~` is wrong, `<` takes back.
    fn shown(steps: &[Step]) -> Vec<String> {
        let key = |step: &Step| match &step.key {
            Key::Type { text, tail } if tail.is_empty() => text.clone(),
            Key::Type { text, tail } => format!("{text}+{tail}"),
            Key::Over { text } | Key::Walk { text } => format!(">{text}"),
            Key::Slip { text } => format!("~{text}"),
            Key::Backspace => "<".to_owned(),
            Key::Jump { line, column } => format!("@{line}:{column}"),
            Key::Paste { text } | Key::Accept { text, .. } => format!("={text}"),
        };
        steps.iter().map(key).collect()
    }

    #[test]
    fn playing_a_script_gives_the_file_again() {
        let odd = "one\r\ntwo(\n\n    thrée {\r\n\tfour(\"a)\", [1,\n 2])\n\n\t}\n}\n'x\n  (\n";
        let own = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench/script.rs"));
        let blocks = "fn f() {\r\n    if x {\r\n        g(\"}\");\r\n    }\r\n}\r\n".repeat(30);
        for text in [odd, &own.unwrap(), &blocks, "", "\n\n", "  x"] {
            for (keystrokes, seed) in [(1, 0), (7, 1), (60, 2), (61, 3), (500, 4), (5000, 5)] {
                let script = synthetic(text, keystrokes, seed);
                assert_eq!(
                    script.play().unwrap(),
                    text,
                    "{keystrokes} keys, seed {seed}"
                );
                assert_eq!(script.steps.is_empty(), text.trim().is_empty());
            }
        }
    }

    #[test]
    fn brackets_are_closed_by_the_editor_and_passed() {
        let script = synthetic("z\nif a(b) {\n    c;\n}", 1000, 9);
        let slips = |key: &String| !key.starts_with('~') && key != "<";
        let keys: Vec<String> = shown(&script.steps).into_iter().filter(slips).collect();
        let expected = [
            "@1:0",
            "i",
            "f",
            " ",
            "a",
            "(+)",
            "b",
            ">)",
            " ",
            "{+}",
            "\n    +\n",
            "c",
            ";",
            ">\n}",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_seed_gives_the_same_script_and_another_one_another() {
        let text = "let value = compute(first, second);\n".repeat(60);
        assert_eq!(synthetic(&text, 400, 7), synthetic(&text, 400, 7));
        assert_ne!(synthetic(&text, 400, 7), synthetic(&text, 400, 8));
    }

    #[test]
    fn people_slip_pause_paste_and_jump() {
        let text = "    let value = compute(first, second);\n".repeat(600);
        let script = synthetic(&text, 2000, 1);
        let count = |is: fn(&Step) -> bool| script.steps.iter().filter(|step| is(step)).count();
        assert_eq!(count(|step| matches!(step.key, Key::Jump { .. })), 50);
        let slips = count(|step| matches!(step.key, Key::Slip { .. }));
        assert!((10..80).contains(&slips), "{slips} slips");
        assert_eq!(count(|step| step.key == Key::Backspace), slips);
        let pastes = count(|step| matches!(step.key, Key::Paste { .. }));
        assert!(pastes > 0, "no block is pasted");
        let pauses = count(|step| step.pause > 0);
        assert!((10..120).contains(&pauses), "{pauses} pauses");
        let looks = count(|step| step.looks) as f64 / script.steps.len() as f64;
        assert!((0.25..0.42).contains(&looks), "{looks} looks");
        let gaps: f32 = script.steps.iter().map(|step| step.gap).sum();
        let mean = gaps / script.steps.len() as f32;
        assert!((0.9..1.3).contains(&mean), "a mean gap of {mean}");
        // Each of the parts is typed to the end of its line.
        let most = 2000 + 50 * "    let value = compute(first, second);\n".len();
        assert!(
            (2000..=most).contains(&script.keys()),
            "{} keys",
            script.keys()
        );
    }
}
