//! Files as rows of named values.
//!
//! JSON Lines (`.jsonl`), one JSON array (`.json`) and Parquet (`.parquet`) all become JSON objects with a line number, so that
//! a benchmark is read the same way from its publisher's file and from the Hub's. A line that is no JSON object keeps its place
//! with a reason. Parquet structs become objects and lists arrays; dates, decimals and binary values become null.

use std::fs;
use std::path::{Path, PathBuf};

use entrace_measure::Choices;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row as ParquetRow};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::loaded::BadLine;

/// The named values of one line.
pub(crate) type Row = Map<String, Value>;

/// One line of a file.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) path: PathBuf,
    /// Counted from 1.
    pub(crate) number: usize,
    /// The row, or why it is none.
    pub(crate) row: Result<Row, String>,
}

impl Line {
    /// The line as a bad one.
    pub(crate) fn bad(&self, reason: impl Into<String>) -> BadLine {
        BadLine { path: self.path.clone(), line_number: self.number, reason: reason.into() }
    }
}

/// The lines of one or more files, with a hash of their bytes.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) lines: Vec<Line>,
    /// Paths, separated by commas.
    pub(crate) source: String,
    /// SHA-256 of all bytes in order, hexadecimal.
    pub(crate) hash: String,
}

/// Reads whole files; the ending of the name decides how.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Lines, Error> {
    let mut hasher = Sha256::new();
    let mut lines = Vec::new();
    for path in paths {
        let bytes = fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
        hasher.update(&bytes);
        lines.extend(rows(path, bytes)?.into_iter().map(|(number, row)| Line {
            path: path.clone(),
            number,
            row,
        }));
    }
    let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Ok(Lines { lines, source: names.join(","), hash })
}

type Numbered = (usize, Result<Row, String>);

fn rows(path: &Path, bytes: Vec<u8>) -> Result<Vec<Numbered>, Error> {
    if path.extension().is_some_and(|ending| ending == "parquet") {
        return parquet_rows(bytes).map_err(|source| Error::Parquet { path: path.to_path_buf(), source });
    }
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    if text.trim_ascii_start().starts_with(b"[") {
        let items: Vec<Value> = serde_json::from_slice(text)
            .map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
        return Ok(items.into_iter().map(object).enumerate().map(|(i, row)| (i + 1, row)).collect());
    }
    let lines = text.split(|&byte| byte == b'\n').enumerate();
    Ok(lines
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(i, line)| (i + 1, json_line(line)))
        .collect())
}

fn json_line(line: &[u8]) -> Result<Row, String> {
    serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}")).and_then(object)
}

fn object(value: Value) -> Result<Row, String> {
    match value {
        Value::Object(row) => Ok(row),
        other => Err(format!("expected an object, found {}", kind(&other))),
    }
}

fn parquet_rows(bytes: Vec<u8>) -> Result<Vec<Numbered>, parquet::errors::ParquetError> {
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes))?;
    let rows = reader.get_row_iter(None)?.enumerate();
    rows.map(|(i, row)| Ok((i + 1, Ok(parquet_row(&row?))))).collect()
}

fn parquet_row(row: &ParquetRow) -> Row {
    row.get_column_iter().map(|(name, field)| (name.clone(), parquet_value(field))).collect()
}

fn parquet_value(field: &Field) -> Value {
    match field {
        Field::Bool(value) => Value::from(*value),
        Field::Byte(value) => Value::from(*value),
        Field::Short(value) => Value::from(*value),
        Field::Int(value) => Value::from(*value),
        Field::Long(value) => Value::from(*value),
        Field::UByte(value) => Value::from(*value),
        Field::UShort(value) => Value::from(*value),
        Field::UInt(value) => Value::from(*value),
        Field::ULong(value) => Value::from(*value),
        Field::Float(value) => Value::from(*value),
        Field::Double(value) => Value::from(*value),
        Field::Str(value) => Value::from(value.as_str()),
        Field::Group(row) => Value::Object(parquet_row(row)),
        Field::ListInternal(list) => list.elements().iter().map(parquet_value).collect(),
        _ => Value::Null,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The text in a column.
pub(crate) fn text<'a>(row: &'a Row, column: &str) -> Result<&'a str, String> {
    match row.get(column) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("column {column:?} holds {}, expected text", kind(other))),
        None => Err(format!("column {column:?} is missing")),
    }
}

