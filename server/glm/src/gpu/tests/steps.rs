//! Steps that are whole on the device: tokens looked up and chosen there, and launches recorded.

use super::*;
use crate::{Choice, Draw, Workspace, choose, gpu::faulty::Switch};

/// How far logarithms of probabilities may be from those of the same logits on the processor.
const LOGPROB: f32 = 1e-4;

/// A random model on an emulated GPU, and what makes that fail and counts.
fn counted(config: &Config, seed: u64) -> (Model, Switch) {
    let bytes = fixture::gguf(config, Stored::F32, seed, None).leak();
    let (device, switch) = fixture::gpu(u64::MAX);
    let model = Model::open(&Source::Static(bytes), Weights::AsStored, &device).unwrap();
    (model, switch)
}

/// A sequence that goes on with the tokens that it is given.
struct Sequence {
    kv: KvCache,
    ids: Vec<u32>,
    places: [Vec<u32>; 2],
}

impl Sequence {
    /// One of the first `length` tokens, from the `first`th on.
    fn new(model: &Model, first: usize, length: usize) -> Sequence {
        let ids = IDS.iter().cycle().skip(first).take(length).copied();
        Sequence {
            kv: model.kv(),
            ids: ids.collect(),
            places: [(0..length as u32).collect(), vec![0; length]],
        }
    }

    /// What was not run yet.
    fn part<'a>(&'a mut self, want: Want<'a>) -> Part<'a> {
        let run = self.kv.len();
        Part {
            chunk: Chunk {
                ids: &self.ids[run..],
                positions: self.places.each_ref().map(|row| &row[run..]),
                prefix: Prefix::default(),
            },
            kv: &mut self.kv,
            want,
        }
    }

    fn push(&mut self, id: u32) {
        self.places[0].push(self.ids.len() as u32);
        self.places[1].push(0);
        self.ids.push(id);
    }
}

/// One token for each of the sequences, chosen by the draw.
fn step(
    model: &Model,
    work: &mut Workspace,
    sequences: &mut [&mut Sequence],
    draw: Draw,
) -> Result<Vec<Choice>, Error> {
    let draws = [draw];
    let parts = sequences.iter_mut();
    let mut parts: Vec<_> = parts.map(|it| it.part(Want::Choices(&draws))).collect();
    model.forward(&mut parts, work, &mut || false)?;
    drop(parts);
    let parts = 0..sequences.len();
    let choices: Vec<Choice> = parts.map(|part| work.choice(part, 0).unwrap()).collect();
    for (sequence, choice) in sequences.iter_mut().zip(&choices) {
        sequence.push(choice.id);
    }
    Ok(choices)
}

#[track_caller]
fn assert_same(got: Choice, want: Choice, what: &str) {
    assert_eq!(got.id, want.id, "{what}");
    let apart = (got.logprob - want.logprob).abs();
    let others = (got.runner_up - want.runner_up).abs();
    assert!(
        apart <= LOGPROB && others <= LOGPROB,
        "{what}: {got:?}, {want:?}"
    );
}

/// Tokens are what the logits say, on both devices and with all layers there or not; beside parts that want logits.
#[test]
fn tokens_are_chosen_as_from_the_logits() {
    let hot = Draw {
        temperature: 0.8,
        top_p: 0.9,
        number: 0.6,
    };
    for config in members() {
        let name = config.architecture.name();
        let bytes = fixture::gguf(&config, Stored::F32, 1, None).leak();
        let vram = crate::inspect(&Source::Static(bytes)).unwrap();
        let vram = vram.vram(Weights::AsStored, KvType::F16).unwrap();
        let split = vram.total(config.context) - 1;
        let [cpu, whole] = both(&config, Stored::F32, Weights::AsStored, u64::MAX);
        let [_, split] = both(&config, Stored::F32, Weights::AsStored, split);
        for model in [cpu, whole, split] {
            let all = logits(&model, chunk(0, 12), &mut model.kv(), Want::All);
            let eighth = logits(&model, chunk(0, 8), &mut model.kv(), Want::Last);
            let draws = [Draw::GREEDY, hot, Draw::GREEDY];
            let mut caches = [model.kv(), model.kv(), model.kv()];
            // So few rows that tensor cores, which round otherwise, have no part in it.
            let wants = [
                (8, Want::Last),
                (12, Want::Choices(&draws)),
                (8, Want::Choices(&draws[1..2])),
            ];
            let parts = caches.iter_mut().zip(wants);
            let mut parts: Vec<_> = parts
                .map(|(kv, (end, want))| Part {
                    chunk: chunk(0, end),
                    kv,
                    want,
                })
                .collect();
            let mut work = model.workspace();
            model.forward(&mut parts, &mut work, &mut || false).unwrap();
            assert_near(work.logits(0).values, &eighth, name);
            let rows = [0, 1, 2].map(|part| work.logits(part).rows);
            assert_eq!(rows, [1, 0, 0], "{name}");
            for (row, draw) in draws.into_iter().enumerate() {
                let logits = &all[(9 + row) * 100..][..100];
                let want = choose(logits, None, draw).unwrap();
                assert_same(work.choice(1, row).unwrap(), want, name);
            }
            let want = choose(&eighth, None, hot).unwrap();
            assert_same(work.choice(2, 0).unwrap(), want, name);
        }
    }
}

