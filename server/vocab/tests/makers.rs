//! Tokenizer files of every kind against the ids that the makers' own libraries give.
//!
//! `tests/data/tokenizers` holds a folder a kind; `tests/oracles/tokenizer_files.py` made it and says
//! how.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vocab::{Error, GgufTokenizer, Pairs, Pieces, Source, Vocab};

/// Where the kinds' folders are.
fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tokenizers")
}

/// What a kind's folder is opened as, and its files.
struct Kind {
    name: &'static str,
    files: &'static [&'static str],
    open: fn(&[Vec<u8>]) -> Result<Vocab, Error>,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "spm_bpe",
        files: &["tokenizer.model"],
        open: |files| pieces(&files[0], Pieces::ChatGlm3),
    },
    Kind {
        name: "spm_bpe_symbols",
        files: &["tokenizer.model"],
        open: |files| pieces(&files[0], Pieces::ChatGlm2),
    },
    Kind {
        name: "spm_unigram",
        files: &["tokenizer.model"],
        open: |files| pieces(&files[0], Pieces::ChatGlm2),
    },
    Kind {
        name: "spm_chinese",
        files: &["cog-pretrain.model"],
        open: |files| pieces(&files[0], Pieces::GlmChinese),
    },
    Kind {
        name: "ice_130b",
        files: &["ice_text.model"],
        open: |files| ice(&files[0], true),
    },
    Kind {
        name: "ice_6b",
        files: &["ice_text.model"],
        open: |files| ice(&files[0], false),
    },
    Kind {
        name: "tiktoken",
        files: &["tokenizer.model"],
        open: |files| {
            Vocab::open(Source::Tiktoken {
                ranks: &files[0],
                config: None,
            })
        },
    },
    Kind {
        name: "json",
        files: &["tokenizer.json"],
        open: |files| Vocab::from_json(&files[0]),
    },
    Kind {
        name: "gpt2",
        files: &["vocab.json", "merges.txt"],
        open: |files| pairs(files, Pairs::Glm),
    },
    Kind {
        name: "codegeex_13b",
        files: &["vocab.json", "merges.txt"],
        open: |files| pairs(files, Pairs::CodeGeex),
    },
    Kind {
        name: "wordpiece_uncased",
        files: &["vocab.txt"],
        open: |files| words(&files[0], true),
    },
    Kind {
        name: "wordpiece_cased",
        files: &["vocab.txt"],
        open: |files| words(&files[0], false),
    },
    Kind {
        name: "gguf_gpt2",
        files: &["gguf.json"],
        open: |files| gguf(&files[0], "gpt2"),
    },
    Kind {
        name: "gguf_llama",
        files: &["gguf.json"],
        open: |files| gguf(&files[0], "llama"),
    },
];

fn pieces(model: &[u8], special: Pieces) -> Result<Vocab, Error> {
    Vocab::open(Source::SentencePiece {
        model,
        config: None,
        special,
    })
}

fn ice(model: &[u8], images: bool) -> Result<Vocab, Error> {
    Vocab::open(Source::Ice { model, images })
}

fn pairs(files: &[Vec<u8>], special: Pairs) -> Result<Vocab, Error> {
    Vocab::open(Source::Gpt2 {
        vocab: &files[0],
        merges: &files[1],
        config: None,
        special,
    })
}

fn words(vocab: &[u8], lowercase: bool) -> Result<Vocab, Error> {
    Vocab::open(Source::WordPiece {
        vocab,
        config: None,
        lowercase,
    })
}

/// The lists of a GGUF file, as JSON.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Lists {
    tokens: Vec<String>,
    scores: Vec<f32>,
    types: Vec<i32>,
    merges: Vec<String>,
}

impl Lists {
    fn open(&self, model: &str) -> Result<Vocab, Error> {
        Vocab::open(Source::Gguf(GgufTokenizer {
            model,
            pre: Some("glm4"),
            tokens: &self.tokens,
            scores: &self.scores,
            types: &self.types,
            merges: &self.merges,
            space_prefix: None,
        }))
    }
}

/// Damaged JSON is the business of whoever reads GGUF; here it counts as empty lists.
fn gguf(file: &[u8], model: &str) -> Result<Vocab, Error> {
    let lists: Lists = serde_json::from_slice(file).unwrap_or_default();
    lists.open(model)
}

#[derive(Deserialize)]
struct Texts {
    texts: Vec<String>,
    /// Spells the white space of ChatGLM-6B.
    spelled: String,
}

#[derive(Deserialize)]
struct Expected {
    /// Ids of whole texts.
    start: Vec<Vec<u32>>,
    /// Ids of texts inside others.
    plain: Vec<Vec<u32>>,
    /// The texts again, where the kind loses something.
    decoded: Option<Vec<String>>,
}

