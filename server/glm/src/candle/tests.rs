//! Whole models on candle's processor device, held against our own kernels.

use super::{SCORES, refusal};
use crate::{
    Attention, Chunk, Config, Device, Draw, Error, Grouped, KvCache, Model, Part, Quant, Source,
    Want, Weights,
    fixture::{self, Weights as Stored},
};

const IDS: [u32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];
const ROWS: [[u32; 12]; 2] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 2, 2, 2, 2],
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
];
const PREFIX: usize = 8;
/// How far logits may be from our kernels' where weights are f32: sums are rounded in another order.
const NEAR: f64 = 1e-5;
/// The same where they are f16: candle rounds activations and products to f16, too.
const NEAR_HALF: f64 = 5e-3;
/// How much farther than our kernels' from what the same weights give with activations as they are. Both round
/// activations to 8 bits, but candle's processor device with one scale for 256 of them where our kernels have one for 32.
const FARTHER: f64 = 2.5;

/// The same random model on our kernels and on candle's device with so much room.
fn both(config: &Config, stored: Stored, weights: Weights, room: u64) -> [Model; 2] {
    let bytes = fixture::gguf(config, stored, 1, None).leak();
    let source = Source::Static(bytes);
    let devices = [Device::Cpu, fixture::metal(room).0];
    devices.map(|device| Model::open(&source, weights, &device).unwrap())
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
fn assert_near(got: &[f32], want: &[f32], bound: f64, what: &str) {
    let apart = apart(got, want);
    println!("{what}: {apart:.1e} apart");
    // Written so that no number, where there is none, is no success.
    assert!(apart <= bound, "{what}: {apart:e} apart");
}

/// The members that run on candle's devices, then what of the others does, too.
fn members() -> impl Iterator<Item = Config> {
    let all = fixture::members();
    let with_experts = all.iter().find(|config| config.experts.is_some());
    let with_queries = all.iter().find(|config| config.top_query);
    // Norms of queries and keys; one table of positions and the stand-in for GELU.
    let rest = [
        with_experts.map(|&config| Config {
            experts: None,
            ..config
        }),
        with_queries.map(|&config| Config {
            top_query: false,
            ..config
        }),
    ];
    let rest: Vec<Config> = rest.into_iter().flatten().collect();
    assert_eq!(rest.len(), 2);
    let members = all.into_iter().chain(rest);
    members.filter(|config| refusal(config).is_none())
}

/// Wider, since blocks of 256 numbers are to fit into rows.
fn wide(config: Config) -> Config {
    let Attention::Grouped(heads) = config.attention else {
        panic!("members with heads");
    };
    Config {
        width: 256,
        inner: 512,
        attention: Attention::Grouped(Grouped {
            head_size: 64,
            ..heads
        }),
        ..config
    }
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
fn every_member_gives_what_our_kernels_give() {
    for config in members() {
        for (weights, bound) in [
            (Weights::AsStored, NEAR),
            // candle's processor device has no product in bf16, and takes f32 for it.
            (Weights::Bf16, NEAR),
            (Weights::F16, NEAR_HALF),
        ] {
            let [cpu, metal] = both(&config, Stored::F32, weights, u64::MAX);
            assert_eq!((metal.place().as_str(), metal.refusal()), ("metal", None));
            let name = format!("{} {weights:?}", config.architecture.name());
            assert_near(&in_pieces(&metal), &in_pieces(&cpu), bound, &name);
        }
    }
}

#[test]
fn quantized_members_are_as_exact_as_on_our_kernels() {
    for config in members().map(wide) {
        for quant in [Quant::Q8_0, Quant::Q6K, Quant::Q5K, Quant::Q4K, Quant::Q4_0] {
            let config = Config {
                // Head and embedding are quantized apart.
                tied: false,
                ..config
            };
            let source = quantized(fixture::gguf(&config, Stored::F32, 1, None), quant);
            let open = |weights, device: &Device| Model::open(&source, weights, device).unwrap();
            let (device, _) = fixture::metal(u64::MAX);
            let exact = in_pieces(&open(Weights::F32, &Device::Cpu));
            let cpu = apart(&in_pieces(&open(Weights::AsStored, &Device::Cpu)), &exact);
            let model = open(Weights::AsStored, &device);
            assert_eq!(model.place(), "metal");
            let got = apart(&in_pieces(&model), &exact);
            let name = format!("{} {quant}", config.architecture.name());
            println!("{name}: {got:.1e} from exact, our kernels {cpu:.1e}");
            assert!(got <= FARTHER * cpu, "{name}: {got:e} apart, not {cpu:e}");
        }
    }
}

/// A file like this one with its matrices in blocks.
fn quantized(bytes: Vec<u8>, quant: Quant) -> Source {
    let (process, thread) = (std::process::id(), std::thread::current().id());
    let name = format!("infill-candle-{process}-{thread:?}-{quant}.gguf");
    let path = std::env::temp_dir().join(name);
    let source = Source::Static(bytes.leak());
    crate::quantize(&source, &path, quant, &[], &mut |_, _| {}).unwrap();
    let quantized = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    Source::Static(quantized.leak())
}

/// candle forms products with blocks of 256 numbers four rows at a time, and would read past the end of others.
#[test]
fn blocks_that_candle_would_read_past_are_held_as_plain_numbers() {
    let config = Config {
        vocabulary: 99,
        ..wide(members().nth(3).unwrap())
    };
    let weights = Weights::Quantized(Quant::Q4K);
    let needed = |vocabulary| {
        let config = Config {
            vocabulary,
            ..config
        };
        let bytes = fixture::gguf(&config, Stored::F32, 1, None).leak();
        let info = crate::inspect(&Source::Static(bytes)).unwrap();
        info.metal(weights).unwrap()
    };
    // The head in f16, not in 144 bytes a block, and one row of logits less.
    let logits = 4 * crate::vram::SIDE_BY_SIDE as u64;
    assert_eq!(needed(99) + logits + 100 * 144, needed(100) + 99 * 512);
    // Stored blocks are unpacked, so that the head is as exact as its file.
    let source = quantized(fixture::gguf(&config, Stored::F32, 1, None), Quant::Q4K);
    let open = |weights, device: &Device| Model::open(&source, weights, device).unwrap();
    let exact = in_pieces(&open(Weights::F32, &Device::Cpu));
    let metal = in_pieces(&open(Weights::AsStored, &fixture::metal(u64::MAX).0));
    let cpu = in_pieces(&open(Weights::AsStored, &Device::Cpu));
    let [got, cpu] = [metal, cpu].map(|logits| apart(&logits, &exact));
    assert!(got <= FARTHER * cpu, "{got:e} apart, not {cpu:e}");
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
            want: Want::Choices(&[Draw::GREEDY]),
        };
        model
            .forward(&mut [part], &mut work, &mut || false)
            .unwrap();
        run = ids.len();
        ids.push(work.choice(0, 0).unwrap().id);
        let last = [places[0][run - 1], places[1][run - 1]];
        places[0].push(last[0]);
        places[1].push(last[1] + 1);
    }
    ids.split_off(IDS.len())
}

