//! A rule at work on a trace that is being written.
//!
//! The values of its signals are those that a replay of the recorded trace finds at the same prefixes, because no signal of a prefix looks
//! beyond it.

use entrace_measure::{Act, AnswerDistribution};

use crate::recorded::{RecordedPrefix, RecordedTrace, Tokens};
use crate::replay::Watch;
use crate::rule::{Condition, Rule};

/// What a rule says at a prefix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    /// What to do.
    pub act: Act,
    /// Value of the signal of the condition to stop; `None` without such a condition, or without a value.
    pub stop: Option<f64>,
    /// Value of the signal of the condition to give up, likewise.
    pub give_up: Option<f64>,
}

/// A rule with what it has seen of a trace.
#[derive(Debug, Clone)]
pub struct Online<'a> {
    rule: &'a Rule,
    watch: Watch<'a>,
    trace: RecordedTrace,
}

impl<'a> Online<'a> {
    /// At the beginning of a trace.
    pub fn new(rule: &'a Rule) -> Self {
        Self { rule, watch: Watch::new(rule), trace: RecordedTrace::begun() }
    }

    /// What to do at the next prefix, of so many trace tokens, given the belief there and the numbers of these tokens.
    pub fn next(&mut self, n_tokens: u32, belief: &AnswerDistribution, tokens: Tokens) -> Said {
        self.trace.n_tokens = n_tokens;
        self.trace.tokens = tokens;
        self.trace.prefixes.push(RecordedPrefix::of(n_tokens, belief));
        let k = self.trace.prefixes.len() - 1;
        let value = |condition: &Option<Condition>| condition.as_ref()?.signal.value(&self.trace, k);
        let (stop, give_up) = (value(&self.rule.stop), value(&self.rule.give_up));
        Said { act: self.watch.next(n_tokens, stop, give_up), stop, give_up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{Values, replay};
    use entrace_measure::{Answer, Estimator};

    fn belief(hits: usize) -> AnswerDistribution {
        let answer = |name: &str| Answer::Value(name.into());
        let counts = vec![(answer("7"), hits), (answer("3"), 16 - hits)];
        AnswerDistribution::from_counts(Estimator::Sample, counts, None, None).unwrap()
    }

    #[test]
    fn a_trace_being_written_is_decided_as_its_replay() {
        let hits = [9, 15, 8, 14, 15, 16, 16];
        let numbers: Vec<f64> = (0..70).map(|token| -f64::from(token % 7) / 3.0).collect();
        for text in [
            "answer_entropy < 0.5 for 2",
            "leader_prob > 0.9 after 30",
            "mean_logprob > -0.9",
            "stability > 3",
        ] {
            let rule = Rule { stop: Some(Condition::parse(text).unwrap()), give_up: None };
            let mut whole = RecordedTrace::begun();
            whole.n_tokens = 70;
            whole.tokens.logprobs = Some(numbers.clone());
            whole.prefixes =
                (0..).zip(hits).map(|(k, hits)| RecordedPrefix::of(10 * k, &belief(hits))).collect();
            let values = rule.stop.as_ref().unwrap().signal.values(&whole);
            let ending = replay(&rule, &whole, Values { stop: &values, give_up: &[] });
            let mut online = Online::new(&rule);
            let said = (0..).zip(hits).map(|(k, hits)| {
                let tokens = Tokens { logprobs: Some(numbers[..10 * k].to_vec()), ..Tokens::default() };
                online.next(10 * k as u32, &belief(hits), tokens)
            });
            let said: Vec<Said> = said.collect();
            assert!(said.iter().map(|said| said.stop).eq(values), "{text}");
            let first = said.iter().position(|said| said.act != Act::Continue);
            assert_eq!(first, (ending.act != Act::Continue).then_some(ending.step), "{text}");
        }
    }
}
