//! Drawing completions as servers do.

use super::{Oracle, Seeds, Shared};
use entrace_backend::{Error, stream_seed};
use entrace_measure::TokenId;
use std::collections::BTreeSet;

/// What a request asks for, whatever its protocol.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) prompts: Vec<Vec<TokenId>>,
    pub(super) n: usize,
    pub(super) max_tokens: usize,
    pub(super) temperature: f64,
    pub(super) top_p: f64,
    pub(super) top_k: usize,
    /// Tokens with less than this share of the likeliest one's probability are not drawn.
    pub(super) min_p: f64,
    /// Log-probabilities of tokens that the sequence has are multiplied by it; 1 for none.
    pub(super) repeat_penalty: f64,
    pub(super) stop: Vec<String>,
    pub(super) seed: Option<u64>,
    /// A token that is drawn for certain.
    pub(super) forced: Option<TokenId>,
}

/// A completion, the token that ended it included.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) prompt: usize,
    pub(super) tokens: Vec<TokenId>,
    pub(super) text: String,
    /// `stop`, `word` or `length`.
    pub(super) reason: &'static str,
    /// Log-probabilities of every token at each place.
    pub(super) rows: Vec<Vec<f64>>,
    pub(super) cached: usize,
}

/// Numbers that a stream draws with.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (stream_seed(self.0, &[]) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Runs a request: completions by prompt, then by number.
pub(super) fn write(shared: &Shared, asked: &Asked) -> Result<Vec<Written>, Error> {
    let mut all = Vec::new();
    for (prompt, context) in asked.prompts.iter().enumerate() {
        let cached = shared.prefill(context);
        for index in 0..asked.n {
            let seed = match (shared.behaviour.seeds, asked.seed) {
                (Seeds::Fixed, _) => 42 + index as u64,
                (Seeds::Honoured, Some(seed)) => seed.wrapping_add(index as u64),
                _ => shared.next_seed(context),
            };
            all.push(complete(shared, asked, prompt, cached, Stream(seed))?);
        }
    }
    Ok(all)
}

fn complete(
    shared: &Shared,
    asked: &Asked,
    prompt: usize,
    cached: usize,
    mut stream: Stream,
) -> Result<Written, Error> {
    let oracle = &*shared.oracle;
    let mut path = asked.prompts[prompt].clone();
    let begin = path.len();
    let mut written =
        Written { prompt, tokens: vec![], text: String::new(), reason: "length", rows: vec![], cached };
    // A request for no token asks about the first all the same.
    for step in 0..asked.max_tokens.max(1) {
        let probs = oracle.next(&path)?;
        let row = |p: &f64| p.ln();
        let tempered = |p: &f64| p.ln() / asked.temperature.max(1e-6);
        let logprobs: Vec<f64> = if shared.behaviour.tempered && asked.temperature > 0.0 {
            let scaled: Vec<f64> = probs.iter().map(tempered).collect();
            let norm = scaled.iter().map(|l| l.exp()).sum::<f64>().ln();
            scaled.iter().map(|l| l - norm).collect()
        } else {
            probs.iter().map(row).collect()
        };
        written.rows.push(logprobs);
        if step >= asked.max_tokens {
            break;
        }
        let penalised = penalised(probs, &path, asked.repeat_penalty);
        let token = asked.forced.unwrap_or_else(|| draw(&penalised, asked, stream.next()));
        path.push(token);
        written.tokens.push(token);
        if oracle.stop_tokens().contains(&token) {
            written.reason = "stop";
            break;
        }
        let text = oracle.decode(&path[begin..]);
        if let Some(at) = asked.stop.iter().filter_map(|stop| text.find(stop.as_str())).min() {
            written.reason = "word";
            written.text = text[..at].to_string();
            shared.count_drawn(written.tokens.len());
            return Ok(written);
        }
        if path.len() >= oracle.context_length() {
            break;
        }
    }
    written.text = oracle.decode(&written.tokens);
    shared.count_drawn(written.tokens.len());
    Ok(written)
}

