//! AdamW with clipping by the global norm.
//!
//! For each weight w with gradient g (already clipped) at update t: w ← w·(1 − η·λ); m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²;
//! w ← w − η/(1 − β₁ᵗ) · m / (√(v/(1 − β₂ᵗ)) + ε). Decay λ is decoupled from the gradient and, unless asked for, spares norms, biases and
//! embeddings. Source: Loshchilov and Hutter 2019, arXiv:1711.05101; the order of operations is PyTorch's.

use crate::error::Error;
use crate::gradients::Gradients;
use crate::model::Trained;
use crate::ops::numbers::change;
use crate::shape::Kind;
use entrace_kernels::vectorised;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Settings of the optimizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// β₁.
    pub beta1: f64,
    /// β₂.
    pub beta2: f64,
    /// ε.
    pub eps: f64,
    /// λ.
    pub weight_decay: f64,
    /// Whether norms, biases and embeddings decay as well.
    pub decay_all: bool,
    /// Largest norm of the gradient; a larger one is scaled down to it.
    pub clip_norm: Option<f64>,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, decay_all: false, clip_norm: Some(1.0) }
    }
}

/// Moments of every trained weight.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moments {
    /// Updates so far.
    pub(crate) n_updates: u64,
    /// m.
    pub(crate) first: Vec<Vec<f32>>,
    /// v.
    pub(crate) second: Vec<Vec<f32>>,
}

impl Moments {
    pub(crate) fn new(trained: &[Trained]) -> Self {
        let zeros: Vec<Vec<f32>> = trained.iter().map(|t| vec![0.0; t.tensor.elem_count()]).collect();
        Self { n_updates: 0, first: zeros.clone(), second: zeros }
    }
}

/// Factors of one update.
#[derive(Clone, Copy)]
struct Factors {
    gradient: f32,
    decay: f32,
    beta1: f32,
    beta2: f32,
    step: f32,
    root_correction: f32,
    eps: f32,
}

/// Numbers that one task updates.
const CHUNK: usize = 1 << 16;

impl AdamW {
    /// Refuses numbers that would make weights of no meaning.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let numbers = [
            ("optimizer.beta1", self.beta1),
            ("optimizer.beta2", self.beta2),
            ("optimizer.eps", self.eps),
            ("optimizer.weight_decay", self.weight_decay),
            ("optimizer.clip_norm", self.clip_norm.unwrap_or_default()),
        ];
        match numbers.into_iter().find(|(_, x)| !x.is_finite() || *x < 0.0) {
            Some((option, _)) => Err(Error::option(option, "must be a number from 0")),
            None => Ok(()),
        }
    }

    /// Changes all weights; `norm` is that of the gradients.
    pub(crate) fn update(
        &self,
        trained: &[Trained],
        moments: &mut Moments,
        gradients: &Gradients,
        norm: f64,
        learning_rate: f64,
    ) -> Result<(), Error> {
        moments.n_updates += 1;
        let t = moments.n_updates as i32;
        let clip = self.clip_norm.map_or(1.0, |limit| (limit / (norm + 1e-6)).min(1.0));
        let factors = |decays: bool| Factors {
            gradient: clip as f32,
            decay: if decays { (1.0 - learning_rate * self.weight_decay) as f32 } else { 1.0 },
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            step: (learning_rate / (1.0 - self.beta1.powi(t))) as f32,
            root_correction: (1.0 - self.beta2.powi(t)).sqrt() as f32,
            eps: self.eps as f32,
        };
        let moments = moments.first.par_iter_mut().zip(&mut moments.second);
        trained.par_iter().zip(&gradients.0).zip(moments).try_for_each(|((trained, g), (m, v))| {
            let factors = factors(self.decay_all || matches!(trained.kind, Kind::Matrix | Kind::Residual));
            Ok(change(&trained.tensor, |w| {
                let chunks = w.par_chunks_mut(CHUNK).zip(m.par_chunks_mut(CHUNK));
                let chunks = chunks.zip(v.par_chunks_mut(CHUNK)).zip(g.par_chunks(CHUNK));
                chunks.for_each(|(((w, m), v), g)| apply(&factors, w, m, v, g));
            })?)
        })
    }
}

vectorised! {
    fn apply(factors: &Factors, w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]) {
        for (((w, m), v), &g) in w.iter_mut().zip(m).zip(v).zip(g) {
            let g = g * factors.gradient;
            *m = factors.beta1 * *m + (1.0 - factors.beta1) * g;
            *v = factors.beta2 * *v + (1.0 - factors.beta2) * g * g;
            *w = *w * factors.decay - factors.step * *m / (v.sqrt() / factors.root_correction + factors.eps);
        }
    }
}
