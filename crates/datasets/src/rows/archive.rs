//! Inspect's logs: `.eval`, a zip archive with a JSON file for each sample, and the same log as one JSON object.
//!
//! The entries are packed with zstd, in older logs with deflate. A log states its version, and one that is not known is refused: what its
//! fields mean could be guessed only. What an archive claims of sizes is not believed; unpacked it is read up to a bound.

use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use super::{Numbered, json, object};
use crate::error::Error;
use crate::value::Row;

/// The version of inspect's logs that is read.
const VERSION: u64 = 2;
/// Most bytes that all entries together may unpack to.
const MAX_UNPACKED: u64 = 4 << 30;
/// Where an archive states its version: a finished log, then one that is still being written.
const HEADERS: [&str; 2] = ["header.json", "_journal/start.json"];

/// The samples of an archive as rows, in the order of the archive.
pub(super) fn rows(path: &Path, bytes: &[u8], max_cell_bytes: usize) -> Result<Vec<Numbered>, Error> {
    let refused =
        |reason: String| Error::Table { path: path.to_path_buf(), form: "a log of inspect", reason };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| refused(error.to_string()))?;
    let mut left = MAX_UNPACKED;
    let names: Result<Vec<String>, _> = archive.file_names().map(|name| name.map(Cow::into_owned)).collect();
    let names = names.map_err(|error| refused(error.to_string()))?;
    let header = HEADERS.into_iter().find(|header| names.iter().any(|name| name == header));
    let header = header.ok_or_else(|| refused(format!("there is no {} in the archive", HEADERS[0])))?;
    let header = entry(&mut archive, header, &mut left).map_err(refused)?;
    let header = json::parse(&header, max_cell_bytes).map_err(|error| refused(error.to_string()))?;
    let header = object(header).map_err(refused)?;
    check_version(&header).map_err(refused)?;
    let samples = names.iter().filter(|name| name.starts_with("samples/") && name.ends_with(".json"));
    let mut rows = Vec::new();
    for (number, name) in (1..).zip(samples) {
        let content = entry(&mut archive, name, &mut left).map_err(refused)?;
        let row =
            json::parse(&content, max_cell_bytes).map_err(|error| format!("{name} is not JSON: {error}"));
        rows.push((number, row.and_then(object)));
    }
    Ok(rows)
}

/// An error unless the log is of the known version.
pub(super) fn check_version(log: &Row) -> Result<(), String> {
    match log.get("version").and_then(|version| version.as_index()) {
        Some(VERSION) => Ok(()),
        Some(other) => Err(format!(
            "a log of version {other}, expected {VERSION}; convert it with `inspect log convert`"
        )),
        None => Err(format!("it states no version of its log, expected {VERSION}")),
    }
}

/// Whether a JSON object is a whole log.
pub(super) fn is_log(object: &Row) -> bool {
    ["eval", "samples", "version"].iter().all(|name| object.get(name).is_some())
}

/// The content of an entry, which `left` bytes may still hold.
fn entry(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, left: &mut u64) -> Result<Vec<u8>, String> {
    let place = archive.index_for_name(name).ok_or_else(|| format!("there is no {name}"))?;
    let file = archive.by_index_raw(place).map_err(|error| format!("{name}: {error}"))?;
    let (method, mut content) = (file.compression(), Vec::new());
    let most = *left + 1;
    let read = match method {
        CompressionMethod::Stored => file.take(most).read_to_end(&mut content),
        CompressionMethod::DEFLATE => {
            flate2::read::DeflateDecoder::new(file).take(most).read_to_end(&mut content)
        }
        CompressionMethod::ZSTD => {
            zstd::Decoder::new(file).and_then(|file| file.take(most).read_to_end(&mut content))
        }
        other => return Err(format!("{name} is packed with {other:?}, expected zstd or deflate")),
    };
    let n = read.map_err(|error| format!("{name} cannot be unpacked: {error}"))? as u64;
    *left =
        left.checked_sub(n).ok_or_else(|| format!("it unpacks to more than {} GiB", MAX_UNPACKED >> 30))?;
    Ok(content)
}
