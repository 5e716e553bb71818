//! Whether a program passes its tests, in the sandbox.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::sync::Semaphore;

use crate::eval::translate::kit::Kit;
use crate::eval::translate::languages::{MORE, Row};
use crate::flags::from_one;
use crate::sandbox::{Ended, Limits, Ran, Sandbox};

/// The most that is kept of what a program said, in bytes.
const LONGEST_REASON: usize = 2000;

/// What programs may take, as arguments.
#[derive(Debug, Args)]
pub struct JudgeArgs {
    /// Programs that run at once; by default one a processor
    #[arg(long, value_name = "N", value_parser = from_one)]
    pub jobs: Option<usize>,
    /// Seconds that a compiler or a program may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub time_limit: u64,
    /// Memory that a compiler or a program may take, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(1..))]
    pub memory_limit: u64,
}

impl JudgeArgs {
    /// Programs that run at once.
    pub fn jobs(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.unwrap_or_else(processors)
    }

    /// Who judges within these limits.
    ///
    /// # Errors
    /// If the sandbox cannot be found.
    pub fn judge(&self) -> anyhow::Result<Judge> {
        Ok(Judge {
            sandbox: Sandbox::of_this_program()?,
            limits: Limits {
                time: Duration::from_secs(self.time_limit),
                memory_bytes: self.memory_limit << 20,
                output_bytes: 64 << 10,
            },
            turns: Semaphore::new(self.jobs()),
        })
    }
}

/// Runs programs, a few at a time.
pub struct Judge {
    /// What they run in.
    pub sandbox: Sandbox,
    /// What each of their commands may take.
    pub limits: Limits,
    /// How many run at once.
    pub turns: Semaphore,
}

impl Judge {
    /// Why a program does not pass, if it does not.
    ///
    /// # Errors
    /// If it cannot be run at all.
    pub async fn complaint(
        &self,
        row: &Row,
        kit: &Kit,
        program: &str,
    ) -> anyhow::Result<Option<String>> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await?;
        let folder = tempfile::Builder::new()
            .prefix("infill-eval-")
            .tempdir()
            .context("cannot make a folder to run a program in")?;
        let folder = folder.path();
        lay(folder, row, kit, program)
            .with_context(|| format!("cannot write a program to {}", folder.display()))?;
        let mut said = String::new();
        for words in row.commands {
            let words = words.iter().flat_map(|word| match *word {
                MORE => kit.arguments.clone(),
                word => vec![word.to_owned()],
            });
            let words: Vec<String> = words.collect();
            let ran = self
                .sandbox
                .run(&words, folder, &kit.variables, &self.limits)
                .await?;
            if ran.ended == Ended::Missing {
                bail!("cannot run {}: {}", words[0], ran.output.trim());
            }
            if ran.ended != Ended::Exit(0) {
                return Ok(Some(self.reason(&ran, folder)));
            }
            said = ran.output;
        }
        Ok((!said.contains(row.says)).then(|| "it ended before its tests had run".to_owned()))
    }

    fn reason(&self, ran: &Ran, folder: &Path) -> String {
        let place = format!("{}/", folder.display());
        let output = ran.output.replace(&place, "");
        let output = output.trim();
        let why = match ran.ended {
            Ended::TimeOut => format!("it does not end within {} s", self.limits.time.as_secs()),
            Ended::Memory => format!(
                "it takes more than {} MiB of memory",
                self.limits.memory_bytes >> 20
            ),
            Ended::Signal(signal) => format!("it was ended by signal {signal}"),
            Ended::Exit(_) | Ended::Missing if !output.is_empty() => String::new(),
            Ended::Exit(code) => format!("it ends with exit code {code} and says nothing"),
            Ended::Missing => String::new(),
        };
        let output: String = output.chars().take(LONGEST_REASON).collect();
        format!("{why}\n{output}").trim().to_owned()
    }
}

fn lay(folder: &Path, row: &Row, kit: &Kit, program: &str) -> std::io::Result<()> {
    fs::write(folder.join(row.file), program)?;
    if let Some((name, text)) = row.beside {
        fs::write(folder.join(name), text)?;
    }
    for file in &kit.files {
        if let Some(name) = file.file_name() {
            fs::copy(file, folder.join(name))?;
        }
    }
    Ok(())
}
