//! The bytes of a table, checked as they are read.
//!
//! The footer of a table has two entries of key-value metadata for this:
//!
//! * `entrace.checksums`: the CRC-32 (gzip's) of each column of each row group, in the order of the file, eight hexadecimal digits each;
//! * `entrace.footer_checksum`: that of the first four bytes of the file and of all that follows its last row group, with zeros in the place of this
//!   checksum itself.
//!
//! Together they cover every byte. The Parquet library gets the bytes of a column from [`CheckedFile`], which reads all of them and compares
//! them with their checksum first: whoever reads one row notices a flipped bit in what it is read from, without reading the whole file.
//! A CRC-32 notices every change within 32 bits, and of others all but one in four billion. It is no protection against intent. Files
//! that were written before there were checksums have neither entry, and are read as they are.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::{Buf as _, Bytes};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, KeyValue, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::file::reader::{ChunkReader, Length};

const COLUMNS_KEY: &str = "entrace.checksums";
const FOOTER_KEY: &str = "entrace.footer_checksum";
/// Stands in the footer until its checksum is known.
const UNKNOWN: &str = "00000000";
/// Bytes at the beginning of every Parquet file.
const MAGIC_LEN: u64 = 4;
/// Between a key and its value in the footer: the type of the value, and its length.
const VALUE_OFFSET: usize = 2;

// Writing.

/// A table that is being written, with the checksums of its columns so far.
pub(crate) struct ChecksummingFile {
    file: File,
    /// What was written after the last row group, and where in the file that begins.
    recent: Vec<u8>,
    recent_start: u64,
    checksums: String,
}

impl ChecksummingFile {
    pub(crate) fn new(file: File) -> Self {
        Self { file, recent: Vec::new(), recent_start: 0, checksums: String::new() }
    }

    /// Takes the checksums of a row group, all of which has been written.
    pub(crate) fn add_group(&mut self, group: &RowGroupMetaData) -> Result<(), ParquetError> {
        for column in group.columns() {
            let range = range(column)?;
            let bytes = within(&range, self.recent_start).and_then(|range| self.recent.get(range));
            let bytes = bytes.ok_or_else(|| damaged("a column that was not written"))?;
            // Writing to a string cannot fail.
            let _ = write!(self.checksums, "{:08x}", crc32fast::hash(bytes));
        }
        self.recent_start += self.recent.len() as u64;
        self.recent.clear();
        Ok(())
    }

    /// What the footer says of checksums before its own is known.
    pub(crate) fn footer_entries(&self) -> [KeyValue; 2] {
        [(COLUMNS_KEY, self.checksums.as_str()), (FOOTER_KEY, UNKNOWN)]
            .map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned()))
    }

    /// Puts the checksum of the footer, which has been written, in its place, and makes sure that the file is on the disk.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let begun = if self.recent_start == 0 { MAGIC_LEN as usize } else { 0 };
        let (checksum, place) =
            self.recent.get(begun..).and_then(|footer| footer_checksum(MAGIC, footer)).ok_or_else(|| {
                io::Error::other("the footer that was written has no place for its checksum")
            })?;
        let place = self.recent_start + (begun + place) as u64;
        self.file.seek(SeekFrom::Start(place))?;
        self.file.write_all(format!("{checksum:08x}").as_bytes())?;
        self.file.sync_all()
    }
}

const MAGIC: &[u8] = b"PAR1";

impl Write for ChecksummingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.recent.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The checksum of what precedes the row groups and what follows them, and the place of the recorded one in the latter; `None` where that is
/// not recorded.
fn footer_checksum(magic: &[u8], footer: &[u8]) -> Option<(u32, usize)> {
    let key = footer.windows(FOOTER_KEY.len()).rposition(|window| window == FOOTER_KEY.as_bytes())?;
    let place = key + FOOTER_KEY.len() + VALUE_OFFSET;
    let after = footer.get(place + UNKNOWN.len()..)?;
    let mut hasher = crc32fast::Hasher::new();
    [magic, &footer[..place], UNKNOWN.as_bytes(), after].iter().for_each(|bytes| hasher.update(bytes));
    Some((hasher.finalize(), place))
}

// Reading.

/// A table that hands out bytes once they were found to be those that were written.
pub(crate) struct CheckedFile {
    file: File,
    /// In the order of the file; none where there are no checksums.
    columns: Vec<CheckedColumn>,
    /// The column that was read last, by its number. The library reads one page after the other.
    latest: Mutex<Option<(usize, Bytes)>>,
}

struct CheckedColumn {
    bytes: Range<u64>,
    checksum: u32,
}

