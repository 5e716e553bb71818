//! `infill sandboxed`: the process that a command of the sandbox runs under.
//!
//! It takes rights and memory away from itself, which what it starts inherits; starts the command; ends all that it
//! started when the command is over, when time or memory is, or when its own parent is gone. How the command ended it
//! writes into a file, since its exit code alone could not tell a command's from its own.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;

use crate::sandbox::Ended;

/// How often the memory of all processes is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Arguments of `infill sandboxed`.
#[derive(Debug, Args)]
pub struct SandboxedArgs {
    /// The file that how it ended is written to
    #[arg(long)]
    note: PathBuf,
    /// Milliseconds that it may take
    #[arg(long)]
    time: u64,
    /// Bytes of memory that it may take
    #[arg(long)]
    memory: u64,
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// What may happen next.
enum Event {
    Exited(io::Result<ExitStatus>),
    /// Nobody waits for the answer any more.
    ParentGone,
}

/// Runs the command.
///
/// # Errors
/// If the sandbox cannot be made.
pub fn run(arguments: &SandboxedArgs) -> anyhow::Result<ExitCode> {
    limit(arguments.memory)?;
    let [program, rest @ ..] = &arguments.command[..] else {
        anyhow::bail!("there is no command");
    };
    let deadline = Instant::now() + Duration::from_millis(arguments.time);
    let child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .spawn();
    let tell_ended = |ended| {
        let note = fs::write(&arguments.note, write(ended));
        note.context("cannot tell how the command ended")
    };
    match child {
        Ok(mut child) => {
            let (tell, events) = mpsc::channel();
            let exited = tell.clone();
            // Neither thread has anybody to tell once this one is done.
            std::thread::spawn(move || exited.send(Event::Exited(child.wait())));
            std::thread::spawn(move || {
                // Nothing is ever written there: this ends when the other end is closed.
                let _ = io::stdin().read(&mut [0]);
                tell.send(Event::ParentGone)
            });
            let told = watch(&events, deadline, arguments.memory).and_then(tell_ended);
            // Last, since on some systems it ends this process, too.
            end_all();
            told?;
        }
        Err(error) => {
            eprintln!("{}: {error}", program.display());
            tell_ended(Ended::Missing)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn watch(events: &mpsc::Receiver<Event>, deadline: Instant, memory: u64) -> anyhow::Result<Ended> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Ended::TimeOut);
        }
        match events.recv_timeout(left.min(LOOK_AGAIN)) {
            Ok(Event::Exited(status)) => {
                return Ok(ended(status.context("cannot wait for the command")?));
            }
            Ok(Event::ParentGone) | Err(RecvTimeoutError::Disconnected) => {
                return Ok(Ended::TimeOut);
            }
            Err(RecvTimeoutError::Timeout) if memory_of_all() > memory => return Ok(Ended::Memory),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(unix)]
fn ended(status: ExitStatus) -> Ended {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exit(code),
        (None, signal) => Ended::Signal(signal.unwrap_or(0)),
    }
}

#[cfg(not(unix))]
fn ended(status: ExitStatus) -> Ended {
    Ended::Exit(status.code().unwrap_or(1))
}

/// How it ended, for the file.
fn write(ended: Ended) -> String {
    match ended {
        Ended::Exit(code) => format!("exit {code}"),
        Ended::Signal(signal) => format!("signal {signal}"),
        Ended::TimeOut => "time".to_owned(),
        Ended::Memory => "memory".to_owned(),
        Ended::Missing => "missing".to_owned(),
    }
}

/// How it ended, from the file.
pub(super) fn read(note: &str) -> Option<Ended> {
    Some(match note.split_once(' ') {
        Some(("exit", code)) => Ended::Exit(code.parse().ok()?),
        Some(("signal", signal)) => Ended::Signal(signal.parse().ok()?),
        None if note == "time" => Ended::TimeOut,
        None if note == "memory" => Ended::Memory,
        None if note == "missing" => Ended::Missing,
        _ => return None,
    })
}

#[cfg(unix)]
fn limit(memory: u64) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit, setsid};
    setsid().context("cannot begin a session")?;
    let limit = |resource, most| {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit).context("cannot set a limit")
    };
    // What is reserved and never used, as by Node and Java, does not count as data.
    limit(Resource::Data, memory)?;
    limit(Resource::Core, 0)?;
    #[cfg(target_os = "linux")]
    linux::limit()?;
    Ok(())
}

