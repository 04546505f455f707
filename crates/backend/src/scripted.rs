//! A fake model whose next-token distribution is a function, for tests.
//!
//! p(next token | all tokens so far) is given by a [`Script`]; everything else follows from it by brute force, without a cache: a
//! branch is scored by asking the script at each of its tokens, a completion is drawn token by token. This makes it the reference
//! that [`crate::conformance`] describes other engines by. A token that the script never gives has log-probability −∞.
//!
//! Scripts that come with it:
//! - [`KnownAnswers`]: reasons in sentences, then answers; its belief about the answer at every step is a table
//! - [`RandomScript`]: a distribution drawn from a hash of the context, over a vocabulary small enough to list every string
//! - [`Faulty`]: another script that fails where one says
//! - any `Fn(&[TokenId]) -> Vec<f64>`
//!
//! [`ReadLayers`] is a fake of a fake: hidden state l of L mixes the uniform distribution with the script's, in proportions 1 − l/L and
//! l/L, and is its own lens; attention is spread evenly.

mod draw;
mod fault;
mod known;
mod random;
mod sampler;
mod tree;
mod vocabulary;

pub(crate) use sampler::candidates;

pub use fault::{Fault, Faulty};
pub use known::{KnownAnswers, Reasoning, Table};
pub use random::RandomScript;
pub use vocabulary::{SpecialToken, Vocabulary};

use crate::generate::RequestCompletions;
use crate::sampling;
use crate::{
    ChatMessage, Decoded, Each, Error, Generate, GenerateRequest, LayerRequest, LayerScores, ModelInfo,
    Prompt, Reach, ReadLayers, Role, Sampling, SamplingSession, ScoreTree, Sharpness, Text, TreeSession,
    Watcher, stream_seed,
};
use entrace_measure::{Thoughts, TokenId};
use std::ops::Range;

/// A next-token distribution.
pub trait Script: Send + Sync {
    /// Probabilities of the token after `tokens`, `[V]`, summing to one.
    fn next(&self, vocabulary: &Vocabulary, tokens: &[TokenId]) -> Result<Vec<f64>, Error>;
}

impl<F: Fn(&[TokenId]) -> Vec<f64> + Send + Sync> Script for F {
    fn next(&self, _: &Vocabulary, tokens: &[TokenId]) -> Result<Vec<f64>, Error> {
        Ok(self(tokens))
    }
}

/// A model made of a vocabulary and a script.
pub struct Scripted {
    vocabulary: Vocabulary,
    script: Box<dyn Script>,
    stop_tokens: Vec<TokenId>,
    thoughts: Thoughts,
    /// What the template writes where the model's turn begins.
    opening: String,
    info: ModelInfo,
    reach: Reach,
}

/// Layers that [`ReadLayers`] pretends to.
const N_LAYERS: usize = 2;

impl Scripted {
    /// A model with a context of 4,096 tokens.
    pub fn new(vocabulary: Vocabulary, script: impl Script + 'static) -> Self {
        let info = ModelInfo {
            name: String::new(),
            architecture: "scripted".into(),
            n_parameters: None,
            dtype: "f64".into(),
            device: "cpu".into(),
            context_length: 4096,
            vocab_size: vocabulary.len(),
            n_layers: Some(N_LAYERS),
            model_hash: None,
            tokenizer_hash: Some(format!("{:016x}", vocabulary.fingerprint())),
            template_hash: vocabulary.has_roles().then(|| "roles".into()),
        };
        let stop_tokens = vec![vocabulary.end()];
        let (thoughts, opening) = (Thoughts::default(), String::new());
        Self {
            vocabulary,
            script: Box::new(script),
            stop_tokens,
            thoughts,
            opening,
            info,
            reach: Reach::WHOLE,
        }
        .named("scripted")
    }

    /// The same under another name, from which its hash is made.
    pub fn named(mut self, name: &str) -> Self {
        self.info.model_hash = Some(format!("{:016x}", stream_seed(0, &[name])));
        self.info.name = name.into();
        self
    }