#[test]
fn a_chunk_has_rows_for_all_its_tokens() {
    let config = members().nth(3).unwrap();
    let model = fixture::model(&config, Stored::F32, 1);
    let (mut kv, mut work) = (model.kv(), model.workspace());
    let part = Part {
        chunk: chunk(0, 2),
        kv: &mut kv,
        want: Want::Choices(&[Draw::GREEDY; 3]),
    };
    let error = model.forward(&mut [part], &mut work, &mut || false);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("3 tokens were to be chosen from 2"),
        "{error}"
    );
}

#[test]
fn a_position_past_the_last_is_told_where_tables_are_on_the_gpu() {
    let config = members().next().unwrap();
    for model in both(&config, Stored::F32, Weights::AsStored, u64::MAX) {
        let (mut kv, mut work) = (model.kv(), model.workspace());
        let part = Part {
            chunk: Chunk {
                ids: &[1],
                positions: [&[0], &[config.places() as u32]],
                prefix: Prefix::default(),
            },
            kv: &mut kv,
            want: Want::Last,
        };
        let error = model.forward(&mut [part], &mut work, &mut || false);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("is past the model's last"), "{error}");
    }
}

/// One copy there, and a token with its probabilities back. Where the processor looks tokens up, their rows are another
/// copy.
#[test]
fn little_moves_for_a_step() {
    for config in members() {
        let (model, switch) = counted(&config, 1);
        let mut work = model.workspace();
        let mut sequence = Sequence::new(&model, 0, 9);
        for _ in 0..4 {
            let before = switch.moved();
            step(&model, &mut work, &mut [&mut sequence], Draw::GREEDY).unwrap();
            let [uploads, downloaded] = switch.moved();
            let copies = if config.tied { 1 } else { 2 };
            let name = config.architecture.name();
            assert_eq!(
                [uploads - before[0], downloaded - before[1]],
                [copies, 16],
                "{name}"
            );
        }
    }
}

/// Steps of changing sequences, in ones and twos, and of drafts, from both sides of where a cache grows and of where keys
/// are shared out over more blocks.
pub(super) fn varied(model: &Model) -> Vec<Choice> {
    let mut work = model.workspace();
    let mut all = Vec::new();
    let lengths = [(0, 3), (5, 60), (7, 20)];
    let sequences = lengths.map(|(first, length)| Sequence::new(model, first, length));
    let [mut a, mut b, mut c] = sequences;
    let hot = Draw {
        temperature: 1.5,
        top_p: 0.95,
        number: 0.7,
    };
    let work = &mut work;
    for turn in 0..3 {
        all.extend(step(model, work, &mut [&mut a], Draw::GREEDY).unwrap());
        all.extend(step(model, work, &mut [&mut b], hot).unwrap());
        all.extend(step(model, work, &mut [&mut c, &mut a], Draw::GREEDY).unwrap());
        all.extend(step(model, work, &mut [&mut b, &mut c], hot).unwrap());
        // Two tokens at once, of which the second is forgotten.
        a.push(turn);
        let draws = [Draw::GREEDY; 2];
        let mut parts = [
            a.part(Want::Choices(&draws)),
            b.part(Want::Choices(&draws[..1])),
        ];
        model.forward(&mut parts, work, &mut || false).unwrap();
        let chosen = [(0, 0), (0, 1), (1, 0)].map(|(part, row)| work.choice(part, row).unwrap());
        all.extend(chosen);
        a.kv.truncate(a.kv.len() - 1);
        b.push(chosen[2].id);
    }
    all
}

