//! Damaged and hostile model folders, as a user may have them: a clear error, at once, for little memory.
//!
//! Each case copies a small model of `data/parity`, spoils it, and opens it in a process of its own, which says what
//! went wrong, how long it took, and how much memory that took. Inputs that fuzzing found lie in `data/hostile`, a
//! folder each, and only must not crash. How to fuzz is told in `fuzz/README.md`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod tokenizers;

use glm::{Device, Model, Source, Weights};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

/// Longest time until the error, in milliseconds.
const TIME: u128 = 1000;
/// Memory that an error may take besides as much as the files have.
const MEMORY: u64 = 4 << 20;
/// Tells the process of its own what to open.
const PATH: &str = "INFILL_TEST_HOSTILE";

/// A folder that is spoiled, and what the error must say.
struct Case {
    name: &'static str,
    /// The model of `data/parity` that is spoiled; none for an empty folder.
    base: &'static str,
    spoil: fn(&Path),
    words: &'static [&'static str],
}

const fn case(
    name: &'static str,
    base: &'static str,
    spoil: fn(&Path),
    words: &'static [&'static str],
) -> Case {
    Case {
        name,
        base,
        spoil,
        words,
    }
}

/// One file of safetensors; shards with an index; archives of PyTorch; a parallel run; our own GGUF.
const SINGLE: &str = "glm4-single";
const SHARDS: &str = "glm-hf-sharded";
const TORCH: &str = "glm-erf";
const RANKS: &str = "glm130b-shards2";
const GGUF: &str = "gguf";

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

