//! A weight as its file holds it: rows that become float32 numbers when they are read.

use super::blocks;
use crate::ops::packed::Group;
use candle_core::Result as TensorResult;
use candle_core::quantized::GgmlDType;
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

/// Numbers of blocks that are brought to float32 at a time; a multiple of every block.
const PIECE: usize = 1 << 13;

/// How the numbers of a weight are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    F32,
    F64,
    /// Upper half of a float32.
    BF16,
    /// IEEE half.
    F16,
    /// ggml's blocks.
    Blocks(GgmlDType),
}

impl Encoding {
    /// Bytes of `n` numbers, which are whole blocks.
    fn n_bytes(self, n: usize) -> usize {
        match self {
            Self::F64 => 8 * n,
            Self::F32 => 4 * n,
            Self::BF16 | Self::F16 => 2 * n,
            Self::Blocks(kind) => n / kind.block_size() * kind.type_size(),
        }
    }

    fn decode(self, bytes: &[u8], out: &mut [f32]) -> TensorResult<()> {
        match self {
            Self::F32 => plain(bytes, out, f32::from_le_bytes),
            Self::F64 => plain(bytes, out, |b| f64::from_le_bytes(b) as f32),
            Self::BF16 => plain(bytes, out, |b| half::bf16::from_le_bytes(b).to_f32()),
            Self::F16 => plain(bytes, out, |b| half::f16::from_le_bytes(b).to_f32()),
            Self::Blocks(kind) => {
                for (bytes, out) in bytes.chunks(self.n_bytes(PIECE)).zip(out.chunks_mut(PIECE)) {
                    let numbers = kind.from_data(Cow::Borrowed(bytes)).dequantize(out.len())?;
                    out.copy_from_slice(numbers.as_slice()?);
                }
            }
        }
        Ok(())
    }
}

fn plain<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *out = read(*bytes);
    }
}

/// The rows of a matrix; a vector is one row.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    data: Data<'a>,
    columns: usize,
    /// Which row of the data each one is, where they stand in another order.
    order: Option<Vec<usize>>,
}

#[derive(Debug)]
enum Data<'a> {
    Encoded(Cow<'a, [u8]>, Encoding),
    Float32(Vec<f32>),
}

impl<'a> Rows<'a> {
    /// Rows of `columns` numbers, which are whole blocks, as they lie in a file.
    pub(super) fn encoded(bytes: &'a [u8], encoding: Encoding, columns: usize) -> Self {
        Self { data: Data::Encoded(Cow::Borrowed(bytes), encoding), columns, order: None }
    }

    /// Rows that had to be computed.
    pub(super) fn computed(numbers: Vec<f32>, columns: usize) -> Self {
        Self { data: Data::Float32(numbers), columns, order: None }
    }

    /// The same rows in another order: row i is row `order[i]` of these.
    pub(super) fn reordered(self, order: Vec<usize>) -> Self {
        debug_assert!(self.order.is_none() && order.len() == self.len());
        Self { order: Some(order), ..self }
    }

