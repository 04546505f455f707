//! What can go wrong between a question and a model's numbers.

use entrace_measure::TokenId;
use std::sync::Arc;

/// Failures of a model or an engine.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More tokens than the model has positions for.
    #[error("{n_tokens} tokens do not fit the context of {limit}")]
    ContextTooLong {
        /// Tokens that were asked for.
        n_tokens: usize,
        /// The model's context length.
        limit: usize,
    },
    /// A token that the model does not have.
    #[error("token {token} is not in the vocabulary of {vocab_size} tokens")]
    UnknownToken {
        /// The token.
        token: TokenId,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
    /// Classes of tokens that are not those of the model.
    #[error("classes are given for {n_tokens} tokens, and the vocabulary has {vocab_size}")]
    BadClasses {
        /// Tokens that have a class.
        n_tokens: usize,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
    /// A context or branch without any token, where the model needs one to start from.
    #[error("nothing to score: the context has no tokens")]
    EmptyContext,
    /// A branch names a parent that is not there, or more of its tokens than it has.
    #[error("branch {branch} forks after {n_tokens} tokens of branch {parent}, which has {available}")]
    BadFork {
        /// Position of the branch in its call.
        branch: usize,
        /// The parent's number.
        parent: usize,
        /// Where it forks.
        n_tokens: usize,
        /// Tokens that the parent holds.
        available: usize,
    },
    /// A branch is named as that of a paused completion, and there is none.
    #[error("branch {branch} is no completion that was paused")]
    NotPaused {
        /// Its number.
        branch: usize,
    },
    /// The model gave a number that is not finite.
    #[error("the model's logits are not finite after token {index}; the weights or the dtype are damaged")]
    NotFinite {
        /// Position of the token in its context.
        index: usize,
    },
    /// A text that the model's tokenizer cannot put into tokens.
    #[error("the tokenizer cannot {0}")]
    Unencodable(String),
    /// The chat template refused the messages.
    #[error("the chat template refused the conversation: {0}")]
    TemplateRefused(String),
    /// The model has no chat template.
    #[error("the model has no chat template")]
    NoTemplate,
    /// The engine refused or could not answer this one request.
    #[error("{0}")]
    Refused(String),
    /// The engine cannot be reached: what is recorded stays, and the run can be resumed once it answers again.
    #[error("{0}")]
    Unavailable(String),
    /// Any failure inside an engine.
    #[error("the engine failed: {0}")]
    Engine(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

/// An answer for each item of a call, in their order, or why that one has none. The outer error is one that no item is to blame for: nothing of
/// the call counts then.
pub type Each<T> = Result<Vec<Result<T, Error>>, Error>;

impl Error {
    /// Wraps an engine's own error.
    pub fn engine(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Engine(source.into().into())
    }

    /// Whether the fault lies in the one item that was asked for, so that others can be measured.
    pub fn is_about_the_item(&self) -> bool {
        !matches!(self, Self::Engine(_) | Self::Unavailable(_))
    }
}
