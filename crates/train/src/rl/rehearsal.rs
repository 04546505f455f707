//! Traces that are learnt by maximum likelihood in the same updates as rewards, at a weight (InstructGPT's pretraining mix).
//!
//! Rewards only see what follows a question. What the model says elsewhere, such as the answer that it gives when it is interrupted, drifts
//! with them unless it is rehearsed. The loss is −Σ ln p(token) / N with N the learnt tokens of the traces that a step rehearses.

use crate::error::Error;
use crate::model::Model;
use crate::order::{Order, Position};
use crate::scoring::packs;
use crate::sequence::{Pack, Sequence};
use candle_core::Tensor;

/// What is rehearsed in the updates of one step; nothing by default.
#[derive(Default)]
pub(crate) struct Rehearsal {
    pub(crate) packs: Vec<Pack>,
    /// Tokens that are run.
    pub(crate) n_run: usize,
    /// Tokens that are learnt.
    pub(crate) n_learnt: usize,
}

impl Rehearsal {
    /// Draws traces of at most `n_tokens` together, a function of the seed, in at most `n_packs` packs.
    pub(crate) fn draw(all: &[Sequence], n_tokens: usize, n_packs: usize, seed: u64) -> Self {
        if all.is_empty() {
            return Self::default();
        }
        let drawn = Order::new(all.len(), seed, Position::default()).draw(n_tokens, |i| all[i].n_run());
        let batch: Vec<&Sequence> = drawn.into_iter().map(|i| &all[i]).collect();
        Self {
            n_run: batch.iter().map(|s| s.n_run()).sum(),
            n_learnt: batch.iter().map(|s| s.n_learnt()).sum(),
            packs: packs(&batch, n_packs).into_iter().map(|(_, pack)| pack).collect(),
        }
    }

    /// Share of a pack in the loss.
    pub(crate) fn loss(&self, model: &Model, pack: usize) -> Result<Tensor, Error> {
        let logprobs = model.scores(&self.packs[pack])?.get(0)?;
        Ok((logprobs.sum_all()? * (-1.0 / self.n_learnt as f64))?)
    }
}
