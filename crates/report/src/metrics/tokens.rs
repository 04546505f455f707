//! Lengths of traces, and the entropy and log-probability of their tokens.
//!
//! Token entropy is that of the next-token distribution, averaged over the tokens of a trace: another level of uncertainty than the
//! answer entropy. It is null where the run did not record it.

use entrace_record::rows::Outcome;
use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use super::mass::Summary;
use super::quantity::{Groups, Quantity, group_means};
use crate::facts::{TaskFacts, TraceFacts};

/// Token statistics of measured traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenMetrics {
    /// Tokens of the prompt; null without measured traces.
    pub prompt_tokens: Option<Summary>,
    /// Tokens of the trace.
    pub trace_tokens: Option<Summary>,
    /// Steps of the trace.
    pub steps: Option<Summary>,
    /// Mean number of trace tokens.
    pub mean_trace_tokens: Groups<Quantity>,
    /// Mean token entropy in nats.
    pub token_entropy: Groups<Quantity>,
    /// Mean token log-probability in nats.
    pub token_logprob: Groups<Quantity>,
}

pub(super) fn of(task: &TaskFacts, resampling: &Resampling) -> TokenMetrics {
    let measured = || task.traces.iter().filter(|t| t.outcome == Outcome::Measured);
    let summary = |value: fn(&TraceFacts) -> u32| {
        Summary::of(&measured().map(|t| f64::from(value(t))).collect::<Vec<f64>>())
    };
    let means = |value: fn(&TraceFacts) -> Option<f64>| {
        let values = measured().map(|t| (t.question, t.correct, value(t)));
        group_means(task.n_questions, values, resampling)
    };
    TokenMetrics {
        prompt_tokens: summary(|t| t.n_prompt_tokens),
        trace_tokens: summary(|t| t.n_trace_tokens),
        steps: summary(|t| t.n_steps),
        mean_trace_tokens: means(|t| Some(f64::from(t.n_trace_tokens))),
        token_entropy: means(|t| ratio(t.tokens.entropy, t.tokens.n_entropy)),
        token_logprob: means(|t| ratio(t.tokens.logprob, t.tokens.n_logprob)),
    }
}

fn ratio(sum: f64, n: usize) -> Option<f64> {
    (n > 0).then(|| sum / n as f64)
}
