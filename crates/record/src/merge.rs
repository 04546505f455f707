//! Shards of a run, and the run that they make up.
//!
//! A shard is a run folder that holds some of the parts of a run, under the numbers that they have in all of it. Merging checks that the
//! shards were measured with the same settings, that none is there twice, and that no part is missing; then the parts go into one
//! folder, which is finished as any run is. The tables are those of a run that was never divided.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::error::Error;
use crate::manifest::{Manifest, ShardRecord};
use crate::parts;
use crate::writer::{Found, RunWriter};

/// Begins the names of folders of shards.
const FOLDER: &str = "shard-";

/// The folder of a shard below that of the run.
pub fn shard_folder(run: &Path, shard: &ShardRecord) -> PathBuf {
    run.join(format!("{FOLDER}{}-of-{}", shard.index, shard.of))
}

/// The folders of shards below that of a run; the folder itself where it is one.
pub fn shard_folders(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if Manifest::load(folder)?.is_some_and(|manifest| manifest.shard.is_some()) {
        return Ok(vec![folder.to_owned()]);
    }
    let names = crate::file::names(folder)?;
    let mut found: Vec<PathBuf> =
        names.iter().filter(|name| name.starts_with(FOLDER)).map(|name| folder.join(name)).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    if found.is_empty() {
        let problem = format!("{} is no shard and has none in it", folder.display());
        return Err(Error::NotOneRun { problem });
    }
    Ok(found)
}

/// What a folder holds, in words.
pub(crate) fn named(shard: Option<ShardRecord>) -> String {
    shard.map_or("a whole run".to_owned(), |shard| format!("shard {} of {}", shard.index, shard.of))
}

/// Shards of one run.
#[derive(Debug)]
pub struct Shards {
    /// By number: where each is, and what it says of itself.
    found: BTreeMap<usize, (PathBuf, Manifest)>,
    of: usize,
    n_parts: usize,
}

impl Shards {
    /// Reads the shards in these folders. Refuses what does not belong together.
    pub fn read(folders: &[PathBuf]) -> Result<Self, Error> {
        let bad = |problem: String| Error::NotOneRun { problem };
        let mut found: BTreeMap<usize, (PathBuf, Manifest)> = BTreeMap::new();
        let mut first: Option<(PathBuf, Manifest, ShardRecord)> = None;
        for folder in folders {
            let manifest =
                Manifest::load(folder)?.ok_or_else(|| Error::NoManifest { dir: folder.clone() })?;
            let shard = manifest.shard.filter(|shard| shard.of > 0 && shard.index < shard.of);
            let shard = shard.ok_or_else(|| bad(format!("{} is no shard", folder.display())))?;
            let (known, recorded, whole) =
                first.get_or_insert_with(|| (folder.clone(), manifest.clone(), shard));
            let both = format!("{} and {}", known.display(), folder.display());
            let differences = recorded.settings.differences(&manifest.settings);
            if let Some(difference) = differences.first() {
                let (field, a, b) = (&difference.field, &difference.recorded, &difference.requested);
                return Err(bad(format!("{both} differ in {field}: {a} and {b}")));
            }
            let sizes = |manifest: &Manifest, shard: &ShardRecord| {
                (manifest.settings.batch_size, shard.of, shard.n_parts)
            };
            if sizes(recorded, whole) != sizes(&manifest, &shard) {
                return Err(bad(format!(
                    "{both} divide the run differently (in the size of a batch, or the number of shards)"
                )));
            }
            if let Some((other, _)) = found.get(&shard.index) {
                return Err(bad(format!(
                    "{} and {} are both {}",
                    other.display(),
                    folder.display(),
                    named(Some(shard))
                )));
            }
            found.insert(shard.index, (folder.clone(), manifest));
        }
        let (_, _, whole) = first.ok_or_else(|| bad("no folder is given".to_owned()))?;
        Ok(Self { found, of: whole.of, n_parts: whole.n_parts })
    }

    /// How many shards the run has.
    pub fn len(&self) -> usize {
        self.of
    }

