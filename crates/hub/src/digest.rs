//! What an ETag promises of a file.
//!
//! The Hub's ETag of a large file is the SHA-256 of its bytes, that of a small one the SHA-1 that git gives it as a blob. Both name the file
//! in the cache. Mirrors may have others, which name a file without promising anything.

use crate::error::Error;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Most letters of an ETag: names of files may have 255 bytes, and those in the making have an ending.
const MOST_LETTERS: usize = 200;

/// A checked ETag: letters, digits, `-`, `_` and `.`, not beginning with a dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Etag(String);

impl Etag {
    /// Reads a header: `"…"` or `W/"…"`. `None` where it cannot be the name of a file.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let text = header.trim();
        let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        let fits = !text.is_empty()
            && text.len() <= MOST_LETTERS
            && !text.starts_with('.')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        fits.then(|| Self(text.to_string()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the file has the promised content.
    pub(crate) fn verify(&self, path: &Path, size: u64) -> Result<(), Problem> {
        let is_hex = self.0.chars().all(|c| c.is_ascii_hexdigit());
        let found = match self.0.len() {
            64 if is_hex => hash(path, Sha256::new())?,
            40 if is_hex => hash(path, Sha1::new_with_prefix(format!("blob {size}\0")))?,
            _ => return Ok(()),
        };
        if found.eq_ignore_ascii_case(&self.0) {
            return Ok(());
        }
        Err(Problem::Differs(format!("its hash is {found}, expected {}", self.0)))
    }
}

/// Why a file was not found to be what was promised.
pub(crate) enum Problem {
    Differs(String),
    Unreadable(Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Unreadable(error)
    }
}

fn hash(path: &Path, mut digest: impl Digest) -> Result<String, Error> {
    let mut read = || -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                n => digest.update(&buffer[..n]),
            }
        }
    };
    read().map_err(Error::io("read", path))?;
    Ok(base16ct::lower::encode_string(&digest.finalize()))
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text can be a commit: letters and digits, 40 hexadecimal ones on the Hub itself.
pub(crate) fn is_commit(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_that_cannot_name_a_file_are_none() {
        assert_eq!(Etag::parse("\"abc\"").unwrap().as_str(), "abc");
        assert_eq!(Etag::parse("W/\"abc-12\"").unwrap().as_str(), "abc-12");
        for bad in [
            "",
            "\"\"",
            "\"../../x\"",
            "\"/etc/passwd\"",
            "\"..\"",
            "\"a\\b\"",
            "\"C:x\"",
            "\"a b\"",
            &"a".repeat(300),
        ] {
            assert_eq!(Etag::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn hashes_are_those_of_git_and_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "hello\n").unwrap();
        // `git hash-object` and `sha256sum` of the same file.
        let of_git = Etag::parse("ce013625030ba8dba906f756967f9e9ca394464a").unwrap();
        let of_file =
            Etag::parse("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03").unwrap();
        for etag in [of_git, of_file] {
            assert!(etag.verify(&path, 6).is_ok());
            std::fs::write(&path, "hullo\n").unwrap();
            assert!(matches!(etag.verify(&path, 6), Err(Problem::Differs(_))));
            std::fs::write(&path, "hello\n").unwrap();
        }
    }

    #[test]
    fn commits_are_no_paths() {
        assert!(is_commit("7ae557604adf67be50417f59c2c2f167def9a775"));
        for bad in ["", "..", "a/b", "main.x", &"a".repeat(65)] {
            assert!(!is_commit(bad), "{bad}");
        }
    }
}
