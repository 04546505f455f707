//! Self-attention of one layer: projections, norms and rotation of queries and keys, the cache, tree attention, output.
//!
//! x `[T, E]` to `[T, E]`. Queries, keys and values come from one stacked matrix product, or, in DeepSeek's latent attention, are
//! expanded from a small latent vector; what the cache holds are always full keys `[T, K·D]` and values `[T, K·Dv]`.

use crate::cache::KvArena;
use crate::error::Error;
use crate::model::{PassContext, load_norm};
use crate::ops::attention::{Attention, Readings};
use crate::ops::linear::{Around, Linear};
use crate::ops::norm::Norm;
use crate::ops::rope::{Angles, Rotation};
use crate::ops::row_map::{self, RowMap};
use crate::spec::{AttentionSpec, NormKind, Projection, QkNorm, Spec};
use crate::weights::Weights;
use candle_core::{Result as TensorResult, Tensor};
use std::sync::Arc;

pub(crate) struct SelfAttention {
    spec: AttentionSpec,
    rope_dim: usize,
    projection: Projected,
    output: Linear,
}

enum Projected {
    Plain(Plain),
    Latent(Box<Latent>),
}

struct Plain {
    qkv: Linear,
    q_norm: Option<(Norm, QkNorm)>,
    k_norm: Option<(Norm, QkNorm)>,
    clip: Option<f64>,
}

struct Latent {
    query: LatentQuery,
    kv_down: Linear,
    kv_norm: Norm,
    kv_up: Linear,
    kv_rank: usize,
    rope_dim: usize,
    interleaved: bool,
}

enum LatentQuery {
    Direct(Linear),
    Bottleneck { down: Linear, norm: Norm, up: Linear },
}

/// Queries `[T, H·D]`, keys `[T, K·D]` and values `[T, K·Dv]`, turned by their positions.
struct Qkv {
    q: Tensor,
    k: Tensor,
    v: Tensor,
}

impl SelfAttention {
    pub(crate) fn load(spec: &Spec, index: usize, weights: &Weights<'_>) -> Result<Self, Error> {
        let attention = spec.layers[index].attention.clone();
        let prefix = format!("model.layers.{index}.self_attn");
        let projection = match attention.projection {
            Projection::Plain { .. } => Projected::Plain(Plain::load(spec, &attention, &prefix, weights)?),
            Projection::Latent { .. } => {
                Projected::Latent(Box::new(Latent::load(spec, &attention, &prefix, weights)?))
            }
        };
        let width = attention.n_heads * attention.v_head_dim;
        let output = linear(weights, &format!("{prefix}.o_proj"), spec.hidden_size, width, attention.o_bias)?;
        let rope_dim = spec.ropes[attention.rope].dim;
        Ok(Self { spec: attention, rope_dim, projection, output })
    }

    /// The output for rows that something is done to first, added to others.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        around: Around<'_>,
        index: usize,
        context: &PassContext,
        arena: &mut KvArena,
    ) -> Result<(Tensor, Option<Readings>), Error> {
        let angles = &context.angles[self.spec.rope];
        let Qkv { q, k, v } = match &self.projection {
            Projected::Plain(plain) => plain.forward(x, around.first, &self.spec, self.rope_dim, angles)?,
            Projected::Latent(latent) => match around.first {
                Some(map) => latent.forward(&row_map::apply(map, x)?, &self.spec, angles)?,
                None => latent.forward(x, &self.spec, angles)?,
            },
        };
        arena.write(index, &context.slots, &k, &v)?;
        let (keys, values) = arena.layer(index);
        let attention =
            Attention { spec: &self.spec, blocks: Arc::clone(&context.blocks), read: context.read_attention };
        let (mixed, readings) = attention.apply(&q, keys, values)?;
        Ok((self.output.forward_around(&mixed, Around { first: None, onto: around.onto })?, readings))
    }
}