#[test]
fn sixty_four_greedy_tokens_are_those_of_our_kernels() {
    for config in members() {
        let [cpu, metal] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
        let name = config.architecture.name();
        assert_eq!(greedy(&metal, 64), greedy(&cpu, 64), "{name}");
    }
}

#[test]
fn parts_of_one_pass_do_not_see_one_another() {
    for config in members() {
        let [_, metal] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
        let alone = [
            logits(&metal, chunk(0, 12), &mut metal.kv(), Want::All),
            logits(&metal, chunk(0, 8), &mut metal.kv(), Want::Last),
        ];
        let mut work = metal.workspace();
        let mut caches = [metal.kv(), metal.kv(), metal.kv()];
        let wants = [(8, Want::None), (12, Want::All), (8, Want::Last)];
        let parts = caches.iter_mut().zip(wants);
        let mut parts: Vec<_> = parts
            .map(|(kv, (end, want))| Part {
                chunk: chunk(0, end),
                kv,
                want,
            })
            .collect();
        metal.forward(&mut parts, &mut work, &mut || false).unwrap();
        assert_eq!(work.logits(0).rows, 0);
        assert_near(work.logits(1).values, &alone[0], NEAR, "all");
        assert_near(work.logits(2).values, &alone[1], NEAR, "last");
        // What nobody wanted the logits of is in its cache, also after a pass of which nothing was wanted.
        let [kv, _, other] = &mut caches;
        let rest = logits(&metal, chunk(8, 12), kv, Want::All);
        assert_near(&rest, &alone[0][8 * 100..], NEAR, "the rest");
        assert!(logits(&metal, chunk(8, 10), other, Want::None).is_empty());
        let rest = logits(&metal, chunk(10, 12), other, Want::All);
        assert_near(&rest, &alone[0][10 * 100..], NEAR, "the last");
    }
}

