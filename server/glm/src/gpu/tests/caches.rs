//! Caches of 8-bit integers, held against those of f16 and against the processor, whose are f32.

use super::{steps::varied, *};
use crate::{Attention, Grouped, Vram, gpu::faulty::Switch};

/// How far logits may be from the processor's with q8 caches: each number of a key or value is off by up to 1/254 of the
/// largest of its block, about a hundredth of a typical one, and what is off in one layer goes through the next. Measured are
/// 0.0012 to 0.0104.
const NEAR_Q8: f64 = 1.5e-2;

/// The members, with heads that are whole blocks.
fn blocked_members() -> impl Iterator<Item = Config> {
    members().map(|config| match config.attention {
        Attention::Grouped(sizes) => Config {
            attention: Attention::Grouped(Grouped {
                head_size: 32,
                ..sizes
            }),
            ..config
        },
        Attention::Latent(_) => config,
    })
}

fn source(config: &Config, stored: Stored) -> Source {
    Source::Static(fixture::gguf(config, stored, 1, None).leak())
}

/// The model on the processor, and on an emulated GPU with either cache.
fn all_three(source: &Source) -> [Model; 3] {
    let devices = [
        Device::Cpu,
        emulated(u64::MAX),
        emulated(u64::MAX).with_kv(KvType::Q8),
    ];
    devices.map(|device| Model::open(source, Weights::AsStored, &device).unwrap())
}

fn needed(source: &Source, kv: KvType) -> Vram {
    let info = crate::inspect(source).unwrap();
    info.vram(Weights::AsStored, kv).unwrap()
}

#[track_caller]
fn assert_near_q8(got: &[f32], want: &[f32], what: &str) -> f64 {
    let apart = apart(got, want);
    assert!(apart <= NEAR_Q8, "{what}: {apart:e} apart");
    apart
}

/// Pieces of a prompt whose prefix sees itself both ways; the first are enough rows for tensor cores. All logits.
fn in_long_pieces(model: &Model) -> Vec<f32> {
    let ids: Vec<u32> = (0..70).map(|i| i * 7 % 100).collect();
    let places: Vec<u32> = (0..70).collect();
    let mut kv = model.kv();
    let run = |range: std::ops::Range<usize>| {
        let chunk = Chunk {
            ids: &ids[range.clone()],
            positions: [&places[range.clone()], &places[range]],
            prefix: 30.into(),
        };
        logits(model, chunk, &mut kv, Want::All)
    };
    [0..40, 40..69, 69..70].into_iter().flat_map(run).collect()
}

#[test]
fn every_member_is_near_the_processor() {
    for config in blocked_members() {
        let [cpu, f16, q8] = all_three(&source(&config, Stored::F32));
        let name = config.architecture.name();
        assert_eq!(q8.place(), "emulated, with q8 caches", "{name}");
        assert_eq!((q8.refusal(), q8.kv_refusal()), (None, None), "{name}");
        for run in [in_pieces, in_long_pieces] {
            let want = run(&cpu);
            let got = assert_near_q8(&run(&q8), &want, name);
            let of_f16 = apart(&run(&f16), &want);
            println!("{name}: {got:.1e} apart, with f16 caches {of_f16:.1e}");
            assert!(got > of_f16, "{name}: its caches are others");
        }
    }
}

/// Weights that were trained, and are rounded more than caches.
#[test]
fn the_model_that_is_built_in_is_as_exact_as_its_weights() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let source = Source::Path(format!("{root}/server/models/infill-v2.gguf").into());
    let exact = Model::open(&source, Weights::F32, &Device::Cpu).unwrap();
    for run in [in_pieces, in_long_pieces] {
        let exact = run(&exact);
        let [cpu, f16, q8] = all_three(&source).map(|model| apart(&run(&model), &exact));
        println!("{q8:.1e} from exact, with f16 caches {f16:.1e}, the processor {cpu:.1e}");
        assert!(q8 <= FARTHER * cpu, "{q8:e} apart, not {cpu:e}");
    }
}

#[test]
fn parts_of_one_pass_do_not_see_one_another() {
    for config in blocked_members() {
        let [.., gpu] = all_three(&source(&config, Stored::F32));
        let whole = logits(&gpu, chunk(0, 12), &mut gpu.kv(), Want::All);
        let eighth = logits(&gpu, chunk(0, 8), &mut gpu.kv(), Want::Last);
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
        let mut work = gpu.workspace();
        gpu.forward(&mut parts, &mut work, &mut || false).unwrap();
        assert_near(work.logits(1).values, &whole, "");
        assert_near(work.logits(2).values, &eighth, "");
        // What nobody wanted the logits of is in its cache.
        let [kv, ..] = &mut caches;
        let rest = logits(&gpu, chunk(8, 12), kv, Want::All);
        assert_near(&rest, &whole[8 * 100..], "");
    }
}

