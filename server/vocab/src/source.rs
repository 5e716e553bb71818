//! The kinds of tokenizer files that models of the GLM family come with.
//!
//! Bytes and choices only: who calls has read the files and knows which model they belong to.
//! A `config` is a `tokenizer_config.json` (its `added_tokens_decoder` counts) or an
//! `added_tokens.json`; what it lists stands before what is known of the family.

/// A tokenizer as its makers publish it.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A `tokenizer.json` of a byte-level BPE: GLM-4-9B-hf and all that came later.
    Json(&'a [u8]),
    /// GLM-4's and CodeGeeX4's `tokenizer.model`: lines of a token in base64 and its rank.
    Tiktoken {
        /// The rank file.
        ranks: &'a [u8],
        /// Names of the added tokens; without it GLM-4's fourteen follow the ranks.
        config: Option<&'a [u8]>,
    },
    /// A sentencepiece model whose special tokens follow its pieces.
    SentencePiece {
        /// The `.model` file.
        model: &'a [u8],
        /// More added tokens.
        config: Option<&'a [u8]>,
        /// Which special tokens follow.
        special: Pieces,
    },
    /// `ice_text.model`: ChatGLM-6B and GLM-130B.
    Ice {
        /// The `.model` file, with the special tokens (ChatGLM-6B) or without (GLM-130B).
        model: &'a [u8],
        /// Whether the ids start with a block of 20000 image codes (GLM-130B and the first
        /// release of ChatGLM-6B).
        images: bool,
    },
    /// `vocab.json` and `merges.txt` of GPT-2 and its relatives.
    Gpt2 {
        /// `vocab.json`.
        vocab: &'a [u8],
        /// `merges.txt`.
        merges: &'a [u8],
        /// More added tokens.
        config: Option<&'a [u8]>,
        /// Which special tokens follow.
        special: Pairs,
    },
    /// `vocab.txt` of a BERT: GLM base and large.
    WordPiece {
        /// `vocab.txt`: one token a line.
        vocab: &'a [u8],
        /// More added tokens.
        config: Option<&'a [u8]>,
        /// Whether text is put into lower case and stripped of its accents (`-uncased`).
        lowercase: bool,
    },
    /// The tokenizer inside a GGUF file.
    Gguf(GgufTokenizer<'a>),
}

/// Which special tokens follow the pieces of a sentencepiece model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    /// ChatGLM2 and CodeGeeX2: masks, `sop` and `eop`.
    ChatGlm2,
    /// ChatGLM3: the same, then four roles.
    ChatGlm3,
    /// The Chinese GLMs (`cog-pretrain.model`).
    GlmChinese,
}

/// Which special tokens follow the vocabulary of a GPT-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    /// GLM-2B and GLM-10B.
    Glm,
    /// GLM-RoBERTa: RoBERTa's own special tokens stand for most of GLM's.
    GlmRoberta,
    /// CodeGeeX-13B: 143 extra tokens, nine of which are runs of spaces.
    CodeGeex,
}

/// What a GGUF file says of its tokenizer, key by key (`tokenizer.ggml.*`).
#[derive(Debug, Clone, Copy)]
pub struct GgufTokenizer<'a> {
    /// `model`: `gpt2` or `llama`.
    pub model: &'a str,
    /// `pre`: how `gpt2` cuts text before it merges.
    pub pre: Option<&'a str>,
    /// `tokens`, by id.
    pub tokens: &'a [String],
    /// `scores`, by id; `llama` needs them.
    pub scores: &'a [f32],
    /// `token_type`, by id; empty means that all are normal.
    pub types: &'a [i32],
    /// `merges`, best first; `gpt2` needs them.
    pub merges: &'a [String],
    /// `add_space_prefix`; absent means true for `llama`.
    pub space_prefix: Option<bool>,
}