fn read(kind: &Kind) -> Vec<Vec<u8>> {
    let folder = data().join(kind.name);
    let read = |file| fs::read(folder.join(file)).unwrap();
    kind.files.iter().map(read).collect()
}

fn texts() -> Texts {
    let file = data().join("texts.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn every_kind_gives_the_ids_of_the_makers_library() {
    let Texts { texts, spelled } = texts();
    let mut wrong = Vec::new();
    for kind in KINDS {
        let vocab = (kind.open)(&read(kind)).unwrap_or_else(|e| panic!("{}: {e}", kind.name));
        let path = data().join(kind.name).join("expected.json");
        let expected: Expected = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(expected.start.len(), texts.len(), "{}", kind.name);
        assert_eq!(expected.plain.len(), texts.len(), "{}", kind.name);
        let mut check = |what: &str, text: &str, is: String, should: String| {
            if is != should {
                wrong.push(format!(
                    "{}, {what} of {text:?}:\n  is     {is}\n  should {should}",
                    kind.name
                ));
            }
        };
        for (index, text) in texts.iter().enumerate() {
            let (start, plain) = (vocab.encode_start(text), vocab.encode(text));
            let should = &expected.start[index];
            check("start", text, format!("{start:?}"), format!("{should:?}"));
            let should = &expected.plain[index];
            check("plain", text, format!("{plain:?}"), format!("{should:?}"));
            let lossy = expected.decoded.as_ref().map(|decoded| &decoded[index]);
            let should = lossy.unwrap_or(text);
            let is = vocab.decode(&plain);
            check("text", text, format!("{is:?}"), format!("{should:?}"));
            assert!(plain.iter().all(|&id| (id as usize) < vocab.len()));
        }
        if expected.decoded.is_none() {
            let is = vocab.decode(&vocab.encode(&spelled));
            check("text", &spelled, is, spelled.clone());
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn special_tokens_lie_where_the_makers_put_them() {
    // The ids behind the last piece of the small files, at the distances of the published ones.
    let cases: &[(&str, &[&str])] = &[
        (
            "spm_bpe",
            &[
                "[MASK]",
                "[gMASK]",
                "[sMASK]",
                "sop",
                "eop",
                "<|system|>",
                "<|user|>",
                "<|assistant|>",
                "<|observation|>",
            ],
        ),
        (
            "spm_unigram",
            &["[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"],
        ),
        (
            "spm_chinese",
            &[
                "<|endoftext|>",
                "[SEP]",
                "[CLS]",
                "[MASK]",
                "[UNK]",
                "",
                "<|startofpiece|>",
                "<|endofpiece|>",
                "[sMASK]",
                "[gMASK]",
            ],
        ),
        (
            "tiktoken",
            &[
                "<|endoftext|>",
                "[MASK]",
                "[gMASK]",
                "[sMASK]",
                "<sop>",
                "<eop>",
                "<|system|>",
            ],
        ),
        (
            "gpt2",
            &[
                "<|startofpiece|>",
                "<|endofpiece|>",
                "[CLS]",
                "[MASK]",
                "[SEP]",
                "[UNK]",
                "[gMASK]",
                "[sMASK]",
                "[dBLOCK]",
            ],
        ),
    ];
    for (name, spellings) in cases {
        let kind = KINDS.iter().find(|kind| kind.name == *name).unwrap();
        let vocab = (kind.open)(&read(kind)).unwrap();
        let first = vocab.id(spellings[0]).unwrap();
        assert!(
            vocab.bytes(first - 1) != b"",
            "{name}: the last piece is text"
        );
        for (id, spelling) in (first..).zip(*spellings) {
            if !spelling.is_empty() {
                assert_eq!(vocab.id(spelling), Some(id), "{name}: {spelling}");
                assert_eq!(vocab.bytes(id), b"", "{name}: {spelling}");
            }
        }
    }
    // ChatGLM-6B and GLM-130B: the special tokens lie before white space and bytes.
    for (name, first) in [("ice_130b", 20_000), ("ice_6b", 0)] {
        let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
        let vocab = (kind.open)(&read(kind)).unwrap();
        let mask = vocab.id("[MASK]").unwrap();
        for (id, spelling) in (mask..).zip(["[MASK]", "[gMASK]", "[sMASK]"]) {
            assert_eq!(vocab.id(spelling), Some(id), "{name}: {spelling}");
        }
        assert_eq!(vocab.id("<sop>"), Some(mask + 4), "{name}");
        assert_eq!(vocab.id("<eop>"), Some(mask + 5), "{name}");
        assert_eq!(vocab.id("</s>"), Some(first + 2), "{name}");
        assert_eq!(vocab.bytes(mask + 8), b"\t", "{name}");
        assert_eq!(vocab.bytes(mask + 9), b"  ", "{name}");
        assert_eq!(vocab.bytes(mask + 9 + 78), [b' '; 80], "{name}");
    }
}
