//! SHA-256 in lower-case hexadecimal.

use std::path::Path;

use crate::error::Error;

/// Hash of bytes.
pub fn sha256(bytes: &[u8]) -> String {
    unimplemented!("{bytes:?}")
}

/// Hash of a file, read in pieces.
pub fn sha256_file(path: &Path) -> Result<String, Error> {
    unimplemented!("{path:?}")
}
