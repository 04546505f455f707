//! CSV and TSV with a header line, quoted as RFC 4180 has it.
//!
//! An empty cell is null. A cell that is a number in JSON's grammar is a number, all others are text: `007` stays text. Lists
//! and objects are written as JSON where a column needs them (`columns`).

use std::collections::HashSet;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use super::{Numbered, json, text_value};
use crate::error::Error;
use crate::value::{Row, Value};

pub(super) fn rows(
    path: &Path,
    text: &[u8],
    delimiter: u8,
    max_cell_bytes: usize,
) -> Result<Vec<Numbered>, Error> {
    let damaged = |reason: String| Error::Table { path: path.to_path_buf(), form: "CSV", reason };
    let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text);
    let header = reader.byte_headers().map_err(|error| damaged(error.to_string()))?;
    let names = header_names(header).map_err(&damaged)?;
    let mut rows = Vec::new();
    for record in reader.byte_records() {
        let record = record.map_err(|error| damaged(error.to_string()))?;
        let line =
            record.position().map_or(0, |position| usize::try_from(position.line()).unwrap_or(usize::MAX));
        rows.push((line, row(&names, &record, max_cell_bytes)));
    }
    let quotes = text.iter().filter(|&&byte| byte == b'"').count();
    if let Some((_, last)) = rows.last_mut()
        && quotes % 2 == 1
        && has_line_break(last)
    {
        *last = Err("a quote that opens here is not closed before the end of the file".into());
    }
    Ok(rows)
}

fn header_names(header: &ByteRecord) -> Result<Vec<String>, String> {
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    for name in header {
        let name = str::from_utf8(name).map_err(|_| "the header is not UTF-8 text")?.trim();
        if !name.is_empty() && !seen.insert(name) {
            return Err(format!("two columns are named {name:?}"));
        }
        names.push(name.to_string());
    }
    Ok(names)
}

fn row(names: &[String], record: &ByteRecord, max_cell_bytes: usize) -> Result<Row, String> {
    if record.len() != names.len() {
        return Err(format!("{} cells in a table of {} columns", record.len(), names.len()));
    }
    Ok(names.iter().cloned().zip(record.iter().map(|bytes| cell(bytes, max_cell_bytes))).collect())
}

fn cell(bytes: &[u8], max_cell_bytes: usize) -> Value {
    match str::from_utf8(bytes) {
        Ok("") => Value::Null,
        Ok(text) if json::is_number(text) => Value::Number(text.to_string()),
        Ok(text) => text_value(text.to_string(), max_cell_bytes),
        Err(_) => Value::unreadable("text that is not UTF-8"),
    }
}

fn has_line_break(row: &Result<Row, String>) -> bool {
    match row {
        Ok(row) => row.iter().any(|(_, value)| value.as_text().is_some_and(|text| text.contains('\n'))),
        Err(_) => true,
    }
}
