//! The feed-forward part of a layer: one gated unit, or experts picked by a router.
//!
//! x `[T, E]` to `[T, E]`. Experts: scores of all experts in float32; the best experts of the best groups are picked for each token, their
//! outputs are weighted and added to the shared experts' output. Rows that share an expert go through it together.
//! Sources: arXiv:2405.04434 (DeepSeek-V2), arXiv:2412.19437 (DeepSeek-V3).

use crate::attention::{linear, stacked};
use crate::error::Error;
use crate::ops::activation::Gate;
use crate::ops::linear::{Around, Linear};
use crate::ops::residual;
use crate::ops::row_map;
use crate::spec::{Activation, MlpSpec, Routing, RoutingScores};
use crate::weights::Weights;
use candle_core::{DType, Result as TensorResult, Tensor};

pub(crate) enum Mlp {
    Gated(Gated),
    Experts(Box<Experts>),
}

pub(crate) struct Gated {
    gate_up: Linear,
    down: Linear,
    activation: Activation,
}

pub(crate) struct Experts {
    router: Linear,
    router_bias: Option<Vec<f32>>,
    routing: Routing,
    experts: Vec<Gated>,
    shared: Gated,
}

impl Mlp {
    pub(crate) fn load(
        spec: &MlpSpec,
        hidden: usize,
        prefix: &str,
        weights: &Weights<'_>,
    ) -> Result<Self, Error> {
        match *spec {
            MlpSpec::Gated { intermediate_size, activation, bias, fused } => {
                let size = GatedSize { hidden, inner: intermediate_size, bias, fused };
                Ok(Self::Gated(Gated::load(&size, activation, prefix, weights)?))
            }
            MlpSpec::Experts {
                n_experts,
                intermediate_size,
                shared_size,
                activation,
                routing,
                shared_bias,
            } => {
                let size = |inner, bias| GatedSize { hidden, inner, bias, fused: false };
                let gate = format!("{prefix}.gate");
                let router_bias = match routing.scores {
                    RoutingScores::Softmax => None,
                    RoutingScores::SigmoidWithBias => {
                        let bias = weights.vector(&format!("{gate}.e_score_correction_bias"), n_experts)?;
                        Some(bias.to_vec1::<f32>()?)
                    }
                };
                let expert = |i| {
                    Gated::load(
                        &size(intermediate_size, false),
                        activation,
                        &format!("{prefix}.experts.{i}"),
                        weights,
                    )
                };
                let shared = format!("{prefix}.shared_experts");
                Ok(Self::Experts(Box::new(Experts {
                    router: router(weights, &gate, n_experts, hidden)?,
                    router_bias,
                    routing,
                    experts: (0..n_experts).map(expert).collect::<Result<_, _>>()?,
                    shared: Gated::load(&size(shared_size, shared_bias), activation, &shared, weights)?,
                })))
            }
        }
    }

    /// The output for rows that something is done to first, added to others.
    pub(crate) fn forward(&self, x: &Tensor, around: Around<'_>) -> TensorResult<Tensor> {
        match self {
            Self::Gated(gated) => gated.forward(x, around),
            Self::Experts(experts) => {
                let mapped = around.first.map(|map| row_map::apply(map, x)).transpose()?;
                let y = experts.forward(mapped.as_ref().unwrap_or(x))?;
                match around.onto {
                    Some(onto) => residual::add(onto, y),
                    None => Ok(y),
                }
            }
        }
    }
}

/// Rounding would change which experts are picked, so this product is exact whatever the others are.
fn router(weights: &Weights<'_>, name: &str, n_experts: usize, hidden: usize) -> Result<Linear, Error> {
    Ok(Linear::new(weights.exact_matrix(&format!("{name}.weight"), n_experts, hidden)?, None))
}

struct GatedSize {
    hidden: usize,
    inner: usize,
    bias: bool,
    fused: bool,
}

impl Gated {
    fn load(
        size: &GatedSize,
        activation: Activation,
        prefix: &str,
        weights: &Weights<'_>,
    ) -> Result<Self, Error> {
        let parts = if size.fused {
            vec![(format!("{prefix}.gate_up_proj"), 2 * size.inner)]
        } else {
            ["gate_proj", "up_proj"].map(|name| (format!("{prefix}.{name}"), size.inner)).into()
        };
        Ok(Self {
            gate_up: stacked(weights, &parts, size.hidden, size.bias)?,
            down: linear(weights, &format!("{prefix}.down_proj"), size.hidden, size.inner, size.bias)?,
            activation,
        })
    }

