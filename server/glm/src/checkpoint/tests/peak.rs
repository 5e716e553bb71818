//! How much memory loading takes, at its peak and in the end, of models large enough to measure.
//!
//! Each model is written to a temporary folder and loaded by a process of its own, whose greatest resident size the
//! system tells. Linux alone; slow, so only on request: `cargo test -p glm -- --ignored peak --nocapture`.

use super::super::{
    Source, inspect,
    needs::needs,
    write::{self, Part},
};
use crate::{
    Activation, Architecture, Attention, Block, Config, Device, Grouped, Model, Norm, Pairs, PartA,
    Positions, Quant, Rotary, Weights,
    config::{Pair, pairs},
    fixture,
};
use candle_core::quantized::GgmlDType;
use serde_json::{Map, json};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// Tells the test that it is the child, and what to load.
const CHILD: &str = "INFILL_PEAK_OF";
/// A byte that is a sensible number in every type: small and positive.
const BYTE: u8 = 0x3c;

/// Layers of GLM-4 of about 15 million weights each.
fn config(layers: usize) -> Config {
    Config {
        architecture: Architecture::Glm4,
        norm: Norm::Rms,
        block: Block::Sandwich,
        attention: Attention::Grouped(Grouped {
            heads: 16,
            kv_heads: 2,
            head_size: 64,
            qkv_bias: false,
            qk_norm: false,
        }),
        positions: Positions::Rotary(Rotary {
            size: 32,
            pairs: Pairs::Interleaved,
            base: 10_000.0,
            rows: 1,
            half_frequencies: false,
            yarn: None,
        }),
        part_a: PartA::Causal,
        gated: true,
        activation: Activation::Silu,
        linear_bias: false,
        tied: false,
        ..fixture::glm(layers, 1024, 16, 4096, 16_384, 512)
    }
}

/// The names and shapes of transformers' class for that model.
fn tensors(layers: usize) -> Vec<(String, Vec<usize>)> {
    let mut all = vec![
        ("model.embed_tokens".to_owned(), vec![16_384, 1024]),
        ("model.norm".to_owned(), vec![1024]),
        ("lm_head".to_owned(), vec![16_384, 1024]),
    ];
    for layer in 0..layers {
        for (name, shape) in [
            ("input_layernorm", vec![1024]),
            ("post_attention_layernorm", vec![1024]),
            ("post_self_attn_layernorm", vec![1024]),
            ("post_mlp_layernorm", vec![1024]),
            ("self_attn.q_proj", vec![1024, 1024]),
            ("self_attn.k_proj", vec![128, 1024]),
            ("self_attn.v_proj", vec![128, 1024]),
            ("self_attn.o_proj", vec![1024, 1024]),
            ("mlp.gate_up_proj", vec![8192, 1024]),
            ("mlp.down_proj", vec![1024, 4096]),
        ] {
            all.push((format!("model.layers.{layer}.{name}"), shape));
        }
    }
    for (name, _) in &mut all {
        name.push_str(".weight");
    }
    all
}

fn size(shape: &[usize]) -> usize {
    shape.iter().product::<usize>() * 2
}

fn describe(folder: &Path, layers: usize) {
    let description = json!({
        "model_type": "glm4", "num_hidden_layers": layers, "hidden_size": 1024, "intermediate_size": 4096,
        "vocab_size": 16_384, "max_position_embeddings": 512, "num_attention_heads": 16, "num_key_value_heads": 2,
        "head_dim": 64, "attention_bias": false, "rms_norm_eps": 1e-5,
    });
    fs::write(folder.join("config.json"), description.to_string()).unwrap();
}

/// bf16 in two files with an index.
fn safetensors(folder: &Path, layers: usize) -> PathBuf {
    describe(folder, layers);
    let tensors = tensors(layers);
    let mut index = Map::new();
    for (part, some) in tensors.chunks(tensors.len().div_ceil(2)).enumerate() {
        let file = format!("model-{part}.safetensors");
        let mut header = Map::new();
        let mut end = 0;
        for (name, shape) in some {
            let first = end;
            end += size(shape);
            let entry = json!({"dtype": "BF16", "shape": shape, "data_offsets": [first, end]});
            header.insert(name.clone(), entry);
            index.insert(name.clone(), json!(file));
        }
        let header = serde_json::to_vec(&header).unwrap();
        let mut out = BufWriter::new(File::create(folder.join(file)).unwrap());
        out.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        out.write_all(&header).unwrap();
        fill(&mut out, end);
        out.flush().unwrap();
    }
    let index = json!({ "weight_map": index }).to_string();
    fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
    folder.to_owned()
}

