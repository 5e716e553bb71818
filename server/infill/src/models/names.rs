//! Names of the family's published models: where each lies on the hub and under which licence.
//!
//! A table and its look-up; it knows no files. Anything of the form `OWNER/NAME` is a repository of
//! the hub, too, so that models that are not in the table can be pulled.

use anyhow::bail;

/// A model that can be asked for by name.
pub struct Known {
    /// The name.
    pub name: &'static str,
    /// Its repository on the hub, or why there is none.
    pub place: Place,
}

/// Where a model is to be had.
#[derive(Clone, Copy)]
pub enum Place {
    /// In this repository of the hub.
    Hub(&'static str),
    /// Not on the hub; how to get it.
    Elsewhere(&'static str),
}

use Place::{Elsewhere, Hub};

/// What to know of a licence before use, by the start of its name.
const NOTES: &[(&str, &str)] = &[
    (
        "codegeex4",
        "CodeGeeX4: academic use is free; commercial use needs a registration with its makers, \
         https://open.bigmodel.cn/mla/form",
    ),
    (
        "codegeex2",
        "CodeGeeX2: academic use is free; commercial use needs a registration with its makers, \
         https://open.bigmodel.cn/mla/form?mcode=CodeGeeX2-6B",
    ),
];

const CODEGEEX_13B: &str = "CodeGeeX-13B is not on the hub. Its makers send a download link to those who fill in the form \
    that the README of their repository THUDM/CodeGeeX names; unpack the file and use `--model` with its path";
const GLM_130B: &str = "GLM-130B is not on the hub. Its makers send download links to those who fill in the form that the \
    README of their repository THUDM/GLM-130B names; join and unpack the parts and use `--model` with the folder";
const GLM_2021: &str = "this GLM of 2021 is not on the hub. The README of its makers' repository THUDM/GLM says where its \
    archive lies; unpack it and use `--model` with its file";

/// All of them.
pub const KNOWN: &[Known] = &[
    known("codegeex4-all-9b", Hub("zai-org/codegeex4-all-9b")),
    known(
        "codegeex4-all-9b-gguf",
        Hub("zai-org/codegeex4-all-9b-GGUF"),
    ),
    known("codegeex2-6b", Hub("zai-org/codegeex2-6b")),
    known("codegeex2-6b-int4", Hub("zai-org/codegeex2-6b-int4")),
    known("codegeex-13b", Elsewhere(CODEGEEX_13B)),
    known("glm-4-9b", Hub("zai-org/glm-4-9b")),
    known("glm-4-9b-hf", Hub("zai-org/glm-4-9b-hf")),
    known("glm-4-9b-chat", Hub("zai-org/glm-4-9b-chat")),
    known("glm-4-9b-chat-hf", Hub("zai-org/glm-4-9b-chat-hf")),
    known("glm-4-9b-chat-1m", Hub("zai-org/glm-4-9b-chat-1m")),
    known("glm-4-9b-chat-1m-hf", Hub("zai-org/glm-4-9b-chat-1m-hf")),
    known("glm-4-9b-0414", Hub("zai-org/GLM-4-9B-0414")),
    known("glm-4-32b-0414", Hub("zai-org/GLM-4-32B-0414")),
    known("glm-4-32b-base-0414", Hub("zai-org/GLM-4-32B-Base-0414")),
    known("glm-z1-9b-0414", Hub("zai-org/GLM-Z1-9B-0414")),
    known("glm-z1-32b-0414", Hub("zai-org/GLM-Z1-32B-0414")),
    known(
        "glm-z1-rumination-32b-0414",
        Hub("zai-org/GLM-Z1-Rumination-32B-0414"),
    ),
    known("glm-4.5", Hub("zai-org/GLM-4.5")),
    known("glm-4.5-base", Hub("zai-org/GLM-4.5-Base")),
    known("glm-4.5-air", Hub("zai-org/GLM-4.5-Air")),
    known("glm-4.5-air-base", Hub("zai-org/GLM-4.5-Air-Base")),
    known("glm-4.6", Hub("zai-org/GLM-4.6")),
    known("glm-4.7", Hub("zai-org/GLM-4.7")),
    known("glm-4.7-flash", Hub("zai-org/GLM-4.7-Flash")),
    known("chatglm-6b", Hub("zai-org/chatglm-6b")),
    known("chatglm-6b-int8", Hub("zai-org/chatglm-6b-int8")),
    known("chatglm-6b-int4", Hub("zai-org/chatglm-6b-int4")),
    known("chatglm2-6b", Hub("zai-org/chatglm2-6b")),
    known("chatglm2-6b-int4", Hub("zai-org/chatglm2-6b-int4")),
    known("chatglm2-6b-32k", Hub("zai-org/chatglm2-6b-32k")),
    known("chatglm3-6b", Hub("zai-org/chatglm3-6b")),
    known("chatglm3-6b-base", Hub("zai-org/chatglm3-6b-base")),
    known("chatglm3-6b-32k", Hub("zai-org/chatglm3-6b-32k")),
    known("chatglm3-6b-128k", Hub("zai-org/chatglm3-6b-128k")),
    known("glm-base", Elsewhere(GLM_2021)),
    known("glm-large", Elsewhere(GLM_2021)),
    known("glm-large-chinese", Hub("zai-org/glm-large-chinese")),
    known("glm-roberta-large", Hub("zai-org/glm-roberta-large")),
    known("glm-2b", Hub("zai-org/glm-2b")),
    known("glm-10b", Hub("zai-org/glm-10b")),
    known("glm-10b-chinese", Hub("zai-org/glm-10b-chinese")),
    known("glm-130b", Elsewhere(GLM_130B)),
];

const fn known(name: &'static str, place: Place) -> Known {
    Known { name, place }
}

/// What a name asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The repository on the hub.
    pub repository: String,
    /// Which of its GGUF files, by a part of their names such as `Q4_K_M`; None is whatever there is.
    pub quant: Option<String>,
    /// The name in the store.
    pub name: String,
}

/// What a name that a person gave asks for: a known name or `OWNER/NAME`, then perhaps `:QUANT`.
///
/// # Errors
/// If the model is not on the hub (with where it is), or the name is none (with those there are).
pub fn resolve(asked: &str) -> anyhow::Result<Asked> {
    let (model, quant) = match asked.split_once(':') {
        Some((model, quant)) => (model, Some(quant)),
        None => (asked, None),
    };
    let known = KNOWN
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(model));
    let repository = match known.map(|known| known.place) {
        Some(Hub(repository)) => repository,
        Some(Elsewhere(how)) => bail!("{how}"),
        None => model,
    };
    let is_repository = repository
        .split_once('/')
        .is_some_and(|(owner, name)| is_plain(owner) && is_plain(name));
    if !is_repository || quant.is_some_and(|quant| !is_plain(quant)) {
        let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
        bail!(
            "there is no model `{asked}`; known are {}; or give OWNER/NAME of a repository, with :Q4_K_M or the like \
             for one GGUF file of several",
            names.join(", ")
        );
    }
    Ok(Asked {
        repository: repository.to_owned(),
        quant: quant.map(str::to_owned),
        name: stored(asked),
    })
}

