//! One number at a prefix that says how settled the answer is, from what was written up to there.
//!
//! * `answer_entropy`: H_k. `leader_prob`: the probability of the leading answer. `stability`: over how many prefixes, this one included,
//!   the leader has been the same.
//! * `tempered_entropy`: the entropy of T_τ p_k, τ fitted so that the true answers are likeliest (`fit`): H_k of a calibrated belief. The
//!   answers that were not found are one atom.
//! * `combined`: the probability that the leader is right (or, for giving up, that the trace will end right), by a logistic regression on
//!   other questions.
//! * every signal of `entrace_measure::SIGNALS` that is computed from tokens, steps and the answer curve, of the trace cut at this prefix:
//!   `cue_entropy`, `mean_logprob`, `deepconf_tail` and so on. Those that a run measures of whole traces only have no value at a prefix.
//!
//! Values are the quantities as they are named, not oriented: [`Signal::falls`] says whether a sure trace has a small one. A signal without
//! a value at a prefix is `None`, and no rule stops there; so is every signal where an answer that was not found could have more probability
//! than the leader, because there is no answer to stop with.

use entrace_measure::readout::TAIL;
use entrace_measure::signal::{Direction, Input, SIGNALS, TraceData};

use crate::error::Error;
use crate::fit::Combined;
use crate::recorded::{RecordedPrefix, RecordedTrace};

/// A signal, with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// H_k.
    AnswerEntropy,
    /// Probability of the leader.
    LeaderProb,
    /// Prefixes over which the leader has not changed.
    Stability,
    /// Entropy of the belief at this temperature.
    TemperedEntropy(f64),
    /// Several signals together.
    Combined(Combined),
    /// An entry of the registry, by its position.
    Registered(usize),
}

/// Names of the signals that are no entries of the registry.
const OWN: [&str; 5] = ["answer_entropy", "leader_prob", "stability", "tempered_entropy", "combined"];

impl Signal {
    /// The signal of a name that needs no parameters.
    pub fn plain(name: &str) -> Option<Self> {
        match name {
            "answer_entropy" => Some(Self::AnswerEntropy),
            "leader_prob" => Some(Self::LeaderProb),
            "stability" => Some(Self::Stability),
            _ => SIGNALS
                .iter()
                .position(|s| s.name == name)
                .filter(|&i| is_of_prefixes(i))
                .map(Self::Registered),
        }
    }

