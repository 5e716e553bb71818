//! Damaged and hostile tokenizer files: a clear error, at once.

use std::time::Instant;
use vocab::{GgufTokenizer, Pairs, Pieces, Source, Vocab};

/// Longest time until the error, in milliseconds.
const TIME: u128 = 1000;

/// What is wrong, the files, and what the error must say.
type Case<'a> = (&'a str, Source<'a>, &'a [&'a str]);

#[test]
fn spoiled_tokenizers_are_refused_with_their_fault_at_once() {
    let whole = vocab::fixture::tokenizer_json();
    let with = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        whole.replacen(from, to, 1).into_bytes()
    };
    let cut = whole.as_bytes()[..whole.len() / 2].to_vec();
    let deep = "[".repeat(1 << 20).into_bytes();
    let unigram = with("\"BPE\"", "\"Unigram\"");
    let far = with("\"id\":", "\"id\":4294967295,\"old\":");
    let pattern = with(
        r#""Regex":""#,
        r#""Regex":"(((a{1000}){1000}){1000}){1000}("#,
    );
    let ranks = |lines: &str| lines.as_bytes().to_vec();
    let (far_rank, twice) = (ranks("YQ== 4000000000\n"), ranks("YQ== 0\nYQ== 1\n"));
    let bytes = b"{\"added_tokens_decoder\": {\"x\": {}}}";
    let many = vec![String::new(); (1 << 20) + 1];
    let gguf = GgufTokenizer {
        model: "gpt2",
        pre: Some("gpt-2"),
        tokens: &[],
        scores: &[],
        types: &[],
        merges: &[],
        space_prefix: None,
    };
    let pair = ["a".to_owned()];
    // One line a case.
    #[rustfmt::skip]
    let cases: &[Case] = &[
        ("json, empty", Source::Json(b""), &["cannot be read", "line 1"]),
        ("json, cut", Source::Json(&cut), &["cannot be read", "EOF"]),
        ("json, deep", Source::Json(&deep), &["cannot be read", "recursion"]),
        ("json, a list", Source::Json(b"[]"), &["tokenizer.json, the file", "no JSON object"]),
        ("json, another model", Source::Json(&unigram), &["tokenizer.json", "Unigram"]),
        ("json, an id far away", Source::Json(&far), &["4294967295", "below 1048576"]),
        ("json, a hostile pattern", Source::Json(&pattern), &["tokenizer.json, pre_tokenizer"]),
        ("ranks, empty", Source::Tiktoken { ranks: b"", config: None }, &["no token for byte 0x00"]),
        ("ranks, not base64", Source::Tiktoken { ranks: b"a\n", config: None }, &["tokenizer.model, line 1", "base64"]),
        ("ranks, far away", Source::Tiktoken { ranks: &far_rank, config: None }, &["4000000000", "below 1048576"]),
        ("ranks, twice", Source::Tiktoken { ranks: &twice, config: None }, &["line 2", "rank 0 comes again"]),
        ("ranks, not text", Source::Tiktoken { ranks: b"\xff\xfe", config: None }, &["tokenizer.model", "utf-8"]),
        ("pieces, empty", Source::SentencePiece { model: b"", config: None, special: Pieces::ChatGlm2 }, &["tokenizer"]),
        ("pieces, no model", Source::SentencePiece { model: b"\x0a\xff\xff\xff\xff\x0f", config: None, special: Pieces::GlmChinese }, &["tokenizer"]),
        ("ice, empty", Source::Ice { model: b"", images: true }, &["tokenizer"]),
        ("pair, empty", Source::Gpt2 { vocab: b"", merges: b"", config: None, special: Pairs::Glm }, &["vocab.json"]),
        ("pair, a list", Source::Gpt2 { vocab: b"[]", merges: b"", config: None, special: Pairs::CodeGeex }, &["vocab.json"]),
        ("words, empty", Source::WordPiece { vocab: b"", config: None, lowercase: true }, &["[PAD]"]),
        ("words, twice", Source::WordPiece { vocab: b"a\na\n", config: None, lowercase: true }, &["vocab.txt, line 2", "line 1 already"]),
        ("words, added wrongly", Source::WordPiece { vocab: b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", config: Some(bytes), lowercase: true }, &["tokenizer_config.json, added_tokens_decoder", "must be an id"]),
        ("gguf, empty", Source::Gguf(gguf), &["no token for byte 0x00"]),
        ("gguf, types for others", Source::Gguf(GgufTokenizer { tokens: &pair, types: &[1, 1], ..gguf }), &["token_type", "2 for 1 tokens"]),
        ("gguf, too many", Source::Gguf(GgufTokenizer { tokens: &many, ..gguf }), &["tokenizer.ggml.tokens", "1048577"]),
        ("gguf, another kind", Source::Gguf(GgufTokenizer { model: "t5", ..gguf }), &["\"t5\""]),
        ("gguf, another cut", Source::Gguf(GgufTokenizer { pre: None, ..gguf }), &["tokenizer.ggml.pre", "missing"]),
    ];
    let mut faults = Vec::new();
    for (name, source, words) in cases {
        let before = Instant::now();
        let error = Vocab::open(*source).err().map(|error| error.to_string());
        let time = before.elapsed().as_millis();
        let error = error.unwrap_or_else(|| "nothing is wrong".to_owned());
        if let Some(word) = words.iter().find(|word| !error.contains(**word)) {
            faults.push(format!("{name}: `{error}` does not say `{word}`"));
        }
        if time > TIME {
            faults.push(format!("{name}: it takes {time} ms"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
