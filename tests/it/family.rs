//! Is every member of the family itself? Logits and greedy tokens against numbers made by the makers' public code.
//!
//! Each folder of `data/parity` that has an `expected.safetensors` is a case: a maker's own files with small random
//! weights, and the logits and greedy continuation that the source named in `oracles` computed from them. Ours must
//! agree in one pass and in chunks over the KV cache, and stay near in every type that the weights can be brought to.

use glm::{
    Chunk, Device, Error, KvCache, Model, Part, Quant, Source, Want, Weights, inspect, quantize,
    verify,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The largest difference of two logits, relative to the largest logit.
const CLOSE: f32 = 1e-4;
/// The same for GGML's quantized types: the oracle multiplies f32 activations by the numbers that the blocks stand
/// for, we and llama.cpp round activations to blocks of 8 bits first.
const CLOSE_ROUNDED: f32 = 6e-2;
/// The same where a token's experts are chosen by what was rounded.
const CLOSE_CHOSEN: f32 = 1e-1;
/// How far below the likeliest token llama.cpp's may be with K types, in units of the largest logit: it rounds their
/// activations in blocks of 256, we in blocks of 32. With other types its tokens are ours.
const TIE: f32 = 1e-2;

struct Expected {
    ids: Vec<u32>,
    positions: [Vec<u32>; 2],
    logits: Vec<f32>,
    greedy: Vec<u32>,
    /// llama.cpp's own continuation, where it runs the file.
    llama: Option<Vec<u32>>,
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
        llama: header
            .contains_key("llama_greedy")
            .then(|| integers("llama_greedy")),
        prefix: integers("prefix")[0] as usize,
        ids,
    }
}

impl Expected {
    /// The tokens from `first` to `end`.
    fn chunk(&self, first: usize, end: usize) -> Chunk<'_> {
        Chunk {
            ids: &self.ids[first..end],
            positions: self.positions.each_ref().map(|row| &row[first..end]),
            prefix: self.prefix.into(),
        }
    }

    /// Every token's logits, run in chunks of `size`.
    fn run(&self, model: &Model, kv: &mut KvCache, size: usize) -> Result<Vec<f32>, Error> {
        let mut got = Vec::new();
        while kv.len() < self.ids.len() {
            let first = kv.len();
            // The prefix has to come in one chunk.
            let end = (first + size).max(self.prefix).min(self.ids.len());
            let chunk = self.chunk(first, end);
            got.extend(logits(model, chunk, kv, Want::All)?);
        }
        Ok(got)
    }

    /// Writes `tokens` after the logits of the last one, and gives the first that greedy decoding would not have
    /// written: its number and how far it is below the likeliest, if that is more than `slack`.
    fn follow(
        &self,
        model: &Model,
        kv: &mut KvCache,
        mut last: Vec<f32>,
        (tokens, slack): (&[u32], f32),
    ) -> Result<Option<(usize, f32)>, Error> {
        let count = self.ids.len();
        // What a position row did at the end of the prompt it does after it: stay, or count on.
        let ends = self.positions.each_ref();
        let step = ends.map(|row| row[count - 1].saturating_sub(row[count - 2]).min(1));
        let mut place = ends.map(|row| row[count - 1]);
        for (number, token) in tokens.iter().enumerate() {
            let best = last.iter().copied().fold(f32::MIN, f32::max);
            let below = best - last[*token as usize];
            if below > slack {
                return Ok(Some((number, below)));
            }
            place = [place[0] + step[0], place[1] + step[1]];
            let chunk = Chunk {
                ids: std::slice::from_ref(token),
                positions: [&place[..1], &place[1..]],
                prefix: self.prefix.into(),
            };
            last = logits(model, chunk, kv, Want::Last)?;
        }
        Ok(None)
    }
}

/// The logits of one chunk after what is in the cache.
fn logits(model: &Model, chunk: Chunk, kv: &mut KvCache, want: Want) -> Result<Vec<f32>, Error> {
    let mut work = model.workspace();
    let part = Part { chunk, kv, want };
    model.forward(&mut [part], &mut work, &mut || false)?;
    Ok(work.logits(0).values.to_vec())
}