    /// The same with another context length.
    pub fn with_context_length(mut self, context_length: usize) -> Self {
        self.info.context_length = context_length;
        self
    }

    /// The same with a template that knows of thoughts and begins the model's turn with `opening`, which may be a mark of theirs.
    pub fn thinking(mut self, thoughts: Thoughts, opening: &str) -> Self {
        self.thoughts = thoughts;
        self.opening = opening.into();
        self
    }

    /// The same telling no more of the next token than `reach`, as an engine over HTTP does.
    pub fn telling(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Its vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Probabilities of the token after `tokens`, `[V]`.
    pub fn distribution(&self, tokens: &[TokenId]) -> Result<Vec<f64>, Error> {
        let probs = self.script.next(&self.vocabulary, tokens)?;
        if probs.len() != self.vocabulary.len() {
            let problem =
                format!("the script gave {} numbers for {} tokens", probs.len(), self.vocabulary.len());
            return Err(Error::engine(problem));
        }
        if probs.iter().any(|p| !p.is_finite()) {
            return Err(Error::NotFinite { index: tokens.len().saturating_sub(1) });
        }
        let sum: f64 = probs.iter().sum();
        if probs.iter().any(|&p| p < 0.0) || (sum - 1.0).abs() > 1e-9 {
            return Err(Error::engine(format!(
                "the script's probabilities sum to {sum}, or one is negative"
            )));
        }
        Ok(probs)
    }

    fn check_tokens(&self, tokens: &[TokenId]) -> Result<(), Error> {
        let vocab_size = self.vocabulary.len();
        match tokens.iter().find(|&&token| token as usize >= vocab_size) {
            Some(&token) => Err(Error::UnknownToken { token, vocab_size }),
            None => Ok(()),
        }
    }
}

/// H in nats, with 0 ln 0 = 0.
fn entropy(probs: &[f64]) -> f64 {
    probs.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum()
}

fn sharpness_of(probs: &[f64]) -> Sharpness {
    let logprobs: Vec<f64> = probs.iter().map(|p| p.ln()).collect();
    Sharpness::of_logprobs(&logprobs)
}

impl Text for Scripted {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn encode_prompt(&self, text: &str) -> Result<Prompt, Error> {
        let mut token_ids = self.vocabulary.encode_with_special(text)?;
        if let Some(begin) = self.vocabulary.special(SpecialToken::Begin)
            && token_ids.first() != Some(&begin)
        {
            token_ids.insert(0, begin);
        }
        Ok(Prompt { text: text.to_string(), token_ids })
    }

    fn encode_plain(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.vocabulary.encode(text)
    }

    fn encode_completion(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.encode_plain(text)
    }

    fn thoughts(&self) -> &Thoughts {
        &self.thoughts
    }

    fn has_chat_template(&self) -> bool {
        self.vocabulary.has_roles()
    }

    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Prompt, Error> {
        if !self.has_chat_template() {
            return Err(Error::NoTemplate);
        }
        if messages.iter().skip(1).any(|message| message.role == Role::System) {
            return Err(Error::TemplateRefused("a system message must come first".into()));
        }
        let special = |token| self.vocabulary.special(token).ok_or(Error::NoTemplate);
        let mut token_ids = vec![special(SpecialToken::Begin)?];
        let mut text = SpecialToken::Begin.text().to_string();
        for message in messages {
            token_ids.push(special(SpecialToken::of_role(message.role))?);
            token_ids.extend(self.encode_plain(&message.content)?);
            token_ids.push(self.vocabulary.end());
            text += SpecialToken::of_role(message.role).text();
            text += &message.content;
            text += SpecialToken::End.text();
        }
        token_ids.push(special(SpecialToken::Assistant)?);
        token_ids.extend(self.encode_plain(&self.opening)?);
        text += SpecialToken::Assistant.text();
        text += &self.opening;
        Ok(Prompt { text, token_ids })
    }

    fn decode(&self, token_ids: &[TokenId]) -> Decoded {
        self.vocabulary.decode(token_ids)
    }

