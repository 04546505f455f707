//! The forward pass: tokens of a token tree to hidden states.
//!
//! Input: a [`Pass`] of T tokens, each with its position, its cache slot and its block, and the cache of everything before. Output: the
//! last hidden states after the final norm, `[T, E]`, and on the way every hidden state: `hidden_states[0]` is the (scaled) embeddings,
//! `hidden_states[l]` the output of layer l, before the final norm. All positions are kept. Weights are shared and immutable; one
//! parametrised block serves every family (see `spec`).

use crate::attention::SelfAttention;
use crate::cache::{IdleArena, KvArena, LentArena, Slots};
use crate::error::Error;
use crate::mlp::Mlp;
use crate::ops::attention::{Block, Readings};
use crate::ops::linear::{Around, Linear, Weight};
use crate::ops::norm::Norm;
use crate::ops::reduce::Head;
use crate::ops::residual;
use crate::ops::rope::Angles;
use crate::ops::row_map::RowMap;
use crate::spec::{NormKind, NormPlacement, Spec};
use crate::weights::{Table, Weights};
use candle_core::{DType, Device, Result as TensorResult, Tensor};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A loaded decoder.
pub struct Model {
    spec: Spec,
    embeddings: Embeddings,
    layers: Vec<Layer>,
    norm: Norm,
    head: Head,
    device: Device,
    dtype: DType,
    n_parameters: u64,
    weight_bytes: u64,
    kernels: BTreeSet<String>,
    idle_arena: IdleArena,
}

/// Where the embeddings of tokens are.
enum Embeddings {
    /// A matrix of their own, `[V, E]`.
    Own(Table),
    /// The output head's.
    Shared(Weight),
}

/// A packed batch of tokens of a token tree.
pub(crate) struct Pass {
    pub(crate) token_ids: Vec<u32>,
    pub(crate) positions: Vec<usize>,
    /// For each token, the length of its branch's whole path; some rotary scalings depend on it.
    pub(crate) path_lengths: Vec<usize>,
    pub(crate) blocks: Vec<Block>,
    /// Whether visitors are told what the attention looks at.
    pub(crate) read_attention: bool,
}

/// What is seen of a pass on its way: hidden state l of `0..=L`.
pub(crate) struct Visit<'a> {
    pub(crate) layer: usize,
    /// `[T, E]`.
    pub(crate) hidden: &'a Tensor,
    /// Readings of the layer's attention, if asked for; the embeddings have none.
    pub(crate) attention: Option<&'a Readings>,
}

/// What all layers of one pass share.
pub(crate) struct PassContext {
    pub(crate) angles: Vec<Angles>,
    pub(crate) slots: Slots,
    pub(crate) blocks: Arc<[Block]>,
    pub(crate) read_attention: bool,
}

impl Model {
    /// Loads all weights. `dtype` is what matrices are kept in; on the CPU activations are float32 whatever it is.
    pub(crate) fn load(
        spec: Spec,
        weights: &Weights<'_>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, Error> {
        let (vocab, hidden) = (spec.vocab_size, spec.hidden_size);
        let spec = Spec { tie_word_embeddings: spec.tie_word_embeddings && !has_own_head(weights), ..spec };
        let (embeddings, head) = if spec.tie_word_embeddings {
            let only_head = !weights.has(EMBEDDINGS) && weights.has(HEAD);
            let name = if only_head { HEAD } else { EMBEDDINGS };
            let shared = weights.matrix(name, vocab, hidden)?;
            (Embeddings::Shared(shared.clone()), shared)
        } else {
            let embeddings = weights.table(EMBEDDINGS, vocab, hidden)?;
            (Embeddings::Own(embeddings), weights.matrix(HEAD, vocab, hidden)?)
        };
        let layers =
            (0..spec.n_layers()).map(|index| Layer::load(&spec, index, weights)).collect::<Result<_, _>>()?;
        let norm = load_norm(spec.norm, weights, "model.norm.weight", hidden)?;
        let head = Head::new(Linear::new(head, None), spec.final_logit_softcapping)?;
        let activations = if device.is_cpu() { DType::F32 } else { dtype };
        let (n_parameters, weight_bytes) = (weights.n_loaded(), weights.n_bytes());
        Ok(Self {
            spec,
            embeddings,
            layers,
            norm,
            head,
            device: device.clone(),
            dtype: activations,
            n_parameters,
            weight_bytes,
            kernels: weights.kernels(),
            idle_arena: IdleArena::default(),
        })
    }