/// The cases, with what a model of each is opened from.
fn cases() -> Vec<(PathBuf, Source)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/data/parity");
    let inside = |folder: &Path| {
        let entries = std::fs::read_dir(folder).expect("the cases are stored");
        let mut paths: Vec<_> = entries
            .map(|entry| entry.expect("a file or folder").path())
            .collect();
        paths.sort();
        paths
    };
    let mut cases = Vec::new();
    for folder in inside(Path::new(root)) {
        if !folder.join("expected.safetensors").exists() {
            continue;
        }
        let is_gguf = |path: &PathBuf| path.extension().is_some_and(|end| end == "gguf");
        let gguf = inside(&folder).into_iter().find(is_gguf);
        let source = Source::Path(gguf.unwrap_or_else(|| folder.clone()));
        cases.push((folder, source));
    }
    assert!(!cases.is_empty(), "the cases are stored");
    cases
}

/// The largest difference from a case's logits, or the first fault: logits further away than `bound`, or tokens of
/// `follow` further below the likeliest than `tie`, both in units of the largest logit.
fn check(
    case: &Expected,
    model: &Model,
    sizes: &[usize],
    (bound, tie): (f32, f32),
    follow: &[u32],
) -> Result<f32, String> {
    let said = |error: Error| error.to_string();
    let scale = case.logits.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let mut worst = 0.0f32;
    for &size in sizes {
        let mut kv = model.kv();
        let got = case.run(model, &mut kv, size).map_err(said)?;
        if got.len() != case.logits.len() {
            return Err(format!("{} logits, not {}", got.len(), case.logits.len()));
        }
        let pairs = got.iter().zip(&case.logits);
        let error = pairs.fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / scale;
        // The largest of numbers passes over what is no number.
        let is_whole = got.iter().all(|logit| logit.is_finite());
        if !is_whole || error > bound {
            return Err(format!("chunks of {size}: off by {error:e}"));
        }
        worst = worst.max(error);
        let last = got[got.len() - model.config().vocabulary..].to_vec();
        let fault = case.follow(model, &mut kv, last, (follow, tie * scale));
        if let Some((step, below)) = fault.map_err(said)? {
            return Err(format!(
                "chunks of {size}: token {step}, {}, is {below:e} below the likeliest",
                follow[step]
            ));
        }
    }
    Ok(worst)
}

/// Checks a case as it is stored and, if that is in blocks, with the numbers that the blocks stand for.
fn check_stored(folder: &Path, source: &Source) -> Result<f32, String> {
    let said = |error: Error| error.to_string();
    let case = read(&folder.join("expected.safetensors"));
    let sizes = &[case.ids.len(), 64, 7, 1];
    let info = inspect(source).map_err(said)?;
    let is_rounded = |kind: &str| !matches!(kind, "f32" | "f16" | "bf16" | "int8");
    let mut kinds = info.tensors.iter().flat_map(|it| it.kind.split('+'));
    let open = |weights| Model::open(source, weights, &Device::Cpu).map_err(said);
    let stored = open(Weights::AsStored)?;
    if !kinds.any(is_rounded) {
        let worst = check(&case, &stored, sizes, (CLOSE, 0.0), &case.greedy)?;
        if let Some(llama) = &case.llama {
            check(&case, &stored, &sizes[..1], (CLOSE, 0.0), llama)?;
        }
        return Ok(worst);
    }
    check(
        &case,
        &open(Weights::F32)?,
        sizes,
        (CLOSE, 0.0),
        &case.greedy,
    )?;
    let llama = case.llama.as_ref().ok_or("has no tokens of llama.cpp")?;
    let mut kinds = info.tensors.iter().flat_map(|it| it.kind.split('+'));
    let tie = if kinds.any(|kind| kind.ends_with("_k")) {
        TIE
    } else {
        0.0
    };
    let bound = match stored.config().experts {
        Some(_) => CLOSE_CHOSEN,
        None => CLOSE_ROUNDED,
    };
    check(&case, &stored, sizes, (bound, tie), llama)
}

