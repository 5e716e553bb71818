//! Whole models on an emulated GPU, held against the processor.

use super::{Gpu, faulty::Faulty};
use crate::{
    Chunk, Config, Device, Error, KvCache, KvType, Model, Part, PartA, Prefix, Quant, Source, Want,
    Weights,
    fixture::{self, Weights as Stored},
    kernels::cuda::emulated::Emulated,
    vram::refusal,
};
use std::sync::Arc;

mod caches;
mod stages;
mod steps;
mod together;

const IDS: [u32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];
const ROWS: [[u32; 12]; 2] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 2, 2, 2, 2],
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
];
const PREFIX: usize = 8;
/// How far logits may be from the processor's where weights are plain numbers, or integers that meet activations as they
/// are: caches are f16.
const NEAR: f64 = 1e-3;
/// How much farther than the processor's from what the same weights give with activations as they are. Both round
/// activations to 8 bits, and what is rounded differently once is soon as far apart as all roundings together.
const FARTHER: f64 = 1.5;

fn emulated(room: u64) -> Device {
    Device::Gpus(vec![Gpu::of(Arc::new(Emulated::new()), "emulated", room)])
}

/// The same random model on the processor and on an emulated GPU with so much room.
fn both(config: &Config, stored: Stored, weights: Weights, room: u64) -> [Model; 2] {
    let bytes = fixture::gguf(config, stored, 1, None).leak();
    let source = Source::Static(bytes);
    [Device::Cpu, emulated(room)].map(|device| Model::open(&source, weights, &device).unwrap())
}

/// The length of the difference, as a part of the length of what is wanted.
fn apart(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let length = |numbers: &mut dyn Iterator<Item = f32>| {
        let sum: f64 = numbers.map(|x| f64::from(x).powi(2)).sum();
        sum.sqrt()
    };
    let pairs = got.iter().zip(want);
    length(&mut pairs.map(|(got, want)| got - want)) / length(&mut want.iter().copied())
}

#[track_caller]
fn assert_near(got: &[f32], want: &[f32], what: &str) {
    let apart = apart(got, want);
    assert!(apart <= NEAR, "{what}: {apart:e} apart");
}

/// The members that a GPU runs.
fn members() -> impl Iterator<Item = Config> {
    let members = fixture::members().into_iter();
    members.filter(|config| refusal(config).is_none())
}

/// The tokens from `first` to `end`.
fn chunk(first: usize, end: usize) -> Chunk<'static> {
    Chunk {
        ids: &IDS[first..end],
        positions: [&ROWS[0][first..end], &ROWS[1][first..end]],
        prefix: PREFIX.into(),
    }
}

fn logits(model: &Model, chunk: Chunk, kv: &mut KvCache, want: Want) -> Vec<f32> {
    let mut work = model.workspace();
    let part = Part { chunk, kv, want };
    model
        .forward(&mut [part], &mut work, &mut || false)
        .unwrap();
    work.logits(0).values.to_vec()
}

/// A prompt, then a token at a time, then several; all logits.
fn in_pieces(model: &Model) -> Vec<f32> {
    let mut kv = model.kv();
    let pieces = [(0, 9, Want::All), (9, 10, Want::Last), (10, 12, Want::All)];
    let run = |(first, end, want)| logits(model, chunk(first, end), &mut kv, want);
    pieces.into_iter().flat_map(run).collect()
}

#[test]
fn every_member_gives_what_the_processor_gives() {
    for config in members() {
        for weights in [
            Weights::AsStored,
            Weights::F16,
            Weights::Bf16,
            Weights::Quantized(Quant::Int8),
            Weights::Quantized(Quant::Int4),
        ] {
            let [cpu, gpu] = both(&config, Stored::F32, weights, u64::MAX);
            assert_eq!((gpu.place().as_str(), gpu.refusal()), ("emulated", None));
            let name = format!("{} {weights:?}", config.architecture.name());
            assert_near(&in_pieces(&gpu), &in_pieces(&cpu), &name);
        }
    }
}

/// Enough rows for the tensor cores, in products and in attention.
#[test]
fn long_prompts_give_what_the_processor_gives() {
    let ids: Vec<u32> = (0..70).map(|i| i * 7 % 100).collect();
    let places: Vec<u32> = (0..70).collect();
    for config in members() {
        let [cpu, gpu] = both(&config, Stored::F32, Weights::F16, u64::MAX);
        let run = |model: &Model| {
            let mut kv = model.kv();
            let mut all = Vec::new();
            for range in [0..40, 40..70] {
                let chunk = Chunk {
                    ids: &ids[range.clone()],
                    positions: [&places[range.clone()], &places[range]],
                    prefix: 30.into(),
                };
                all.extend(logits(model, chunk, &mut kv, Want::All));
            }
            all
        };
        let apart = apart(&run(&gpu), &run(&cpu));
        let name = config.architecture.name();
        println!("{name}: {apart:.1e} apart");
        assert!(apart <= 3.0 * NEAR, "{name}: {apart:e} apart");
    }
}

