//! The float32 numbers of a tensor as a slice, and back.

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Result, Shape, Storage, Tensor};
use std::cell::RefCell;
use std::ops::Deref;

/// The contiguous numbers of a storage.
pub(crate) fn of_storage<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<f32>()?[from..to]),
        None => candle_core::bail!("numbers must be contiguous, found strides {:?}", layout.stride()),
    }
}

/// A slice that keeps its tensor's lock.
pub(crate) struct Numbers<G> {
    storage: G,
    from: usize,
    to: usize,
}

impl<G: Deref<Target = Storage>> Deref for Numbers<G> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(numbers)) => &numbers[self.from..self.to],
            _ => &[],
        }
    }
}

/// The contiguous numbers of a tensor.
pub(crate) fn of_tensor(tensor: &Tensor) -> Result<Numbers<impl Deref<Target = Storage> + '_>> {
    let (storage, layout) = tensor.storage_and_layout();
    if !matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) {
        candle_core::bail!("expected float32 numbers in CPU memory")
    }
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(Numbers { storage, from, to }),
        None => candle_core::bail!("numbers must be contiguous, found strides {:?}", layout.stride()),
    }
}

/// A tensor of these numbers.
pub(crate) fn tensor(numbers: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(numbers, shape.into(), &Device::Cpu)
}

struct Change<F>(RefCell<F>);

impl<F: FnMut(&mut [f32])> InplaceOp1 for Change<F> {
    fn name(&self) -> &'static str {
        "change"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(numbers), Some((from, to))) => {
                (self.0.borrow_mut())(&mut numbers[from..to]);
                Ok(())
            }
            _ => candle_core::bail!("expected contiguous float32 numbers"),
        }
    }
}

/// Changes the numbers of a tensor where they are; everything that shares them sees it.
pub(crate) fn change(tensor: &Tensor, change: impl FnMut(&mut [f32])) -> Result<()> {
    tensor.inplace_op1(&Change(RefCell::new(change)))
}
