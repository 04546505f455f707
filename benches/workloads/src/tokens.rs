//! W3: log-probability of every token of a long text.

use crate::outcome::{Once, flop};
use crate::workload::Tokens;
use anyhow::{Context, Result};
use entrace_backend::{Branch, ScoreTree, TokenScores};
use entrace_decoder::LanguageModel;
use entrace_measure::TokenId;
use std::collections::BTreeMap;
use std::time::Instant;

pub(crate) fn measure(model: &LanguageModel, texts: &[Tokens]) -> Result<Once> {
    let begin = Instant::now();
    for text in texts {
        score(model, &text.token_ids)?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let n_tokens: usize = texts.iter().map(|text| text.token_ids.len()).sum();
    let flop = Some(flop(model, n_tokens, n_tokens - texts.len()));
    Ok(Once { seconds, amount: n_tokens as f64, unit: "tokens", flop, notes: BTreeMap::new() })
}

/// The log-probability of each token but the first.
pub(crate) fn score(model: &dyn ScoreTree, token_ids: &[TokenId]) -> Result<Vec<f64>> {
    let branch =
        Branch { tokens: token_ids.to_vec(), token_scores: TokenScores::Logprobs, ..Branch::default() };
    let scores = model.session()?.extend(&[branch])?;
    let logprobs = scores.first().context("the engine left a score out")?.token_logprobs.iter();
    Ok(logprobs.flatten().copied().collect())
}
