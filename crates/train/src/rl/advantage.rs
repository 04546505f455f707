//! Advantages of the completions of one question, relative to each other.
//!
//! With rewards r_1..r_G, mean μ and deviation σ (of a sample, divided by G − 1): A_i = (r_i − μ) / (σ + 10⁻⁴), or without the division
//! A_i = r_i − μ. A group whose rewards are all equal says nothing and has no advantages.

use serde::{Deserialize, Serialize};

/// What rewards are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// (r − μ) / (σ + 10⁻⁴), GRPO.
    Standardised,
    /// r − μ, Dr. GRPO.
    Mean,
}

const EPS: f64 = 1e-4;

/// Advantages of a group, or `None` if all rewards are equal.
pub fn advantages(rewards: &[f64], baseline: Baseline) -> Option<Vec<f64>> {
    let first = rewards.first()?;
    if rewards.iter().all(|r| r.total_cmp(first).is_eq()) {
        return None;
    }
    let n = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / n;
    let scale = match baseline {
        Baseline::Mean => 1.0,
        Baseline::Standardised => {
            let squares: f64 = rewards.iter().map(|r| (r - mean).powi(2)).sum();
            (squares / (n - 1.0)).sqrt() + EPS
        }
    };
    Some(rewards.iter().map(|r| (r - mean) / scale).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advantages_compare_within_the_group() {
        let found = advantages(&[1.0, 0.0, 0.0, 1.0], Baseline::Standardised).unwrap();
        let deviation = (1.0f64 / 3.0).sqrt();
        for (a, expected) in found.iter().zip([0.5, -0.5, -0.5, 0.5]) {
            assert!((a - expected / (deviation + 1e-4)).abs() < 1e-12);
        }
        assert_eq!(advantages(&[1.0, 0.0], Baseline::Mean).unwrap(), [0.5, -0.5]);
    }

    #[test]
    fn groups_without_spread_have_none() {
        assert!(advantages(&[0.3; 8], Baseline::Standardised).is_none());
        assert!(advantages(&[1.0], Baseline::Mean).is_none());
        assert!(advantages(&[], Baseline::Mean).is_none());
    }
}
