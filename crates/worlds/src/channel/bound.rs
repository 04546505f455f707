//! A model's joint against the true one: how informative its prefixes are, how well it fits, and what fitting well implies.
//!
//! At depth k, with p the true joint of (Q, C_{1:k}, A), p_θ the model's, and p_θ(q) = p(q):
//!
//! * I_p and I_θ: I(A; C_{1:k} | Q) of either joint. I_θ speaks about the model's own traces and its own answers.
//! * KL(p ‖ p_θ) of the joints at this depth.
//! * gain: E_p[ln p_θ(A | Q, C_{1:k}) − ln p_θ(A | Q)]. Prefixes and answers are the true ones, the model only scores: what entrace estimates as
//!   G at depth k when true traces are imported. p_θ(A|Q) is the model's answer table at depth 0.
//! * scored information: E_p ln p_θ(A | Q, C_{1:k}) + H_p(A|Q). The same against the true p(a|q); by Gibbs' inequality at most I_p, with equality
//!   for the exact observer (Barber and Agakov 2003). gain = scored information + E_p KL(p(A|Q) ‖ p_θ(A|Q)).
//! * accuracy of the model's best guess on true prefixes, at most the exact observer's.
//!
//! **The bound.** I = H(A|Q) − H(A|Q, C). Each of the two is an equivocation, so by Alhejji and Smith (2020) it moves by at most
//! h2(T) + T ln(|A| − 1) between joints at total variation T ≤ 1 − 1/|A|: the second with X = (Q, C), the first with X = Q, whose joints are
//! marginals and no further apart. The expression rises in T on that range, and T ≤ t = √(KL/2) by Pinsker. So, while t ≤ 1 − 1/|A|,
//!
//! I_θ ≥ I_p − 2 [h2(t) + t ln(|A| − 1)].
//!
//! This is the shape of Theorem 2 of arXiv:2604.06192, conditional on the question. It says that prefixes of the model's own joint are
//! informative; the gain on true prefixes is another quantity, and is reported beside it.

use entrace_measure::information::information_floor;

use super::{Law, PrefixJoint};

/// What fitting well implies at one depth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// The model is too far from the truth: √(KL/2) > 1 − 1/|A|, or it excludes something true.
    NotApplicable,
    /// I_θ is at least the floor.
    Holds {
        /// I_p − 2 [h2(t) + t ln(|A| − 1)]; says nothing where it is not positive.
        floor_nats: f64,
        /// I_θ − floor.
        slack_nats: f64,
    },
    /// I_θ is below the floor, which the theorem excludes: something was computed wrongly.
    Violated {
        /// The floor.
        floor_nats: f64,
        /// Floor − I_θ.
        by_nats: f64,
    },
}

/// Rounding in sums of some thousand terms.
const TOLERANCE: f64 = 1e-9;

impl Bound {
    /// The bound for a model of information `model_nats` at this divergence from a joint of information `data_nats`.
    pub fn check(data_nats: f64, model_nats: f64, kl_nats: f64, n_answers: usize) -> Self {
        let Some(floor_nats) = information_floor(data_nats, kl_nats, n_answers) else {
            return Self::NotApplicable;
        };
        let slack_nats = model_nats - floor_nats;
        if slack_nats >= -TOLERANCE {
            Self::Holds { floor_nats, slack_nats }
        } else {
            Self::Violated { floor_nats, by_nats: -slack_nats }
        }
    }
}

/// A model against the truth at one depth; all but the accuracies in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Steps k of the prefixes.
    pub depth: usize,
    /// I_p.
    pub data_information_nats: f64,
    /// I_θ.
    pub model_information_nats: f64,
    /// KL(p ‖ p_θ); infinite where the model excludes something true.
    pub kl_nats: f64,
    /// Total variation between the joints.
    pub total_variation: f64,
    /// E_p[ln p_θ(A | Q, C_{1:k}) − ln p_θ(A | Q)].
    pub gain_nats: f64,
    /// E_p ln p_θ(A | Q, C_{1:k}) + H_p(A|Q).
    pub scored_information_nats: f64,
    /// How often the model's best guess on true prefixes is right.
    pub accuracy: f64,
    /// The same of the exact observer.
    pub bayes_accuracy: f64,
    /// What the divergence implies for I_θ.
    pub bound: Bound,
}

/// The model against the truth at depth `k` ≤ K. Both laws must be of the same channel.
pub fn compare(data: &Law, model: &Law, k: usize) -> Comparison {
    let (truth, belief) = (data.prefix_joint(k), model.prefix_joint(k));
    let kl_nats = truth.kl_nats(&belief);
    let scored = expected_logprob(&truth, &model.answers[k]);
    let scored_at_once = expected_logprob(&data.prefix_joint(0), &model.answers[0]);
    let (data_nats, model_nats) = (truth.information_nats(), belief.information_nats());
    Comparison {
        depth: k,
        data_information_nats: data_nats,
        model_information_nats: model_nats,
        kl_nats,
        total_variation: truth.total_variation(&belief),
        gain_nats: scored - scored_at_once,
        scored_information_nats: scored + truth.answer_entropy_nats(),
        accuracy: accuracy(&truth, &model.answers[k]),
        bayes_accuracy: truth.bayes_accuracy(),
        bound: Bound::check(data_nats, model_nats, kl_nats, truth.n_answers()),
    }
}

/// Σ p(q, c, a) ln p_θ(a | q, c); −∞ where the model excludes something true.
fn expected_logprob(truth: &PrefixJoint, answers: &[Vec<f64>]) -> f64 {
    let term = |(p, q): (&f64, &f64)| if *p > 0.0 { p * q.ln() } else { 0.0 };
    truth.rows().iter().zip(answers).flat_map(|(row, answers)| row.iter().zip(answers)).map(term).sum()
}

/// Share of the truth that falls on the model's best guess; the first of several best ones is guessed.
fn accuracy(truth: &PrefixJoint, answers: &[Vec<f64>]) -> f64 {
    let best = |answers: &[f64]| {
        (1..answers.len()).fold(0, |best, a| if answers[a] > answers[best] { a } else { best })
    };
    truth.rows().iter().zip(answers).map(|(row, answers)| row[best(answers)]).sum()
}