// One line a case.
#[rustfmt::skip]
const CASES: &[Case] = &[
    // The description.
    case("no_config", SINGLE, |at| remove(at, "config.json"), &["no config.json beside it"]),
    case("config_cut", SINGLE, |at| put(at, "config.json", b"{\"model_type\": \"glm4\","), &["config.json", "not an object of JSON", "line 1"]),
    case("config_empty", SINGLE, |at| put(at, "config.json", b""), &["config.json", "not an object of JSON"]),
    case("config_list", SINGLE, |at| put(at, "config.json", b"[]"), &["config.json", "not an object of JSON"]),
    case("config_deep", SINGLE, |at| put(at, "config.json", "{\"a\":[".repeat(50_000).as_bytes()), &["config.json", "recursion"]),
    case("config_large", SINGLE, |at| put(at, "config.json", &[b' '; 2 << 20]), &["config.json", "2097152 bytes"]),
    case("config_of_another_model", SINGLE, |at| put(at, "config.json", b"{\"model_type\": \"llama\"}"), &["config.json", "`model_type`", "`llama`", "known are"]),
    case("config_folder", SINGLE, |at| { remove(at, "config.json"); make_folder(at, "config.json") }, &["no config.json beside it"]),
    case("config_without_width", SINGLE, |at| { config(at, |all| { all.remove("hidden_size"); }) }, &["config.json", "`hidden_size` is missing"]),
    case("config_width_text", SINGLE, |at| { config(at, |all| { all["hidden_size"] = json!("48"); }) }, &["`hidden_size` is not a positive count"]),
    case("config_width_negative", SINGLE, |at| { config(at, |all| { all["hidden_size"] = json!(-48); }) }, &["`hidden_size` is not a positive count"]),
    case("config_width_huge", SINGLE, |at| { config(at, |all| { all["hidden_size"] = json!(u64::MAX); }) }, &["`hidden_size` is not a positive count"]),
    case("config_width_other", SINGLE, |at| { config(at, |all| { all["hidden_size"] = json!(64); }) }, &["tensor `token_embd.weight`", "[101, 48]", "[101, 64]"]),
    case("config_vocabulary_huge", SINGLE, |at| { config(at, |all| { all["vocab_size"] = json!(1 << 24); }) }, &["tensor `token_embd.weight`", "[101, 48]"]),
    case("config_layers_many", SINGLE, |at| { config(at, |all| { all["num_hidden_layers"] = json!(4096); }) }, &["`layers` is 4096, and the files have 42 tensors"]),
    case("config_layers_a_few_more", SINGLE, |at| { config(at, |all| { all["num_hidden_layers"] = json!(9); }) }, &["tensor `blk.3.attn_qkv.weight` is missing"]),
    case("config_layers_too_many", SINGLE, |at| { config(at, |all| { all["num_hidden_layers"] = json!(4097); }) }, &["`layers` is 4097, not between 1 and 4096"]),
    case("config_heads", SINGLE, |at| { config(at, |all| { all["num_key_value_heads"] = json!(5); }) }, &["`heads of keys`", "does not divide the 6 heads"]),
    case("config_rope", SINGLE, |at| { config(at, |all| { all["rope_parameters"]["partial_rotary_factor"] = json!(1e300); }) }, &["rotary_factor` is not a finite number"]),
    // The files themselves.
    case("nothing", "", |_| {}, &["has no model", "mp_rank_00_model_states.pt"]),
    case("weights_empty", SINGLE, |at| put(at, WEIGHTS, b""), &["model.safetensors", "it is empty", "fetch or export it again"]),
    case("weights_text", SINGLE, |at| put(at, WEIGHTS, b"version https://git-lfs.github.com/spec/v1\n"), &["model.safetensors", "begins like no file of"]),
    case("weights_folder", SINGLE, |at| { remove(at, WEIGHTS); make_folder(at, WEIGHTS) }, &["model.safetensors", "no regular file"]),
    case("weights_cut_in_the_length", SINGLE, |at| cut(at, WEIGHTS, 6), &["model.safetensors", "6 bytes"]),
    case("weights_cut_in_the_header", SINGLE, |at| cut(at, WEIGHTS, 4000), &["model.safetensors", "cut short"]),
    case("weights_cut_in_the_data", SINGLE, |at| cut(at, WEIGHTS, 152_431), &["tensor `model.norm.weight`", "does not lie within"]),
    case("header_of_10_gb", SINGLE, |at| length(at, 10_000_000_000), &["header should have 10000000000 bytes", "the file has"]),
    case("header_of_10_gb_in_12_gb", SINGLE, |at| { length(at, 10_000_000_000); grow(at, WEIGHTS, 12_000_000_000) }, &["header should have 10000000000 bytes"]),
    case("header_of_all_bits", SINGLE, |at| length(at, u64::MAX), &["header should have 18446744073709551615 bytes"]),
    case("header_broken", SINGLE, |at| length(at, 2000), &["header is not that of a safetensors file", "column"]),
    // Tensors.
    case("tensor_missing", SINGLE, |at| { header(at, |all| { all.remove("model.layers.1.mlp.down_proj.weight"); }) }, &["tensor `blk.1.ffn_down.weight` is missing"]),
    case("tensor_part_missing", SINGLE, |at| { header(at, |all| { all.remove("model.layers.2.self_attn.k_proj.weight"); }) }, &["tensor `blk.2.attn_qkv.weight` is missing"]),
    case("tensor_transposed", SINGLE, |at| tensor(at, "shape", json!([72, 48])), &["tensor `blk.0.ffn_down.weight`", "[72, 48]", "[48, 72]"]),
    case("tensor_of_other_type", SINGLE, |at| tensor(at, "dtype", json!("I16")), &["tensor `blk.0.ffn_down.weight` has type i16"]),
    case("tensor_of_other_size", SINGLE, |at| tensor(at, "dtype", json!("F32")), &["down_proj.weight`", "6912 bytes where 13824 belong"]),
    case("tensor_of_unknown_type", SINGLE, |at| tensor(at, "dtype", json!("F4")), &["down_proj.weight` has the unknown type F4"]),
    case("tensor_overflows", SINGLE, |at| tensor(at, "shape", json!([1u64 << 62, 1u64 << 62])), &["down_proj.weight`", "too large for any machine"]),
    case("tensor_of_many_dimensions", SINGLE, |at| tensor(at, "shape", json!(vec![1; 100_000])), &["not that of a safetensors file", "at most 8 sizes"]),
    case("tensor_past_the_end", SINGLE, |at| tensor(at, "data_offsets", json!([1u64 << 40, (1u64 << 40) + 6912])), &["down_proj.weight`", "does not lie within"]),
    case("tensor_backwards", SINGLE, |at| tensor(at, "data_offsets", json!([6912, 0])), &["down_proj.weight`", "does not lie within"]),
    case("tensors_overlap", SINGLE, |at| tensor(at, "data_offsets", json!([0, 6912])), &["down_proj.weight`", "overlap"]),
    case("tensor_of_nothing", SINGLE, |at| tensor(at, "shape", json!([0, 1u64 << 40])), &["tensor `blk.0.ffn_down.weight` is missing"]),
    case("tensor_twice", SINGLE, twice, &["tensor `lm_head.weight` is there twice"]),
    case("tensors_without_end", SINGLE, many, &["more than 65536 tensors"]),
    case("tensor_with_a_long_name", SINGLE, |at| { header(at, |all| { let one = all["lm_head.weight"].clone(); all.insert("x".repeat(1 << 20), one); }) }, &["a name of more than 256 bytes"]),
    // Shards and their index.
    case("index_broken", SHARDS, |at| put(at, INDEX, b"{\"weight_map\": 3}"), &["index.json", "no index of weights"]),
    case("index_without_files", SHARDS, |at| put(at, INDEX, b"{\"weight_map\": {}}"), &["index.json", "names no file of weights"]),
    case("index_large", SHARDS, |at| grow(at, INDEX, 17 << 20), &["index.json", "17825792 bytes"]),
    case("index_names_itself", SHARDS, |at| index(at, INDEX), &["index.json", "no safetensors file"]),
    case("index_names_the_config", SHARDS, |at| index(at, "config.json"), &["config.json", "begins like no file of"]),
    case("index_leads_up", SHARDS, |at| index(at, "../outside/model.safetensors"), &["index.json", "`model.norm.weight`", "`../outside/model.safetensors`", "no file beside it"]),
    case("index_leads_down_and_up", SHARDS, |at| index(at, "a/../../outside/model.safetensors"), &["no file beside it"]),
    case("index_leads_to_the_root", SHARDS, |at| index(at, "/etc/passwd"), &["`/etc/passwd`", "no file beside it"]),
    case("index_names_the_parent", SHARDS, |at| index(at, ".."), &["`..`", "no file beside it"]),
    case("index_names_nothing", SHARDS, |at| index(at, ""), &["no file beside it"]),
    case("index_names_no_file", SHARDS, |at| index(at, "absent.safetensors"), &["index.json", "the shard absent.safetensors that it names is missing"]),
    case("index_names_a_nul", SHARDS, |at| index(at, "a\0b"), &["is missing"]),
    case("index_knows_more", SHARDS, |at| { json_file(at, INDEX, |all| { all["weight_map"]["model.more.weight"] = json!("model-00001-of-00005.safetensors") }) }, &["tensor `model.more.weight` is not in", "where the index has it"]),
    case("shard_missing", SHARDS, |at| remove(at, "model-00003-of-00005.safetensors"), &["index.json", "the shard model-00003-of-00005.safetensors", "missing"]),
    case("shard_cut", SHARDS, |at| cut(at, "model-00003-of-00005.safetensors", 30_000), &["model-00003-of-00005.safetensors", "does not lie within"]),
    case("shard_twice", SHARDS, |at| { fs::copy(at.join("model-00001-of-00005.safetensors"), at.join("model-00002-of-00005.safetensors")).unwrap(); }, &["model-00002-of-00005.safetensors", "is there twice"]),
    // Archives of PyTorch.
    case("archive_cut", TORCH, |at| cut(at, "pytorch_model.bin", 20_000), &["pytorch_model.bin", "zip directory is missing", "cut short"]),
    case("archive_with_code", TORCH, |at| copy("checkpoints/foreign.pt", at, "pytorch_model.bin"), &["pytorch_model.bin", "is asked for", "not run"]),
    case("archive_of_old", TORCH, |at| copy("checkpoints/legacy.pt", at, "pytorch_model.bin"), &["PyTorch before 1.6", "python -c"]),
    case("archive_of_another_model", TORCH, |at| copy("checkpoints/nested.pt", at, "pytorch_model.bin"), &["names of no model of this family"]),
    case("archive_that_holds_itself", TORCH, |at| copy("hostile/cyclic.pt", at, "pytorch_model.bin"), &["names of no model of this family"]),
    case("archive_of_one_storage", TORCH, |at| copy("hostile/shared.pt", at, "pytorch_model.bin"), &["pytorch_model.bin", "they overlap"]),
    // A parallel run.
    case("rank_missing", RANKS, |at| remove(&at.join("49300"), "mp_rank_00_model_states.pt"), &["the shard of rank 0 is missing"]),
    case("rank_cut", RANKS, |at| cut(&at.join("49300"), "mp_rank_01_model_states.pt", 9_000), &["mp_rank_01_model_states.pt", "cut short"]),
    case("rank_of_another_run", RANKS, |at| { copy("checkpoints/nested.pt", &at.join("49300"), "mp_rank_01_model_states.pt") }, &["missing from one of the shards"]),
    case("latest_leads_away", RANKS, |at| put(at, "latest", b"../../outside"), &["has no model"]),
    // GGUF.
    case("gguf_cut", GGUF, |at| cut(at, "model.gguf", 900), &["model.gguf", "header is cut short"]),
    case("gguf_cut_in_the_data", GGUF, |at| cut(at, "model.gguf", 60_000), &["model.gguf", "reaches past the end of the file"]),
    case("gguf_of_another_version", GGUF, |at| poke(at, 4, &9u32.to_le_bytes()), &["GGUF version is 9"]),
    case("gguf_tensors_without_end", GGUF, |at| poke(at, 8, &(1u64 << 60).to_le_bytes()), &["1152921504606846976 tensors"]),
    case("gguf_metadata_without_end", GGUF, |at| poke(at, 16, &u64::MAX.to_le_bytes()), &["18446744073709551615 pairs"]),
    case("gguf_key_without_end", GGUF, |at| poke(at, 24, &(10u64 << 30).to_le_bytes()), &["header is cut short: 10737418240 bytes wanted at 32"]),
    case("gguf_key_that_overflows", GGUF, |at| poke(at, 24, &u64::MAX.to_le_bytes()), &["header is cut short"]),
    case("gguf_tensor_renamed", GGUF, |at| replace(at, b"blk.2.ffn_down.weight", b"blk.1.ffn_down.weight"), &["tensor `blk.1.ffn_down.weight` is there twice"]),
    case("gguf_part_missing", GGUF, |at| { fs::rename(at.join("model.gguf"), at.join("model-00001-of-00002.gguf")).unwrap(); }, &["model-00002-of-00002.gguf", "check the path"]),
];

