//! GPUs that NCCL joins: in processes that find the emulation under the names of the driver and of NCCL.

use super::*;

/// Opens a model on two GPUs together, runs it there and on the processor, and once more after its weights were away.
#[test]
#[ignore = "the child of another test"]
fn together() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    let device = Place::cuda_together(&[0, 1], None).unwrap();
    let mut model = Model::open(&small(), Weights::AsStored, &device).unwrap();
    println!("together: on {}", model.place());
    println!("together: apart {:?}", model.apart());
    let run = |model: &Model| -> Result<Vec<f32>, Error> {
        let (mut kv, mut work) = (model.kv(), model.workspace());
        for ids in [&[1, 2, 3, 4, 5][..], &[6], &[7]] {
            let first = kv.len() as u32;
            let places: Vec<u32> = (first..first + ids.len() as u32).collect();
            let chunk = Chunk {
                ids,
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
    let want = run(&model.on_cpu().unwrap()).unwrap();
    match run(&model) {
        Ok(got) => {
            crate::kernels::reference::assert_close(&got, &want, 0.05);
            model.suspend().unwrap();
            model.resume().unwrap();
            assert!(run(&model).unwrap() == got, "to the bit");
            println!("together: it ran");
        }
        Err(error) => {
            assert!(error.is_devices());
            println!("together: {error}");
            // There are no more sums, and nobody waits for one.
            println!("together: again {}", run(&model).unwrap_err());
        }
    }
}

/// What `together` says where NCCL's library has these bytes, or is the emulation.
fn with_nccl(name: &str, library: Option<&[u8]>, settings: &[(&str, &str)]) -> String {
    let emulation = emulated::build();
    let folder = emulation.with_extension(format!("nccl-{name}"));
    fs::create_dir_all(&folder).unwrap();
    let _ = std::os::unix::fs::symlink(&emulation, folder.join("libcuda.so"));
    for file in ["libnccl.so.2", "libnccl.so"] {
        let path = folder.join(file);
        match library {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => drop(std::os::unix::fs::symlink(&emulation, path)),
        }
    }
    let mut all = vec![("EMULATED_GPUS", "2")];
    all.extend(settings);
    with_library(&folder, "nccl::together", &all)
}

#[test]
fn a_model_runs_on_gpus_that_nccl_joins() {
    let said = with_nccl("joins", None, &[]);
    assert!(
        said.contains("together: on cuda:0 (Emulated) + cuda:1 (Emulated)\n"),
        "{said}"
    );
    assert!(said.contains("together: apart None"), "{said}");
    assert!(said.contains("together: it ran"), "{said}");
}

#[test]
fn without_sums_the_gpus_go_layer_by_layer_and_say_why() {
    let mut old = fs::read(emulated::build()).unwrap();
    let name = b"\0ncclCommGetAsyncError\0";
    let places = (0..old.len() - name.len()).filter(|&at| old[at..].starts_with(name));
    let places: Vec<usize> = places.collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| old[at + 1] = b'N');
    for (case, library, setting, why) in [
        (
            "none",
            Some(&[][..]),
            "",
            "NVIDIA's NCCL, libnccl.so.2, cannot be loaded; install it, in many systems the package libnccl2",
        ),
        (
            "old",
            Some(&old),
            "",
            "NVIDIA's NCCL on this machine is too old: it has no ncclCommGetAsyncError; install a newer one",
        ),
        (
            "unjoined",
            None,
            "EMULATED_UNJOINED",
            "NCCL does not join the GPUs: an emulated error of NCCL (3); NCCL_DEBUG=WARN makes it say more",
        ),
        (
            "wrong",
            None,
            "EMULATED_WRONG_SUM",
            "NCCL does not join the GPUs: they make 4 of a sum of 3",
        ),
    ] {
        let settings = [(setting, "1")];
        let settings = if setting.is_empty() {
            &[][..]
        } else {
            &settings
        };
        let said = with_nccl(case, library, settings);
        let line = format!("together: apart Some({why:?})\n");
        assert!(said.contains(&line), "{case}: {said}");
        // One of them holds the small model.
        let place = "together: on cuda:0 (Emulated)\n";
        assert!(
            said.contains(place) && said.contains("together: it ran"),
            "{said}"
        );
    }
}

#[test]
fn a_sum_that_fails_is_an_error_and_the_last() {
    // The first finds out whether there are sums.
    let said = with_nccl("fails", None, &[("EMULATED_SUMS", "6")]);
    assert!(
        said.contains(
            "together: the device cuda:0 (Emulated) failed: NCCL says: an emulated error of NCCL (3)"
        ),
        "{said}"
    );
    assert!(
        said.contains("together: again the device cuda:0 (Emulated) failed: it was parted"),
        "{said}"
    );
}

#[test]
fn a_kernel_that_fails_between_sums_is_an_error_and_no_panic() {
    let said = with_nccl("kernel", None, &[("EMULATED_LAUNCHES", "40")]);
    assert!(said.contains(" failed: a kernel failed"), "{said}");
    assert!(said.contains("together: again the device "), "{said}");
}
