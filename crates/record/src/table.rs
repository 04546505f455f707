//! A table as a zstd-compressed Parquet file: rows in, rows out, one row group in memory at a time.
//!
//! What a table holds is said once, by the `table!` lines below: the fields of the row, in column order. The type of a column follows
//! from the type of the field (`cell`). A row group ends after 65 536 rows or 32 MiB of values, whichever comes first, so that where a
//! group ends depends on the rows alone: the same rows give the same bytes.
//!
//! The file's key-value metadata hold `entrace.format_version`, `entrace.table` and `entrace.unit` (nats), and checksums of every byte
//! (`checked`), which are compared wherever something is read.
//!
//! A reader wants every column of the row, with its type; those that a later minor version added are null where the file is of an earlier
//! one. Columns that it does not know are skipped where the file says that it is of a
//! newer minor version, and are an error else. Arrow is not needed and not used; pandas, polars and duckdb read the files.

use std::borrow::Borrow;
use std::fs::File;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::column::page::Page;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};

use crate::cell::{Cell, Strings};
use crate::checked::{CheckedFile, ChecksummingFile};
use crate::error::Error;
use crate::file;
use crate::manifest::{FORMAT_VERSION, Version};
use crate::rows::{AnswerRow, DecisionRow, InterventionRow, PrefixRow, SignalRow, TokenRow, TraceRow};
use crate::tables::{AnswerHead, Asked, PrefixHead, PrefixLeader, TokenHead, TokenStep, TraceHead};

/// Most rows in a row group.
const GROUP_ROWS: usize = 1 << 16;
/// Most bytes of values in a row group, but for a single row that is larger.
const GROUP_BYTES: usize = 32 << 20;
/// The unit of entropies and log-probabilities.
pub(crate) const UNIT: &str = "nats";

const VERSION_KEY: &str = "entrace.format_version";
const TABLE_KEY: &str = "entrace.table";
const UNIT_KEY: &str = "entrace.unit";

/// A row of a table.
pub(crate) trait Row: Sized {
    /// Name of the table; its file is `<name>.parquet`.
    const TABLE: &'static str;

    /// The columns, in order.
    fn columns() -> Vec<Column>;