#[test]
fn spoiled_folders_are_refused_with_their_fault_at_once_and_for_little_memory() {
    let mut faults = Vec::new();
    for case in CASES {
        let scratch = Scratch::new();
        let folder = scratch.0.join("model");
        lay_out(case.base, &folder);
        // What no path out of the folder may reach.
        lay_out(SINGLE, &scratch.0.join("outside"));
        (case.spoil)(&folder);
        if let Err(fault) = check(&folder, case.words) {
            faults.push(format!("{}: {fault}", case.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[cfg(unix)]
#[test]
fn links_that_go_round_and_pipes_are_refused() {
    use std::os::unix::fs::symlink;
    let scratch = Scratch::new();
    let names = [
        "config.json",
        WEIGHTS,
        INDEX,
        "model.gguf",
        "latest",
        "mp_rank_00_model_states.pt",
    ];
    for (place, name) in names.iter().enumerate() {
        for kind in ["link", "pipe"] {
            let folder = scratch.0.join(format!("{place}-{kind}"));
            lay_out(if place < 3 { SINGLE } else { "" }, &folder);
            let _ = fs::remove_file(folder.join(name));
            if kind == "link" {
                symlink(name, folder.join(name)).unwrap();
            } else {
                assert!(
                    Command::new("mkfifo")
                        .arg(folder.join(name))
                        .status()
                        .unwrap()
                        .success()
                );
            }
            // An index that cannot be read is as good as none.
            let words: &[&str] = match *name {
                "config.json" => &["no config.json beside it"],
                INDEX => continue,
                "latest" => &["has no model"],
                _ if kind == "link" => &[name, "cannot open the model file"],
                _ => &[name, "no regular file"],
            };
            check(&folder, words).unwrap_or_else(|fault| panic!("{name}, a {kind}: {fault}"));
        }
    }
    // Links to files are how caches of downloads look; they are followed.
    let folder = scratch.0.join("linked");
    lay_out(SINGLE, &scratch.0.join("blobs"));
    fs::create_dir(&folder).unwrap();
    for name in ["config.json", WEIGHTS] {
        symlink(scratch.0.join("blobs").join(name), folder.join(name)).unwrap();
    }
    let model = Model::open(&Source::Path(folder), Weights::AsStored, &Device::Cpu);
    assert!(model.is_ok());
}

#[test]
fn the_models_that_are_spoiled_are_whole() {
    for base in [SINGLE, SHARDS, TORCH, RANKS, GGUF] {
        let scratch = Scratch::new();
        lay_out(base, &scratch.0.join("model"));
        let source = Source::Path(scratch.0.join("model"));
        assert_eq!(
            glm::verify(&source).unwrap(),
            Vec::<String>::new(),
            "{base}"
        );
        assert!(
            Model::open(&source, Weights::AsStored, &Device::Cpu).is_ok(),
            "{base}"
        );
    }
}

/// Inputs that once crashed: each is opened to the end, whatever comes of it.
#[test]
fn what_fuzzing_found_does_not_crash() {
    for entry in fs::read_dir(data("hostile")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let report = open_apart(&path).unwrap_or_else(|fault| panic!("{path:?}: {fault}"));
            assert!(report.time < TIME, "{path:?} takes {} ms", report.time);
        }
    }
}

/// What the process of its own runs; by itself it does nothing.
#[test]
fn a_process_of_its_own_opens_a_folder() {
    let Some(path) = std::env::var_os(PATH) else {
        return;
    };
    let source = Source::Path(PathBuf::from(path));
    let before = Instant::now();
    let peak = memory();
    let looked = glm::inspect(&source).map(|info| info.memory(Weights::F32, usize::MAX));
    let faults = glm::verify(&source);
    let opened = Model::open(&source, Weights::AsStored, &Device::Cpu).map(drop);
    let memory = memory() - peak;
    let error = opened.err().map(|error| error.to_string());
    // What does not open either cannot be looked at or is found at fault.
    let is_found = looked.is_err() || faults.as_ref().map_or(true, |faults| !faults.is_empty());
    let report = json!({
        "error": error,
        "found": error.is_none() || is_found,
        "time": before.elapsed().as_millis() as u64,
        "memory": memory,
    });
    println!("\nreport {report}");
}

/// The most memory of this process so far, in bytes, touched or not.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

struct Report {
    error: String,
    is_found: bool,
    time: u128,
    memory: u64,
}

/// Opens the folder in another process, which may not crash.
fn open_apart(path: &Path) -> Result<Report, String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile::a_process_of_its_own_opens_a_folder"])
        .args(["--nocapture", "--test-threads=1"])
        .env(PATH, path)
        // Arenas and caches of threads are no memory that a file asks for.
        .env("MALLOC_ARENA_MAX", "1")
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let report = text.lines().find_map(|line| line.strip_prefix("report "));
    let report: Value = report
        .and_then(|report| serde_json::from_str(report).ok())
        .ok_or_else(|| {
            format!(
                "it ended with {}:\n{text}{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )
        })?;
    Ok(Report {
        error: report["error"]
            .as_str()
            .unwrap_or("nothing is wrong")
            .to_owned(),
        is_found: report["found"] == true,
        time: report["time"].as_u64().unwrap_or(u64::MAX).into(),
        memory: report["memory"].as_u64().unwrap_or(u64::MAX),
    })
}

/// The first fault of a refusal.
fn check(path: &Path, words: &[&str]) -> Result<(), String> {
    let report = open_apart(path)?;
    if let Some(word) = words.iter().find(|word| !report.error.contains(**word)) {
        return Err(format!("`{}` does not say `{word}`", report.error));
    }
    if !report.is_found {
        return Err("it looks whole and does not open".to_owned());
    }
    if report.time > TIME {
        return Err(format!("it takes {} ms", report.time));
    }
    // Once for the mapping, which is no memory, and once for what is made of it.
    let most = 2 * size(path) + MEMORY;
    if report.memory > most {
        return Err(format!(
            "it takes {} bytes of memory, and {most} are enough",
            report.memory
        ));
    }
    Ok(())
}

/// Bytes of all files of a folder.
fn size(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| size(&entry.unwrap().path())).sum(),
        Err(_) => metadata.len(),
    }
}

/// A folder for one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("infill-hostile-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data")
        .join(path)
}

/// Copies a model's files; an empty name is an empty folder.
fn lay_out(base: &str, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    if base == GGUF {
        let source = Source::Path(data("parity").join(SINGLE));
        let out = folder.join("model.gguf");
        glm::quantize(&source, &out, glm::Quant::Int8, &[], &mut |_, _| {}).unwrap();
    } else if !base.is_empty() {
        copy_folder(&data("parity").join(base), folder);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy_folder(&path, &to);
        } else if !path.ends_with("expected.safetensors") {
            fs::copy(&path, to).unwrap();
        }
    }
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).unwrap();
}

