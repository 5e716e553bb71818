//! Tokenizer files of every kind against the ids that the makers' own libraries give.
//!
//! `tests/data/tokenizers` holds a folder a kind; `tests/oracles/tokenizer_files.py` made it and says
//! how. Then damaged files of every kind: an error or a vocabulary, never a panic, and quickly.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
    let read = |file| fs::read(folder.join(file)).expect("the file is in the repository");
    kind.files.iter().map(read).collect()
}

fn texts() -> Texts {
    let file = data().join("texts.json");
    let json = fs::read(file).expect("the file is in the repository");
    serde_json::from_slice(&json).expect("the script writes JSON")
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
        if kind.name == "ice_6b" {
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

/// Opens a file that may be damaged, and if it can be opened, uses it.
fn survives(kind: &Kind, files: &[Vec<u8>]) {
    if let Ok(vocab) = (kind.open)(files) {
        let ids = vocab.encode_start("  a\tdef é世\n    self.x ==> y");
        vocab.decode(&ids);
        assert!(
            ids.iter().all(|&id| (id as usize) < vocab.len()),
            "{}",
            kind.name
        );
    }
}

#[test]
fn damaged_files_are_refused_or_read_but_never_a_panic() {
    for kind in KINDS.iter().filter(|kind| kind.name != "gguf_gpt2") {
        let sound = read(kind);
        for place in 0..sound.len() {
            let len = sound[place].len();
            // Cut off everywhere near the ends, and here and there between.
            let between = (0..len).step_by(1 + len / 16);
            for cut in (0..len.min(8))
                .chain(len.saturating_sub(8)..len)
                .chain(between)
            {
                let mut files = sound.clone();
                files[place].truncate(cut);
                survives(kind, &files);
            }
            // Bytes changed, by a fixed sequence of numbers.
            let mut number = 0x2545_f491_u32;
            for _ in 0..24 {
                let mut files = sound.clone();
                for _ in 0..4 {
                    number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let at = (number >> 8) as usize % len;
                    files[place][at] = number.to_le_bytes()[3];
                }
                survives(kind, &files);
            }
        }
    }
}

#[test]
fn hostile_files_are_refused_with_a_reason() {
    let deep = "[".repeat(100_000);
    let chatglm = |model: &[u8]| pieces(model, Pieces::ChatGlm2);
    let ranks = |text: &str| {
        Vocab::open(Source::Tiktoken {
            ranks: text.as_bytes(),
            config: None,
        })
    };
    // A piece "a", its score, its type, as a field of the model.
    let piece = |kind: u8| {
        [
            &[0x0a, 0x0a, 0x0a, 1, b'a', 0x15, 0, 0, 0, 0][..],
            &[0x18, kind],
        ]
        .concat()
    };
    let cases: Vec<(Result<Vocab, Error>, &str)> = vec![
        (chatglm(b""), "it has no pieces"),
        (
            chatglm(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
            "cut off",
        ),
        (chatglm(&[0xff; 64]), "cut off"),
        (chatglm(b"\x0a\x00"), "piece 0: it is empty"),
        (chatglm(b"\x0a\x03\x0a\x01\xff"), "utf-8"),
        (chatglm(&piece(9)), "unknown type 9"),
        (chatglm(&piece(1)), "neither an unknown piece"),
        (chatglm(&piece(1).repeat(2)), "it is there twice"),
        (chatglm(&piece(6)), "this is no byte"),
        (chatglm(&piece(2).repeat(2)), "it has two ids"),
        (chatglm(b"\x12\x02\x18\x03"), "model type 3"),
        (ice(&piece(2), false), "<n> is missing"),
        (ranks("YQ== 4294967295"), "ids must be below"),
        (ranks("YQ== 0\nYQ== 1"), "comes again"),
        (ranks("YQ== 0\nYg== 0"), "it stands for"),
        (ranks("YQ== 99999999999999999999"), "line 1"),
        (ranks("a b c"), "line 1"),
        (Vocab::from_json(deep.as_bytes()), "recursion limit"),
        (
            Vocab::from_json(br#"{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}"#),
            "no token id",
        ),
        (
            Vocab::from_json(br#"{"model":{"type":"Unigram"}}"#),
            "only BPE",
        ),
        (
            pairs(&[deep.clone().into(), vec![]], Pairs::Glm),
            "recursion limit",
        ),
        (
            pairs(&[b"{}".into(), b"a b c".into()], Pairs::Glm),
            "merge 1",
        ),
        (words(b"a\na\n", true), "stands in line 1"),
        (words(b"\xff", true), "utf-8"),
    ];
    for (index, (result, reason)) in cases.into_iter().enumerate() {
        let error = result
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(error.contains(reason), "case {index}, {reason}: {error:?}");
    }
}

#[test]
fn lists_of_a_gguf_file_must_fit() {
    let folder = data().join("gguf_llama/gguf.json");
    let sound = || -> Lists { serde_json::from_slice(&fs::read(&folder).unwrap()).unwrap() };
    let error = |change: fn(&mut Lists)| {
        let mut lists = sound();
        change(&mut lists);
        lists
            .open("llama")
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert_eq!(error(|_| {}), "");
    assert!(error(|lists| lists.scores.truncate(3)).contains("tokenizer.ggml.scores"));
    assert!(error(|lists| lists.types.clear()).contains("tokenizer.ggml.token_type"));
    assert!(error(|lists| lists.types[5] = -7).contains("unknown type -7"));
    assert!(error(|lists| lists.scores[300] = f32::NAN).contains("its score is no number"));
    assert!(error(|lists| lists.tokens[300] = lists.tokens[301].clone()).contains("there twice"));
    assert!(error(|lists| lists.tokens[300] = "x".repeat(5000)).contains("5000 bytes"));
}

/// As many tokens as GLM-4 has: single bytes, then strings of letters that join pair by pair.
fn large() -> (String, String) {
    let alphabet: Vec<char> = (0u8..=255)
        .scan(0x100u32, |next, byte| {
            Some(match byte {
                b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
                _ => {
                    *next += 1;
                    char::from_u32(*next - 1).expect("they are below U+0200")
                }
            })
        })
        .collect();
    let mut merges = Vec::new();
    for length in 2..=4 {
        for number in 0..26usize.pow(length).min(140_000) {
            let word: String = (0..length)
                .rev()
                .map(|place| char::from(b'a' + (number / 26usize.pow(place) % 26) as u8))
                .collect();
            merges.push(word);
        }
    }
    merges.truncate(151_073);
    let tokens: Vec<String> = alphabet
        .iter()
        .map(char::to_string)
        .chain(merges.clone())
        .collect();
    let vocab: serde_json::Map<_, _> = tokens.into_iter().zip((0..).map(Into::into)).collect();
    let pairs: Vec<[&str; 2]> = merges
        .iter()
        .map(|word| word.split_at(word.len() - 1).into())
        .collect();
    let json = serde_json::json!({
        "added_tokens": [],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": pairs},
    });
    let ranks = (0u8..=255)
        .map(|byte| vec![byte])
        .chain(merges.iter().map(|word| word.clone().into_bytes()));
    let lines = ranks
        .enumerate()
        .map(|(rank, token)| format!("{} {rank}\n", base64(&token)));
    (json.to_string(), lines.collect())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let three = |chunk: &[u8]| {
        let bits = chunk
            .iter()
            .chain([&0, &0])
            .take(3)
            .fold(0, |bits, &byte| bits << 8 | u32::from(byte));
        (0..4)
            .map(|place| match place <= chunk.len() {
                true => char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]),
                false => '=',
            })
            .collect::<String>()
    };
    bytes.chunks(3).map(three).collect()
}

#[test]
fn a_vocabulary_of_full_size_opens_quickly() {
    let (json, ranks) = large();
    let timed = |what: &str, open: &dyn Fn() -> Result<Vocab, Error>| {
        let start = Instant::now();
        let vocab = open().unwrap();
        let took = start.elapsed();
        println!("{what}: {} ids in {took:?}", vocab.len());
        assert!(vocab.len() > 140_000);
        assert_eq!(vocab.encode("zz").len(), 1, "{what}");
        // Without optimization and beside other tests; alone and optimized it is a small part.
        assert!(took < Duration::from_secs(60), "{what} took {took:?}");
    };
    timed("tokenizer.json", &|| Vocab::from_json(json.as_bytes()));
    timed("rank file", &|| {
        Vocab::open(Source::Tiktoken {
            ranks: ranks.as_bytes(),
            config: None,
        })
    });
}