#[test]
fn caches_are_cut_and_copied() {
    let config = members().nth(3).unwrap();
    let [_, metal] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
    let whole = logits(&metal, chunk(0, 12), &mut metal.kv(), Want::All);
    let mut kv = metal.kv();
    assert_eq!(kv.bytes(), 0);
    logits(&metal, chunk(0, 10), &mut kv, Want::Last);
    assert!(kv.bytes() > 0);
    let mut copy = metal.kv();
    copy.copy(&kv, 9);
    let mut none = metal.kv();
    none.copy(&kv, 0);
    kv.truncate(8);
    for (kv, first) in [(&mut kv, 8), (&mut copy, 9), (&mut none, 0)] {
        assert_eq!(kv.len(), first);
        let rest = logits(&metal, chunk(first, 12), kv, Want::All);
        assert_near(&rest, &whole[first * 100..], NEAR, "the rest");
    }
    // What one writes is its own.
    let other = [7; 2];
    let rest = Chunk {
        ids: &other,
        ..chunk(8, 10)
    };
    copy.copy(&kv, 9);
    kv.truncate(8);
    logits(&metal, rest, &mut kv, Want::Last);
    let rest = logits(&metal, chunk(9, 12), &mut copy, Want::All);
    assert_near(&rest, &whole[9 * 100..], NEAR, "the copy");
}

/// So many tokens that a cache grows, that layers are waited for, and that a prompt's scores are formed in several tiles;
/// some see a whole Part A, the others what is before them.
#[test]
fn long_prompts_give_what_our_kernels_give() {
    const LONG: usize = 1500;
    let ids: Vec<u32> = (0..LONG as u32).map(|i| i * 7 % 100).collect();
    for (at, config) in members().enumerate() {
        let turns = matches!(config.positions, crate::Positions::Rotary(_));
        let (length, prefix) = match turns {
            // One of each, since it takes long.
            true if at == 1 || at == 3 => (LONG, LONG / 2),
            _ => (120, 60),
        };
        let Attention::Grouped(heads) = config.attention else {
            panic!("members with heads");
        };
        let tiles = length * length * heads.heads / SCORES;
        assert_eq!(tiles > 0, length == LONG);
        let places: Vec<u32> = (0..length as u32).collect();
        let [cpu, metal] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
        let run = |model: &Model| {
            let mut kv = model.kv();
            let mut last = Vec::new();
            let first = length - 20;
            for range in [0..first, first..first + 1, first + 1..length] {
                let chunk = Chunk {
                    ids: &ids[range.clone()],
                    positions: [&places[range.clone()], &places[range]],
                    prefix: prefix.into(),
                };
                last.extend(logits(model, chunk, &mut kv, Want::All));
            }
            last
        };
        let name = format!("{} {length}", config.architecture.name());
        assert_near(&run(&metal), &run(&cpu), NEAR, &name);
    }
}

