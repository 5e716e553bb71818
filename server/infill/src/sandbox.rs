//! Commands that are not to be trusted, such as tests of code that a model wrote.
//!
//! Takes a command and a folder; gives how it ended and what it said. The command has no network, a clean environment, no
//! standard input, and limits of time, memory and output; all that it started ends with it, and so does everything when
//! this process ends. It may read and write the disk as the user may.
//!
//! This program starts itself again, as `infill sandboxed` ([`supervisor`]): only a process of its own can take rights
//! away from itself before it starts the command.

pub mod supervisor;

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;
use tokio::process::Command;

/// What is passed on of the environment besides PATH: where tools are installed, and where that is below the home folder
/// if the variable is not set.
const TOOLS: [(&str, Option<&str>); 10] = [
    ("RUSTUP_HOME", Some(".rustup")),
    ("CARGO_HOME", Some(".cargo")),
    ("PYENV_ROOT", Some(".pyenv")),
    ("NVM_DIR", Some(".nvm")),
    ("VOLTA_HOME", Some(".volta")),
    ("GOROOT", None),
    ("GOPATH", Some("go")),
    ("JAVA_HOME", None),
    ("RUSTUP_TOOLCHAIN", None),
    ("PYENV_VERSION", None),
];

/// What a command may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// From its start to its end.
    pub time: Duration,
    /// Memory of its own in each process, and in all of them together, in bytes.
    pub memory_bytes: u64,
    /// Of what it says, as much is kept: the first and the last half.
    pub output_bytes: usize,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// Its time was over.
    TimeOut,
    /// Its processes took too much memory together.
    Memory,
    /// It could not be started.
    Missing,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// What it said on standard output and standard error, as it came.
    pub output: String,
    /// How long it took.
    pub took: Duration,
}

/// Runs commands.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// This program.
    program: PathBuf,
}

impl Sandbox {
    /// Whether commands have no network here. Elsewhere they have all that the user has.
    pub const CUTS_NETWORK: bool = cfg!(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ));

    /// One that starts the program at this path, which must be `infill`.
    pub fn new(program: PathBuf) -> Sandbox {
        Sandbox { program }
    }

    /// One that starts the program that is running.
    ///
    /// # Errors
    /// If the system does not tell where it is.
    pub fn of_this_program() -> anyhow::Result<Sandbox> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        Ok(Sandbox::new(program))
    }

    /// Runs a command in a folder, with some variables besides the usual ones. When the future is dropped, the command
    /// and all that it started is ended.
    ///
    /// # Errors
    /// If the sandbox cannot be made. That the command cannot be started is no error but [`Ended::Missing`].
    pub async fn run(
        &self,
        command: &[String],
        folder: &Path,
        variables: &[(String, String)],
        limits: &Limits,
    ) -> anyhow::Result<Ran> {
        let began = Instant::now();
        let note = NamedTempFile::new().context("cannot make a temporary file")?;
        let (output, input) = io::pipe().context("cannot make a pipe")?;
        let errors = input.try_clone().context("cannot make a pipe")?;
        let mut supervisor = Command::new(&self.program);
        supervisor
            .arg("sandboxed")
            .arg("--note")
            .arg(note.path())
            .args(["--time", &limits.time.as_millis().to_string()])
            .args(["--memory", &limits.memory_bytes.to_string()])
            .arg("--")
            .args(command)
            .current_dir(folder)
            .env_clear()
            .envs(environment(folder))
            .envs(variables.iter().cloned())
            // The supervisor ends everything when nobody holds the other end any more.
            .stdin(Stdio::piped())
            .stdout(input)
            .stderr(errors);
        let child = supervisor.spawn();
        // It has the writing end of the pipe, which would keep the reader waiting.
        drop(supervisor);
        let mut child =
            child.with_context(|| format!("cannot start {}", self.program.display()))?;
        let most = limits.output_bytes;
        let said = tokio::task::spawn_blocking(move || read(output, most));
        // Taken out, so that waiting does not close it.
        let hold = child.stdin.take();
        let status = child.wait().await.context("cannot wait for a command")?;
        drop(hold);
        let output = said.await?.context("cannot read what a command says")?;
        let note =
            std::fs::read_to_string(note.path()).context("cannot read how a command ended")?;
        let Some(ended) = supervisor::read(&note) else {
            bail!("the sandbox failed ({status}): {}", output.trim());
        };
        Ok(Ran {
            ended,
            output,
            took: began.elapsed(),
        })
    }
}

/// The variables that a command gets.
fn environment(folder: &Path) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = vec![
        ("HOME".into(), folder.into()),
        ("TMPDIR".into(), folder.into()),
        ("LANG".into(), "C.UTF-8".into()),
        ("CARGO_NET_OFFLINE".into(), "true".into()),
    ];
    variables.extend(std::env::var_os("PATH").map(|path| ("PATH".into(), path)));
    for (name, below_home) in TOOLS {
        let usual = || Some(dirs::home_dir()?.join(below_home?)).filter(|path| path.is_dir());
        let value = std::env::var_os(name).or_else(|| usual().map(OsString::from));
        variables.extend(value.map(|value| (name.into(), value)));
    }
    variables
}

/// What comes out of a pipe, without its middle if it is longer.
fn read(mut pipe: impl Read, most: usize) -> io::Result<String> {
    let half = most / 2;
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    let mut left_out = 0;
    let mut chunk = vec![0; 16 << 10];
    loop {
        let count = match pipe.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let room = (half - head.len()).min(count);
        head.extend_from_slice(&chunk[..room]);
        tail.extend_from_slice(&chunk[room..count]);
        let over = tail.len().saturating_sub(half);
        left_out += over;
        tail.drain(..over);
    }
    let [head, tail] = [head, tail].map(|part| String::from_utf8_lossy(&part).into_owned());
    Ok(match left_out {
        0 => head + &tail,
        bytes => format!("{head}\n... {bytes} bytes left out ...\n{tail}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_in_its_middle() {
        assert_eq!(read(&b"abcdef"[..], 6).unwrap(), "abcdef");
        assert_eq!(
            read(&b"abcdefgh"[..], 6).unwrap(),
            "abc\n... 2 bytes left out ...\nfgh"
        );
        let long = vec![b'x'; 1 << 20];
        assert!(read(&long[..], 1000).unwrap().len() < 1100);
    }
}
