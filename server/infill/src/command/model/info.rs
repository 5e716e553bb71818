//! `infill model info [NAME|PATH]`: what a model is, how it is asked, and the memory it needs.

use anyhow::anyhow;
use glm::{Attention, Config, Info, KvType, Quant, Vram, Weights};
use serde_json::{Value, json};

use super::say;
use crate::flags::InfoArgs;
use crate::models::open;

/// Contexts that memory is told for, in tokens, as far as the model has them.
const CONTEXTS: [usize; 4] = [2_048, 8_192, 32_768, 131_072];

/// Types that memory is told for.
const TYPES: [(&str, Weights); 10] = [
    ("as stored", Weights::AsStored),
    ("f32", Weights::F32),
    ("f16", Weights::F16),
    ("q8_0", Weights::Quantized(Quant::Q8_0)),
    ("q6_k", Weights::Quantized(Quant::Q6K)),
    ("q5_k", Weights::Quantized(Quant::Q5K)),
    ("q4_k", Weights::Quantized(Quant::Q4K)),
    ("q4_0", Weights::Quantized(Quant::Q4_0)),
    ("int8", Weights::Quantized(Quant::Int8)),
    ("int4", Weights::Quantized(Quant::Int4)),
];

/// Types of caches on a GPU.
const KV_TYPES: [KvType; 2] = [KvType::F16, KvType::Q8];

/// Prints it, from the files' headers alone.
///
/// # Errors
/// If there is no such model, or its files cannot be read.
pub fn run(arguments: &InfoArgs) -> anyhow::Result<()> {
    let (source, path) = open::source(arguments.model.as_deref())?;
    let info = glm::inspect(&source).map_err(|error| anyhow!("{error}"))?;
    let tokenizer = open::tokenizer(&(&info).into(), path.as_deref());
    // A model without a tokenizer or template still has sizes; what it lacks is said in their place.
    let template = match &tokenizer {
        Ok(tokenizer) => open::template(&(&info).into(), &tokenizer.vocab)
            .map(|template| template.name().to_owned()),
        Err(_) => Err(anyhow!("none without a tokenizer")),
    };
    let or_why = |found: Result<String, String>| found.unwrap_or_else(|why| format!("({why})"));
    let asked = Asked {
        tokenizer: or_why(
            tokenizer
                .map(|tokenizer| tokenizer.kind.to_owned())
                .map_err(|error| format!("{error:#}")),
        ),
        template: or_why(template.map_err(|error| format!("{error:#}"))),
    };
    match arguments.json {
        true => say(&format!("{:#}\n", as_json(&info, &asked))),
        false => say(&as_text(&info, &asked)),
    }
}

/// How the model is asked.
struct Asked {
    tokenizer: String,
    template: String,
}

/// The contexts of [`CONTEXTS`] that the model has, and its own.
fn contexts(config: &Config) -> Vec<usize> {
    let shorter = CONTEXTS
        .into_iter()
        .filter(|&tokens| tokens < config.context);
    shorter.chain([config.context]).collect()
}

/// What caches of so many tokens take on a GPU as this type, if they can be there.
fn cached_on_gpu(info: &Info, kv: KvType, tokens: usize) -> Option<u64> {
    let vram = info.vram(Weights::AsStored, kv).ok()?;
    info.kv_refusal(kv).is_none().then(|| vram.caches(tokens))
}

fn as_json(info: &Info, asked: &Asked) -> Value {
    let Config { attention, .. } = info.config;
    let memory = TYPES.map(|(name, weights)| {
        let needed = info.memory(weights, 0).weights;
        let on_gpu = info.vram(weights, KvType::F16).ok();
        let on_gpu = on_gpu.map(|vram| vram.total(0));
        let on_two = on_two(info, weights, |vram| vram.total(0));
        json!({ "weights": name, "bytes": needed, "gpu_bytes": on_gpu, "two_gpus_bytes": on_two })
    });
    let kv = contexts(&info.config).into_iter().map(|tokens| {
        let needed = info.memory(Weights::AsStored, tokens).kv;
        let [f16, q8] = KV_TYPES.map(|kv| cached_on_gpu(info, kv, tokens));
        let on_two = on_two(info, Weights::AsStored, |vram| vram.caches(tokens));
        json!({
            "context": tokens,
            "bytes": needed,
            "gpu_bytes": f16,
            "gpu_q8_bytes": q8,
            "two_gpus_bytes": on_two,
        })
    });
    json!({
        "name": info.name,
        "family": info.config.architecture.name(),
        "format": info.format,
        "template": asked.template,
        "tokenizer": asked.tokenizer,
        "layers": info.config.layers,
        "width": info.config.width,
        "heads": attention.heads(),
        "vocabulary": info.config.vocabulary,
        "context": info.config.context,
        "experts": info.config.experts.map(|experts| experts.count),
        "parameters": parameters(info),
        "file_bytes": info.bytes,
        "memory": memory,
        "kv_cache": kv.collect::<Vec<_>>(),
        "not_on_gpu": info.vram(Weights::AsStored, KvType::F16).err(),
        "tensors": info.tensors.iter().map(|tensor| json!({
            "name": tensor.name,
            "shape": tensor.shape,
            "type": tensor.kind,
            "bytes": tensor.bytes,
        })).collect::<Vec<_>>(),
    })
}

