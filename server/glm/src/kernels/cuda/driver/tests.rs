//! The driver: on a GPU where there is one, and everywhere over the emulation, which is found under the driver's name in a
//! process of its own.

use super::*;
use crate::{
    Chunk, Device as Place, KvType, Model, Part, Prefix, Source, Want, Weights, fixture,
    kernels::cuda::emulated,
};
use std::{env, fs, path::Path, process::Command};

#[cfg(all(feature = "cuda-nccl", target_os = "linux"))]
mod nccl;

/// What tells a child that it is one.
const CHILD: &str = "INFILL_EMULATED_DRIVER";

/// The first GPU, if this machine has one.
fn gpu() -> Option<Driver> {
    match Driver::open(0) {
        Ok(driver) => Some(driver),
        Err(error) => {
            println!("skipped: no CUDA driver: {error}");
            None
        }
    }
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_that_says_what_to_do() {
    // Whether or not there is a driver, nobody has so many.
    let why = Driver::open(10_000).err().unwrap().to_string();
    assert!(
        why.starts_with("cannot use the device cuda:10000: "),
        "{why}"
    );
    if gpu().is_none() {
        let says_what = ["install", "choose", "restart", "needed", "holds it"];
        assert!(says_what.iter().any(|word| why.contains(word)), "{why}");
    }
}

#[test]
fn bytes_go_there_and_come_back_in_their_order() {
    let Some(gpu) = gpu() else { return };
    let bytes: Vec<u8> = (0..1000).map(|i| (i * 7) as u8).collect();
    let buffers = [0, 1].map(|_| gpu.allocate(bytes.len()).unwrap());
    gpu.upload(&bytes, buffers[0].view()).unwrap();
    let (from, to) = (buffers[0].view(), buffers[1].view());
    gpu.copy(from.slice(0, 500), to.slice(500, 500)).unwrap();
    gpu.copy(from.slice(500, 500), to.slice(0, 500)).unwrap();
    let mut got = vec![0; bytes.len()];
    gpu.download(to, &mut got).unwrap();
    assert_eq!(got, [&bytes[500..], &bytes[..500]].concat());
    assert_eq!(gpu.allocate(0).unwrap().bytes(), 0);
    let info = gpu.info().unwrap();
    assert!(info.free > 0 && info.free <= info.total);
}

#[test]
fn more_than_there_is_and_kernels_that_are_not_there_are_errors() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.allocate(1 << 50).unwrap_err();
    assert_eq!(error, DeviceError::OutOfMemory { bytes: 1 << 50 });
    let launch = Launch {
        kernel: "no_such_kernel",
        grid: [1; 3],
        threads: 32,
        args: &[],
    };
    // SAFETY: there is no such kernel.
    let error = unsafe { gpu.launch(&launch) }.unwrap_err().to_string();
    assert!(error.contains("no_such_kernel"), "{error}");
    gpu.synchronize().unwrap();
}

/// What the test `child` of this file says in a process with an emulated driver, of which these settings are told.
#[cfg(target_os = "linux")]
fn with_driver(child: &str, settings: &[(&str, &str)]) -> String {
    let library = emulated::build();
    let folder = library.with_extension(format!("driver-{child}"));
    fs::create_dir_all(&folder).expect("cargo's folder takes files");
    let link = folder.join("libcuda.so");
    // Of several that make it at once, one does.
    let _ = std::os::unix::fs::symlink(&library, &link);
    with_library(&folder, child, settings)
}

/// The same with the library `libcuda.so` of this folder.
#[cfg(target_os = "linux")]
fn with_library(folder: &Path, child: &str, settings: &[(&str, &str)]) -> String {
    let output = Command::new(env::current_exe().expect("a test program has a path"))
        .args(["--ignored", "--exact", "--nocapture", "--test-threads", "1"])
        .arg(format!("kernels::cuda::driver::tests::{child}"))
        .env("LD_LIBRARY_PATH", folder)
        .env(CHILD, "1")
        .envs(settings.iter().copied())
        .output()
        .expect("the test program starts");
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{child} with {settings:?}: {said}");
    said
}