    /// Writes rows as one row group.
    fn write_group<B: Borrow<Self>>(rows: &[B], group: &mut GroupWriter<'_>) -> Result<(), ParquetError>;

    /// Reads the rows of one row group, or says what is wrong with them.
    fn read_group(group: &mut GroupReader<'_>) -> Result<Vec<Self>, String>;

    /// Memory that the values take, roughly.
    fn n_bytes(&self) -> usize;
}

/// Declares the table of a row type: its name, and its columns as fields of the row, those that minor versions added after their number.
macro_rules! table {
    ($row:ty, $name:literal: $($field:ident)+ $(; $minor:literal: $($added:ident)+)*) => {
        impl Row for $row {
            const TABLE: &'static str = $name;

            fn columns() -> Vec<Column> {
                vec![
                    $(Column::of(stringify!($field), 0, |row: &$row| &row.$field),)+
                    $($(Column::of(stringify!($added), $minor, |row: &$row| &row.$added),)+)*
                ]
            }

            fn write_group<B: Borrow<Self>>(rows: &[B], group: &mut GroupWriter<'_>) -> Result<(), ParquetError> {
                $(write_column(rows, |row: &$row| &row.$field, group)?;)+
                $($(write_column(rows, |row: &$row| &row.$added, group)?;)+)*
                Ok(())
            }

            fn read_group(group: &mut GroupReader<'_>) -> Result<Vec<Self>, String> {
                $(let mut $field = group.column(stringify!($field))?.into_iter();)+
                $($(let mut $added = group.column(stringify!($added))?.into_iter();)+)*
                let row = || Some(Self { $($field: $field.next()?,)+ $($($added: $added.next()?,)+)* });
                Ok(std::iter::from_fn(row).collect())
            }

            fn n_bytes(&self) -> usize {
                0 $(+ self.$field.n_bytes())+ $($(+ self.$added.n_bytes())+)*
            }
        }
    };
}

/// A row of some of a table's columns, for readers that need no more.
pub(crate) trait Part: Sized {
    /// The row of the whole table.
    type Table: Row;

    /// Reads these columns of one row group, or says what is wrong with them.
    fn read_group(group: &mut GroupReader<'_>) -> Result<Vec<Self>, String>;
}

/// Declares a row of some columns of a table, by their names.
macro_rules! part {
    ($part:ty, $row:ty: $($field:ident)+) => {
        impl Part for $part {
            type Table = $row;

            fn read_group(group: &mut GroupReader<'_>) -> Result<Vec<Self>, String> {
                $(let mut $field = group.column(stringify!($field))?.into_iter();)+
                let row = || Some(Self { $($field: $field.next()?,)+ });
                Ok(std::iter::from_fn(row).collect())
            }
        }
    };
}

table!(TraceRow, "traces":
    task question_id sample question choices prompt completion target answer correct stop_reason n_prompt_tokens n_trace_tokens
    n_steps outcome reason lock_in_step total_drop monotone n_violations late_slope wasted_tokens);
table!(PrefixRow, "prefixes":
    task question_id sample control step n_tokens depth estimator answer_entropy entropy_lower entropy_upper entropy_drop
    target_logprob information_gain leader leader_prob elicited_mass residual_mass n_samples cue_entropy; 1: answer_stated target_stated cue);
table!(AnswerRow, "answers": task question_id sample control step answer prob logprob; 1: cue estimator);
table!(TokenRow, "tokens":
    task question_id sample index step token_id text logprob token_entropy top2_margin topk_confidence uniform_divergence);
table!(SignalRow, "signals": task question_id sample signal value reason);
table!(DecisionRow, "decisions":
    task question_id sample step n_tokens n_written n_asked stop_value give_up_value decision);
table!(InterventionRow, "interventions":
    task question_id sample step n_steps kind variant reading off_policy span_start span_end original replacement n_tokens n_draws leader
    leader_prob leader_before target_prob target_change target_change_low target_change_high tv kl_nats leader_changes conflicting
    conflicting_prob residual_mass headroom noise_floor p_value answers reason);

part!(TraceHead, TraceRow:
    task question_id sample target answer correct stop_reason n_trace_tokens n_steps outcome lock_in_step total_drop);
part!(Asked, TraceRow: question);
part!(PrefixHead, PrefixRow:
    task question_id sample control depth estimator answer_entropy information_gain leader_prob cue);
part!(PrefixLeader, PrefixRow: task question_id sample estimator leader n_samples cue);
part!(AnswerHead, AnswerRow: task question_id sample control estimator cue);
part!(TokenHead, TokenRow: task question_id sample token_entropy);
part!(TokenStep, TokenRow: task question_id sample step token_id);

/// Names of the tables that every run has.
pub(crate) const TABLES: [&str; 5] =
    [TraceRow::TABLE, PrefixRow::TABLE, AnswerRow::TABLE, TokenRow::TABLE, SignalRow::TABLE];

/// The table that only runs with a stopping rule have.
pub(crate) const DECISIONS: &str = DecisionRow::TABLE;

/// File of a table, within its run or part.
pub(crate) fn file_name(table: &str) -> String {
    format!("{table}.parquet")
}

/// Name and type of a column.
#[derive(Debug)]
pub(crate) struct Column {
    name: &'static str,
    physical: PhysicalType,
    logical: Option<LogicalType>,
    nullable: bool,
    dictionary: bool,
    /// Minor version of the format that added it.
    since: u32,
}

impl Column {
    fn of<R, C: Cell>(name: &'static str, since: u32, _: impl Fn(&R) -> &C) -> Self {
        Self {
            name,
            physical: C::Physical::get_physical_type(),
            logical: C::logical_type(),
            nullable: C::NULLABLE,
            dictionary: C::DICTIONARY,
            since,
        }
    }

    fn schema(&self) -> Result<Type, ParquetError> {
        let repetition = if self.nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        Type::primitive_type_builder(self.name, self.physical)
            .with_repetition(repetition)
            .with_logical_type(self.logical.clone())
            .build()
    }
}

// Writing.

type GroupWriter<'a> = SerializedRowGroupWriter<'a, ChecksummingFile>;

/// Writes rows to a new file. `B` is the row, or a reference to it.
pub(crate) struct TableWriter<R, B> {
    path: PathBuf,
    file: SerializedFileWriter<ChecksummingFile>,
    pending: Vec<B>,
    pending_bytes: usize,
    row: PhantomData<R>,
}

impl<R: Row, B: Borrow<R>> TableWriter<R, B> {
    /// Begins a file.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        Self::into_file(file::create_new(path)?, path)
    }

    /// Begins a table in a file that is open.
    fn into_file(file: File, path: &Path) -> Result<Self, Error> {
        let file = new_file_writer(file, R::TABLE, &R::columns()).map_err(|e| write_error(path, e))?;
        Ok(Self { path: path.to_owned(), file, pending: Vec::new(), pending_bytes: 0, row: PhantomData })
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: B) -> Result<(), Error> {
        let n_bytes = row.borrow().n_bytes();
        let full = self.pending.len() == GROUP_ROWS || self.pending_bytes + n_bytes > GROUP_BYTES;
        if full && !self.pending.is_empty() {
            self.write_group()?;
        }
        self.pending_bytes += n_bytes;
        self.pending.push(row);
        Ok(())
    }

    /// Writes what is left, and makes sure that the file is on the disk.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        if !self.pending.is_empty() {
            self.write_group()?;
        }
        for entry in self.file.inner().footer_entries() {
            self.file.append_key_value_metadata(entry);
        }
        self.file.finish().map_err(|e| write_error(&self.path, e))?;
        self.file.inner_mut().finish().map_err(Error::io("write", &self.path))
    }