    /// Names of all signals that can be asked for.
    pub fn names() -> Vec<&'static str> {
        let registered = (0..SIGNALS.len()).filter(|&i| is_of_prefixes(i)).map(|i| SIGNALS[i].name);
        OWN.into_iter().chain(registered).collect()
    }

    /// An error that says which names exist.
    pub fn unknown(name: &str) -> Error {
        let problem =
            format!("there is no signal {name:?} of prefixes; known are {}", Self::names().join(", "));
        Error::Signal { problem }
    }

    /// The name used in conditions and files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AnswerEntropy => "answer_entropy",
            Self::LeaderProb => "leader_prob",
            Self::Stability => "stability",
            Self::TemperedEntropy(_) => "tempered_entropy",
            Self::Combined(_) => "combined",
            Self::Registered(i) => SIGNALS[*i].name,
        }
    }

    /// Whether a sure trace has a small value.
    pub fn falls(&self) -> bool {
        match self {
            Self::AnswerEntropy | Self::TemperedEntropy(_) => true,
            Self::LeaderProb | Self::Stability | Self::Combined(_) => false,
            Self::Registered(i) => SIGNALS[*i].direction == Direction::Negated,
        }
    }

    /// Numbers that an engine must tell of tokens, or of the token after the cue, for it to have a value.
    pub fn tokens_needed(&self) -> Vec<Input> {
        match self {
            Self::Registered(i) => {
                let is_told =
                    |need: &Input| !matches!(need, Input::StepEnds | Input::Curve | Input::TokenLogprobs);
                SIGNALS[*i].needs.iter().copied().filter(is_told).collect()
            }
            Self::Combined(combined) => {
                combined.weights.iter().flat_map(|(signal, _)| signal.tokens_needed()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether the belief must be asked for to know it; otherwise what was written is enough.
    pub fn asks(&self) -> bool {
        match self {
            Self::Registered(i) => {
                let needs = SIGNALS[*i].needs;
                needs.iter().any(|need| matches!(need, Input::Curve | Input::CueEntropy))
            }
            _ => true,
        }
    }

    /// The value after k steps.
    pub fn value(&self, trace: &RecordedTrace, k: usize) -> Option<f64> {
        let prefix = &trace.prefixes[k];
        let value = match self {
            Self::AnswerEntropy => Some(prefix.entropy),
            Self::LeaderProb => Some(prefix.leader_prob),
            Self::Stability => Some(stability(trace, k) as f64),
            Self::TemperedEntropy(temperature) => tempered_entropy(prefix, *temperature),
            Self::Combined(combined) => combined.value(trace, k),
            Self::Registered(i) => registered(*i, trace, k),
        };
        value.filter(|value| value.is_finite() && prefix.leads())
    }

    /// The values at all prefixes of a trace.
    pub fn values(&self, trace: &RecordedTrace) -> Vec<Option<f64>> {
        (0..trace.prefixes.len()).map(|k| self.value(trace, k)).collect()
    }
}

/// Whether an entry of the registry can be computed of a cut trace.
fn is_of_prefixes(position: usize) -> bool {
    let at_prefix = |need: &Input| !matches!(need, Input::Asked(_) | Input::Agreement | Input::Profile);
    SIGNALS[position].needs.iter().all(at_prefix)
}

fn stability(trace: &RecordedTrace, k: usize) -> usize {
    let leader = &trace.prefixes[k].leader;
    trace.prefixes[..=k].iter().rev().take_while(|prefix| prefix.leader == *leader).count()
}

/// H of p^{1/τ}, renormalised over the answers found and one atom for the rest; `None` for draws. As in `entrace_measure::readout`, unlikely
/// answers belong to the rest: some are found only because they are true, and nothing may depend on that.
fn tempered_entropy(prefix: &RecordedPrefix, temperature: f64) -> Option<f64> {
    let mut probs: Vec<f64> = prefix.found.iter().map(|found| found.logprob.exp()).collect();
    probs.sort_by(f64::total_cmp);
    let mut rest = prefix.residual.max(0.0);
    let mut n_in_rest = 0;
    while n_in_rest < probs.len() && probs[n_in_rest] <= rest.max(TAIL) {
        rest += probs[n_in_rest];
        n_in_rest += 1;
    }
    if prefix.is_sampled || probs.is_empty() {
        return None;
    }
    let atoms = probs[n_in_rest..].iter().chain([&rest]).filter(|prob| **prob > 0.0);
    let weights: Vec<f64> = atoms.map(|prob| prob.powf(1.0 / temperature)).collect();
    let sum: f64 = weights.iter().sum();
    Some(entrace_measure::entropy::shannon_entropy(weights.iter().map(|weight| weight / sum)))
}

fn registered(position: usize, trace: &RecordedTrace, k: usize) -> Option<f64> {
    let n = trace.prefixes[k].n_tokens as usize;
    let cut = |numbers: &'_ Option<Vec<f64>>| numbers.as_ref().map(|numbers| numbers[..n].to_vec());
    let tokens = &trace.tokens;
    let ends: Vec<usize> = trace.prefixes[1..=k].iter().map(|prefix| prefix.n_tokens as usize).collect();
    let curve = trace.curve(k);
    let (logprobs, entropies, margins) =
        (cut(&tokens.logprobs), cut(&tokens.entropies), cut(&tokens.margins));
    let (confidences, divergences) = (cut(&tokens.confidences), cut(&tokens.divergences));
    let data = TraceData {
        token_logprobs: logprobs.as_deref(),
        token_entropies: entropies.as_deref(),
        token_margins: margins.as_deref(),
        token_confidences: confidences.as_deref(),
        uniform_divergences: divergences.as_deref(),
        step_ends: Some(&ends),
        curve: Some(&curve),
        cue_entropy: trace.prefixes[k].cue_entropy,
        ..TraceData::default()
    };
    let signal = &SIGNALS[position];
    let score = signal.score(&data).ok()?;
    Some(if signal.direction == Direction::Negated { -score } else { score })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{prefix, trace};

    #[test]
    fn stability_counts_back_to_the_last_change() {
        let trace =
            trace(0, "7", vec![prefix("7", 0.5), prefix("3", 0.5), prefix("7", 0.6), prefix("7", 0.9)]);
        let values: Vec<_> = Signal::Stability.values(&trace).into_iter().flatten().collect();
        assert_eq!(values, [1.0, 1.0, 1.0, 2.0]);
    }

    #[test]
    fn temperature_one_leaves_the_entropy_and_others_sharpen_or_flatten_it() {
        let prefix = prefix("7", 0.8);
        let entropy = tempered_entropy(&prefix, 1.0).unwrap();
        assert!((entropy - prefix.entropy).abs() < 1e-12);
        assert!(tempered_entropy(&prefix, 0.5).unwrap() < entropy);
        assert!(tempered_entropy(&prefix, 2.0).unwrap() > entropy);
    }

    #[test]
    fn where_the_leader_may_not_lead_nothing_is_known() {
        let mut trace = trace(0, "7", vec![prefix("7", 0.3), prefix("7", 0.9)]);
        trace.prefixes[0].residual = 0.5;
        assert_eq!(Signal::AnswerEntropy.value(&trace, 0), None);
        assert_eq!((trace.leader_is_right(0), trace.leader_is_right(1)), (Some(false), Some(true)));
        trace.prefixes[0].residual = 0.2;
        assert!(Signal::AnswerEntropy.value(&trace, 0).is_some() && trace.leader_stays(0));
    }

    #[test]
    fn an_unlikely_answer_that_was_found_changes_no_tempered_entropy() {
        let mut prefix = prefix("7", 0.9);
        let found =
            |answer: &str, prob: f64| crate::recorded::Found { answer: answer.into(), logprob: prob.ln() };
        prefix.found = vec![found("7", 0.9), found("3", 0.08)];
        prefix.residual = 0.02;
        let without = tempered_entropy(&prefix, 8.0).unwrap();
        prefix.found.push(found("5", 0.001));
        prefix.residual = 0.019;
        assert!((tempered_entropy(&prefix, 8.0).unwrap() - without).abs() < 1e-9);
    }

    #[test]
    fn signals_of_tokens_look_no_further_than_the_prefix() {
        let mut trace = trace(0, "7", vec![prefix("7", 0.5), prefix("7", 0.5), prefix("7", 0.5)]);
        let n = trace.n_tokens as usize;
        trace.tokens.logprobs = Some((0..n).map(|t| -(t as f64)).collect());
        let signal = Signal::plain("mean_logprob").unwrap();
        let first = trace.prefixes[1].n_tokens as f64;
        assert_eq!(signal.value(&trace, 0), None);
        assert!((signal.value(&trace, 1).unwrap() + (first - 1.0) / 2.0).abs() < 1e-12);
        assert!(!signal.asks() && Signal::plain("cue_entropy").unwrap().asks());
    }

    #[test]
    fn signals_of_whole_traces_are_none_of_prefixes() {
        assert!(Signal::plain("p_true").is_none() && Signal::plain("self_consistency").is_none());
        assert!(Signal::plain("cue_entropy").is_some_and(|signal| signal.falls()));
    }
}
