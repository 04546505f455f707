//! One file: from the Hub into the cache, resumed where it broke off, verified before it counts.

use crate::cache::Store;
use crate::digest::Problem;
use crate::error::Error;
use crate::listing::{Metadata, Remote};
use crate::progress::Event;
use crate::retry::{Failure, patiently};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// Sees to it that the blob of a file is in the cache.
pub(crate) fn blob(remote: &Remote<'_>, store: &Store, commit: &str, file: &Metadata) -> Result<(), Error> {
    let watch = remote.watch;
    let _lock = store.lock(&file.etag, &file.path, watch)?;
    if is_whole(store, file) {
        watch.observer.event(Event::Received(file.size.unwrap_or(0)));
        return Ok(());
    }
    let (partial, blob) = (store.partial(&file.etag), store.blob(&file.etag));
    let (mut n_damaged, mut most) = (0, length(&partial));
    patiently(remote.patience, watch, || {
        let size = Transfer { remote, commit, file, partial: &partial }.run();
        let size = size.map_err(|failure| {
            let is_further = length(&partial) > most;
            most = most.max(length(&partial));
            if is_further { failure.with_progress() } else { failure }
        })?;
        match file.etag.verify(&partial, size) {
            Ok(()) => Ok(()),
            Err(Problem::Unreadable(error)) => Err(error.into()),
            Err(Problem::Differs(problem)) => {
                discard(remote, &partial)?;
                n_damaged += 1;
                Err(damaged(remote, commit, file, problem, n_damaged))
            }
        }
    })?;
    fs::rename(&partial, &blob).map_err(Error::io("write", &blob))
}

/// Whether the blob is there, of the right length.
pub(crate) fn is_whole(store: &Store, file: &Metadata) -> bool {
    fs::metadata(store.blob(&file.etag))
        .is_ok_and(|found| found.is_file() && file.size.is_none_or(|size| size == found.len()))
}

/// Bytes that are still to come.
pub(crate) fn missing_bytes(store: &Store, file: &Metadata) -> u64 {
    file.size.unwrap_or(0).saturating_sub(length(&store.partial(&file.etag)))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// A file that is not what was promised is fetched once more from its beginning, and then given up.
fn damaged(remote: &Remote<'_>, commit: &str, file: &Metadata, problem: String, n_damaged: u32) -> Failure {
    if n_damaged < 2 {
        return Failure::passing(
            &remote.address(commit, &file.path),
            format!("it arrived damaged: {problem}"),
        );
    }
    Error::Damaged { file: file.path.clone(), repo: remote.asked.repo.clone(), problem }.into()
}

/// Removes what cannot be used.
fn discard(remote: &Remote<'_>, partial: &Path) -> Result<(), Error> {
    let lost = length(partial);
    match fs::remove_file(partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", partial)(error))
        }
        _ => {
            remote.watch.observer.event(Event::Lost(lost));
            Ok(())
        }
    }
}

/// One attempt at the bytes of a file that are missing.
struct Transfer<'a> {
    remote: &'a Remote<'a>,
    commit: &'a str,
    file: &'a Metadata,
    partial: &'a Path,
}

impl Transfer<'_> {
    /// Completes the file and returns its length.
    fn run(&self) -> Result<u64, Failure> {
        if self.file.size.is_some_and(|size| length(self.partial) > size) {
            discard(self.remote, self.partial)?;
        }
        let had = length(self.partial);
        if self.file.size == Some(had) && self.partial.exists() {
            return Ok(had);
        }
        let answer = self.remote.body(self.commit, &self.file.path, had)?;
        if answer.response.status().as_u16() == 416 {
            discard(self.remote, self.partial)?;
            return Err(Failure::passing(&answer.url, "the server does not resume".into()));
        }
        let answer = self.remote.asked.accept(answer, true)?;
        // A server that ignores the range sends the whole file.
        let from = if answer.response.status().as_u16() == 206 {
            answer.content_range().map(|(first, _)| first)
        } else {
            Some(0)
        };
        let from = match from {
            Some(from) if from == had => from,
            _ => {
                discard(self.remote, self.partial)?;
                0
            }
        };
        if answer.response.status().as_u16() == 206 && from != had {
            return Err(Failure::passing(
                &answer.url,
                "the server sent another part than was asked for".into(),
            ));
        }
        let stated = answer.content_range().and_then(|(_, total)| total);
        let stated = stated.or_else(|| Some(from + answer.header("content-length")?.parse::<u64>().ok()?));
        let url = answer.url.clone();
        let written = self.write(answer.response.into_body().into_reader(), from, &url)?;
        match self.file.size.or(stated) {
            Some(size) if written < size => {
                Err(Failure::passing(&url, format!("the transfer was cut after {written} of {size} bytes")))
            }
            _ => Ok(written),
        }
    }

    /// Appends what arrives, and returns the length of the file; what has arrived before a failure stays.
    fn write(&self, mut body: impl Read, from: u64, url: &str) -> Result<u64, Failure> {
        let failed = || Error::io("write", self.partial);
        let mut out = self.open(from).map_err(failed())?;
        let mut buffer = vec![0; PIECE];
        let mut written = from;
        loop {
            self.remote.watch.check()?;
            let n = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) => return Err(self.remote.client.failure(url, error.into())),
            };
            out.write_all(&buffer[..n]).map_err(failed())?;
            written += n as u64;
            self.remote.watch.observer.event(Event::Received(n as u64));
            if self.file.size.is_some_and(|size| written > size) {
                let size = self.file.size.unwrap_or(0);
                return Err(Failure::passing(url, format!("more than the promised {size} bytes arrive")));
            }
        }
        out.flush().map_err(failed())?;
        Ok(written)
    }

    fn open(&self, from: u64) -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true);
        if from == 0 {
            options.write(true).truncate(true)
        } else {
            options.append(true)
        };
        options.open(self.partial)
    }
}