    fn write_group(&mut self) -> Result<(), Error> {
        let Self { path, file, pending, .. } = self;
        let written = file.next_row_group().and_then(|mut group| {
            R::write_group(pending, &mut group)?;
            group.close()
        });
        let checked = written.and_then(|group| {
            file.flush()?;
            file.inner_mut().add_group(&group)
        });
        checked.map_err(|e| write_error(path, e))?;
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }
}

fn new_file_writer(
    file: File,
    table: &str,
    columns: &[Column],
) -> Result<SerializedFileWriter<ChecksummingFile>, ParquetError> {
    let fields = columns.iter().map(|c| c.schema().map(Arc::new)).collect::<Result<_, _>>()?;
    let schema = Type::group_type_builder(table).with_fields(fields).build()?;
    let metadata = [(VERSION_KEY, FORMAT_VERSION), (TABLE_KEY, table), (UNIT_KEY, UNIT)];
    let metadata = metadata.map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned()));
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("entrace version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(metadata.to_vec()));
    for column in columns {
        properties =
            properties.set_column_dictionary_enabled(ColumnPath::from(column.name), column.dictionary);
    }
    SerializedFileWriter::new(ChecksummingFile::new(file), Arc::new(schema), Arc::new(properties.build()))
}

fn write_column<R, B: Borrow<R>, C: Cell>(
    rows: &[B],
    get: impl Fn(&R) -> &C,
    group: &mut GroupWriter<'_>,
) -> Result<(), ParquetError> {
    let mut values = Vec::with_capacity(rows.len());
    let mut levels = Vec::with_capacity(if C::NULLABLE { rows.len() } else { 0 });
    for row in rows {
        let value = get(row.borrow()).encode();
        if C::NULLABLE {
            levels.push(i16::from(value.is_some()));
        }
        values.extend(value);
    }
    let mut column = group
        .next_column()?
        .ok_or_else(|| ParquetError::General("the schema has fewer columns than the row".to_owned()))?;
    column.typed::<C::Physical>().write_batch(&values, C::NULLABLE.then_some(levels.as_slice()), None)?;
    column.close()
}

/// A full disk and the like come wrapped by the library.
fn write_error(path: &Path, error: ParquetError) -> Error {
    let source = match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(source) => *source,
            Err(other) => std::io::Error::other(other),
        },
        other => std::io::Error::other(other),
    };
    Error::Io { action: "write", path: path.to_owned(), source }
}

// Reading.

