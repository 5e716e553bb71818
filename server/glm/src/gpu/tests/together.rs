//! Models on several GPUs that work on every layer together, held against one GPU and the processor.

use super::*;
use crate::{
    Attention, Grouped, Info,
    gpu::faulty::Switch,
    kernels::cuda::{AllReduce, Failed, View},
    quantize,
    vram::CHUNK,
};
use std::sync::atomic::{AtomicBool, Ordering};

/// That many emulated GPUs with as much room as there is.
fn gpus(count: usize) -> (Device, Vec<Switch>) {
    fixture::together(&vec![u64::MAX; count])
}

fn source(config: &Config, stored: Stored) -> Source {
    Source::Static(fixture::gguf(config, stored, 1, None).leak())
}

/// How such a model is named.
fn place(count: usize) -> String {
    let names: Vec<String> = (0..count)
        .map(|gpu| format!("cuda:{gpu} (emulated)"))
        .collect();
    names.join(" + ")
}

/// It on so many GPUs, each of which has a part of every layer.
#[track_caller]
fn open(source: &Source, weights: Weights, count: usize) -> Model {
    let model = Model::open(source, weights, &gpus(count).0).unwrap();
    assert_eq!(model.apart(), None);
    assert_eq!((model.place(), model.refusal()), (place(count), None));
    model
}

/// A member of larger heads and a wider feed-forward, so that every type has blocks to cut between.
fn wide(config: Config, [heads, kv_heads, head_size]: [usize; 3]) -> Config {
    let Attention::Grouped(sizes) = config.attention else {
        panic!("a GPU runs it");
    };
    Config {
        width: 256,
        inner: 1024,
        attention: Attention::Grouped(Grouped {
            heads,
            kv_heads,
            head_size,
            ..sizes
        }),
        ..config
    }
}

#[test]
fn every_member_gives_what_one_gpu_and_the_processor_give() {
    for config in members() {
        let source = source(&config, Stored::F32);
        for weights in [Weights::AsStored, Weights::F16, Weights::Bf16] {
            let cpu = in_pieces(&Model::open(&source, weights, &Device::Cpu).unwrap());
            let one = in_pieces(&Model::open(&source, weights, &emulated(u64::MAX)).unwrap());
            for count in [2, 4] {
                let name = format!("{} {weights:?} {count}", config.architecture.name());
                let got = in_pieces(&open(&source, weights, count));
                assert_near(&got, &cpu, &name);
                assert_near(&got, &one, &name);
            }
        }
        // A scale a row goes to all, and activations are as they are.
        for quant in [Quant::Int8, Quant::Int4] {
            let weights = Weights::Quantized(quant);
            let cpu = in_pieces(&Model::open(&source, weights, &Device::Cpu).unwrap());
            let name = format!("{} {quant}", config.architecture.name());
            assert_near(&in_pieces(&open(&source, weights, 2)), &cpu, &name);
        }
    }
}

#[test]
fn sixty_four_greedy_tokens_are_the_processors() {
    for config in members() {
        let source = source(&config, Stored::F32);
        let cpu = Model::open(&source, Weights::AsStored, &Device::Cpu).unwrap();
        let tokens = greedy(&cpu, 64);
        for count in [2, 4] {
            let name = format!("{} {count}", config.architecture.name());
            let model = open(&source, Weights::AsStored, count);
            assert_eq!(greedy(&model, 64), tokens, "{name}");
        }
    }
}

/// Each type that a checkpoint can be quantized to, also for heads whose keys some GPUs have twice.
#[test]
fn every_quantized_type_is_as_exact_as_on_the_processor() {
    let member = members().nth(3).unwrap();
    for quant in [
        Quant::Q8_0,
        Quant::Q6K,
        Quant::Q5K,
        Quant::Q4K,
        Quant::Q4_0,
        Quant::Int8,
        Quant::Int4,
    ] {
        for (config, count) in [
            (wide(member, [8, 4, 64]), 2),
            (wide(member, [8, 2, 128]), 4),
        ] {
            let file = format!(
                "infill-together-{}-{quant}-{count}.gguf",
                std::process::id()
            );
            let path = std::env::temp_dir().join(file);
            let plain = source(&config, Stored::F32);
            quantize(&plain, &path, quant, &[], &mut |_, _| {}).unwrap();
            let source = Source::Path(path.clone());
            let exact = Model::open(&source, Weights::F32, &Device::Cpu).unwrap();
            let cpu = Model::open(&source, Weights::AsStored, &Device::Cpu).unwrap();
            let model = open(&source, Weights::AsStored, count);
            std::fs::remove_file(path).unwrap();
            let exact = in_pieces(&exact);
            let [cpu, got] = [cpu, model].map(|model| apart(&in_pieces(&model), &exact));
            println!("{quant} on {count}: {got:.1e} from exact, the processor {cpu:.1e}");
            let most = FARTHER * cpu + NEAR;
            assert!(
                got <= most,
                "{quant} on {count}: {got:e} apart, not {cpu:e}"
            );
        }
    }
}

