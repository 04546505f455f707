//! One writer for a run folder.
//!
//! The operating system's lock on the file `.lock`: it ends with its process, however that ends, so a lock of the dead is never in the
//! way. The file holds the process number, for the message to others. File systems without locks are written without one.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Name of the lock file.
pub(crate) const LOCK_FILE: &str = ".lock";

/// The right to write a folder, until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock of a folder, or says who has it.
    ///
    /// Only a file that was created here is written to: the folder may come from a stranger, and `.lock` in it may be a link or a second
    /// name of anything. What is left of a writer that was killed is removed.
    pub(crate) fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(LOCK_FILE);
        loop {
            match File::create_new(&path) {
                Ok(file) => {
                    if let Some(lock) = Self::hold(file, dir, &path)? {
                        return Ok(lock);
                    }
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => remove_unheld(dir, &path)?,
                Err(e) => return Err(Error::io("create", &path)(e)),
            }
        }
    }

    /// Locks a new file; `None` if another process has removed it meanwhile.
    fn hold(mut file: File, dir: &Path, path: &Path) -> Result<Option<Self>, Error> {
        try_lock(&file, dir, path)?;
        if !is_named(&file, path).map_err(Error::io("read", path))? {
            return Ok(None);
        }
        writeln!(file, "{}", std::process::id()).map_err(Error::io("write", path))?;
        Ok(Some(Self { path: path.to_owned(), _file: file }))
    }
}

/// Removes what has the name of the lock, unless a process holds it.
fn remove_unheld(dir: &Path, path: &Path) -> Result<(), Error> {
    let is_file = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.is_file(),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    let held = match is_file.then(|| File::open(path)) {
        None => None,
        Some(Ok(file)) => Some(file),
        Some(Err(e)) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Some(Err(e)) => return Err(Error::io("open", path)(e)),
    };
    if let Some(file) = &held {
        try_lock(file, dir, path)?;
        if !is_named(file, path).map_err(Error::io("read", path))? {
            return Ok(());
        }
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

fn try_lock(file: &File, dir: &Path, path: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(e)) => Err(Error::io("lock", path)(e)),
        Err(TryLockError::WouldBlock) => {
            let process = fs::read_to_string(path).ok().and_then(|id| id.trim().parse().ok());
            Err(Error::Locked { dir: dir.to_owned(), process })
        }
    }
}

impl Drop for Lock {
    /// Removes the file while it is still locked. Where it cannot be removed, the next writer takes it over.
    fn drop(&mut self) {
        if cfg!(unix) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether the file still has its name: between opening and locking, its last holder may have removed it.
#[cfg(unix)]
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Elsewhere the file is never removed.
#[cfg(not(unix))]
fn is_named(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_its_process_and_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        let Err(Error::Locked { process, .. }) = Lock::take(dir.path()) else { panic!("taken twice") };
        assert_eq!(process, Some(std::process::id()));
        drop(lock);
        Lock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_lock_file_of_a_dead_process_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LOCK_FILE), "999999999\n").unwrap();
        Lock::take(dir.path()).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn what_the_lock_is_a_name_of_is_not_written() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (victim, lock) = (outside.path().join("victim"), dir.path().join(LOCK_FILE));
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &lock).unwrap();
        drop(Lock::take(dir.path()).unwrap());
        fs::hard_link(&victim, &lock).unwrap();
        drop(Lock::take(dir.path()).unwrap());
        std::os::unix::fs::symlink(outside.path().join("new"), &lock).unwrap();
        drop(Lock::take(dir.path()).unwrap());
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(!outside.path().join("new").exists());
        fs::create_dir(&lock).unwrap();
        assert!(Lock::take(dir.path()).unwrap_err().to_string().contains(".lock"));
    }
}
