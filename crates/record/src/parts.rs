//! The parts of an unfinished run: `parts/00000`, `parts/00001`, ...
//!
//! Beside its tables a part has `hashes.json`, the SHA-256 of each of them by file name, so that a bit that flips on the disk is noticed
//! before it is merged. Parts of format 1.0 have none.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::file;
use crate::hash;
use crate::table::{DECISIONS, TABLES, file_name};

/// Name of the folder of parts.
pub(crate) const PARTS: &str = "parts";

/// Name of the file of hashes in a part.
const HASHES: &str = "hashes.json";

/// SHA-256 of tables by file name.
pub(crate) type Hashes = BTreeMap<String, String>;

/// The hashes of the tables in a folder.
pub(crate) fn hashes(folder: &Path) -> Result<Hashes, Error> {
    let decisions = Some(file_name(DECISIONS)).filter(|name| folder.join(name).exists());
    let names = TABLES.iter().map(|table| file_name(table)).chain(decisions);
    names.map(|name| Ok((name.clone(), hash::sha256_file(&folder.join(name))?))).collect()
}

/// Writes the hashes of a part's tables beside them.
pub(crate) fn write_hashes(folder: &Path) -> Result<(), Error> {
    let json = serde_json::json!(hashes(folder)?).to_string();
    file::write(&folder.join(HASHES), json.as_bytes())
}

/// Checks the tables of a part against its hashes, which must be there if `required`.
pub(crate) fn check(folder: &Path, required: bool) -> Result<(), Error> {
    let path = folder.join(HASHES);
    let bad = |problem: String| Error::BadTable { path: path.clone(), problem };
    let bytes = match file::read_json(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound && !required => return Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(bad("it is missing; remove the part to measure its questions again".to_owned()));
        }
        Err(e) => return Err(Error::io("read", &path)(e)),
    };
    let stated: Hashes = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    compare(folder, &stated, HASHES)
}

/// Checks the tables in a folder against hashes that `source` states.
pub(crate) fn compare(folder: &Path, stated: &Hashes, source: &str) -> Result<(), Error> {
    let found = hashes(folder)?;
    if let Some(name) = stated.keys().find(|name| !found.contains_key(*name)) {
        let problem = format!("the file is missing, and {source} has its SHA-256");
        return Err(Error::BadTable { path: folder.join(name), problem });
    }
    for (name, hash) in found {
        if stated.get(&name) != Some(&hash) {
            return Err(Error::BadTable {
                path: folder.join(name),
                problem: format!("the file is damaged: its SHA-256 is not the one in {source}"),
            });
        }
    }
    Ok(())
}

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
