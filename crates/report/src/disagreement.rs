//! How far rollouts at a prefix are from the forced belief there.
//!
//! TV(p, q) = ½ Σ_a |p(a) − q(a)|, what the enumeration left unexplored being an answer of its own. The floor is what m draws from p itself
//! would show on average: ½ Σ_a E|n_a/m − p_a| with n_a binomial, by de Moivre's mean absolute deviation
//! E|n − mp| = 2 (1 − p)^{m−ν} p^{ν+1} (ν + 1) C(m, ν + 1), ν = ⌊mp⌋.

use crate::belief::Mass;
use crate::facts::{Disagreement, Draft};

/// The disagreement of each rollout with the forced point at the same step. Masses are in order of step.
pub(crate) fn of(
    rollouts: &[Draft],
    rollout_masses: &[Mass],
    forced: &[Draft],
    forced_masses: &[Mass],
) -> Vec<Option<Disagreement>> {
    let of_point = |point: &Draft| {
        let other = forced.iter().find(|other| other.step == point.step)?;
        let draws = point.n_samples.filter(|draws| *draws > 0)?;
        let (drawn, believed) = (at(rollout_masses, point.step), at(forced_masses, point.step));
        (!drawn.is_empty() && !believed.is_empty()).then(|| Disagreement {
            distance: distance(drawn, believed, other.residual_mass),
            floor: floor(believed, other.residual_mass, draws),
            same_leader: point.leader == other.leader,
        })
    };
    rollouts.iter().map(of_point).collect()
}

fn at(masses: &[Mass], step: u32) -> &[Mass] {
    let start = masses.partition_point(|mass| mass.step < step);
    let end = masses.partition_point(|mass| mass.step <= step);
    &masses[start..end]
}

fn distance(drawn: &[Mass], believed: &[Mass], residual: f64) -> f64 {
    let prob =
        |masses: &[Mass], answer: u32| masses.iter().find(|m| m.answer == answer).map_or(0.0, |m| m.prob);
    let known: f64 = believed.iter().map(|mass| (mass.prob - prob(drawn, mass.answer)).abs()).sum();
    let unknown = drawn.iter().filter(|mass| believed.iter().all(|other| other.answer != mass.answer));
    let drawn_elsewhere: f64 = unknown.map(|mass| mass.prob).sum();
    0.5 * (known + (residual - drawn_elsewhere).abs())
}

fn floor(believed: &[Mass], residual: f64, draws: u32) -> f64 {
    let probs = believed.iter().map(|mass| mass.prob).chain([residual]);
    0.5 * probs.map(|prob| mean_deviation(prob, draws) / f64::from(draws)).sum::<f64>()
}

/// E|n − mp| of a binomial count.
fn mean_deviation(prob: f64, draws: u32) -> f64 {
    if prob <= 0.0 || prob >= 1.0 {
        return 0.0;
    }
    let m = f64::from(draws);
    let next = (m * prob).floor() + 1.0;
    let log = (m - next + 1.0) * (1.0 - prob).ln() + next * prob.ln() + next.ln() + ln_choose(m, next);
    2.0 * log.exp()
}

/// ln C(m, k) for a whole 0 ≤ k ≤ m.
fn ln_choose(m: f64, k: f64) -> f64 {
    (1..=k as u64).map(|i| ((m - k + i as f64) / i as f64).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mass(answer: u32, prob: f64) -> Mass {
        Mass { step: 0, answer, prob, logprob: prob.ln() }
    }

    #[test]
    fn mean_deviations_are_those_of_the_counts() {
        for (prob, draws) in [(0.3_f64, 5_u32), (0.5, 4), (0.9, 7), (0.01, 8)] {
            let exact: f64 = (0..=draws)
                .map(|n| {
                    let ways = ln_choose(f64::from(draws), f64::from(n)).exp();
                    let chance = ways * prob.powi(n as i32) * (1.0 - prob).powi((draws - n) as i32);
                    chance * (f64::from(n) - f64::from(draws) * prob).abs()
                })
                .sum();
            assert!((mean_deviation(prob, draws) - exact).abs() < 1e-10, "{prob} {draws}");
        }
    }

    #[test]
    fn what_was_not_explored_is_one_answer() {
        let believed = [mass(0, 0.6), mass(1, 0.3)];
        assert!((distance(&[mass(0, 0.5), mass(7, 0.5)], &believed, 0.1) - 0.4).abs() < 1e-12);
        assert!((distance(&believed, &believed, 0.1) - 0.05).abs() < 1e-12);
    }
}
