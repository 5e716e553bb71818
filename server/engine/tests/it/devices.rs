//! A device that is lost or full under a model: the processor takes over, and no job notices but by the time it takes.

use crate::harness::*;
use engine::{Answer, Care, Class, Ended, Engine, Flow, Sampling};
use glm::{
    Config, Device, Model, Source, Weights,
    fixture::{self, Switch},
};

/// A model of a later generation that is in a file, on an emulated GPU.
struct Placed {
    config: Config,
    path: std::path::PathBuf,
    engine: Engine,
    switch: Switch,
}

impl Placed {
    fn new(name: &str) -> Placed {
        let config = Config {
            context: 96,
            ..fixture::members()[3]
        };
        Placed::with(name, config, Care::default())
    }

    fn with(name: &str, config: Config, care: Care) -> Placed {
        let (device, switch) = fixture::gpu(64 << 20);
        let placed = Placed::on(name, config, care, &device, switch);
        assert_eq!(placed.engine.place(), "cuda:0 (emulated)");
        placed
    }

    /// On another device, one GPU of which has this switch.
    fn on(name: &str, config: Config, care: Care, device: &Device, switch: Switch) -> Placed {
        let bytes = fixture::gguf(&config, fixture::Weights::F32, 1, None);
        let name = format!("infill-devices-{name}-{}.gguf", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).expect("the temporary folder takes files");
        Placed {
            config,
            engine: Engine::start_with(open(&path, device), PLENTY, care),
            path,
            switch,
        }
    }

