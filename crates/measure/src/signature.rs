//! The signature of a trace: its entropy curve in a few numbers.
//!
//! Input: H_k, the leading answer with its probability, the relative depth s_k and the token count t_k at the prefixes k = 0..K.
//! Output, in nats:
//!
//! * lock-in step: the first k from which on the leader is one and the same answer, and at each of those prefixes leads with
//!   p ≥ 0.9, or with p ≥ ½ and H ≤ ε (below one half, H is that of the little that was found). `None` where the last prefix does not
//!   lead so; what cannot be read as an answer never locks in.
//! * wasted tokens: T − t_k of the lock-in step.
//! * total drop: H_0 − H_K; negative where the trace left the model less sure.
//! * area: ∫ H(s) ds over [0, 1] by the trapezoid rule; `None` for a trace without steps.
//! * late slope: least squares slope of H on s over the prefixes with s ≥ 2/3, in nats per unit of depth; `None` for fewer than two.
//! * violations: the steps at which H rises by more than ε; a curve without any is ε-monotone (a single point is).
//!
//! `of` reads a curve in memory, `of_points` reads recorded rows; both give the same bits. Source: lock-in and slopes after
//! arXiv:2604.06192, ε-monotone curves with ε = 0.01 after arXiv:2603.18940; the thresholds of the lock-in are ours. Not here:
//! which answers lead and return (`profile`).

use crate::answer::Answer;
use crate::curve::EntropyCurve;

/// What a signature needs to know of one prefix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point<'a> {
    /// Trace tokens t_k in the prefix.
    pub n_tokens: usize,
    /// Relative depth in [0, 1], rising.
    pub depth: f64,
    /// H_k in nats.
    pub entropy: f64,
    /// Name of the most likely answer.
    pub leader: &'a str,
    /// Its probability.
    pub leader_prob: f64,
}

/// Probability from which a leader leads clearly.
const LOCK_IN_PROB: f64 = 0.9;
/// Entropy in nats up to which a leader of at least one half leads clearly.
const LOCK_IN_ENTROPY: f64 = 0.01;
/// Rise in nats that a monotone curve may have at one step, ε.
const MONOTONE_TOLERANCE: f64 = 0.01;

/// An entropy curve in a few numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// First step from which the leader never changes and leads clearly.
    pub lock_in_step: Option<usize>,
    /// Tokens after the lock-in step.
    pub wasted_tokens: Option<usize>,
    /// H_0 − H_K in nats.
    pub total_drop: f64,
    /// Area under H(s) in nats.
    pub area: Option<f64>,
    /// Slope of H(s) over the last third of the depth, in nats per unit of depth.
    pub late_slope: Option<f64>,
    /// Whether H never rises by more than ε.
    pub monotone: bool,
    /// Number of steps at which it does.
    pub n_violations: usize,
}

impl Signature {
    /// The signature of a curve.
    pub fn of(curve: &EntropyCurve) -> Self {
        Self::compute(&points_of(curve))
    }