#[test]
fn quantized_members_are_as_exact_as_on_the_processor() {
    for config in members() {
        let bytes = fixture::gguf(&config, Stored::Q8, 1, None).leak();
        let exact = Model::open(&Source::Static(bytes), Weights::F32, &Device::Cpu).unwrap();
        let [cpu, gpu] = both(&config, Stored::Q8, Weights::AsStored, u64::MAX);
        let exact = in_pieces(&exact);
        let [cpu, gpu] = [cpu, gpu].map(|model| apart(&in_pieces(&model), &exact));
        let name = config.architecture.name();
        println!("{name}: {gpu:.1e} from exact, the processor {cpu:.1e}");
        assert!(gpu <= FARTHER * cpu, "{name}: {gpu:e} apart, not {cpu:e}");
    }
}

/// The likeliest tokens after the prompt, one after the other, as many as the model has places for.
fn greedy(model: &Model, count: usize) -> Vec<u32> {
    let (mut kv, mut work) = (model.kv(), model.workspace());
    let (mut ids, mut places) = (IDS.to_vec(), ROWS.map(Vec::from));
    let mut run = 0;
    while ids.len() < IDS.len() + count {
        let chunk = Chunk {
            ids: &ids[run..],
            positions: [&places[0][run..], &places[1][run..]],
            prefix: PREFIX.into(),
        };
        let part = Part {
            chunk,
            kv: &mut kv,
            want: Want::Last,
        };
        model
            .forward(&mut [part], &mut work, &mut || false)
            .unwrap();
        run = ids.len();
        let row = work.logits(0).row(0);
        let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        ids.push(best.unwrap() as u32);
        let last = [places[0][run - 1], places[1][run - 1]];
        places[0].push(last[0]);
        places[1].push(last[1] + 1);
    }
    ids.split_off(IDS.len())
}

#[test]
fn sixty_four_greedy_tokens_are_the_processors() {
    for config in members() {
        for weights in [Weights::AsStored, Weights::Quantized(Quant::Int4)] {
            let [cpu, gpu] = both(&config, Stored::F32, weights, u64::MAX);
            let name = format!("{} {weights:?}", config.architecture.name());
            assert_eq!(greedy(&gpu, 64), greedy(&cpu, 64), "{name}");
        }
    }
}

#[test]
fn parts_of_one_pass_do_not_see_one_another() {
    for config in members() {
        let [_, gpu] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
        let alone = [
            logits(&gpu, chunk(0, 12), &mut gpu.kv(), Want::All),
            logits(&gpu, chunk(0, 8), &mut gpu.kv(), Want::Last),
        ];
        let mut work = gpu.workspace();
        let mut caches = [gpu.kv(), gpu.kv(), gpu.kv()];
        let wants = [(8, Want::None), (12, Want::All), (8, Want::Last)];
        let parts = caches.iter_mut().zip(wants);
        let mut parts: Vec<_> = parts
            .map(|(kv, (end, want))| Part {
                chunk: chunk(0, end),
                kv,
                want,
            })
            .collect();
        gpu.forward(&mut parts, &mut work, &mut || false).unwrap();
        assert_eq!(work.logits(0).rows, 0);
        assert_near(work.logits(1).values, &alone[0], "");
        assert_near(work.logits(2).values, &alone[1], "");
        // What nobody wanted the logits of is in its cache.
        let [kv, ..] = &mut caches;
        let rest = logits(&gpu, chunk(8, 12), kv, Want::All);
        assert_near(&rest, &alone[0][8 * 100..], "");
    }
}

#[test]
fn caches_are_cut_and_copied() {
    let config = members().nth(3).unwrap();
    let [_, gpu] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
    let whole = logits(&gpu, chunk(0, 12), &mut gpu.kv(), Want::All);
    let mut kv = gpu.kv();
    assert_eq!(kv.bytes(), 0);
    logits(&gpu, chunk(0, 10), &mut kv, Want::Last);
    assert!(kv.bytes() > 0);
    let mut copy = gpu.kv();
    copy.copy(&kv, 9);
    kv.truncate(8);
    for (kv, first) in [(&mut kv, 8), (&mut copy, 9)] {
        assert_eq!(kv.len(), first);
        let rest = logits(&gpu, chunk(first, 12), kv, Want::All);
        assert_near(&rest, &whole[first * 100..], "");
    }
}

