//! Where the parts of an unfinished run are: `parts/00000`, `parts/00001`, ...

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::file;

/// Name of the folder of parts.
pub(crate) const PARTS: &str = "parts";

/// The folder of a part.
pub(crate) fn folder(dir: &Path, index: usize) -> PathBuf {
    dir.join(PARTS).join(format!("{index:05}"))
}

/// Numbers of the parts that are there; other names are passed over.
pub(crate) fn list(dir: &Path) -> Result<BTreeSet<usize>, Error> {
    let names = file::names(&dir.join(PARTS))?;
    let numbers = names.iter().filter_map(|name| {
        let index = name.parse().ok()?;
        folder(dir, index).ends_with(name).then_some(index)
    });
    Ok(numbers.collect())
}

/// Checks that the parts are `0..n_parts`.
pub(crate) fn check_all(dir: &Path, n_parts: usize) -> Result<(), Error> {
    let found = list(dir)?;
    let missing = (0..n_parts).find(|index| !found.contains(index));
    let extra = found.last().filter(|last| **last >= n_parts);
    let problem = match (missing, extra) {
        (Some(index), _) => format!("part {index} is missing"),
        (None, Some(index)) => format!("part {index} is there as well"),
        (None, None) => return Ok(()),
    };
    Err(Error::WrongParts { dir: dir.to_owned(), n_parts, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_listed_as_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["00002", "00010", "100000", "7", ".00003.entrace-tmp", "notes"] {
            std::fs::create_dir_all(dir.path().join(PARTS).join(name)).unwrap();
        }
        assert_eq!(list(dir.path()).unwrap(), BTreeSet::from([2, 10, 100_000]));
    }

    #[test]
    fn missing_and_extra_parts_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for index in [0, 1, 3] {
            std::fs::create_dir_all(folder(dir.path(), index)).unwrap();
        }
        let problem = |n_parts| check_all(dir.path(), n_parts).unwrap_err().to_string();
        assert!(problem(4).ends_with("part 2 is missing"), "{}", problem(4));
        assert!(problem(2).ends_with("part 3 is there as well"), "{}", problem(2));
    }
}
