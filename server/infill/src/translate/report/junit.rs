//! JUnit XML: a unit is a test case, which fails if the unit got less far than was asked for.
//!
//! Source: the schema that Jenkins, GitLab and GitHub's actions read (`testsuites`, `testsuite`, `testcase`).

use std::io::Write;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::{About, Mets};
use crate::translate::journal::{Met, Status};

/// Writes it.
///
/// # Errors
/// If it cannot be written.
pub fn write(file: &mut dyn Write, about: &About, mets: Mets) -> anyhow::Result<()> {
    let mut xml = Writer::new_with_indent(file, b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let tally = &about.tally;
    let numbers = [
        ("tests", tally.all().to_string()),
        ("failures", tally.short.to_string()),
        ("skipped", tally.skipped.to_string()),
        ("time", format!("{:.3}", about.seconds)),
    ];
    let numbers = numbers.each_ref().map(|(name, value)| (*name, &**value));
    let suites = BytesStart::new("testsuites").with_attributes(numbers);
    xml.write_event(Event::Start(suites))?;
    let name = format!("infill translate {} to {}", about.from, about.to);
    let suite = BytesStart::new("testsuite").with_attributes([("name", &*name), ("errors", "0")]);
    xml.write_event(Event::Start(suite.with_attributes(numbers)))?;
    for met in mets {
        case(&mut xml, about, &met?)?;
    }
    for name in ["testsuite", "testsuites"] {
        xml.write_event(Event::End(BytesEnd::new(name)))?;
    }
    writeln!(xml.get_mut())?;
    Ok(())
}

fn case(xml: &mut Writer<&mut dyn Write>, about: &About, met: &Met) -> anyhow::Result<()> {
    let outcome = &met.outcome;
    let class = met.label.file.as_deref().unwrap_or("list");
    let seconds = format!("{:.3}", outcome.seconds);
    let name = printable(&met.label.name);
    let mut case = BytesStart::new("testcase").with_attributes([
        ("classname", class),
        ("name", &*name),
        ("time", &*seconds),
    ]);
    if let Some(file) = &met.label.file {
        case.push_attribute(("file", &**file));
    }
    if let Some([line, _]) = met.label.lines {
        case.push_attribute(("line", &*line.to_string()));
    }
    let inside = match outcome.status {
        Status::Skipped => Some("skipped"),
        _ if about.is_short(met) => Some("failure"),
        _ => None,
    };
    let Some(inside) = inside else {
        return Ok(xml.write_event(Event::Empty(case))?);
    };
    xml.write_event(Event::Start(case))?;
    let reason = printable(&outcome.reason);
    let first = reason.lines().next().unwrap_or_default();
    let message = match outcome.status {
        Status::Skipped => first.to_owned(),
        status => format!("{}, wanted {}: {first}", status.name(), about.wanted.name()),
    };
    let element = BytesStart::new(inside).with_attributes([("message", &*message)]);
    if inside == "skipped" {
        xml.write_event(Event::Empty(element))?;
    } else {
        xml.write_event(Event::Start(element))?;
        xml.write_event(Event::Text(BytesText::new(&reason)))?;
        xml.write_event(Event::End(BytesEnd::new(inside)))?;
    }
    xml.write_event(Event::End(BytesEnd::new("testcase")))?;
    Ok(())
}

/// A text without the characters that XML 1.0 has no way to write.
fn printable(text: &str) -> String {
    let is_writable = |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(is_writable).collect()
}