#[test]
fn a_model_takes_what_was_foretold() {
    for config in members() {
        for stored in [Stored::F32, Stored::Q8] {
            let source = Source::Static(fixture::gguf(&config, stored, 1, None).leak());
            let vram = crate::inspect(&source).unwrap();
            let vram = vram.vram(Weights::AsStored, KvType::F16).unwrap();
            let faulty = Faulty::new(Emulated::new());
            let switch = faulty.switch();
            let device = Device::Gpus(vec![Gpu::of(Arc::new(faulty), "counted", u64::MAX)]);
            let model = Model::open(&source, Weights::AsStored, &device).unwrap();
            let weights = vram.layers.iter().sum::<u64>() + vram.head + vram.lookup;
            let name = config.architecture.name();
            assert_eq!(switch.asked() as u64, weights, "{name} {stored:?}");
            // A pass takes no more than there is said to be room for.
            let end = if config.part_a == PartA::Whole {
                PREFIX
            } else {
                12
            };
            logits(&model, chunk(0, end), &mut model.kv(), Want::Last);
            let taken = switch.asked() as u64 - weights;
            assert!(taken <= vram.workspace + vram.caches(64), "{name}: {taken}");
        }
    }
}

/// Longer than any room that a cache begins with.
#[test]
fn what_was_run_stays_when_a_cache_grows() {
    let config = members().nth(3).unwrap();
    let [cpu, gpu] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
    let ids: Vec<u32> = (0..120).map(|i| i * 7 % 100).collect();
    let places: Vec<u32> = (0..120).collect();
    let run = |model: &Model| {
        let mut kv = model.kv();
        let mut last = Vec::new();
        for range in [0..50, 50..75, 75..120] {
            let chunk = Chunk {
                ids: &ids[range.clone()],
                positions: [&places[range.clone()], &places[range]],
                prefix: Prefix::default(),
            };
            last = logits(model, chunk, &mut kv, Want::Last);
        }
        last
    };
    let apart = apart(&run(&gpu), &run(&cpu));
    assert!(apart <= 3.0 * NEAR, "{apart:e} apart");
}

#[test]
fn layers_that_do_not_fit_run_on_the_processor() {
    for config in members() {
        let bytes = fixture::gguf(&config, Stored::F32, 1, None).leak();
        let vram = crate::inspect(&Source::Static(bytes)).unwrap();
        let vram = vram.vram(Weights::AsStored, KvType::F16).unwrap();
        let whole = vram.total(config.context);
        let one = vram.workspace + vram.layers[0] + vram.token * config.context as u64;
        for (room, place) in [
            (one, "emulated and cpu: 1 of 2 layers on the GPU"),
            (whole - 1, "emulated and cpu: 2 of 2 layers on the GPU"),
            (whole, "emulated"),
        ] {
            let [cpu, gpu] = both(&config, Stored::F32, Weights::AsStored, room);
            assert_eq!(gpu.place(), place, "{}", config.architecture.name());
            let (mut cpu_kv, mut gpu_kv) = (cpu.kv(), gpu.kv());
            for (first, end, want) in [(0, 9, Want::Last), (9, 12, Want::All)] {
                let want_logits = logits(&cpu, chunk(first, end), &mut cpu_kv, want);
                let got = logits(&gpu, chunk(first, end), &mut gpu_kv, want);
                assert_near(&got, &want_logits, "");
            }
            let mut copy = gpu.kv();
            copy.copy(&gpu_kv, 9);
            let got = logits(&gpu, chunk(9, 12), &mut copy, Want::All);
            cpu_kv.truncate(9);
            let want_logits = logits(&cpu, chunk(9, 12), &mut cpu_kv, Want::All);
            assert_near(&got, &want_logits, "");
        }
        let [_, gpu] = both(&config, Stored::F32, Weights::AsStored, one - 1);
        assert_eq!(gpu.place(), "cpu");
        let why = gpu.refusal().unwrap();
        assert!(why.starts_with("no layer of the model fits"), "{why}");
    }
}

#[test]
fn members_that_no_kernel_is_written_for_say_so_and_run() {
    let mut refused = 0;
    for config in fixture::members() {
        let Some(why) = refusal(&config) else {
            continue;
        };
        refused += 1;
        let [cpu, gpu] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
        assert_eq!(
            (gpu.place().as_str(), gpu.refusal()),
            ("cpu", Some(&why[..]))
        );
        let run = |model: &Model| logits(model, chunk(0, 12), &mut model.kv(), Want::All);
        assert_eq!(run(&gpu), run(&cpu));
    }
    assert_eq!(refused, 3);
}

