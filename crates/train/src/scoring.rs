//! What a model makes of given sequences, without learning from them.

use crate::error::Error;
use crate::model::Model;
use crate::sequence::{Pack, Sequence, divide};
use rayon::prelude::*;

/// Tokens in one pack.
const PACK_TOKENS: usize = 2048;

/// Packs of a batch with the indices of their sequences.
pub(crate) fn packs(batch: &[&Sequence], n_packs: usize) -> Vec<(Vec<usize>, Pack)> {
    let lengths: Vec<usize> = batch.iter().map(|s| s.n_run()).collect();
    let pack = |members: &[usize]| Pack::new(&members.iter().map(|&i| batch[i]).collect::<Vec<_>>());
    divide(&lengths, n_packs).into_iter().map(|members| (members.clone(), pack(&members))).collect()
}

/// Log-probabilities of the learnt tokens of every sequence, in nats.
pub fn logprobs(model: &Model, sequences: &[Sequence]) -> Result<Vec<Vec<f64>>, Error> {
    let all: Vec<&Sequence> = sequences.iter().collect();
    let n_run: usize = sequences.iter().map(Sequence::n_run).sum();
    let scored = packs(&all, n_run.div_ceil(PACK_TOKENS)).into_par_iter().map(|(members, pack)| {
        let logprobs = model.scores(&pack)?.get(0)?.to_vec1::<f32>()?;
        let of =
            |range: &std::ops::Range<usize>| logprobs[range.clone()].iter().map(|&l| f64::from(l)).collect();
        Ok(members.into_iter().zip(pack.scored.iter().map(of)).collect())
    });
    let scored = scored.collect::<Result<Vec<Vec<(usize, Vec<f64>)>>, Error>>()?;
    let mut scored: Vec<(usize, Vec<f64>)> = scored.into_iter().flatten().collect();
    scored.sort_by_key(|(index, _)| *index);
    Ok(scored.into_iter().map(|(_, logprobs)| logprobs).collect())
}

/// Mean negative log-probability of the learnt tokens, in nats; `None` without sequences.
pub fn mean_loss(model: &Model, sequences: &[Sequence]) -> Result<Option<f64>, Error> {
    let all: Vec<f64> = logprobs(model, sequences)?.into_iter().flatten().collect();
    Ok(if all.is_empty() { None } else { Some(-all.iter().sum::<f64>() / all.len() as f64) })
}