/// f16 in a file as `torch.save` writes it.
fn pytorch(folder: &Path, layers: usize) -> PathBuf {
    describe(folder, layers);
    let text = |pickle: &mut Vec<u8>, text: &str| {
        pickle.push(b'X');
        pickle.extend((text.len() as u32).to_le_bytes());
        pickle.extend(text.bytes());
    };
    let number = |pickle: &mut Vec<u8>, number: usize| {
        pickle.push(b'J');
        pickle.extend((number as u32).to_le_bytes());
    };
    let mut pickle = b"\x80\x02}(".to_vec();
    let mut files = Vec::new();
    for (place, (name, shape)) in tensors(layers).into_iter().enumerate() {
        text(&mut pickle, &name);
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut pickle, "storage");
        pickle.extend(b"ctorch\nHalfStorage\n");
        text(&mut pickle, &place.to_string());
        text(&mut pickle, "cpu");
        number(&mut pickle, size(&shape) / 2);
        pickle.extend(b"tQK\x00");
        let strides = [&shape[1..], &[1]].concat();
        for numbers in [&shape, &strides] {
            pickle.push(b'(');
            numbers.iter().for_each(|&n| number(&mut pickle, n));
            pickle.push(b't');
        }
        pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        files.push((format!("archive/data/{place}"), size(&shape), None));
    }
    pickle.extend(b"u.");
    files.insert(
        0,
        ("archive/data.pkl".to_owned(), pickle.len(), Some(pickle)),
    );
    let mut out = BufWriter::new(File::create(folder.join("pytorch_model.bin")).unwrap());
    let mut directory = Vec::new();
    let mut at = 0u32;
    let count = files.len() as u16;
    for (name, length, content) in files {
        // Storages begin at multiples of 64, as PyTorch pads them.
        let padding =
            (at as usize + 30 + name.len()).next_multiple_of(64) - (at as usize + 30 + name.len());
        let mut fields = vec![0; 14];
        fields.extend([(length as u32).to_le_bytes(), (length as u32).to_le_bytes()].concat());
        fields.extend((name.len() as u16).to_le_bytes());
        let header = [
            b"PK\x03\x04",
            &fields[..],
            &(padding as u16).to_le_bytes(),
            name.as_bytes(),
        ]
        .concat();
        out.write_all(&header).unwrap();
        out.write_all(&vec![0; padding]).unwrap();
        match content {
            Some(content) => out.write_all(&content).unwrap(),
            None => fill(&mut out, length),
        }
        directory.extend(b"PK\x01\x02\0\0");
        directory.extend(&fields[..]);
        directory.extend([0; 12]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.bytes());
        at += (header.len() + padding + length) as u32;
    }
    out.write_all(&directory).unwrap();
    out.write_all(b"PK\x05\x06\0\0\0\0").unwrap();
    out.write_all(&[count.to_le_bytes(), count.to_le_bytes()].concat())
        .unwrap();
    out.write_all(&(directory.len() as u32).to_le_bytes())
        .unwrap();
    out.write_all(&at.to_le_bytes()).unwrap();
    out.write_all(&[0, 0]).unwrap();
    out.flush().unwrap();
    folder.to_owned()
}

