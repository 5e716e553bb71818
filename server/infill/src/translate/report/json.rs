//! The report in JSON: what the run was, its numbers, and every unit.

use std::io::Write;

use serde_json::json;

use super::{About, Mets};

/// Writes it; the units stand last, each on a line of its own.
///
/// # Errors
/// If it cannot be written.
pub fn write(file: &mut dyn Write, about: &About, mets: Mets) -> anyhow::Result<()> {
    let head = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "from": about.from,
        "to": about.to,
        "model": about.model,
        "wanted": about.wanted,
        "seconds": about.seconds,
        "stopped": about.stopped,
        "counts": about.tally,
    });
    // The head is an object, so that its text ends with a brace.
    let head = head.to_string();
    write!(file, "{},\n\"units\": [", head.trim_end_matches('}'))?;
    for (index, met) in mets.enumerate() {
        let met = met?;
        let outcome = &met.outcome;
        let unit = json!({
            "name": met.label.name,
            "file": met.label.file,
            "lines": met.label.lines,
            "status": outcome.status,
            "reason": outcome.reason,
            "attempts": outcome.attempts,
            "read": outcome.read,
            "written": outcome.written,
            "seconds": outcome.seconds,
            "old": met.is_old,
        });
        let comma = if index == 0 { "" } else { "," };
        write!(file, "{comma}\n{unit}")?;
    }
    writeln!(file, "\n]}}")?;
    Ok(())
}
