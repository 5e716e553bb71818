//! Data sets as they are handed out: `.jsonl` or `.jsonl.gz`, an object a line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;

/// Most of a file, in bytes, unpacked; the largest known one has six megabytes.
const LARGEST: u64 = 256 << 20;

/// The objects of a file, each with the number of its line.
///
/// # Errors
/// If it cannot be read, a line is no such object, or there is none.
pub fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<(usize, T)>> {
    let opened = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let packed = path.extension().is_some_and(|ending| ending == "gz");
    let text: Box<dyn Read> = match packed {
        true => Box::new(MultiGzDecoder::new(opened)),
        false => Box::new(opened),
    };
    let mut objects = Vec::new();
    let mut left = text.take(LARGEST);
    for (index, line) in BufReader::new(&mut left).lines().enumerate() {
        let place = || format!("{}:{}", path.display(), index + 1);
        let line = line.with_context(|| format!("{}: cannot be read", place()))?;
        if line.trim().is_empty() {
            continue;
        }
        let object = serde_json::from_str(&line)
            .with_context(|| format!("{}: this line is no problem", place()))?;
        objects.push((index + 1, object));
    }
    if left.limit() == 0 {
        bail!("{} has more than {LARGEST} bytes", path.display());
    }
    if objects.is_empty() {
        bail!("{} has no problems", path.display());
    }
    Ok(objects)
}
