//! What a caller may show while files are on their way.

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A download begins.
    Begins {
        /// The repository.
        repo: &'a str,
        /// Files that are not in the cache.
        n_files: usize,
        /// Bytes to come, those of files of unknown size not counted.
        n_bytes: u64,
    },
    /// So many bytes have come.
    Received(u64),
    /// So many bytes that had come must come again.
    Lost(u64),
    /// Something the user may want to know, such as why nothing moves.
    Note(&'a str),
    /// The download that began is over, well or not.
    Ends,
}

/// Watches a download. Events come from several threads.
pub trait Observer: Sync {
    /// Takes note of an event.
    fn event(&self, event: Event<'_>);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event<'_>) {}
}