    /// Bytes of all of them.
    pub(super) fn n_bytes(&self) -> usize {
        match &self.data {
            Data::Encoded(bytes, _) => bytes.len(),
            Data::Float32(numbers) => size_of_val(numbers.as_slice()),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        let row = match &self.data {
            Data::Encoded(_, encoding) => encoding.n_bytes(self.columns),
            Data::Float32(_) => self.columns,
        };
        let all = match &self.data {
            Data::Encoded(bytes, _) => bytes.len(),
            Data::Float32(numbers) => numbers.len(),
        };
        all.checked_div(row).unwrap_or(0)
    }

    /// Reads some of them, `[rows, columns]`.
    pub(super) fn read(&self, rows: Range<usize>, out: &mut [f32]) -> TensorResult<()> {
        match &self.order {
            None => self.read_data(rows, out),
            Some(order) => {
                let out = out.chunks_exact_mut(self.columns.max(1));
                order[rows].iter().zip(out).try_for_each(|(&row, out)| self.read_data(row..row + 1, out))
            }
        }
    }

    fn read_data(&self, rows: Range<usize>, out: &mut [f32]) -> TensorResult<()> {
        match &self.data {
            Data::Encoded(bytes, encoding) => {
                let row = encoding.n_bytes(self.columns);
                encoding.decode(&bytes[rows.start * row..rows.end * row], out)
            }
            Data::Float32(numbers) => {
                out.copy_from_slice(&numbers[rows.start * self.columns..rows.end * self.columns]);
                Ok(())
            }
        }
    }

    /// Whether they are written as whole numbers with scales.
    pub(super) fn are_quantised(&self) -> bool {
        let whole = matches!(self.data, Data::Encoded(_, Encoding::Blocks(kind)) if blocks::are_whole(kind));
        whole && self.columns > 0
    }

    /// A row as whole numbers, with their groups; `false` where it is not written so.
    pub(super) fn quants(&self, row: usize, numbers: &mut [i8], groups: &mut [Group]) -> bool {
        let Data::Encoded(bytes, encoding @ Encoding::Blocks(kind)) = &self.data else { return false };
        let (row, n_bytes) =
            (self.order.as_ref().map_or(row, |order| order[row]), encoding.n_bytes(self.columns));
        blocks::read(*kind, &bytes[row * n_bytes..(row + 1) * n_bytes], numbers, groups)
    }

    /// Reads all of them.
    pub(super) fn read_all(&self) -> TensorResult<Vec<f32>> {
        let mut all = vec![0.0; self.len() * self.columns];
        let rows = (PIECE / self.columns.max(1)).max(1);
        all.par_chunks_mut((rows * self.columns).max(1)).enumerate().try_for_each(|(i, out)| {
            let first = i * rows;
            self.read(first..first + out.len() / self.columns, out)
        })?;
        Ok(all)
    }

    /// The same rows in memory of their own, written as they are in the file.
    pub(super) fn kept(self) -> Rows<'static> {
        let data = match self.data {
            Data::Encoded(bytes, encoding) => Data::Encoded(Cow::Owned(bytes.into_owned()), encoding),
            Data::Float32(numbers) => Data::Float32(numbers),
        };
        Rows { data, columns: self.columns, order: self.order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_alone_and_all_together() {
        let numbers: Vec<f32> = (0..12).map(|i| i as f32 * 0.5 - 2.0).collect();
        let bytes =
            |write: &dyn Fn(f32) -> Vec<u8>| numbers.iter().flat_map(|&x| write(x)).collect::<Vec<u8>>();
        let encodings = [
            (Encoding::F32, bytes(&|x| x.to_le_bytes().to_vec())),
            (Encoding::F64, bytes(&|x| f64::from(x).to_le_bytes().to_vec())),
            (Encoding::BF16, bytes(&|x| half::bf16::from_f32(x).to_le_bytes().to_vec())),
            (Encoding::F16, bytes(&|x| half::f16::from_f32(x).to_le_bytes().to_vec())),
        ];
        let mut all: Vec<Rows<'_>> =
            encodings.iter().map(|(encoding, bytes)| Rows::encoded(bytes, *encoding, 4)).collect();
        all.push(Rows::computed(numbers.clone(), 4));
        for rows in all {
            assert_eq!((rows.len(), rows.read_all().unwrap()), (3, numbers.clone()));
            let (mut some, kept) = ([0.0; 8], rows.kept());
            kept.read(1..3, &mut some).unwrap();
            assert_eq!(some.to_vec(), numbers[4..].to_vec());
        }
    }

    #[test]
    fn rows_are_read_in_another_order() {
        let bytes: Vec<u8> = (0..6).flat_map(|i: u8| f32::from(i).to_le_bytes()).collect();
        let rows = Rows::encoded(&bytes, Encoding::F32, 2).reordered(vec![2, 0, 1]);
        assert_eq!(rows.read_all().unwrap(), [4.0, 5.0, 0.0, 1.0, 2.0, 3.0]);
        let mut last = [0.0; 2];
        rows.kept().read(2..3, &mut last).unwrap();
        assert_eq!(last.to_vec(), [2.0, 3.0]);
    }

    /// A block of Q8_0 is a scale in float16 and 32 numbers of a byte.
    #[test]
    fn blocks_are_scaled() {
        let block = |scale: f32, number: i8| {
            [half::f16::from_f32(scale).to_le_bytes().to_vec(), vec![number as u8; 32]].concat()
        };
        let bytes = [block(0.5, 3), block(2.0, -1)].concat();
        let rows = Rows::encoded(&bytes, Encoding::Blocks(GgmlDType::Q8_0), 32);
        let mut second = vec![0.0; 32];
        rows.read(1..2, &mut second).unwrap();
        assert_eq!((rows.len(), second), (2, vec![-2.0; 32]));
        assert_eq!(rows.read_all().unwrap(), [[1.5; 32], [-2.0; 32]].concat());
    }

    #[test]
    fn nothing_has_no_rows() {
        assert!(Rows::encoded(&[], Encoding::F32, 0).read_all().unwrap().is_empty());
    }
}
