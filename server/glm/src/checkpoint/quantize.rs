//! Writing a model of any format as our own GGUF file, quantized.
//!
//! Takes a [`Source`] and the type wanted, gives a file with our names and the whole configuration. One panel of rows
//! is in memory at a time; the file is written beside its target and takes its name once it is whole.

use super::{
    Source,
    load::{self, Form},
    needs::{Need, Shape, needs},
    view::{Kind, View},
    write::{self, Part},
};
use crate::{
    Config, Error, Guidance, Quant, Weights,
    config::{Pair, pairs},
    kernels::{HalfKind, ScaledKind},
};
use candle_core::quantized::GgmlDType;
use half::f16;
use std::{
    ffi::OsString,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// Numbers that are in memory at a time.
const PANEL: usize = 1 << 22;

/// How a tensor is written.
#[derive(Debug, Clone, Copy)]
enum Written {
    Ggml(GgmlDType),
    Scaled(ScaledKind),
}

/// A tensor of the file to be.
struct Plan<'a> {
    view: View<'a>,
    written: Written,
    columns: usize,
    /// The tensor, and its scales if it has any.
    parts: Vec<Part>,
}

/// Writes the model as a GGUF file of ours with its matrices in the type `quant`; [`Form::of`] has the exceptions.
/// `extra` is further metadata; a tokenizer in the metadata of a GGUF file is carried over. `progress` is told bytes written, of all.
pub fn quantize(
    source: &Source,
    out: &Path,
    quant: Quant,
    extra: &[(String, String)],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Error> {
    let failed = |source| Error::Write {
        path: out.to_owned(),
        source,
    };
    source.read(Weights::Quantized(quant), |mut checkpoint| {
        let config = Config::read(&checkpoint)?;
        checkpoint.arrange(&config);
        let mut plans = Vec::new();
        for need in needs(&config) {
            if need.optional && !checkpoint.has(&need.name) {
                continue;
            }
            let (rows, columns) = need.shape.matrix();
            let view = checkpoint.checked(&need.name, rows, columns)?;
            plans.push(plan(&need, view, columns, quant));
        }
        let mut metadata = vec![(
            "general.architecture".to_owned(),
            Pair::Text("glm".to_owned()),
        )];
        let has = |key: &str| extra.iter().any(|pair| pair.0 == key);
        if !has("general.name") {
            metadata.push(("general.name".to_owned(), Pair::Text(checkpoint.name())));
        }
        for key in ["infill.template", "tokenizer.huggingface.json"] {
            if let (false, Some(text)) = (has(key), checkpoint.optional_text(key)?) {
                metadata.push((key.to_owned(), Pair::Text(text.to_owned())));
            }
        }
        metadata.extend(
            extra
                .iter()
                .map(|(key, text)| (key.clone(), Pair::Text(text.clone()))),
        );
        metadata.extend(Guidance::read(&checkpoint)?.pairs());
        metadata.extend(checkpoint.tokenizer_pairs());
        for (key, pair) in pairs(&config) {
            if !metadata.iter().any(|(known, _)| known == key) {
                metadata.push((key.to_owned(), pair));
            }
        }

        let mut beside = OsString::from(out);
        beside.push(format!(".{}.part", std::process::id()));
        let beside = Path::new(&beside);
        let mut write = || {
            let mut file = BufWriter::new(File::create(beside).map_err(failed)?);
            let parts: Vec<&Part> = plans.iter().flat_map(|plan| &plan.parts).collect();
            file.write_all(&write::header(&metadata, &parts))
                .map_err(failed)?;
            let total = parts.iter().map(|part| part.bytes).sum();
            let mut done = 0;
            for plan in &plans {
                tensor(plan, &mut file, failed)?;
                checkpoint.release(&plan.view);
                done += plan.parts.iter().map(|part| part.bytes).sum::<u64>();
                progress(done, total);
            }
            let file = file
                .into_inner()
                .map_err(|error| failed(error.into_error()))?;
            file.sync_all().map_err(failed)?;
            std::fs::rename(beside, out).map_err(failed)
        };
        write().inspect_err(|_| {
            // What is left of a failed attempt is of no use; that it cannot be removed is no second error.
            let _ = std::fs::remove_file(beside);
        })
    })
}

fn plan<'a>(need: &Need, view: View<'a>, columns: usize, quant: Quant) -> Plan<'a> {
    let form = match need.shape {
        Shape::Vector(_) => Form::F32,
        Shape::Table(..) => Form::Stored,
        _ => Form::of(Weights::Quantized(quant), &need.name, columns),
    };
    let first = view.strips.first().map(|strip| strip.sheets[0].kind);
    let written = match form {
        Form::Ggml(kind) => Written::Ggml(kind),
        Form::Scaled(kind) => Written::Scaled(kind),
        Form::Half(HalfKind::Bf16) => Written::Ggml(GgmlDType::BF16),
        Form::Half(HalfKind::F16) => Written::Ggml(GgmlDType::F16),
        Form::F32 => Written::Ggml(GgmlDType::F32),
        Form::Stored => Written::Ggml(match first {
            Some(kind @ Kind::Ggml(ggml)) if load::is_all(&view, kind) => ggml,
            _ => GgmlDType::F16,
        }),
    };
    let rows = view.rows();
    let shape = need.shape.dimensions();
    let parts = match written {
        Written::Ggml(kind) => {
            vec![Part::ggml(need.name.clone(), shape, kind)]
        }
        Written::Scaled(kind) => {
            let bytes = match kind {
                ScaledKind::Int8 => columns,
                ScaledKind::Int4 => columns / 2,
            };
            vec![
                Part::codes(need.name.clone(), vec![rows, bytes]),
                Part::ggml(format!("{}_scale", need.name), vec![rows], GgmlDType::F16),
            ]
        }
    };
    Plan {
        view,
        written,
        columns,
        parts,
    }
}