impl Shared {
    /// The seed of the next completion of a context.
    fn next_seed(&self, context: &[TokenId]) -> u64 {
        let mut all = super::locked(&self.n_drawn);
        let n_drawn = all.entry(context.to_vec()).or_default();
        *n_drawn += 1;
        stream_seed(*n_drawn, &["drawn", &format!("{context:?}")])
    }

    fn count_drawn(&self, n: usize) {
        super::locked(&self.counted).drawn_tokens += n;
    }
}

/// Probabilities, not summing to one, after the penalty on tokens that were seen.
fn penalised(mut probs: Vec<f64>, seen: &[TokenId], penalty: f64) -> Vec<f64> {
    let seen: BTreeSet<TokenId> = seen.iter().copied().collect();
    seen.into_iter().for_each(|token| probs[token as usize] = probs[token as usize].powf(penalty));
    probs
}

/// One token: the likeliest at temperature 0, else by its tempered probability within `top_k` and `top_p`.
fn draw(probs: &[f64], asked: &Asked, u: f64) -> TokenId {
    let mut ranked: Vec<(TokenId, f64)> = (0..).zip(probs.iter().copied()).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if asked.temperature <= 0.0 {
        return ranked[0].0;
    }
    let largest = ranked[0].1;
    ranked.iter_mut().for_each(|entry| entry.1 = (entry.1 / largest).powf(1.0 / asked.temperature));
    if asked.top_k > 0 {
        ranked.truncate(asked.top_k);
    }
    ranked.retain(|entry| entry.1 >= asked.min_p);
    let mass: f64 = ranked.iter().map(|entry| entry.1).sum();
    let mut sum = 0.0;
    let reached = ranked.iter().position(|entry| {
        sum += entry.1;
        sum >= asked.top_p * mass
    });
    ranked.truncate(reached.map_or(ranked.len(), |last| last + 1));
    let total: f64 = ranked.iter().map(|entry| entry.1).sum();
    let mut left = u * total;
    for &(token, weight) in &ranked {
        left -= weight;
        if left < 0.0 {
            return token;
        }
    }
    ranked[0].0
}

/// The likeliest tokens of a row, with what is said of them.
pub(super) fn likeliest(row: &[f64], k: usize) -> Vec<(TokenId, f64)> {
    let mut ranked: Vec<(TokenId, f64)> = (0..).zip(row.iter().copied()).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.truncate(k);
    ranked
}

/// Tokens of a prompt that comes as tokens, as many prompts, or as text.
pub(super) fn prompts(
    oracle: &dyn Oracle,
    value: &serde_json::Value,
    takes_tokens: bool,
) -> Result<Vec<Vec<TokenId>>, String> {
    let tokens = |value: &serde_json::Value| -> Option<Vec<TokenId>> {
        value.as_array()?.iter().map(|token| token.as_u64().map(|token| token as TokenId)).collect()
    };
    let all = match value {
        serde_json::Value::String(text) => {
            vec![oracle.encode_prompt(text).map_err(|error| error.to_string())?]
        }
        serde_json::Value::Array(_) if !takes_tokens => return Err("prompt must be a text".into()),
        serde_json::Value::Array(items) if items.first().is_some_and(serde_json::Value::is_array) => items
            .iter()
            .map(|item| tokens(item).ok_or("prompt must be a list of tokens".to_string()))
            .collect::<Result<_, _>>()?,
        value => vec![tokens(value).ok_or("prompt must be a list of tokens")?],
    };
    if all.is_empty() || all.iter().any(Vec::is_empty) {
        return Err("prompt must not be empty".into());
    }
    match all.iter().flatten().find(|&&token| token as usize >= oracle.vocab_size()) {
        Some(token) => Err(format!("token {token} is out of vocabulary")),
        None => Ok(all),
    }
}
