//! Replies to conversations: all that an engine can do which neither takes tokens nor goes on from a part of a text.

use crate::{ChatMessage, Error, Sampling};
use entrace_measure::StopReason;

/// What a model replied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What it wrote. A thought that the engine tells apart stands before the rest, between `<think>` and `</think>`.
    pub text: String,
    /// Why it ended.
    pub stop_reason: StopReason,
    /// Tokens of the conversation, as the engine counts them; 0 where it does not say.
    pub n_prompt_tokens: usize,
    /// Tokens that were written, likewise.
    pub n_tokens: usize,
}

/// An engine that replies to conversations.
pub trait Chat: Send + Sync {
    /// One reply to each conversation, or why there is none. `progress` is told of the tokens of each reply as it comes, and of none every now
    /// and then, and says whether to go on.
    ///
    /// # Errors
    /// Where the engine failed for all of them.
    fn reply(
        &self,
        conversations: &[&[ChatMessage]],
        sampling: &Sampling,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<Result<Reply, Error>>, Error>;
}
