//! Where a model's files become something to run: weights, vocabulary and prompt template.
//!
//! Takes a [`Choice`], gives a [`Opened`]. Which tokenizer files a folder has decides how they are read; which
//! template is used is said by the choice, else by the model's file, else found from its family. No network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use glm::{Architecture, Device, Model, Source};
use prompt::{Facts, Template};
use vocab::{Pairs, Pieces, Vocab};

use crate::embedded;
use crate::models::names;
use crate::models::settings::{Choice, is_path};
use crate::models::store::Store;

/// A model with all that is needed to ask it.
pub struct Opened {
    /// The weights.
    pub model: Model,
    /// Its vocabulary.
    pub vocab: Vocab,
    /// How it wants to be asked.
    pub template: Template,
}

/// Where the model of this name or path lies; None is the one that is built in.
///
/// # Errors
/// If nothing of that name is in the store, nor a file or folder.
pub fn locate(model: Option<&str>) -> anyhow::Result<Option<PathBuf>> {
    let Some(model) = model else { return Ok(None) };
    let path = PathBuf::from(model);
    if is_path(model) || path.exists() {
        return Ok(Some(path));
    }
    let name = names::stored(model);
    let store = Store::of_user()?;
    if store.record(&name)?.is_some() {
        return Ok(Some(store.folder(&name)));
    }
    bail!(
        "there is no model `{model}`: no such file, and none in the store; `infill model pull {model}` gets it"
    )
}

/// Opens the weights alone.
///
/// # Errors
/// If there is no such model, or its files cannot be used.
pub fn weights(choice: &Choice) -> anyhow::Result<(Model, Option<PathBuf>)> {
    let path = locate(choice.model.as_deref())?;
    let source = match &path {
        Some(path) => Source::Path(path.clone()),
        None => Source::Static(embedded::MODEL),
    };
    // The message says the cause already, so the chain of causes would only repeat it.
    let model =
        Model::open(&source, choice.weights(), &Device::Cpu).map_err(|error| anyhow!("{error}"))?;
    Ok((model, path))
}

/// Opens a model with its vocabulary and template.
///
/// # Errors
/// If a file is missing or cannot be used, or no template is known for it.
pub fn open(choice: &Choice) -> anyhow::Result<Opened> {
    let (model, path) = weights(choice)?;
    let shown = path.as_ref().map_or_else(
        || "that is built in".to_owned(),
        |path| path.display().to_string(),
    );
    let vocab = match (model.tokenizer_json(), &path) {
        (Some(json), _) => Vocab::from_json(json).map_err(|error| anyhow!("{error}")),
        (None, Some(path)) => vocabulary(path, &model),
        (None, None) => Err(anyhow!("it has no tokenizer")),
    }
    .with_context(|| format!("cannot use the tokenizer of the model {shown}"))?;
    let template = template(choice, &model, &vocab)
        .with_context(|| format!("cannot ask the model {shown}"))?;
    Ok(Opened {
        model,
        vocab,
        template,
    })
}

fn template(choice: &Choice, model: &Model, vocab: &Vocab) -> anyhow::Result<Template> {
    let config = model.config();
    match choice.template.as_deref().or(model.template()) {
        Some(name) => {
            let template = Template::from_name(name)?;
            template.check(vocab, config.vocabulary)?;
            Ok(template)
        }
        None => Ok(Template::detect(
            &Facts {
                architecture: config.architecture.name(),
                name: model.name(),
                vocabulary: config.vocabulary,
                context: config.context,
            },
            vocab,
        )?),
    }
}

/// The vocabulary of a folder, by the tokenizer files in it.
fn vocabulary(path: &Path, model: &Model) -> anyhow::Result<Vocab> {
    let folder = if path.is_dir() {
        path
    } else {
        path.parent().unwrap_or(Path::new("."))
    };
    let read = |name: &str| {
        let path = folder.join(name);
        let bytes = path.is_file().then(|| fs::read(&path));
        bytes
            .transpose()
            .with_context(|| format!("cannot read {}", path.display()))
    };
    let settings = match read("tokenizer_config.json")? {
        Some(settings) => Some(settings),
        None => read("added_tokens.json")?,
    };
    let config = settings.as_deref();
    let opened = |source| Vocab::open(source).map_err(|error| anyhow!("{error}"));
    let architecture = model.config().architecture;
    if let Some(json) = read("tokenizer.json")? {
        return opened(vocab::Source::Json(&json));
    }
    if let Some(ice) = read("ice_text.model")? {
        let images =
            matches!(architecture, Architecture::Glm130b) || model.config().vocabulary > 150_000;
        return opened(vocab::Source::Ice {
            model: &ice,
            images,
        });
    }
    if let Some(bytes) = read("tokenizer.model")? {
        if is_ranks(&bytes) {
            return opened(vocab::Source::Tiktoken {
                ranks: &bytes,
                config,
            });
        }
        // ChatGLM3's settings name its roles; ChatGLM2 and CodeGeeX2 have none.
        let roles = config
            .is_some_and(|text| String::from_utf8_lossy(text).contains("<|assistant|>"))
            || model.name().to_lowercase().contains("chatglm3");
        let special = if roles {
            Pieces::ChatGlm3
        } else {
            Pieces::ChatGlm2
        };
        return opened(vocab::Source::SentencePiece {
            model: &bytes,
            config,
            special,
        });
    }
    if let Some(bytes) = read("cog-pretrain.model")? {
        let special = Pieces::GlmChinese;
        return opened(vocab::Source::SentencePiece {
            model: &bytes,
            config,
            special,
        });
    }
    if let (Some(vocab), Some(merges)) = (read("vocab.json")?, read("merges.txt")?) {
        let special = match architecture {
            Architecture::CodeGeex => Pairs::CodeGeex,
            _ if String::from_utf8_lossy(&vocab).contains("\"<s>\"") => Pairs::GlmRoberta,
            _ => Pairs::Glm,
        };
        return opened(vocab::Source::Gpt2 {
            vocab: &vocab,
            merges: &merges,
            config,
            special,
        });
    }
    if let Some(vocab) = read("vocab.txt")? {
        let cased = config.is_some_and(|text| {
            let settings: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
            settings["do_lower_case"] == false
        });
        return opened(vocab::Source::WordPiece {
            vocab: &vocab,
            config,
            lowercase: !cased,
        });
    }
    bail!(
        "there is none in {}: no tokenizer.json, tokenizer.model, ice_text.model, cog-pretrain.model, vocab.json with \
         merges.txt, or vocab.txt",
        folder.display()
    )
}

/// Whether these are lines of a token in base64 and a number, and not a sentencepiece model.
fn is_ranks(bytes: &[u8]) -> bool {
    let line = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let mut parts = line.split(|&byte| byte == b' ');
    let is_base64 = |part: &[u8]| {
        part.iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
    };
    matches!((parts.next(), parts.next()), (Some(token), Some(rank))
        if !token.is_empty() && is_base64(token) && !rank.is_empty() && rank.trim_ascii().iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_files_are_told_from_sentencepiece() {
        assert!(is_ranks(b"IQ== 0\nIg== 1\n"));
        assert!(!is_ranks(b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02"));
        assert!(!is_ranks(b""));
    }

    #[test]
    fn a_model_that_is_nowhere_is_an_error_that_says_how_to_get_it() {
        let error = locate(Some("glm-nowhere")).unwrap_err().to_string();
        assert!(error.contains("infill model pull glm-nowhere"), "{error}");
    }
}
