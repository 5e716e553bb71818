//! Why a tokenizer's files cannot be used: what is wrong, and where.

/// Why a tokenizer's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not what its kind says: not JSON, not base64, cut off.
    #[error("the tokenizer cannot be read: {0}")]
    Unreadable(String),
    /// One entry of a file is wrong.
    #[error("the tokenizer cannot be used: {file}, {place}: {problem}")]
    Broken {
        /// Which file, as the makers call it.
        file: &'static str,
        /// Where in the file: a line, an entry, a key.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// A token for this byte is missing, so some texts could not be encoded.
    #[error("the tokenizer is no byte-level BPE: it has no token for byte 0x{byte:02x}")]
    NotByteLevel {
        /// The first byte without a token.
        byte: u8,
    },
    /// The file is sound, but of a kind that no GLM has.
    #[error("the tokenizer is of a kind that is not supported: {0}")]
    Unsupported(String),
    /// A GLM special token is missing.
    #[error("the tokenizer has no special token {spelling}")]
    MissingSpecial {
        /// How the token is spelled in the file.
        spelling: &'static str,
    },
}

impl Error {
    /// A wrong entry of a file.
    pub(crate) fn broken(
        file: &'static str,
        place: impl Into<String>,
        problem: impl Into<String>,
    ) -> Error {
        Error::Broken {
            file,
            place: place.into(),
            problem: problem.into(),
        }
    }
}

/// A token for a message: quoted, and cut if it is long.
pub(crate) fn quote(token: &str) -> String {
    let mut short: String = token.chars().take(40).collect();
    if short.len() < token.len() {
        short.push('…');
    }
    format!("{short:?}")
}