fn copy(from: &str, folder: &Path, name: &str) {
    fs::copy(data(from), folder.join(name)).unwrap();
}

fn remove(folder: &Path, name: &str) {
    fs::remove_file(folder.join(name)).unwrap();
}

fn make_folder(folder: &Path, name: &str) {
    fs::create_dir(folder.join(name)).unwrap();
}

fn cut(folder: &Path, name: &str, length: u64) {
    let path = folder.join(name);
    assert!(length < fs::metadata(&path).unwrap().len());
    grow(folder, name, length);
}

/// Sets a file's length; what is new is zeros that take no place on the disk.
fn grow(folder: &Path, name: &str, length: u64) {
    let file = File::options().write(true).open(folder.join(name)).unwrap();
    file.set_len(length).unwrap();
}

/// Changes an object in a file of JSON.
fn json_file(folder: &Path, name: &str, change: fn(&mut serde_json::Map<String, Value>)) {
    let bytes = fs::read(folder.join(name)).unwrap();
    let mut all: Value = serde_json::from_slice(&bytes).unwrap();
    change(all.as_object_mut().unwrap());
    put(folder, name, all.to_string().as_bytes());
}

fn config(folder: &Path, change: fn(&mut serde_json::Map<String, Value>)) {
    json_file(folder, "config.json", change);
}

