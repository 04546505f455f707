//! What a server can do: short questions of known structure, at the beginning of every run and in `entrace doctor`.
//!
//! Nothing is taken from a server's name or version alone. The dialect is the one in which it answers; the number of log-probabilities is the
//! one that comes; chosen tokens are compared with the same tokens in a list; a temperature of one half must not change what is said of a
//! token; several draws must not be copies of one another; the same context twice must give the same numbers; and some fifty texts must be
//! the same tokens there and here. What is found is in the manifest, and what a server cannot do is refused before any work.

mod texts;
mod tokens;

use crate::fault::Fault;
use crate::http::Client;
use crate::retry::{self, Jitter, Patience};
use crate::wire::chat::Limit;
use crate::wire::{
    Answer, Dialect, Draw, Drawn, Next, NextToken, Path, Question, Spelled, Usage, completions,
};
use entrace_backend::{ChatMessage, Role, Sampling, Text};
use entrace_measure::TokenId;
use serde_json::{Value, json};
use std::time::Duration;

/// What was found out about a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// What it speaks; `None` for chat alone.
    pub dialect: Option<Dialect>,
    /// Name of the model there.
    pub model: String,
    /// What the server calls itself, and its version, as far as it says.
    pub server: String,
    /// Where the model came from, as the server says.
    pub root: Option<String>,
    /// Most tokens of a context, where it says.
    pub context_length: Option<usize>,
    /// Number of parameters, where it says.
    pub n_parameters: Option<u64>,
    /// How many of the most likely tokens it lists by number; 0 for none.
    pub top_k: usize,
    /// Whether it lists tokens by text alone, where several may be one.
    pub lists_by_text: bool,
    /// Of how many chosen tokens it tells the log-probability; 0 for none.
    pub gather: usize,
    /// Largest difference between a listed and a chosen log-probability of one token, in nats.
    pub gather_nats: Option<f64>,
    /// Whether log-probabilities are raw at every temperature, rather than of the tempered distribution.
    pub is_raw: Option<bool>,
    /// Largest difference between two answers to the same question, in nats.
    pub repeat_nats: Option<f64>,
    /// How many completions of a context it draws in one request.
    pub n_at_once: usize,
    /// Whether completions of one context were copies of each other.
    pub draws_are_copies: bool,
    /// Whether equal seeds give equal draws and others do not; `None` where that was not asked.
    pub seeds: Option<bool>,
    /// Whether it keeps prefixes in a cache; `None` where it does not say.
    pub caches: Option<bool>,
    /// Whether it puts the token that begins a text in front of prompts that are text.
    pub begins_texts: bool,
    /// Texts that are the same tokens there and here, of those that were compared.
    pub tokenizer: (usize, usize),
}

/// Why a server cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It could not be reached, or kept failing.
    #[error("{0}")]
    Unreachable(String),
    /// It refuses us, or serves something else.
    #[error("{0}")]
    Refused(String),
    /// Its tokens are not those of the tokenizer.
    #[error("{0}")]
    OtherTokenizer(String),
    /// Its numbers cannot be right.
    #[error("the server cannot be used: {0}")]
    Wrong(String),
}

impl From<Fault> for Unfit {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused { .. } => Self::Refused(fault.to_string()),
            Fault::Wrong { problem } => Self::Wrong(problem),
            fault => Self::Unreachable(fault.to_string()),
        }
    }
}

/// How long a question of the probe may take: a server on a busy machine is slow, and one that says nothing is found out all the same.
const WAIT: Duration = Duration::from_secs(300);
/// Tokens of a draw of the probe.
const DRAWN: usize = 16;
/// Draws in a request of the probe.
const DRAWS: usize = 4;
/// Draws that are copies though that had less than this chance are copies for another reason.
const CHANCE: f64 = 1e-6;
/// Of tokens, what two ways to the same log-probability may differ by.
const TOLERANCE: f64 = 5e-3;
/// Least mass of the listed tokens where any model is sure of what comes next.
const LEAST_LISTED_MASS: f64 = 0.02;
/// How many completions a request asks for at most.
const MOST_AT_ONCE: usize = 64;

