//! Which template a model's files call for.
//!
//! The architecture decides most of it. Where one architecture serves several families, the
//! vocabulary's tokens do, by their spelling; where families share a vocabulary, the name or the
//! length of the context does. A template stored in the file, or set by the user, goes before all
//! this and is the caller's business ([`Template::from_name`]).

use vocab::Vocab;

use super::Template;
use crate::Error;

/// What a model's files say of it.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The architecture, by `glm`'s name for it.
    pub architecture: &'a str,
    /// The model's name, if it has one; a folder's name is one.
    pub name: &'a str,
    /// How many ids it knows.
    pub vocabulary: usize,
    /// How many tokens it can read and write together.
    pub context: usize,
}

/// The context of CodeGeeX2, by which it differs from ChatGLM2 where the name does not say.
const CODEGEEX2_CONTEXT: usize = 8192;

impl Template {
    /// Finds the template in what the files say. [`Template::from_name`] of a stored or configured
    /// name goes before.
    ///
    /// # Errors
    /// If nothing in the files decides it, or the vocabulary lacks what the template needs; the
    /// error says what was looked for and how to name the template.
    pub fn detect(facts: &Facts, vocab: &Vocab) -> Result<Template, Error> {
        let name = facts.name.to_lowercase();
        let is_named = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        let has = |token: &str| vocab.id(token).is_some();
        let undetected = |looked_for| Error::Undetected {
            architecture: facts.architecture.to_owned(),
            looked_for,
        };
        let template = match facts.architecture {
            "glm" => Template::Glm,
            "glm130b" => Template::Glm130b,
            "chatglm" => Template::ChatGlm,
            "codegeex" => Template::CodeGeex,
            "chatglm2" | "glm-hf" if has("<|code_middle|>") => Template::CodeGeex4,
            "chatglm2" | "glm-hf" if has("<|user|>") && has("<|endoftext|>") => Template::Glm4,
            "chatglm2" | "glm-hf" if has("<|user|>") => Template::ChatGlm3,
            "chatglm2" | "glm-hf" if has("[gMASK]") => {
                let is_chat = is_named(&["chatglm"]);
                let is_codegeex = facts.context == CODEGEEX2_CONTEXT && !is_chat;
                match is_named(&["codegeex"]) || is_codegeex {
                    true => Template::CodeGeex2,
                    false => Template::ChatGlm2,
                }
            }
            "chatglm2" | "glm-hf" => {
                return Err(undetected(
                    "its vocabulary has none of the tokens <|code_middle|>, <|user|> and [gMASK]",
                ));
            }
            "glm4" if has("<think>") || is_named(&["z1"]) => Template::GlmZ1,
            "glm4" => Template::Glm4_0414,
            "glm4moe" if is_named(&["4.7", "4_7", "4-7"]) => Template::Glm47,
            "glm4moe" => Template::Glm45,
            "glm4moelite" => Template::Glm47,
            _ => return Err(undetected("that is none of the architectures known here")),
        };
        template.check(vocab, facts.vocabulary)?;
        Ok(template)
    }