/// Puts one tensor into another file.
fn index(folder: &Path, file: &str) {
    let bytes = fs::read(folder.join(INDEX)).unwrap();
    let mut all: Value = serde_json::from_slice(&bytes).unwrap();
    all["weight_map"]["model.norm.weight"] = file.into();
    put(folder, INDEX, all.to_string().as_bytes());
}

/// The header of the weights and what follows it.
fn split(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let mut header = fs::read(folder.join(WEIGHTS)).unwrap();
    let length: [u8; 8] = header[..8].try_into().unwrap();
    let rest = header.split_off(8 + u64::from_le_bytes(length) as usize);
    (header.split_off(8), rest)
}

fn join(folder: &Path, header: &[u8], rest: &[u8]) {
    let length = (header.len() as u64).to_le_bytes();
    put(folder, WEIGHTS, &[&length, header, rest].concat());
}

fn header(folder: &Path, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let (header, rest) = split(folder);
    let mut all: Value = serde_json::from_slice(&header).unwrap();
    change(all.as_object_mut().unwrap());
    join(folder, all.to_string().as_bytes(), &rest);
}

/// Changes what the header says of one tensor.
fn tensor(folder: &Path, key: &str, value: Value) {
    header(folder, |all| {
        all["model.layers.0.mlp.down_proj.weight"][key] = value;
    });
}

