//! What can go wrong on the way to a file.

use crate::refusal::Refusal;
use std::io;
use std::path::{Path, PathBuf};

/// Failures of getting files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a name of a repository.
    #[error(
        "{0:?} is neither a path that exists nor a repository on the Hub \
         (org/name[@revision]; for a GGUF file org/name:QUANTISATION or org/name/file.gguf)"
    )]
    NotAName(String),
    /// A path that is not there.
    #[error(
        "there is no file or folder {0:?}: it is neither a path that exists nor the name of a repository on the Hub \
         (a GGUF file there is org/name/file.gguf or org/name:QUANTISATION)"
    )]
    NoFile(String),
    /// An environment variable that cannot be used.
    #[error("{name}={value:?}: {problem}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What it is set to.
        value: String,
        /// What is wrong with that.
        problem: &'static str,
    },
    /// Offline, and the cache does not hold what is wanted.
    #[error(
        "{repo} (revision {revision}) is not in the cache at {}: {missing}; HF_HUB_OFFLINE is set: \
         unset it, or download the files where there is a network and copy the cache", cache.display()
    )]
    Offline {
        /// The repository.
        repo: String,
        /// Its revision.
        revision: String,
        /// The cache.
        cache: PathBuf,
        /// What it lacks.
        missing: String,
    },
    /// The Hub does not give the files away.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The network or the server failed again and again.
    #[error(
        "{url} could not be read: {problem}, after {attempts} attempt(s); give the same command again to resume, \
         or name files on disk"
    )]
    Unreachable {
        /// What was asked for.
        url: String,
        /// How it failed the last time.
        problem: String,
        /// How often it was tried without a byte of progress.
        attempts: u32,
    },
    /// Redirects without an end, or to where they should not lead.
    #[error("{url}: {problem}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// The server's answer is none of a Hub's.
    #[error("{url}: {problem}; is HF_ENDPOINT the address of a Hub?")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// What arrived is not the file.
    #[error("{file} of {repo} arrived damaged twice: {problem}; nothing of it was kept")]
    Damaged {
        /// The file.
        file: String,
        /// Its repository.
        repo: String,
        /// How it differs.
        problem: String,
    },
    /// The repository has none of the files.
    #[error("{repo} (revision {revision}) lacks what is needed: {needed}")]
    NothingFits {
        /// The repository.
        repo: String,
        /// Its revision.
        revision: String,
        /// What was looked for and, where it helps, what is there instead.
        needed: String,
    },
    /// The disk is too small.
    #[error(
        "{} more MB are needed for {repo}, and the disk of the cache {} has {} MB free: make room, or set HF_HUB_CACHE to another disk",
        needed.div_ceil(1_000_000), cache.display(), available / 1_000_000
    )]
    NoSpace {
        /// The repository.
        repo: String,
        /// Bytes to be downloaded.
        needed: u64,
        /// Bytes that are free.
        available: u64,
        /// Where.
        cache: PathBuf,
    },
    /// The cache cannot be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another file of the same download failed.
    #[error("stopped because another file failed")]
    Cancelled,
}

impl Error {
    /// Whether the disk is at fault rather than a name, the network or the Hub.
    pub fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::NoSpace { .. } | Self::Io { .. })
    }

    /// What went wrong with a path, for `map_err`.
    pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { verb, path, source }
    }
}
