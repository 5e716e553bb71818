//! `infill eval`: how good a model is at a kind of work, by tests that decide.

pub mod data;
pub mod infill;
pub mod lines;
pub mod shown;
pub mod translate;

use std::process::ExitCode;

use clap::Subcommand;

/// What can be evaluated.
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// Blanks in code, in HumanEval-Infilling's form: how near what an editor would show is, and whether it passes tests
    Infill(infill::EvalInfillArgs),
    /// Blanks cut from your own files the way a person types, beside answers that need no model
    Lines(lines::EvalLinesArgs),
    /// Translation, as the CodeGeeX paper measures it: HumanEval-X, pass@k for each pair of languages
    Translate(Box<translate::EvalTranslateArgs>),
}

/// Evaluates.
///
/// # Errors
/// If the evaluation cannot be made. Its score, whatever it is, is no error.
pub fn run(what: &Eval) -> anyhow::Result<ExitCode> {
    match what {
        Eval::Infill(arguments) => infill::run(arguments)?,
        Eval::Lines(arguments) => lines::run(arguments)?,
        Eval::Translate(arguments) => translate::run(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}