/// The name in the store of what a person calls a model.
pub fn stored(asked: &str) -> String {
    asked.to_lowercase().replace(['/', ':'], "--")
}

/// What to know of a repository's licence beyond its name.
pub fn licence_note(repository: &str) -> Option<&'static str> {
    // The makers' older names on the hub, and their name on ModelScope, hold the same models.
    let (owner, name) = repository.split_once('/')?;
    let is_theirs = ["zai-org", "THUDM", "ZhipuAI"].contains(&owner);
    NOTES
        .iter()
        .find(|(start, _)| is_theirs && name.starts_with(start))
        .map(|(_, note)| *note)
}

/// Whether this may be a part of a repository's name, and of a path: no separators, no dots at the start.
pub fn is_plain(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_repositories_or_a_reason() {
        for (asked, repository, quant, name) in [
            (
                "CodeGeeX4-ALL-9B",
                "zai-org/codegeex4-all-9b",
                None,
                "codegeex4-all-9b",
            ),
            ("a/B", "a/B", None, "a--b"),
            ("a/B:Q4_K_M", "a/B", Some("Q4_K_M"), "a--b--q4_k_m"),
        ] {
            let expected = Asked {
                repository: repository.to_owned(),
                quant: quant.map(str::to_owned),
                name: name.to_owned(),
            };
            assert_eq!(resolve(asked).unwrap(), expected);
        }
        for asked in ["glm-130b", "codegeex-13b", "glm-base"] {
            let error = resolve(asked).unwrap_err().to_string();
            assert!(error.contains("`--model`"), "{error}");
        }
        for wrong in [
            "", "gpt", "../x", "a/../b", "/etc", "a/b/c", "a/b:", "a/b:c/d", "a/b:../c",
        ] {
            assert!(resolve(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_known_name_is_one_in_the_store() {
        for known in KNOWN {
            assert!(
                is_plain(known.name) && stored(known.name) == known.name,
                "{}",
                known.name
            );
            if let Hub(repository) = known.place {
                assert_eq!(resolve(known.name).unwrap().repository, repository);
            }
        }
        assert!(licence_note("zai-org/codegeex4-all-9b-GGUF").is_some());
        assert!(licence_note("THUDM/codegeex4-all-9b").is_some());
    }
}