    fn spell(&self, token_ids: &[TokenId]) -> String {
        token_ids.iter().map(|&token| self.vocabulary.spelling(token)).collect()
    }

    fn token_text(&self, token: TokenId) -> String {
        self.vocabulary.token_text(token).to_string()
    }

    fn stop_tokens(&self) -> &[TokenId] {
        &self.stop_tokens
    }
}

impl ScoreTree for Scripted {
    fn session(&self) -> Result<Box<dyn TreeSession + '_>, Error> {
        Ok(Box::new(tree::Session::new(self)))
    }

    fn sampling_session(&self) -> Result<Option<Box<dyn SamplingSession + '_>>, Error> {
        Ok(Some(Box::new(tree::Session::new(self))))
    }

    fn reach(&self) -> Reach {
        self.reach
    }
}

impl ReadLayers for Scripted {
    fn read_layers(&self, token_ids: &[TokenId], request: &LayerRequest) -> Result<LayerScores, Error> {
        if token_ids.is_empty() {
            return Err(Error::EmptyContext);
        }
        let (n_tokens, limit) = (token_ids.len(), self.info.context_length);
        if n_tokens > limit {
            return Err(Error::ContextTooLong { n_tokens, limit });
        }
        self.check_tokens(token_ids)?;
        let tokens = request.tokens.start..request.tokens.end.min(n_tokens);
        let mut scores = LayerScores::default();
        if request.lens {
            scores.lens_entropy = self.lens_entropy(token_ids, tokens.clone())?;
            let last = self.states(token_ids)?;
            scores.lens_leaders = last.iter().map(|state| leader(state)).collect();
        }
        if request.drift {
            scores.drift = vec![Vec::new(); N_LAYERS];
            for at in tokens.clone() {
                let states = self.states(&token_ids[..=at])?;
                for (drift, pair) in scores.drift.iter_mut().zip(states.windows(2)) {
                    let squares: f64 = pair[0].iter().zip(&pair[1]).map(|(a, b)| (a - b).powi(2)).sum();
                    drift.push(squares.sqrt());
                }
            }
        }
        if request.attention {
            let even: Vec<f64> = tokens.map(|at| ((at + 1) as f64).ln()).collect();
            scores.self_attention = vec![even.iter().map(|h| -h).collect(); N_LAYERS];
            scores.attention_entropy = vec![even; N_LAYERS];
        }
        if request.middle {
            let states = self.states(token_ids)?;
            scores.middle_state = states[N_LAYERS.div_ceil(2)].iter().map(|&x| x as f32).collect();
        }
        Ok(scores)
    }
}

impl Scripted {
    /// Hidden states of the last token, `[L + 1][V]`.
    fn states(&self, token_ids: &[TokenId]) -> Result<Vec<Vec<f64>>, Error> {
        let probs = self.distribution(token_ids)?;
        let mixed = |layer: usize| {
            let share = layer as f64 / N_LAYERS as f64;
            let uniform = (1.0 - share) / probs.len() as f64;
            probs.iter().map(|p| uniform + share * p).collect()
        };
        Ok((0..=N_LAYERS).map(mixed).collect())
    }

    fn lens_entropy(
        &self,
        token_ids: &[TokenId],
        tokens: Range<usize>,
    ) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let mut found = vec![Vec::new(); N_LAYERS + 1];
        for at in tokens {
            let states = if at == 0 { None } else { Some(self.states(&token_ids[..at])?) };
            for (layer, found) in found.iter_mut().enumerate() {
                found.push(states.as_ref().map(|states| entropy(&states[layer])));
            }
        }
        Ok(found)
    }
}

/// The most likely token, ties by number.
fn leader(probs: &[f64]) -> TokenId {
    let best = (0..probs.len()).fold(0, |best, token| if probs[token] > probs[best] { token } else { best });
    best as TokenId
}

impl Generate for Scripted {
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<RequestCompletions> {
        sampling::generate(&mut tree::Session::new(self), &self.info, requests, sampling, watcher)
    }
}

#[cfg(test)]
mod tests;
