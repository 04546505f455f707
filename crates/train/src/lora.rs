//! Low-rank adapters: y = x·Wᵀ + (α/r)·x·Aᵀ·Bᵀ, with A `[r, K]` and B `[N, r]` trained and W `[N, K]` not.
//!
//! A starts uniform in ±1/√K, B at zero, so that training starts from the model as it is. Exported checkpoints hold W + (α/r)·B·A. Source: Hu
//! et al. 2021, arXiv:2106.09685; the start is that of PEFT (`kaiming_uniform` with a = √5).

use crate::error::Error;
use crate::init;
use crate::ops::linear::linear;
use crate::ops::numbers::{self, of_tensor};
use crate::shape::WeightSpec;
use candle_core::{Result as TensorResult, Tensor};
use entrace_kernels::matrix::{Matrix, MatrixMut, Target, multiply};
use serde::{Deserialize, Serialize};

/// The linear maps that can have adapters.
pub const LORA_TARGETS: [&str; 7] =
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// How a model is adapted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lora {
    /// r.
    pub rank: usize,
    /// α.
    pub alpha: f64,
    /// Maps that get adapters, out of [`LORA_TARGETS`].
    pub targets: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, targets: LORA_TARGETS.map(String::from).to_vec() }
    }
}

impl Lora {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.rank == 0 {
            return Err(Error::option("lora rank", "must be positive"));
        }
        match self.targets.iter().find(|target| !LORA_TARGETS.contains(&target.as_str())) {
            Some(other) => {
                let known = LORA_TARGETS.join(", ");
                Err(Error::option("lora targets", format!("{other:?} is none of {known}")))
            }
            None if self.targets.is_empty() => Err(Error::option("lora targets", "names no map")),
            None => Ok(()),
        }
    }

    /// α/r.
    pub(crate) fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    /// Whether the weight of this checkpoint key gets an adapter.
    pub(crate) fn adapts(&self, key: &str) -> bool {
        let map = key.strip_suffix(".weight").and_then(|name| name.rsplit('.').next());
        map.is_some_and(|map| self.targets.iter().any(|target| target == map))
    }

    /// A and B of a weight at the start.
    pub(crate) fn start(&self, weight: &WeightSpec, seed: u64) -> Result<(Tensor, Tensor), Error> {
        let (rows, columns) = (weight.dims[0], weight.dims[1]);
        let limit = (columns as f32).powf(-0.5);
        let a = init::uniform(&name(&weight.name, "lora_A"), self.rank * columns, limit, seed);
        let b = vec![0.0; rows * self.rank];
        Ok((numbers::tensor(a, (self.rank, columns))?, numbers::tensor(b, (rows, self.rank))?))
    }
}

/// Name of an adapter's matrix, as PEFT has it.
pub(crate) fn name(key: &str, matrix: &str) -> String {
    format!("{}.{matrix}.weight", key.strip_suffix(".weight").unwrap_or(key))
}

/// An adapter beside one map.
#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    pub(crate) a: Tensor,
    pub(crate) b: Tensor,
    /// α/r.
    pub(crate) scale: f64,
}

impl Adapter {
    pub(crate) fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        linear(&linear(x, &self.a)?, &self.b)? * self.scale
    }

    /// W += (α/r)·B·A.
    pub(crate) fn add_to(&self, weight: &mut [f32]) -> Result<(), Error> {
        let ((rank, columns), (rows, _)) = (self.a.dims2()?, self.b.dims2()?);
        let (a, b) = (of_tensor(&self.a)?, of_tensor(&self.b)?);
        let (a, b) = (Matrix::new(&a, rank, columns), Matrix::new(&b, rows, rank));
        multiply(MatrixMut::new(weight, rows, columns), Target::Add, self.scale as f32, b, a);
        Ok(())
    }
}
