//! Files that are whole or not there.
//!
//! A file is written under a temporary name in its own folder, synced, and renamed; the folder is synced after that. Whoever is killed in
//! between leaves `.<name>.entrace-tmp`, which the next writer removes.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;

const TEMPORARY: &str = ".entrace-tmp";

/// Writes a file: all of it, or nothing. What stood under the name is replaced.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = temporary(path);
    let written = write_synced(&temporary, bytes).and_then(|()| publish(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = File::create(path).map_err(Error::io("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", path))
}

/// The temporary name beside a path.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{TEMPORARY}"))
}

/// Gives a synced file or folder its final name.
pub(crate) fn publish(temporary: &Path, path: &Path) -> Result<(), Error> {
    fs::rename(temporary, path).map_err(Error::io("create", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes sure that names in a folder are on the disk. Only Unix can, and only Unix needs to.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder).and_then(|f| f.sync_all()).map_err(Error::io("sync", folder))?;
    }
    Ok(())
}

/// Creates a folder and those above it.
pub(crate) fn create_folder(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))
}

/// The names in a folder, sorted; none where there is no folder.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", folder)(e)),
    };
    let names = entries.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<Result<_, _>>().map_err(Error::io("read", folder))?;
    names.sort_unstable();
    Ok(names)
}

/// Removes what writers that were killed left in a folder.
pub(crate) fn remove_temporaries(folder: &Path) -> Result<(), Error> {
    for name in names(folder)? {
        if name.starts_with('.') && name.ends_with(TEMPORARY) {
            remove(&folder.join(name))?;
        }
    }
    Ok(())
}

/// Removes a file, or a folder and all in it; nothing to remove is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(dir.path()).unwrap(), ["a.txt"]);
    }

    #[test]
    fn a_name_that_a_folder_has_is_an_error_with_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        let message = write(&path, b"one").unwrap_err().to_string();
        assert!(message.contains("taken"), "{message}");
        assert_eq!(names(dir.path()).unwrap(), ["taken"]);
    }

    #[test]
    fn only_temporaries_of_ours_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".a.entrace-tmp", ".b.tmp", "c"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        fs::create_dir_all(dir.path().join(".00003.entrace-tmp/deep")).unwrap();
        remove_temporaries(dir.path()).unwrap();
        assert_eq!(names(dir.path()).unwrap(), [".b.tmp", "c"]);
    }
}
