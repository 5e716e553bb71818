//! Writes the inputs that fuzzing starts from: `corpus/TARGET/NAME`, made of the data of the other tests.
//!
//! Weights are left out where the target puts zeros in their place, so that the inputs are short.

use fuzz::{MODELS, TAIL};
use serde_json::Value;
use std::{fs, path::Path};

/// Bytes of a GGUF file that are kept: the header of a small model is shorter.
const HEADER: usize = 12 << 10;

fn main() {
    gguf();
    safetensors();
    torch();
    configs();
    tokenizers();
    published_pieces();
}

fn write(target: &str, name: &str, first: Option<u8>, files: &[&[u8]]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder).expect("the corpus has a folder");
    let input = fuzz::input(first, files);
    fs::write(folder.join(name), input).expect("the folder takes files");
}

/// The beginning of a file and how many pages of zeros make up for the rest.
fn cut(bytes: &[u8], length: usize) -> (u8, &[u8]) {
    let length = length.min(bytes.len());
    let pages = (bytes.len() - length).div_ceil(TAIL as usize);
    (pages.min(255) as u8, &bytes[..length])
}

fn find<'a>(files: &'a [(String, Vec<u8>)], name: &str) -> &'a [u8] {
    let found = files.iter().find(|(file, _)| file == name);
    found.map_or(&[], |(_, bytes)| bytes)
}

/// Our own GGUF files of all models, and those of the fixture.
fn gguf() {
    let out = std::env::temp_dir().join(format!("infill-seed-{}.gguf", std::process::id()));
    for name in fuzz::cases() {
        for quant in [glm::Quant::Q8_0, glm::Quant::Int4] {
            let source = glm::Source::Path(fuzz::case(&name));
            let extra = [("infill.template".to_owned(), "glm4_v1".to_owned())];
            if let Err(error) = glm::quantize(&source, &out, quant, &extra, &mut |_, _| {}) {
                eprintln!("{name} is left out: {error}");
                continue;
            }
            let bytes = fs::read(&out).expect("the file was written");
            let (pages, header) = cut(&bytes, HEADER);
            write("gguf", &format!("{name}-{quant}"), Some(pages), &[header]);
        }
    }
    let _ = fs::remove_file(&out);
    let config = glm::fixture::glm(1, 32, 2, 32, 20, 8);
    let tokenizer = vocab::fixture::tokenizer_json();
    for (name, weights, tokenizer) in [
        ("plain", glm::fixture::Weights::F32, None),
        ("quantized", glm::fixture::Weights::Q8, None),
        (
            "tokenizer",
            glm::fixture::Weights::Q8,
            Some(tokenizer.as_str()),
        ),
    ] {
        let bytes = glm::fixture::gguf(&config, weights, 1, tokenizer);
        write("gguf", name, Some(0), &[&bytes]);
    }
}

/// Headers of shards with their index, if any, and their description.
fn safetensors() {
    for name in fuzz::cases() {
        let files = fuzz::model(&name);
        let index = find(&files, "model.safetensors.index.json");
        for (file, bytes) in &files {
            if let (true, Some(length)) = (file.ends_with(".safetensors"), bytes.first_chunk()) {
                let (pages, header) = cut(bytes, 8 + u64::from_le_bytes(*length) as usize);
                let config = find(&files, "config.json");
                write(
                    "safetensors",
                    &format!("{name}-{file}"),
                    Some(pages),
                    &[header, index, config],
                );
            }
        }
    }
}

/// Whole archives, small ones and shards, with a description or without.
fn torch() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/checkpoints");
    for name in ["nested.pt", "foreign.pt", "strided.pt", "legacy.pt"] {
        let bytes = fs::read(folder.join(name)).expect("the data lie beside the other tests");
        write("torch", name, None, &[&bytes]);
    }
    for name in fuzz::cases() {
        let files = fuzz::model(&name);
        for (file, bytes) in &files {
            if file.ends_with(".bin") || file.ends_with(".pt") {
                let config = find(&files, "config.json");
                write("torch", &format!("{name}-{file}"), None, &[bytes, config]);
            }
        }
    }
}

/// Every description beside every model's weights.
fn configs() {
    for name in fuzz::cases() {
        let files = fuzz::model(&name);
        let config = find(&files, "config.json");
        for (place, model) in (0u8..).zip(MODELS) {
            write("config", &format!("{name}-{model}"), Some(place), &[config]);
        }
    }
}

