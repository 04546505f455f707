//! What a rule does to a trace, prefix by prefix.
//!
//! [`Watch`] takes the values of the signals at one prefix after the other and says what to do; it is the same whether the trace is recorded
//! or being written. [`replay`] lets it run over a recorded trace. A rule that first holds where the trace has ended changes nothing.

use crate::recorded::RecordedTrace;
use crate::rule::{Condition, Rule};

pub use entrace_measure::Act;

/// A rule at work on one trace.
#[derive(Debug, Clone)]
pub struct Watch<'a> {
    rule: &'a Rule,
    /// Over how many successive prefixes the conditions have held.
    stop_run: u32,
    give_up_run: u32,
}

impl<'a> Watch<'a> {
    /// At the beginning of a trace.
    pub fn new(rule: &'a Rule) -> Self {
        Self { rule, stop_run: 0, give_up_run: 0 }
    }

    /// What to do at the next prefix, of so many trace tokens, given the value of each condition's signal.
    pub fn next(&mut self, n_tokens: u32, stop: Option<f64>, give_up: Option<f64>) -> Act {
        let is_met = |condition: &Option<Condition>, run: &mut u32, value| {
            let Some(condition) = condition else { return false };
            *run = if condition.holds(value) { run.saturating_add(1) } else { 0 };
            *run >= condition.for_steps && n_tokens >= condition.after_tokens
        };
        let stops = is_met(&self.rule.stop, &mut self.stop_run, stop);
        let gives_up = is_met(&self.rule.give_up, &mut self.give_up_run, give_up);
        match (stops, gives_up) {
            (true, _) => Act::Stop,
            (false, true) => Act::GiveUp,
            (false, false) => Act::Continue,
        }
    }
}

/// How a trace ended under a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// What ended it; `Continue` if it ran to its own end.
    pub act: Act,
    /// The prefix at which it ended; the last one at its own end.
    pub step: usize,
    /// Trace tokens that were written.
    pub n_tokens: u32,
    /// Prefixes at which a decision was taken.
    pub n_looked: usize,
}

impl Ending {
    /// The trace as it is.
    pub fn of_whole(trace: &RecordedTrace) -> Self {
        Self { act: Act::Continue, step: trace.prefixes.len() - 1, n_tokens: trace.n_tokens, n_looked: 0 }
    }

    /// Stopped after k steps, without having looked.
    pub fn at(trace: &RecordedTrace, step: usize) -> Self {
        Self { act: Act::Stop, step, n_tokens: trace.prefixes[step].n_tokens, n_looked: 0 }
    }

    /// Whether the answer given is right; an answer not given is not.
    pub fn is_right(&self, trace: &RecordedTrace) -> Option<bool> {
        match self.act {
            Act::Continue => trace.correct,
            Act::Stop => trace.leader_is_right(self.step),
            Act::GiveUp => trace.correct.map(|_| false),
        }
    }
}

/// The values of a rule's two signals at every prefix of one trace.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Of the condition to stop.
    pub stop: &'a [Option<f64>],
    /// Of the condition to give up.
    pub give_up: &'a [Option<f64>],
}

/// Runs a rule over a recorded trace. A side without a condition may have no values.
pub fn replay(rule: &Rule, trace: &RecordedTrace, values: Values<'_>) -> Ending {
    let mut watch = Watch::new(rule);
    let value = |values: &[Option<f64>], k: usize| values.get(k).copied().flatten();
    let n_early = trace.n_early();
    for k in 0..n_early {
        let n_tokens = trace.prefixes[k].n_tokens;
        let act = watch.next(n_tokens, value(values.stop, k), value(values.give_up, k));
        if act != Act::Continue {
            return Ending { act, step: k, n_tokens, n_looked: k + 1 };
        }
    }
    Ending { n_looked: n_early, ..Ending::of_whole(trace) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signal;
    use crate::world::{prefix, trace};

    fn ending(rule: &str, probs: &[f64]) -> Ending {
        let trace = trace(0, "7", probs.iter().map(|prob| prefix("7", *prob)).collect());
        let stop = Condition::parse(rule).unwrap();
        let values = stop.signal.values(&trace);
        let rule = Rule { stop: Some(stop), give_up: None };
        replay(&rule, &trace, Values { stop: &values, give_up: &[] })
    }

    #[test]
    fn a_condition_must_hold_as_long_as_it_says() {
        let probs = [0.95, 0.5, 0.95, 0.95, 0.95, 0.95];
        assert_eq!(ending("leader_prob > 0.9", &probs).step, 0);
        assert_eq!(ending("leader_prob > 0.9 for 2", &probs).step, 3);
        assert_eq!(ending("leader_prob > 0.9 after 1", &probs).step, 2);
        let third = ending("leader_prob > 0.9 for 3", &probs);
        assert_eq!((third.act, third.step, third.n_looked), (Act::Stop, 4, 5));
    }

    #[test]
    fn a_rule_that_holds_at_the_end_only_changes_nothing() {
        let end = ending("leader_prob > 0.9", &[0.5, 0.5, 0.95]);
        assert_eq!((end.act, end.step, end.n_looked), (Act::Continue, 2, 2));
    }

    #[test]
    fn stopping_goes_before_giving_up() {
        let rule = Rule {
            stop: Some(Condition::sure(Signal::LeaderProb, 0.4)),
            give_up: Some(Condition::hopeless(Signal::LeaderProb, 0.6, 0)),
        };
        let mut watch = Watch::new(&rule);
        assert_eq!(watch.next(0, Some(0.5), Some(0.5)), Act::Stop);
        assert_eq!(watch.next(9, Some(0.3), Some(0.5)), Act::GiveUp);
        assert_eq!(watch.next(9, None, None), Act::Continue);
    }
}
