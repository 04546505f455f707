//! The residual stream: what a part of a layer adds to the hidden states, `[T, E]` each.
//!
//! The part's output is a tensor that nobody else holds, so on the CPU the sum is written into it. Hidden states themselves are never
//! changed: a watcher of a pass may keep them.

use super::rows::{Rows, on_cpu, rows_for_each_task};
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor};
use entrace_kernels::vectorised;
use rayon::prelude::*;

/// hidden + output. No other tensor may share the memory of `output`.
pub(crate) fn add(hidden: &Tensor, output: Tensor) -> Result<Tensor> {
    if !on_cpu(&output) || !output.is_contiguous() || hidden.dims() != output.dims() {
        return hidden + output;
    }
    output.inplace_op2(hidden, &AddTo)?;
    Ok(output)
}

struct AddTo;

impl InplaceOp2 for AddTo {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn cpu_fwd(
        &self,
        output: &mut CpuStorage,
        output_layout: &Layout,
        hidden: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        let hidden = Rows::new(hidden, layout)?;
        let CpuStorage::F32(output) = output else { candle_core::bail!("the output is not float32") };
        let width = hidden.width.max(1);
        let from = output_layout.start_offset();
        let output = &mut output[from..from + hidden.n_rows * hidden.width];
        let chunk = rows_for_each_task(width);
        output.par_chunks_mut(chunk * width).enumerate().for_each(|(task, output)| {
            for (i, output) in output.chunks_exact_mut(width).enumerate() {
                add_row(output, hidden.row(task * chunk + i));
            }
        });
        Ok(())
    }
}

vectorised! {
    fn add_row(output: &mut [f32], hidden: &[f32]) {
        for (output, &hidden) in output.iter_mut().zip(hidden) {
            *output += hidden;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{assert_close, random};

    #[test]
    fn adds_and_leaves_the_hidden_states_alone() {
        let (hidden, output) = (random(&[70, 300], 1), random(&[70, 300], 2));
        let before = hidden.copy().unwrap();
        let expected = (&hidden + &output).unwrap();
        assert_close(&add(&hidden, output).unwrap(), &expected, 0.0);
        assert_close(&hidden, &before, 0.0);
    }
}