/// Loads `{name}.weight` `[rows, columns]` and, if there is one, `{name}.bias`.
pub(crate) fn linear(
    weights: &Weights<'_>,
    name: &str,
    rows: usize,
    columns: usize,
    bias: bool,
) -> Result<Linear, Error> {
    let weight = weights.matrix(&format!("{name}.weight"), rows, columns)?;
    let bias = if bias { Some(weights.vector(&format!("{name}.bias"), rows)?) } else { None };
    Ok(Linear::new(weight, bias))
}

impl Plain {
    fn load(
        spec: &Spec,
        attention: &AttentionSpec,
        prefix: &str,
        weights: &Weights<'_>,
    ) -> Result<Self, Error> {
        let Projection::Plain { bias, fused, qk_norm, clip } = attention.projection else {
            unreachable!("called for plain projections")
        };
        let q_rows = attention.n_heads * attention.head_dim;
        let kv_rows = attention.n_kv_heads * attention.head_dim;
        let parts: Vec<(String, usize)> = if fused {
            vec![(format!("{prefix}.qkv_proj"), q_rows + 2 * kv_rows)]
        } else {
            [("q_proj", q_rows), ("k_proj", kv_rows), ("v_proj", kv_rows)]
                .map(|(name, rows)| (format!("{prefix}.{name}"), rows))
                .into()
        };
        let qkv = stacked(weights, &parts, spec.hidden_size, bias)?;
        let norm = |name: &str, n_heads: usize| match qk_norm {
            None => Ok(None),
            Some(over) => {
                let width = match over {
                    QkNorm::PerHead => attention.head_dim,
                    QkNorm::Whole => n_heads * attention.head_dim,
                };
                let norm = load_norm(spec.norm, weights, &format!("{prefix}.{name}.weight"), width)?;
                Ok::<_, Error>(Some((norm, over)))
            }
        };
        Ok(Self {
            qkv,
            q_norm: norm("q_norm", attention.n_heads)?,
            k_norm: norm("k_norm", attention.n_kv_heads)?,
            clip,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        first: Option<&dyn RowMap>,
        spec: &AttentionSpec,
        rope_dim: usize,
        angles: &Angles,
    ) -> TensorResult<Qkv> {
        let mut qkv = self.qkv.forward_around(x, Around { first, onto: None })?;
        if let Some(clip) = self.clip {
            qkv = qkv.clamp(-clip, clip)?;
        }
        let q_width = spec.n_heads * spec.head_dim;
        let kv_width = spec.n_kv_heads * spec.head_dim;
        let v = qkv.narrow(1, q_width + kv_width, kv_width)?;
        let rotation = Rotation { head_dim: spec.head_dim, offset: 0, dim: rope_dim, interleaved: false };
        if self.q_norm.is_none() && self.k_norm.is_none() {
            let turned = rotation.apply(&qkv.narrow(1, 0, q_width + kv_width)?, angles)?;
            let (q, k) = (turned.narrow(1, 0, q_width)?, turned.narrow(1, q_width, kv_width)?);
            return Ok(Qkv { q, k, v });
        }
        let q = normed(&self.q_norm, &qkv.narrow(1, 0, q_width)?, spec.head_dim)?;
        let k = normed(&self.k_norm, &qkv.narrow(1, q_width, kv_width)?, spec.head_dim)?;
        Ok(Qkv { q: rotation.apply(&q, angles)?, k: rotation.apply(&k, angles)?, v })
    }
}

/// Loads matrices above one another, with their biases if they have some.
pub(crate) fn stacked(
    weights: &Weights<'_>,
    parts: &[(String, usize)],
    columns: usize,
    bias: bool,
) -> Result<Linear, Error> {
    let named =
        |suffix: &str| parts.iter().map(|(name, n)| (format!("{name}.{suffix}"), *n)).collect::<Vec<_>>();
    let weight = weights.stacked(&named("weight"), columns)?;
    let bias = if bias { Some(weights.stacked_vectors(&named("bias"))?) } else { None };
    Ok(Linear::new(weight, bias))
}

fn normed(norm: &Option<(Norm, QkNorm)>, x: &Tensor, head_dim: usize) -> TensorResult<Tensor> {
    match norm {
        None => Ok(x.clone()),
        Some((norm, QkNorm::PerHead)) => norm.forward_groups(x, head_dim),
        Some((norm, QkNorm::Whole)) => norm.forward(x),
    }
}

impl Latent {
    fn load(
        spec: &Spec,
        attention: &AttentionSpec,
        prefix: &str,
        weights: &Weights<'_>,
    ) -> Result<Self, Error> {
        let Projection::Latent { q_rank, kv_rank, rope_dim, bias, interleaved, eps } = attention.projection
        else {
            unreachable!("called for latent projections")
        };
        let kind = NormKind::Rms { eps, offset: 0.0 };
        let hidden = spec.hidden_size;
        let q_rows = attention.n_heads * attention.head_dim;
        let query = match q_rank {
            None => LatentQuery::Direct(linear(weights, &format!("{prefix}.q_proj"), q_rows, hidden, false)?),
            Some(rank) => LatentQuery::Bottleneck {
                down: linear(weights, &format!("{prefix}.q_a_proj"), rank, hidden, bias)?,
                norm: load_norm(kind, weights, &format!("{prefix}.q_a_layernorm.weight"), rank)?,
                up: linear(weights, &format!("{prefix}.q_b_proj"), q_rows, rank, false)?,
            },
        };
        let up_rows = attention.n_heads * (attention.head_dim - rope_dim + attention.v_head_dim);
        let down = format!("{prefix}.kv_a_proj_with_mqa");
        Ok(Self {
            query,
            kv_down: linear(weights, &down, kv_rank + rope_dim, hidden, bias)?,
            kv_norm: load_norm(kind, weights, &format!("{prefix}.kv_a_layernorm.weight"), kv_rank)?,
            kv_up: linear(weights, &format!("{prefix}.kv_b_proj"), up_rows, kv_rank, false)?,
            kv_rank,
            rope_dim,
            interleaved,
        })
    }

    fn forward(&self, x: &Tensor, spec: &AttentionSpec, angles: &Angles) -> TensorResult<Qkv> {
        let (rows, _) = x.dims2()?;
        let (heads, fixed) = (spec.n_heads, spec.head_dim - self.rope_dim);
        let q = match &self.query {
            LatentQuery::Direct(linear) => linear.forward(x)?,
            LatentQuery::Bottleneck { down, norm, up } => up.forward(&norm.forward(&down.forward(x)?)?)?,
        };
        let turn = |head_dim: usize, offset: usize| Rotation {
            head_dim,
            offset,
            dim: self.rope_dim,
            interleaved: self.interleaved,
        };
        let q = turn(spec.head_dim, fixed).apply(&q, angles)?;

        let down = self.kv_down.forward(x)?;
        let latent = self.kv_norm.forward(&down.narrow(1, 0, self.kv_rank)?)?;
        let shared = turn(self.rope_dim, 0).apply(&down.narrow(1, self.kv_rank, self.rope_dim)?, angles)?;
        let shared = shared.unsqueeze(1)?.broadcast_as((rows, heads, self.rope_dim))?;
        let up = self.kv_up.forward(&latent)?.reshape((rows, heads, fixed + spec.v_head_dim))?;
        let k = Tensor::cat(&[up.narrow(2, 0, fixed)?, shared], 2)?;
        let v = up.narrow(2, fixed, spec.v_head_dim)?.contiguous()?;
        Ok(Qkv {
            q,
            k: k.reshape((rows, heads * spec.head_dim))?,
            v: v.reshape((rows, heads * spec.v_head_dim))?,
        })
    }
}