#[test]
fn a_lost_or_full_device_is_an_error_and_the_caches_are_as_before() {
    let config = members().nth(3).unwrap();
    let bytes = fixture::gguf(&config, Stored::Q8, 1, None).leak();
    let faulty = Faulty::new(Emulated::new());
    let switch = faulty.switch();
    let device = Device::Gpus(vec![Gpu::of(Arc::new(faulty), "cuda:7", u64::MAX)]);
    let model = Model::open(&Source::Static(bytes), Weights::AsStored, &device).unwrap();
    let mut kv = model.kv();
    let mut work = model.workspace();
    let mut pass = |kv: &mut KvCache, first, end| {
        let part = Part {
            chunk: chunk(first, end),
            kv,
            want: Want::Last,
        };
        model.forward(&mut [part], &mut work, &mut || false)
    };
    pass(&mut kv, 0, 9).unwrap();

    switch.fill(true);
    let error = pass(&mut model.kv(), 0, 9).unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    let mut copy = model.kv();
    copy.copy(&kv, 9);
    assert!(pass(&mut copy, 9, 12).is_err(), "the copy was not made");
    switch.fill(false);
    assert_eq!(kv.len(), 9);
    pass(&mut kv, 9, 10).unwrap();

    switch.lose_after(5);
    let error = pass(&mut kv, 10, 12).unwrap_err();
    assert!(error.is_devices());
    let said = error.to_string();
    assert!(
        said.contains("cuda:7") && said.contains("it was unplugged"),
        "{said}"
    );
    assert_eq!(kv.len(), 10);

    let rescued = model.on_cpu().unwrap();
    assert_eq!(rescued.place(), "cpu");
    let got = logits(&rescued, chunk(0, 12), &mut rescued.kv(), Want::Last);
    assert!(got.iter().all(|logit| logit.is_finite()));
}

#[test]
fn a_pass_is_halted_before_a_layer() {
    let config = members().nth(3).unwrap();
    let [_, gpu] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
    let (mut kv, mut work) = (gpu.kv(), gpu.workspace());
    let mut layers = 0;
    let mut between = || {
        layers += 1;
        layers == 2
    };
    let part = Part {
        chunk: chunk(0, 12),
        kv: &mut kv,
        want: Want::Last,
    };
    let outcome = gpu.forward(&mut [part], &mut work, &mut between);
    assert!(matches!(outcome, Err(Error::Halted)));
    assert_eq!((layers, kv.len()), (2, 0));
}

/// Models in files, stored in every way that their makers publish: the one that is built in, and those that stand for
/// others in the tests of parity. What weights and caches take on the GPU is what was foretold.
#[test]
fn stored_models_are_as_exact_as_on_the_processor() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut models = vec![("server/models/infill-v2.gguf", 16)];
    let small = [
        "gguf-chatglm-q4_0/model.gguf",
        "gguf-chatglm-q4k-mixed/model.gguf",
        "gguf-glm4-q5k/model.gguf",
        "gguf-glm4-bf16/model.gguf",
        "chatglm2-int8",
        "chatglm6b-int4",
        "codegeex13b-a",
        "glm130b-int8",
    ];
    models.extend(small.map(|name| (name, 24)));
    for (name, tokens) in models {
        let folder = match name.starts_with("server") {
            true => root.to_owned(),
            false => format!("{root}/tests/data/parity"),
        };
        let source = Source::Path(format!("{folder}/{name}").into());
        let vram = crate::inspect(&source)
            .unwrap()
            .vram(Weights::AsStored, KvType::F16)
            .unwrap();
        let open = |weights, device: &Device| Model::open(&source, weights, device).unwrap();
        let gpu = open(Weights::AsStored, &emulated(u64::MAX));
        assert_eq!(
            (gpu.place().as_str(), gpu.refusal()),
            ("emulated", None),
            "{name}"
        );
        let ids: Vec<u32> = (0..tokens).map(|i| i * 13 % 97).collect();
        let places: Vec<u32> = (0..tokens).collect();
        let none = vec![0; tokens as usize];
        let run = |model: &Model| {
            let mut kv = model.kv();
            let mut all = Vec::new();
            let last = ids.len() - 2;
            for range in [0..last, last..ids.len()] {
                let chunk = Chunk {
                    ids: &ids[range.clone()],
                    positions: [&places[range.clone()], &none[range]],
                    prefix: last.into(),
                };
                all.extend(logits(model, chunk, &mut kv, Want::All));
            }
            (all, kv.bytes() as u64)
        };
        let (exact, _) = run(&open(Weights::F32, &Device::Cpu));
        let cpu = apart(&run(&open(Weights::AsStored, &Device::Cpu)).0, &exact);
        let (got, cached) = run(&gpu);
        let got = apart(&got, &exact);
        println!("{name}: {got:.1e} from exact, the processor {cpu:.1e}");
        assert!(
            got <= FARTHER * cpu + 3.0 * NEAR,
            "{name}: {got:e} apart, not {cpu:e}"
        );
        let room = super::cache::room(ids.len());
        assert_eq!(cached, vram.caches(room), "{name}");
    }
}
