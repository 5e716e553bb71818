//! Models on several GPUs, weights that leave them and come back, and passes that stop in their midst.

use super::*;
use crate::{Vram, gpu::faulty::Switch};

/// Tokens that models write one by one.
const TOKENS: usize = 8;

/// A GPU with so much room, and what tells of it.
fn counted(name: &str, room: u64) -> (Gpu, Switch) {
    let faulty = Faulty::new(Emulated::new());
    let switch = faulty.switch();
    (Gpu::of(Arc::new(faulty), name, room), switch)
}

/// Members with enough layers for two GPUs and the processor.
fn deep_members() -> impl Iterator<Item = Config> {
    members().map(|config| Config {
        layers: 4,
        ..config
    })
}

fn source(config: &Config) -> Source {
    Source::Static(fixture::gguf(config, Stored::F32, 1, None).leak())
}

fn open(source: &Source, gpus: Vec<Gpu>) -> Model {
    Model::open(source, Weights::AsStored, &Device::Gpus(gpus)).unwrap()
}

fn needed(source: &Source) -> Vram {
    let info = crate::inspect(source).unwrap();
    info.vram(Weights::AsStored, KvType::F16).unwrap()
}

/// Room for these layers and their caches.
fn room_for(vram: &Vram, layers: std::ops::Range<usize>, tokens: usize) -> u64 {
    let caches = layers.len() as u64 * vram.token * tokens as u64;
    vram.workspace + vram.layers[layers].iter().sum::<u64>() + caches
}

#[test]
fn gpus_take_layers_in_turn_and_give_the_same_tokens() {
    for config in deep_members() {
        let source = source(&config);
        let vram = needed(&source);
        let cpu = Model::open(&source, Weights::AsStored, &Device::Cpu).unwrap();
        let one = open(&source, vec![counted("a", u64::MAX).0]);
        let [of_cpu, of_one] = [&cpu, &one].map(in_pieces);
        let tokens = greedy(&cpu, TOKENS);
        let name = config.architecture.name();
        assert_eq!(greedy(&one, TOKENS), tokens, "{name}");
        let whole = |room| room + vram.head;
        let layers = |range| room_for(&vram, range, config.context);
        for (rooms, place, held) in [
            ([layers(0..3), whole(layers(3..4))], "a, b", [0..3, 3..4]),
            (
                [layers(0..1), layers(1..3)],
                "a, b and cpu: 3 of 4 layers on the GPUs",
                [0..1, 1..3],
            ),
        ] {
            let [(first, at_first), (second, at_second)] =
                [("a", rooms[0]), ("b", rooms[1])].map(|(name, room)| counted(name, room));
            let two = open(&source, vec![first, second]);
            assert_eq!((&*two.place(), two.refusal()), (place, None), "{name}");
            let [first, second] = held.map(|range| vram.layers[range].iter().sum::<u64>());
            let head = if place == "a, b" { vram.head } else { 0 };
            assert_eq!(at_first.held() as u64, first, "{name}");
            // The norm before the head comes with the last layer.
            let second = second + head;
            assert_eq!(at_second.held() as u64, second, "{name}");
            assert_near(&in_pieces(&two), &of_cpu, name);
            assert_near(&in_pieces(&two), &of_one, name);
            assert_eq!(greedy(&two, TOKENS), tokens, "{name}");
            // After the prompt, the second step is recorded on each.
            for switch in [at_first, at_second] {
                assert_eq!(switch.recorded(), [1, TOKENS - 2], "{name}");
                switch.records(false);
            }
            assert_eq!(greedy(&two, TOKENS), tokens, "{name}");
        }
    }
}

#[test]
fn caches_on_several_gpus_are_cut_and_copied() {
    let config = deep_members().nth(3).unwrap();
    let source = source(&config);
    let vram = needed(&source);
    let room = room_for(&vram, 0..2, config.context);
    let gpus = vec![counted("a", room).0, counted("b", room + vram.head).0];
    let model = open(&source, gpus);
    assert_eq!(model.place(), "a, b");
    let whole = logits(&model, chunk(0, 12), &mut model.kv(), Want::All);
    let mut kv = model.kv();
    logits(&model, chunk(0, 10), &mut kv, Want::Last);
    let mut copy = model.kv();
    copy.copy(&kv, 9);
    kv.truncate(8);
    for (kv, first) in [(&mut kv, 8), (&mut copy, 9)] {
        let rest = logits(&model, chunk(first, 12), kv, Want::All);
        assert_near(&rest, &whole[first * 100..], "");
    }
}

#[test]
fn either_of_two_gpus_that_is_lost_is_named() {
    let config = deep_members().nth(3).unwrap();
    let source = source(&config);
    let room = room_for(&needed(&source), 0..2, config.context);
    for lost in 0..2 {
        let gpus = ["cuda:0", "cuda:1"].map(|name| counted(name, room));
        let [(first, at_first), (second, at_second)] = gpus;
        let model = open(&source, vec![first, second]);
        [at_first, at_second][lost].lose_after(3);
        let mut kv = model.kv();
        let part = Part {
            chunk: chunk(0, 9),
            kv: &mut kv,
            want: Want::Last,
        };
        let error = model
            .forward(&mut [part], &mut model.workspace(), &mut || false)
            .unwrap_err();
        assert!(error.is_devices());
        let said = error.to_string();
        assert!(said.contains(&format!("cuda:{lost}")), "{said}");
        assert!(kv.is_empty());
    }
}