/// Finds out about a server. `vocab_size` is that of the tokenizer.
pub(crate) fn probe(client: &Client, text: &dyn Text, patience: &Patience) -> Result<Profile, Unfit> {
    let served = served(client)?;
    let mut probe = Probe { client, text, served, dialect: Dialect::Vllm, context: context(text), patience };
    let mut profile = blank(&probe.served);
    let Some(dialect) = probe.find_dialect(&mut profile)? else { return Ok(profile) };
    probe.dialect = dialect;
    profile.dialect = Some(dialect);
    if !matches!(dialect, Dialect::Completions { .. }) {
        probe.next_tokens(&mut profile)?;
    }
    if matches!(dialect, Dialect::Completions { token_ids: false, .. }) {
        profile.begins_texts = probe.begins_texts()?;
    }
    probe.draws(&mut profile)?;
    probe.tokenizer(&mut profile)?;
    Ok(profile)
}

/// What `/v1/models` says.
struct Served {
    model: String,
    owned_by: String,
    root: Option<String>,
    context_length: Option<usize>,
    n_parameters: Option<u64>,
    n_slots: Option<usize>,
    version: Option<String>,
}

/// Where the model came from, as the server says.
pub(crate) fn root(client: &Client) -> Result<Option<String>, Unfit> {
    let served = served(client)?;
    Ok(served.root.or_else(|| served.model.ends_with(".gguf").then_some(served.model)))
}

/// The name of the model that is meant, and what is known of it.
fn served(client: &Client) -> Result<Served, Unfit> {
    let body = client.get(Path::Below("/models"), WAIT)?;
    let list: Value = serde_json::from_slice(&body).map_err(|_| {
        Unfit::Refused(format!(
            "{}/models is no list of models; is the address that of an API, ending in /v1?",
            client.endpoint().base()
        ))
    })?;
    let models: Vec<&Value> = list["data"].as_array().into_iter().flatten().collect();
    let names: Vec<&str> = models.iter().filter_map(|model| model["id"].as_str()).collect();
    let place = match client.endpoint().model() {
        Some(name) => names.iter().position(|known| *known == name),
        None => (names.len() == 1).then_some(0),
    };
    let Some(place) = place else {
        let known = if names.is_empty() { "no model".to_string() } else { names.join(", ") };
        let base = client.endpoint().base();
        return Err(Unfit::Refused(match client.endpoint().model() {
            Some(name) => format!("{base} serves {known}, not {name}"),
            None => format!("{base} serves {known}; name one of them as {base}#NAME"),
        }));
    };
    let model = models[place];
    let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
    let said = |path: &'static str, name: &str| -> Option<Value> {
        let value: Value = serde_json::from_slice(&client.get(Path::Beside(path), WAIT).ok()?).ok()?;
        Some(value[name].clone()).filter(|value| !value.is_null())
    };
    let owned_by = model["owned_by"].as_str().unwrap_or_default().to_string();
    let (version, n_slots) = match owned_by.as_str() {
        "vllm" => (said("/version", "version"), None),
        "sglang" => (said("/get_server_info", "version").or_else(|| said("/server_info", "version")), None),
        "llamacpp" => (said("/props", "build_info"), said("/props", "total_slots")),
        _ => (None, None),
    };
    Ok(Served {
        model: names[place].to_string(),
        root: model["root"].as_str().map(str::to_string),
        context_length: number(&model["max_model_len"]).or_else(|| number(&model["meta"]["n_ctx"])),
        n_parameters: model["meta"]["n_params"].as_u64(),
        n_slots: n_slots.as_ref().and_then(number),
        version: version.and_then(|version| version.as_str().map(str::to_string)),
        owned_by,
    })
}

/// Tokens after which any model is sure of what comes next, as far as the tokenizer knows such a text.
fn context(text: &dyn Text) -> Vec<TokenId> {
    let spelled =
        texts::SURE.iter().find_map(|sure| text.encode_plain(sure).ok().filter(|tokens| tokens.len() > 3));
    let n = text.info().vocab_size.max(1) as TokenId;
    spelled.unwrap_or_else(|| (0..12).map(|i| (i * 7 + 3) % n).collect())
}

struct Probe<'a> {
    client: &'a Client,
    text: &'a dyn Text,
    served: Served,
    dialect: Dialect,
    context: Vec<TokenId>,
    patience: &'a Patience,
}