/// Enough rows for the tensor cores, in products and in attention.
#[test]
fn long_prompts_give_what_the_processor_gives() {
    let ids: Vec<u32> = (0..70).map(|i| i * 7 % 100).collect();
    let places: Vec<u32> = (0..70).collect();
    for config in members() {
        let source = source(&config, Stored::F32);
        let cpu = Model::open(&source, Weights::F16, &Device::Cpu).unwrap();
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
        let apart = apart(&run(&open(&source, Weights::F16, 2)), &run(&cpu));
        let name = config.architecture.name();
        assert!(apart <= 3.0 * NEAR, "{name}: {apart:e} apart");
    }
}

#[test]
fn parts_of_one_pass_do_not_see_one_another() {
    for config in members() {
        let model = open(&source(&config, Stored::F32), Weights::AsStored, 2);
        let alone = [
            logits(&model, chunk(0, 12), &mut model.kv(), Want::All),
            logits(&model, chunk(0, 8), &mut model.kv(), Want::Last),
        ];
        let mut work = model.workspace();
        let mut caches = [model.kv(), model.kv(), model.kv()];
        let wants = [(8, Want::None), (12, Want::All), (8, Want::Last)];
        let parts = caches.iter_mut().zip(wants);
        let mut parts: Vec<_> = parts
            .map(|(kv, (end, want))| Part {
                chunk: chunk(0, end),
                kv,
                want,
            })
            .collect();
        model.forward(&mut parts, &mut work, &mut || false).unwrap();
        assert_eq!(work.logits(0).rows, 0);
        assert_near(work.logits(1).values, &alone[0], "");
        assert_near(work.logits(2).values, &alone[1], "");
        // What nobody wanted the logits of is in all caches, which can be copied and cut.
        let [kv, ..] = &mut caches;
        let mut copy = model.kv();
        copy.copy(kv, 7);
        kv.truncate(6);
        for (kv, first) in [(kv, 6), (&mut copy, 7)] {
            if config.part_a == PartA::Whole && first < PREFIX {
                continue;
            }
            let rest = logits(&model, chunk(first, 12), kv, Want::All);
            assert_near(&rest, &alone[0][first * 100..], "");
        }
    }
}

/// Tokens are chosen on the first, and nothing is recorded on any.
#[test]
fn tokens_are_chosen_where_the_head_is() {
    let config = members().nth(3).unwrap();
    let source = source(&config, Stored::F32);
    let (device, switches) = gpus(2);
    let model = Model::open(&source, Weights::AsStored, &device).unwrap();
    let cpu = Model::open(&source, Weights::AsStored, &Device::Cpu).unwrap();
    let run = |model: &Model| {
        let (mut kv, mut work) = (model.kv(), model.workspace());
        let mut ids = Vec::new();
        for (first, end) in [(0, 9), (9, 10), (10, 11), (11, 12)] {
            let part = Part {
                chunk: chunk(first, end),
                kv: &mut kv,
                want: Want::Choices(&[crate::Draw::GREEDY]),
            };
            model
                .forward(&mut [part], &mut work, &mut || false)
                .unwrap();
            ids.push(work.choice(0, 0).unwrap().id);
        }
        ids
    };
    assert_eq!(run(&model), run(&cpu));
    for switch in switches {
        assert_eq!(switch.recorded(), [0, 0]);
    }
}

fn needed(source: &Source) -> Info {
    crate::inspect(source).unwrap()
}