    /// Whether the run has no shard; never the case.
    pub fn is_empty(&self) -> bool {
        self.of == 0
    }

    /// Numbers of the shards that are not there, or not all of which is.
    pub fn missing(&self) -> Result<Vec<usize>, Error> {
        let mut missing = Vec::new();
        for index in 0..self.of {
            let shard = ShardRecord { index, of: self.of, n_parts: self.n_parts };
            let is_whole = match self.found.get(&index) {
                Some((folder, _)) => {
                    let there = parts::list(folder)?;
                    shard.parts().all(|part| there.contains(&part))
                }
                None => shard.parts().is_empty(),
            };
            if !is_whole {
                missing.push(index);
            }
        }
        Ok(missing)
    }

    /// Puts the shards together in a folder, where a merger that was interrupted is resumed. The report is not yet written.
    pub fn merge(&self, out: &Path) -> Result<RunWriter, Error> {
        let missing = self.missing()?;
        if !missing.is_empty() {
            let problem = format!(
                "of {} shards, {} are missing or unfinished: {}",
                self.of,
                missing.len(),
                ranges(&missing)
            );
            return Err(Error::NotOneRun { problem });
        }
        let Some((_, first)) = self.found.values().next() else {
            return Err(Error::NotOneRun { problem: "no shard is there".to_owned() });
        };
        let elapsed_secs = self.found.values().map(|(_, manifest)| manifest.elapsed_secs).sum();
        let kernels = self.found.values().flat_map(|(_, manifest)| manifest.kernels.clone()).collect();
        let manifest = Manifest { shard: None, elapsed_secs, kernels, ..first.clone() };
        let (mut writer, found) = RunWriter::open(out, &manifest)?;
        let there = match found {
            Found::Nothing => Default::default(),
            Found::Resumed { finished_parts } => finished_parts,
            Found::Complete => return Ok(writer),
        };
        for (&index, (folder, _)) in &self.found {
            let shard = ShardRecord { index, of: self.of, n_parts: self.n_parts };
            for part in shard.parts().filter(|part| !there.contains(part)) {
                writer.take_part(part, &parts::folder(folder, part))?;
            }
        }
        writer.finish(self.n_parts, Timestamp::now(), 0.0)?;
        Ok(writer)
    }
}

/// Numbers as `1,3-5`, as schedulers write arrays.
pub fn ranges(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let name = |&(first, last): &(usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.iter().map(name).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn shards_share_the_parts_evenly_and_leave_none_out() {
        for n_parts in 0..20 {
            for of in 1..8 {
                let shards = (0..of).map(|index| ShardRecord { index, of, n_parts }.parts());
                let all: Vec<usize> = shards.clone().flatten().collect();
                assert_eq!(all, (0..n_parts).collect::<Vec<_>>());
                let sizes: Vec<usize> = shards.map(|parts| parts.len()).collect();
                assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            }
        }
    }

    #[test]
    fn a_whole_names_what_its_shards_were_computed_with() {
        let run = tempfile::tempdir().unwrap();
        for (index, kernel) in ["AVX2", "AVX-512", "AVX2"].into_iter().enumerate() {
            let shard = ShardRecord { index, of: 3, n_parts: 3 };
            let kernels = [kernel.to_owned()].into();
            let manifest = Manifest { shard: Some(shard), kernels, ..example::manifest() };
            let (writer, _) = RunWriter::open(&shard_folder(run.path(), &shard), &manifest).unwrap();
            writer.write_part(index, &example::rows(index)).unwrap();
        }
        let shards = Shards::read(&shard_folders(run.path()).unwrap()).unwrap();
        let merged = shards.merge(&run.path().join("whole")).unwrap();
        assert_eq!(merged.manifest().kernels, ["AVX-512", "AVX2"].map(str::to_owned).into());
    }

    #[test]
    fn numbers_are_written_as_an_array() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[4]), "4");
        assert_eq!(ranges(&[1, 3, 4, 5, 8, 9]), "1,3-5,8-9");
    }
}
