//! The emulation itself: what threads do together comes out right, and what they must not do is told.

use super::*;
use crate::{
    fixture::Random,
    kernels::cuda::testing::{download, upload},
};
use half::f16;

fn launch(
    device: &Emulated,
    kernel: &str,
    blocks: u32,
    threads: u32,
    args: &[Arg],
) -> Result<(), String> {
    let launch = Launch {
        kernel,
        grid: [blocks, 1, 1],
        threads,
        args,
    };
    // SAFETY: the emulation checks what the kernel does.
    unsafe { device.launch(&launch) }.map_err(|error| error.to_string())
}

#[test]
fn threads_add_and_exchange_numbers() {
    let device = Emulated::new();
    let numbers = Random::new(1).normal(3 * 64);
    let x = upload(&device, &numbers);
    let out = device.allocate(3 * 4).unwrap();
    launch(&device, "probe_sum", 3, 64, &[(&x).into(), (&out).into()]).unwrap();
    for (sum, numbers) in download::<f32>(&device, &out)
        .iter()
        .zip(numbers.chunks(64))
    {
        assert!((sum - numbers.iter().sum::<f32>()).abs() < 1e-4);
    }
    let out = device.allocate(3 * 64 * 4).unwrap();
    let args = [(&x).into(), (&out).into(), 0.into()];
    launch(&device, "probe_reverse", 3, 64, &args).unwrap();
    let reversed = numbers.chunks(64).flat_map(|block| block.iter().rev());
    assert!(download::<f32>(&device, &out).iter().eq(reversed));
    // Without the barrier, those who come first find what nobody has written.
    let args = [(&x).into(), (&out).into(), 1.into()];
    launch(&device, "probe_reverse", 3, 64, &args).unwrap();
    assert!(download::<f32>(&device, &out).iter().any(|x| x.is_nan()));
}

#[test]
fn tiles_are_multiplied() {
    let device = Emulated::new();
    let mut random = Random::new(2);
    let mut halves = |count| -> Vec<f16> {
        random
            .normal(count)
            .into_iter()
            .map(f16::from_f32)
            .collect()
    };
    let (a, b) = (halves(16 * 16), halves(16 * 8));
    let (left, right) = (upload(&device, &a), upload(&device, &b));
    let out = device.allocate(16 * 8 * 4).unwrap();
    let args = |careless: u32| {
        [
            (&left).into(),
            (&right).into(),
            (&out).into(),
            careless.into(),
        ]
    };
    launch(&device, "probe_tiles", 1, 32, &args(0)).unwrap();
    for (at, got) in download::<f32>(&device, &out).into_iter().enumerate() {
        let (row, column) = (at / 8, at % 8);
        let products = (0..16).map(|k| a[16 * row + k].to_f32() * b[8 * k + column].to_f32());
        assert!((got - products.sum::<f32>()).abs() < 1e-4, "{at}");
    }
    launch(&device, "probe_tiles", 1, 32, &args(1)).unwrap();
    let not_awaited = download::<f32>(&device, &out);
    assert!(not_awaited.iter().all(|x| x.is_nan()));
}

#[test]
fn halves_are_rounded_as_they_should_be() {
    let device = Emulated::new();
    let mut numbers = vec![
        0.0,
        -0.0,
        1.0,
        65504.0,
        65519.9,
        65520.0,
        -1e30,
        f32::INFINITY,
    ];
    numbers.extend([
        2e-8,
        2.98e-8,
        3e-8,
        6e-8,
        6.1e-5,
        6.097e-5,
        -1e-7,
        0.1,
        f32::NAN,
    ]);
    // Halfway between two, and a little beside it.
    for bits in 0x3f80_0000u32..0x3f80_4001 {
        numbers.push(f32::from_bits(bits));
    }
    let mut random = Random::new(3);
    numbers.extend((0..20_000).map(|_| f32::from_bits(random.bits())));
    let x = upload(&device, &numbers);
    let wide = device.allocate(numbers.len() * 4).unwrap();
    let narrow = device.allocate(numbers.len() * 2).unwrap();
    let count = (numbers.len() as u32).into();
    let args = [(&x).into(), (&wide).into(), (&narrow).into(), count];
    launch(&device, "probe_halves", 1, 32, &args).unwrap();
    let got = download::<f16>(&device, &narrow);
    let got = numbers
        .iter()
        .zip(got.iter().zip(download::<f32>(&device, &wide)));
    for (x, (narrow, wide)) in got {
        let want = f16::from_f32(*x);
        assert!(
            want.is_nan() && narrow.is_nan() || want.to_bits() == narrow.to_bits(),
            "{x:e}"
        );
        assert!(
            want.is_nan() && wide.is_nan() || want.to_f32().to_bits() == wide.to_bits(),
            "{x:e}"
        );
    }
}

