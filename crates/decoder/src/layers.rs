//! Reading every layer of the local decoder.
//!
//! A context is run in one pass; what is asked of each hidden state and of each layer's attention is reduced during the pass.
//! The lens reads a hidden state through the final norm and the output head; the last one read so is the model's own output.

use crate::decoder::Decoder;
use crate::error::Error as DecoderError;
use crate::model::{Model, Pass, Visit};
use crate::ops::attention::{Block, Readings};
use crate::ops::reduce::{RowSums, largest};
use candle_core::{DType, Result as TensorResult, Tensor};
use entrace_backend::{Error, LayerRequest, LayerScores, ReadLayers};
use entrace_measure::TokenId;
use std::ops::Range;

impl ReadLayers for Decoder {
    fn read_layers(&self, token_ids: &[TokenId], request: &LayerRequest) -> Result<LayerScores, Error> {
        let end = request.tokens.end.min(token_ids.len());
        let mut reader = Reader {
            model: &self.model,
            n: token_ids.len(),
            tokens: request.tokens.start.min(end)..end,
            request,
            before: None,
            scores: LayerScores::default(),
        };
        self.visit_layers(token_ids, request.attention, |visit| reader.visit(&visit))?;
        Ok(reader.scores)
    }
}

/// Reduces what it sees of a pass.
struct Reader<'a> {
    model: &'a Model,
    /// Tokens of the context.
    n: usize,
    /// Those that numbers are wanted of.
    tokens: Range<usize>,
    request: &'a LayerRequest,
    /// The hidden state of the layer below.
    before: Option<Tensor>,
    scores: LayerScores,
}

impl Reader<'_> {
    fn visit(&mut self, visit: &Visit<'_>) -> Result<(), DecoderError> {
        if self.request.lens {
            self.read_lens(visit.hidden)?;
        }
        if self.request.drift {
            if let Some(before) = &self.before {
                self.scores.drift.push(distances(&self.wanted(before)?, &self.wanted(visit.hidden)?)?);
            }
            self.before = Some(visit.hidden.clone());
        }
        if let Some(Readings { own, entropy }) = visit.attention {
            self.scores.self_attention.push(means(&self.wanted(own)?)?);
            self.scores.attention_entropy.push(means(&self.wanted(entropy)?)?);
        }
        if self.request.middle && visit.layer == self.model.spec().n_layers().div_ceil(2) {
            let last = visit.hidden.get(self.n - 1)?;
            self.scores.middle_state = last.to_dtype(DType::F32)?.to_vec1()?;
        }
        Ok(())
    }

    /// Rows of the tokens that numbers are wanted of.
    fn wanted(&self, rows: &Tensor) -> TensorResult<Tensor> {
        rows.narrow(0, self.tokens.start, self.tokens.len())
    }

    /// Each token is drawn from the row before it; the leader is that of the last row.
    fn read_lens(&mut self, hidden: &Tensor) -> Result<(), DecoderError> {
        let first = self.tokens.start.max(1).min(self.n);
        let n_drawn = self.tokens.end.saturating_sub(first);
        let mut entropies = vec![None; self.tokens.len() - n_drawn];
        if n_drawn > 0 {
            let rows =
                self.model.final_norm().forward(&hidden.narrow(0, first - 1, n_drawn)?.contiguous()?)?;
            entropies.extend(
                self.model.head().map_rows(&rows, |_, logits| RowSums::of(logits).map(|s| s.entropy))?,
            );
        }
        self.scores.lens_entropy.push(entropies);
        let last = self.model.final_norm().forward(&hidden.narrow(0, self.n - 1, 1)?.contiguous()?)?;
        let leader = self.model.head().map_rows(&last, |_, logits| largest(logits, 1)[0].0)?;
        self.scores.lens_leaders.extend(leader);
        Ok(())
    }
}

/// Distance of each row of one matrix from that of the other.
fn distances(a: &Tensor, b: &Tensor) -> TensorResult<Vec<f64>> {
    let difference = (b.to_dtype(DType::F32)? - a.to_dtype(DType::F32)?)?;
    numbers(&difference.sqr()?.sum(1)?.sqrt()?)
}

/// Mean of each row.
fn means(rows: &Tensor) -> TensorResult<Vec<f64>> {
    numbers(&rows.mean(1)?)
}

fn numbers(row: &Tensor) -> TensorResult<Vec<f64>> {
    Ok(row.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
}

impl Decoder {
    /// All hidden states of one context, `[T, E]` each: the embeddings, the output of every layer but the last, and the last one after the
    /// final norm, as transformers' `output_hidden_states` gives them; then the logits `[T, V]`.
    ///
    /// For comparison with other implementations; a long context takes much memory.
    pub fn hidden_states(&self, token_ids: &[TokenId]) -> Result<(Vec<Tensor>, Tensor), Error> {
        let mut states = Vec::new();
        let last = self.visit_layers(token_ids, false, |visit| {
            states.push(visit.hidden.clone());
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
        read_attention: bool,
        visit: impl FnMut(Visit<'_>) -> Result<(), DecoderError>,
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
            read_attention,
        };
        let mut arena = self.model.arena(n)?;
        Ok(self.model.forward(&pass, &mut arena, visit)?)
    }
}
