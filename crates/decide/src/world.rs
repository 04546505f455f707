//! Made-up traces for tests, and worlds in which risks, savings and the best rule are known.
//!
//! * `Constant`: a score u, uniform, stands from the first prefix on; the leader is right with probability u, the whole trace always.
//!   Stopping where u > λ has the risk (1 − λ)²/2, and by the lemma of Neyman and Pearson no rule saves more at its risk.
//! * `Settling`: the leader is wrong before a step S, uniform over 1..9 of 10, and right from it on; scores are uniform before, and the
//!   best of forty uniforms after. Savings and risk of a
//!   threshold are finite sums, and the best threshold is known.
//! * `Hopeless`: a score u stands from the first prefix on, and the whole trace is right with probability u. Giving up where u < λ has the
//!   risk λ²/2, and again no rule saves more.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::choose::{giving_up, stopping};
use crate::loss::Loss;
use crate::recorded::{Found, RecordedPrefix, RecordedTrace, Tokens};
use crate::rule::{Condition, Rule};
use crate::signal::Signal;

/// Tokens of a step.
const STEP: u32 = 10;
/// Uniforms of which a settled belief has the best.
const SETTLED: i32 = 40;

/// A belief with this leader; the rest is on one other answer.
pub(crate) fn prefix(leader: &str, prob: f64) -> RecordedPrefix {
    let found = |answer: &str, prob: f64| Found { answer: answer.into(), logprob: prob.ln() };
    RecordedPrefix {
        n_tokens: 0,
        entropy: -(prob * prob.ln() + (1.0 - prob) * (1.0 - prob).ln()),
        leader: leader.into(),
        leader_prob: prob,
        target_logprob: None,
        cue_entropy: None,
        is_sampled: false,
        found: vec![found(leader, prob), found("other", 1.0 - prob)],
        residual: 0.0,
    }
}

/// A trace of steps of ten tokens whose answer is the last leader.
pub(crate) fn trace(question: usize, target: &str, mut prefixes: Vec<RecordedPrefix>) -> RecordedTrace {
    for (k, prefix) in prefixes.iter_mut().enumerate() {
        prefix.n_tokens = STEP * k as u32;
        let logprob =
            if *prefix.leader == *target { prefix.leader_prob.ln() } else { (1.0 - prefix.leader_prob).ln() };
        prefix.target_logprob = Some(logprob);
    }
    let answer = prefixes.last().map(|prefix| prefix.leader.clone()).unwrap();
    RecordedTrace {
        question_id: format!("q{question}").into(),
        question,
        sample: 0,
        correct: Some(*answer == *target),
        target: Some(target.into()),
        answer,
        states_answer: true,
        n_tokens: prefixes.last().unwrap().n_tokens,
        prefixes,
        tokens: Tokens::default(),
    }
}

/// Uniform numbers from a seed.
pub(crate) struct Uniform(ChaCha8Rng);

impl Uniform {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn next(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

/// A world with known risks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum World {
    Constant,
    Settling,
    Hopeless,
}

impl World {
    /// Every world with the losses that it is for.
    pub(crate) const ALL: [(Self, Loss); 5] = [
        (Self::Constant, Loss::Wrong),
        (Self::Constant, Loss::Differs),
        (Self::Settling, Loss::Wrong),
        (Self::Settling, Loss::Differs),
        (Self::Hopeless, Loss::GaveUp),
    ];

    fn n_steps(self) -> usize {
        if self == Self::Settling { 10 } else { 4 }
    }

    pub(crate) fn signal(self) -> Signal {
        Signal::LeaderProb
    }

    pub(crate) fn rule(self) -> fn(Condition) -> Rule {
        if self == Self::Hopeless { giving_up } else { stopping }
    }

