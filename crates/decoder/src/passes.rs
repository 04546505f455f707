//! Cutting runs of tokens into passes.
//!
//! Tokens that have been given cache slots are run in their order, at most `max_rows` at a time; a run that does not fit is continued in
//! the next pass, where its first part has become an ancestor. The hidden states of finished passes are kept for the output head.

use crate::cache::KvArena;
use crate::error::Error;
use crate::model::{Model, Pass};
use crate::ops::attention::Block;
use candle_core::Tensor;
use entrace_measure::TokenId;
use std::collections::HashSet;
use std::ops::Range;

/// A run of tokens on one path, with its place in the cache.
pub(crate) struct Run<'a> {
    pub(crate) token_ids: &'a [TokenId],
    /// Slots of everything before it, in order of position.
    pub(crate) ancestors: Vec<Range<usize>>,
    /// Slot of its first token; the others follow.
    pub(crate) first_slot: usize,
    /// Length of the whole path that it belongs to.
    pub(crate) path_length: usize,
}

/// Where the hidden state of a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HiddenRow {
    pub(crate) pass: usize,
    pub(crate) row: usize,
}

/// Last hidden states, after the final norm, of all passes so far.
#[derive(Default)]
pub(crate) struct Hidden {
    /// `None` where nobody can ask about a row any more.
    passes: Vec<Option<Tensor>>,
}

impl Hidden {
    /// The rows asked for, `[R, E]`, in their order.
    pub(crate) fn gather(&self, rows: &[HiddenRow]) -> Result<Tensor, Error> {
        let mut parts = Vec::new();
        for group in rows.chunk_by(|a, b| a.pass == b.pass) {
            let indices: Vec<u32> = group.iter().map(|r| r.row as u32).collect();
            let Some(states) = &self.passes[group[0].pass] else {
                unreachable!("rows of kept branches are kept")
            };
            let indices = Tensor::from_vec(indices, group.len(), states.device())?;
            parts.push(states.index_select(&indices, 0)?);
        }
        if parts.len() == 1 {
            return Ok(parts.swap_remove(0));
        }
        Ok(Tensor::cat(&parts, 0)?)
    }

    /// Rows of all passes that are kept: tokens that have been run.
    #[cfg(test)]
    pub(crate) fn n_rows(&self) -> usize {
        self.passes.iter().flatten().map(|states| states.dim(0).unwrap_or(0)).sum()
    }

    pub(crate) fn n_passes(&self) -> usize {
        self.passes.len()
    }

    /// Forgets what is not among those named of the passes from one on.
    pub(crate) fn retain(&mut self, from: usize, used: &HashSet<usize>) {
        for pass in (from..self.passes.len()).filter(|pass| !used.contains(pass)) {
            self.passes[pass] = None;
        }
    }

    /// Forgets all but the first passes.
    pub(crate) fn truncate(&mut self, n_passes: usize) {
        self.passes.truncate(n_passes);
    }
}

/// Runs all tokens; for each run, the hidden rows of its tokens as runs of consecutive rows.
pub(crate) fn run(
    model: &Model,
    arena: &mut KvArena,
    hidden: &mut Hidden,
    runs: &[Run<'_>],
    max_rows: usize,
) -> Result<Vec<Vec<HiddenRow>>, Error> {
    let mut rows: Vec<Vec<HiddenRow>> =
        runs.iter().map(|run| Vec::with_capacity(run.token_ids.len())).collect();
    let mut pass = PassBuilder::default();
    for (index, run) in runs.iter().enumerate() {
        let mut done = 0;
        while done < run.token_ids.len() {
            if pass.n_rows() == max_rows {
                pass.finish(model, arena, hidden)?;
            }
            let n = (run.token_ids.len() - done).min(max_rows - pass.n_rows());
            let first = pass.n_rows();
            rows[index].extend((first..first + n).map(|row| HiddenRow { pass: hidden.passes.len(), row }));
            pass.add(run, done..done + n);
            done += n;
        }
    }
    pass.finish(model, arena, hidden)?;
    Ok(rows)
}

#[derive(Default)]
struct PassBuilder {
    token_ids: Vec<TokenId>,
    positions: Vec<usize>,
    path_lengths: Vec<usize>,
    blocks: Vec<Block>,
}

impl PassBuilder {
    fn n_rows(&self) -> usize {
        self.token_ids.len()
    }

    fn add(&mut self, run: &Run<'_>, part: Range<usize>) {
        let mut ancestors = run.ancestors.clone();
        if part.start > 0 {
            ancestors.push(run.first_slot..run.first_slot + part.start);
        }
        let first_row = self.n_rows();
        let block = Block {
            rows: first_row..first_row + part.len(),
            ancestors,
            own_start: run.first_slot + part.start,
        };
        let position = block.n_ancestors();
        self.positions.extend(position..position + part.len());
        self.path_lengths.extend(std::iter::repeat_n(run.path_length, part.len()));
        self.token_ids.extend_from_slice(&run.token_ids[part]);
        self.blocks.push(block);
    }

    fn finish(&mut self, model: &Model, arena: &mut KvArena, hidden: &mut Hidden) -> Result<(), Error> {
        let builder = std::mem::take(self);
        if builder.token_ids.is_empty() {
            return Ok(());
        }
        let pass = Pass {
            token_ids: builder.token_ids,
            positions: builder.positions,
            path_lengths: builder.path_lengths,
            blocks: builder.blocks,
            read_attention: false,
        };
        // Within the pool, so that its many parallel steps need not be handed over from another thread one by one.
        hidden.passes.push(Some(rayon::scope(|_| model.forward(&pass, arena, |_| Ok(())))?));
        Ok(())
    }
}
