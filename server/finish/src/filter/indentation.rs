//! Answers that are indented otherwise than the file: with the other kind of blank, or with the
//! cursor's own indentation once more.

use text::Snapshot;

use crate::ask::Ask;
use crate::lines::{blanks, columns, numbered, opens};

/// Lines above and below the cursor that tell how a file is indented.
const LINES_AROUND: usize = 100;

/// One step of indentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Tab,
    Spaces(usize),
}

/// The answer with its lines indented as the file is.
pub(crate) fn align(text: &str, ask: &Ask, snapshot: &Snapshot, offset: usize) -> String {
    let around = Around::read(snapshot, offset);
    let text = first_line(text, ask, &around);
    match unit(ask, &around) {
        Some(unit) => in_unit(&text, unit, ask.starts_line() && ask.line_left.is_empty()),
        None => text,
    }
}

/// Lines near the cursor that are not blank, without the cursor's own.
struct Around {
    lines: Vec<String>,
    /// How many of them stand above.
    above: usize,
}

impl Around {
    fn read(snapshot: &Snapshot, offset: usize) -> Around {
        let cursor = snapshot.line_of(offset);
        let read = |lines: std::ops::Range<usize>| {
            lines
                .map(|line| snapshot.slice(snapshot.line_range(line)))
                .filter(|line| !line.trim().is_empty())
                .collect::<Vec<_>>()
        };
        let mut lines = read(cursor.saturating_sub(LINES_AROUND)..cursor);
        let above = lines.len();
        lines.extend(read(
            cursor + 1..snapshot.line_count().min(cursor + LINES_AROUND),
        ));
        Around { lines, above }
    }

    fn last_above(&self) -> Option<&str> {
        self.lines[..self.above].last().map(String::as_str)
    }
}

/// How the file is indented: as the cursor's line if that says it, else as most lines around it.
fn unit(ask: &Ask, around: &Around) -> Option<Unit> {
    let tabs = around
        .lines
        .iter()
        .filter(|line| line.starts_with('\t'))
        .count();
    let spaces = around
        .lines
        .iter()
        .filter(|line| line.starts_with("  "))
        .count();
    match ask.indent.chars().next() {
        Some('\t') => Some(Unit::Tab),
        Some(_) => Some(Unit::Spaces(step(&around.lines))),
        None if tabs > spaces => Some(Unit::Tab),
        None if spaces > 0 => Some(Unit::Spaces(step(&around.lines))),
        None => None,
    }
}

/// The number of spaces by which a line is most often indented deeper than the one before.
fn step(lines: &[String]) -> usize {
    let mut counts = [0_usize; 9];
    for pair in lines.windows(2) {
        let deeper = columns(&pair[1]).saturating_sub(columns(&pair[0]));
        if let Some(count) = counts.get_mut(deeper) {
            *count += 1;
        }
    }
    let most = (2..counts.len()).rev().max_by_key(|step| counts[*step]);
    most.filter(|step| counts[*step] > 0).unwrap_or(4)
}

/// Takes the cursor's indentation away where the answer brings it a second time. Blanks at its head
/// are meant only where the line above opens a block or the cursor is not as deep yet.
fn first_line(text: &str, ask: &Ask, around: &Around) -> String {
    let lead = blanks(text);
    if !ask.starts_line() || ask.line_left.is_empty() || lead.is_empty() {
        return text.to_owned();
    }
    let here = columns(&ask.line_left);
    let there = columns(&format!("{}{lead}", ask.line_left));
    let above = around.last_above().unwrap_or_default();
    let deeper = opens(above) && here == columns(above) && there > here;
    let catching_up = here < columns(above) && there <= columns(above);
    if deeper || catching_up {
        return text.to_owned();
    }
    let text = &text[lead.len()..];
    let first = text.split('\n').next().unwrap_or_default();
    let shift = there - here;
    let is_shifted = |line: &str| line.trim().is_empty() || columns(line) >= here + shift;
    if opens(first) || !numbered(text).skip(1).all(|(_, line)| is_shifted(line)) {
        return text.to_owned();
    }
    // All of the answer came with the cursor's indentation on top of its own.
    let shorter = |(start, line): (usize, &str)| match start {
        0 => line.to_owned(),
        _ => line.strip_prefix(lead).unwrap_or(line).to_owned(),
    };
    numbered(text).map(shorter).collect::<Vec<_>>().join("\n")
}

/// Writes the blanks at the start of each line in the file's unit. The first line begins at the
/// cursor, so its blanks count only if that is the start of a line.
fn in_unit(text: &str, unit: Unit, from_first: bool) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let indented = lines.iter().skip(usize::from(!from_first));
    let width = indented
        .clone()
        .map(|line| blanks(line).len())
        .fold(0, divisor);
    let width = if width < 2 { 4 } else { width };
    let rewrite = |line: &str| {
        let lead = blanks(line);
        let rest = &line[lead.len()..];
        match unit {
            Unit::Tab if !lead.contains('\t') => {
                format!(
                    "{}{}{rest}",
                    "\t".repeat(lead.len() / width),
                    " ".repeat(lead.len() % width)
                )
            }
            Unit::Spaces(step) => format!("{}{rest}", lead.replace('\t', &" ".repeat(step))),
            Unit::Tab => line.to_owned(),
        }
    };
    let written = lines.iter().enumerate().map(|(index, line)| match index {
        0 if !from_first => (*line).to_owned(),
        _ => rewrite(line),
    });
    written.collect::<Vec<_>>().join("\n")
}

/// The greatest common divisor; of 0 and any number that number.
fn divisor(one: usize, other: usize) -> usize {
    if other == 0 {
        one
    } else {
        divisor(other, one % other)
    }
}