/// Each has its part of what is cut, and the first what is not; a pass takes no more than there is said to be room for.
#[test]
fn each_gpu_takes_what_was_foretold() {
    for config in members() {
        for (config, stored) in [
            (config, Stored::F32),
            (wide(config, [4, 4, 64]), Stored::F32),
            (wide(config, [4, 4, 64]), Stored::Q8),
        ] {
            let source = source(&config, stored);
            let info = needed(&source);
            let whole = info.vram(Weights::AsStored, KvType::F16).unwrap();
            let vrams = info
                .vram_together(Weights::AsStored, KvType::F16, 2)
                .unwrap();
            let (device, switches) = gpus(2);
            let model = Model::open(&source, Weights::AsStored, &device).unwrap();
            let name = format!("{} {stored:?}", config.architecture.name());
            let mut of_layers = 0;
            for (vram, switch) in vrams.iter().zip(&switches) {
                let weights = vram.layers.iter().sum::<u64>() + vram.head + vram.lookup;
                let taken = switch.asked() as u64;
                // What is rounded up is little.
                let least = weights - weights / 8;
                assert!(
                    (least..=weights + 4 * 256).contains(&taken),
                    "{name}: {taken} of {weights}"
                );
                of_layers += vram.layers.iter().sum::<u64>();
                assert!(vram.layers[0] < whole.layers[0]);
            }
            assert!(
                of_layers < whole.layers.iter().sum::<u64>() * 5 / 4,
                "{name}"
            );
            assert_eq!((vrams[0].head, vrams[1].head), (whole.head, 0));
            let before: Vec<usize> = switches.iter().map(Switch::asked).collect();
            let end = if config.part_a == PartA::Whole {
                PREFIX
            } else {
                12
            };
            let mut kv = model.kv();
            logits(&model, chunk(0, end), &mut kv, Want::Last);
            for ((vram, switch), before) in vrams.iter().zip(&switches).zip(before) {
                let taken = (switch.asked() - before) as u64;
                assert!(taken <= vram.workspace + vram.caches(64), "{name}: {taken}");
            }
            let caches: u64 = vrams.iter().map(|vram| vram.caches(64)).sum();
            assert_eq!(kv.bytes() as u64, caches, "{name}");
        }
    }
}

#[test]
fn layers_that_do_not_fit_on_all_run_on_the_processor() {
    let config = Config {
        layers: 4,
        ..members().nth(3).unwrap()
    };
    let source = source(&config, Stored::F32);
    let cpu = in_pieces(&Model::open(&source, Weights::AsStored, &Device::Cpu).unwrap());
    let vrams = needed(&source)
        .vram_together(Weights::AsStored, KvType::F16, 2)
        .unwrap();
    let room = |rank: usize, layers: usize| {
        let vram = &vrams[rank];
        let caches = layers as u64 * vram.token * config.context as u64;
        vram.workspace + vram.layers[..layers].iter().sum::<u64>() + caches
    };
    for (rooms, rest) in [
        (
            [room(0, 3), room(1, 4)],
            " and cpu: 3 of 4 layers on the GPUs",
        ),
        (
            [room(0, 4), room(1, 4)],
            " and cpu: 4 of 4 layers on the GPUs",
        ),
        ([room(0, 4) + vrams[0].head, room(1, 4)], ""),
    ] {
        let (device, _) = fixture::together(&rooms);
        let model = Model::open(&source, Weights::AsStored, &device).unwrap();
        assert_eq!(model.place(), format!("{}{rest}", place(2)));
        assert_near(&in_pieces(&model), &cpu, rest);
        let told = needed(&source)
            .together(Weights::AsStored, KvType::F16, &rooms)
            .unwrap();
        let layers = if rest.contains("3 of 4") { 3 } else { 4 };
        assert_eq!((told.layers, told.head), (layers, rest.is_empty()));
    }
}

/// It runs all the same, on the GPUs in turn.
#[track_caller]
fn assert_apart(config: &Config, stored: Stored, device: &Device, why: &str) {
    let source = source(config, stored);
    let model = Model::open(&source, Weights::AsStored, device).unwrap();
    assert_eq!(model.apart(), Some(why));
    assert!(!model.place().contains('+') && model.refusal().is_none());
    let one = Model::open(&source, Weights::AsStored, &emulated(u64::MAX)).unwrap();
    assert!(in_pieces(&model) == in_pieces(&one), "to the bit");
}

