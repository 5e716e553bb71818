//! The kernels for GPUs and NVIDIA's compiler: every kernel compiles, for every GPU that the text is meant for, and the
//! committed text is what the sources give.
//!
//! Takes a Python with NVRTC from `tests/setup/nvrtc.sh`; needs no GPU. What the kernels compute is tested in `glm`.

use std::process::{Command, Output};

use crate::tidy;

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{said}");
    output
}

#[test]
#[ignore = "wants NVRTC; tests/run brings it and runs this"]
fn the_committed_kernels_are_what_the_sources_give() {
    let setup = run(&mut Command::new(tidy::root().join("tests/setup/nvrtc.sh")));
    let python = String::from_utf8_lossy(&setup.stdout).trim().to_owned();
    let compile = tidy::root().join("server/glm/src/kernels/cuda/compile.py");
    run(Command::new(python).arg(compile).arg("--check"));
}
