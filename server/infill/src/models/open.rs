//! Where a model's files become something to run: weights, vocabulary and prompt template.
//!
//! Takes a [`Choice`], gives a [`Opened`]. Which tokenizer files a folder has decides how they are read; which
//! template is used is said by the choice, else by the model's file, else found from its family. No network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use glm::{Architecture, Config, GgufTokenizer, Info, Model, Source};
use prompt::{Facts, Template};
use vocab::{Pairs, Pieces, Vocab};

use crate::embedded;
use crate::models::device::{Placed, place};
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
    /// Why it does not run where the choice wants it.
    pub note: Option<String>,
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

/// Where the weights of the model of this name or path are.
///
/// # Errors
/// As [`locate`].
pub fn source(model: Option<&str>) -> anyhow::Result<(Source, Option<PathBuf>)> {
    let path = locate(model)?;
    let source = match &path {
        Some(path) => Source::Path(path.clone()),
        None => Source::Static(embedded::MODEL),
    };
    Ok((source, path))
}

/// Opens the weights alone, on the device of the choice or else on the processor, and tells what part of them is loaded,
/// from 0 to 1.
///
/// # Errors
/// If there is no such model, or its files cannot be used.
pub fn weights(
    choice: &Choice,
    progress: &dyn Fn(f32),
) -> anyhow::Result<(Placed, Option<PathBuf>)> {
    let (source, path) = source(choice.model.as_deref())?;
    // The message says the cause already, so the chain of causes would only repeat it.
    let mut placed =
        place(&source, choice.weights(), choice, progress).map_err(|error| anyhow!("{error}"))?;
    if let Some(threads) = choice.threads {
        placed.model = placed.model.with_threads(threads)?;
    }
    Ok((placed, path))
}

/// Opens a model with its vocabulary and template; `progress` is as for [`weights`].
///
/// # Errors
/// If a file is missing or cannot be used, or no template is known for it.
pub fn open(choice: &Choice, progress: &dyn Fn(f32)) -> anyhow::Result<Opened> {
    let (Placed { model, note }, path) = weights(choice, progress)?;
    let shown = path.as_ref().map_or_else(
        || "that is built in".to_owned(),
        |path| path.display().to_string(),
    );
    let facts = ModelFacts {
        config: model.config(),
        name: model.name(),
        template: choice.template.as_deref().or(model.template()),
        json: model.tokenizer_json(),
        gguf: model.gguf_tokenizer(),
    };
    let Tokenizer { vocab, .. } = tokenizer(&facts, path.as_deref())
        .with_context(|| format!("cannot use the tokenizer of the model {shown}"))?;
    let template =
        template(&facts, &vocab).with_context(|| format!("cannot ask the model {shown}"))?;
    Ok(Opened {
        model,
        vocab,
        template,
        note,
    })
}

/// What a model's own file says that decides how it is asked.
pub struct ModelFacts<'a> {
    /// Its sizes and choices.
    pub config: &'a Config,
    /// Its name, for people.
    pub name: &'a str,
    /// The template that was chosen, or that the file names.
    pub template: Option<&'a str>,
    /// The `tokenizer.json` in the file.
    pub json: Option<&'a [u8]>,
    /// The tokenizer in the metadata of a GGUF file.
    pub gguf: Option<&'a GgufTokenizer>,
}

impl<'a> From<&'a Info> for ModelFacts<'a> {
    fn from(info: &'a Info) -> ModelFacts<'a> {
        ModelFacts {
            config: &info.config,
            name: &info.name,
            template: info.template.as_deref(),
            json: info.tokenizer_json.as_deref().map(str::as_bytes),
            gguf: info.gguf_tokenizer.as_ref(),
        }
    }
}

/// A model's tokenizer.
pub struct Tokenizer {
    /// Text to ids and back.
    pub vocab: Vocab,
    /// What kind of files it was read from, for people.
    pub kind: &'static str,
    /// It as a `tokenizer.json`, if it was one.
    pub json: Option<Vec<u8>>,
    /// The files it was read from; none if the model's own file carries it.
    pub files: Vec<PathBuf>,
}

/// The tokenizer that a model's file carries, else the one that lies beside it.
///
/// # Errors
/// If there is none, or it cannot be used.
pub fn tokenizer(facts: &ModelFacts, path: Option<&Path>) -> anyhow::Result<Tokenizer> {
    let carried = |source, kind, json| {
        let vocab = Vocab::open(source).map_err(|error| anyhow!("{error}"))?;
        Ok(Tokenizer {
            vocab,
            kind,
            json,
            files: Vec::new(),
        })
    };
    if let Some(json) = facts.json {
        return carried(
            vocab::Source::Json(json),
            "tokenizer.json in the model's file",
            Some(json.to_owned()),
        );
    }
    if let Some(gguf) = facts.gguf {
        let source = vocab::Source::Gguf(vocab::GgufTokenizer {
            model: &gguf.model,
            pre: gguf.pre.as_deref(),
            tokens: &gguf.tokens,
            scores: &gguf.scores,
            types: &gguf.types,
            merges: &gguf.merges,
            space_prefix: gguf.space_prefix,
        });
        return carried(source, "GGUF metadata", None);
    }
    match path {
        Some(path) => Folder::of(path).tokenizer(facts),
        None => bail!("it has none"),
    }
}

