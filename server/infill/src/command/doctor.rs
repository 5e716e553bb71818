//! `infill doctor`: what this machine has, what the chosen model needs, where it would go, and what stands in the way.
//!
//! Loads nothing: it reads headers and asks the drivers. Every problem is a line that says what to do; the exit code is 1
//! if the server could not serve.

mod machine;
mod telling;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use glm::{Device, GpuInfo, KvType, Metal, Split};
use serde::Serialize;

use self::machine::{Memory, Place, Processor};
use crate::command::model::say;
use crate::flags::DoctorArgs;
use crate::models::open::{self, ModelFacts};
use crate::models::settings::{Choice, Device as Chosen};
use crate::models::store::Store;
use crate::rooms;

/// The processor, as a place for layers.
const CPU: &str = "cpu";

/// What there is to say.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    processor: Processor,
    /// None where the system does not tell.
    memory: Option<Memory>,
    gpus: Vec<Gpu>,
    /// Bytes that a model may take of the memory of Apple's GPU, if that is to run it.
    metal_bytes: Option<u64>,
    /// Why the model would use no GPU, if so.
    no_gpu: Option<String>,
    /// None if it cannot be used.
    model: Option<Model>,
    places: Vec<Place>,
    problems: Vec<Problem>,
}

/// A GPU that can be used.
#[derive(Clone, Debug, Serialize)]
struct Gpu {
    name: String,
    product: String,
    capability: String,
    driver: String,
    total_bytes: u64,
    free_bytes: u64,
}

impl From<&GpuInfo> for Gpu {
    fn from(info: &GpuInfo) -> Gpu {
        Gpu {
            name: info.name.clone(),
            product: info.product.clone(),
            capability: info.capability.clone(),
            driver: info.driver.clone(),
            total_bytes: info.total,
            free_bytes: info.free,
        }
    }
}

/// The GPUs that the choice lets a model use.
enum Used {
    /// NVIDIA's.
    Gpus(Vec<GpuInfo>),
    /// Apple's.
    Metal(Metal),
}

/// The chosen model, as its files describe it.
#[derive(Debug, Serialize)]
struct Model {
    name: String,
    /// None is the one that is built in.
    path: Option<PathBuf>,
    template: String,
    tokenizer: String,
    layers: usize,
    weights_bytes: u64,
    /// Tokens of text that it reads at once.
    window: usize,
    /// For the keys and values of one such text, in the processor's memory.
    cache_bytes: u64,
    /// The same with all that a pass takes, if all of it is on a GPU; the most of any, if several share every layer.
    gpu_bytes: Option<u64>,
    /// What keys and values would be of there, f16 or q8.
    gpu_cache: String,
    /// For the weights that would be in the processor's memory.
    cpu_bytes: u64,
    /// Which of its layers would be where.
    runs_on: Vec<Share>,
}

/// Layers of a model that are in one place.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Share {
    /// `cpu`, or a GPU's name, or those that share the layers with a `+` between them.
    device: String,
    layers: usize,
    /// Whether what makes logits of the last layer's states is there, too.
    head: bool,
}

/// Something that stands in the way, and what to do.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Problem {
    text: String,
    /// Whether the server cannot serve because of it.
    fatal: bool,
}

/// The problems so far.
#[derive(Debug, Default)]
struct Note {
    problems: Vec<Problem>,
}

impl Note {
    fn of(&mut self, text: String, fatal: bool) {
        self.problems.push(Problem { text, fatal });
    }
}

/// Prints it.
///
/// # Errors
/// If the current folder is gone, or standard output.
pub fn run(arguments: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let folder = std::env::current_dir().context("the current folder is gone")?;
    let report = look(arguments.model.choice(), &folder);
    match arguments.json {
        true => say(&format!("{}\n", serde_json::to_string_pretty(&report)?))?,
        false => say(&telling::text(&report))?,
    }
    let is_fatal = report.problems.iter().any(|problem| problem.fatal);
    Ok(ExitCode::from(u8::from(is_fatal)))
}

