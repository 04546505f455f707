//! Weights by checkpoint key, from safetensors or GGUF.
//!
//! Names and layouts are those of the Hugging Face checkpoint, whatever the file: GGUF names, LLaMA's reordered query and key rows and
//! Gemma's norm offset are turned back on reading. Every weight is checked against the shape that the configuration asks for.
//! Matrices are kept in the storage type that the user chose; norms and biases always in float32.

mod adapters;
mod cut;
mod gguf;
mod mapped;
mod safetensors;

pub(crate) use adapters::Adapters;
pub(crate) use gguf::GgufFile;
pub(crate) use safetensors::SafetensorsFolder;

use crate::error::Error;
use crate::ops::packed::Products;
use candle_core::{DType, Device, Tensor};
use std::cell::Cell;
use std::path::Path;

/// A matrix or vector as raw numbers of some type.
pub(crate) enum Numbers {
    /// 4 bytes each.
    F32(Vec<f32>),
    /// Upper half of a float32.
    BF16(Vec<half::bf16>),
    /// IEEE half.
    F16(Vec<half::f16>),
}

impl Numbers {
    /// As the given type, appended to what is there.
    fn append_to(self, all: &mut Numbers) {
        match (all, self) {
            (Numbers::F32(all), Numbers::F32(more)) if all.is_empty() => *all = more,
            (Numbers::F32(all), Numbers::F32(more)) => all.extend(more),
            (Numbers::F32(all), Numbers::BF16(more)) => all.extend(more.into_iter().map(f32::from)),
            (Numbers::F32(all), Numbers::F16(more)) => all.extend(more.into_iter().map(f32::from)),
            (Numbers::BF16(all), Numbers::BF16(more)) => all.extend(more),
            (Numbers::BF16(all), Numbers::F32(more)) => {
                all.extend(more.into_iter().map(half::bf16::from_f32))
            }
            (Numbers::BF16(all), Numbers::F16(more)) => {
                all.extend(more.into_iter().map(|x| half::bf16::from_f32(x.to_f32())));
            }
            (Numbers::F16(all), Numbers::F16(more)) => all.extend(more),
            (Numbers::F16(all), Numbers::F32(more)) => all.extend(more.into_iter().map(half::f16::from_f32)),
            (Numbers::F16(all), Numbers::BF16(more)) => {
                all.extend(more.into_iter().map(|x| half::f16::from_f32(x.to_f32())));
            }
        }
    }

    fn empty(dtype: DType) -> Self {
        match dtype {
            DType::BF16 => Self::BF16(Vec::new()),
            DType::F16 => Self::F16(Vec::new()),
            _ => Self::F32(Vec::new()),
        }
    }

    fn into_tensor(self, shape: &[usize], device: &Device) -> Result<Tensor, Error> {
        Ok(match self {
            Self::F32(numbers) => Tensor::from_vec(numbers, shape, device)?,
            Self::BF16(numbers) => Tensor::from_vec(numbers, shape, device)?,
            Self::F16(numbers) => Tensor::from_vec(numbers, shape, device)?,
        })
    }
}

/// A file or folder that holds weights under checkpoint keys.
pub(crate) trait WeightFile {
    /// Where it is.
    fn path(&self) -> &Path;
    /// Shape of a weight, if it is there.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;
    /// The numbers of a weight that is there.
    fn read(&self, name: &str) -> Result<Numbers, Error>;
    /// Whether the file holds the same bytes under two names.
    fn same(&self, a: &str, b: &str) -> bool;
}

/// Weights with the type and device they are loaded to.
pub(crate) struct Weights<'a> {
    file: &'a dyn WeightFile,
    dtype: DType,
    products: Products,
    device: &'a Device,
    n_loaded: Cell<u64>,
}

impl<'a> Weights<'a> {
    pub(crate) fn new(
        file: &'a dyn WeightFile,
        dtype: DType,
        products: Products,
        device: &'a Device,
    ) -> Self {
        Self { file, dtype, products, device, n_loaded: Cell::new(0) }
    }

    /// What products with the matrices are made of.
    pub(crate) fn products(&self) -> Products {
        self.products
    }

    /// Whether there is a weight of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.file.shape(name).is_some()
    }

    /// Whether two weights are the same.
    pub(crate) fn same(&self, a: &str, b: &str) -> bool {
        self.file.same(a, b)
    }

    /// How many numbers have been loaded so far.
    pub(crate) fn n_loaded(&self) -> u64 {
        self.n_loaded.get()
    }

    /// One matrix in the storage type.
    pub(crate) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Tensor, Error> {
        self.stacked(&[(name, rows)], columns)
    }

    /// Several matrices above one another.
    pub(crate) fn stacked(
        &self,
        parts: &[(impl AsRef<str>, usize)],
        columns: usize,
    ) -> Result<Tensor, Error> {
        let mut all = Numbers::empty(self.dtype);
        for (name, rows) in parts {
            self.checked(name.as_ref(), &[*rows, columns])?.append_to(&mut all);
        }
        let rows: usize = parts.iter().map(|(_, rows)| rows).sum();
        all.into_tensor(&[rows, columns], self.device)
    }

    /// One vector in float32.
    pub(crate) fn vector(&self, name: &str, len: usize) -> Result<Tensor, Error> {
        self.stacked_vectors(&[(name, len)])
    }

    /// Several vectors one after another, in float32.
    pub(crate) fn stacked_vectors(&self, parts: &[(impl AsRef<str>, usize)]) -> Result<Tensor, Error> {
        let mut all = Numbers::empty(DType::F32);
        for (name, len) in parts {
            self.checked(name.as_ref(), &[*len])?.append_to(&mut all);
        }
        let len: usize = parts.iter().map(|(_, len)| len).sum();
        all.into_tensor(&[len], self.device)
    }

    fn checked(&self, name: &str, expected: &[usize]) -> Result<Numbers, Error> {
        let path = self.file.path();
        let found = self
            .file
            .shape(name)
            .ok_or_else(|| Error::MissingWeight { path: path.to_path_buf(), name: name.to_string() })?;
        if found != expected {
            return Err(Error::WrongShape {
                path: path.to_path_buf(),
                name: name.to_string(),
                found,
                expected: expected.to_vec(),
            });
        }
        self.n_loaded.set(self.n_loaded.get() + expected.iter().product::<usize>() as u64);
        self.file.read(name)
    }
}