#[test]
fn weights_leave_the_gpus_and_come_back_the_same() {
    for stored in [Stored::F32, Stored::Q8] {
        let config = deep_members().nth(3).unwrap();
        let source = Source::Static(fixture::gguf(&config, stored, 1, None).leak());
        let vram = needed(&source);
        // On two GPUs and the processor.
        let [first, second] = ["a", "b"].map(|name| {
            let layers = if name == "a" { 0..2 } else { 2..3 };
            counted(name, room_for(&vram, layers, config.context))
        });
        let mut model = open(&source, vec![first.0, second.0]);
        let held = || [first.1.held(), second.1.held()];
        let weights = held();
        assert!(weights.iter().all(|&bytes| bytes > 0));
        assert!(model.can_suspend());
        let before = in_pieces(&model);
        assert_eq!(
            held(),
            weights,
            "caches and workspaces went with their owners"
        );

        model.suspend().unwrap();
        assert_eq!(held(), [0, 0]);
        assert!(!model.can_suspend());
        let place = model.place();
        assert!(place.starts_with("a, b, idle"), "{place}");
        let mut kv = model.kv();
        let part = Part {
            chunk: chunk(0, 9),
            kv: &mut kv,
            want: Want::Last,
        };
        let early = model.forward(&mut [part], &mut model.workspace(), &mut || false);
        assert!(matches!(early, Err(Error::Input(_))), "{early:?}");
        // Twice is as good as once.
        model.suspend().unwrap();

        model.resume().unwrap();
        assert_eq!(held(), weights);
        assert!(model.can_suspend());
        assert!(in_pieces(&model) == before, "to the bit");
    }
}

#[test]
fn a_gpu_that_is_full_or_lost_when_weights_move_is_an_error() {
    let config = deep_members().nth(3).unwrap();
    let source = source(&config);
    let (gpu, switch) = counted("cuda:0", u64::MAX);
    let mut model = open(&source, vec![gpu]);
    let before = in_pieces(&model);
    model.suspend().unwrap();
    switch.fill(true);
    let error = model.resume().unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    // Once there is room again, nothing is missing.
    switch.fill(false);
    model.resume().unwrap();
    assert!(in_pieces(&model) == before);

    switch.lose_after(0);
    let error = model.suspend().unwrap_err();
    assert!(error.is_devices(), "{error}");
    let rescued = model.on_cpu().unwrap();
    assert_eq!(rescued.place(), "cpu");
}

#[test]
fn long_passes_stop_within_a_layer() {
    let tokens = crate::vram::CHUNK / 2;
    let config = Config {
        context: 2 * tokens,
        ..deep_members().nth(3).unwrap()
    };
    let ids: Vec<u32> = (0..tokens as u32).map(|i| i * 7 % 100).collect();
    let places: Vec<u32> = (0..tokens as u32).collect();
    let none = vec![0; tokens];
    let (gpu, switch) = counted("cuda:0", u64::MAX);
    let model = open(&source(&config), vec![gpu]);
    let mut kv = model.kv();
    let mut work = model.workspace();
    let mut pass = |kv: &mut KvCache, count: usize, between: &mut dyn FnMut() -> bool| {
        let chunk = Chunk {
            ids: &ids[..count],
            positions: [&places[..count], &none[..count]],
            prefix: Prefix::default(),
        };
        let part = Part {
            chunk,
            kv,
            want: Want::None,
        };
        let before = switch.launched();
        let outcome = model.forward(&mut [part], &mut work, between);
        (outcome, switch.launched() - before)
    };
    let mut asked = 0;
    let (halted, of_a_layer) = pass(&mut kv, tokens, &mut || {
        asked += 1;
        asked == 2
    });
    assert!(matches!(halted, Err(Error::Halted)));
    // Only a layer is ever in the queue, though the pass has four.
    let (whole, of_all) = pass(&mut model.kv(), tokens, &mut || false);
    whole.unwrap();
    assert!(of_all > 3 * of_a_layer, "{of_all} launches");
    assert_eq!(switch.deepest(), of_a_layer);
    // What is no longer wanted since the first launch has no second layer.
    let wanted = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_over = wanted.clone();
    switch.after(1, move || {
        is_over.store(false, std::sync::atomic::Ordering::Relaxed)
    });
    let mut between = || !wanted.load(std::sync::atomic::Ordering::Relaxed);
    let (halted, launched) = pass(&mut kv, tokens, &mut between);
    assert!(matches!(halted, Err(Error::Halted)));
    assert_eq!((launched, kv.len()), (of_a_layer, 0));
    // Short ones do not wait.
    let (short, launched) = pass(&mut model.kv(), 4, &mut || false);
    short.unwrap();
    assert_eq!(switch.deepest(), launched);
}
