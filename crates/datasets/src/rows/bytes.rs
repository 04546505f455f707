//! Files as bytes of UTF-8: unpacked where they are packed, recoded where they are UTF-16.
//!
//! gzip and zstd are told by their first bytes, UTF-16 and UTF-8 by a byte order mark, as PowerShell and spreadsheets write it.

use std::io::{self, Read};
use std::path::Path;

use crate::error::Error;

/// Most bytes that a packed file may hold: one of a few kilobytes can claim any number.
const MAX_UNPACKED: u64 = 4 << 30;

/// The content of a packed file, or the bytes as they are.
pub(super) fn unpacked(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    let read = match bytes.as_slice() {
        [0x1f, 0x8b, ..] => read_all("gzip", flate2::read::MultiGzDecoder::new(&bytes[..])),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::Decoder::new(&bytes[..])
            .map_err(|error| ("zstd", error))
            .and_then(|file| read_all("zstd", file)),
        _ => return Ok(bytes),
    };
    read.map_err(|(packing, source)| Error::Unpack { path: path.to_path_buf(), packing, source })
}

fn read_all(packing: &'static str, file: impl Read) -> Result<Vec<u8>, (&'static str, io::Error)> {
    let mut content = Vec::new();
    let n = file.take(MAX_UNPACKED + 1).read_to_end(&mut content).map_err(|error| (packing, error))?;
    match n as u64 > MAX_UNPACKED {
        true => {
            Err((packing, io::Error::other(format!("it unpacks to more than {} GiB", MAX_UNPACKED >> 30))))
        }
        false => Ok(content),
    }
}

/// The text without its byte order mark, as UTF-8. Bytes without one stay as they are: what is wrong with them is said by line.
pub(super) fn utf8(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    let Some((encoding, mark)) = encoding_rs::Encoding::for_bom(&bytes) else { return Ok(bytes) };
    if encoding == encoding_rs::UTF_8 {
        return Ok(bytes[mark..].to_vec());
    }
    let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes[mark..]);
    let text = text.ok_or_else(|| Error::Encoding { path: path.to_path_buf(), encoding: encoding.name() })?;
    Ok(text.into_owned().into_bytes())
}
