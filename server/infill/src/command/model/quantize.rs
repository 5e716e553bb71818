//! `infill model quantize IN OUT --quant TYPE`: a model of any format as one GGUF file of ours.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

use super::say;
use crate::flags::QuantizeArgs;
use crate::models::open;

/// Writes the file. A tokenizer that is a `tokenizer.json` goes into it; the files of another kind are copied beside
/// it, unless that folder has such files.
///
/// # Errors
/// If the model cannot be read or the file cannot be written; no file of that name is left then.
pub fn run(arguments: &QuantizeArgs) -> anyhow::Result<()> {
    let (source, path) = open::source(Some(&arguments.model))?;
    let info = glm::inspect(&source).map_err(|error| anyhow!("{error}"))?;
    let mut extra = vec![("general.name".to_owned(), info.name.clone())];
    let mut beside = Vec::new();
    match open::tokenizer(&(&info).into(), path.as_deref()) {
        Err(error) => eprintln!("infill: the file gets no tokenizer: {error:#}"),
        Ok(tokenizer) => {
            if let Ok(template) = open::template(&(&info).into(), &tokenizer.vocab) {
                extra.push(("infill.template".to_owned(), template.name().to_owned()));
            }
            match tokenizer.json.map(String::from_utf8) {
                Some(Ok(json)) => extra.push(("tokenizer.huggingface.json".to_owned(), json)),
                _ => beside = tokenizer.files,
            }
        }
    }
    let bar = ProgressBar::new(0);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left")
            .context("the bar's template is wrong")?,
    );
    let mut progress = |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    };
    glm::quantize(
        &source,
        &arguments.out,
        arguments.quant,
        &extra,
        &mut progress,
    )
    .map_err(|error| anyhow!("{error}"))?;
    bar.finish_and_clear();

    let folder = arguments.out.parent().unwrap_or(Path::new("."));
    for file in &beside {
        let name = file.file_name().unwrap_or_default();
        let copy = folder.join(name);
        if !copy.exists() {
            fs::copy(file, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
            say(&format!(
                "{}: the tokenizer, which the model needs beside it\n",
                copy.display()
            ))?;
        }
    }
    let bytes = fs::metadata(&arguments.out).map_or(0, |file| file.len());
    say(&format!(
        "{}: {:.1} MB as {}, from {:.1} MB\n",
        arguments.out.display(),
        bytes as f64 / 1e6,
        arguments.quant,
        info.bytes as f64 / 1e6,
    ))
}