fn tensor(
    plan: &Plan,
    file: &mut impl Write,
    failed: impl Fn(std::io::Error) -> Error,
) -> Result<(), Error> {
    let (rows, columns) = (plan.view.rows(), plan.columns);
    let panel = (PANEL / columns.max(1)).max(1);
    let mut all_scales: Vec<f16> = Vec::new();
    let mut written = 0u64;
    for first in (0..rows).step_by(panel) {
        let Some(part) = plan.view.slice(first..rows.min(first + panel)) else {
            break;
        };
        let bytes = match plan.written {
            Written::Scaled(kind) => {
                let (codes, scales) = load::codes(&part, columns, kind, &|_| {})?;
                all_scales.extend(scales);
                codes
            }
            Written::Ggml(kind) if load::is_all(&part, Kind::Ggml(kind)) => {
                load::stored_bytes(&part)
            }
            Written::Ggml(kind) => load::blocks(&part, columns, kind)?,
        };
        file.write_all(&bytes).map_err(&failed)?;
        written += bytes.len() as u64;
    }
    write::pad(file, written).map_err(&failed)?;
    if let Written::Scaled(_) = plan.written {
        let bytes: Vec<u8> = all_scales
            .iter()
            .flat_map(|scale| scale.to_le_bytes())
            .collect();
        file.write_all(&bytes).map_err(&failed)?;
        write::pad(file, bytes.len() as u64).map_err(&failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Model, fixture, verify};

    #[test]
    fn what_is_written_is_read_back() {
        let config = fixture::tiny(20);
        let bytes = fixture::gguf(&config, fixture::Weights::F32, 1, None);
        let source = Source::Static(bytes.leak());
        for quant in ["q8_0", "q4_0", "q4_k", "int8", "int4"] {
            let out =
                std::env::temp_dir().join(format!("infill-{}-{quant}.gguf", std::process::id()));
            let mut seen = (0, 1);
            let extra = [("general.name".to_owned(), "small".to_owned())];
            quantize(
                &source,
                &out,
                quant.parse().unwrap(),
                &extra,
                &mut |done, of| seen = (done, of),
            )
            .unwrap();
            assert_eq!(seen.0, seen.1);
            let written = Source::Path(out.clone());
            assert_eq!(verify(&written).unwrap(), Vec::<String>::new(), "{quant}");
            let model = Model::open(&written, Weights::AsStored, &Device::Cpu).unwrap();
            assert_eq!((model.config(), model.name()), (&config, "small"));
            std::fs::remove_file(out).unwrap();
        }
    }

    /// A file with a tokenizer among its metadata.
    fn with_tokenizer(file: &[u8]) -> Vec<u8> {
        let texts = |texts: &[&str]| {
            let bytes = texts.iter().flat_map(|text| {
                let length = (text.len() as u64).to_le_bytes();
                length.into_iter().chain(text.bytes())
            });
            Pair::Array(8, texts.len() as u64, bytes.collect())
        };
        let types = [1i32, 1, 3].iter().flat_map(|kind| kind.to_le_bytes());
        let mut pairs = vec![
            ("model".to_owned(), Pair::Text("gpt2".to_owned())),
            ("pre".to_owned(), Pair::Text("glm4".to_owned())),
            ("tokens".to_owned(), texts(&["a", "b", "<eos>"])),
            ("token_type".to_owned(), Pair::Array(5, 3, types.collect())),
            ("merges".to_owned(), texts(&["a b"])),
            ("eos_token_id".to_owned(), Pair::Count(2)),
            ("add_bos_token".to_owned(), Pair::Flag(false)),
        ];
        pairs
            .iter_mut()
            .for_each(|(key, _)| *key = format!("tokenizer.ggml.{key}"));
        // A filler, so that the tensors stay where they have to be.
        let mut filled = (1..33).map(|size| {
            let mut pairs = pairs.clone();
            pairs.push(("filler".to_owned(), Pair::Text("x".repeat(size))));
            let padded = write::header(&pairs, &[]);
            let end = padded.iter().rposition(|&byte| byte == b'x').unwrap_or(0) + 1;
            (pairs.len() as u64, padded[24..end].to_owned())
        });
        let (count, inserted) = filled.find(|(_, bytes)| bytes.len() % 32 == 0).unwrap();
        let had = u64::from_le_bytes(file[16..24].try_into().unwrap());
        [
            &file[..16],
            &(had + count).to_le_bytes(),
            &inserted,
            &file[24..],
        ]
        .concat()
    }

    #[test]
    fn a_tokenizer_in_the_metadata_comes_along() {
        let config = fixture::tiny(3);
        let file = with_tokenizer(&fixture::gguf(&config, fixture::Weights::F32, 1, None));
        let source = Source::Static(file.leak());
        let tokenizer = |source: &Source| crate::inspect(source).unwrap().gguf_tokenizer;
        let before = tokenizer(&source).unwrap();
        assert_eq!(before.tokens, ["a", "b", "<eos>"]);
        let out = std::env::temp_dir().join(format!("infill-{}-carried.gguf", std::process::id()));
        quantize(&source, &out, "q8_0".parse().unwrap(), &[], &mut |_, _| {}).unwrap();
        assert_eq!(tokenizer(&Source::Path(out.clone())), Some(before));
        std::fs::remove_file(out).unwrap();
    }
}
