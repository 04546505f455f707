//! Pieces of bytes that wait on the disk for their turn.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::file;

/// A file of pieces, which is removed when it is let go.
#[derive(Debug)]
pub struct Spool {
    file: File,
    path: PathBuf,
    n_bytes: u64,
}

impl Spool {
    /// Makes one in a folder, under a temporary name.
    pub fn create(folder: &Path) -> Result<Self, Error> {
        let path = file::temporary(&folder.join("spool"));
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        Ok(Self { file: file.map_err(Error::io("create", &path))?, path, n_bytes: 0 })
    }

    /// Adds a piece; returns where it is, and how long.
    pub fn push(&mut self, piece: &[u8]) -> Result<(u64, usize), Error> {
        let at = self.n_bytes;
        let written = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.write_all(piece));
        written.map_err(Error::io("write", &self.path))?;
        self.n_bytes += piece.len() as u64;
        Ok((at, piece.len()))
    }

    /// Reads a piece again.
    pub fn read(&mut self, at: u64, n_bytes: usize) -> Result<Vec<u8>, Error> {
        let mut piece = vec![0; n_bytes];
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(&mut piece));
        read.map(|()| piece).map_err(Error::io("read", &self.path))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // Whoever opens the folder next removes it, where that fails.
        let _ = std::fs::remove_file(&self.path);
    }
}