#[test]
fn recorded_steps_are_those_that_were_not() {
    for config in members() {
        let name = config.architecture.name();
        let (model, switch) = counted(&config, 1);
        let recorded = varied(&model);
        let [recordings, replays] = switch.recorded();
        assert!(
            recordings <= 10 && replays >= 5,
            "{name}: {recordings}, {replays}"
        );
        let (model, switch) = counted(&config, 1);
        switch.records(false);
        assert_eq!(recorded, varied(&model), "{name}");
        assert_eq!(switch.recorded(), [0, 0]);
    }
}

#[test]
fn sixty_four_greedy_tokens_are_the_same_from_recordings() {
    for config in members() {
        let name = config.architecture.name();
        let (model, switch) = counted(&config, 1);
        let recorded = greedy(&model, 64);
        // One until keys are shared out over two blocks, one from then on.
        let [recordings, replays] = switch.recorded();
        assert_eq!((recordings, replays), (2, 61), "{name}");
        let (model, switch) = counted(&config, 1);
        switch.records(false);
        assert_eq!(recorded, greedy(&model, 64), "{name}");
    }
}

#[test]
fn models_in_one_workspace_do_not_share_recordings() {
    let config = members().nth(4).unwrap();
    let models = [counted(&config, 1).0, counted(&config, 2).0];
    let sequences = || models.each_ref().map(|model| Sequence::new(model, 0, 3));
    let alone: Vec<Vec<Choice>> = models
        .iter()
        .zip(sequences())
        .map(|(model, mut sequence)| {
            let mut work = model.workspace();
            let mut next = || step(model, &mut work, &mut [&mut sequence], Draw::GREEDY).unwrap();
            (0..5).flat_map(|_| next()).collect()
        })
        .collect();
    let (mut work, mut sequences) = (models[0].workspace(), sequences());
    let mut together = vec![Vec::new(); 2];
    for count in [3, 2] {
        for (which, model) in models.iter().enumerate() {
            for _ in 0..count {
                let sequence = &mut sequences[which];
                let choices = step(model, &mut work, &mut [sequence], Draw::GREEDY).unwrap();
                together[which].extend(choices);
            }
        }
    }
    assert_eq!(together, alone);
}

/// Rooms and caches stay while the weights are away, which come back to other addresses.
#[test]
fn steps_are_recorded_anew_for_weights_that_came_back() {
    for config in members() {
        let name = config.architecture.name();
        let run = |leave: bool| {
            let (mut model, switch) = counted(&config, 1);
            let weights = switch.held();
            let mut work = model.workspace();
            let mut sequence = Sequence::new(&model, 0, 9);
            let mut all = Vec::new();
            for turn in 0..8 {
                if leave && turn == 4 {
                    let held = switch.held();
                    model.suspend().unwrap();
                    assert_eq!(switch.held(), held - weights, "{name}: all weights left");
                    model.resume().unwrap();
                    assert_eq!(switch.held(), held, "{name}");
                }
                let next = step(&model, &mut work, &mut [&mut sequence], Draw::GREEDY);
                all.extend(next.unwrap());
            }
            (all, switch.recorded())
        };
        let (stayed, recorded) = run(false);
        // The prompt has too many rows, and the first step is only seen.
        assert_eq!(recorded, [1, 6], "{name}");
        let (came_back, recorded) = run(true);
        assert_eq!(recorded, [2, 5], "{name}");
        assert_eq!(came_back, stayed, "{name}");
    }
}

#[test]
fn a_fault_in_a_replay_is_told_and_the_caches_are_as_before() {
    let config = members().nth(3).unwrap();
    let (model, switch) = counted(&config, 1);
    let mut work = model.workspace();
    let mut sequence = Sequence::new(&model, 0, 9);
    for _ in 0..4 {
        step(&model, &mut work, &mut [&mut sequence], Draw::GREEDY).unwrap();
    }
    let (before, length) = (switch.recorded(), sequence.kv.len());
    switch.lose_after(1);
    let error = step(&model, &mut work, &mut [&mut sequence], Draw::GREEDY).unwrap_err();
    assert!(
        error.is_devices() && error.to_string().contains("it was unplugged"),
        "{error}"
    );
    assert_eq!(switch.recorded(), [before[0], before[1] + 1]);
    assert_eq!(sequence.kv.len(), length);
}
