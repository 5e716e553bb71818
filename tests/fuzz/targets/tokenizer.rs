//! The files of a tokenizer; the first byte says of which kind. A vocabulary that opens encodes and decodes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vocab::{GgufTokenizer, Pairs, Pieces, Source, Vocab};

/// What a vocabulary is tried on.
const TEXT: &str = "def f(x):\r\n\treturn  x + 1  # grüße, 世界 😀 [MASK]<|user|>\n\n\n";

fuzz_target!(|input: &[u8]| {
    let Some((&kind, input)) = input.split_first() else {
        return;
    };
    let [first, second, third] = fuzz::files(input);
    let some = |file| Some(file).filter(|file: &&[u8]| !file.is_empty());
    let lines = |file| -> Vec<String> {
        let text = String::from_utf8_lossy(file);
        text.lines().map(str::to_owned).collect()
    };
    let pieces = [Pieces::ChatGlm2, Pieces::ChatGlm3, Pieces::GlmChinese];
    let pairs = [Pairs::Glm, Pairs::GlmRoberta, Pairs::CodeGeex];
    let place = usize::from(kind) / 8 % 3;
    let (tokens, merges): (Vec<String>, Vec<String>);
    let source = match kind % 8 {
        0 => Source::Json(first),
        1 => Source::Tiktoken {
            ranks: first,
            config: some(second),
        },
        2 => Source::SentencePiece {
            model: first,
            config: some(second),
            special: pieces[place],
        },
        3 => Source::Ice {
            model: first,
            images: place == 0,
        },
        4 => Source::Gpt2 {
            vocab: first,
            merges: second,
            config: some(third),
            special: pairs[place],
        },
        5 => Source::WordPiece {
            vocab: first,
            config: some(second),
            lowercase: place == 0,
        },
        kind => {
            (tokens, merges) = (lines(first), lines(second));
            let types: Vec<i32> = third.iter().map(|&byte| i32::from(byte as i8)).collect();
            let scores: Vec<f32> = types.iter().map(|&kind| kind as f32).collect();
            return run(Source::Gguf(GgufTokenizer {
                model: if kind == 6 { "gpt2" } else { "llama" },
                pre: Some(["gpt-2", "glm4", "chatglm-bpe"][place]),
                tokens: &tokens,
                scores: &scores,
                types: &types,
                merges: &merges,
                space_prefix: None,
            }));
        }
    };
    run(source);
});

fn run(source: Source) {
    let Ok(vocab) = Vocab::open(source) else {
        return;
    };
    let ids = vocab.encode(TEXT);
    assert!(ids.iter().all(|&id| (id as usize) < vocab.len()));
    vocab.decode(&ids);
    vocab.encode_start(TEXT);
    let _ = vocab.special();
}
