//! What servers take and return: a question becomes JSON, JSON becomes a checked answer.
//!
//! One file per dialect, all of pure functions. A question is one POST. It asks for the next token after some contexts ([`Next`]), or for
//! completions of one ([`Draw`]). Every parameter of sampling is sent, whatever the server's defaults are. Of an answer everything is
//! counted and checked (`check`) before a number of it is used: a field that a server does not know is ignored with status 200, and a wrong
//! number looks like any other.

pub mod chat;
pub(crate) mod check;
pub mod completions;
pub mod llama_server;
pub mod sglang;
pub mod vllm;

use crate::fault::Fault;
use entrace_backend::{ChatMessage, Sampling};
use entrace_measure::{StopReason, TokenId};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The next token after each of some contexts.
#[derive(Debug, Clone, PartialEq)]
pub struct Next {
    /// Tokens of each context.
    pub contexts: Vec<Vec<TokenId>>,
    /// Tokens whose log-probabilities are wanted, exactly.
    pub gather: Vec<TokenId>,
    /// How many of the most likely tokens are wanted.
    pub top_k: usize,
    /// Temperature of the request: 1, but for a probe that finds out whether it changes what is said.
    pub temperature: f64,
}

/// Completions of one context.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// Its tokens.
    pub context: Vec<TokenId>,
    /// The same as text, for servers that take no tokens.
    pub text: Option<Spelled>,
    /// A conversation in its place, for servers that only chat; empty for others.
    pub messages: Vec<ChatMessage>,
    /// How many.
    pub n: usize,
    /// How they are sampled; its `max_new_tokens` is the limit of these.
    pub sampling: Sampling,
    /// Seed of the first, where the server is given one.
    pub seed: Option<u64>,
}

/// A context as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spelled {
    /// The text, as the server is sent it.
    pub text: String,
    /// Tokens that the server should count in it, with what it puts in front; `None` to take any number.
    pub n_tokens: Option<usize>,
}

/// One POST.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// The next token.
    Next(Next),
    /// Completions.
    Draw(Draw),
}

/// What is known of the next token after a context. Log-probabilities are natural, of the raw distribution; −∞ for what is impossible.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NextToken {
    /// Of the tokens asked for, in their order.
    pub gather: Vec<f64>,
    /// The most likely tokens, falling.
    pub top: Vec<(TokenId, f64)>,
}

/// A completion as a server returns it: with the token that ended it and what stands after a stop string, if it sends these.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// Its tokens; `None` from a server that returns text alone.
    pub token_ids: Option<Vec<TokenId>>,
    /// Its text, as the server decodes it.
    pub text: String,
    /// Raw log-probability of each token; `None` where the server gives none of the raw distribution.
    pub logprobs: Option<Vec<f64>>,
    /// Why it ended.
    pub stop_reason: StopReason,
}

/// What a server says that a request took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the contexts, once each.
    pub prompt_tokens: usize,
    /// Of these, tokens that were in the server's cache; `None` where it does not say.
    pub cached_tokens: Option<usize>,
    /// Tokens drawn.
    pub completion_tokens: usize,
}

/// A checked answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Of each context.
    Next(Vec<NextToken>, Usage),
    /// Each completion.
    Draws(Vec<Drawn>, Usage),
}

impl Answer {
    /// What the request took.
    pub fn usage(&self) -> Usage {
        match self {
            Self::Next(_, usage) | Self::Draws(_, usage) => *usage,
        }
    }
}

/// A path and a body to POST.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Where, and whether that is below the API or beside it.
    pub path: Path,
    /// What.
    pub body: Value,
}

/// A path of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Below the address that was given, as `/completions` is below `/v1`.
    Below(&'static str),
    /// Beside it, as `/tokenize` is.
    Beside(&'static str),
}

/// What a kind of server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// vLLM's `/v1/completions`.
    Vllm,
    /// SGLang's `/generate`.
    Sglang,
    /// llama.cpp's server, `/completion`.
    LlamaServer,
    /// OpenAI's `/v1/completions` and no more.
    Completions {
        /// Whether prompts may be lists of tokens.
        token_ids: bool,
        /// Whether it takes the fields that turn its own defaults of sampling off.
        neutral: bool,
    },
    /// OpenAI's `/v1/chat/completions` and no more.
    Chat {
        /// What the limit on tokens is called there.
        limit: chat::Limit,
    },
}

