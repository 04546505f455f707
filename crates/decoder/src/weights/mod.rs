//! Weights by checkpoint key, from safetensors or GGUF.
//!
//! Names and layouts are those of the Hugging Face checkpoint, whatever the file: GGUF names, LLaMA's reordered query and key rows and
//! Gemma's norm offset are turned back on reading. Every weight is checked against the shape that the configuration asks for.
//! Matrices are kept in the storage type that the user chose; norms and biases always in float32. Those that are quantised in a GGUF file stay so
//! where that is float32, with the same numbers. A matrix is never in memory as plain numbers: some rows at a time are read and laid out where products
//! find them.

mod adapters;
mod blocks;
mod cut;
mod gguf;
mod mapped;
mod rows;
mod safetensors;
mod table;

pub(crate) use adapters::Adapters;
pub(crate) use gguf::GgufFile;
pub(crate) use rows::Rows;
pub(crate) use safetensors::SafetensorsFolder;
pub(crate) use table::Table;

use crate::error::{Error, tensor_problem};
use crate::ops::linear::Weight;
use crate::ops::packed::{Group, Packed, Products};
use candle_core::{DType, Device, Result as TensorResult, Tensor};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A file or folder that holds weights under checkpoint keys.
pub(crate) trait WeightFile {
    /// Where it is.
    fn path(&self) -> &Path;
    /// Shape of a weight, if it is there.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;
    /// The numbers of a weight that is there.
    fn rows(&self, name: &str) -> Result<Rows<'_>, Error>;
    /// Tells the system that a weight will not be read again.
    fn let_go(&self, name: &str);
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
    n_bytes: Cell<u64>,
    kernels: RefCell<BTreeSet<String>>,
}

impl<'a> Weights<'a> {
    pub(crate) fn new(
        file: &'a dyn WeightFile,
        dtype: DType,
        products: Products,
        device: &'a Device,
    ) -> Self {
        Self {
            file,
            dtype,
            products,
            device,
            n_loaded: Cell::new(0),
            n_bytes: Cell::new(0),
            kernels: RefCell::default(),
        }
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

    /// What multiplies with the matrices that have been loaded so far.
    pub(crate) fn kernels(&self) -> BTreeSet<String> {
        self.kernels.borrow().clone()
    }

    /// Bytes that they take as they are kept.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes.get()
    }

    /// One matrix.
    pub(crate) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Weight, Error> {
        self.stacked(&[(name, rows)], columns)
    }

    /// Several matrices above one another.
    pub(crate) fn stacked(
        &self,
        parts: &[(impl AsRef<str>, usize)],
        columns: usize,
    ) -> Result<Weight, Error> {
        self.laid_out(parts, columns, self.products)
    }

    /// One matrix whose products are those of float32 rows, whatever the others' are.
    pub(crate) fn exact_matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Weight, Error> {
        self.laid_out(&[(name, rows)], columns, Products::Float32)
    }

    /// One matrix of which single rows are asked for.
    pub(crate) fn table(&self, name: &str, rows: usize, columns: usize) -> Result<Table, Error> {
        let table = if self.device.is_cpu() {
            let kept = self.checked(name, &[rows, columns])?.kept();
            self.take(kept.n_bytes());
            Table::Kept(kept, self.dtype)
        } else {
            let stacked = Stacked::new(self, &[(name, rows)], columns)?;
            Table::Device(self.take_tensor(stacked.on(self.device, self.dtype)?))
        };
        self.file.let_go(name);
        Ok(table)
    }

    fn laid_out(
        &self,
        parts: &[(impl AsRef<str>, usize)],
        columns: usize,
        products: Products,
    ) -> Result<Weight, Error> {
        let stacked = Stacked::new(self, parts, columns)?;
        let weight = if self.device.is_cpu() {
            let read = |rows: Range<usize>, out: &mut [f32]| stacked.read(rows, out);
            let stay_quantised =
                (self.dtype, products) == (DType::F32, Products::Float32) && stacked.are_quantised();
            let packed = if stay_quantised {
                let quants = |row: usize, numbers: &mut [i8], groups: &mut [Group]| {
                    stacked.quants(row, numbers, groups)
                };
                Packed::quantised(stacked.n_rows, columns, quants, read)
            } else {
                Packed::new(stacked.n_rows, columns, self.dtype, products, read)
            };
            let packed = packed.map_err(|e| self.damaged(&stacked.names(), &e))?;
            self.take(packed.n_bytes());
            self.kernels.borrow_mut().insert(packed.kernel());
            Weight::Packed(Arc::new(packed))
        } else {
            Weight::Device(self.take_tensor(stacked.on(self.device, self.dtype)?))
        };
        parts.iter().for_each(|(name, _)| self.file.let_go(name.as_ref()));
        Ok(weight)
    }

