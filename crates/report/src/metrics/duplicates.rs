//! Traces of one question that are alike token by token.
//!
//! Draws are worth their number only where they are independent: an engine that ignores seeds, or a file that holds a completion twice, makes
//! intervals over samples too narrow and agreement between samples meaningless. Two independent draws x, y from p are identical with probability
//! Σ_x p(x)² = E p(x). So where traces were drawn at temperature 1 from all tokens, the expected number of identical pairs is the sum over
//! pairs of the mean of their two probabilities; the token that ends a turn is not among them, so that this is a little too high. At other
//! temperatures, and for imported traces, the number is told and nothing is expected. Greedy traces are all alike, and are not counted.

use serde::{Deserialize, Serialize};

use crate::facts::{TaskFacts, TraceFacts, TraceSampling};

/// Pairs of traces of one question.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DuplicateMetrics {
    /// Pairs.
    pub n_pairs: usize,
    /// Pairs whose completions are identical.
    pub n_identical: usize,
    /// How many independent draws would be; null where the distribution they were drawn from is not known.
    pub expected: Option<f64>,
}

impl DuplicateMetrics {
    /// Whether there are more identical pairs than chance explains, by three standard deviations of a Poisson count; also where nothing is
    /// known of what to expect.
    pub fn are_suspicious(&self) -> bool {
        let explained = self.expected.map_or(0.0, |expected| expected + 3.0 * expected.sqrt());
        self.n_identical > 0 && self.n_identical as f64 > explained
    }
}

/// `None` without two traces of a question, and for greedy ones.
pub(super) fn of(task: &TaskFacts) -> Option<DuplicateMetrics> {
    if task.trace_sampling == TraceSampling::Greedy {
        return None;
    }
    let mut found = DuplicateMetrics { n_pairs: 0, n_identical: 0, expected: Some(0.0) };
    for of_question in task.traces.chunk_by(|a, b| a.question == b.question) {
        let written: Vec<&TraceFacts> = of_question.iter().filter(|trace| trace.n_trace_tokens > 0).collect();
        for (i, first) in written.iter().enumerate() {
            for second in &written[i + 1..] {
                found.n_pairs += 1;
                found.n_identical += usize::from(first.completion_hash == second.completion_hash);
                let both = probability(task, first).zip(probability(task, second));
                found.expected = found.expected.zip(both).map(|(sum, (p, q))| sum + (p + q) / 2.0);
            }
        }
    }
    (found.n_pairs > 0).then_some(found)
}

/// With what probability a draw is this trace; `None` where that is not known.
fn probability(task: &TaskFacts, trace: &TraceFacts) -> Option<f64> {
    let known = task.trace_sampling == TraceSampling::Whole
        && trace.tokens.n_logprob == trace.n_trace_tokens as usize;
    known.then(|| trace.tokens.logprob.exp())
}