    /// Thresholds from cautious to bold.
    pub(crate) fn candidates(self) -> Vec<Condition> {
        let n = 200;
        let share = |i: usize| (i + 1) as f64 / (n + 1) as f64;
        match self {
            Self::Hopeless => (0..n).map(|i| Condition::hopeless(self.signal(), share(i), 0)).collect(),
            Self::Constant => (0..n).map(|i| Condition::sure(self.signal(), 1.0 - share(i))).collect(),
            // Even in the share of traces that are stopped.
            Self::Settling => {
                (0..n).map(|i| Condition::sure(self.signal(), (1.0 - share(i)).powf(0.1))).collect()
            }
        }
    }

    pub(crate) fn sample(self, n_questions: usize, seed: u64) -> Vec<RecordedTrace> {
        let mut uniform = Uniform::new(seed);
        (0..n_questions).map(|question| self.question(question, &mut uniform)).collect()
    }

    fn question(self, question: usize, uniform: &mut Uniform) -> RecordedTrace {
        let (k, u, v) = (self.n_steps(), uniform.next(), uniform.next());
        let settled = 1 + (u * 9.0) as usize;
        let prefixes = (0..=k).map(|i| match self {
            Self::Constant => prefix(if v < u || i == k { "7" } else { "3" }, u),
            Self::Hopeless => prefix(if v < u && i == k { "7" } else { "3" }, u),
            Self::Settling if i < settled => prefix("3", uniform.next()),
            Self::Settling => prefix("7", (0..SETTLED).map(|_| uniform.next()).fold(0.0, f64::max)),
        });
        let prefixes: Vec<RecordedPrefix> = prefixes.collect();
        trace(question, "7", prefixes)
    }

    /// The risk of a threshold.
    pub(crate) fn risk(self, value: f64) -> f64 {
        match self {
            Self::Constant => (1.0 - value).powi(2) / 2.0,
            Self::Hopeless => value * value / 2.0,
            Self::Settling => (1..=9).map(|s| 1.0 - value.powi(s)).sum::<f64>() / 9.0,
        }
    }

    /// The share of tokens that a threshold saves.
    pub(crate) fn savings(self, value: f64) -> f64 {
        match self {
            // It stops before the first token or never.
            Self::Constant => 1.0 - value,
            Self::Hopeless => value,
            Self::Settling => (1..=9).map(|s| settling_savings(s, value)).sum::<f64>() / 9.0,
        }
    }

    /// The most that a rule of this risk saves.
    pub(crate) fn best_savings(self, epsilon: f64) -> f64 {
        let values = (1..100_000).map(|i| f64::from(i) / 100_000.0);
        let within = values.filter(|value| self.risk(*value) <= epsilon);
        within.map(|value| self.savings(value)).fold(0.0, f64::max)
    }
}

/// The expected share that is saved where the belief settles at step `settled` of 10.
fn settling_savings(settled: usize, value: f64) -> f64 {
    let (mut going, mut saved) = (1.0, 0.0);
    for k in 0..10 {
        let stays = if k < settled { value } else { value.powi(SETTLED) };
        saved += going * (1.0 - stays) * (10 - k) as f64 / 10.0;
        going *= stays;
    }
    saved
}

#[test]
fn worlds_are_what_they_say() {
    for (world, loss) in World::ALL {
        let sample = world.sample(4_000, 1);
        let candidate = &world.candidates()[60];
        let rule = world.rule()(candidate.clone());
        let (mut lost, mut saved) = (0.0, 0.0);
        for trace in &sample {
            let values = world.signal().values(trace);
            let values = crate::replay::Values { stop: &values, give_up: &values };
            let ending = crate::replay::replay(&rule, trace, values);
            lost += f64::from(u8::from(loss.of(trace, &ending))) / 4_000.0;
            saved += f64::from(trace.n_tokens - ending.n_tokens) / f64::from(trace.n_tokens) / 4_000.0;
        }
        // Four standard errors.
        assert!((lost - world.risk(candidate.value)).abs() < 0.032, "{world:?} {lost}");
        assert!((saved - world.savings(candidate.value)).abs() < 0.032, "{world:?} {saved}");
    }
}
