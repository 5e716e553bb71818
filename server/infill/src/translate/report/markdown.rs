//! The summary in Markdown: the counts, and a table of the units that got less far than was asked for.

use std::io::Write;

use super::{About, Mets};
use crate::translate::journal::Status;

/// Most rows of the table: CI cuts long summaries off.
const MOST_ROWS: usize = 100;

/// Longest reason in the table, in characters.
const LONGEST_REASON: usize = 160;

/// Writes it.
///
/// # Errors
/// If it cannot be written.
pub fn write(file: &mut dyn Write, about: &About, mets: Mets) -> anyhow::Result<()> {
    let tally = &about.tally;
    writeln!(file, "## Translation from {} to {}\n", about.from, about.to)?;
    if let Some(stopped) = &about.stopped {
        writeln!(file, "**Stopped early:** {stopped}.\n")?;
    }
    let names = Status::ALL.map(Status::name).join(" | ");
    let counts = Status::ALL.map(|status| tally.count(status).to_string());
    writeln!(
        file,
        "| units | {names} |\n|{}",
        "---:|".repeat(Status::ALL.len() + 1)
    )?;
    writeln!(file, "| {} | {} |\n", tally.all(), counts.join(" | "))?;
    writeln!(
        file,
        "Model {}, {} answers with {} tokens in {:.0} s; {} units were done before.\n",
        about.model, tally.attempts, tally.written, about.seconds, tally.old
    )?;
    if tally.short == 0 {
        return Ok(());
    }
    writeln!(file, "| unit | got to | because |\n|---|---|---|")?;
    let mut rows = 0;
    for met in mets {
        let met = met?;
        if !about.is_short(&met) {
            continue;
        }
        rows += 1;
        if rows <= MOST_ROWS {
            let [name, reason] = [&met.label.name, &met.outcome.reason].map(|text| cell(text));
            writeln!(
                file,
                "| {name} | {} | {reason} |",
                met.outcome.status.name()
            )?;
        }
    }
    if rows > MOST_ROWS {
        writeln!(file, "\nand {} more.", rows - MOST_ROWS)?;
    }
    writeln!(file)?;
    Ok(())
}

/// The first line of a text, so that no table or page takes it for its own.
fn cell(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or_default().trim();
    let mut shown: String = line.chars().take(LONGEST_REASON).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    let mut cell = String::new();
    for c in shown.chars() {
        match c {
            '<' => cell += "&lt;",
            '>' => cell += "&gt;",
            '&' => cell += "&amp;",
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' => cell.extend(['\\', c]),
            _ => cell.push(c),
        }
    }
    cell
}