/// One small tokenizer of each kind.
fn tokenizers() {
    let text = vocab::fixture::tokenizer_json();
    let json: Value = serde_json::from_str(&text).expect("the fixture is JSON");
    write("tokenizer", "json", Some(0), &[text.as_bytes()]);

    let added = br#"{"added_tokens_decoder": {"300": {"content": "<|user|>"}, "301": {"content": "[MASK]"}}}"#;
    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    tokens.extend([
        b"  ".to_vec(),
        b"re".to_vec(),
        b"ret".to_vec(),
        b"\n\n".to_vec(),
    ]);
    let ranks: String = tokens
        .iter()
        .enumerate()
        .map(|(rank, token)| format!("{} {rank}\n", base64(token)))
        .collect();
    write("tokenizer", "tiktoken", Some(1), &[ranks.as_bytes()]);
    write(
        "tokenizer",
        "tiktoken-added",
        Some(1),
        &[ranks.as_bytes(), added],
    );

    let vocab = json["model"]["vocab"].to_string();
    let merges: Vec<String> = json["model"]["merges"]
        .as_array()
        .expect("the fixture has merges")
        .iter()
        .map(|merge| match merge {
            Value::Array(pair) => {
                let part = |place: usize| pair[place].as_str().unwrap_or_default();
                format!("{} {}", part(0), part(1))
            }
            line => line.as_str().unwrap_or_default().to_owned(),
        })
        .collect();
    let merges = merges.join("\n");
    for kind in 0..3 {
        let first = Some(4 + 8 * kind);
        let files = [vocab.as_bytes(), merges.as_bytes()];
        write("tokenizer", &format!("gpt2-{kind}"), first, &files);
    }

    let words = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ndef\nf\n##x\n(\n)\n1\n##1\n";
    write("tokenizer", "wordpiece", Some(5), &[words]);
    write(
        "tokenizer",
        "wordpiece-cased",
        Some(13),
        &[words, b"{\"[gMASK]\": 20}"],
    );

    let mut spellings: Vec<(&str, u64)> = json["model"]["vocab"]
        .as_object()
        .expect("the fixture has a vocabulary")
        .iter()
        .map(|(token, id)| (token.as_str(), id.as_u64().unwrap_or_default()))
        .collect();
    spellings.sort_by_key(|(_, id)| *id);
    let spellings: Vec<&str> = spellings.into_iter().map(|(token, _)| token).collect();
    let types = vec![1u8; spellings.len()];
    for kind in 0..3 {
        let files = [spellings.join("\n"), merges.clone()];
        let files = [files[0].as_bytes(), files[1].as_bytes(), &types];
        write(
            "tokenizer",
            &format!("gguf-{kind}"),
            Some(6 + 8 * kind),
            &files,
        );
    }
    let (pieces, types) = pieces();
    let lines: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let files = [lines.join("\n")];
    write(
        "tokenizer",
        "gguf-llama",
        Some(7),
        &[files[0].as_bytes(), b"", &types],
    );

    let model = sentencepiece(&pieces, &types);
    for kind in 0..3 {
        write(
            "tokenizer",
            &format!("pieces-{kind}"),
            Some(2 + 8 * kind),
            &[&model],
        );
        write(
            "tokenizer",
            &format!("ice-{kind}"),
            Some(3 + 8 * kind),
            &[&model],
        );
    }
}

/// The sentencepiece models among the data, as every kind of such a tokenizer.
fn published_pieces() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tokenizers");
    for entry in fs::read_dir(data).expect("the data lie beside the other tests") {
        let folder = entry.expect("the folder can be listed").path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        for file in ["tokenizer.model", "ice_text.model", "cog-pretrain.model"] {
            if let (false, Ok(model)) = (*name == *"tiktoken", fs::read(folder.join(file))) {
                for kind in 0..3 {
                    let place = 8 * kind;
                    write(
                        "tokenizer",
                        &format!("{name}-pieces-{kind}"),
                        Some(2 + place),
                        &[&model],
                    );
                    write(
                        "tokenizer",
                        &format!("{name}-ice-{kind}"),
                        Some(3 + place),
                        &[&model],
                    );
                }
            }
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0u32, |bits, &byte| bits << 8 | u32::from(byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

/// The pieces of a small sentencepiece model, and their types.
fn pieces() -> (Vec<String>, Vec<u8>) {
    let mut pieces: Vec<(String, u8)> =
        vec![("<unk>".into(), 2), ("<s>".into(), 3), ("</s>".into(), 3)];
    pieces.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), 6)));
    let words = [
        "▁", "d", "e", "f", "de", "def", "▁def", "x", "(", ")", "<n>", "▁▁",
    ];
    pieces.extend(words.map(|word| (word.to_owned(), 1)));
    pieces.into_iter().unzip()
}

/// A `ModelProto` of these pieces: byte-pair encoding with bytes for what it lacks.
fn sentencepiece(pieces: &[String], types: &[u8]) -> Vec<u8> {
    let mut model = Vec::new();
    for (place, (piece, &kind)) in pieces.iter().zip(types).enumerate() {
        let mut entry = Vec::new();
        field(&mut entry, 1, piece.as_bytes());
        entry.push(2 << 3 | 5);
        entry.extend((-(place as f32)).to_le_bytes());
        entry.extend([3 << 3, kind]);
        field(&mut model, 1, &entry);
    }
    // Of the trainer: model_type is BPE, byte_fallback is on.
    field(&mut model, 2, &[3 << 3, 2, 0x98, 0x02, 1]);
    // Of the normalizer: its name, and a space before the text.
    let mut normalizer = Vec::new();
    field(&mut normalizer, 1, b"identity");
    normalizer.extend([3 << 3, 1]);
    field(&mut model, 3, &normalizer);
    model
}

/// A field of bytes.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(bytes);
}
