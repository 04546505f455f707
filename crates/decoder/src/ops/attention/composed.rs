//! Tree attention composed of tensor operations: for other devices, and the reference of the kernels.

use super::{Attention, Block, Readings};
use candle_core::{D, DType, Result, Tensor};

impl Attention<'_> {
    pub(super) fn composed(
        &self,
        q: &Tensor,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Option<Readings>)> {
        let blocks = self.blocks.iter().map(|block| self.composed_block(block, q, keys, values));
        let (outs, readings): (Vec<Tensor>, Vec<Option<Readings>>) =
            blocks.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let out = Tensor::cat(&outs, 0)?;
        let Some(readings) = readings.into_iter().collect::<Option<Vec<_>>>() else { return Ok((out, None)) };
        let cat = |of: fn(&Readings) -> &Tensor| Tensor::cat(&readings.iter().map(of).collect::<Vec<_>>(), 0);
        Ok((out, Some(Readings { own: cat(|r| &r.own)?, entropy: cat(|r| &r.entropy)? })))
    }

    fn composed_block(
        &self,
        block: &Block,
        q: &Tensor,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Option<Readings>)> {
        let spec = self.spec;
        let (rows, before) = (block.rows.len(), block.n_ancestors());
        let slots: Vec<u32> =
            block.ranges(0, before + rows).iter().flat_map(|&(s, n)| (s..s + n).map(|i| i as u32)).collect();
        let n_keys = slots.len();
        let slots = Tensor::from_vec(slots, n_keys, q.device())?;
        let group = spec.n_heads / spec.n_kv_heads;
        let heads = |arena: &Tensor, dim: usize| {
            let wide = arena.index_select(&slots, 0)?.reshape((n_keys, spec.n_kv_heads, 1, dim))?;
            let wide = wide.broadcast_as((n_keys, spec.n_kv_heads, group, dim))?;
            wide.reshape((n_keys, spec.n_heads, dim))?.transpose(0, 1)?.contiguous()
        };
        let q = q.narrow(0, block.rows.start, rows)?.reshape((rows, spec.n_heads, spec.head_dim))?;
        let q = q.transpose(0, 1)?.contiguous()?;
        let mut scores = (q.matmul(&heads(keys, spec.head_dim)?.t()?)? * spec.scale)?.to_dtype(DType::F32)?;
        if let Some(cap) = spec.softcap {
            scores = ((scores / cap)?.tanh()? * cap)?;
        }
        let window = spec.window.unwrap_or(usize::MAX);
        let mask: Vec<f32> = (before..before + rows)
            .flat_map(|at| {
                (0..n_keys)
                    .map(move |key| if key <= at && at - key < window { 0.0 } else { f32::NEG_INFINITY })
            })
            .collect();
        let scores = scores.broadcast_add(&Tensor::from_vec(mask, (rows, n_keys), scores.device())?)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        let readings = if self.read { Some(composed_readings(&weights, before)?) } else { None };
        let out = weights.to_dtype(q.dtype())?.matmul(&heads(values, spec.v_head_dim)?)?;
        Ok((out.transpose(0, 1)?.reshape((rows, spec.n_heads * spec.v_head_dim))?, readings))
    }
}

/// Readings of weights `[H, rows, keys]` of rows that have `before` keys before them.
fn composed_readings(weights: &Tensor, before: usize) -> Result<Readings> {
    let (_, rows, n_keys) = weights.dims3()?;
    let logs = weights.maximum(f64::from(f32::MIN_POSITIVE))?.log()?;
    let own: Vec<f32> =
        (0..rows * n_keys).map(|i| if i % n_keys == before + i / n_keys { 1.0 } else { 0.0 }).collect();
    let own = Tensor::from_vec(own, (rows, n_keys), weights.device())?;
    let by_row = |numbers: Tensor| numbers.sum(D::Minus1)?.t()?.contiguous();
    Ok(Readings { own: by_row(logs.broadcast_mul(&own)?)?, entropy: by_row((weights * &logs)?.neg()?)? })
}
