//! Gradients of a batch, packs in parallel.
//!
//! A batch is a list of packs; the loss of the batch is the sum of the losses of its packs. Packs run in waves of `shards`, each on
//! one thread, and their gradients are added in the order of packs, so that the sum has the same bits whatever the number of threads.

use crate::error::Error;
use crate::model::{Model, Trained};
use crate::ops::numbers::of_tensor;
use candle_core::Tensor;
use rayon::prelude::*;

/// Numbers of every trained weight, in the model's order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gradients(pub(crate) Vec<Vec<f32>>);

/// One pack's gradient of every trained weight; `None` where the loss does not depend on it.
type Share = Vec<Option<Tensor>>;

/// What a batch gave.
pub(crate) struct BatchGradients<A> {
    pub(crate) loss: f64,
    pub(crate) gradients: Gradients,
    /// What the loss function said about each pack.
    pub(crate) notes: Vec<A>,
}

impl Gradients {
    /// Square root of the sum of all squares.
    pub(crate) fn norm(&self) -> f64 {
        let squares: Vec<f64> = self
            .0
            .par_iter()
            .map(|numbers| numbers.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>())
            .collect();
        squares.iter().sum::<f64>().sqrt()
    }
}

/// Runs `loss` on every pack and sums losses and gradients.
pub(crate) fn gradients<A: Send>(
    model: &Model,
    n_packs: usize,
    shards: usize,
    loss: impl Fn(usize) -> Result<(Tensor, A), Error> + Sync,
) -> Result<BatchGradients<A>, Error> {
    let trained = model.trained();
    let mut sums: Vec<Vec<f32>> = trained.iter().map(|t| vec![0.0; t.tensor.elem_count()]).collect();
    let mut total = 0.0;
    let mut notes = Vec::with_capacity(n_packs);
    for first in (0..n_packs).step_by(shards.max(1)) {
        let wave = first..n_packs.min(first + shards.max(1));
        let done = wave.into_par_iter().map(|pack| {
            let (loss, note) = loss(pack)?;
            let gradients = backward(&loss, trained)?;
            Ok(((f64::from(loss.to_scalar::<f32>()?), note), gradients))
        });
        let (said, shares): (Vec<(f64, A)>, Vec<Share>) =
            done.collect::<Result<Vec<_>, Error>>()?.into_iter().unzip();
        sums.par_iter_mut().enumerate().try_for_each(|(index, sum)| {
            shares.iter().filter_map(|share| share[index].as_ref()).try_for_each(|g| add(sum, g))
        })?;
        for (loss, note) in said {
            total += loss;
            notes.push(note);
        }
    }
    Ok(BatchGradients { loss: total, gradients: Gradients(sums), notes })
}

fn backward(loss: &Tensor, trained: &[Trained]) -> Result<Share, Error> {
    let mut store = loss.backward()?;
    trained
        .iter()
        .map(|t| store.remove(&t.tensor).map(|gradient| Ok(gradient.contiguous()?)).transpose())
        .collect()
}

fn add(sum: &mut [f32], gradient: &Tensor) -> Result<(), Error> {
    for (sum, g) in sum.iter_mut().zip(of_tensor(gradient)?.iter()) {
        *sum += g;
    }
    Ok(())
}