/// A text or a number, as text. Numbers beyond 64 bits have been rounded by the JSON reader; files that need them write text.
pub(crate) fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("expected text or a number, found {}", kind(other))),
    }
}

/// The text or number in a column, as text.
pub(crate) fn scalar_in(row: &Row, column: &str) -> Result<String, String> {
    let value = row.get(column).ok_or_else(|| format!("column {column:?} is missing"))?;
    scalar(value).map_err(|reason| format!("column {column:?}: {reason}"))
}

/// Choices in any of the shapes in use: a list of texts, a list of `{label, text}`, or parallel lists `{label(s), text(s)}`.
/// A list of texts is labelled A, B, C.
pub(crate) fn choices(value: &Value) -> Result<Choices, String> {
    let (labels, texts) = match value {
        Value::Array(items) if items.iter().all(Value::is_object) => {
            let column = |name: &str| {
                items.iter().filter_map(Value::as_object).map(|item| scalar_in(item, name)).collect()
            };
            (column("label"), column("text"))
        }
        Value::Array(items) => {
            let labels = ('A'..='Z').map(String::from).take(items.len()).collect();
            (Ok(labels), items.iter().map(scalar).collect())
        }
        Value::Object(columns) => {
            (parallel(columns, ["label", "labels"]), parallel(columns, ["text", "texts"]))
        }
        other => return Err(format!("expected choices, found {}", kind(other))),
    };
    Choices::new(labels?, texts?).map_err(|error| error.to_string())
}

/// Whether choices are a list of texts, so that their labels are ours.
pub(crate) fn without_labels(choices: &Value) -> bool {
    choices.as_array().is_some_and(|items| !items.iter().all(Value::is_object))
}

fn parallel(columns: &Row, names: [&str; 2]) -> Result<Vec<String>, String> {
    let found = names.iter().find_map(|name| columns.get(*name));
    let list =
        found.and_then(Value::as_array).ok_or_else(|| format!("choices lack a list {:?}", names[0]))?;
    list.iter().map(scalar).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_keep_their_numbers_and_their_faults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        fs::write(&path, "\u{feff}{\"a\": 1}\n\n{broken\n[1]\r\n{\"a\": 2}").unwrap();
        let read = load(&[path]).unwrap();
        let numbers: Vec<(usize, bool)> =
            read.lines.iter().map(|line| (line.number, line.row.is_ok())).collect();
        assert_eq!(numbers, [(1, true), (3, false), (4, false), (5, true)]);
        assert_eq!(read.lines[2].row.as_ref().unwrap_err(), "expected an object, found a list");
        assert_eq!(read.hash.len(), 64);
    }

    #[test]
    fn hostile_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        assert!(matches!(load(&[write("a.parquet", b"PAR1 no parquet PAR1")]), Err(Error::Parquet { .. })));
        assert!(matches!(load(&[write("a.json", b"[{\"a\": 1},")]), Err(Error::Json { .. })));
        assert!(matches!(load(&[folder.path().join("none.jsonl")]), Err(Error::Read { .. })));
        let binary = load(&[write("b.jsonl", &[0xff, 0xfe, b'\n', 0])]).unwrap();
        assert!(binary.lines.iter().all(|line| line.row.is_err()));
    }

    #[test]
    fn choices_have_four_shapes() {
        let expected = Choices::new(vec!["A".into(), "B".into()], vec!["x".into(), "2".into()]).unwrap();
        for value in [
            json!(["x", 2]),
            json!([{"text": "x", "label": "A"}, {"text": "2", "label": "B"}]),
            json!({"text": ["x", "2"], "label": ["A", "B"]}),
            json!({"texts": ["x", "2"], "labels": ["A", "B"]}),
        ] {
            assert_eq!(choices(&value), Ok(expected.clone()), "{value}");
        }
        for value in [json!("x"), json!(["x"]), json!({"text": ["x", "y"]}), json!([["x"], "y"]), json!(null)]
        {
            assert!(choices(&value).is_err(), "{value}");
        }
    }
}
