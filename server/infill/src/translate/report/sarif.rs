//! SARIF 2.1.0: the units that got less far than was asked for, each at its place in the sources.
//!
//! Source: the OASIS standard, and what GitHub's code scanning reads of it.

use std::io::Write;

use serde_json::{Value, json};

use super::{About, Mets};
use crate::translate::journal::{Met, Status};

/// Writes it.
///
/// # Errors
/// If it cannot be written.
pub fn write(file: &mut dyn Write, about: &About, mets: Mets) -> anyhow::Result<()> {
    let rules: Vec<Value> = [Status::Failed, Status::Parses, Status::Compiles]
        .iter()
        .filter(|status| **status < about.wanted)
        .map(|status| {
            let text = format!("The translation got no further than: {}.", status.name());
            json!({ "id": status.name(), "shortDescription": { "text": text } })
        })
        .collect();
    let driver = json!({
        "name": "infill translate",
        "version": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    });
    write!(
        file,
        "{{\"version\": \"2.1.0\",\n\"$schema\": \"https://json.schemastore.org/sarif-2.1.0.json\",\n\
         \"runs\": [{{\"tool\": {{\"driver\": {driver}}},\n\"results\": ["
    )?;
    let mut comma = "";
    for met in mets {
        let met = met?;
        if about.is_short(&met) {
            write!(file, "{comma}\n{}", result(&met))?;
            comma = ",";
        }
    }
    writeln!(file, "\n]}}]}}")?;
    Ok(())
}

fn result(met: &Met) -> Value {
    let status = met.outcome.status;
    let level = match status {
        Status::Failed => "error",
        _ => "warning",
    };
    let mut place = json!({ "logicalLocations": [{ "fullyQualifiedName": met.label.name }] });
    if let Some(file) = &met.label.file {
        place["physicalLocation"] = json!({ "artifactLocation": { "uri": uri(file) } });
        // Code scanning shows nothing without a line.
        let [start, end] = met.label.lines.unwrap_or([1, 1]);
        place["physicalLocation"]["region"] = json!({ "startLine": start, "endLine": end });
    }
    json!({
        "ruleId": status.name(),
        "level": level,
        "message": { "text": format!("{}: {}", met.label.name, met.outcome.reason) },
        "locations": [place],
    })
}

/// A path as a relative URI.
fn uri(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let mut uri = String::new();
    for byte in path.bytes() {
        match is_plain(byte) {
            true => uri.push(char::from(byte)),
            false => uri += &format!("%{byte:02X}"),
        }
    }
    uri
}