#[test]
fn what_cannot_be_cut_says_why_and_goes_layer_by_layer() {
    let causal = members().nth(3).unwrap();
    let on = |count| gpus(count).0;
    assert_apart(
        &causal,
        Stored::F32,
        &on(3),
        "4 heads over 2 of keys cannot be shared out evenly to 3 GPUs",
    );
    // Two of the heads of the second GPU look at other keys than its third.
    assert_apart(
        &Config {
            inner: 128,
            ..wide(causal, [12, 3, 16])
        },
        Stored::F32,
        &on(2),
        "12 heads over 3 of keys cannot be shared out evenly to 2 GPUs",
    );
    assert_apart(
        &causal,
        Stored::Q8,
        &on(4),
        "the heads of each of 4 GPUs have 16 numbers together, no whole blocks of 32",
    );
    let narrow = Config {
        inner: 32,
        ..causal
    };
    assert_apart(
        &narrow,
        Stored::Q8,
        &on(2),
        "its feed-forward of 32 numbers in blocks of 32 is not enough for 2 GPUs",
    );
    // One of the two has no room, and the other has for all.
    let (device, _) = fixture::together(&[u64::MAX, 0]);
    assert_apart(
        &causal,
        Stored::F32,
        &device,
        "only 0 of the layers fit on all 2 GPUs at once, and 2 on one after the other",
    );
    let Device::Together(mut together) = on(2) else {
        panic!("they were to be together");
    };
    together.all_reduce = Err("there is nothing to add up with".to_owned());
    let device = Device::Together(together);
    assert_apart(
        &causal,
        Stored::F32,
        &device,
        "there is nothing to add up with",
    );
    for config in fixture::members() {
        if let Some(why) = refusal(&config) {
            let model = Model::open(&source(&config, Stored::F32), Weights::AsStored, &on(2));
            let model = model.unwrap();
            assert_eq!((model.refusal(), model.apart()), (Some(&*why), None));
            assert_eq!(model.place(), "cpu");
        }
    }
}

/// Sums that tell whether they were abandoned.
struct Abandoned {
    inner: Arc<dyn AllReduce>,
    is_abandoned: AtomicBool,
}

impl AllReduce for Abandoned {
    fn add_up(&self, parts: &[View]) -> Result<(), Failed> {
        self.inner.add_up(parts)
    }

    fn wait(&self) -> Result<(), Failed> {
        self.inner.wait()
    }

    fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_gpu_that_is_lost_in_the_midst_of_a_pass_is_named_and_nobody_waits_for_it() {
    let config = members().nth(3).unwrap();
    let source = source(&config, Stored::F32);
    for lost in 0..2 {
        for launches in [0, 3, 14] {
            let (device, switches) = gpus(2);
            let Device::Together(mut together) = device else {
                panic!("they were to be together");
            };
            let sums = Arc::new(Abandoned {
                inner: together.all_reduce.unwrap(),
                is_abandoned: AtomicBool::new(false),
            });
            together.all_reduce = Ok(sums.clone());
            let device = Device::Together(together);
            let model = Model::open(&source, Weights::AsStored, &device).unwrap();
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
            // A full one may have room again.
            switches[lost].fill(true);
            let error = pass(&mut model.kv(), 0, 9).unwrap_err();
            assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
            switches[lost].fill(false);
            assert!(!sums.is_abandoned.load(Ordering::Relaxed));
            switches[lost].lose_after(launches);
            let error = pass(&mut kv, 9, 12).unwrap_err();
            assert!(error.is_devices());
            let said = error.to_string();
            assert!(said.contains(&format!("cuda:{lost} ")), "{said}");
            assert_eq!(kv.len(), 9);
            assert!(sums.is_abandoned.load(Ordering::Relaxed));
            let rescued = model.on_cpu().unwrap();
            assert_eq!(rescued.place(), "cpu");
        }
    }
}

#[test]
fn weights_leave_all_gpus_and_come_back_the_same() {
    for stored in [Stored::F32, Stored::Q8] {
        let config = members().nth(3).unwrap();
        let (device, switches) = gpus(2);
        let mut model = Model::open(&source(&config, stored), Weights::AsStored, &device).unwrap();
        let held = || switches.iter().map(Switch::held).collect::<Vec<_>>();
        let weights = held();
        let before = in_pieces(&model);
        model.suspend().unwrap();
        assert_eq!(held(), [0, 0]);
        assert!(model.place().starts_with(&format!("{}, idle", place(2))));
        // The second has no room for what it had, which is not lost.
        switches[1].fill(true);
        let error = model.resume().unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
        switches[1].fill(false);
        model.resume().unwrap();
        assert_eq!(held(), weights);
        assert!(in_pieces(&model) == before, "to the bit");
    }
}

#[test]
fn passes_stop_before_a_layer_and_long_ones_within_one() {
    let tokens = CHUNK / 2;
    let config = Config {
        context: 2 * tokens,
        layers: 4,
        ..members().nth(3).unwrap()
    };
    let ids: Vec<u32> = (0..tokens as u32).map(|i| i * 7 % 100).collect();
    let places: Vec<u32> = (0..tokens as u32).collect();
    let none = vec![0; tokens];
    let (device, switches) = gpus(2);
    let model = Model::open(&source(&config, Stored::F32), Weights::AsStored, &device).unwrap();
    let mut work = model.workspace();
    let mut kv = model.kv();
    for count in [1, 12, tokens] {
        let mut asked = 0;
        let mut between = || {
            asked += 1;
            asked == 3
        };
        let before: Vec<usize> = switches.iter().map(Switch::launched).collect();
        let part = Part {
            chunk: Chunk {
                ids: &ids[..count],
                positions: [&places[..count], &none[..count]],
                prefix: Prefix::default(),
            },
            kv: &mut kv,
            want: Want::None,
        };
        let outcome = model.forward(&mut [part], &mut work, &mut between);
        assert!(matches!(outcome, Err(Error::Halted)));
        assert_eq!((asked, kv.len()), (3, 0));
        // The same was asked of both.
        let after = switches.iter().map(Switch::launched);
        let launched: Vec<usize> = after.zip(before).map(|(now, then)| now - then).collect();
        assert!(launched[0] > 0 && launched[0] == launched[1]);
    }
    let ids = &ids[..12];
    let chunk = Chunk {
        ids,
        positions: [&places[..12], &none[..12]],
        prefix: Prefix::default(),
    };
    let whole = logits(&model, chunk, &mut kv, Want::All);
    assert!(whole == logits(&model, chunk, &mut model.kv(), Want::All));
}

/// Models in files, stored in every way that their makers publish, on as many GPUs as their few heads and blocks are
/// enough for.
#[test]
fn stored_models_are_as_exact_as_on_the_processor() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/parity");
    for (name, count, why) in [
        ("gguf-chatglm-q4_0/model.gguf", 2, None),
        ("gguf-glm4-bf16/model.gguf", 2, None),
        ("codegeex13b-a", 2, None),
        (
            "chatglm2-int8",
            3,
            Some("the heads of each of 3 GPUs have 16 numbers together, no whole blocks of 32"),
        ),
        (
            "gguf-chatglm-q4k-mixed/model.gguf",
            2,
            Some("the heads of each of 2 GPUs have 128 numbers together, no whole blocks of 256"),
        ),
        (
            "chatglm6b-int4",
            2,
            Some("the heads of each of 2 GPUs have 24 numbers together, no whole blocks of 32"),
        ),
    ] {
        let source = Source::Path(format!("{root}/{name}").into());
        let open = |weights, device: &Device| Model::open(&source, weights, device).unwrap();
        let model = open(Weights::AsStored, &gpus(count).0);
        assert_eq!(model.apart(), why, "{name}");
        if why.is_some() {
            continue;
        }
        assert_eq!(model.place(), place(count), "{name}");
        let ids: Vec<u32> = (0..24).map(|i| i * 13 % 97).collect();
        let places: Vec<u32> = (0..24).collect();
        let run = |model: &Model| {
            let chunk = Chunk {
                ids: &ids,
                positions: [&places, &[0; 24]],
                prefix: 24.into(),
            };
            logits(model, chunk, &mut model.kv(), Want::All)
        };
        let exact = run(&open(Weights::F32, &Device::Cpu));
        let cpu = apart(&run(&open(Weights::AsStored, &Device::Cpu)), &exact);
        let got = apart(&run(&model), &exact);
        println!("{name}: {got:.1e} from exact, the processor {cpu:.1e}");
        let most = FARTHER * cpu + 3.0 * NEAR;
        assert!(got <= most, "{name}: {got:e} apart, not {cpu:e}");
    }
}
