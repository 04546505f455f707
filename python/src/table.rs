//! A table of a run as an Arrow stream, one record batch for each row group.
//!
//! The file is opened when the stream is asked for and read as the reader goes on. Columns are text (`utf8`), `uint32`, `float64` and `bool`;
//! nulls are where something is undefined. The stream is handed over through the Arrow PyCapsule interface, which pandas, polars, duckdb and
//! pyarrow read without copying.

use arrow_array::builder::{BooleanBuilder, Float64Builder, StringBuilder, UInt32Builder};
use arrow_array::cast::AsArray;
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::types::{Float64Type, UInt32Type};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use numpy::IntoPyArray;
use parquet::basic::{Repetition, Type as Physical};
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{BoolType, ByteArrayType, DataType as Stored, DoubleType, Int32Type};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A table of a run.
#[pyclass(frozen)]
pub(crate) struct Table {
    name: String,
    /// Its file; those of the parts of an unfinished run.
    files: Vec<PathBuf>,
}

impl Table {
    pub(crate) fn of_files(name: &str, files: Vec<PathBuf>) -> Self {
        Self { name: name.to_string(), files }
    }
}

#[pymethods]
impl Table {
    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Its columns as pairs of a name and a type, `utf8`, `uint32`, `float64` or `bool`.
    #[getter]
    fn columns(&self) -> PyResult<Vec<(String, &'static str)>> {
        let schema = Rows::open(&self.files).map_err(refused)?.schema;
        Ok(schema.fields().iter().map(|field| (field.name().clone(), type_name(field.data_type()))).collect())
    }

    /// Rows in all.
    fn __len__(&self) -> PyResult<usize> {
        let mut n = 0;
        for file in &self.files {
            let rows = open(file).map_err(refused)?.metadata().file_metadata().num_rows();
            n += usize::try_from(rows).unwrap_or_default();
        }
        Ok(n)
    }

    /// A column as a NumPy array: numbers with nulls are float64 with NaN, other columns with nulls hold None.
    fn column<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let mut rows = Rows::open(&self.files).map_err(refused)?;
        let field =
            rows.schema.field_with_name(name).map_err(|_| PyKeyError::new_err(name.to_string()))?.clone();
        let read = py.detach(|| -> Result<Vec<ArrayRef>, ArrowError> {
            rows.only = rows.schema.index_of(name).ok();
            rows.map(|batch| Ok(Arc::clone(batch?.column(0)))).collect()
        });
        as_numpy(py, &field, &read.map_err(refused)?)
    }

    /// The rows as a capsule with an Arrow stream.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // A consumer may ask for other types, and has to take what it is given.
        drop(requested_schema);
        let rows = Rows::open(&self.files).map_err(refused)?;
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(rows)), c"arrow_array_stream")
    }
}

/// Pieces of a column as one array of NumPy.
fn as_numpy<'py>(py: Python<'py>, field: &Field, pieces: &[ArrayRef]) -> PyResult<Bound<'py, PyAny>> {
    let has_nulls = pieces.iter().any(|piece| piece.null_count() > 0);
    let n = pieces.iter().map(|piece| piece.len()).sum();
    Ok(match (field.data_type(), has_nulls) {
        (DataType::UInt32, false) => {
            let mut all: Vec<u32> = Vec::with_capacity(n);
            pieces.iter().for_each(|piece| all.extend(piece.as_primitive::<UInt32Type>().values()));
            all.into_pyarray(py).into_any()
        }
        (DataType::UInt32, true) => {
            let pieces = pieces.iter().flat_map(|piece| piece.as_primitive::<UInt32Type>());
            pieces
                .map(|cell| cell.map_or(f64::NAN, f64::from))
                .collect::<Vec<f64>>()
                .into_pyarray(py)
                .into_any()
        }
        (DataType::Float64, _) => {
            let pieces = pieces.iter().flat_map(|piece| piece.as_primitive::<Float64Type>());
            pieces.map(|cell| cell.unwrap_or(f64::NAN)).collect::<Vec<f64>>().into_pyarray(py).into_any()
        }
        (DataType::Boolean, false) => {
            let pieces = pieces.iter().flat_map(|piece| piece.as_boolean());
            pieces.map(|cell| cell.unwrap_or_default()).collect::<Vec<bool>>().into_pyarray(py).into_any()
        }
        (DataType::Boolean, true) => {
            let cells: Vec<Option<bool>> = pieces.iter().flat_map(|piece| piece.as_boolean()).collect();
            objects(py, cells)?
        }
        _ => {
            let cells: Vec<Option<&str>> = pieces.iter().flat_map(|piece| piece.as_string::<i32>()).collect();
            objects(py, cells)?
        }
    })
}

/// An array of Python's own values.
fn objects<'py>(py: Python<'py>, cells: impl IntoPyObjectExt<'py>) -> PyResult<Bound<'py, PyAny>> {
    let cells = cells.into_bound_py_any(py)?;
    let array = py.import("numpy")?.getattr("empty")?.call1((cells.len()?, "object"))?;
    array.set_item(pyo3::types::PySlice::full(py), cells)?;
    Ok(array)
}

fn refused(error: ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn type_name(kind: &DataType) -> &'static str {
    match kind {
        DataType::UInt32 => "uint32",
        DataType::Float64 => "float64",
        DataType::Boolean => "bool",
        _ => "utf8",
    }
}