/// Whether a server only chats, and then what is known of it and what it calls the limit on tokens. `None` where it completes prompts, or answers
/// in neither way.
pub(crate) fn chat(client: &Client, patience: &Patience) -> Result<Option<(Profile, Limit)>, Unfit> {
    let served = served(client)?;
    if hinted(&served).is_some() {
        return Ok(None);
    }
    let completion = json!({"model": served.model, "prompt": "Hello", "max_tokens": 1});
    match patiently(patience, || client.post(Path::Below("/completions"), &completion, WAIT)) {
        Ok(_) => return Ok(None),
        Err(Fault::Refused { status: 401 | 403, problem, .. }) => return Err(Unfit::Refused(problem)),
        Err(fault @ (Fault::Down { .. } | Fault::Slow { .. } | Fault::Busy { .. })) => {
            return Err(fault.into());
        }
        Err(_) => {}
    }
    let messages = vec![ChatMessage { role: Role::User, content: "Hello".into() }];
    let sampling =
        Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: DRAWN, stop: Vec::new() };
    let draw = Question::Draw(Draw { context: Vec::new(), text: None, messages, n: 1, sampling, seed: None });
    for limit in Limit::ALL {
        let call = Dialect::Chat { limit }.call(&served.model, &draw);
        match patiently(patience, || client.post(call.path, &call.body, WAIT)) {
            Ok(_) => return Ok(Some((blank(&served), limit))),
            Err(Fault::Refused { status: 401 | 403, problem, .. }) => return Err(Unfit::Refused(problem)),
            Err(Fault::Refused { .. }) => {}
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(None)
}

/// Tries again where a failure may pass.
fn patiently<T>(patience: &Patience, mut attempt: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    let (mut n_failed, mut jitter) = (0, Jitter::new(0));
    loop {
        match attempt() {
            Err(Fault::Busy { .. } | Fault::Broken { .. } | Fault::Down { .. })
                if n_failed + 1 < patience.attempts =>
            {
                n_failed += 1;
                std::thread::sleep(retry::backoff(n_failed, &mut jitter));
            }
            ended => return ended,
        }
    }
}

/// What a server speaks, as it says whose it is.
fn hinted(served: &Served) -> Option<Dialect> {
    match served.owned_by.as_str() {
        "vllm" => Some(Dialect::Vllm),
        "sglang" => Some(Dialect::Sglang),
        "llamacpp" => Some(Dialect::LlamaServer),
        _ => None,
    }
}

/// What a server says of itself, before it is asked anything.
fn blank(served: &Served) -> Profile {
    let owner = Some(served.owned_by.as_str()).filter(|owner| !owner.is_empty()).unwrap_or("unknown");
    let version = served.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
    Profile {
        dialect: None,
        model: served.model.clone(),
        server: format!("{owner}{version}"),
        root: served.root.clone(),
        context_length: served.context_length,
        n_parameters: served.n_parameters,
        top_k: 0,
        lists_by_text: false,
        gather: 0,
        gather_nats: None,
        is_raw: None,
        repeat_nats: None,
        n_at_once: 0,
        draws_are_copies: false,
        seeds: None,
        caches: None,
        begins_texts: false,
        tokenizer: (0, 0),
    }
}

impl Probe<'_> {
    fn vocab_size(&self) -> usize {
        self.text.info().vocab_size
    }

    /// Asks in a dialect, again where the failure may pass.
    fn ask(&self, dialect: Dialect, question: &Question) -> Result<Answer, Fault> {
        self.ask_patiently(dialect, question, self.patience)
    }

    /// Asks in a dialect that the server may not know: some fail over a question that they do not understand, instead of refusing it.
    fn guess(&self, dialect: Dialect, question: &Question) -> Result<Answer, Fault> {
        self.ask_patiently(dialect, question, &Patience { attempts: 2, ..*self.patience })
    }

    fn ask_patiently(
        &self,
        dialect: Dialect,
        question: &Question,
        patience: &Patience,
    ) -> Result<Answer, Fault> {
        let call = dialect.call(&self.served.model, question);
        patiently(patience, || {
            let body = self.client.post(call.path, &call.body, WAIT)?;
            dialect.read(question, &body, Some(self.vocab_size()))
        })
    }

    fn next(&self, gather: &[TokenId], top_k: usize, temperature: f64) -> Question {
        Question::Next(Next {
            contexts: vec![self.context.clone()],
            gather: gather.to_vec(),
            top_k,
            temperature,
        })
    }

    fn draw(&self, n: usize, max_new_tokens: usize, seed: Option<u64>) -> Question {
        let sampling = Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens, stop: Vec::new() };
        let text = Some(Spelled { text: self.text.spell(&self.context), n_tokens: None });
        Question::Draw(Draw { context: self.context.clone(), text, messages: Vec::new(), n, sampling, seed })
    }

    /// The dialect in which the server lists tokens by number, or draws; `None` where it does neither and chats.
    fn find_dialect(&mut self, profile: &mut Profile) -> Result<Option<Dialect>, Unfit> {
        let hinted = hinted(&self.served);
        let others =
            [Dialect::Vllm, Dialect::LlamaServer, Dialect::Sglang].into_iter().filter(|d| Some(*d) != hinted);
        for dialect in hinted.into_iter().chain(others) {
            let question = self.next(&[], 1, 1.0);
            let asked = if Some(dialect) == hinted {
                self.ask(dialect, &question)
            } else {
                self.guess(dialect, &question)
            };
            match asked {
                Ok(_) => return Ok(Some(dialect)),
                Err(Fault::Refused { status: 401 | 403, problem, .. }) => {
                    return Err(Unfit::Refused(problem));
                }
                // A server of this kind that answers wrongly is not one of another kind.
                Err(fault @ Fault::Wrong { .. }) if Some(dialect) == hinted => return Err(fault.into()),
                Err(fault @ (Fault::Down { .. } | Fault::Slow { .. } | Fault::Busy { .. })) => {
                    return Err(fault.into());
                }
                Err(_) => {}
            }
        }
        profile.lists_by_text = self.lists_by_text();
        for (token_ids, neutral) in [(true, true), (false, true), (true, false), (false, false)] {
            let dialect = Dialect::Completions { token_ids, neutral };
            if self.guess(dialect, &self.draw(1, 1, None)).is_ok() {
                return Ok(Some(dialect));
            }
        }
        let chat = json!({"model": self.served.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1});
        match self.client.post(Path::Below("/chat/completions"), &chat, WAIT) {
            Ok(_) => Ok(None),
            Err(fault) => Err(Unfit::Refused(format!("neither completions nor chat are answered: {fault}"))),
        }
    }

    fn lists_by_text(&self) -> bool {
        let body = json!({"model": self.served.model, "prompt": "Hello", "max_tokens": 1, "logprobs": 2});
        self.client
            .post(Path::Below("/completions"), &body, WAIT)
            .is_ok_and(|body| completions::lists_by_text(&body))
    }

    fn next_tokens(&mut self, profile: &mut Profile) -> Result<(), Unfit> {
        let first = self.list(profile)?;
        let mass: f64 = first.top.iter().map(|entry| entry.1.exp()).sum();
        if mass < LEAST_LISTED_MASS && profile.top_k >= 10 && self.vocab_size() > 500 {
            return Err(Unfit::Wrong(format!(
                "its {} most likely tokens have a probability of {mass:.1e} together where any model is sure; it may return logits",
                profile.top_k
            )));
        }
        let (again, usage) = self.one(&self.next(&[], profile.top_k, 1.0))?;
        profile.repeat_nats = Some(difference(&first.top, &again.top));
        profile.caches = usage.cached_tokens.map(|cached| cached > 0);
        let (tempered, _) = self.one(&self.next(&[], profile.top_k, 0.5))?;
        profile.is_raw = Some(difference(&first.top, &tempered.top) < TOLERANCE);
        self.chosen(profile, &first)
    }

    /// The longest list that the server gives.
    fn list(&mut self, profile: &mut Profile) -> Result<NextToken, Unfit> {
        let longest: &[usize] = match self.dialect {
            Dialect::LlamaServer => &[256, 64, 20, 1],
            _ => &[100, 20, 5, 1],
        };
        let mut refusal = Fault::wrong("it lists no tokens");
        for &top_k in longest {
            let top_k = top_k.min(self.vocab_size());
            match self.one(&self.next(&[], top_k, 1.0)) {
                Ok((found, _)) => {
                    profile.top_k = top_k;
                    return Ok(found);
                }
                Err(fault @ (Fault::Refused { .. } | Fault::Wrong { .. })) => refusal = fault,
                Err(fault) => return Err(fault.into()),
            }
        }
        Err(refusal.into())
    }

    fn one(&mut self, question: &Question) -> Result<(NextToken, Usage), Fault> {
        match self.ask(self.dialect, question)? {
            Answer::Next(mut found, usage) if found.len() == 1 => Ok((found.remove(0), usage)),
            _ => Err(Fault::wrong("another answer came than was asked for")),
        }
    }

    /// Whether chosen tokens are told exactly: some that were listed, and one that was not.
    fn chosen(&mut self, profile: &mut Profile, listed: &NextToken) -> Result<(), Unfit> {
        let unlisted =
            (0..self.vocab_size() as TokenId).rev().find(|t| listed.top.iter().all(|entry| entry.0 != *t));
        let last = listed.top.last().map(|entry| entry.0);
        let some: Vec<TokenId> =
            listed.top.iter().map(|entry| entry.0).take(2).chain(last).chain(unlisted).collect();
        let mut found = Vec::new();
        for part in some.chunks(self.dialect.most_chosen().max(1)) {
            match self.one(&self.next(part, 0, 1.0)) {
                Ok((next, _)) => found.extend(part.iter().copied().zip(next.gather)),
                // A server that does not know the field ignores it.
                Err(Fault::Wrong { .. } | Fault::Refused { .. }) => return Ok(()),
                Err(fault) => return Err(fault.into()),
            }
        }
        let differs = difference(&listed.top, &found);
        profile.gather_nats = Some(differs);
        if differs > TOLERANCE {
            return Err(Unfit::Wrong(format!(
                "the log-probability of a token differs by {differs:.3} nats when it is asked for by number; the server may mix requests up"
            )));
        }
        profile.gather = match self.dialect {
            // One request for each.
            Dialect::LlamaServer => 32,
            dialect => dialect.most_chosen(),
        };
        Ok(())
    }

    fn draws(&mut self, profile: &mut Profile) -> Result<(), Unfit> {
        let (several, at_once) = match self.drawn(DRAWS, None) {
            Ok(draws) => (draws, self.served.n_slots.unwrap_or(MOST_AT_ONCE)),
            Err(Fault::Wrong { .. } | Fault::Refused { .. }) => {
                let mut draws = Vec::new();
                for _ in 0..DRAWS {
                    draws.extend(self.drawn(1, None)?);
                }
                (draws, 1)
            }
            Err(fault) => return Err(fault.into()),
        };
        profile.n_at_once = at_once;
        let again = self.drawn(1, None)?;
        // Copies within a request, or of the first draw of the one before.
        profile.draws_are_copies =
            are_copies(&several) || are_copies(&[several[0].clone(), again[0].clone()]);
        self.check_texts(&several)?;
        if self.dialect != Dialect::Vllm {
            // Other in their lower half too: some servers take no more of a seed.
            let seeded: Vec<Drawn> = [0x0123_4567_89ab, 0x0123_4567_89ab, 0x0fed_cba9_8765]
                .into_iter()
                .map(|seed| Ok(self.drawn(1, Some(seed))?.remove(0)))
                .collect::<Result<_, Fault>>()?;
            profile.seeds = Some(
                seeded[0].text == seeded[1].text
                    && (seeded[0].text != seeded[2].text || profile.draws_are_copies),
            );
        }
        Ok(())
    }

    fn drawn(&mut self, n: usize, seed: Option<u64>) -> Result<Vec<Drawn>, Fault> {
        match self.ask(self.dialect, &self.draw(n, DRAWN, seed))? {
            Answer::Draws(draws, _) if draws.len() == n => Ok(draws),
            _ => Err(Fault::wrong("another answer came than was asked for")),
        }
    }

    /// The tokens that the server draws spell its text here too, those of most draws: broken characters are spelled in more than one way, and with
    /// another tokenizer nearly all texts differ.
    fn check_texts(&self, draws: &[Drawn]) -> Result<(), Unfit> {
        let mut differing = Vec::new();
        for draw in draws {
            let Some(tokens) = &draw.token_ids else { continue };
            let ended = tokens.iter().position(|token| self.text.stop_tokens().contains(token));
            let ended = ended.unwrap_or(tokens.len());
            let spelled = |n: usize| self.text.decode(&tokens[..n.min(tokens.len())]).text;
            let there = draw.text.trim();
            // A character may be cut at the end, and the token that ended it may be part of the text.
            let is_same =
                |here: &str| here.trim().trim_end_matches('\u{fffd}') == there.trim_end_matches('\u{fffd}');
            let here = spelled(ended);
            if !is_same(&here) && !is_same(&spelled(ended + 1)) {
                differing.push((here.trim().to_string(), there));
            }
        }
        match differing.first() {
            Some((here, there)) if differing.len() * 2 > draws.len() => Err(Unfit::OtherTokenizer(format!(
                "its tokens spell {here:?} here and {there:?} there: the tokenizer is not that of the model"
            ))),
            _ => Ok(()),
        }
    }
}

