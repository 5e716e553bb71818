//! What a process and its children take of the machine, read from `/proc`.

use std::fs;

use serde::Serialize;

/// Ticks a second of the times in `/proc`: what Linux shows to programs, whatever the kernel counts in.
const TICKS: f64 = 100.0;

/// What a server has taken so far, its children included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// The most memory that it held, in MB: the peaks of its processes, added up.
    pub rss_mb: f64,
    /// Seconds of a core that it used.
    pub cpu_s: f64,
}

/// What a line of `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    parent: u32,
    ticks: u64,
}

/// What the process and those that it started have taken. None where there is no `/proc`, or no such process.
pub fn usage(process: u32) -> Option<Usage> {
    let mut family = vec![process];
    let mut usage = Usage::default();
    let all: Vec<(u32, Stat)> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, stat(id)?)))
        .collect();
    all.iter().find(|(id, _)| *id == process)?;
    let mut next = 0;
    while let Some(&member) = family.get(next) {
        next += 1;
        family.extend(
            all.iter()
                .filter(|(_, stat)| stat.parent == member)
                .map(|(id, _)| *id),
        );
        let ticks = all
            .iter()
            .find(|(id, _)| *id == member)
            .map_or(0, |(_, stat)| stat.ticks);
        usage.cpu_s += ticks as f64 / TICKS;
        let status = fs::read_to_string(format!("/proc/{member}/status")).unwrap_or_default();
        usage.rss_mb += peak(&status).unwrap_or(0.0);
    }
    Some(usage)
}

fn stat(process: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// Reads `PID (NAME) STATE PARENT …`; the name may hold anything, and the times are fields 14 to 17: the process's own
/// in user and kernel, and those of its children that have ended.
fn parse(line: &str) -> Option<Stat> {
    let (_, fields) = line.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: Option<u64> = fields
        .get(11..15)?
        .iter()
        .map(|field| field.parse::<u64>().ok())
        .sum();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: ticks?,
    })
}

/// The peak of resident memory in `/proc/PID/status`, in MB.
fn peak(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read() {
        let line = "42 (a ) b) S 7 42 42 0 -1 4194304 100 0 0 0 150 50 3 2 20 0 4 0 1 2 3";
        assert_eq!(
            parse(line),
            Some(Stat {
                parent: 7,
                ticks: 205
            })
        );
        assert_eq!(parse("42 (a"), None);
        let status = "Name:\tx\nVmHWM:\t    2000 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(peak(status), Some(2.048));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_and_children_are_counted() {
        use std::process::{Command, Stdio};
        use std::time::{Duration, Instant};

        let before = usage(std::process::id()).unwrap();
        assert!(before.rss_mb > 1.0);
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            if usage(std::process::id()).unwrap().cpu_s > before.cpu_s {
                break;
            }
        }
        assert!(Instant::now() < until, "ten seconds of work do not show");
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        // The child is there, and counts with its parent.
        let alone = usage(child.id()).unwrap();
        let together = usage(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(alone.rss_mb > 0.0 && together.rss_mb > alone.rss_mb);
        assert_eq!(usage(u32::MAX), None);
    }
}