#[test]
#[ignore = "the child of another test"]
fn why() {
    let Ok(number) = env::var("NUMBER") else {
        return;
    };
    let number = number.parse().unwrap();
    match Place::cuda(&[number], None) {
        Ok(device) => println!("why: it is there: {device:?}"),
        Err(error) => println!("why: {error}"),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_wrong_with_a_driver_is_said() {
    for (settings, number, words) in [
        (
            ("EMULATED_GPUS", "1"),
            "0",
            "it is there: Gpus([Gpu(cuda:0 (Emulated), ",
        ),
        (
            ("EMULATED_GPUS", "1"),
            "1",
            "cuda:1: there is one GPU, cuda:0",
        ),
        (
            ("EMULATED_GPUS", "4"),
            "7",
            "there are 4 GPUs, cuda:0 to cuda:3",
        ),
        (
            ("EMULATED_GPUS", "0"),
            "0",
            "the driver finds no GPU; choose the device cpu",
        ),
        (
            ("EMULATED_CUDA", "12040"),
            "0",
            "knows CUDA 12.4 and 13.0 is needed; install",
        ),
        (
            ("EMULATED_CAPABILITY", "7"),
            "0",
            "has compute capability 7.0 and 8.0 is needed",
        ),
        (
            ("EMULATED_OLD_COMPILER", "1"),
            "0",
            "is older than our kernels; install driver 580",
        ),
    ] {
        let said = with_driver("why", &[settings, ("NUMBER", number)]);
        let line = said.lines().find(|line| line.contains("why: "));
        assert!(line.unwrap().contains(words), "{settings:?}: {said}");
    }
}

/// A model of two layers.
fn small() -> Source {
    let config = fixture::members()[3];
    Source::Static(fixture::gguf(&config, fixture::Weights::Q8, 1, None).leak())
}

/// Runs a model on the device and on the processor, a prompt and three tokens.
#[test]
#[ignore = "the child of another test"]
fn model() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    let source = small();
    let device = Place::cuda(&[0], None).unwrap();
    let run = |model: &Model| -> Result<Vec<f32>, Error> {
        let (mut kv, mut work) = (model.kv(), model.workspace());
        for token in 0..4u32 {
            let ids = if token == 0 {
                vec![1, 2, 3, 4, 5]
            } else {
                vec![token]
            };
            let first = kv.len() as u32;
            let places: Vec<u32> = (first..first + ids.len() as u32).collect();
            let chunk = Chunk {
                ids: &ids,
                positions: [&places, &places],
                prefix: Prefix::default(),
            };
            let part = Part {
                chunk,
                kv: &mut kv,
                want: Want::Last,
            };
            model.forward(&mut [part], &mut work, &mut || false)?;
        }
        Ok(work.logits(0).values.to_vec())
    };
    let on_gpu = Model::open(&source, Weights::AsStored, &device).unwrap();
    assert_eq!(on_gpu.place(), "cuda:0 (Emulated)");
    let cpu = on_gpu.on_cpu().unwrap();
    let want = run(&cpu).unwrap();
    match run(&on_gpu) {
        Ok(got) => {
            crate::kernels::reference::assert_close(&got, &want, 0.05);
            println!("model: it ran");
        }
        Err(error) => {
            assert!(error.is_devices());
            // Nothing of a lost device can be used again, and nothing of it stands in the way.
            assert!(run(&on_gpu).is_err());
            println!("model: {error}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_model_runs_through_the_driver() {
    for pools in ["0", "1"] {
        let said = with_driver("model", &[("EMULATED_POOLS", pools)]);
        assert!(said.contains("model: it ran"), "{said}");
    }
}

/// Of each graph that was launched, how many nodes it had and how many kernels were launched before.
#[cfg(target_os = "linux")]
fn graphs(said: &str) -> Vec<[usize; 2]> {
    let lines = said.lines();
    let graphs = lines.filter_map(|line| {
        let (nodes, launches) = line.strip_prefix("a graph of ")?.split_once(" after ")?;
        let number = |text: &str| text.parse().expect("a number");
        Some([number(nodes), number(launches.strip_suffix(" launches")?)])
    });
    graphs.collect()
}

/// The first step goes piece by piece, the second is recorded, and it and the third are a graph each.
#[cfg(target_os = "linux")]
#[test]
fn a_step_is_one_graph() {
    let said = with_driver("model", &[("EMULATED_TELLS", "1")]);
    assert!(said.contains("model: it ran"), "{said}");
    let graphs = graphs(&said);
    let [[nodes, before], [others, later]] = graphs[..] else {
        panic!("{said}");
    };
    assert!(
        nodes == others && later == before + nodes && nodes > 20,
        "{said}"
    );
    // In the middle of the second.
    let launches = (later + nodes / 2).to_string();
    let said = with_driver("model", &[("EMULATED_LAUNCHES", &launches)]);
    assert!(
        said.contains("model: the device cuda:0 (Emulated) failed: "),
        "{said}"
    );
    assert!(said.contains("a kernel failed"), "{said}");
}

/// One that says that it cannot record, and one that has not the functions.
#[cfg(target_os = "linux")]
#[test]
fn a_driver_without_graphs_is_asked_piece_by_piece() {
    let said = with_driver(
        "model",
        &[("EMULATED_TELLS", "1"), ("EMULATED_GRAPHS", "0")],
    );
    assert!(
        said.contains("model: it ran") && graphs(&said).is_empty(),
        "{said}"
    );

    let library = emulated::build();
    let mut bytes = fs::read(&library).unwrap();
    let name = b"\0cuGraphLaunch\0";
    let places = (0..bytes.len() - name.len()).filter(|&at| bytes[at..].starts_with(name));
    let places: Vec<usize> = places.collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at + 1] = b'n');
    let folder = library.with_extension("driver-without-graphs");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("libcuda.so"), bytes).unwrap();
    let said = with_library(&folder, "model", &[("EMULATED_TELLS", "1")]);
    assert!(
        said.contains("model: it ran") && graphs(&said).is_empty(),
        "{said}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_kernel_that_fails_is_an_error_and_no_panic() {
    let said = with_driver("model", &[("EMULATED_LAUNCHES", "40")]);
    assert!(
        said.contains("model: the device cuda:0 (Emulated) failed: "),
        "{said}"
    );
    assert!(said.contains("a kernel failed"), "{said}");
}

/// Says what GPUs there are.
#[test]
#[ignore = "the child of another test"]
fn list() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    match Place::gpus() {
        Ok(gpus) => gpus.iter().for_each(|gpu| println!("list: {gpu:?}")),
        Err(error) => println!("list: {error}"),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn gpus_are_listed_or_the_one_reason_why_there_is_none() {
    let said = with_driver("list", &[("EMULATED_GPUS", "2"), ("EMULATED_FREE", "5000")]);
    for name in ["cuda:0", "cuda:1"] {
        let info = GpuInfo {
            name: name.to_owned(),
            product: "Emulated".to_owned(),
            capability: "9.0".to_owned(),
            driver: "CUDA 13.0".to_owned(),
            total: 5000,
            free: 5000,
        };
        let line = format!("list: {:?}", Ok::<_, Error>(info));
        assert!(said.contains(&line), "no {line} in {said}");
    }
    let said = with_driver("list", &[("EMULATED_CAPABILITY", "7")]);
    assert!(said.contains("7.0 and 8.0 is needed"), "{said}");
    let said = with_driver("list", &[("EMULATED_CUDA", "12040")]);
    let why =
        "list: cannot use the device cuda: the NVIDIA driver knows CUDA 12.4 and 13.0 is needed";
    assert!(said.contains(why), "{said}");
}

/// Runs a model on all GPUs, moves its weights away and back, and runs it again.
#[test]
#[ignore = "the child of another test"]
fn several() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    let source = small();
    let device = Place::all_cuda(None).unwrap();
    let mut model = Model::open(&source, Weights::AsStored, &device).unwrap();
    println!("several: {}", model.place());
    let run = |model: &Model| {
        let (mut kv, mut work) = (model.kv(), model.workspace());
        let places = [0, 1, 2, 3, 4];
        let chunk = Chunk {
            ids: &[1, 2, 3, 4, 5],
            positions: [&places, &places],
            prefix: Prefix::default(),
        };
        let part = Part {
            chunk,
            kv: &mut kv,
            want: Want::Last,
        };
        model
            .forward(&mut [part], &mut work, &mut || false)
            .unwrap();
        work.logits(0).values.to_vec()
    };
    let before = run(&model);
    let want = run(&model.on_cpu().unwrap());
    crate::kernels::reference::assert_close(&before, &want, 0.05);
    model.suspend().unwrap();
    println!("several: {}", model.place());
    model.resume().unwrap();
    assert!(run(&model) == before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_model_is_spread_over_all_gpus_through_the_driver() {
    let info = crate::inspect(&small()).unwrap();
    let vram = info.vram(Weights::AsStored, KvType::F16).unwrap();
    let caches = vram.token * info.config.context as u64;
    // For one of its two layers and the head, beside what is left to others.
    let room = vram.workspace + vram.layers[0] + caches + vram.head;
    let free = (room + (256 << 20)).to_string();
    for (gpus, place) in [
        ("2", "cuda:0 (Emulated), cuda:1 (Emulated)"),
        ("1", "cuda:0 (Emulated) and cpu: "),
    ] {
        let said = with_driver(
            "several",
            &[("EMULATED_GPUS", gpus), ("EMULATED_FREE", &free)],
        );
        assert!(said.contains(&format!("several: {place}")), "{said}");
        assert!(said.contains(", idle: the weights are in"), "{said}");
    }
}