    fn forward(&self, x: &Tensor, around: Around<'_>) -> TensorResult<Tensor> {
        let gate_up = self.gate_up.forward_around(x, Around { first: around.first, onto: None })?;
        let gate = Gate(self.activation);
        self.down.forward_around(&gate_up, Around { first: Some(&gate), onto: around.onto })
    }
}

impl Experts {
    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let (rows, _) = x.dims2()?;
        let logits = self.router.forward(&x.to_dtype(DType::F32)?)?.to_vec2::<f32>()?;
        let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); self.experts.len()];
        let mut weights_of: Vec<Vec<f32>> = vec![Vec::new(); self.experts.len()];
        for (row, logits) in logits.iter().enumerate().take(rows) {
            for (expert, weight) in pick(logits, self.router_bias.as_deref(), &self.routing) {
                rows_of[expert].push(row as u32);
                weights_of[expert].push(weight);
            }
        }
        let mut out = self.shared.forward(x, Around::default())?;
        for ((expert, rows), weights) in self.experts.iter().zip(rows_of).zip(weights_of) {
            if rows.is_empty() {
                continue;
            }
            let n = rows.len();
            let rows = Tensor::from_vec(rows, n, x.device())?;
            let weights = Tensor::from_vec(weights, (n, 1), x.device())?.to_dtype(x.dtype())?;
            let y = expert.forward(&x.index_select(&rows, 0)?, Around::default())?.broadcast_mul(&weights)?;
            out = out.index_add(&rows, &y, 0)?;
        }
        Ok(out)
    }
}

/// The experts of one token with their weights.
fn pick(logits: &[f32], bias: Option<&[f32]>, routing: &Routing) -> Vec<(usize, f32)> {
    let scores = match routing.scores {
        RoutingScores::Softmax => softmax(logits),
        RoutingScores::SigmoidWithBias => logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
    };
    let for_picking: Vec<f32> = match bias {
        Some(bias) => scores.iter().zip(bias).map(|(score, bias)| score + bias).collect(),
        None => scores.clone(),
    };
    let group_size = scores.len() / routing.n_groups;
    let group_scores: Vec<f32> =
        for_picking.chunks(group_size).map(|group| group_score(group, routing.scores)).collect();
    let groups = largest(&group_scores, routing.top_groups, |_| true);
    let picked = largest(&for_picking, routing.top_k, |expert| groups.contains(&(expert / group_size)));
    let sum: f32 =
        if routing.normalise { picked.iter().map(|&e| scores[e]).sum::<f32>() + 1e-20 } else { 1.0 };
    picked.into_iter().map(|expert| (expert, scores[expert] / sum * routing.scale as f32)).collect()
}

fn group_score(group: &[f32], scores: RoutingScores) -> f32 {
    let n = match scores {
        RoutingScores::Softmax => 1,
        RoutingScores::SigmoidWithBias => 2,
    };
    largest(group, n, |_| true).into_iter().map(|i| group[i]).sum()
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().fold(f32::NEG_INFINITY, |m, &x| m.max(x));
    let exps: Vec<f32> = logits.iter().map(|x| (x - max).exp()).collect();
    let sum: f32 = exps.iter().sum();
    exps.into_iter().map(|e| e / sum).collect()
}

/// Indices of the n largest values among those allowed, falling, ties by index.
fn largest(values: &[f32], n: usize, allowed: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).filter(|&i| allowed(i)).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    order.truncate(n);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bias_counts_for_picking_only() {
        let routing = Routing {
            top_k: 1,
            n_groups: 1,
            top_groups: 1,
            scores: RoutingScores::SigmoidWithBias,
            normalise: false,
            scale: 2.0,
        };
        let picked = pick(&[0.0, 1.0], Some(&[9.0, 0.0]), &routing);
        assert_eq!(picked, vec![(0, 1.0)]);
    }

    #[test]
    fn experts_come_from_the_best_groups() {
        let routing = Routing {
            top_k: 2,
            n_groups: 2,
            top_groups: 1,
            scores: RoutingScores::Softmax,
            normalise: true,
            scale: 1.0,
        };
        let picked: Vec<usize> =
            pick(&[3.0, -5.0, 2.0, 2.5], None, &routing).into_iter().map(|(e, _)| e).collect();
        assert_eq!(picked, vec![0, 1]);
    }
}