/// The rows of one table, out of one file or several in turn.
///
/// An error ends the iteration.
pub(crate) struct TableReader<R> {
    paths: std::vec::IntoIter<PathBuf>,
    file: Option<TableFile<R>>,
    rows: std::vec::IntoIter<R>,
    strings: Strings,
}

impl<R: Row> TableReader<R> {
    /// Reads files in this order; each is opened when its turn comes.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths: paths.into_iter(),
            file: None,
            rows: Vec::new().into_iter(),
            strings: Strings::default(),
        }
    }

    /// The next row group, be it in this file or a later one.
    fn next_group(&mut self) -> Result<Option<Vec<R>>, Error> {
        loop {
            if let Some(file) = &mut self.file
                && let Some(rows) = file.next_group(&mut self.strings)?
            {
                return Ok(Some(rows));
            }
            match self.paths.next() {
                Some(path) => self.file = Some(TableFile::open(&path)?),
                None => return Ok(None),
            }
        }
    }
}

impl<R: Row> Iterator for TableReader<R> {
    type Item = Result<R, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.next_group() {
                Ok(Some(rows)) => {
                    self.rows = rows.into_iter();
                    self.strings.forget();
                }
                Ok(None) => return None,
                Err(error) => {
                    self.file = None;
                    self.paths = Vec::new().into_iter();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Some columns of the rows of one table, out of one file or several in turn, a row group in memory at a time. An error ends the use of them.
pub(crate) fn parts<P: Part + 'static>(paths: Vec<PathBuf>) -> impl Iterator<Item = Result<P, Error>> {
    type Groups<P> = Box<dyn Iterator<Item = Result<Vec<P>, Error>>>;
    let groups = paths.into_iter().flat_map(|path| -> Groups<P> {
        match TableFile::<P::Table>::open(&path) {
            Ok(file) => Box::new((0..file.n_groups()).map(move |group| file.part(group))),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    });
    groups.flat_map(|rows| {
        let (rows, error) = match rows {
            Ok(rows) => (rows, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        rows.into_iter().map(Ok).chain(error.map(Err))
    })
}

/// A file whose schema and version are those of the table.
pub(crate) struct TableFile<R> {
    path: PathBuf,
    file: SerializedFileReader<CheckedFile>,
    next_group: usize,
    row: PhantomData<R>,
}

impl<R: Row> TableFile<R> {
    /// Opens a file and checks what it says about itself.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = file::open(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::NoTable { path: path.to_owned() },
            _ => Error::io("open", path)(source),
        })?;
        let file =
            CheckedFile::open(file).and_then(SerializedFileReader::new).map_err(|e| Error::BadTable {
                path: path.to_owned(),
                problem: format!("the file is cut off, damaged or not Parquet ({})", reason(e)),
            })?;
        let version = check_origin(file.metadata(), R::TABLE, path)?;
        check_columns(file.metadata(), &R::columns(), version)
            .map_err(|problem| Error::BadTable { path: path.to_owned(), problem })?;
        Ok(Self { path: path.to_owned(), file, next_group: 0, row: PhantomData })
    }

    fn next_group(&mut self, strings: &mut Strings) -> Result<Option<Vec<R>>, Error> {
        if self.next_group == self.n_groups() {
            return Ok(None);
        }
        let index = self.next_group;
        self.next_group += 1;
        self.decode(index, None, strings, R::read_group).map(Some)
    }

    /// Number of row groups.
    pub(crate) fn n_groups(&self) -> usize {
        self.file.num_row_groups()
    }

    /// Number of rows of each row group.
    pub(crate) fn group_sizes(&self) -> Vec<usize> {
        let groups = self.file.metadata().row_groups();
        groups.iter().map(|group| usize::try_from(group.num_rows()).unwrap_or(0)).collect()
    }

    /// Some columns of a row group.
    pub(crate) fn part<P: Part<Table = R>>(&self, index: usize) -> Result<Vec<P>, Error> {
        self.decode(index, None, &mut Strings::default(), P::read_group)
    }

    /// All rows of a row group.
    pub(crate) fn all(&self, index: usize) -> Result<Vec<R>, Error> {
        self.decode(index, None, &mut Strings::default(), R::read_group)
    }

    /// Some rows of a row group: ranges of their numbers, in order.
    pub(crate) fn rows(&self, index: usize, ranges: Vec<Range<usize>>) -> Result<Vec<R>, Error> {
        self.decode(index, Some(ranges), &mut Strings::default(), R::read_group)
    }

    /// A column of a row group.
    pub(crate) fn column<C: Cell>(&self, index: usize, name: &str) -> Result<Vec<C>, Error> {
        self.decode(index, None, &mut Strings::default(), |group| group.column(name))
    }

    /// The different values of a column of text in a row group, in no order, or more than once.
    pub(crate) fn values(&self, index: usize, name: &str) -> Result<Vec<String>, Error> {
        self.decode(index, None, &mut Strings::default(), |group| match group.dictionary(name)? {
            Some(values) => Ok(values),
            None => group.column(name),
        })
    }

    /// Reads from a row group, all of it or ranges of its rows.
    fn decode<T>(
        &self,
        index: usize,
        rows: Option<Vec<Range<usize>>>,
        strings: &mut Strings,
        read: impl FnOnce(&mut GroupReader<'_>) -> Result<T, String>,
    ) -> Result<T, Error> {
        let read = || {
            let group = self.file.get_row_group(index).map_err(reason)?;
            let n_rows = usize::try_from(group.metadata().num_rows()).map_err(|e| e.to_string())?;
            let rows = rows.unwrap_or_else(|| std::iter::once(0..n_rows).collect());
            read(&mut GroupReader { group: &*group, rows, strings })
        };
        // On some damaged files the Parquet library panics: offsets below zero, a dictionary that is used and not there.
        let result = catch_unwind(AssertUnwindSafe(read))
            .unwrap_or_else(|_| Err("its pages do not fit together".to_owned()));
        result.map_err(|problem| Error::BadTable {
            path: self.path.clone(),
            problem: format!("the file is damaged in row group {index}: {problem}"),
        })
    }
}

/// A row group under decoding.
pub(crate) struct GroupReader<'a> {
    group: &'a dyn RowGroupReader,
    /// The rows that are read: ranges of their numbers, in order.
    rows: Vec<Range<usize>>,
    strings: &'a mut Strings,
}

impl GroupReader<'_> {
    /// The values of a column. The schema has been checked, so the column has the type, and is there unless a later version added it.
    fn column<C: Cell>(&mut self, name: &str) -> Result<Vec<C>, String> {
        let problem = |what: String| format!("column {name} holds {what}");
        let n_rows = self.rows.iter().map(Range::len).sum();
        let Some(index) = self.position(name) else {
            return (0..n_rows).map(|_| C::decode(None, self.strings).map_err(problem)).collect();
        };
        let reader = self.group.get_column_reader(index).map_err(|e| problem(reason(e)))?;
        let mut reader = get_typed_column_reader::<C::Physical>(reader);
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let (mut at, mut n_read) = (0, 0);
        for range in &self.rows {
            let skipped = reader.skip_records(range.start - at).map_err(|e| problem(reason(e)))?;
            let (read, ..) = reader
                .read_records(range.len(), Some(&mut levels), None, &mut values)
                .map_err(|e| problem(reason(e)))?;
            at += skipped + read;
            n_read += read;
            if at != range.end {
                return Err(problem(format!("{at} values for {} rows", range.end)));
            }
        }
        let mut values = values.iter();
        (0..n_read)
            .map(|row| {
                let null = C::NULLABLE && levels.get(row) == Some(&0);
                C::decode(if null { None } else { values.next() }, self.strings).map_err(problem)
            })
            .collect()
    }

    /// The dictionary of a column of text, which has each of its values; `None` where some values are not in one.
    fn dictionary(&self, name: &str) -> Result<Option<Vec<String>>, String> {
        let problem = |what: String| format!("column {name} holds {what}");
        let Some(index) = self.position(name) else { return Ok(None) };
        let encodings = self.group.metadata().column(index).page_encoding_stats_mask();
        if !encodings.is_some_and(|mask| mask.is_only(Encoding::RLE_DICTIONARY)) {
            return Ok(None);
        }
        let mut pages = self.group.get_column_page_reader(index).map_err(|e| problem(reason(e)))?;
        let page = pages.get_next_page().map_err(|e| problem(reason(e)))?;
        let Some(Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN, .. }) = page else {
            return Ok(None);
        };
        plain_texts(&buf, num_values)
            .map(Some)
            .ok_or_else(|| problem("a dictionary that is no text".to_owned()))
    }

