//! What a decoder computes, as data: the one parametrised block that every family fills in.
//!
//! A family reads its `config.json` into a [`Spec`]; everything after that (loading, forward pass, cache) is common. Shapes: E hidden
//! size, H query heads, K key-value heads, D head size, V vocabulary.

use crate::rope::RopeSpec;

/// A decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// V.
    pub vocab_size: usize,
    /// E.
    pub hidden_size: usize,
    /// Most positions.
    pub context_length: usize,
    /// Factor on the embeddings (Gemma: √E).
    pub embed_scale: Option<f64>,
    /// Soft cap c on logits: c·tanh(x/c).
    pub final_logit_softcapping: Option<f64>,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Kind of every norm.
    pub norm: NormKind,
    /// Rotary embeddings, named by layers through their index.
    pub ropes: Vec<RopeSpec>,
    /// Layers, from the bottom.
    pub layers: Vec<LayerSpec>,
}

/// How activations are normalised. Always in float32.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NormKind {
    /// x / rms(x) · (offset + weight).
    Rms {
        /// ε under the root.
        eps: f64,
        /// 1 for Gemma, else 0.
        offset: f64,
    },
    /// (x − mean) / std, without weights (OLMo).
    PlainLayer {
        /// ε under the root.
        eps: f64,
    },
}

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSpec {
    /// Where norms stand.
    pub norms: NormPlacement,
    /// Self-attention.
    pub attention: AttentionSpec,
    /// Feed-forward part.
    pub mlp: MlpSpec,
}

/// Where a layer normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlacement {
    /// Before attention and before the feed-forward part (LLaMA).
    Before,
    /// After each of them, before the residual sum (OLMo-2).
    After,
    /// Before and after (Gemma-2).
    Around,
}

/// Self-attention.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionSpec {
    /// H.
    pub n_heads: usize,
    /// K.
    pub n_kv_heads: usize,
    /// Size of a query or key head.
    pub head_dim: usize,
    /// Size of a value head.
    pub v_head_dim: usize,
    /// Factor on scores.
    pub scale: f64,
    /// Soft cap on scores.
    pub softcap: Option<f64>,
    /// A key is seen only if it is fewer than this many positions back.
    pub window: Option<usize>,
    /// Index into `Spec::ropes`.
    pub rope: usize,
    /// How queries, keys and values come about.
    pub projection: Projection,
    /// Whether the output projection has a bias.
    pub o_bias: bool,
}

/// How queries, keys and values come about.
#[derive(Debug, Clone, PartialEq)]
pub enum Projection {
    /// Three linear maps.
    Plain {
        /// Whether they have biases.
        bias: bool,
        /// Whether the checkpoint holds them as one `qkv_proj`.
        fused: bool,
        /// Norms on queries and keys.
        qk_norm: Option<QkNorm>,
        /// Clamp to ±this.
        clip: Option<f64>,
    },
    /// Multi-head latent attention (DeepSeek): keys and values are expanded from one small latent vector; only the last
    /// `rope_dim` entries of queries and keys rotate, in interleaved pairs or in halves.
    Latent {
        /// Rank of the query's bottleneck.
        q_rank: Option<usize>,
        /// Rank of the latent.
        kv_rank: usize,
        /// Rotating part of a head.
        rope_dim: usize,
        /// Whether the projections down have biases.
        bias: bool,
        /// Whether rotating pairs are neighbours in the weights.
        interleaved: bool,
        /// ε of the norms on the bottlenecks.
        eps: f64,
    },
}

/// What the norms on queries and keys run over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    /// Each head by itself (Qwen-3, Gemma-3).
    PerHead,
    /// All heads together (OLMo-2).
    Whole,
}

/// The feed-forward part.
#[derive(Debug, Clone, PartialEq)]
pub enum MlpSpec {
    /// down(act(gate(x)) · up(x)).
    Gated {
        /// Width.
        intermediate_size: usize,
        /// act.
        activation: Activation,
        /// Whether the maps have biases.
        bias: bool,
        /// Whether the checkpoint holds gate and up as one `gate_up_proj`.
        fused: bool,
    },
    /// A router picks a few experts for each token; shared experts always run.
    Experts {
        /// Number of routed experts.
        n_experts: usize,
        /// Width of each.
        intermediate_size: usize,
        /// Width of the shared expert.
        shared_size: usize,
        /// act.
        activation: Activation,
        /// The router.
        routing: Routing,
        /// Whether the shared experts' maps have biases.
        shared_bias: bool,
    },
}

/// Non-linearity of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x·σ(x).
    Silu,
    /// The tanh approximation of x·Φ(x).
    GeluTanh,
    /// x·Φ(x).
    Gelu,
}

/// How experts are picked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Routing {
    /// Experts for each token.
    pub top_k: usize,
    /// Groups of experts.
    pub n_groups: usize,
    /// Groups from which experts may come.
    pub top_groups: usize,
    /// Scores of experts.
    pub scores: RoutingScores,
    /// Whether the picked weights are divided by their sum.
    pub normalise: bool,
    /// Factor on the picked weights.
    pub scale: f64,
}

/// Scores of experts and of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoutingScores {
    /// Softmax; a group counts as its best expert (DeepSeek-V2).
    Softmax,
    /// Sigmoid; a bias is added for picking only, a group counts as the sum of its best two (DeepSeek-V3).
    SigmoidWithBias,
}

impl Spec {
    /// Number of layers L.
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// What the angles of all rotary embeddings depend on in the length of a path: paths for which it is the same turn alike.
    pub(crate) fn turning_lengths(&self, length: usize) -> Vec<usize> {
        self.ropes.iter().map(|rope| rope.turning_length(length)).collect()
    }
}