/// Looks at everything, with these flags in this folder.
fn look(flags: Choice, folder: &Path) -> Report {
    let mut note = Note::default();
    let found = Choice::found_from(folder);
    let can_read = found.is_ok();
    let choice = match found {
        Ok(found) => flags.or(found),
        Err(error) => {
            note.of(format!("{error:#}; correct the file"), true);
            flags
        }
    };
    let (found, used) = gpus(&choice);
    let is_by_name = |device: &Chosen| !matches!(device, Chosen::Auto | Chosen::Cpu);
    if choice.device.as_ref().is_some_and(is_by_name)
        && let Err(why) = &used
    {
        note.of(format!("{why}; the processor would run the model"), false);
    }
    let memory = machine::memory();
    let model = match model(&choice, used.as_ref().ok(), &mut note) {
        Ok(model) => Some(model),
        Err(error) => {
            note.of(format!("{error:#}"), true);
            None
        }
    };
    if let (Some(model), Some(memory)) = (&model, memory) {
        memory.judge(model.cpu_bytes + model.cache_bytes, &mut note);
    }
    let mut places = vec![machine::settings(folder, can_read)];
    match Store::of_user() {
        Ok(store) => places.push(machine::models(&store, &mut note)),
        Err(error) => note.of(format!("{error:#}"), false),
    }
    places.push(machine::logs());
    Report {
        version: env!("CARGO_PKG_VERSION"),
        processor: Processor::of_this_machine(choice.threads),
        memory,
        gpus: found.iter().map(Gpu::from).collect(),
        metal_bytes: match &used {
            Ok(Used::Metal(metal)) => Some(metal.room()),
            _ => None,
        },
        no_gpu: used.err(),
        model,
        places,
        problems: note.problems,
    }
}

/// Most bytes of a GPU's memory that a model may take.
fn limit(choice: &Choice) -> Option<u64> {
    choice.vram.map(|mib| (mib as u64) << 20)
}

/// The NVIDIA GPUs of this machine, and those that the choice lets a model use, or why none.
fn gpus(choice: &Choice) -> (Vec<GpuInfo>, Result<Used, String>) {
    let all = Device::gpus();
    let found: Vec<GpuInfo> = all.iter().flatten().flatten().cloned().collect();
    let is_metal = match choice.device {
        Some(Chosen::Metal) => true,
        None | Some(Chosen::Auto) => cfg!(feature = "metal"),
        Some(Chosen::Cpu | Chosen::Cuda(_) | Chosen::Together(_)) => false,
    };
    if is_metal {
        let metal = Metal::open(limit(choice)).map(Used::Metal);
        return (found, metal.map_err(|error| error.to_string()));
    }
    let all = match all {
        Ok(all) => all,
        Err(error) => return (found, Err(error.to_string())),
    };
    let used: Result<Vec<GpuInfo>, String> = match choice.device.as_ref() {
        Some(Chosen::Cpu) => Err("the device cpu is chosen".to_owned()),
        Some(Chosen::Cuda(numbers) | Chosen::Together(numbers)) => {
            let numbered = |&number: &usize| match all.get(number) {
                Some(Ok(info)) => Ok(info.clone()),
                Some(Err(error)) => Err(error.to_string()),
                None => Err(format!("there is no cuda:{number}; choose another device")),
            };
            numbers.iter().map(numbered).collect()
        }
        // Apple's GPU has been looked at.
        None | Some(Chosen::Auto | Chosen::Metal) => match all.into_iter().find_map(Result::err) {
            Some(error) if found.is_empty() => Err(error.to_string()),
            _ => Ok(found.clone()),
        },
    };
    (found, used.map(Used::Gpus))
}