/// How a model wants to be asked: as chosen, as its file says, or as its family is.
///
/// # Errors
/// If nothing is known of its family, or the vocabulary lacks what the template needs.
pub fn template(facts: &ModelFacts, vocab: &Vocab) -> anyhow::Result<Template> {
    let config = facts.config;
    match facts.template {
        Some(name) => {
            let template = Template::from_name(name)?;
            template.check(vocab, config.vocabulary)?;
            Ok(template)
        }
        None => Ok(Template::detect(
            &Facts {
                architecture: config.architecture.name(),
                name: facts.name,
                vocabulary: config.vocabulary,
                context: config.context,
            },
            vocab,
        )?),
    }
}

/// The folder that a model's files lie in.
struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn of(path: &Path) -> Folder<'_> {
        let beside = || path.parent().unwrap_or(Path::new("."));
        Folder(if path.is_dir() { path } else { beside() })
    }

    fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.0.join(name);
        let bytes = path.is_file().then(|| fs::read(&path));
        bytes
            .transpose()
            .with_context(|| format!("cannot read {}", path.display()))
    }

    /// The tokenizer by the files that are there.
    fn tokenizer(&self, facts: &ModelFacts) -> anyhow::Result<Tokenizer> {
        let (named, settings) = match self.read("tokenizer_config.json")? {
            Some(settings) => ("tokenizer_config.json", Some(settings)),
            None => ("added_tokens.json", self.read("added_tokens.json")?),
        };
        let config = settings.as_deref();
        let opened = |source, kind, names: &[&str], json| {
            let vocab = Vocab::open(source).map_err(|error| anyhow!("{}: {error}", names[0]))?;
            let settings = config.is_some().then_some(named);
            let files = names.iter().copied().chain(settings);
            Ok(Tokenizer {
                vocab,
                kind,
                json,
                files: files.map(|name| self.0.join(name)).collect(),
            })
        };
        let architecture = facts.config.architecture;
        if let Some(json) = self.read("tokenizer.json")? {
            let source = vocab::Source::Json(&json);
            let names = &["tokenizer.json"];
            return opened(source, "tokenizer.json", names, Some(json.clone()));
        }
        if let Some(ice) = self.read("ice_text.model")? {
            // The first release of ChatGLM-6B still had the block of images.
            let images = architecture == Architecture::Glm130b || facts.config.vocabulary > 150_000;
            let source = vocab::Source::Ice {
                model: &ice,
                images,
            };
            return opened(source, "ice", &["ice_text.model"], None);
        }
        if let Some(bytes) = self.read("tokenizer.model")? {
            let names = &["tokenizer.model"];
            if is_ranks(&bytes) {
                let ranks = &bytes;
                let source = vocab::Source::Tiktoken { ranks, config };
                return opened(source, "tiktoken ranks", names, None);
            }
            // ChatGLM3's settings name its roles; ChatGLM2 and CodeGeeX2 have none.
            let has_roles = config
                .is_some_and(|text| String::from_utf8_lossy(text).contains("<|assistant|>"))
                || facts.name.to_lowercase().contains("chatglm3");
            let source = vocab::Source::SentencePiece {
                model: &bytes,
                config,
                special: if has_roles {
                    Pieces::ChatGlm3
                } else {
                    Pieces::ChatGlm2
                },
            };
            return opened(source, "sentencepiece", names, None);
        }
        if let Some(bytes) = self.read("cog-pretrain.model")? {
            let source = vocab::Source::SentencePiece {
                model: &bytes,
                config,
                special: Pieces::GlmChinese,
            };
            return opened(source, "sentencepiece", &["cog-pretrain.model"], None);
        }
        if let (Some(vocab), Some(merges)) = (self.read("vocab.json")?, self.read("merges.txt")?) {
            let special = match architecture {
                Architecture::CodeGeex => Pairs::CodeGeex,
                _ if String::from_utf8_lossy(&vocab).contains("\"<s>\"") => Pairs::GlmRoberta,
                _ => Pairs::Glm,
            };
            let source = vocab::Source::Gpt2 {
                vocab: &vocab,
                merges: &merges,
                config,
                special,
            };
            return opened(source, "GPT-2 pairs", &["vocab.json", "merges.txt"], None);
        }
        if let Some(vocab) = self.read("vocab.txt")? {
            let is_cased = config.is_some_and(|text| {
                let settings: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
                settings["do_lower_case"] == false
            });
            let source = vocab::Source::WordPiece {
                vocab: &vocab,
                config,
                lowercase: !is_cased,
            };
            return opened(source, "WordPiece", &["vocab.txt"], None);
        }
        bail!(
            "there is none in {}: no tokenizer.json, tokenizer.model, ice_text.model, cog-pretrain.model, vocab.json \
             with merges.txt, or vocab.txt",
            self.0.display()
        )
    }
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