#[track_caller]
fn refused(result: Result<(), String>, words: &str) {
    let said = result.expect_err("a kernel that does what it must not");
    assert!(said.contains(words), "{said}");
}

#[test]
fn accesses_outside_of_buffers_are_caught() {
    let device = Emulated::new();
    // Two buffers, one that ends where a page ends and one that does not.
    for (count, writes) in [(4, [4, 1000, -1, -2000]), (5, [5, 7, -1, -2000])] {
        let out = upload(&device, &vec![0.0f32; count as usize]);
        for at in 0..count {
            launch(
                &device,
                "probe_write",
                1,
                32,
                &[(&out).into(), Arg::I32(at)],
            )
            .unwrap();
        }
        for at in writes {
            let other = Emulated::new();
            let out = upload(&other, &vec![0.0f32; count as usize]);
            let result = launch(&other, "probe_write", 1, 32, &[(&out).into(), Arg::I32(at)]);
            refused(
                result,
                &format!("byte {} of a buffer of {} bytes", 4 * at, 4 * count),
            );
        }
        let x = upload(&device, &[0.0f32; 4]);
        let args = [(&x).into(), (&out).into(), Arg::I32(4)];
        refused(
            launch(&device, "probe_read", 1, 32, &args),
            "byte 16 of a buffer of 16 bytes",
        );
        let args = [Arg::Nothing, (&out).into(), Arg::I32(0)];
        refused(
            launch(&device, "probe_read", 1, 32, &args),
            "where nothing is",
        );
    }
}

#[test]
fn vectors_have_to_be_aligned() {
    let device = Emulated::new();
    let (x, out) = (
        upload(&device, &[1.0f32; 16]),
        upload(&device, &[0.0f32; 4]),
    );
    let run = |at| {
        let args = [(&x).into(), (&out).into(), Arg::I32(at)];
        launch(&device, "probe_vector", 1, 32, &args)
    };
    run(4).unwrap();
    for at in [1, 2, 11] {
        refused(run(at), "not aligned");
    }
}

#[test]
fn threads_that_do_not_meet_are_told() {
    let device = Emulated::new();
    let out = device.allocate(256).unwrap();
    let run = |kernel, threads| launch(&device, kernel, 1, threads, &[(&out).into()]);
    refused(
        run("probe_barrier", 64),
        "waits for ever at a barrier of the block",
    );
    refused(
        run("probe_shuffle", 32),
        "waits for ever at __shfl_xor_sync",
    );
}

#[test]
fn a_launch_has_to_fit_its_kernel() {
    let device = Emulated::new();
    let out = device.allocate(256).unwrap();
    let run = |kernel, threads, args: &[Arg]| launch(&device, kernel, 1, threads, args);
    refused(run("probe_nothing", 32, &[]), "no such kernel");
    refused(
        run("probe_write", 64, &[(&out).into(), Arg::I32(0)]),
        "threads",
    );
    refused(
        run("probe_write", 32, &[(&out).into()]),
        "another number of parameters",
    );
    refused(
        run("probe_write", 32, &[(&out).into(), 1.0.into()]),
        "parameter 1 has another type",
    );
    refused(
        run("probe_write", 32, &[0.into(), 1.into()]),
        "parameter 0 has another type",
    );
}
