//! Scores of tokens under the output head: hidden states `[R, E]`, head `[V, E]`, one target for each row, to `[2, R]` in nats.
//!
//! With z = h·Wᵀ and p = softmax(z): row 0 is ln p(target), row 1 the entropy H = −Σ_j p_j ln p_j. Backward, for gradients g and e of the
//! two: dz_j = g·([j is the target] − p_j) − e·p_j·(ln p_j + H).
//!
//! Logits of all rows would be the largest tensor of all, so they are made for some rows at a time, and again in the backward pass.

use super::exp::{dot, softmax};
use super::numbers::{self, of_storage, of_tensor};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use entrace_kernels::matrix::{Matrix, MatrixMut, Target, multiply};
use entrace_kernels::vectorised;
use std::sync::Arc;

/// Logits that are held at the same time.
const LOGITS: usize = 1 << 23;

struct Scores {
    targets: Arc<[u32]>,
    train_weight: bool,
}

/// Log-probability and entropy of each row, `[2, R]`.
pub(crate) fn token_scores(hidden: &Tensor, head: &Tensor, targets: &Arc<[u32]>) -> Result<Tensor> {
    let ((rows, _), (vocab, _)) = (hidden.dims2()?, head.dims2()?);
    if targets.len() != rows || targets.iter().any(|&target| target as usize >= vocab) {
        candle_core::bail!("{} targets for {rows} rows and {vocab} tokens", targets.len())
    }
    hidden.apply_op2(head, Scores { targets: targets.clone(), train_weight: head.is_variable() })
}

/// Sizes E and V, and rows in one chunk.
#[derive(Clone, Copy)]
struct Sizes {
    width: usize,
    vocab: usize,
    chunk: usize,
}

impl Sizes {
    fn new(width: usize, vocab: usize) -> Self {
        Self { width, vocab, chunk: (LOGITS / vocab.max(1)).clamp(64, 1024) }
    }

    /// Logits of some rows, `[n, V]`.
    fn logits(&self, hidden: &[f32], head: &[f32], out: &mut Vec<f32>) {
        let n = hidden.len() / self.width;
        out.resize(n * self.vocab, 0.0);
        let hidden = Matrix::new(hidden, n, self.width);
        let head = Matrix::new(head, self.vocab, self.width);
        multiply(MatrixMut::new(out, n, self.vocab), Target::Set, 1.0, hidden, head.t());
    }
}

vectorised! {
    /// Logits to probabilities in place; returns ln Σ e^z and the entropy. H = ln Σ e^z − Σ p z, with z taken from its largest.
    fn distribution(logits: &mut [f32], copy: &mut Vec<f32>) -> (f32, f32) {
        let largest = super::exp::max(logits);
        copy.clear();
        copy.extend(logits.iter().map(|z| z - largest));
        let lse = softmax(logits);
        (lse, lse - largest - dot(logits, copy))
    }
}

