//! Stopping traces while they are written: what a rule is told at each prefix, and what it says.

use entrace_backend::Sharpness;
use entrace_measure::{Act, AnswerDistribution};
use entrace_record::manifest::StoppingRecord;
use std::fmt::Debug;
use std::sync::Arc;

/// When to stop a trace.
pub trait StoppingRule: Debug + Send + Sync {
    /// Begins to watch a trace.
    fn watch(&self) -> Box<dyn StopWatch + '_>;
}

/// A rule at work on one trace.
pub trait StopWatch {
    /// What to do at the next prefix.
    fn next(&mut self, seen: &Seen<'_>) -> Judged;
}

/// What is known at a prefix.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Trace tokens t_k.
    pub n_tokens: usize,
    /// Belief about the answer.
    pub belief: &'a AnswerDistribution,
    /// Log-probability of each token in nats, `[t_k]`.
    pub logprobs: &'a [Option<f64>],
    /// How sharp the distribution of each token was, `[t_k]`.
    pub sharpness: &'a [Sharpness],
}

/// What a rule says at a prefix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// What to do.
    pub act: Act,
    /// Value of the signal of the condition to stop.
    pub stop: Option<f64>,
    /// Value of the signal of the condition to give up.
    pub give_up: Option<f64>,
}

/// A rule with what the record says of it.
#[derive(Debug, Clone)]
pub struct Stopping {
    /// The rule.
    pub rule: Arc<dyn StoppingRule>,
    /// For the record.
    pub record: StoppingRecord,
}
