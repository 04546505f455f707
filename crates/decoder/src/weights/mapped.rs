//! A weight file, mapped into memory.

use super::cut::Watched;
use crate::error::Error;
use memmap2::Mmap;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

/// A file whose bytes can be read.
pub(super) struct Mapped {
    pub(super) path: PathBuf,
    // Before the map, so that it is not watched any more when the map goes.
    _watched: Watched,
    map: Mmap,
}

impl Mapped {
    /// Opens a file. What stands for one that was not downloaded is refused.
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        let io = |source| Error::Io { path: path.clone(), source };
        // Opening a pipe would wait for someone who writes to it.
        if !std::fs::metadata(&path).map_err(io)?.is_file() {
            let problem = "it is not an ordinary file".into();
            return Err(Error::NotAModel { path, problem });
        }
        let file = File::open(&path).map_err(io)?;
        // SAFETY: the file is only read. A file that is overwritten in place while it is in use gives other numbers, and one that is cut
        // ends the process with SIGBUS, see `cut.rs`; both are outside of what a program can rule out for a mapped file.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let mapped = Self { _watched: Watched::new(&path, &map), path, map };
        if mapped.map.starts_with(b"version https://git-lfs") {
            return Err(mapped.damaged("it is a Git LFS pointer, not the weights"));
        }
        Ok(mapped)
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The error that the file is damaged.
    pub(super) fn damaged(&self, problem: impl Into<String>) -> Error {
        Error::DamagedWeights { path: self.path.clone(), problem: problem.into() }
    }

    /// Tells the system that these bytes will not be read again, so that memory never holds file and weights at once.
    pub(super) fn let_go(&self, bytes: Range<usize>) {
        #[cfg(unix)]
        {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the map is of a file and only read: pages that are needed after all come from the file again. It is a hint: a
            // system that refuses it keeps the pages.
            let _ = unsafe { self.map.unchecked_advise_range(advice, bytes.start, bytes.len()) };
        }
        #[cfg(not(unix))]
        let _ = bytes;
    }

    /// Adds length, the first `header` bytes, and 256 blocks of 4 KiB spread evenly over the rest. Reading every byte of a large model
    /// would take longer than measuring with it; two checkpoints of one training run differ in every block.
    pub(super) fn fingerprint(&self, header: usize, hasher: &mut Sha256) {
        const BLOCK: usize = 4096;
        const N_BLOCKS: usize = 256;
        let (header, rest) = self.map.split_at(header.min(self.map.len()));
        hasher.update((self.map.len() as u64).to_le_bytes());
        hasher.update(header);
        let stride = (rest.len() / N_BLOCKS).max(BLOCK);
        for start in (0..rest.len()).step_by(stride) {
            hasher.update(&rest[start..(start + BLOCK).min(rest.len())]);
        }
    }
}
