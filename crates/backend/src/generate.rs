//! Sampling completions from forks of a context.
//!
//! A request is a context and the places where completions fork from it: a fork keeps the first `n_tokens` of the context, adds its
//! own tokens (a cue, or none) and draws one completion for each random stream. The context is run once, however many forks it has.
//!
//! Each completion draws from a random stream of its own, so that results do not depend on batch size, order or thread count.
//! Logits are divided by the temperature, cut to the `top_k` most likely, then to the smallest set whose mass reaches `top_p`, as
//! transformers and vLLM do. Temperature 0 is greedy. What is recorded of each token (log-probability, sharpness) is always of the raw
//! distribution.

use crate::sampling::Counting;
use crate::{Each, Error, Sharpness};
use entrace_measure::seed::{fnv1a, mix};
use entrace_measure::{StopReason, TokenId};

/// How tokens are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f64,
    /// Mass of the nucleus; 1 keeps everything.
    pub top_p: f64,
    /// Number of tokens kept; 0 keeps everything.
    pub top_k: usize,
    /// Most tokens in a completion.
    pub max_new_tokens: usize,
    /// Strings that end a completion; they are left out of it.
    pub stop: Vec<String>,
}

/// Where completions fork from a context.
#[derive(Debug, Clone, PartialEq)]
pub struct Fork {
    /// Tokens of the context that are kept.
    pub n_tokens: usize,
    /// Tokens put after them.
    pub suffix: Vec<TokenId>,
    /// Seeds of the random streams: one completion each.
    pub streams: Vec<u64>,
    /// Most tokens of a completion, where that is fewer than the sampling allows.
    pub max_new_tokens: Option<usize>,
}

impl Fork {
    /// Most tokens of its completions.
    pub fn limit(&self, sampling: &Sampling) -> usize {
        self.max_new_tokens.map_or(sampling.max_new_tokens, |most| most.min(sampling.max_new_tokens))
    }
}

/// A context with its forks.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// Tokens of prompt and, for continuations, trace.
    pub context: Vec<TokenId>,
    /// Where completions start.
    pub forks: Vec<Fork>,
}

/// A sampled completion. The token that ended the turn is not part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Its tokens, `[n]`.
    pub token_ids: Vec<TokenId>,
    /// Its text.
    pub text: String,
    /// For each token, the bytes of text covered up to and including it.
    pub token_ends: Vec<usize>,
    /// Raw log-probability of each token in nats; `None` where the engine does not tell it.
    pub logprobs: Vec<Option<f64>>,
    /// How sharp the raw distribution was that each token was drawn from.
    pub sharpness: Vec<Sharpness>,
    /// Why it ended.
    pub stop_reason: StopReason,
}

/// Completions of one request, `[fork][stream]`.
pub type RequestCompletions = Vec<Vec<Completion>>;

/// Which completion of a call: the number of its request, of its fork there, and of its stream there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Number of the request.
    pub request: usize,
    /// Number of the fork in it.
    pub fork: usize,
    /// Number of the stream of the fork; those that were added later follow the first ones.
    pub stream: usize,
}

/// More completions of a fork, one for each stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct More {
    /// Number of the request.
    pub request: usize,
    /// Number of the fork in it.
    pub fork: usize,
    /// Seeds of the random streams.
    pub streams: Vec<u64>,
}

/// Somebody who watches completions as they are drawn.
pub trait Watcher {
    /// Told how many tokens were generated since it was last; `false` stops the engine as soon as it can.
    fn progress(&mut self, n_tokens: usize) -> bool;

    /// Whether a completion that has come to `text` says no more of what is wanted: it may end there, with [`StopReason::Stop`]. An engine asks
    /// where a line or a brace ends, or never.
    fn is_over(&mut self, _place: Place, _text: &str) -> bool {
        false
    }

    /// Whether a completion that has come to these tokens shall be paused there. Only sessions ask, after every token that did not end it.
    fn pauses(&mut self, _place: Place, _token_ids: &[TokenId]) -> bool {
        false
    }

    /// Takes note of a completion that has ended, in any order, and asks for more of some forks. One that is paused has not ended.
    fn ended(&mut self, _place: Place, _completion: &Completion) -> Vec<More> {
        Vec::new()
    }
}

/// An engine that samples.
pub trait Generate: Send + Sync {
    /// Draws the completions of each request. A request at fault, or one of whose completions could not be drawn, has an error in its place, and
    /// the others are drawn all the same. When the watcher wants no more, the engine stops with [`Error::Engine`] as soon as it can. No context
    /// is run again for completions that the watcher asks for later.
    ///
    /// A completion that reaches the end of the context stops with [`StopReason::Length`]; a context that leaves no room for a
    /// single token is [`Error::ContextTooLong`].
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<RequestCompletions>;

    /// Draws every completion of every request, or none. `progress` is told how many tokens were generated since it was last called; when it
    /// returns `false`, the engine stops as soon as it can.
    fn generate(
        &self,
        requests: &[GenerateRequest],
        sampling: &Sampling,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<RequestCompletions>, Error> {
        self.generate_each(requests, sampling, &mut Counting(progress))?.into_iter().collect()
    }
}

/// The seed of a random stream: the run's seed mixed with what the stream belongs to (task, question, sample, ...), each part with its length.
/// Neighbouring numbers give unrelated streams.
pub fn stream_seed(seed: u64, parts: &[&str]) -> u64 {
    let of_part =
        |part: &&'_ str| -> Vec<u8> { [&(part.len() as u64).to_le_bytes(), part.as_bytes()].concat() };
    let bytes = seed.to_le_bytes().into_iter().chain(parts.iter().flat_map(of_part));
    mix(fnv1a(bytes).wrapping_add(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_and_by_the_division_of_parts() {
        let seeds = [
            stream_seed(0, &["gsm8k", "1", "0"]),
            stream_seed(1, &["gsm8k", "1", "0"]),
            stream_seed(0, &["gsm8k", "10", ""]),
            stream_seed(0, &["gsm8k1", "", "0"]),
        ];
        for (i, a) in seeds.iter().enumerate() {
            assert!(!seeds[..i].contains(a));
        }
        assert_eq!(seeds[0], stream_seed(0, &["gsm8k", "1", "0"]));
    }
}
