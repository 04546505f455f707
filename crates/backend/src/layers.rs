//! Signals from every layer of a model.
//!
//! The logit lens reads a hidden state as if it were the last one: final norm, then output head. Its entropy per layer shows at which
//! depth of the network the next token is settled. Everything is reduced inside the engine; `[L, T, E]` never leaves it.
//! Source: Entropy-Lens, arXiv:2502.16570.

use crate::Error;
use entrace_measure::TokenId;

/// What the layers say of each token of a context.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerScores {
    /// Entropy in nats of the logit-lens distribution from which the token at each position is drawn, `[L + 1][T]`: layer 0 is the
    /// embeddings, layer L the model's own output. The first token of a context is drawn from nothing: `None`.
    pub lens_entropy: Vec<Vec<Option<f64>>>,
}

/// An engine whose layers can be read.
pub trait ReadLayers: Send + Sync {
    /// Reads all layers over one context.
    fn read_layers(&self, token_ids: &[TokenId]) -> Result<LayerScores, Error>;
}
