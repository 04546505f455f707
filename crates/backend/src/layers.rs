//! Signals from every layer of a model.
//!
//! The logit lens reads a hidden state as if it were the last one: final norm, then output head. Its entropy per layer shows at which
//! depth of the network the next token is settled. Beside it are how far each layer moves the hidden state, what the attention looks
//! at, and one hidden state for comparisons between answers. Everything is reduced inside the engine; `[L, T, E]` never leaves it.
//!
//! `h_0` is the embeddings, `h_l` the output of layer l before the final norm; `a_ij` the weight with which token i attends to token j,
//! softmaxed over all j ≤ i that the layer lets it see.
//! Sources: Entropy-Lens, arXiv:2502.16570; LLM-Check (log a_ii); INSIDE, arXiv:2402.03744 (the middle state).

use crate::Error;
use entrace_measure::TokenId;
use std::ops::Range;

/// What to read of a context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerRequest {
    /// Positions of the n tokens that numbers are wanted of; positions beyond the context are left out.
    pub tokens: Range<usize>,
    /// The lens: entropies, and leaders after the last token of the context.
    pub lens: bool,
    /// Distances between neighbouring hidden states.
    pub drift: bool,
    /// The attention of each token.
    pub attention: bool,
    /// The middle hidden state of the context's last token.
    pub middle: bool,
}

/// What the layers say. What was not asked for is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerScores {
    /// Entropy in nats of the logit-lens distribution from which the token at each position is drawn, `[L + 1][n]`: layer 0 is the
    /// embeddings, layer L the model's own output. The first token of a context is drawn from nothing: `None`.
    pub lens_entropy: Vec<Vec<Option<f64>>>,
    /// The most likely token after the context, by the lens at each layer, `[L + 1]`.
    pub lens_leaders: Vec<TokenId>,
    /// ‖h_l − h_{l−1}‖ at each token, l = 1..=L, `[L][n]`.
    pub drift: Vec<Vec<f64>>,
    /// Mean over heads of ln a_ii, `[L][n]`.
    pub self_attention: Vec<Vec<f64>>,
    /// Mean over heads of −Σ_j a_ij ln a_ij in nats, `[L][n]`.
    pub attention_entropy: Vec<Vec<f64>>,
    /// h_l of the context's last token at l = ⌈L/2⌉, `[E]`.
    pub middle_state: Vec<f32>,
}

/// An engine whose layers can be read.
pub trait ReadLayers: Send + Sync {
    /// Reads all layers over one context.
    fn read_layers(&self, token_ids: &[TokenId], request: &LayerRequest) -> Result<LayerScores, Error>;
}
