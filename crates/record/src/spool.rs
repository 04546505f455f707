//! Pieces of bytes that wait on the disk for their turn.

use std::collections::BTreeMap;
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

/// Pieces that come in any order and are written in that of their numbers. One that comes before its turn waits on the disk.
#[derive(Debug)]
pub struct InOrder {
    folder: PathBuf,
    /// The piece whose turn it is.
    next: usize,
    /// Where pieces that wait are.
    waiting: BTreeMap<usize, (u64, usize)>,
    /// Made when the first of them comes.
    spool: Option<Spool>,
}

impl InOrder {
    /// Begins with piece 0; what waits does so in this folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), next: 0, waiting: BTreeMap::new(), spool: None }
    }

    /// Number of pieces that were written.
    pub fn n_written(&self) -> usize {
        self.next
    }

    /// Takes a piece, and writes those whose turn it is.
    pub fn push(
        &mut self,
        number: usize,
        piece: &[u8],
        mut write: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if number != self.next {
            let spool = match &mut self.spool {
                Some(spool) => spool,
                none => none.insert(Spool::create(&self.folder)?),
            };
            self.waiting.insert(number, spool.push(piece)?);
            return Ok(());
        }
        write(piece)?;
        self.next += 1;
        while let Some((at, n_bytes)) = self.waiting.remove(&self.next) {
            let Some(spool) = &mut self.spool else { break };
            write(&spool.read(at, n_bytes)?)?;
            self.next += 1;
        }
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // Whoever opens the folder next removes it, where that fails.
        let _ = std::fs::remove_file(&self.path);
    }
}