    /// What the model computes.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> u64 {
        self.n_parameters
    }

    /// Bytes that the weights take in memory.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// What multiplies with the weights, as in `AVX2`; none on a device.
    pub fn kernels(&self) -> &BTreeSet<String> {
        &self.kernels
    }

    /// The output head.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// The final norm, for reading a hidden state as if it were the last.
    pub(crate) fn final_norm(&self) -> &Norm {
        &self.norm
    }

    /// An arena for the keys and values of `capacity` tokens.
    pub(crate) fn arena(&self, capacity: usize) -> Result<LentArena<'_>, Error> {
        let new = || KvArena::new(&self.spec, capacity, self.dtype, &self.device);
        let mut arena = self.idle_arena.lend(new)?;
        arena.reserve(capacity)?;
        Ok(arena)
    }

    /// Bytes of cache that one token takes over all layers.
    pub(crate) fn cache_bytes_per_token(&self) -> usize {
        KvArena::bytes_per_token(&self.spec, self.dtype)
    }

    /// Runs a pass. `visit` sees every hidden state.
    pub(crate) fn forward(
        &self,
        pass: &Pass,
        arena: &mut KvArena,
        mut visit: impl FnMut(Visit<'_>) -> Result<(), Error>,
    ) -> Result<Tensor, Error> {
        let context = self.context(pass)?;
        let mut hidden = self.embed(&pass.token_ids)?;
        visit(Visit { layer: 0, hidden: &hidden, attention: None })?;
        for (index, layer) in self.layers.iter().enumerate() {
            let (next, readings) = layer.forward(&hidden, index, &context, arena)?;
            hidden = next;
            visit(Visit { layer: index + 1, hidden: &hidden, attention: readings.as_ref() })?;
        }
        Ok(self.norm.forward(&hidden)?)
    }

    fn context(&self, pass: &Pass) -> Result<PassContext, Error> {
        let n = pass.token_ids.len();
        let angles = self.spec.ropes.iter().map(|rope| {
            let (cos, sin) = rope.angles(&pass.positions, &pass.path_lengths);
            Ok(Angles {
                cos: Tensor::from_vec(cos, (n, rope.dim / 2), &self.device)?,
                sin: Tensor::from_vec(sin, (n, rope.dim / 2), &self.device)?,
            })
        });
        Ok(PassContext {
            angles: angles.collect::<TensorResult<_>>()?,
            slots: Slots::new(pass.blocks.iter().map(|b| (b.rows.clone(), b.own_start))),
            blocks: pass.blocks.as_slice().into(),
            read_attention: pass.read_attention,
        })
    }

    fn embed(&self, token_ids: &[u32]) -> TensorResult<Tensor> {
        let embedded = match &self.embeddings {
            Embeddings::Own(table) => table.rows(token_ids, self.spec.hidden_size)?,
            Embeddings::Shared(weight) => weight.rows(token_ids, self.spec.hidden_size)?,
        };
        let embedded = embedded.to_dtype(self.dtype)?;
        match self.spec.embed_scale {
            Some(scale) => embedded * scale,
            None => Ok(embedded),
        }
    }
}

const EMBEDDINGS: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// Whether there is a head that differs from the embeddings. It counts then, whatever the configuration says of them, as in transformers.
fn has_own_head(weights: &Weights<'_>) -> bool {
    weights.has(EMBEDDINGS) && weights.has(HEAD) && !weights.same(EMBEDDINGS, HEAD)
}

/// Loads a norm over `width` numbers; kinds without weights load nothing.
pub(crate) fn load_norm(
    kind: NormKind,
    weights: &Weights<'_>,
    name: &str,
    width: usize,
) -> Result<Norm, Error> {
    let weight = match kind {
        NormKind::Rms { .. } => Some(weights.vector(name, width)?),
        NormKind::PlainLayer { .. } => None,
    };
    Ok(Norm::new(kind, weight)?)
}

struct Layer {
    attention: SelfAttention,
    mlp: Mlp,
    before_attention: Option<Norm>,
    after_attention: Option<Norm>,
    before_mlp: Option<Norm>,
    after_mlp: Option<Norm>,
}

impl Layer {
    fn load(spec: &Spec, index: usize, weights: &Weights<'_>) -> Result<Self, Error> {
        let layer = &spec.layers[index];
        let prefix = format!("model.layers.{index}");
        let norm = |name: &str| {
            load_norm(spec.norm, weights, &format!("{prefix}.{name}.weight"), spec.hidden_size).map(Some)
        };
        let (before_attention, after_attention, before_mlp, after_mlp) = match layer.norms {
            NormPlacement::Before => {
                (norm("input_layernorm")?, None, norm("post_attention_layernorm")?, None)
            }
            NormPlacement::After => {
                (None, norm("post_attention_layernorm")?, None, norm("post_feedforward_layernorm")?)
            }
            NormPlacement::Around => (
                norm("input_layernorm")?,
                norm("post_attention_layernorm")?,
                norm("pre_feedforward_layernorm")?,
                norm("post_feedforward_layernorm")?,
            ),
        };
        Ok(Self {
            attention: SelfAttention::load(spec, index, weights)?,
            mlp: Mlp::load(&layer.mlp, spec.hidden_size, &format!("{prefix}.mlp"), weights)?,
            before_attention,
            after_attention,
            before_mlp,
            after_mlp,
        })
    }

    fn forward(
        &self,
        hidden: &Tensor,
        index: usize,
        context: &PassContext,
        arena: &mut KvArena,
    ) -> Result<(Tensor, Option<Readings>), Error> {
        let (hidden, readings) = around(&self.before_attention, &self.after_attention, hidden, |around| {
            self.attention.forward(hidden, around, index, context, arena)
        })?;
        let (next, ()) = around(&self.before_mlp, &self.after_mlp, &hidden, |around| {
            Ok((self.mlp.forward(&hidden, around)?, ()))
        })?;
        Ok((next, readings))
    }
}

/// hidden + after(part(before(hidden))).
fn around<T>(
    before: &Option<Norm>,
    after: &Option<Norm>,
    hidden: &Tensor,
    part: impl FnOnce(Around<'_>) -> Result<(Tensor, T), Error>,
) -> Result<(Tensor, T), Error> {
    let before = before.as_ref().map(|norm| norm.whole_rows(hidden)).transpose()?;
    let first = before.as_ref().map(|norm| norm as &dyn RowMap);
    match after {
        None => part(Around { first, onto: Some(hidden) }),
        Some(norm) => {
            let (output, more) = part(Around { first, onto: None })?;
            Ok((residual::add(hidden, norm.forward(&output)?)?, more))
        }
    }
}