/// The same tensor twice, which only text can say.
fn twice(folder: &Path) {
    let (header, rest) = split(folder);
    let all: Value = serde_json::from_slice(&header).unwrap();
    let text = String::from_utf8(header).unwrap();
    let one = format!("{{\"lm_head.weight\":{},", all["lm_head.weight"]);
    join(folder, text.replacen('{', &one, 1).as_bytes(), &rest);
}

/// A header of a million tensors of one number.
fn many(folder: &Path) {
    let one =
        |place| format!("\"{place}\":{{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}");
    let all: Vec<String> = (0..1_000_000).map(one).collect();
    join(folder, format!("{{{}}}", all.join(",")).as_bytes(), &[0]);
}

/// Changes the stated length of the header.
fn length(folder: &Path, length: u64) {
    let (header, rest) = split(folder);
    put(
        folder,
        WEIGHTS,
        &[&length.to_le_bytes(), &header[..], &rest].concat(),
    );
}

/// Changes bytes of the GGUF file.
fn poke(folder: &Path, at: usize, bytes: &[u8]) {
    let path = folder.join("model.gguf");
    let mut all = fs::read(&path).unwrap();
    all[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, all).unwrap();
}

fn replace(folder: &Path, from: &[u8], to: &[u8]) {
    let all = fs::read(folder.join("model.gguf")).unwrap();
    let at = all.windows(from.len()).position(|window| window == from);
    poke(folder, at.unwrap(), to);
}