/// Rows on their way out.
struct Rows {
    schema: SchemaRef,
    files: Vec<PathBuf>,
    /// The file in hand, and its row groups that were read.
    open: Option<(SerializedFileReader<File>, usize)>,
    /// The column that is read, if it is one alone.
    only: Option<usize>,
}

impl Rows {
    fn open(files: &[PathBuf]) -> Result<Self, ArrowError> {
        let first = files.first().ok_or_else(|| problem("there is no file"))?;
        let schema = Arc::new(schema(&open(first)?)?);
        Ok(Self { schema, files: files.iter().rev().cloned().collect(), open: None, only: None })
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        loop {
            if self.open.is_none() {
                let Some(path) = self.files.pop() else { return Ok(None) };
                self.open = Some((open(&path)?, 0));
            }
            let Some((file, n_read)) = &mut self.open else { return Ok(None) };
            if *n_read == file.num_row_groups() {
                self.open = None;
                continue;
            }
            let index = *n_read;
            *n_read += 1;
            let group = file.get_row_group(index).map_err(|error| problem(&error.to_string()))?;
            // On some damaged files the Parquet library panics.
            let read = catch_unwind(AssertUnwindSafe(|| batch(&*group, &self.schema, self.only)));
            return read.unwrap_or_else(|_| Err(problem("its pages do not fit together"))).map(Some);
        }
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

impl RecordBatchReader for Rows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

fn problem(text: &str) -> ArrowError {
    ArrowError::ParquetError(text.to_string())
}

fn open(path: &Path) -> Result<SerializedFileReader<File>, ArrowError> {
    let name = path.display();
    let file = File::open(path).map_err(|error| problem(&format!("cannot open {name}: {error}")))?;
    SerializedFileReader::new(file).map_err(|error| problem(&format!("{name}: {error}")))
}

fn schema(file: &SerializedFileReader<File>) -> Result<Schema, ArrowError> {
    let columns = file.metadata().file_metadata().schema_descr().columns();
    let field = |column: &parquet::schema::types::ColumnDescPtr| {
        let kind = match column.physical_type() {
            Physical::BYTE_ARRAY => DataType::Utf8,
            Physical::INT32 => DataType::UInt32,
            Physical::DOUBLE => DataType::Float64,
            Physical::BOOLEAN => DataType::Boolean,
            other => return Err(problem(&format!("column {} is {other}", column.name()))),
        };
        let nullable = column.self_type().get_basic_info().repetition() == Repetition::OPTIONAL;
        Ok(Field::new(column.name(), kind, nullable))
    };
    Ok(Schema::new(columns.iter().map(field).collect::<Result<Vec<Field>, ArrowError>>()?))
}

/// The rows of a group, all columns or one.
fn batch(
    group: &dyn RowGroupReader,
    schema: &SchemaRef,
    only: Option<usize>,
) -> Result<RecordBatch, ArrowError> {
    let column = |(index, field): (usize, &Arc<Field>)| -> Result<ArrayRef, ArrowError> {
        let named = |error: String| problem(&format!("column {}: {error}", field.name()));
        Ok(match field.data_type() {
            DataType::UInt32 => {
                let cells = cells::<Int32Type>(group, index).map_err(named)?;
                let mut column = UInt32Builder::with_capacity(cells.len());
                cells.into_iter().for_each(|cell| column.append_option(cell.map(i32::cast_unsigned)));
                Arc::new(column.finish())
            }
            DataType::Float64 => {
                let cells = cells::<DoubleType>(group, index).map_err(named)?;
                let mut column = Float64Builder::with_capacity(cells.len());
                cells.into_iter().for_each(|cell| column.append_option(cell));
                Arc::new(column.finish())
            }
            DataType::Boolean => {
                let cells = cells::<BoolType>(group, index).map_err(named)?;
                let mut column = BooleanBuilder::with_capacity(cells.len());
                cells.into_iter().for_each(|cell| column.append_option(cell));
                Arc::new(column.finish())
            }
            _ => {
                let cells = cells::<ByteArrayType>(group, index).map_err(named)?;
                let mut column = StringBuilder::new();
                for cell in &cells {
                    let text = cell.as_ref().map(|bytes| std::str::from_utf8(bytes.data())).transpose();
                    column.append_option(text.map_err(|error| named(error.to_string()))?);
                }
                Arc::new(column.finish())
            }
        })
    };
    let wanted =
        schema.fields().iter().enumerate().filter(|(index, _)| only.is_none_or(|only| only == *index));
    let columns = wanted.map(column).collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
    let schema = only.map_or_else(|| Ok(Arc::clone(schema)), |only| schema.project(&[only]).map(Arc::new));
    RecordBatch::try_new(schema?, columns)
}

/// The cells of a column; `None` is null.
fn cells<T: Stored>(group: &dyn RowGroupReader, index: usize) -> Result<Vec<Option<T::T>>, String> {
    let n_rows = usize::try_from(group.metadata().num_rows()).map_err(|error| error.to_string())?;
    let is_nullable = group.metadata().column(index).column_descr().max_def_level() > 0;
    let reader = group.get_column_reader(index).map_err(|error| error.to_string())?;
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let (n_read, ..) = get_typed_column_reader::<T>(reader)
        .read_records(n_rows, Some(&mut levels), None, &mut values)
        .map_err(|error| error.to_string())?;
    if n_read != n_rows {
        return Err(format!("{n_read} values for {n_rows} rows"));
    }
    if !is_nullable {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    Ok(levels.into_iter().map(|level| if level > 0 { values.next() } else { None }).collect())
}
