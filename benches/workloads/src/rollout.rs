//! W2: new tokens per second of continuations from shared prefixes, at temperature 1.
//!
//! A completion that ends before its limit counts with the tokens it has.

use crate::outcome::{Once, flop};
use crate::workload::Rollout;
use anyhow::Result;
use entrace_backend::{Fork, Generate, GenerateRequest, Sampling, stream_seed};
use entrace_decoder::LanguageModel;
use std::collections::BTreeMap;
use std::time::Instant;

pub(crate) fn measure(model: &LanguageModel, rollouts: &[Rollout]) -> Result<Once> {
    let (mut seconds, mut n_new, mut n_context, mut n_wanted) = (0.0, 0, 0, 0);
    for rollout in rollouts {
        let begin = Instant::now();
        n_new += generate(model, rollout)?;
        seconds += begin.elapsed().as_secs_f64();
        n_context += rollout.forks.iter().copied().max().unwrap_or(0);
        n_wanted += rollout.forks.len() * rollout.draws * rollout.new_tokens;
    }
    let notes = BTreeMap::from([("new tokens, of those asked for", n_new as f64 / n_wanted as f64)]);
    let flop = Some(flop(model, n_context + n_new, n_new));
    Ok(Once { seconds, amount: n_new as f64, unit: "tokens", flop, notes })
}

/// Tokens that were generated.
fn generate(model: &dyn Generate, rollout: &Rollout) -> Result<usize> {
    let sampling = Sampling {
        temperature: 1.0,
        top_p: 1.0,
        top_k: 0,
        max_new_tokens: rollout.new_tokens,
        stop: Vec::new(),
    };
    let fork = |(number, &n_tokens): (usize, &usize)| {
        let stream = |draw: usize| stream_seed(0, &[&number.to_string(), &draw.to_string()]);
        Fork {
            n_tokens,
            suffix: Vec::new(),
            streams: (0..rollout.draws).map(stream).collect(),
            max_new_tokens: None,
        }
    };
    let forks = rollout.forks.iter().enumerate().map(fork).collect();
    let request = GenerateRequest { context: rollout.context_ids.clone(), forks };
    let completions = model.generate(&[request], &sampling, &mut |_| true)?;
    Ok(completions.iter().flatten().flatten().map(|completion| completion.token_ids.len()).sum())
}