impl Dialect {
    /// Its name, as a report or a manifest gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::LlamaServer => "llama-server",
            Self::Completions { token_ids: true, .. } => "completions",
            Self::Completions { token_ids: false, .. } => "completions (text)",
            Self::Chat { .. } => "chat",
        }
    }

    /// Most contexts in a request.
    pub(crate) fn most_contexts(self) -> usize {
        match self {
            Self::Vllm => vllm::MOST_CONTEXTS,
            Self::Sglang => sglang::MOST_CONTEXTS,
            Self::LlamaServer => llama_server::MOST_CONTEXTS,
            Self::Completions { .. } | Self::Chat { .. } => 1,
        }
    }

    /// Most chosen tokens in a request.
    pub(crate) fn most_chosen(self) -> usize {
        match self {
            Self::Vllm => vllm::MOST_CHOSEN,
            Self::Sglang => sglang::MOST_CHOSEN,
            Self::LlamaServer => llama_server::MOST_CHOSEN,
            Self::Completions { .. } | Self::Chat { .. } => 0,
        }
    }

    /// Whether likely and chosen tokens come in one answer.
    pub(crate) fn side_by_side(self) -> bool {
        self == Self::Sglang
    }

    /// A question as a POST to the model of this name.
    pub fn call(self, model: &str, question: &Question) -> Call {
        match self {
            Self::Vllm => vllm::call(model, question),
            Self::Sglang => sglang::call(question),
            Self::LlamaServer => llama_server::call(question),
            Self::Completions { token_ids, neutral } => {
                completions::call(model, question, token_ids, neutral)
            }
            Self::Chat { limit } => chat::call(model, question, limit),
        }
    }

    /// The checked answer to a question. `vocab_size` bounds token numbers where it is known.
    pub fn read(self, question: &Question, body: &[u8], vocab_size: Option<usize>) -> Result<Answer, Fault> {
        match self {
            Self::Vllm => vllm::read(question, body, vocab_size),
            Self::Sglang => sglang::read(question, body, vocab_size),
            Self::LlamaServer => llama_server::read(question, body, vocab_size),
            Self::Completions { .. } => completions::read(question, body, vocab_size),
            Self::Chat { .. } => chat::read(question, body),
        }
    }
}

/// The body as JSON of a known shape. Python writes numbers that are none as `NaN` and `Infinity`, which is no JSON.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let text = String::from_utf8_lossy(body);
        for none in ["NaN", "Infinity"] {
            if [":", ": ", "[", ", ", ",", ":-", ": -", "[-", ", -", ",-"]
                .iter()
                .any(|before| text.contains(&format!("{before}{none}")))
            {
                return Fault::wrong(format!("the server answered with the number {none}"));
            }
        }
        if error.is_eof() {
            return Fault::broken(format!("the answer ends after {} bytes, within its JSON", body.len()));
        }
        Fault::broken(format!("the answer is not the JSON that was expected: {error}"))
    })
}

#[cfg(test)]
pub(crate) mod tests_support {
    use super::*;

    pub(crate) fn raw(max_new_tokens: usize) -> Sampling {
        Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens, stop: vec![] }
    }

    pub(crate) fn next(contexts: &[&[TokenId]], gather: &[TokenId], top_k: usize) -> Question {
        let contexts = contexts.iter().map(|context| context.to_vec()).collect();
        Question::Next(Next { contexts, gather: gather.to_vec(), top_k, temperature: 1.0 })
    }

    pub(crate) fn draw(context: &[TokenId], n: usize, max_new_tokens: usize) -> Question {
        Question::Draw(Draw {
            context: context.to_vec(),
            text: None,
            messages: vec![],
            n,
            sampling: raw(max_new_tokens),
            seed: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_named() {
        let fault = |body: &str| parse::<Value>(body.as_bytes()).unwrap_err();
        assert_eq!(fault("[1, NaN]"), Fault::wrong("the server answered with the number NaN"));
        assert_eq!(fault(r#"{"a":-Infinity}"#), Fault::wrong("the server answered with the number Infinity"));
        assert_eq!(fault(r#"{"a": 1"#), Fault::broken("the answer ends after 7 bytes, within its JSON"));
        assert!(matches!(fault("<html>502</html>"), Fault::Broken { .. }));
        assert!(matches!(fault(r#"{"NaN": x}"#), Fault::Broken { .. }));
    }
}