    /// What the processor answers.
    fn plain(&self, job: &engine::Job) -> Plain {
        plain(&open(&self.path, &Device::Cpu), job, Each(|_| Flow::More))
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn open(path: &std::path::Path, device: &Device) -> Model {
    let source = Source::Path(path.to_owned());
    Model::open(&source, Weights::AsStored, device).expect("the fixture writes what is read")
}

/// Tokens that the device chooses and those that the engine chooses from its logits, with probabilities.
#[test]
fn answers_are_the_processors() {
    let placed = Placed::new("same");
    let cpu = Engine::start(open(&placed.path, &Device::Cpu), PLENTY);
    let text: Vec<u32> = (0..12).map(|i| i * 7 % 50).collect();
    let text = [&text[..], &text[..8]].concat();
    let plain = job(&placed.config, Class::Invoked, 1, &text, &[]);
    let mut drawn = plain.clone();
    drawn.sampling = Sampling {
        temperature: 0.8,
        top_p: 0.9,
        seed: 3,
    };
    for (job, left, what) in [
        (&plain, &b""[..], "any token"),
        (&plain, b"12", "a beginning"),
        (&drawn, b"", "drawn"),
    ] {
        let watch = || Box::new(Spelled::new(placed.config.vocabulary, left, usize::MAX));
        let [got, want] = [&placed.engine, &cpu].map(|it| watched(it, job.clone(), watch()));
        assert_eq!((&got.ids, &got.ended), (&want.ids, &want.ended), "{what}");
        let numbers = |answer: &Answer| [&answer.logprobs[..], &answer.runners_up].concat();
        let (got, want) = (numbers(&got), numbers(&want));
        assert_eq!(got.len(), want.len());
        let near = |(got, want): (&f32, &f32)| got == want || (got - want).abs() < 1e-2;
        assert!(got.iter().zip(&want).all(near), "{what}: {got:?} {want:?}");
    }
    let [_, replays] = placed.switch.recorded();
    assert!(replays > 0);
}

#[test]
fn jobs_go_on_where_a_lost_device_left_them() {
    let placed = Placed::new("lost");
    let engine = &placed.engine;
    let job = |class, document, ids: &[u32]| job(&placed.config, class, document, ids, &[]);
    let before = job(Class::Invoked, 1, &[1, 2, 3, 4, 5, 6]);
    assert_eq!(
        answer(engine, before.clone()).ids,
        placed.plain(&before).ids
    );
    assert_eq!(engine.trouble(), None);

    // One is in the middle of its answer, one has not begun.
    let (watch, held, go) = holding();
    let first = job(Class::Batch, 2, &[9, 8, 7, 6, 5]);
    let second = job(Class::Batch, 3, &[20, 21, 22]);
    let (_first, answers) = submit(engine, first.clone(), watch);
    held.recv_timeout(PATIENCE).unwrap();
    placed.switch.lose_after(3);
    let (_second, more_answers) = submit(engine, second.clone(), more());
    go.send(()).unwrap();
    for (answers, job) in [(answers, first), (more_answers, second)] {
        let answer = answers.recv_timeout(PATIENCE).unwrap();
        let plain = placed.plain(&job);
        assert_eq!((answer.ids, answer.ended), (plain.ids, plain.ended));
    }
    assert_eq!(engine.place(), "cpu");
    let trouble = engine.trouble().unwrap();
    assert!(
        trouble.contains("cuda:0") && trouble.contains("it was unplugged"),
        "{trouble}"
    );
    assert!(
        trouble.ends_with("the processor runs the model now"),
        "{trouble}"
    );
    check(
        &answer(engine, before.clone()),
        &placed.plain(&before),
        "afterwards",
    );
}

/// Either of two that share every layer, which also leave their memory when nothing is asked for.
#[test]
fn jobs_go_on_where_one_of_two_gpus_is_lost() {
    for lost in 0..2 {
        let (device, switches) = fixture::together(&[64 << 20; 2]);
        let config = Config {
            context: 96,
            ..fixture::members()[3]
        };
        let care = Care {
            idle: Some(std::time::Duration::ZERO),
            ..Care::default()
        };
        let name = format!("together-{lost}");
        let placed = Placed::on(&name, config, care, &device, switches[lost].clone());
        let engine = &placed.engine;
        let job = |document, ids: &[u32]| job(&placed.config, Class::Invoked, document, ids, &[]);
        for (document, ids) in [(1, &[1, 2, 3, 4][..]), (2, &[5, 6, 7])] {
            let job = job(document, ids);
            assert_eq!(answer(engine, job.clone()).ids, placed.plain(&job).ids);
            let began = std::time::Instant::now();
            while switches.iter().any(|switch| switch.held() > 0) {
                assert!(began.elapsed() < PATIENCE, "they keep their memory");
                std::thread::yield_now();
            }
        }
        assert_eq!(engine.trouble(), None);
        placed.switch.lose_after(20);
        let last = job(3, &[8, 9, 10, 11]);
        assert_eq!(answer(engine, last.clone()).ids, placed.plain(&last).ids);
        assert_eq!(engine.place(), "cpu");
        let trouble = engine.trouble().unwrap();
        assert!(trouble.contains(&format!("cuda:{lost}")), "{trouble}");
    }
}

#[test]
fn an_urgent_job_within_a_pass_finds_the_device_lost() {
    let placed = Placed::new("within");
    let engine = &placed.engine;
    let ids: Vec<u32> = (0..60).collect();
    let long = job(&placed.config, Class::Batch, 1, &ids, &[]);
    let urgent = job(&placed.config, Class::Invoked, 2, &[40, 41], &[]);
    placed.switch.lose_after(30);
    let (_long, long_answers) = submit(engine, long.clone(), more());
    let (_urgent, urgent_answers) = submit(engine, urgent.clone(), more());
    for (answers, job) in [(long_answers, long), (urgent_answers, urgent)] {
        let answer = answers.recv_timeout(PATIENCE).unwrap();
        assert_eq!(answer.ids, placed.plain(&job).ids);
    }
    assert_eq!(engine.place(), "cpu");
}

/// Apple's GPU, for which candle's processor device stands.
#[test]
fn jobs_go_on_where_a_lost_gpu_of_apples_left_them() {
    let config = Config {
        context: 96,
        ..fixture::members()[3]
    };
    let (device, switch) = fixture::metal(1 << 30);
    let placed = Placed::on("metal", config, Care::default(), &device, switch);
    let engine = &placed.engine;
    assert_eq!(engine.place(), "metal");
    let job = |document, ids: &[u32]| job(&placed.config, Class::Batch, document, ids, &[]);
    let before = job(1, &[1, 2, 3, 4, 5, 6]);
    check(
        &answer(engine, before.clone()),
        &placed.plain(&before),
        "on the GPU",
    );
    let (watch, held, go) = holding();
    let first = job(2, &[9, 8, 7, 6, 5]);
    let (_first, answers) = submit(engine, first.clone(), watch);
    held.recv_timeout(PATIENCE).unwrap();
    placed.switch.lose_after(3);
    go.send(()).unwrap();
    let answer = answers.recv_timeout(PATIENCE).unwrap();
    let plain = placed.plain(&first);
    assert_eq!((answer.ids, answer.ended), (plain.ids, plain.ended));
    assert_eq!(engine.place(), "cpu");
    let trouble = engine.trouble().unwrap();
    assert!(
        trouble.contains("the device metal failed")
            && trouble.ends_with("the processor runs the model now"),
        "{trouble}"
    );
}

/// Its memory is the processor's, too, so nothing is gained by moving weights.
#[test]
fn weights_stay_on_an_idle_gpu_of_apples() {
    let config = Config {
        context: 96,
        ..fixture::members()[3]
    };
    let bytes = fixture::gguf(&config, fixture::Weights::F32, 1, None).leak();
    let (device, _) = fixture::metal(1 << 30);
    let mut model = Model::open(&Source::Static(bytes), Weights::AsStored, &device).unwrap();
    assert!(!model.can_suspend());
    model.suspend().unwrap();
    assert!(!model.is_suspended());
    assert_eq!((model.place().as_str(), model.kv_room()), ("metal", None));
}

#[test]
fn a_full_device_is_left_for_the_processor() {
    let placed = Placed::new("full");
    placed.switch.fill(true);
    let job = job(&placed.config, Class::Invoked, 1, &[1, 2, 3], &[]);
    let answer = answer(&placed.engine, job.clone());
    check(&answer, &placed.plain(&job), "on the processor");
    let trouble = placed.engine.trouble().unwrap();
    assert!(trouble.contains("is full"), "{trouble}");
}

#[test]
fn without_device_and_file_jobs_fail_and_the_engine_lives() {
    let placed = Placed::new("gone");
    placed.switch.lose_after(0);
    std::fs::remove_file(&placed.path).unwrap();
    for document in 0..2 {
        let job = job(&placed.config, Class::Invoked, document, &[1, 2, 3], &[]);
        let answer = answer(&placed.engine, job);
        let Ended::Failed(why) = answer.ended else {
            panic!("{:?}", answer.ended);
        };
        assert!(
            why.contains("it was unplugged") && why.contains("cannot be loaded"),
            "{why}"
        );
        assert_eq!(placed.engine.trouble(), Some(why));
    }
    wait_until_idle(&placed.engine);
}

#[test]
fn who_cares_hears_once_that_the_model_is_lost() {
    let (hear, heard) = std::sync::mpsc::channel();
    let care = Care {
        on_lost: Some(Box::new(move |why: &str| {
            hear.send(why.to_owned()).unwrap()
        })),
        ..Care::default()
    };
    let config = Config {
        context: 96,
        ..fixture::members()[3]
    };
    let placed = Placed::with("cares", config, care);
    let job = |document| job(&placed.config, Class::Invoked, document, &[1, 2, 3], &[]);
    assert!(!placed.engine.is_lost());
    placed.switch.lose_after(0);
    std::fs::remove_file(&placed.path).unwrap();
    let first = answer(&placed.engine, job(1));
    // It was told before the answer.
    let why = heard.try_recv().unwrap();
    assert_eq!(first.ended, Ended::Failed(why.clone()));
    assert!(why.contains("it was unplugged") && why.contains("cannot be loaded"));
    assert!(placed.engine.is_lost());
    answer(&placed.engine, job(2));
    assert!(heard.try_recv().is_err(), "it is told once");
}

#[test]
fn weights_leave_an_idle_device_and_come_back_for_the_next_job() {
    let care = Care {
        idle: Some(std::time::Duration::from_millis(20)),
        ..Care::default()
    };
    let config = Config {
        context: 96,
        ..fixture::members()[3]
    };
    let placed = Placed::with("idle", config, care);
    let job = |document| job(&placed.config, Class::Invoked, document, &[1, 2, 3, 4], &[]);
    let plain = placed.plain(&job(0));
    for document in 0..3 {
        assert_eq!(answer(&placed.engine, job(document)).ids, plain.ids);
        let began = std::time::Instant::now();
        while placed.switch.held() > 0 {
            assert!(began.elapsed() < PATIENCE, "{} bytes", placed.switch.held());
            std::thread::yield_now();
        }
        while !placed.engine.place().contains("idle") {
            assert!(began.elapsed() < PATIENCE, "{}", placed.engine.place());
            std::thread::yield_now();
        }
        assert_eq!(placed.engine.counters().kept_bytes, 0);
    }
    assert_eq!(placed.engine.trouble(), None);
    // Who has taken the memory meanwhile may keep it.
    placed.switch.fill(true);
    check(&answer(&placed.engine, job(3)), &plain, "on the processor");
    assert_eq!(placed.engine.place(), "cpu");
    assert!(placed.engine.trouble().unwrap().contains("is full"));
}

#[test]
fn jobs_that_come_as_weights_leave_have_their_answers() {
    let care = Care {
        idle: Some(std::time::Duration::ZERO),
        ..Care::default()
    };
    let config = Config {
        context: 96,
        ..fixture::members()[3]
    };
    let placed = Placed::with("leaving", config, care);
    let job = |document| job(&placed.config, Class::Invoked, document, &[1, 2, 3], &[]);
    let plain = placed.plain(&job(0));
    for document in 0..12 {
        let answer = answer(&placed.engine, job(document));
        assert_eq!(
            (answer.ids, answer.ended),
            (plain.ids.clone(), plain.ended.clone())
        );
        // One that nobody wants any more does not matter.
        let (cancel, answers) = submit(&placed.engine, job(100), more());
        cancel.cancel();
        answers.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(placed.engine.trouble(), None);
}

#[test]
fn a_device_that_is_lost_while_it_is_idle_is_left_for_the_processor() {
    let care = Care {
        idle: Some(std::time::Duration::from_millis(20)),
        ..Care::default()
    };
    let config = Config {
        context: 96,
        ..fixture::members()[3]
    };
    let placed = Placed::with("idle-lost", config, care);
    let began = std::time::Instant::now();
    while !placed.engine.place().contains("idle") {
        assert!(began.elapsed() < PATIENCE, "{}", placed.engine.place());
        std::thread::yield_now();
    }
    placed.switch.lose_after(0);
    let job = job(&placed.config, Class::Invoked, 1, &[1, 2, 3, 4], &[]);
    check(
        &answer(&placed.engine, job.clone()),
        &placed.plain(&job),
        "on the processor",
    );
    assert_eq!(placed.engine.place(), "cpu");
}

#[test]
fn nothing_more_is_launched_for_a_job_that_is_cancelled() {
    let config = Config {
        context: 1400,
        layers: 6,
        ..fixture::members()[3]
    };
    let placed = Placed::with("cancelled", config, Care::default());
    let launched = || placed.switch.launched();
    // A pass of few tokens has as many launches as one of many, about.
    let short = job(&placed.config, Class::Invoked, 1, &[1, 2, 3], &[]);
    let before = launched();
    let one = answer(
        &placed.engine,
        engine::Job {
            max_tokens: 1,
            ..short
        },
    );
    assert_eq!(one.ended, Ended::Length);
    let of_a_pass = launched() - before;

    // Of three chunks.
    let ids: Vec<u32> = (0..1300).map(|i| i * 7 % 100).collect();
    let long = job(&placed.config, Class::Batch, 2, &ids, &[]);
    let (send, cancel) = std::sync::mpsc::channel::<engine::Cancel>();
    placed
        .switch
        .after(1, move || cancel.recv().unwrap().cancel());
    let before = launched();
    let (cancel, answers) = submit(&placed.engine, long, more());
    send.send(cancel).unwrap();
    let answer = answers.recv_timeout(PATIENCE).unwrap();
    assert_eq!((answer.ended, answer.prefilled), (Ended::Cancelled, 0));
    wait_until_idle(&placed.engine);
    let launches = launched() - before;
    assert!(
        launches < of_a_pass / 3,
        "{launches} launches, of {of_a_pass} for a whole chunk"
    );
}
