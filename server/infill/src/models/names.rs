//! Names of the family's published models: where each lies on the hub and under which licence.
//!
//! A table and its look-up; it knows no files. Anything of the form `OWNER/NAME` is a repository of
//! the hub, too, so that models that are not in the table can be pulled.

use anyhow::{anyhow, bail};

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

/// What to know of a licence before use, by the start of the repository's name.
const NOTES: &[(&str, &str)] = &[(
    "THUDM/codegeex4",
    "CodeGeeX4: academic use is free; commercial use needs a registration with its makers",
)];

const CODEGEEX_13B: &str = "CodeGeeX-13B is not on the hub. Its makers send a download link to those who fill in the form \
    in the README of THUDM/CodeGeeX; unpack the file and use `--model` with its path";
const GLM_130B: &str = "GLM-130B is not on the hub. Its makers send download links to those who fill in the form in the \
    README of THUDM/GLM-130B; join and unpack the parts and use `--model` with the folder";

/// All of them.
pub const KNOWN: &[Known] = &[
    known("codegeex4-all-9b", Hub("THUDM/codegeex4-all-9b")),
    known("codegeex2-6b", Hub("THUDM/codegeex2-6b")),
    known("codegeex-13b", Elsewhere(CODEGEEX_13B)),
    known("glm-4-9b", Hub("THUDM/glm-4-9b")),
    known("glm-4-9b-hf", Hub("THUDM/glm-4-9b-hf")),
    known("glm-4-9b-chat", Hub("THUDM/glm-4-9b-chat")),
    known("glm-4-9b-chat-hf", Hub("THUDM/glm-4-9b-chat-hf")),
    known("glm-4-9b-chat-1m", Hub("THUDM/glm-4-9b-chat-1m")),
    known("glm-4-9b-0414", Hub("THUDM/GLM-4-9B-0414")),
    known("glm-4-32b-0414", Hub("THUDM/GLM-4-32B-0414")),
    known("glm-4-32b-base-0414", Hub("THUDM/GLM-4-32B-Base-0414")),
    known("glm-z1-9b-0414", Hub("THUDM/GLM-Z1-9B-0414")),
    known("glm-z1-32b-0414", Hub("THUDM/GLM-Z1-32B-0414")),
    known("glm-4.5", Hub("zai-org/GLM-4.5")),
    known("glm-4.5-air", Hub("zai-org/GLM-4.5-Air")),
    known("glm-4.6", Hub("zai-org/GLM-4.6")),
    known("glm-4.7", Hub("zai-org/GLM-4.7")),
    known("glm-4.7-flash", Hub("zai-org/GLM-4.7-Flash")),
    known("chatglm-6b", Hub("THUDM/chatglm-6b")),
    known("chatglm2-6b", Hub("THUDM/chatglm2-6b")),
    known("chatglm3-6b", Hub("THUDM/chatglm3-6b")),
    known("glm-large-chinese", Hub("THUDM/glm-large-chinese")),
    known("glm-2b", Hub("THUDM/glm-2b")),
    known("glm-10b", Hub("THUDM/glm-10b")),
    known("glm-10b-chinese", Hub("THUDM/glm-10b-chinese")),
    known("glm-130b", Elsewhere(GLM_130B)),
];

const fn known(name: &'static str, place: Place) -> Known {
    Known { name, place }
}

/// The repository and the name in the store for a name that a person gave.
///
/// # Errors
/// If the model is not on the hub (with where it is), or the name is none (with those there are).
pub fn resolve(name: &str) -> anyhow::Result<(String, String)> {
    let lower = name.to_lowercase();
    if let Some(known) = KNOWN.iter().find(|known| known.name == lower) {
        return match known.place {
            Hub(repository) => Ok((repository.to_owned(), known.name.to_owned())),
            Elsewhere(how) => Err(anyhow!("{how}")),
        };
    }
    if let Some((owner, model)) = name.split_once('/')
        && is_plain(owner)
        && is_plain(model)
    {
        return Ok((name.to_owned(), lower.replace('/', "--")));
    }
    let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
    bail!(
        "there is no model `{name}`; known are {}; or give OWNER/NAME of a repository",
        names.join(", ")
    )
}

/// What to know of a repository's licence beyond its name.
pub fn licence_note(repository: &str) -> Option<&'static str> {
    NOTES
        .iter()
        .find(|(start, _)| repository.starts_with(start))
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
        let (repository, name) = resolve("CodeGeeX4-ALL-9B").unwrap();
        assert_eq!(
            (&*repository, &*name),
            ("THUDM/codegeex4-all-9b", "codegeex4-all-9b")
        );
        assert_eq!(
            resolve("a/B").unwrap(),
            ("a/B".to_owned(), "a--b".to_owned())
        );
        assert!(
            resolve("glm-130b")
                .unwrap_err()
                .to_string()
                .contains("form")
        );
        for wrong in ["", "gpt", "../x", "a/../b", "/etc", "a/b/c"] {
            assert!(resolve(wrong).is_err(), "{wrong}");
        }
        assert!(licence_note("THUDM/codegeex4-all-9b").is_some());
        assert!(KNOWN.iter().all(|known| is_plain(known.name)));
    }
}