/// Our own GGUF file in q8_0.
fn gguf(folder: &Path, layers: usize) -> PathBuf {
    let config = config(layers);
    let mut metadata = vec![("general.architecture".to_owned(), Pair::Text("glm".into()))];
    metadata.extend(
        pairs(&config)
            .into_iter()
            .map(|(key, pair)| (key.to_owned(), pair)),
    );
    let parts: Vec<_> = needs(&config)
        .into_iter()
        .map(|need| {
            let kind = match need.shape.matrix() {
                (_, 1) => GgmlDType::F32,
                _ => GgmlDType::Q8_0,
            };
            Part::ggml(need.name, need.shape.dimensions(), kind)
        })
        .collect();
    let path = folder.join("model.gguf");
    let mut out = BufWriter::new(File::create(&path).unwrap());
    let header = write::header(&metadata, &parts.iter().collect::<Vec<_>>());
    out.write_all(&header).unwrap();
    for part in &parts {
        fill(&mut out, part.bytes as usize);
        write::pad(&mut out, part.bytes).unwrap();
    }
    out.flush().unwrap();
    path
}

fn fill(out: &mut impl Write, count: usize) {
    let run = [BYTE; 1 << 16];
    for first in (0..count).step_by(run.len()) {
        out.write_all(&run[..run.len().min(count - first)]).unwrap();
    }
}

/// A line of `/proc/self/status`, in bytes.
fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap();
    let kib: u64 = line
        .trim_matches([':', '\t', ' '])
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib << 10
}

fn weights(name: &str) -> Weights {
    match name {
        "stored" => Weights::AsStored,
        "f32" => Weights::F32,
        quant => Weights::Quantized(quant.parse::<Quant>().unwrap()),
    }
}

/// What the child does: loads, and tells what it took.
fn child(path: &str, wanted: &str) {
    let source = Source::Path(path.into());
    let before = status("VmRSS");
    let model = Model::open(&source, weights(wanted), &Device::Cpu).unwrap();
    let (peak, after) = (status("VmHWM"), status("VmRSS"));
    assert!(model.config().layers > 0);
    println!("took {} {} {}", peak - before, after - before, before);
}

#[test]
#[ignore = "writes and loads models of 230 to 430 MB"]
fn peak_of_loading_is_little_more_than_the_model() {
    if let Ok(what) = std::env::var(CHILD) {
        let (wanted, path) = what.split_once(' ').unwrap();
        return child(path, wanted);
    }
    let root = std::env::temp_dir().join(format!("infill-peak-{}", std::process::id()));
    let mut faults = Vec::new();
    type Write = fn(&Path, usize) -> PathBuf;
    let formats: [(&str, Write, usize, &[&str]); 4] = [
        (
            "safetensors, bf16",
            safetensors,
            6,
            &["stored", "f32", "q8_0", "int4"],
        ),
        // candle copies a matrix of these types once more; more layers make the largest one the part that it is of
        // published models.
        ("safetensors, bf16", safetensors, 12, &["q4_k"]),
        ("PyTorch, f16", pytorch, 6, &["stored", "q8_0"]),
        ("GGUF, q8_0", gguf, 12, &["stored", "int8"]),
    ];
    for (format, write, layers, types) in formats {
        fs::create_dir_all(&root).unwrap();
        let path = write(&root, layers);
        let info = inspect(&Source::Path(path.clone())).unwrap();
        assert_eq!(info.config, config(layers));
        for wanted in types {
            let foretold = info.memory(weights(wanted), 0).weights;
            let test = "checkpoint::tests::peak::peak_of_loading_is_little_more_than_the_model";
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test, "--ignored", "--nocapture"])
                .env(CHILD, format!("{wanted} {}", path.display()))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let took = said
                .lines()
                .find_map(|line| Some(line.split_once("took ")?.1));
            let numbers: Vec<u64> = took
                .unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
                .split(' ')
                .map(|number| number.parse().unwrap())
                .collect();
            let [peak, held] = [numbers[0], numbers[1]].map(|bytes| bytes as f64 / foretold as f64);
            println!(
                "{format} as {wanted}: {} MB foretold, at its peak {peak:.3} of it, in the end {held:.3}; {} MB before",
                foretold / 1_000_000,
                numbers[2] / 1_000_000
            );
            if peak > 1.2 || !(0.97..1.12).contains(&held) {
                faults.push(format!("{format} as {wanted}: {peak:.3}, {held:.3}"));
            }
        }
        fs::remove_dir_all(&root).unwrap();
    }
    assert!(faults.is_empty(), "{faults:?}");
}