#[test]
fn every_member_is_itself() {
    let mut faults = Vec::new();
    for (folder, source) in cases() {
        match check_stored(&folder, &source) {
            Ok(worst) => println!("{}: {worst:.1e}", folder.display()),
            Err(fault) => faults.push(format!("{}: {fault}", folder.display())),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What a type may cost: the root of the logits' mean square difference, relative to that of the logits; half of the
/// cases and all of them. Random weights have no slack, experts change with the last digit, and attention here is as
/// sharp as random weights allow, so the worst cases are far worse than trained models (for 5 and 4 bits they are those
/// whose numbers are random bits of such blocks already). Logits of another model would be at 1.4.
const TYPES: &[(Weights, f32, f32)] = &[
    (Weights::F32, 2e-6, 1e-5),
    (Weights::F16, 1e-3, 5e-3),
    (Weights::Bf16, 1e-2, 3e-2),
    (Weights::Quantized(Quant::Q8_0), 1e-2, 0.2),
    (Weights::Quantized(Quant::Int8), 4e-2, 0.25),
    (Weights::Quantized(Quant::Q6K), 1e-2, 0.2),
    (Weights::Quantized(Quant::Q5K), 1e-2, 0.7),
    (Weights::Quantized(Quant::Q4K), 1e-2, 0.7),
    (Weights::Quantized(Quant::Q4_0), 0.15, 0.7),
    (Weights::Quantized(Quant::Int4), 0.5, 0.8),
];

/// What one of the types costs a case, or the first fault.
fn check_type(case: &Expected, source: &Source, weights: Weights) -> Result<f32, String> {
    let said = |error: Error| error.to_string();
    let open = |source: &Source, weights| Model::open(source, weights, &Device::Cpu);
    let model = open(source, weights).map_err(said)?;
    let got = case.run(&model, &mut model.kv(), 1000).map_err(said)?;
    let square = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| x * x).sum::<f32>();
    let apart = |got: &[f32], want: &[f32]| {
        let difference = square(&mut got.iter().zip(want).map(|(a, b)| a - b));
        (difference / square(&mut want.iter().copied())).sqrt()
    };
    let cost = apart(&got, &case.logits);
    let Weights::Quantized(quant) = weights else {
        return Ok(cost);
    };
    // The same, done ahead.
    let path = std::env::temp_dir().join(format!("infill-family-{}.gguf", std::process::id()));
    quantize(source, &path, quant, &[], &mut |_, _| {}).map_err(said)?;
    let written = Source::Path(path.clone());
    let faults = verify(&written).map_err(said)?;
    let [before, after] = [source, &written].map(|source| inspect(source).map_err(said));
    let (before, after) = (before?, after?);
    let ahead = open(&written, Weights::AsStored).map_err(said)?;
    let ahead = case.run(&ahead, &mut model.kv(), 1000).map_err(said)?;
    std::fs::remove_file(path).map_err(|error| error.to_string())?;
    if !faults.is_empty() || before.config != after.config {
        return Err(format!(
            "is written with faults {faults:?} or another configuration"
        ));
    }
    if apart(&ahead, &got) > 1e-5 {
        return Err(format!(
            "done ahead is {:.1e} from done on loading",
            apart(&ahead, &got)
        ));
    }
    let wanted = before.memory(weights, 100);
    let held = after.memory(Weights::AsStored, 100);
    if wanted.kv != held.kv || wanted.weights.abs_diff(held.weights) > wanted.weights / 100 {
        return Err(format!(
            "is foretold to take {wanted:?}, and takes {held:?}"
        ));
    }
    Ok(cost)
}

#[test]
fn every_member_can_be_brought_to_every_type() {
    let mut faults = Vec::new();
    let mut costs = vec![Vec::new(); TYPES.len()];
    for (folder, source) in cases() {
        let case = read(&folder.join("expected.safetensors"));
        let wrong = verify(&source).expect("the case can be read");
        assert_eq!(wrong, Vec::<String>::new());
        for ((weights, ..), costs) in TYPES.iter().zip(&mut costs) {
            match check_type(&case, &source, *weights) {
                Ok(cost) => costs.push(cost),
                Err(fault) => faults.push(format!("{}: {weights:?} {fault}", folder.display())),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for ((weights, usual, most), mut costs) in TYPES.iter().zip(costs) {
        costs.sort_by(f32::total_cmp);
        let (half, worst) = (costs[costs.len() / 2], costs[costs.len() - 1]);
        println!("{weights:?}: {half:.1e}, at worst {worst:.1e}");
        assert!(half <= *usual && worst <= *most, "{weights:?}: {costs:?}");
    }
}