/// To the bit, since so few rows round alike in every company, and integers and scales are copied as they are.
#[test]
fn caches_are_cut_copied_and_grown() {
    let config = blocked_members().nth(3).unwrap();
    let [.., gpu] = all_three(&source(&config, Stored::F32));
    let whole = logits(&gpu, chunk(0, 12), &mut gpu.kv(), Want::All);
    let mut kv = gpu.kv();
    logits(&gpu, chunk(0, 10), &mut kv, Want::Last);
    let mut copy = gpu.kv();
    copy.copy(&kv, 9);
    kv.truncate(8);
    for (kv, first) in [(&mut kv, 8), (&mut copy, 9)] {
        assert_eq!(kv.len(), first);
        let rest = logits(&gpu, chunk(first, 12), kv, Want::All);
        assert!(rest == whole[first * 100..], "from {first} on");
    }

    let ids: Vec<u32> = (0..120).map(|i| i * 7 % 100).collect();
    let places: Vec<u32> = (0..120).collect();
    let run = |kv: &mut KvCache, range: std::ops::Range<usize>| {
        let chunk = Chunk {
            ids: &ids[range.clone()],
            positions: [&places[range.clone()], &places[range]],
            prefix: Prefix::default(),
        };
        logits(&gpu, chunk, kv, Want::Last)
    };
    // One that grows in the midst, one into which a smaller is copied, and one that had the room from the first.
    let (mut grown, mut roomy) = (gpu.kv(), gpu.kv());
    run(&mut roomy, 0..120);
    roomy.truncate(0);
    let bytes = [0..60, 60..120].map(|range| {
        run(&mut roomy, range.clone());
        run(&mut grown, range);
        grown.bytes()
    });
    assert!(bytes[0] < bytes[1] && bytes[1] == roomy.bytes());
    roomy.truncate(50);
    grown.truncate(50);
    let mut small = gpu.kv();
    run(&mut small, 0..60);
    let mut copy = gpu.kv();
    run(&mut copy, 0..120);
    copy.copy(&small, 50);
    let want = run(&mut roomy, 50..70);
    assert!(run(&mut grown, 50..70) == want);
    assert!(run(&mut copy, 50..70) == want);
}

#[test]
fn recorded_steps_are_those_that_were_not() {
    for config in blocked_members() {
        let name = config.architecture.name();
        let counted = || -> (Model, Switch) {
            let (device, switch) = fixture::gpu(u64::MAX);
            let device = device.with_kv(KvType::Q8);
            let source = source(&config, Stored::F32);
            let model = Model::open(&source, Weights::AsStored, &device).unwrap();
            (model, switch)
        };
        let (model, switch) = counted();
        let recorded = varied(&model);
        let [recordings, replays] = switch.recorded();
        assert!(recordings > 0 && replays >= 5, "{name}: {replays}");
        let (model, switch) = counted();
        switch.records(false);
        assert_eq!(recorded, varied(&model), "{name}");
    }
}

#[test]
fn heads_that_are_no_whole_blocks_keep_f16_and_say_so() {
    for config in members() {
        let [_, f16, q8] = all_three(&source(&config, Stored::F32));
        let name = config.architecture.name();
        assert_eq!(q8.place(), "emulated", "{name}");
        assert_eq!(f16.kv_refusal(), None, "{name}");
        assert_eq!(
            q8.kv_refusal().unwrap(),
            format!(
                "{name} has heads of 16 numbers, and q8 caches have whole blocks of 32; its caches are f16"
            )
        );
        assert!(in_pieces(&q8) == in_pieces(&f16), "{name}");
    }
}

/// 8.5 bits a number, where f16 has 16.
#[test]
fn caches_take_what_was_foretold_and_more_fits() {
    for config in blocked_members() {
        let name = config.architecture.name();
        let source = source(&config, Stored::F32);
        let [f16, q8] = [KvType::F16, KvType::Q8].map(|kv| needed(&source, kv));
        assert_eq!(32 * q8.token, 17 * f16.token, "{name}");
        assert_eq!((&q8.layers, q8.workspace), (&f16.layers, f16.workspace));
        let open = |room, kv| {
            let device = emulated(room).with_kv(kv);
            Model::open(&source, Weights::AsStored, &device).unwrap()
        };
        let room = q8.total(config.context);
        let whole = open(room, KvType::Q8);
        assert_eq!(whole.place(), "emulated, with q8 caches", "{name}");
        let mut kv = whole.kv();
        logits(&whole, chunk(0, 12), &mut kv, Want::None);
        let tokens = super::super::cache::room(12);
        assert_eq!(kv.bytes() as u64, q8.caches(tokens), "{name}");
        let split = open(room, KvType::F16).place();
        assert!(split.contains(" and cpu: "), "{name}: {split}");
    }
}

/// Layers on two GPUs with such caches, and on the processor, whose caches are f32.
#[test]
fn layers_in_several_places_have_caches_of_their_own() {
    let config = Config {
        layers: 4,
        ..blocked_members().nth(3).unwrap()
    };
    let source = source(&config, Stored::F32);
    let vram = needed(&source, KvType::Q8);
    let room = vram.workspace + vram.layers[0] + vram.token * config.context as u64;
    let gpus = ["a", "b"].map(|name| Gpu::of(Arc::new(Emulated::new()), name, room));
    let device = Device::Gpus(gpus.into()).with_kv(KvType::Q8);
    let split = Model::open(&source, Weights::AsStored, &device).unwrap();
    let place = "a, b and cpu: 2 of 4 layers on the GPUs, with q8 caches";
    assert_eq!(split.place(), place);
    let [cpu, ..] = all_three(&source);
    assert_near_q8(&in_pieces(&split), &in_pieces(&cpu), place);
    let whole = logits(&split, chunk(0, 12), &mut split.kv(), Want::All);
    let mut kv = split.kv();
    logits(&split, chunk(0, 10), &mut kv, Want::Last);
    let mut copy = split.kv();
    copy.copy(&kv, 9);
    let rest = logits(&split, chunk(9, 12), &mut copy, Want::All);
    assert_near(&rest, &whole[9 * 100..], "");
}
