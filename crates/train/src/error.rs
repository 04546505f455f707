//! What can go wrong in training.

use std::path::PathBuf;

/// Failures of training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: `read`, `write`, `rename`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A model has a part that cannot be trained here.
    #[error("{path}: {part} cannot be trained; models of the types llama and qwen2 can")]
    Untrainable {
        /// The configuration.
        path: PathBuf,
        /// The part.
        part: String,
    },
    /// A weight is missing or has another shape than the configuration says.
    #[error("{path}: the weight {name} {problem}")]
    Weight {
        /// The folder.
        path: PathBuf,
        /// The checkpoint key.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// There is nothing to train or evaluate on.
    #[error("there are no examples{0}")]
    NoExamples(&'static str),
    /// An option has a value that means nothing.
    #[error("the option {option}: {problem}")]
    Options {
        /// Its name.
        option: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A checkpoint cannot be continued with these settings.
    #[error("{path} cannot be resumed: {problem}")]
    Resume {
        /// The checkpoint.
        path: PathBuf,
        /// What differs or is missing.
        problem: String,
    },
    /// A vocabulary cannot be made into a tokenizer.
    #[error("the piece {piece:?} {problem}")]
    Vocabulary {
        /// The piece.
        piece: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The decoder's own failure.
    #[error(transparent)]
    Decoder(#[from] entrace_decoder::Error),
    /// The tokenizer's own failure.
    #[error(transparent)]
    Tokenizer(#[from] entrace_text::tokenizer::TokenizerError),
    /// Sampling failed.
    #[error(transparent)]
    Backend(#[from] entrace_backend::Error),
    /// A tensor operation failed.
    #[error("tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// For `map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// An option that means nothing.
    pub(crate) fn option(option: &'static str, problem: impl Into<String>) -> Self {
        Self::Options { option, problem: problem.into() }
    }
}