/// Largest difference between log-probabilities of tokens that both lists have.
fn difference(a: &[(TokenId, f64)], b: &[(TokenId, f64)]) -> f64 {
    let pairs = a.iter().filter_map(|(token, x)| Some((*x, b.iter().find(|entry| entry.0 == *token)?.1)));
    pairs.filter(|(x, y)| x.is_finite() || y.is_finite()).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

/// Whether draws are all alike though that is no chance.
fn are_copies(draws: &[Drawn]) -> bool {
    let Some(first) = draws.first() else { return false };
    let is_alike = draws.len() > 1
        && draws.iter().all(|draw| draw.text == first.text && draw.token_ids == first.token_ids);
    let logprob = match &first.logprobs {
        Some(logprobs) => logprobs.iter().sum::<f64>(),
        // About a nat a token, which is much for text of a good model.
        None => -(first.text.split_whitespace().count() as f64),
    };
    is_alike && logprob * (draws.len() - 1) as f64 <= CHANCE.ln()
}

impl Profile {
    /// Whether next tokens can be scored.
    pub fn scores(&self) -> bool {
        self.top_k > 0
    }

    /// Whether completions of a prefix can be drawn.
    pub fn draws(&self) -> bool {
        self.dialect.is_some() && !self.draws_are_copies && self.n_at_once > 0
    }

    /// What the server cannot do, what lacks for it, and what would do.
    pub fn lacks(&self) -> Vec<String> {
        let mut lacks = Vec::new();
        if self.dialect.is_none() {
            lacks.push(
                "chat alone: nothing can be asked after a part of a trace, so the server gives traces and no more; \
                 write them with the estimator none, and measure them with `entrace score` and a model that completes prompts"
                    .to_string(),
            );
            return lacks;
        }
        if !self.scores() {
            let why = if self.lists_by_text {
                "log-probabilities come by text, where several tokens may be one"
            } else {
                "no log-probabilities come"
            };
            lacks.push(format!(
                "choices and enumerate: {why}; vLLM, SGLang and llama.cpp's server name tokens by number. The estimators sample and rollout do without"
            ));
        }
        if self.scores() && self.gather == 0 {
            lacks.push(format!(
                "exact log-probabilities of chosen tokens: only the {} most likely are told, so that choices and enumerate give bounds",
                self.top_k
            ));
        }
        if self.draws_are_copies {
            lacks.push(
                "sample, rollout and traces above temperature 0: the server's draws are copies of one another; is a seed set there?".to_string(),
            );
        }
        lacks
    }

    /// Each thing that was found, by name.
    pub fn named(&self) -> Vec<(&'static str, String)> {
        let nats =
            |nats: Option<f64>| nats.map_or("not known".to_string(), |nats| format!("{nats:.1e} nats"));
        let yes = |is: Option<bool>| match is {
            Some(true) => "yes".to_string(),
            Some(false) => "no".to_string(),
            None => "not known".to_string(),
        };
        let (equal, n) = self.tokenizer;
        vec![
            ("model", self.model.clone()),
            ("server", self.server.clone()),
            ("speaks", self.dialect.map_or("chat", Dialect::name).to_string()),
            ("context", self.context_length.map_or("not known".to_string(), |n| format!("{n} tokens"))),
            ("listed tokens", self.top_k.to_string()),
            (
                "chosen tokens",
                if self.gather > 0 { format!("up to {}", self.gather) } else { "no".to_string() },
            ),
            ("listed = chosen", nats(self.gather_nats)),
            ("raw", yes(self.is_raw)),
            ("twice the same", nats(self.repeat_nats)),
            ("draws at once", self.n_at_once.to_string()),
            ("draws differ", yes(Some(!self.draws_are_copies))),
            ("seeds", yes(self.seeds)),
            ("prefix cache", yes(self.caches)),
            (
                "tokenizer",
                if n == 0 {
                    "not compared".to_string()
                } else {
                    format!("{equal} of {n} texts are the same tokens")
                },
            ),
        ]
    }

    /// The same as JSON, for a manifest.
    pub fn to_json(&self) -> Value {
        json!({
            "model": self.model, "server": self.server, "speaks": self.dialect.map_or("chat", Dialect::name), "root": self.root,
            "context_length": self.context_length, "listed_tokens": self.top_k, "chosen_tokens": self.gather,
            "listed_against_chosen_nats": self.gather_nats, "raw": self.is_raw, "repeat_nats": self.repeat_nats,
            "draws_at_once": self.n_at_once, "draws_are_copies": self.draws_are_copies, "seeds": self.seeds,
            "prefix_cache": self.caches, "tokenizer_equal": self.tokenizer.0, "tokenizer_compared": self.tokenizer.1,
        })
    }
}
