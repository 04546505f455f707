//! Text to tokens and back, and what identifies a model.
//!
//! Prompt, trace, cue and option are tokenised apart and joined as tokens. Special tokens are recognised only in prompts
//! (`encode_prompt`); a question or a cue never turns into special tokens (`encode_plain`). In text that a model wrote, the marks of thoughts
//! are tokens, whatever the vocabulary calls them (`encode_completion`), and they are spelled out in text again (`decode`).

use crate::Error;
use entrace_measure::{Thoughts, TokenId};

/// What identifies a model in a record.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// As the user named it.
    pub name: String,
    /// `model_type` of its configuration.
    pub architecture: String,
    /// Number of parameters, where it is known.
    pub n_parameters: Option<u64>,
    /// Type of the weights in computation, such as `f32`.
    pub dtype: String,
    /// Where it runs, such as `cpu`.
    pub device: String,
    /// Most tokens in one context.
    pub context_length: usize,
    /// Number of logits.
    pub vocab_size: usize,
    /// Number of layers, where it is known.
    pub n_layers: Option<usize>,
    /// Hash of configuration and weights; `None` where the weights are out of reach.
    pub model_hash: Option<String>,
    /// Hash of the tokenizer; `None` without one.
    pub tokenizer_hash: Option<String>,
    /// Hash of the chat template; `None` without one.
    pub template_hash: Option<String>,
}

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Standing instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name that chat templates use.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Tokens as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decoded {
    /// The text; special tokens are left out, unless they are marks of thoughts.
    pub text: String,
    /// For each token, the bytes of text covered up to and including it.
    pub token_ends: Vec<usize>,
}

/// A prompt as text and as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The rendered text, special tokens spelled out.
    pub text: String,
    /// Its tokens.
    pub token_ids: Vec<TokenId>,
}

/// The text side of a model.
pub trait Text: Send + Sync {
    /// What identifies the model.
    fn info(&self) -> &ModelInfo;
    /// Tokens of a verbatim prompt: special tokens are recognised, and the beginning-of-sequence token is put in front where the
    /// model's own tokenizer does so and the text does not already begin with it.
    fn encode_prompt(&self, text: &str) -> Result<Prompt, Error>;
    /// Tokens of text that continues a context. Nothing in it becomes a special token.
    fn encode_plain(&self, text: &str) -> Result<Vec<TokenId>, Error>;
    /// Tokens of text that a model wrote after a prompt, or could have written. A mark of thoughts (`</think>`) is the vocabulary's own token
    /// where it has one; nothing else becomes a special token.
    fn encode_completion(&self, text: &str) -> Result<Vec<TokenId>, Error>;
    /// What is known of the marks between which the model thinks.
    fn thoughts(&self) -> &Thoughts;
    /// Whether the model has a chat template.
    fn has_chat_template(&self) -> bool;
    /// Renders a conversation through the model's chat template, ready for the assistant's turn.
    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Prompt, Error>;
    /// Text of tokens.
    fn decode(&self, token_ids: &[TokenId]) -> Decoded;
    /// The text that `encode_prompt` reads as these tokens: special tokens are spelled out. For engines that take prompts as text alone.
    fn spell(&self, token_ids: &[TokenId]) -> String {
        self.decode(token_ids).text
    }
    /// Text that one token adds in the middle of a text; empty for incomplete bytes and for special tokens that are no marks of thoughts.
    fn token_text(&self, token: TokenId) -> String;
    /// Most bytes of text that one token adds, where it is known: a text of n bytes has at least n divided by it tokens.
    fn max_token_bytes(&self) -> Option<usize> {
        None
    }
    /// Tokens that end the model's turn.
    fn stop_tokens(&self) -> &[TokenId];
}
