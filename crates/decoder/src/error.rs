//! What can go wrong between a model's files and its numbers.

use std::path::PathBuf;

/// Failures of loading and running a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The path is neither a model folder nor a `.gguf` file.
    #[error("{path} is not a model: {problem}")]
    NotAModel {
        /// The path.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// A configuration file is malformed, or asks for something that is not supported.
    #[error("{path}: {key}: {problem}")]
    Config {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong with its value.
        problem: String,
    },
    /// A file is not what its name says: no JSON, for example.
    #[error("cannot parse {path}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No family of this name is known.
    #[error("{path}: {key}: {found:?} is not supported; `entrace ls architectures` lists what is")]
    UnknownArchitecture {
        /// The file.
        path: PathBuf,
        /// `model_type` in `config.json`, `general.architecture` in a GGUF file.
        key: &'static str,
        /// The name found.
        found: String,
    },
    /// A weight file is damaged.
    #[error("{path} is damaged: {problem}; it may be cut off, download it again")]
    DamagedWeights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A weight is missing.
    #[error("{path}: the weight {name} is missing")]
    MissingWeight {
        /// The file or folder.
        path: PathBuf,
        /// The checkpoint key.
        name: String,
    },
    /// A weight is stored in a type that is not read.
    #[error("{path}: the weight {name} has type {found}; {known} can be read")]
    UnsupportedType {
        /// The file.
        path: PathBuf,
        /// The checkpoint key.
        name: String,
        /// Type in the file.
        found: String,
        /// Types that can be read.
        known: String,
    },
    /// A weight has another shape than the configuration says.
    #[error("{path}: the weight {name} has shape {found:?}, the configuration asks for {expected:?}")]
    WrongShape {
        /// The file or folder.
        path: PathBuf,
        /// The checkpoint key.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape by the configuration.
        expected: Vec<usize>,
    },
    /// The tokenizer knows more tokens than the model.
    #[error(
        "{path}: the tokenizer has {tokenizer} tokens but the model's vocabulary only {model}: these files do not belong together"
    )]
    VocabularyMismatch {
        /// The model.
        path: PathBuf,
        /// Tokens of the tokenizer.
        tokenizer: usize,
        /// Rows of the embedding.
        model: usize,
    },
    /// The model has no tokenizer, and one is needed.
    #[error("{path} has no tokenizer ({missing} is missing{hint}); only token ids can be used with it")]
    NoTokenizer {
        /// The model.
        path: PathBuf,
        /// The file or key that would define it.
        missing: &'static str,
        /// What else to do about it; may be empty.
        hint: &'static str,
    },
    /// A device was asked for that this build or machine does not have.
    #[error("the device {device} is not available: {problem}")]
    NoDevice {
        /// Its name.
        device: String,
        /// Why.
        problem: String,
    },
    /// The tokenizer's own failure.
    #[error(transparent)]
    Tokenizer(#[from] entrace_text::tokenizer::TokenizerError),
    /// The chat template's own failure.
    #[error(transparent)]
    Template(#[from] entrace_text::template::TemplateError),
    /// A tensor operation failed.
    #[error("tensor operation: {}", tensor_problem(.0))]
    Tensor(#[from] candle_core::Error),
}

/// What candle says, without the backtrace that it appends where backtraces are on.
pub(crate) fn tensor_problem(error: &candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => tensor_problem(inner),
        other => other.to_string(),
    }
}

impl From<Error> for entrace_backend::Error {
    fn from(error: Error) -> Self {
        Self::engine(error)
    }
}