impl CheckedFile {
    /// Opens a table and checks its footer.
    pub(crate) fn open(file: File) -> Result<Self, ParquetError> {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
        let columns = match (stated(&metadata, COLUMNS_KEY), stated(&metadata, FOOTER_KEY)) {
            (None, None) => Vec::new(),
            (Some(checksums), Some(footer)) => {
                let columns = columns(&metadata, checksums, file.len())?;
                check_footer(&file, &columns, footer)?;
                columns
            }
            _ => return Err(damaged("one of the two entries for checksums in its footer is missing")),
        };
        Ok(Self { file, columns, latest: Mutex::default() })
    }

    /// The column that holds a byte; `None` outside of columns, and where there are no checksums.
    fn column_at(&self, at: u64) -> Option<usize> {
        let number = self.columns.partition_point(|column| column.bytes.start <= at).checked_sub(1)?;
        self.columns[number].bytes.contains(&at).then_some(number)
    }

    /// All bytes of a column, which are those that were written.
    fn column(&self, number: usize) -> Result<Bytes, ParquetError> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = latest.as_ref().filter(|(known, _)| *known == number) {
            return Ok(bytes.clone());
        }
        let CheckedColumn { bytes: Range { start, end }, checksum } = &self.columns[number];
        let length = usize::try_from(end - start).map_err(|_| damaged("more bytes than fit in memory"))?;
        let bytes = self.file.get_bytes(*start, length)?;
        if crc32fast::hash(&bytes) != *checksum {
            return Err(damaged("bytes that are not those that were written: their checksum is another one"));
        }
        *latest = Some((number, bytes.clone()));
        Ok(bytes)
    }
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for CheckedFile {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let Some(number) = self.column_at(start) else { return Ok(Box::new(self.file.get_read(start)?)) };
        let mut bytes = self.column(number)?;
        bytes.advance((start - self.columns[number].bytes.start) as usize);
        Ok(Box::new(bytes.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let Some(number) = self.column_at(start) else { return self.file.get_bytes(start, length) };
        let bytes = self.column(number)?;
        let begin = (start - self.columns[number].bytes.start) as usize;
        let range = begin.checked_add(length).filter(|&end| end <= bytes.len()).map(|end| begin..end);
        range.map(|range| bytes.slice(range)).ok_or_else(|| damaged("a page that goes beyond its end"))
    }
}

fn stated<'m>(metadata: &'m ParquetMetaData, key: &str) -> Option<&'m str> {
    let entries = metadata.file_metadata().key_value_metadata()?;
    entries.iter().find(|entry| entry.key == key)?.value.as_deref()
}

/// The columns of all row groups with their checksums.
fn columns(
    metadata: &ParquetMetaData,
    checksums: &str,
    file_len: u64,
) -> Result<Vec<CheckedColumn>, ParquetError> {
    let all: Vec<&ColumnChunkMetaData> =
        metadata.row_groups().iter().flat_map(RowGroupMetaData::columns).collect();
    let checksum = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let checksums: Option<Vec<u32>> = checksums.as_bytes().chunks(UNKNOWN.len()).map(checksum).collect();
    let checksums = checksums.filter(|checksums| checksums.len() == all.len());
    let checksums = checksums.ok_or_else(|| damaged("its footer has no checksum for each column"))?;
    let mut end = MAGIC_LEN;
    let column = |(column, checksum): (&ColumnChunkMetaData, u32)| {
        let bytes = range(column)?;
        if bytes.start < end || bytes.end > file_len {
            return Err(damaged("its footer has columns where none can be"));
        }
        end = bytes.end;
        Ok(CheckedColumn { bytes, checksum })
    };
    all.into_iter().zip(checksums).map(column).collect()
}

fn check_footer(file: &File, columns: &[CheckedColumn], recorded: &str) -> Result<(), ParquetError> {
    let start = columns.last().map_or(MAGIC_LEN, |last| last.bytes.end);
    let length = usize::try_from(file.len().saturating_sub(start)).unwrap_or(usize::MAX);
    let (magic, footer) = (file.get_bytes(0, MAGIC_LEN as usize)?, file.get_bytes(start, length)?);
    match footer_checksum(&magic, &footer) {
        Some((checksum, _)) if format!("{checksum:08x}") == recorded => Ok(()),
        _ => Err(damaged("the checksum of its footer is another one")),
    }
}

/// Where the bytes of a column are.
fn range(column: &ColumnChunkMetaData) -> Result<Range<u64>, ParquetError> {
    let first = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let start = u64::try_from(first.min(column.data_page_offset()));
    let length = u64::try_from(column.compressed_size());
    let range = start.ok().zip(length.ok()).and_then(|(start, n)| Some(start..start.checked_add(n)?));
    range.ok_or_else(|| damaged("its footer has columns where none can be"))
}

/// A range of the file as one of what begins at `start`.
fn within(range: &Range<u64>, start: u64) -> Option<Range<usize>> {
    let place = |at: u64| usize::try_from(at.checked_sub(start)?).ok();
    Some(place(range.start)?..place(range.end)?)
}

fn damaged(problem: &str) -> ParquetError {
    ParquetError::General(problem.to_owned())
}
