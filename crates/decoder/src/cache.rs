//! Keys and values of every token that has been run.
//!
//! The cache is a value that is passed in: weights know nothing of it. It is an arena of slots, one for each token, `[S, K·D]` keys and
//! `[S, K·Dv]` values in each layer. Who runs tokens decides which slots they take; a branch remembers its ancestors' slots as a few
//! ranges, so that truncating to a prefix and forking copy nothing.
//!
//! Memory that was never written has to be cleared by the operating system, page by page, which takes longer than writing it again. So a
//! model lends its arenas: what comes back is lent again.

use crate::spec::Spec;
use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Result, Tensor};
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Mutex, PoisonError};

/// Slots for keys and values.
pub(crate) struct KvArena {
    layers: Vec<LayerKv>,
    capacity: usize,
}

struct LayerKv {
    keys: Tensor,
    values: Tensor,
}

impl KvArena {
    /// An arena with room for `capacity` tokens.
    pub(crate) fn new(spec: &Spec, capacity: usize, dtype: DType, device: &Device) -> Result<Self> {
        let layers = spec.layers.iter().map(|layer| {
            let attention = &layer.attention;
            Ok(LayerKv {
                keys: Tensor::zeros((capacity, attention.n_kv_heads * attention.head_dim), dtype, device)?,
                values: Tensor::zeros(
                    (capacity, attention.n_kv_heads * attention.v_head_dim),
                    dtype,
                    device,
                )?,
            })
        });
        Ok(Self { layers: layers.collect::<Result<_>>()?, capacity })
    }

    /// Bytes that one token takes over all layers.
    pub(crate) fn bytes_per_token(spec: &Spec, dtype: DType) -> usize {
        let numbers: usize = spec
            .layers
            .iter()
            .map(|l| l.attention.n_kv_heads * (l.attention.head_dim + l.attention.v_head_dim))
            .sum();
        numbers * dtype.size_in_bytes()
    }

    /// Makes room for at least `capacity` tokens; what the slots hold stays.
    pub(crate) fn reserve(&mut self, capacity: usize) -> Result<()> {
        if capacity <= self.capacity {
            return Ok(());
        }
        let capacity = capacity.max(self.capacity + self.capacity / 2);
        for layer in &mut self.layers {
            layer.keys = grown(&layer.keys, capacity)?;
            layer.values = grown(&layer.values, capacity)?;
        }
        self.capacity = capacity;
        Ok(())
    }

    /// Keys and values of a layer, `[S, K·D]` and `[S, K·Dv]`.
    pub(crate) fn layer(&self, layer: usize) -> (&Tensor, &Tensor) {
        (&self.layers[layer].keys, &self.layers[layer].values)
    }

    /// Writes the keys and values of a pass, `[T, K·D]` and `[T, K·Dv]`, to its slots.
    pub(crate) fn write(
        &mut self,
        layer: usize,
        slots: &Slots,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<()> {
        slots.write(&self.layers[layer].keys, keys)?;
        slots.write(&self.layers[layer].values, values)
    }
}

/// The largest arena that is not in use.
#[derive(Default)]
pub(crate) struct IdleArena(Mutex<Option<KvArena>>);

impl IdleArena {
    /// Lends the idle arena, or the one that `new` makes. What its slots hold is left from before.
    pub(crate) fn lend(&self, new: impl FnOnce() -> Result<KvArena>) -> Result<LentArena<'_>> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(LentArena { arena: Some(idle.map_or_else(new, Ok)?), home: self })
    }
}

/// An arena that goes back when it is dropped.
pub(crate) struct LentArena<'a> {
    /// `None` only while it is dropped.
    arena: Option<KvArena>,
    home: &'a IdleArena,
}

impl Deref for LentArena<'_> {
    type Target = KvArena;

    fn deref(&self) -> &KvArena {
        self.arena.as_ref().unwrap_or_else(|| unreachable!("lent until dropped"))
    }
}

impl DerefMut for LentArena<'_> {
    fn deref_mut(&mut self) -> &mut KvArena {
        self.arena.as_mut().unwrap_or_else(|| unreachable!("lent until dropped"))
    }
}

impl Drop for LentArena<'_> {
    fn drop(&mut self) {
        let mut idle = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        let arena = self.arena.take();
        let capacity = |arena: &Option<KvArena>| arena.as_ref().map_or(0, |arena| arena.capacity);
        if capacity(&arena) > capacity(&idle) {
            *idle = arena;
        }
    }
}

fn grown(old: &Tensor, capacity: usize) -> Result<Tensor> {
    let (rows, width) = old.dims2()?;
    // Where another layer could not grow before.
    if rows >= capacity {
        return Ok(old.clone());
    }
    let new = Tensor::zeros((capacity, width), old.dtype(), old.device())?;
    if rows > 0 {
        new.slice_set(old, 0, 0)?;
    }
    Ok(new)
}

/// Where the rows of a pass are kept: runs of rows to runs of slots.
pub(crate) struct Slots {
    /// Rows of the pass and the slot of the first of them.
    runs: Vec<(Range<usize>, usize)>,
}

impl Slots {
    /// Consecutive runs of rows, each to slots from a start on.
    pub(crate) fn new(runs: impl IntoIterator<Item = (Range<usize>, usize)>) -> Self {
        Self { runs: runs.into_iter().collect() }
    }

    fn write(&self, arena: &Tensor, rows: &Tensor) -> Result<()> {
        if super::ops::rows::on_cpu(arena) {
            return arena.inplace_op2(rows, self);
        }
        for (range, slot) in &self.runs {
            arena.slice_set(&rows.narrow(0, range.start, range.len())?.contiguous()?, 0, *slot)?;
        }
        Ok(())
    }
}

impl InplaceOp2 for Slots {
    fn name(&self) -> &'static str {
        "write_slots"
    }

    fn cpu_fwd(
        &self,
        arena: &mut CpuStorage,
        arena_layout: &Layout,
        rows: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        let rows = super::ops::rows::Rows::new(rows, layout)?;
        let CpuStorage::F32(arena) = arena else { candle_core::bail!("the cache is not float32") };
        let arena = &mut arena[arena_layout.start_offset()..];
        for (range, slot) in &self.runs {
            for (i, row) in range.clone().enumerate() {
                let start = (slot + i) * rows.width;
                arena[start..start + rows.width].copy_from_slice(rows.row(row));
            }
        }
        Ok(())
    }
}