    /// The signature of recorded prefixes; `None` without any.
    pub fn of_points(points: &[Point<'_>]) -> Option<Self> {
        (!points.is_empty()).then(|| Self::compute(points))
    }

    /// `points` is not empty.
    fn compute(points: &[Point<'_>]) -> Self {
        let last = points.len() - 1;
        let rises: Vec<f64> = points.windows(2).map(|w| w[1].entropy - w[0].entropy).collect();
        let n_violations = rises.iter().filter(|&&rise| rise > MONOTONE_TOLERANCE).count();
        let lock_in_step = lock_in_step(points);
        Self {
            lock_in_step,
            wasted_tokens: lock_in_step.map(|k| points[last].n_tokens - points[k].n_tokens),
            total_drop: points[0].entropy - points[last].entropy,
            area: area(points),
            late_slope: late_slope(points),
            monotone: n_violations == 0,
            n_violations,
        }
    }
}

/// The points of a curve as they are recorded.
pub fn points_of(curve: &EntropyCurve) -> Vec<Point<'_>> {
    let points = curve.points().iter().map(|point| {
        let leader = point.distribution.leader();
        Point {
            n_tokens: point.prefix.n_tokens,
            depth: point.depth,
            entropy: point.distribution.entropy.nats,
            leader: leader.answer.name(),
            leader_prob: leader.prob,
        }
    });
    points.collect()
}

fn lock_in_step(points: &[Point<'_>]) -> Option<usize> {
    let final_leader = points.last()?.leader;
    let leads = |p: &&Point<'_>| {
        let decided = p.leader_prob >= 0.5 && p.entropy <= LOCK_IN_ENTROPY;
        let clearly = p.leader_prob >= LOCK_IN_PROB || decided;
        p.leader == final_leader && p.leader != Answer::INVALID_NAME && clearly
    };
    let n_locked = points.iter().rev().take_while(leads).count();
    (n_locked > 0).then(|| points.len() - n_locked)
}

fn area(points: &[Point<'_>]) -> Option<f64> {
    let trapezoid = |w: &[Point<'_>]| (w[1].depth - w[0].depth) * (w[0].entropy + w[1].entropy) / 2.0;
    (points.len() >= 2).then(|| points.windows(2).map(trapezoid).sum())
}

fn late_slope(points: &[Point<'_>]) -> Option<f64> {
    // The margin admits s = 2/3 that went through a narrower float.
    let late: Vec<&Point<'_>> = points.iter().filter(|p| p.depth >= 2.0 / 3.0 - 1e-6).collect();
    let n = late.len() as f64;
    let mean_depth = late.iter().map(|p| p.depth).sum::<f64>() / n;
    let mean_entropy = late.iter().map(|p| p.entropy).sum::<f64>() / n;
    let spread: f64 = late.iter().map(|p| (p.depth - mean_depth).powi(2)).sum();
    let common: f64 = late.iter().map(|p| (p.depth - mean_depth) * (p.entropy - mean_entropy)).sum();
    (late.len() >= 2 && spread > 0.0).then(|| common / spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::{AnswerDistribution, AnswerMass, Estimator};
    use crate::entropy::{EntropyInterval, shannon_entropy};
    use crate::prefix::Prefix;

    /// Prefixes of ten tokens a step, evenly deep.
    fn points<'a>(rows: &[(f64, &'a str, f64)]) -> Vec<Point<'a>> {
        let steps = (rows.len() - 1).max(1) as f64;
        let depth = |k: usize| if rows.len() == 1 { 1.0 } else { k as f64 / steps };
        let point = |(k, &(entropy, leader, leader_prob))| Point {
            n_tokens: 10 * k,
            depth: depth(k),
            entropy,
            leader,
            leader_prob,
        };
        rows.iter().enumerate().map(point).collect()
    }

    fn lock_in(rows: &[(f64, &str, f64)]) -> (Option<usize>, Option<usize>) {
        let signature = Signature::of_points(&points(rows)).unwrap();
        (signature.lock_in_step, signature.wasted_tokens)
    }

    #[test]
    fn lock_in_is_the_start_of_the_last_clear_lead() {
        let clear = (0.3, "4", 0.9);
        assert_eq!(lock_in(&[clear, (0.9, "4", 0.6), clear, clear]), (Some(2), Some(10)));
        assert_eq!(lock_in(&[clear, (0.2, "5", 0.95), clear]), (Some(2), Some(0)));
        assert_eq!(lock_in(&[clear, clear, clear]), (Some(0), Some(20)));
        assert_eq!(lock_in(&[clear, (0.9, "4", 0.89)]), (None, None));
        assert_eq!(lock_in(&[(0.01, "4", 0.5)]), (Some(0), Some(0)));
        assert_eq!(lock_in(&[(0.0, "4", 0.2)]), (None, None));
        assert_eq!(lock_in(&[(0.0, Answer::INVALID_NAME, 1.0)]), (None, None));
    }

    #[test]
    fn shape_of_a_curve_in_closed_form() {
        let rows = [
            (2.0, "a", 0.3),
            (1.0, "a", 0.5),
            (1.005, "a", 0.5),
            (1.4, "a", 0.4),
            (0.8, "a", 0.6),
            (0.5, "a", 0.7),
        ];
        let mut curve = points(&rows);
        curve.push(Point { n_tokens: 60, depth: 1.0, entropy: 0.2, leader: "a", leader_prob: 0.9 });
        for (k, point) in curve.iter_mut().enumerate() {
            point.depth = k as f64 / 6.0;
        }
        let signature = Signature::of_points(&curve).unwrap();
        assert!((signature.total_drop - 1.8).abs() < 1e-12);
        // Trapezoids of width 1/6: the ends count half.
        let inner = 1.0 + 1.005 + 1.4 + 0.8 + 0.5;
        assert!((signature.area.unwrap() - (1.1 + inner) / 6.0).abs() < 1e-12);
        // 0.8, 0.5, 0.2 at depths 4/6, 5/6, 1: 0.3 nats for each sixth.
        assert!((signature.late_slope.unwrap() + 1.8).abs() < 1e-12);
        assert_eq!((signature.monotone, signature.n_violations), (false, 1));
    }

    #[test]
    fn a_trace_without_steps_has_no_shape() {
        let signature = Signature::of_points(&points(&[(1.0, "a", 0.5)])).unwrap();
        assert_eq!((signature.area, signature.late_slope), (None, None));
        assert!(signature.monotone && signature.total_drop.abs() < 1e-15);
        assert_eq!(Signature::of_points(&[]), None);
        let two = Signature::of_points(&points(&[(1.0, "a", 0.5), (0.5, "a", 0.5)])).unwrap();
        assert_eq!(two.late_slope, None);
        assert!(two.area.is_some());
    }

    #[test]
    fn a_curve_and_its_rows_have_the_same_signature() {
        let distribution = |probs: &[f64]| {
            let mass = |(i, &prob): (usize, &f64)| AnswerMass {
                answer: Answer::Value(i.to_string()),
                prob,
                logprob: prob.ln(),
            };
            let masses = probs.iter().enumerate().map(mass).collect();
            let entropy = EntropyInterval::exact(shannon_entropy(probs.iter().copied()));
            AnswerDistribution::new(Estimator::Choices, masses, 0.0, entropy).unwrap()
        };
        let prefixes = [0, 7, 9].into_iter().enumerate();
        let prefixes: Vec<Prefix> = prefixes.map(|(step, n_tokens)| Prefix { step, n_tokens }).collect();
        let beliefs = vec![distribution(&[0.5, 0.5]), distribution(&[0.2, 0.8]), distribution(&[0.05, 0.95])];
        let curve = EntropyCurve::new(&prefixes, beliefs).unwrap();
        let signature = Signature::of(&curve);
        assert_eq!(Some(signature.clone()), Signature::of_points(&points_of(&curve)));
        assert_eq!((signature.lock_in_step, signature.wasted_tokens), (Some(2), Some(0)));
    }
}