    /// Number of a column in the file.
    fn position(&self, name: &str) -> Option<usize> {
        self.group.metadata().columns().iter().position(|c| c.column_descr().name() == name)
    }
}

/// Texts as Parquet writes them plainly: each after its length in bytes.
fn plain_texts(mut bytes: &[u8], n: u32) -> Option<Vec<String>> {
    let mut text = || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        bytes = rest;
        Some(std::str::from_utf8(text).ok()?.to_owned())
    };
    (0..n).map(|_| text()).collect()
}

/// Checks that the file is this table and of a format that is known; returns the version.
fn check_origin(metadata: &ParquetMetaData, table: &str, path: &Path) -> Result<Version, Error> {
    let get = |key: &str| {
        let entries = metadata.file_metadata().key_value_metadata()?;
        entries.iter().find(|entry| entry.key == key)?.value.as_deref()
    };
    let bad = |problem: String| Error::BadTable { path: path.to_owned(), problem };
    let stated = get(VERSION_KEY).ok_or_else(|| {
        bad(format!("not a table of entrace, or rewritten since ({VERSION_KEY} is missing)"))
    })?;
    let version = Version::parse(stated).ok_or_else(|| bad(format!("{VERSION_KEY} is {stated:?}")))?;
    if !version.can_be_read() {
        return Err(Error::UnknownFormat {
            path: path.to_owned(),
            found: stated.to_owned(),
            known: FORMAT_VERSION,
        });
    }
    match get(TABLE_KEY) {
        Some(name) if name == table => {}
        other => {
            let found = other.unwrap_or("unnamed");
            return Err(bad(format!("the file holds the table {found}, not {table}")));
        }
    }
    match get(UNIT_KEY) {
        Some(UNIT) => Ok(version),
        other => Err(bad(format!("{UNIT_KEY} is {other:?}, not {UNIT}"))),
    }
}

