//! Files that are whole or not there.
//!
//! A file is written under a temporary name in its own folder, synced, and renamed; the folder is synced after that. Whoever is killed in
//! between leaves `.<name>.<number>.entrace-tmp`, which the next writer removes.
//!
//! A run folder may come from a stranger, so nothing is written through a link: temporary files are created new under a random number, and
//! folders within the run folder must be folders. Nor is anything read but ordinary files: a pipe would be waited for, and a device never
//! ends.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::Error;

const TEMPORARY: &str = ".entrace-tmp";

/// Writes a file: all of it, or nothing. An existing file of the name is replaced.
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
    let mut file = create_new(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", path))
}

/// A file that is being written under a temporary name, and gets its own once it is whole; one that is dropped before that is removed.
#[derive(Debug)]
pub struct Unfinished {
    file: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
}

impl Unfinished {
    /// Begins a file; an existing one of the name stays until this one is whole.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let temporary = temporary(path);
        let file = BufWriter::new(create_new(&temporary)?);
        Ok(Self { file, temporary, path: path.to_owned() })
    }

    /// Writes more of it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))
    }

    /// Gives the file its name, and returns it.
    pub fn publish(mut self) -> Result<PathBuf, Error> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written.map_err(Error::io("write", &self.path))?;
        publish(&self.temporary, &self.path)?;
        Ok(self.path.clone())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // A whole file has another name by now.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// A name that leaves room for endings within what file systems allow: a longer one is cut, and told apart by its hash.
pub fn short_name(name: &str) -> String {
    const MOST_BYTES: usize = 120;
    if name.len() <= MOST_BYTES {
        return name.to_owned();
    }
    let start = &name[..name.floor_char_boundary(MOST_BYTES - 17)];
    format!("{start}-{}", &crate::hash::sha256(name.as_bytes())[..16])
}

/// Opens an ordinary file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not an ordinary file"));
    }
    File::open(path)
}

/// The bytes of an ordinary file of JSON.
pub(crate) fn read_json(path: &Path) -> io::Result<Vec<u8>> {
    const MOST_BYTES: u64 = 1 << 28;
    let mut bytes = Vec::new();
    open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        let problem = format!("it has more than {} MiB", MOST_BYTES >> 20);
        return Err(io::Error::new(ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}

/// Creates a file that is not there yet; a link of the name is an error too.
pub(crate) fn create_new(path: &Path) -> Result<File, Error> {
    File::create_new(path).map_err(Error::io("create", path))
}

/// A temporary name beside a path, which nobody can guess.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    const MOST_CHARS: usize = 60;
    let name: String =
        path.file_name().unwrap_or_default().to_string_lossy().chars().take(MOST_CHARS).collect();
    let number = RandomState::new().hash_one(&name);
    path.with_file_name(format!(".{name}.{number:016x}{TEMPORARY}"))
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

/// Creates a folder within the run folder, or makes sure that what has its name is one and no link to another.
pub fn create_inner_folder(folder: &Path) -> Result<(), Error> {
    refuse_link(folder)?;
    create_folder(folder)
}

/// An error if the name is that of a link, which would lead out of the run folder.
pub(crate) fn refuse_link(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(Error::Link { path: path.to_owned() }),
        _ => Ok(()),
    }
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

/// Removes a file or a link; a folder of the name stays.
pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        _ => remove(path),
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

    #[cfg(unix)]
    #[test]
    fn links_are_replaced_and_not_followed() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let victim = outside.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        for name in ["a.txt", ".a.txt.entrace-tmp"] {
            std::os::unix::fs::symlink(&victim, dir.path().join(name)).unwrap();
        }
        write(&dir.path().join("a.txt"), b"one").unwrap();
        remove_temporaries(dir.path()).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(names(dir.path()).unwrap(), ["a.txt"]);
        let folder = dir.path().join("figures");
        std::os::unix::fs::symlink(outside.path(), &folder).unwrap();
        let message = create_inner_folder(&folder).unwrap_err().to_string();
        assert!(message.contains("figures is a link"), "{message}");
        assert!(create_new(&folder).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn only_ordinary_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.json");
        assert_eq!(read_json(&path).unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(&path, "{}").unwrap();
        assert_eq!(read_json(&path).unwrap(), b"{}");
        File::create(&path).and_then(|file| file.set_len(1 << 30)).unwrap();
        assert_eq!(read_json(&path).unwrap_err().kind(), ErrorKind::FileTooLarge);
        for other in [Path::new("/dev/zero"), dir.path()] {
            assert_eq!(open(other).unwrap_err().to_string(), "it is not an ordinary file");
        }
    }

    #[test]
    fn long_names_have_temporaries() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("é".repeat(127)), b"one").unwrap();
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
