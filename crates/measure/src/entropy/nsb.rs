//! The entropy estimate of Nemenman, Shafee and Bialek.
//!
//! A mixture of symmetric Dirichlet priors over K answers whose mixing weight makes the prior of H nearly flat: with concentration
//! β per answer, the prior mean entropy is ξ(β) = ψ(Kβ + 1) − ψ(β + 1), and the weight is dξ/dβ. Given counts n_i with m = Σ n_i,
//! β has the likelihood Γ(Kβ)/Γ(m + Kβ) Π Γ(n_i + β)/Γ(β); under one β the posterior mean and second moment of H are known in
//! closed form (Wolpert and Wolf 1995). The integral over ln β is a trapezoid sum, which converges fast on such peaks.
//!
//! Input: counts (zeros ignored) and the support K, known or assumed, at least the number of answers seen. Output: posterior mean
//! and standard deviation of H in nats; `None` without draws or for too small a support. The mean is inside [0, ln K] and never
//! reaches the ends. Source: Nemenman, Shafee and Bialek 2002, NIPS 14.

use crate::special::{digamma, ln_gamma, trigamma};

/// Posterior mean and deviation of an entropy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nsb {
    /// Posterior mean in nats.
    pub nats: f64,
    /// Posterior standard deviation in nats.
    pub sd: f64,
}

/// Spacing of the sum over ln β.
const STEP: f64 = 0.1;
/// ln β runs from −ln K minus this to plus this; beyond, the prior holds less than 1e-6.
const REACH: f64 = 16.0;

/// Equal counts and how many answers have them.
struct Group {
    count: f64,
    size: f64,
}

/// The NSB estimate for a support of `n_support` answers.
pub fn nsb(counts: &[usize], n_support: usize) -> Option<Nsb> {
    let groups = groups(counts, n_support)?;
    let k = n_support as f64;
    if n_support == 1 {
        return Some(Nsb { nats: 0.0, sd: 0.0 });
    }
    let n_steps = ((2.0 * REACH + k.ln()) / STEP) as usize;
    let grid = (0..=n_steps).map(|i| (-REACH - k.ln() + STEP * i as f64).exp());
    let weighted: Vec<(f64, f64)> = grid.map(|beta| (beta, ln_weight(&groups, k, beta))).collect();
    let peak = weighted.iter().map(|w| w.1).fold(f64::NEG_INFINITY, f64::max);
    let (mut sum, mut mean, mut square) = (0.0, 0.0, 0.0);
    for (beta, ln_weight) in weighted.into_iter().filter(|w| w.1 > peak - 34.0) {
        let weight = (ln_weight - peak).exp();
        let (first, second) = entropy_moments(&groups, beta);
        (sum, mean, square) = (sum + weight, mean + weight * first, square + weight * second);
    }
    let nats = mean / sum;
    Some(Nsb { nats, sd: (square / sum - nats * nats).max(0.0).sqrt() })
}

/// The counts by value, the unseen answers last; `None` without draws or where the support is smaller than what was seen.
fn groups(counts: &[usize], n_support: usize) -> Option<Vec<Group>> {
    let mut seen: Vec<usize> = counts.iter().copied().filter(|&n| n > 0).collect();
    seen.sort_unstable();
    let n_unseen = n_support.checked_sub(seen.len())?;
    let runs = seen.chunk_by(|a, b| a == b);
    let mut groups: Vec<Group> =
        runs.map(|run| Group { count: run[0] as f64, size: run.len() as f64 }).collect();
    if groups.is_empty() {
        return None;
    }
    if n_unseen > 0 {
        groups.push(Group { count: 0.0, size: n_unseen as f64 });
    }
    Some(groups)
}

/// ln of likelihood × dξ/dβ × β: the weight of β on the grid of ln β, up to a constant.
fn ln_weight(groups: &[Group], k: f64, beta: f64) -> f64 {
    let m: f64 = groups.iter().map(|g| g.count * g.size).sum();
    let draws = groups.iter().filter(|g| g.count > 0.0);
    let likelihood: f64 = draws.map(|g| g.size * (ln_gamma(g.count + beta) - ln_gamma(beta))).sum();
    let slope = k * trigamma(k * beta + 1.0) - trigamma(beta + 1.0);
    // For large β the difference is about (K − 1)/(2Kβ²), less than rounding leaves of it.
    let slope = if beta > 1e4 { (k - 1.0) / (2.0 * k * beta * beta) } else { slope };
    ln_gamma(k * beta) - ln_gamma(m + k * beta) + likelihood + slope.ln() + beta.ln()
}

