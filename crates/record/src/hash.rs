//! SHA-256 in lower-case hexadecimal.

use std::io::{BufReader, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::file;

/// Hash of bytes.
pub fn sha256(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

/// Hash of a file, read in pieces.
pub fn sha256_file(path: &Path) -> Result<String, Error> {
    let mut file = BufReader::new(file::open(path).map_err(Error::io("open", path))?);
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).map_err(Error::io("read", path))? {
            0 => return Ok(base16ct::lower::encode_string(&hasher.finalize())),
            n => hasher.update(&piece[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From FIPS 180-4's example messages.
    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_published_value() {
        assert_eq!(sha256(b"abc"), OF_ABC);
    }

    #[test]
    fn a_file_has_the_hash_of_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(sha256_file(&path).unwrap(), OF_ABC);
        let message = sha256_file(&dir.path().join("none")).unwrap_err().to_string();
        assert!(message.contains("none"), "{message}");
    }
}
