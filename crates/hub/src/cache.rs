//! The cache on disk, as `huggingface_hub` lays it out.
//!
//! ```text
//! models--org--name/blobs/ETAG              a whole, verified file; ETAG.incomplete while it is not
//!                  /snapshots/COMMIT/path   relative links to blobs
//!                  /refs/REVISION           the commit that a branch or tag was at
//!                  /trees/COMMIT.json       all files of a commit, where the Python library wrote it
//!                  /.no_exist/COMMIT/path   empty: the commit has no such file
//! .locks/models--org--name/ETAG.lock        held, as flock, by who writes that blob
//! ```

use crate::digest::{Etag, is_commit};
use crate::error::Error;
use crate::name::{Kind, is_relative};
use crate::retry::Watch;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two attempts at a lock that another process holds.
const BETWEEN_LOCKS: Duration = Duration::from_millis(200);

/// One repository in the cache.
pub(crate) struct Store {
    folder: PathBuf,
    locks: PathBuf,
}

impl Store {
    pub(crate) fn new(cache: &Path, kind: Kind, repo: &str) -> Self {
        let name = format!("{}--{}", kind.plural(), repo.replace('/', "--"));
        Self { folder: cache.join(&name), locks: cache.join(".locks").join(&name) }
    }

    /// Where a whole file is.
    pub(crate) fn blob(&self, etag: &Etag) -> PathBuf {
        self.folder.join("blobs").join(etag.as_str())
    }

    /// Where it is until it is whole.
    pub(crate) fn partial(&self, etag: &Etag) -> PathBuf {
        self.folder.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// The files of a commit.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Makes the folder of blobs.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        make_folder(&self.folder.join("blobs"))
    }

    /// Waits until no other process writes the blob. Where the disk knows no locks there is none; every file is verified in any case.
    pub(crate) fn lock(&self, etag: &Etag, file: &str, watch: &Watch<'_>) -> Result<Option<File>, Error> {
        make_folder(&self.locks)?;
        let path = self.locks.join(format!("{etag}.lock"));
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = open.map_err(Error::io("open", &path))?;
        let mut has_told = false;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Some(lock)),
                Err(TryLockError::Error(_)) => return Ok(None),
                Err(TryLockError::WouldBlock) => {}
            }
            if !std::mem::replace(&mut has_told, true) {
                watch.note(&format!("another process is downloading {file}; waiting for it"));
            }
            watch.wait(BETWEEN_LOCKS)?;
        }
    }

    /// Lets a file of a commit be found, its blob being there.
    pub(crate) fn link(&self, commit: &str, file: &str, etag: &Etag) -> Result<(), Error> {
        let pointer = self.snapshot(commit).join(file);
        if pointer.exists() {
            return Ok(());
        }
        if let Some(folder) = pointer.parent() {
            make_folder(folder)?;
        }
        // A link whose blob was removed.
        let _ = fs::remove_file(&pointer);
        let up = "../".repeat(2 + file.matches('/').count());
        let target = format!("{up}blobs/{etag}");
        match symlink(Path::new(&target), &pointer) {
            Ok(()) => Ok(()),
            // Another process was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && pointer.exists() => Ok(()),
            Err(_) => {
                let copied = fs::copy(self.blob(etag), &pointer);
                copied.map(|_| ()).map_err(Error::io("write", &pointer))
            }
        }
    }

    /// Remembers the commit of a revision, and files that the commit is known not to have.
    pub(crate) fn remember(&self, revision: &str, commit: &str, absent: &[&str]) -> Result<(), Error> {
        for file in absent {
            let path = self.folder.join(".no_exist").join(commit).join(file);
            if !path.exists() {
                write_whole(&path, "")?;
            }
        }
        let path = self.folder.join("refs").join(revision);
        if revision == commit || fs::read_to_string(&path).is_ok_and(|known| known == commit) {
            return Ok(());
        }
        write_whole(&path, commit)
    }

    /// The commit of a revision when it was last looked at.
    pub(crate) fn commit(&self, revision: &str) -> Option<String> {
        let known = fs::read_to_string(self.folder.join("refs").join(revision)).ok();
        let commit = known.map_or_else(|| revision.to_string(), |known| known.trim().to_string());
        (is_commit(&commit) && self.snapshot(&commit).is_dir()).then_some(commit)
    }

    /// The files of a commit that are here.
    pub(crate) fn files(&self, commit: &str) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.snapshot(commit), "", &mut found);
        found.sort();
        found
    }

    /// All files of a commit, where that is known.
    pub(crate) fn all_files(&self, commit: &str) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.folder.join("trees").join(format!("{commit}.json"))).ok()?;
        let tree: serde_json::Value = serde_json::from_str(&text).ok()?;
        if tree.get("format_version")?.as_u64()? != 1 {
            return None;
        }
        let files = tree.get("files")?.as_object()?.keys();
        Some(files.filter(|path| is_relative(path)).cloned().collect())
    }

    /// Whether a commit is known not to have a file.
    pub(crate) fn is_absent(&self, commit: &str, file: &str) -> bool {
        self.folder.join(".no_exist").join(commit).join(file).is_file()
    }
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Some(name) = entry.file_name().to_str().map(|name| format!("{prefix}{name}")) else { continue };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), &format!("{name}/"), found);
        } else if entry.path().is_file() {
            found.push(name);
        }
    }
}

fn make_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::io("make the folder", path))
}

/// Writes beside the path, then renames, so that nobody reads half of it.
fn write_whole(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).map_err(Error::io("write", path))
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}