    /// Whether the vocabulary has what every prompt of this template is made of. `size` is the number
    /// of ids that the model knows; a vocabulary may have more, and those are no use.
    ///
    /// # Errors
    /// If a token is missing; the error names it.
    pub fn check(self, vocab: &Vocab, size: usize) -> Result<(), Error> {
        let needed: &[&[&'static str]] = match self {
            Template::InfillV1 | Template::InfillV2 => &[
                &["[MASK]"],
                &["[sMASK]"],
                &["[gMASK]"],
                &["<|startofpiece|>"],
                &["<|endofpiece|>"],
                &["[CLS]"],
                &["<|endoftext|>"],
            ],
            Template::Glm => &[&["[MASK]"], &["[CLS]"]],
            Template::Glm130b | Template::ChatGlm => &[&["[MASK]", "MASK"], &["[gMASK]", "gMASK"]],
            Template::CodeGeex => &[&["<|endoftext|>"]],
            Template::CodeGeex2 | Template::ChatGlm2 => &[&["[gMASK]"], super::plain::SOP],
            Template::CodeGeex4 => &[
                &["<|code_suffix|>"],
                &["<|code_prefix|>"],
                &["<|user|>"],
                &["<|assistant|>"],
            ],
            _ => &[&["[gMASK]"], &["<|user|>"], &["<|assistant|>"]],
        };
        let is_known = |token: &&str| vocab.id(token).is_some_and(|id| (id as usize) < size);
        let missing = needed
            .iter()
            .find(|spellings| !spellings.iter().any(is_known));
        missing.map_or(Ok(()), |spellings| {
            Err(Error::Missing {
                template: self,
                token: spellings[0],
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocab::fixture;

    const GLM4: &[&str] = &[
        "<|endoftext|>",
        "[MASK]",
        "[gMASK]",
        "<sop>",
        "<|system|>",
        "<|user|>",
        "<|assistant|>",
        "<|observation|>",
    ];
    const CODE: &[&str] = &["<|code_prefix|>", "<|code_middle|>", "<|code_suffix|>"];
    const CHATGLM2: &[&str] = &["</s>", "[MASK]", "[gMASK]", "sop", "eop"];

    /// The template's name, or what the error says.
    fn detect(architecture: &str, name: &str, context: usize, special: &[&[&str]]) -> String {
        let facts = Facts {
            architecture,
            name,
            vocabulary: 700,
            context,
        };
        match Template::detect(&facts, &fixture::with_special(&special.concat())) {
            Ok(template) => template.name().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn files_say_their_template() {
        let glm: &[&str] = &["[CLS]", "[MASK]", "<|endoftext|>"];
        let roles: &[&str] = &["<|user|>", "<|assistant|>"];
        // Architecture, name, context, special tokens, template.
        type Row<'a> = (&'a str, &'a str, usize, &'a [&'a [&'a str]], &'a str);
        let table: &[Row] = &[
            ("glm", "glm-10b", 1024, &[glm], "glm_v1"),
            ("glm130b", "", 2048, &[CHATGLM2], "glm130b_v1"),
            ("chatglm", "", 2048, &[CHATGLM2], "chatglm_v1"),
            ("codegeex", "", 2048, &[glm], "codegeex_v1"),
            (
                "chatglm2",
                "codegeex2-6b",
                8192,
                &[CHATGLM2],
                "codegeex2_v1",
            ),
            (
                "chatglm2",
                "CodeGeeX2-6B-int4",
                32768,
                &[CHATGLM2],
                "codegeex2_v1",
            ),
            ("chatglm2", "", 8192, &[CHATGLM2], "codegeex2_v1"),
            ("chatglm2", "chatglm2-6b", 8192, &[CHATGLM2], "chatglm2_v1"),
            ("chatglm2", "", 32768, &[CHATGLM2], "chatglm2_v1"),
            ("chatglm2", "", 8192, &[CHATGLM2, roles], "chatglm3_v1"),
            ("chatglm2", "", 131_072, &[GLM4], "glm4_v1"),
            ("glm-hf", "", 131_072, &[GLM4], "glm4_v1"),
            (
                "chatglm2",
                "any name",
                131_072,
                &[GLM4, CODE],
                "codegeex4_v1",
            ),
            ("glm-hf", "", 131_072, &[GLM4, CODE], "codegeex4_v1"),
            ("glm4", "GLM-4-9B-0414", 32768, &[GLM4], "glm4_0414_v1"),
            ("glm4", "GLM-Z1-9B-0414", 32768, &[GLM4], "glm_z1_v1"),
            ("glm4", "", 32768, &[GLM4, &["<think>"]], "glm_z1_v1"),
            ("glm4moe", "GLM-4.5-Air", 131_072, &[GLM4, CODE], "glm45_v1"),
            ("glm4moe", "GLM-4.6", 202_752, &[GLM4, CODE], "glm45_v1"),
            (
                "glm4moe",
                "zai-org/GLM-4.7",
                202_752,
                &[GLM4, CODE],
                "glm47_v1",
            ),
            ("glm4moelite", "", 202_752, &[GLM4, CODE], "glm47_v1"),
        ];
        for (architecture, name, context, special, expected) in table {
            let found = detect(architecture, name, *context, special);
            assert_eq!(found, *expected, "{architecture} {name} {context}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let table: &[(&str, &[&str], &str)] = &[
            ("mamba", GLM4, "architecture is `mamba`"),
            (
                "chatglm2",
                &["</s>"],
                "<|code_middle|>, <|user|> and [gMASK]",
            ),
            ("glm", &["[CLS]"], "no token [MASK]"),
            (
                "glm4moe",
                &["[gMASK]", "<|user|>"],
                "no token <|assistant|>",
            ),
        ];
        for (architecture, special, expected) in table {
            let found = detect(architecture, "", 1, &[special]);
            assert!(found.contains(expected), "{found}");
            assert!(found.contains("`template` in infill.toml"), "{found}");
        }
    }

    #[test]
    fn a_token_that_the_model_does_not_know_is_missing() {
        let vocab = fixture::with_special(GLM4);
        let mut facts = Facts {
            architecture: "glm4moe",
            name: "",
            vocabulary: 700,
            context: 1,
        };
        assert_eq!(Template::detect(&facts, &vocab), Ok(Template::Glm45));
        facts.vocabulary = 2;
        let error = Template::detect(&facts, &vocab).unwrap_err().to_string();
        assert!(error.contains("[gMASK]"), "{error}");
    }

    #[test]
    fn names_lead_to_their_templates() {
        for template in Template::ALL {
            assert_eq!(Template::from_name(template.name()), Ok(template));
        }
        let error = Template::from_name("codegeex3").unwrap_err().to_string();
        assert!(
            error.contains("codegeex3") && error.contains("codegeex4_v1"),
            "{error}"
        );
    }
}