#[test]
fn what_candle_cannot_run_is_refused_by_name_and_runs() {
    let mut refused = Vec::new();
    for config in fixture::members() {
        let Some(why) = refusal(&config) else {
            continue;
        };
        let [cpu, metal] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
        assert_eq!(
            (metal.place().as_str(), metal.refusal()),
            ("cpu", Some(&why[..]))
        );
        let run = |model: &Model| logits(model, chunk(0, 12), &mut model.kv(), Want::All);
        assert_eq!(run(&metal), run(&cpu));
        refused.push(why);
    }
    assert_eq!(
        refused,
        [
            "glm4moe has experts, which a model on metal cannot have",
            "glm4moelite has latent attention, which a model on metal cannot have",
            "glm4moelite has latent attention, which a model on metal cannot have",
            "codegeex has learned queries, which a model on metal cannot have",
        ]
    );
    let config = members().next().unwrap();
    for quant in [Quant::Int8, Quant::Int4] {
        let [_, metal] = both(&config, Stored::F32, Weights::Quantized(quant), u64::MAX);
        assert_eq!(metal.place(), "cpu");
        let why = metal.refusal().unwrap();
        assert!(
            why.starts_with("`blk.0.attn_qkv.weight` has integers with a scale a row"),
            "{why}"
        );
    }
}

#[test]
fn a_model_is_there_as_a_whole_or_not_at_all() {
    for config in members() {
        for stored in [Stored::F32, Stored::Q8] {
            let bytes = fixture::gguf(&config, stored, 1, None).leak();
            let needed = crate::inspect(&Source::Static(bytes)).unwrap();
            let needed = needed.metal(Weights::AsStored).unwrap();
            let weights = Weights::AsStored;
            let [_, metal] = both(&config, stored, weights, needed);
            assert_eq!((metal.place().as_str(), metal.refusal()), ("metal", None));
            let [_, cpu] = both(&config, stored, weights, needed - 1);
            assert_eq!(cpu.place(), "cpu");
            let why = cpu.refusal().unwrap();
            assert!(
                why.starts_with("the model does not fit on metal: it needs "),
                "{why}"
            );
        }
    }
}

#[test]
fn a_lost_device_is_an_error_and_the_caches_are_as_before() {
    let config = members().nth(3).unwrap();
    let bytes = fixture::gguf(&config, Stored::Q8, 1, None).leak();
    let (device, switch) = fixture::metal(u64::MAX);
    let model = Model::open(&Source::Static(bytes), Weights::AsStored, &device).unwrap();
    let (mut kv, mut work) = (model.kv(), model.workspace());
    let mut pass = |kv: &mut KvCache, first, end| {
        let part = Part {
            chunk: chunk(first, end),
            kv,
            want: Want::Last,
        };
        model.forward(&mut [part], &mut work, &mut || false)
    };
    pass(&mut kv, 0, 9).unwrap();
    let whole = pass(&mut kv, 9, 10).map(|()| work.logits(0).values.to_vec());

    let mut pass = |kv: &mut KvCache, first, end| {
        let part = Part {
            chunk: chunk(first, end),
            kv,
            want: Want::Last,
        };
        model.forward(&mut [part], &mut work, &mut || false)
    };
    kv.truncate(9);
    switch.lose_after(3);
    let error = pass(&mut kv, 9, 10).unwrap_err();
    assert!(error.is_devices());
    let said = error.to_string();
    assert!(
        said.contains("the device metal failed: ") && said.contains("it was unplugged"),
        "{said}"
    );
    assert!(!said.contains('\n'), "{said}");
    assert_eq!(kv.len(), 9);
    let mut copy = model.kv();
    copy.copy(&kv, 9);
    let mut second = model.kv();
    second.copy(&copy, 9);
    switch.lose_after(usize::MAX);
    for kv in [&mut copy, &mut second] {
        let error = pass(kv, 9, 10).unwrap_err();
        assert!(error.is_devices(), "the copy was not made: {error}");
    }
    pass(&mut kv, 9, 10).unwrap();
    assert_eq!(work.logits(0).values, whole.unwrap());

    let rescued = model.on_cpu().unwrap();
    assert_eq!(rescued.place(), "cpu");
    let got = logits(&rescued, chunk(0, 12), &mut rescued.kv(), Want::Last);
    assert!(got.iter().all(|logit| logit.is_finite()));
}

