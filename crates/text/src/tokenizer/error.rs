//! What can go wrong with a tokenizer.

use std::path::PathBuf;

/// Failures of loading and using a tokenizer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A folder without a tokenizer that can be read.
    #[error("find tokenizer.json in {dir}{hint}")]
    NoTokenizer {
        /// The model's folder.
        dir: PathBuf,
        /// What to do, where it is known.
        hint: &'static str,
    },
    /// A file could not be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not JSON of the expected shape.
    #[error("parse {path}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The definition is not a tokenizer.
    #[error("build the tokenizer of {origin}")]
    Definition {
        /// Where the definition comes from.
        origin: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A decoder that this crate does not read.
    #[error("decode tokens: the decoder {kind} is not supported (ByteLevel and SentencePiece decoders are)")]
    UnsupportedDecoder {
        /// Its type.
        kind: String,
    },
    /// A GGUF key holds a value that is unknown here.
    #[error("build the tokenizer of the GGUF file: {key} = {value:?} is not supported (known: {known})")]
    UnsupportedGguf {
        /// The metadata key.
        key: &'static str,
        /// Its value.
        value: String,
        /// The values that are understood.
        known: String,
    },
    /// GGUF metadata that contradicts itself.
    #[error("build the tokenizer of the GGUF file: {0}")]
    InconsistentGguf(String),
    /// The tokenizer refused a text.
    #[error("encode {n_bytes} bytes of text")]
    Encode {
        /// Length of the text.
        n_bytes: usize,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A text has no spelling without a special token.
    #[error("encode {text:?} without the special token {token}")]
    OnlySpecial {
        /// The text.
        text: String,
        /// The special token's id.
        token: u32,
    },
}
