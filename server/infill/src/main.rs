//! The command line: parse, run, exit code.
//!
//! Exit codes: 0 done, 1 failed (the reason is on standard error), 2 the command line itself is
//! wrong. Everything else is in the library, so that tests and benches can drive it in-process.

use std::process::ExitCode;

use clap::Parser;
use infill::flags::Flags;

fn main() -> ExitCode {
    let flags = Flags::parse();
    match infill::run(flags) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("infill: {error:#}");
            ExitCode::FAILURE
        }
    }
}