#[test]
fn a_model_that_cannot_be_uploaded_is_the_devices_fault() {
    let bytes = fixture::gguf(&members().next().unwrap(), Stored::Q8, 1, None).leak();
    let (device, switch) = fixture::metal(u64::MAX);
    switch.lose_after(5);
    let opened = Model::open(&Source::Static(bytes), Weights::AsStored, &device);
    let Err(error) = opened else {
        panic!("it was loaded");
    };
    assert!(error.is_devices(), "{error}");
}

#[test]
fn a_pass_is_halted_before_a_layer() {
    let config = members().nth(3).unwrap();
    let [_, metal] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
    let (mut kv, mut work) = (metal.kv(), metal.workspace());
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
    let outcome = metal.forward(&mut [part], &mut work, &mut between);
    assert!(matches!(outcome, Err(Error::Halted)));
    assert_eq!((layers, kv.len()), (2, 0));
}

#[test]
fn what_does_not_fit_the_model_is_refused_before_anything_runs() {
    let config = members().next().unwrap();
    let [_, metal] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
    let (mut kv, mut work) = (metal.kv(), metal.workspace());
    let mut far = ROWS[0];
    far[11] = 4000;
    let chunk = Chunk {
        positions: [&far, &ROWS[1]],
        ..chunk(0, 12)
    };
    let part = Part {
        chunk,
        kv: &mut kv,
        want: Want::Last,
    };
    let error = metal
        .forward(&mut [part], &mut work, &mut || false)
        .unwrap_err();
    assert!(error.to_string().contains("position 4000"), "{error}");
    assert_eq!((kv.len(), kv.bytes()), (0, 0));
}

/// Models in files, stored in ways that their makers publish: the one that is built in, and those that stand for others in
/// the tests of parity.
#[test]
fn stored_models_are_as_exact_as_on_our_kernels() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut models = vec![("server/models/infill-v2.gguf", 16)];
    let small = [
        "gguf-chatglm-q4_0/model.gguf",
        "gguf-chatglm-q4k-mixed/model.gguf",
        "gguf-glm4-q5k/model.gguf",
        "gguf-glm4-bf16/model.gguf",
    ];
    models.extend(small.map(|name| (name, 24)));
    for (name, tokens) in models {
        let folder = match name.starts_with("server") {
            true => root.to_owned(),
            false => format!("{root}/tests/data/parity"),
        };
        let source = Source::Path(format!("{folder}/{name}").into());
        let open = |weights, device: &Device| Model::open(&source, weights, device).unwrap();
        let metal = open(Weights::AsStored, &fixture::metal(u64::MAX).0);
        assert_eq!(
            (metal.place().as_str(), metal.refusal()),
            ("metal", None),
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
            all
        };
        let exact = run(&open(Weights::F32, &Device::Cpu));
        let cpu = apart(&run(&open(Weights::AsStored, &Device::Cpu)), &exact);
        let got = apart(&run(&metal), &exact);
        println!("{name}: {got:.1e} from exact, our kernels {cpu:.1e}");
        assert!(
            got <= FARTHER * cpu + NEAR,
            "{name}: {got:e} apart, not {cpu:e}"
        );
    }
}
