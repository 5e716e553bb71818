//! What a run tells: JUnit XML, SARIF, a summary in Markdown, a report in JSON.
//!
//! All four are read off the run's journal, one unit after the other, so that none needs memory for all of them.

mod json;
mod junit;
mod markdown;
mod sarif;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::translate::journal::{Journal, Met, Status};
use crate::translate::results;
use crate::translate::tally::Tally;

/// Where reports are written.
#[derive(Clone, Debug, Default, Args)]
pub struct ReportArgs {
    /// Write a JUnit XML report, which CI shows as tests
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the units that failed as SARIF, which CI shows in the code
    #[arg(long, value_name = "FILE")]
    pub sarif: Option<PathBuf>,
    /// Append a summary in Markdown, such as to $GITHUB_STEP_SUMMARY
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Write a report in JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// What all reports say of a run.
pub struct About {
    /// The language of the sources.
    pub from: &'static str,
    /// The language of the translations.
    pub to: &'static str,
    /// The model's name.
    pub model: String,
    /// How far units were to get.
    pub wanted: Status,
    /// The numbers.
    pub tally: Tally,
    /// How long the run took, in seconds.
    pub seconds: f64,
    /// Why it stopped before all was done, if it did.
    pub stopped: Option<String>,
}

impl About {
    /// Whether a unit got less far than was asked for.
    fn is_short(&self, met: &Met) -> bool {
        met.outcome.status < self.wanted && met.outcome.status != Status::Skipped
    }
}

/// What a report is made of: all that the run met.
type Mets<'a> = &'a mut dyn Iterator<Item = anyhow::Result<Met>>;

/// Writes the reports that were asked for.
///
/// # Errors
/// If one of them cannot be written, or the journal cannot be read.
pub fn write(arguments: &ReportArgs, about: &About, journal: &Journal) -> anyhow::Result<()> {
    type Form = fn(&mut dyn Write, &About, Mets) -> anyhow::Result<()>;
    let forms: [(&Option<PathBuf>, Form); 3] = [
        (&arguments.junit, junit::write),
        (&arguments.sarif, sarif::write),
        (&arguments.report, json::write),
    ];
    for (path, form) in forms {
        if let Some(path) = path {
            put(path, |file| form(file, about, &mut journal.met()?))?;
        }
    }
    if let Some(path) = &arguments.summary {
        append(path, |file| {
            markdown::write(file, about, &mut journal.met()?)
        })?;
    }
    Ok(())
}

fn put(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let folder = results::folder_of(path);
    results::replace(path, folder, |file| {
        let mut file = BufWriter::new(file);
        write(&mut file).map_err(io::Error::other)?;
        file.flush()
    })
}

/// A job's summary may hold those of its other steps already.
fn append(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let opened = File::options().create(true).append(true).open(path);
    let mut file = BufWriter::new(opened.with_context(cannot)?);
    write(&mut file)?;
    file.flush().with_context(cannot)
}
