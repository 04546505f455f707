//! The small files of a model folder, as text or bytes.
//!
//! A pipe would be waited for, and a device never ends: only ordinary files are read, and only as far as such files go.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _};
use std::path::Path;

/// Bytes of the largest file that is read whole; published tokenizers stay below 40 MB.
const MOST_BYTES: u64 = 1 << 29;

/// The bytes of an ordinary file.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not an ordinary file"));
    }
    if found.len() > MOST_BYTES {
        let problem = format!("it has {} bytes; up to {MOST_BYTES} are read", found.len());
        return Err(Error::new(ErrorKind::FileTooLarge, problem));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of an ordinary file.
pub fn read_text(path: &Path) -> Result<String, Error> {
    let in_words = |_| Error::new(ErrorKind::InvalidData, "stream did not contain valid UTF-8");
    String::from_utf8(read(path)?).map_err(in_words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ordinary_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(read_text(&path).unwrap(), "{}");
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(read(folder.path()).unwrap_err().to_string(), "it is not an ordinary file");
        assert_eq!(read(&folder.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_without_end_is_refused() {
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
