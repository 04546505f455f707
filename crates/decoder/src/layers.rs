//! Reading every layer of the local decoder.
//!
//! A context is run in one pass; each hidden state is read through the final norm and the output head while the pass goes on, so that
//! only entropies are kept. The last hidden state read so is the model's own output.

use crate::decoder::Decoder;
use crate::error::Error as DecoderError;
use crate::model::Pass;
use crate::ops::attention::Block;
use crate::ops::reduce::RowSums;
use candle_core::Tensor;
use entrace_backend::{Error, LayerScores, ReadLayers};
use entrace_measure::TokenId;

impl ReadLayers for Decoder {
    fn read_layers(&self, token_ids: &[TokenId]) -> Result<LayerScores, Error> {
        let mut lens_entropy = Vec::new();
        self.visit_layers(token_ids, |_, hidden| {
            let normed = self.model.final_norm().forward(hidden)?;
            let entropies =
                self.model.head().map_rows(&normed, |_, logits| RowSums::of(logits).map(|s| s.entropy))?;
            let drawn_from = std::iter::once(None).chain(entropies).take(token_ids.len());
            lens_entropy.push(drawn_from.collect());
            Ok(())
        })?;
        Ok(LayerScores { lens_entropy })
    }
}

impl Decoder {
    /// All hidden states of one context, `[T, E]` each: the embeddings, the output of every layer but the last, and the last one after the
    /// final norm, as transformers' `output_hidden_states` gives them; then the logits `[T, V]`.
    ///
    /// For comparison with other implementations; a long context takes much memory.
    pub fn hidden_states(&self, token_ids: &[TokenId]) -> Result<(Vec<Tensor>, Tensor), Error> {
        let mut states = Vec::new();
        let last = self.visit_layers(token_ids, |_, hidden| {
            states.push(hidden.clone());
            Ok(())
        })?;
        let logits =
            self.model.head().map_rows(&last, |_, logits| logits.to_vec()).map_err(DecoderError::from)?;
        let shape = (token_ids.len(), self.model.spec().vocab_size);
        let logits = Tensor::from_vec(logits.concat(), shape, &candle_core::Device::Cpu)
            .map_err(DecoderError::from)?;
        states.pop();
        states.push(last);
        Ok((states, logits))
    }

    fn visit_layers(
        &self,
        token_ids: &[TokenId],
        visit: impl FnMut(usize, &Tensor) -> Result<(), DecoderError>,
    ) -> Result<Tensor, Error> {
        let n = token_ids.len();
        let spec = self.model.spec();
        if n == 0 {
            return Err(Error::EmptyContext);
        }
        if n > spec.context_length {
            return Err(Error::ContextTooLong { n_tokens: n, limit: spec.context_length });
        }
        if let Some(&token) = token_ids.iter().find(|&&t| t as usize >= spec.vocab_size) {
            return Err(Error::UnknownToken { token, vocab_size: spec.vocab_size });
        }
        let pass = Pass {
            token_ids: token_ids.to_vec(),
            positions: (0..n).collect(),
            path_lengths: vec![n; n],
            blocks: vec![Block { rows: 0..n, ancestors: vec![], own_start: 0 }],
        };
        let mut arena = self.model.arena(n)?;
        Ok(self.model.forward(&pass, &mut arena, visit)?)
    }
}