    /// One vector in float32.
    pub(crate) fn vector(&self, name: &str, len: usize) -> Result<Tensor, Error> {
        self.stacked_vectors(&[(name, len)])
    }

    /// Several vectors one after another, in float32.
    pub(crate) fn stacked_vectors(&self, parts: &[(impl AsRef<str>, usize)]) -> Result<Tensor, Error> {
        let mut all = Vec::new();
        for (name, len) in parts {
            let numbers = self.checked(name.as_ref(), &[*len])?.read_all();
            all.extend(numbers.map_err(|e| self.damaged(name.as_ref(), &e))?);
        }
        let len = all.len();
        Ok(self.take_tensor(Tensor::from_vec(all, len, self.device)?))
    }

    fn take(&self, n_bytes: usize) {
        self.n_bytes.set(self.n_bytes.get() + n_bytes as u64);
    }

    fn take_tensor(&self, tensor: Tensor) -> Tensor {
        self.take(tensor.elem_count() * tensor.dtype().size_in_bytes());
        tensor
    }

    fn checked(&self, name: &str, expected: &[usize]) -> Result<Rows<'a>, Error> {
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
        self.file.rows(name)
    }

    fn damaged(&self, names: &str, problem: &candle_core::Error) -> Error {
        let problem = format!("the weight {names}: {}", tensor_problem(problem));
        Error::DamagedWeights { path: self.file.path().to_path_buf(), problem }
    }
}

/// Matrices above one another.
struct Stacked<'a> {
    parts: Vec<(String, Rows<'a>)>,
    n_rows: usize,
    columns: usize,
}

impl<'a> Stacked<'a> {
    fn new(weights: &Weights<'a>, parts: &[(impl AsRef<str>, usize)], columns: usize) -> Result<Self, Error> {
        let open = |(name, rows): &(_, usize)| {
            let name: &str = AsRef::as_ref(name);
            Ok((name.to_string(), weights.checked(name, &[*rows, columns])?))
        };
        let n_rows = parts.iter().map(|(_, rows)| rows).sum();
        Ok(Self { parts: parts.iter().map(open).collect::<Result<_, Error>>()?, n_rows, columns })
    }

    fn names(&self) -> String {
        self.parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Reads some rows of the whole.
    fn read(&self, rows: Range<usize>, out: &mut [f32]) -> TensorResult<()> {
        let mut first = 0;
        for (_, part) in &self.parts {
            let own = rows.start.max(first)..rows.end.min(first + part.len());
            if !own.is_empty() {
                let at = (own.start - rows.start) * self.columns..(own.end - rows.start) * self.columns;
                part.read(own.start - first..own.end - first, &mut out[at])?;
            }
            first += part.len();
        }
        Ok(())
    }

    /// Whether some rows can be had as whole numbers.
    fn are_quantised(&self) -> bool {
        self.parts.iter().any(|(_, part)| part.are_quantised())
    }

    /// A row as whole numbers, with their groups; `false` where it is not quantised.
    fn quants(&self, row: usize, numbers: &mut [i8], groups: &mut [Group]) -> bool {
        let mut first = 0;
        for (_, part) in &self.parts {
            if row < first + part.len() {
                return part.quants(row - first, numbers, groups);
            }
            first += part.len();
        }
        false
    }

    /// The whole as a tensor.
    fn on(&self, device: &Device, dtype: DType) -> TensorResult<Tensor> {
        let mut all = Vec::with_capacity(self.n_rows * self.columns);
        for (_, part) in &self.parts {
            all.extend(part.read_all()?);
        }
        Tensor::from_vec(all, (self.n_rows, self.columns), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
    }
}