/// Mean and second moment of H under the Dirichlet posterior with pseudo-counts α_i = n_i + β.
fn entropy_moments(groups: &[Group], beta: f64) -> (f64, f64) {
    let total: f64 = groups.iter().map(|g| g.size * (g.count + beta)).sum();
    let (centre, spread) = (digamma(total + 2.0), trigamma(total + 2.0));
    let (mut mean, mut cross, mut cross_same, mut squares, mut same) =
        (digamma(total + 1.0), 0.0, 0.0, 0.0, 0.0);
    for group in groups {
        let alpha = group.count + beta;
        mean -= group.size * alpha / total * digamma(alpha + 1.0);
        let pull = alpha * (digamma(alpha + 1.0) - centre);
        cross += group.size * pull;
        cross_same += group.size * pull * pull;
        squares += group.size * alpha * alpha;
        let own = (digamma(alpha + 2.0) - centre).powi(2) + trigamma(alpha + 2.0) - spread;
        same += group.size * alpha * (alpha + 1.0) * own;
    }
    let pairs = cross * cross - cross_same - spread * (total * total - squares);
    (mean, (pairs + same) / (total * (total + 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::shannon_entropy;
    use crate::testing::Random;

    #[test]
    fn moments_of_a_two_answer_dirichlet_by_quadrature() {
        let (a, b) = (3.5, 1.5);
        let groups = [Group { count: 3.0, size: 1.0 }, Group { count: 1.0, size: 1.0 }];
        let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
        let n = 200_000;
        for i in 0..n {
            let p = (f64::from(i) + 0.5) / f64::from(n);
            let density = p.powf(a - 1.0) * (1.0 - p).powf(b - 1.0);
            let h = shannon_entropy([p, 1.0 - p]);
            (sum, first, second) = (sum + density, first + density * h, second + density * h * h);
        }
        let (mean, square) = entropy_moments(&groups, 0.5);
        assert!((mean - first / sum).abs() < 1e-6 && (square - second / sum).abs() < 1e-6);
    }

    #[test]
    fn undefined_without_draws_or_support() {
        assert_eq!(nsb(&[], 4), None);
        assert_eq!(nsb(&[0], 4), None);
        assert_eq!(nsb(&[1, 1, 1], 2), None);
        assert_eq!(nsb(&[5], 1), Some(Nsb { nats: 0.0, sd: 0.0 }));
    }

    #[test]
    fn one_draw_says_little_and_many_say_all() {
        // One draw from two answers leaves the posterior close to the prior, which is flat on [0, ln 2].
        let one = nsb(&[1], 2).unwrap();
        assert!((one.nats - 2_f64.ln() / 2.0).abs() < 0.05, "{one:?}");
        let many = nsb(&[60_000, 30_000, 10_000], 3).unwrap();
        assert!((many.nats - shannon_entropy([0.6, 0.3, 0.1])).abs() < 1e-3 && many.sd < 4e-3);
        let huge = nsb(&[10, 5, 1], 1_000_000_000).unwrap();
        assert!(huge.nats.is_finite() && huge.nats > 0.8 && huge.nats < 3.0, "{huge:?}");
    }

    #[test]
    fn halving_the_step_would_change_nothing() {
        // The same estimate from a far finer midpoint sum over ln β.
        for (counts, k) in [(vec![9, 4, 2, 1], 4), (vec![30, 1, 1], 50), (vec![16], 4)] {
            let groups = groups(&counts, k).unwrap();
            let (mut sum, mut mean) = (0.0, 0.0);
            for i in 0..8_000 {
                let beta = (-20.0 + 0.005 * (f64::from(i) + 0.5)).exp();
                let weight = (ln_weight(&groups, k as f64, beta) - ln_weight(&groups, k as f64, 0.1)).exp();
                (sum, mean) = (sum + weight, mean + weight * entropy_moments(&groups, beta).0);
            }
            assert!((nsb(&counts, k).unwrap().nats - mean / sum).abs() < 1e-5);
        }
    }

    #[test]
    fn nearly_unbiased_over_its_own_prior() {
        // Distributions with entropies spread over [0, ln 4]; the mean error of a Bayesian estimate is small over them.
        let mut random = Random::new(3);
        let mut error = 0.0;
        for i in 0..300 {
            let probs = random.simplex(4, 0.2 + 0.02 * f64::from(i));
            let counts = random.counts(&probs, 16);
            error += nsb(&counts, 4).unwrap().nats - shannon_entropy(probs);
        }
        assert!((error / 300.0).abs() < 0.05, "{}", error / 300.0);
    }
}
