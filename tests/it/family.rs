//! Is every member of the family itself? Logits and greedy tokens against numbers made by the makers' public code.
//!
//! Each folder of `data/parity` that has an `expected.safetensors` is a case: a maker's own files with small random
//! weights, and the logits and greedy continuation that the source named in `oracles` computed from them. Ours must
//! agree in one pass and in chunks over the KV cache.

use glm::{Chunk, Device, Model, Source, Want, Weights};
use std::{collections::BTreeMap, path::Path};

/// The largest difference of two logits, relative to the largest logit.
const CLOSE: f32 = 1e-4;

struct Expected {
    ids: Vec<u32>,
    positions: [Vec<u32>; 2],
    logits: Vec<f32>,
    greedy: Vec<u32>,
    prefix: usize,
}

fn read(path: &Path) -> Expected {
    let bytes = std::fs::read(path).expect("the numbers are stored");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&bytes[8..8 + length]).expect("a safetensors header");
    let raw = |name: &str| {
        let entry = &header[name];
        let at = |i: usize| entry["data_offsets"][i].as_u64().expect("an offset") as usize;
        let data = &bytes[8 + length..][at(0)..at(1)];
        (entry["dtype"].as_str().expect("a type").to_owned(), data)
    };
    let integers = |name: &str| -> Vec<u32> {
        let (kind, data) = raw(name);
        let size = if kind.ends_with("64") { 8 } else { 4 };
        let number = |x: &[u8]| u32::from_le_bytes(x[..4].try_into().expect("four bytes"));
        data.chunks_exact(size).map(number).collect()
    };
    let ids = integers("ids");
    let positions = integers("positions");
    let (first, second) = positions.split_at(ids.len());
    let number = |x: &[u8]| f32::from_le_bytes(x.try_into().expect("four bytes"));
    Expected {
        positions: [first.to_vec(), second.to_vec()],
        logits: raw("logits").1.chunks_exact(4).map(number).collect(),
        greedy: integers("greedy"),
        prefix: integers("prefix")[0] as usize,
        ids,
    }
}

/// The first fault of a case, if it has one.
fn check(folder: &Path) -> Result<f32, String> {
    let case = read(&folder.join("expected.safetensors"));
    let gguf = std::fs::read_dir(folder)
        .expect("a case is a folder")
        .map(|entry| entry.expect("a file").path())
        .find(|path| path.extension().is_some_and(|end| end == "gguf"));
    let source = Source::Path(gguf.unwrap_or_else(|| folder.to_owned()));
    let model =
        Model::open(&source, Weights::AsStored, &Device::Cpu).map_err(|error| error.to_string())?;
    let scale = case.logits.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let mut worst = 0.0f32;
    for size in [case.ids.len(), 64, 7, 1] {
        let mut kv = model.kv();
        let mut got = Vec::new();
        let mut last = Vec::new();
        while kv.len() < case.ids.len() {
            let first = kv.len();
            // The prefix has to come in one chunk.
            let end = (first + size).max(case.prefix).min(case.ids.len());
            let chunk = Chunk {
                ids: &case.ids[first..end],
                positions: [
                    &case.positions[0][first..end],
                    &case.positions[1][first..end],
                ],
                prefix: case.prefix,
            };
            let logits = model
                .forward(&chunk, &mut kv, Want::All, &|| false)
                .map_err(|error| error.to_string())?;
            last = logits.row(logits.rows - 1).to_vec();
            got.extend(logits.values);
        }
        if got.len() != case.logits.len() {
            return Err(format!("{} logits, not {}", got.len(), case.logits.len()));
        }
        let pairs = got.iter().zip(&case.logits);
        let error = pairs.fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / scale;
        // The largest of numbers passes over what is no number.
        let is_whole = got.iter().all(|logit| logit.is_finite());
        if !is_whole || error > CLOSE {
            return Err(format!("chunks of {size}: off by {error:e}"));
        }
        worst = worst.max(error);

        let count = case.ids.len();
        // What a position row did at the end of the prompt it does after it: stay, or count on.
        let steps = case
            .positions
            .each_ref()
            .map(|row| row[count - 1].saturating_sub(row[count - 2]).min(1));
        let mut place = case.positions.each_ref().map(|row| row[count - 1]);
        for (step, &want) in case.greedy.iter().enumerate() {
            let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b]));
            let best = best.expect("a vocabulary is not empty") as u32;
            if best != want {
                return Err(format!(
                    "chunks of {size}: greedy token {step} is {best}, not {want}"
                ));
            }
            if step + 1 == case.greedy.len() {
                break;
            }
            place = [place[0] + steps[0], place[1] + steps[1]];
            let chunk = Chunk {
                ids: &[best],
                positions: [&[place[0]], &[place[1]]],
                prefix: case.prefix,
            };
            last = model
                .forward(&chunk, &mut kv, Want::Last, &|| false)
                .map_err(|error| error.to_string())?
                .values;
        }
    }
    Ok(worst)
}

#[test]
fn every_member_is_itself() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/data/parity");
    let mut faults = Vec::new();
    let mut folders: Vec<_> = std::fs::read_dir(root)
        .expect("the cases are stored")
        .map(|entry| entry.expect("a folder").path())
        .filter(|folder| folder.join("expected.safetensors").exists())
        .collect();
    assert!(!folders.is_empty(), "the cases are stored");
    folders.sort();
    for folder in folders {
        match check(&folder) {
            Ok(worst) => println!("{}: {worst:.1e}", folder.display()),
            Err(fault) => faults.push(format!("{}: {fault}", folder.display())),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