/// Checks that every column is there with its type, and no other.
fn check_columns(metadata: &ParquetMetaData, columns: &[Column], version: Version) -> Result<(), String> {
    let schema = metadata.file_metadata().schema_descr();
    let found: Vec<&Type> = schema.columns().iter().map(|c| c.self_type()).collect();
    for column in columns {
        let expected = column.schema().map_err(reason)?;
        let name = column.name;
        let Some(actual) = found.iter().find(|t| t.name() == name) else {
            if !version.has_minor(column.since) {
                continue;
            }
            return Err(format!("column {name} is missing"));
        };
        if describe(actual) != describe(&expected) {
            return Err(format!("column {name} is {}, not {}", describe(actual), describe(&expected)));
        }
    }
    if version.is_newer() {
        return Ok(());
    }
    match found.iter().find(|t| columns.iter().all(|c| c.name != t.name())) {
        Some(extra) => Err(format!("column {} does not belong to the table", extra.name())),
        None => Ok(()),
    }
}

/// The type of a column in words that tell types apart, as in `optional INT32 (Integer(32, unsigned))`.
fn describe(column: &Type) -> String {
    let info = column.get_basic_info();
    let repetition = info.repetition().to_string().to_lowercase();
    let logical = match info.logical_type_ref() {
        Some(LogicalType::String) => " (text)".to_owned(),
        Some(LogicalType::Integer(int)) => {
            format!(" ({} bits, {})", int.bit_width, if int.is_signed { "signed" } else { "unsigned" })
        }
        Some(other) => format!(" ({other:?})"),
        None => String::new(),
    };
    if column.is_primitive() {
        format!("{repetition} {}{logical}", column.get_physical_type())
    } else {
        format!("{repetition} group{logical}")
    }
}

/// The library's message without its own preface.
fn reason(error: ParquetError) -> String {
    match error {
        ParquetError::General(message) | ParquetError::EOF(message) | ParquetError::NYI(message) => message,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