/// The chosen model, and where it would go.
fn model(choice: &Choice, used: Option<&Used>, note: &mut Note) -> anyhow::Result<Model> {
    let (source, path) = open::source(choice.model.as_deref())?;
    let info = glm::inspect(&source).map_err(|error| anyhow!("{error}"))?;
    let facts = ModelFacts {
        template: choice.template.as_deref().or(info.template.as_deref()),
        ..ModelFacts::from(&info)
    };
    let tokenizer = open::tokenizer(&facts, path.as_deref())?;
    let template = open::template(&facts, &tokenizer.vocab)?;
    // Whether the settings allow so much.
    rooms::kv_bytes(choice)?;
    let weights = choice.weights();
    let window = rooms::window(choice).min(info.config.context);
    let needed = info.memory(weights, window);
    let kv = choice.kv.unwrap_or_default();
    let kv_refusal = info.kv_refusal(kv);
    let model = Model {
        name: info.name.clone(),
        path,
        template: template.name().to_owned(),
        tokenizer: tokenizer.kind.to_owned(),
        layers: info.config.layers,
        weights_bytes: needed.weights,
        window,
        cache_bytes: needed.kv,
        gpu_bytes: None,
        gpu_cache: kv_refusal.as_ref().map_or(kv, |_| KvType::F16).to_string(),
        cpu_bytes: needed.weights,
        runs_on: shares(info.config.layers, &[], &[]),
    };
    let gpus: &[GpuInfo] = match used {
        Some(Used::Metal(metal)) => return Ok(on_metal(model, metal, info.metal(weights), note)),
        Some(Used::Gpus(gpus)) => gpus,
        None => &[],
    };
    let vram = info.vram(weights, kv);
    let spread: Vec<u64> = gpus.iter().map(|gpu| gpu.room(limit(choice))).collect();
    let splits = info.spread(weights, kv, &spread);
    match &splits {
        _ if gpus.is_empty() => {}
        Err(why) => note.of(format!("{why}; choose another model to use a GPU"), false),
        Ok(splits) if splits.iter().all(|split| split.layers == 0) => {
            let text = "no layer of the model fits into what is free on a GPU; close what else uses it, or raise `vram`";
            note.of(text.to_owned(), false);
        }
        Ok(_) => {
            if let Some(why) = &kv_refusal {
                note.of(format!("{why}; leave `kv` out"), false);
            }
        }
    }
    let names: Vec<&str> = gpus.iter().map(|gpu| &*gpu.name).collect();
    let together = match (&choice.device, &splits) {
        (Some(Chosen::Together(_)), Ok(_)) if !gpus.is_empty() => {
            let found = Device::find_nccl();
            let cut = found.and_then(|()| info.together(weights, kv, &spread));
            if let Err(why) = &cut {
                let text = format!("{why}; the GPUs would take consecutive layers");
                note.of(text, false);
            }
            cut.ok()
        }
        _ => None,
    };
    let layers = info.config.layers;
    let runs_on = match together {
        Some(split) => shares(layers, &[&names.join(" + ")], &[split]),
        None => shares(layers, &names, &splits.unwrap_or_default()),
    };
    let on_each = match together {
        Some(_) => info.vram_together(weights, kv, gpus.len()),
        None => vram.clone().map(|vram| vec![vram]),
    };
    let on_each = on_each.unwrap_or_default();
    // What of the weights is not on a GPU.
    let on_gpus: u64 = match &vram {
        Ok(vram) => {
            let layers: usize = runs_on
                .iter()
                .filter(|share| share.device != CPU)
                .map(|share| share.layers)
                .sum();
            vram.layers[..layers].iter().sum()
        }
        Err(_) => 0,
    };
    Ok(Model {
        gpu_bytes: on_each.iter().map(|vram| vram.total(window)).max(),
        cpu_bytes: needed.weights.saturating_sub(on_gpus),
        runs_on,
        ..model
    })
}

/// The model where it would go if Apple's GPU is to run it, which takes so many bytes of the memory that both share.
fn on_metal(model: Model, metal: &Metal, needed: Result<u64, String>, note: &mut Note) -> Model {
    let gpu_bytes = needed.as_ref().ok().map(|bytes| bytes + model.cache_bytes);
    let runs_on = match needed.and_then(|bytes| metal.fits(bytes)) {
        Ok(()) => vec![Share {
            device: Metal::NAME.to_owned(),
            layers: model.layers,
            head: true,
        }],
        Err(why) => {
            note.of(format!("{why}; the processor would run the model"), false);
            model.runs_on
        }
    };
    Model {
        gpu_bytes,
        runs_on,
        ..model
    }
}

/// Which layers are where.
fn shares(layers: usize, names: &[&str], splits: &[Split]) -> Vec<Share> {
    let on_gpu = names.iter().zip(splits).map(|(name, split)| Share {
        device: (*name).to_owned(),
        layers: split.layers,
        head: split.head,
    });
    let mut shares: Vec<Share> = on_gpu.filter(|share| share.layers > 0).collect();
    let placed: usize = shares.iter().map(|share| share.layers).sum();
    if !shares.iter().any(|share| share.head) {
        shares.push(Share {
            device: CPU.to_owned(),
            layers: layers - placed,
            head: true,
        });
    }
    shares
}