impl CustomOp2 for Scores {
    fn name(&self) -> &'static str {
        "token-scores"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        hidden_layout: &Layout,
        head: &CpuStorage,
        head_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((rows, width), (vocab, _)) = (hidden_layout.shape().dims2()?, head_layout.shape().dims2()?);
        let (hidden, head) = (of_storage(hidden, hidden_layout)?, of_storage(head, head_layout)?);
        let sizes = Sizes::new(width, vocab);
        let mut out = vec![0f32; 2 * rows];
        let (logprobs, entropies) = out.split_at_mut(rows);
        let (mut logits, mut copy) = (Vec::new(), Vec::new());
        for (chunk, hidden) in hidden.chunks(sizes.chunk * width).enumerate() {
            sizes.logits(hidden, head, &mut logits);
            for (i, z) in logits.chunks_exact_mut(vocab).enumerate() {
                let row = chunk * sizes.chunk + i;
                let target = z[self.targets[row] as usize];
                let (lse, entropy) = distribution(z, &mut copy);
                logprobs[row] = target - lse;
                entropies[row] = entropy;
            }
        }
        Ok((CpuStorage::F32(out), (2, rows).into()))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        _scores: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((rows, width), (vocab, _)) = (hidden.dims2()?, head.dims2()?);
        let grad = grad.contiguous()?;
        let (hidden, head, grad) = (of_tensor(hidden)?, of_tensor(head)?, of_tensor(&grad)?);
        let sizes = Sizes::new(width, vocab);
        let mut d_hidden = vec![0f32; rows * width];
        let mut d_head = vec![0f32; if self.train_weight { vocab * width } else { 0 }];
        let mut logits = Vec::new();
        let chunks = hidden.chunks(sizes.chunk * width).zip(d_hidden.chunks_mut(sizes.chunk * width));
        for (chunk, (hidden, d_hidden)) in chunks.enumerate() {
            let n = hidden.len() / width;
            sizes.logits(hidden, &head, &mut logits);
            self.through_softmax(&mut logits, vocab, chunk * sizes.chunk, &grad);
            let dz = Matrix::new(&logits, n, vocab);
            let d_hidden = MatrixMut::new(d_hidden, n, width);
            multiply(d_hidden, Target::Set, 1.0, dz, Matrix::new(&head, vocab, width));
            if self.train_weight {
                let d_head = MatrixMut::new(&mut d_head, vocab, width);
                multiply(d_head, Target::Add, 1.0, dz.t(), Matrix::new(hidden, n, width));
            }
        }
        let d_hidden = numbers::tensor(d_hidden, (rows, width))?;
        let d_head = if self.train_weight { Some(numbers::tensor(d_head, (vocab, width))?) } else { None };
        Ok((Some(d_hidden), d_head))
    }
}

impl Scores {
    /// Logits of rows from `first` on to dz, in place.
    fn through_softmax(&self, logits: &mut [f32], vocab: usize, first: usize, grad: &[f32]) {
        let rows = self.targets.len();
        let mut copy = Vec::new();
        for (i, z) in logits.chunks_exact_mut(vocab).enumerate() {
            let (g, e) = (grad[first + i], grad[rows + first + i]);
            row_through_softmax(z, &mut copy, g, e);
            z[self.targets[first + i] as usize] += g;
        }
    }
}

vectorised! {
    /// Logits of a row to dz without its target's term, from the gradients of its log-probability and of its entropy.
    fn row_through_softmax(z: &mut [f32], copy: &mut Vec<f32>, g: f32, e: f32) {
        let (lse, entropy) = distribution_again(z, copy, e);
        for (z, &logit) in z.iter_mut().zip(&*copy) {
            *z = -*z * (g + e * (logit - lse + entropy));
        }
    }
}

/// As `distribution`, but keeps the logits in `copy` and leaves out the entropy where its gradient is 0.
#[inline(always)]
fn distribution_again(logits: &mut [f32], copy: &mut Vec<f32>, grad_of_entropy: f32) -> (f32, f32) {
    copy.clear();
    copy.extend_from_slice(logits);
    let lse = softmax(logits);
    if grad_of_entropy.abs() > 0.0 { (lse, lse - dot(logits, copy)) } else { (lse, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{check_gradients, random};
    use candle_core::{D, Device};

    #[test]
    fn equals_the_composed_scores_and_their_gradients() {
        for (rows, vocab) in [(5, 11), (1100, 7), (3, 9000)] {
            let targets: Arc<[u32]> = (0..rows).map(|i| (i * 7 % vocab) as u32).collect();
            let column = Tensor::from_slice(&targets, (rows, 1), &Device::Cpu).unwrap();
            check_gradients(
                &[random(&[rows, 6], 1), random(&[vocab, 6], 2)],
                |v| token_scores(&v[0], &v[1], &targets),
                |v| {
                    let z = v[0].matmul(&v[1].t()?)?;
                    let z = z.broadcast_sub(&z.max_keepdim(D::Minus1)?.detach())?;
                    let logs = z.broadcast_sub(&z.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
                    let entropy = (logs.exp()? * &logs)?.sum(D::Minus1)?.neg()?;
                    Tensor::stack(&[logs.gather(&column, 1)?.squeeze(1)?, entropy], 0)
                },
            );
        }
    }
}
