//! Random weights from a seed, each weight from a stream of its own name: order and presence of other weights do not matter.
//!
//! Embeddings and matrices are normal with deviation 0.02; matrices that write to the residual stream are divided by √(2L), so that the
//! stream does not grow with depth (GPT-2); norms are 1, biases 0.

use crate::shape::{Kind, WeightSpec};
use entrace_backend::stream_seed;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DEVIATION: f64 = 0.02;

/// 1/√(2L).
pub(crate) fn residual_scale(n_layers: usize) -> f64 {
    (2.0 * n_layers as f64).powf(-0.5)
}

/// The numbers of a weight.
pub(crate) fn weight(spec: &WeightSpec, residual_scale: f64, seed: u64) -> Vec<f32> {
    let n = spec.dims.iter().product();
    match spec.kind {
        Kind::Norm => vec![1.0; n],
        Kind::Bias => vec![0.0; n],
        Kind::Embedding | Kind::Matrix => normal(&spec.name, n, DEVIATION, seed),
        Kind::Residual => normal(&spec.name, n, DEVIATION * residual_scale, seed),
    }
}

/// Uniform in ±limit.
pub(crate) fn uniform(name: &str, n: usize, limit: f32, seed: u64) -> Vec<f32> {
    let mut rng = stream(name, seed);
    (0..n).map(|_| rng.random_range(-limit..limit)).collect()
}

/// Normal with mean 0, in pairs by Box and Muller.
fn normal(name: &str, n: usize, deviation: f64, seed: u64) -> Vec<f32> {
    let mut rng = stream(name, seed);
    let mut out = Vec::with_capacity(n + 1);
    while out.len() < n {
        let (u, angle) = (1.0 - rng.random::<f64>(), std::f64::consts::TAU * rng.random::<f64>());
        let radius = deviation * (-2.0 * u.ln()).sqrt();
        out.extend([(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]);
    }
    out.truncate(n);
    out
}

fn stream(name: &str, seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(stream_seed(seed, &["weight", name]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_their_deviation_and_their_own_stream() {
        let numbers = normal("a", 40_001, 0.02, 7);
        assert_eq!(numbers.len(), 40_001);
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / 40_001.0;
        let square = numbers.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 40_001.0;
        assert!(mean.abs() < 5e-4 && (square.sqrt() - 0.02).abs() < 5e-4);
        assert_eq!(numbers[..10], normal("a", 10, 0.02, 7));
        assert_ne!(numbers[..10], normal("b", 10, 0.02, 7));
        assert_ne!(numbers[..10], normal("a", 10, 0.02, 8));
    }
}