#[cfg(not(unix))]
fn limit(_: u64) -> anyhow::Result<()> {
    anyhow::bail!(
        "commands cannot be run in a sandbox on this system; leave --check and --test out"
    )
}

#[cfg(target_os = "linux")]
use linux::{end_all, memory_of_all};

#[cfg(not(target_os = "linux"))]
fn memory_of_all() -> u64 {
    0
}

/// Ends the processes of this one's group, itself among them.
#[cfg(all(unix, not(target_os = "linux")))]
fn end_all() {
    use rustix::process::{Signal, getpid, kill_process_group};
    // If that fails there is nobody to tell.
    let _ = kill_process_group(getpid(), Signal::KILL);
}

#[cfg(not(unix))]
fn end_all() {}

#[cfg(target_os = "linux")]
mod linux {
    //! What only Linux has: no network, and no process that outlives its command.

    use std::collections::BTreeMap;
    use std::fs;
    use std::time::{Duration, Instant};

    use anyhow::Context as _;
    use rustix::process::{
        Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait,
    };
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    /// How long processes that are killed may take to be gone.
    const PATIENCE: Duration = Duration::from_secs(10);

    pub(super) fn limit() -> anyhow::Result<()> {
        // Processes whose parents are gone become this one's, so that it can find them.
        set_child_subreaper(Some(getpid())).context("cannot take care of processes")?;
        let program = without_network().context("cannot cut off the network")?;
        seccompiler::apply_filter(&program).context("cannot cut off the network")
    }

    /// Refuses sockets but those between processes of this machine by a path, and io_uring, which makes sockets, too.
    fn without_network() -> anyhow::Result<BpfProgram> {
        let other = SeccompCondition::new(
            0,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Ne,
            libc::AF_UNIX as u64,
        )?;
        let rules = BTreeMap::from([
            (libc::SYS_socket, vec![SeccompRule::new(vec![other])?]),
            (libc::SYS_io_uring_setup, Vec::new()),
        ]);
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(libc::EACCES as u32),
            std::env::consts::ARCH.try_into()?,
        )?;
        Ok(filter.try_into()?)
    }

    /// Ends all processes below this one, also those that began a session of their own.
    pub(super) fn end_all() {
        let began = Instant::now();
        loop {
            let below = below();
            if below.is_empty() || began.elapsed() > PATIENCE {
                return;
            }
            for process in below {
                // It may be gone already.
                let _ = kill_process(process.id, Signal::KILL);
            }
            while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Memory of all processes below this one, in bytes, without what they share with files.
    pub(super) fn memory_of_all() -> u64 {
        let page = rustix::param::page_size() as u64;
        below().iter().map(|process| process.pages * page).sum()
    }

    /// A process below this one.
    struct Process {
        id: Pid,
        pages: u64,
    }

    /// All processes below this one.
    fn below() -> Vec<Process> {
        let Ok(folder) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let ids = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let parents: Vec<(i32, i32)> = ids.filter_map(|id| Some((id, parent(id)?))).collect();
        let mut below = vec![getpid().as_raw_nonzero().get()];
        let mut at = 0;
        while at < below.len() {
            let mine = below[at];
            let children = parents.iter().filter(|(_, parent)| *parent == mine);
            below.extend(children.map(|(id, _)| *id));
            at += 1;
        }
        let process = |&id: &i32| {
            Some(Process {
                id: Pid::from_raw(id)?,
                pages: pages(id).unwrap_or(0),
            })
        };
        below[1..].iter().filter_map(process).collect()
    }

    /// The parent of a process that has not ended. After the name, which may hold anything: state, parent.
    fn parent(id: i32) -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        fields.next()?;
        fields.next()?.parse().ok()
    }

    /// Pages in memory that are not a file's: all but the shared ones.
    fn pages(id: i32) -> Option<u64> {
        let statm = fs::read_to_string(format!("/proc/{id}/statm")).ok()?;
        let mut fields = statm.split_ascii_whitespace().skip(1);
        let resident: u64 = fields.next()?.parse().ok()?;
        let shared: u64 = fields.next()?.parse().ok()?;
        Some(resident.saturating_sub(shared))
    }
}