fn as_text(info: &Info, asked: &Asked) -> String {
    let config = &info.config;
    let heads = match config.attention {
        Attention::Grouped(grouped) => format!(
            "{} heads of {} over {} of keys",
            grouped.heads, grouped.head_size, grouped.kv_heads
        ),
        Attention::Latent(latent) => {
            format!("{} heads over a latent of {}", latent.heads, latent.kv_rank)
        }
    };
    let experts = config.experts.map_or(String::new(), |experts| {
        format!(", {} of {} experts a token", experts.chosen, experts.count)
    });
    let mut text = format!(
        "{}\n  family     {} ({})\n  sizes      {:.2} G parameters, {} layers of {}, {heads}{experts}\n  vocabulary {} \
         tokens\n  context    {} tokens\n  tokenizer  {}\n  template   {}\n  files      {}\n\n",
        info.name,
        config.architecture.name(),
        info.format,
        parameters(info) as f64 / 1e9,
        config.layers,
        config.width,
        config.vocabulary,
        config.context,
        asked.tokenizer,
        asked.template,
        size(info.bytes),
    );
    let line = |name: &str, bytes, on_gpus: &[Option<u64>]| {
        let on_gpus = on_gpus.iter().map(|bytes| {
            let bytes = bytes.map(size).unwrap_or_default();
            format!(" {bytes:>10}")
        });
        let on_gpus: String = on_gpus.collect();
        let line = format!("  {name:10} {:>10}{on_gpus}", size(bytes));
        format!("{}\n", line.trim_end())
    };
    let refused = info.vram(Weights::AsStored, KvType::F16).err();
    let on_gpu = match refused {
        Some(_) => "",
        None => {
            "; on a GPU, with all that a pass takes; on each of two that share every layer, if they can"
        }
    };
    text.push_str(&format!("memory of the weights{on_gpu}\n"));
    for (name, weights) in TYPES {
        let vram = info.vram(weights, KvType::F16).ok();
        let needed = info.memory(weights, 0).weights;
        let on_one = vram.map(|vram| vram.total(0));
        let on_two = on_two(info, weights, |vram| vram.total(0));
        text.push_str(&line(name, needed, &[on_one, on_two]));
    }
    let on_gpu_as = match (&refused, info.kv_refusal(KvType::Q8)) {
        (Some(_), _) => "",
        (None, Some(_)) => "; on a GPU, as f16; on each of two, likewise",
        (None, None) => "; on a GPU, as f16 and as q8; on each of two, as f16",
    };
    text.push_str(&format!(
        "memory of the keys and values of one sequence{on_gpu_as}\n"
    ));
    for tokens in contexts(config) {
        let needed = info.memory(Weights::AsStored, tokens).kv;
        let types = KV_TYPES.into_iter();
        let mut on_gpus: Vec<Option<u64>> = types
            .map(|kv| cached_on_gpu(info, kv, tokens))
            .filter(Option::is_some)
            .collect();
        on_gpus.push(on_two(info, Weights::AsStored, |vram| vram.caches(tokens)));
        text.push_str(&line(&tokens.to_string(), needed, &on_gpus));
    }
    if let Some(why) = refused {
        text.push_str(&format!("not on a GPU: {why}\n"));
    }
    text
}

/// The most that each of two GPUs needs that share every layer; none if the model cannot be cut for them.
fn on_two(info: &Info, weights: Weights, needs: impl Fn(&Vram) -> u64) -> Option<u64> {
    let vrams = info.vram_together(weights, KvType::F16, 2).ok()?;
    vrams.iter().map(needs).max()
}

/// Weights of all tensors. Codes of four bits stand two in a column.
fn parameters(info: &Info) -> u64 {
    // As f32 every number takes four bytes, whatever it was stored as.
    info.memory(Weights::F32, 0).weights / 4
}

/// Bytes as people count them.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
