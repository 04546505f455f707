//! Files as rows of named values.
//!
//! JSON Lines, a JSON array, an object around one list of rows (`{"data": [..]}`), Parquet, CSV, TSV and logs of inspect all become rows with a
//! line number, so that a benchmark is read the same way from its publisher's file and from the Hub's. Each may be packed with
//! gzip or zstd, each text may be UTF-16 with a byte order mark. A line that is no row keeps its place with a reason.

mod archive;
mod bytes;
mod delimited;
pub(crate) mod json;
mod parquet;

use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest, Sha256};

use crate::columns::is_usual_name;
use crate::error::Error;
use crate::loaded::BadLine;
use crate::value::{Row, Value};

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

/// Most bytes of one text, where the user says nothing else.
pub(crate) const MAX_CELL_BYTES: usize = 128 << 20;

type Numbered = (usize, Result<Row, String>);

/// Endings of the names of files that hold rows, and of packed ones.
const FORMS: [&str; 7] = ["jsonl", "ndjson", "json", "parquet", "csv", "tsv", "eval"];
const PACKINGS: [&str; 3] = ["gz", "zst", "zstd"];

/// Whether a name is that of a file of rows, such as `mine.jsonl` or `mine.csv.gz`.
pub fn is_file_name(name: &str) -> bool {
    form(Path::new(name)).is_some()
}

/// The name of a file without folder and endings: `mine` of `data/mine.jsonl.gz`.
pub fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let unpacked = without_ending(&name, &PACKINGS).unwrap_or(&name);
    let stem = without_ending(unpacked, &FORMS).map_or_else(
        || path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
        |stem| Some(stem.to_string()),
    );
    stem.filter(|stem| !stem.is_empty())
}

/// The form of a file's content, by the ending of its name.
fn form(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    let name = without_ending(name, &PACKINGS).unwrap_or(name);
    FORMS.into_iter().find(|form| without_ending(name, &[form]).is_some())
}

fn without_ending<'a>(name: &'a str, endings: &[&str]) -> Option<&'a str> {
    let (stem, ending) = name.rsplit_once('.')?;
    endings.iter().any(|known| ending.eq_ignore_ascii_case(known)).then_some(stem)
}

/// Reads whole files; the ending of the name decides how. Names without a known ending are those of JSON.
/// Texts of more than `max_cell_bytes` are unreadable.
pub(crate) fn load(paths: &[PathBuf], max_cell_bytes: usize) -> Result<Lines, Error> {
    let mut hasher = Sha256::new();
    let mut lines = Vec::new();
    for path in paths {
        let bytes = read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
        hasher.update(&bytes);
        lines.extend(rows(path, bytes, max_cell_bytes)?.into_iter().map(|(number, row)| Line {
            path: path.clone(),
            number,
            row,
        }));
    }
    let hash = base16ct::lower::encode_string(&hasher.finalize());
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Ok(Lines { lines, source: names.join(","), hash })
}

/// The bytes of an ordinary file, or of a stream that the shell hands over (`<(..)`, `/dev/stdin`). A pipe that lies in a folder would be
/// waited for without end, and a device never ends.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let is_stream = ["/dev/fd", "/dev/stdin", "/proc/self/fd"].iter().any(|place| path.starts_with(place));
    if !is_stream && !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not an ordinary file"));
    }
    fs::read(path)
}

fn rows(path: &Path, bytes: Vec<u8>, max_cell_bytes: usize) -> Result<Vec<Numbered>, Error> {
    let content = bytes::unpacked(path, bytes)?;
    if form(path) == Some("parquet") {
        return parquet::rows(content, max_cell_bytes)
            .map_err(|source| Error::Parquet { path: path.to_path_buf(), source });
    }
    if form(path) == Some("eval") {
        return archive::rows(path, &content, max_cell_bytes);
    }
    let text = bytes::utf8(path, content)?;
    match form(path) {
        Some("csv") => delimited::rows(path, &text, b',', max_cell_bytes),
        Some("tsv") => delimited::rows(path, &text, b'\t', max_cell_bytes),
        _ => json_rows(path, &text, max_cell_bytes),
    }
}

/// A text, or why it is not kept.
fn text_value(text: String, max_cell_bytes: usize) -> Value {
    match text.len() > max_cell_bytes {
        true => Value::unreadable(format!(
            "a text of {} bytes, more than the {max_cell_bytes} that a cell may have",
            text.len()
        )),
        false => Value::Text(text),
    }
}

/// The rows of a text that is one JSON value, or JSON Lines.
fn json_rows(path: &Path, text: &[u8], max_cell_bytes: usize) -> Result<Vec<Numbered>, Error> {
    let not_json = |reason: String| Error::Table { path: path.to_path_buf(), form: "JSON", reason };
    let whole = json::parse_first(text, max_cell_bytes)
        .ok()
        .filter(|(_, rest)| rest.is_empty())
        .map(|(value, _)| value);
    let is_list = text.trim_ascii_start().starts_with(b"[");
    let items = match whole {
        Some(Value::Object(object)) => wrapped(object).map_err(not_json)?,
        Some(Value::List(items)) => items,
        None if is_list => {
            let error =
                json::parse(text, max_cell_bytes).map_or_else(|error| error.to_string(), |_| String::new());
            return Err(not_json(error));
        }
        Some(_) | None => return Ok(json_lines(text, max_cell_bytes)),
    };
    Ok(items.into_iter().map(object).enumerate().map(|(i, row)| (i + 1, row)).collect())
}

fn json_lines(text: &[u8], max_cell_bytes: usize) -> Vec<Numbered> {
    let lines = text.split(|&byte| byte == b'\n').enumerate();
    let row = |line| {
        json::parse(line, max_cell_bytes).map_err(|error| format!("not JSON: {error}")).and_then(object)
    };
    lines.filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(i, line)| (i + 1, row(line))).collect()
}

/// The rows in an object that is a whole file: those of its only list of objects, or itself where it is a row.
fn wrapped(object: Row) -> Result<Vec<Value>, String> {
    let is_rows = |value: &Value| {
        value
            .as_list()
            .is_some_and(|items| !items.is_empty() && items.iter().all(|item| item.as_object().is_some()))
    };
    if archive::is_log(&object) {
        archive::check_version(&object)?;
        let samples = object.into_values().find(|(name, _)| name == "samples");
        return Ok(match samples {
            Some((_, Value::List(samples))) => samples,
            _ => Vec::new(),
        });
    }
    if object.names().any(is_usual_name) || !object.iter().any(|(_, value)| is_rows(value)) {
        return Ok(vec![Value::Object(object)]);
    }
    let lists: Vec<&str> = object.iter().filter(|(_, value)| is_rows(value)).map(|(name, _)| name).collect();
    if lists.len() > 1 {
        return Err(format!(
            "an object with several lists of rows, {}; keep one of them",
            lists.join(" and ")
        ));
    }
    match object.into_values().map(|(_, value)| value).find(is_rows) {
        Some(Value::List(items)) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

fn object(value: Value) -> Result<Row, String> {
    match value {
        Value::Object(row) => Ok(row),
        other => Err(format!("expected an object, found {}", other.kind())),
    }
}
