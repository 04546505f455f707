//! Writing a run folder, part by part, so that it survives being killed at any moment.
//!
//! A part is the rows of some of the questions, in a fixed order: part 0 first. Parts may be written in any order. A part is written to a
//! temporary folder, synced and renamed, so it is there as a whole or not at all. [`RunWriter::finish`] merges the parts in the order of
//! their numbers; where a row group ends depends on the rows alone, so a run that was interrupted and resumed has the same bytes in its
//! tables as one that was not.
//!
//! Order of the last steps: each table (temporary file, rename), the manifest with `finished_at`, removal of the parts. Whoever is killed
//! before the manifest merges again; whoever is killed after it only has parts left to remove, which the next `open` does.
//!
//! What is not of this run is never touched: a folder with other settings, a newer format, or foreign files in the way is refused. Files in
//! the shape of lm-eval have names that others use too, so the manifest lists those that are of this run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

use crate::error::Error;
use crate::file::{self, Unfinished};
use crate::interventions;
use crate::lock::Lock;
use crate::manifest::{FORMAT_VERSION, MANIFEST_FILE, Manifest};
use crate::merge;
use crate::parts::{self, PARTS};
use crate::rows::{AnswerRow, DecisionRow, PrefixRow, Rows, SignalRow, TokenRow, TraceRow};
use crate::table::{DECISIONS, Row, TABLES, TableReader, TableWriter, file_name};
use crate::time::rfc3339;

/// What else is written beside the tables.
const OTHER_NAMES: [&str; 7] = [
    "report.html",
    "metrics.json",
    FIGURES,
    "skipped_lines.txt",
    interventions::TABLE_FILE,
    interventions::SETTINGS_FILE,
    interventions::PARTS_FOLDER,
];

/// The folder of figures.
const FIGURES: &str = "figures";

/// What was in the folder when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing; a run begins.
    Nothing,
    /// An unfinished run with equal settings, which is resumed.
    Resumed {
        /// Numbers of the parts that are there.
        finished_parts: BTreeSet<usize>,
    },
    /// A finished run with equal settings.
    Complete,
}

/// A file in the shape of lm-eval that is being written.
#[derive(Debug)]
pub struct Output {
    name: String,
    /// Its content so far.
    pub file: Unfinished,
}

/// A run folder that this process alone writes.
#[derive(Debug)]
pub struct RunWriter {
    dir: PathBuf,
    manifest: Manifest,
    _lock: Lock,
}

impl RunWriter {
    /// Opens a folder to begin a run or to resume it; what is not this run is never touched.
    ///
    /// Of a run that is there, `manifest.settings` have to be equal; the other fields are kept as they were recorded.
    pub fn open(dir: &Path, manifest: &Manifest) -> Result<(Self, Found), Error> {
        file::create_folder(dir)?;
        let lock = Lock::take(dir)?;
        match Manifest::load(dir)? {
            Some(recorded) => Self::go_on(dir, lock, recorded, manifest),
            None => {
                refuse_occupied(dir)?;
                Ok((Self::begin(dir, lock, manifest)?, Found::Nothing))
            }
        }
    }

    /// Begins a run in a folder whose earlier run, if any, is removed first: its tables, its parts and what was made from them.
    ///
    /// Refuses what [`RunWriter::open`] refuses, but for a run with other settings.
    pub fn overwrite(dir: &Path, manifest: &Manifest) -> Result<Self, Error> {
        file::create_folder(dir)?;
        let lock = Lock::take(dir)?;
        match Manifest::load(dir)? {
            Some(recorded) => {
                refuse_newer(dir, &recorded)?;
                remove_run(dir, recorded)?;
            }
            None => refuse_occupied(dir)?,
        }
        Self::begin(dir, lock, manifest)
    }

    fn begin(dir: &Path, lock: Lock, manifest: &Manifest) -> Result<Self, Error> {
        file::remove_temporaries(dir)?;
        let manifest =
            Manifest { format_version: FORMAT_VERSION.to_owned(), finished_at: None, ..manifest.clone() };
        manifest.save(dir)?;
        file::create_inner_folder(&dir.join(PARTS))?;
        file::sync_folder(dir)?;
        Ok(Self { dir: dir.to_owned(), manifest, _lock: lock })
    }

    fn go_on(
        dir: &Path,
        lock: Lock,
        recorded: Manifest,
        requested: &Manifest,
    ) -> Result<(Self, Found), Error> {
        refuse_newer(dir, &recorded)?;
        let differences = recorded.settings.differences(&requested.settings);
        if !differences.is_empty() {
            return Err(Error::OtherSettings { dir: dir.to_owned(), differences });
        }
        if recorded.shard != requested.shard {
            let [recorded, requested] = [recorded.shard, requested.shard].map(merge::named);
            return Err(Error::OtherShard { dir: dir.to_owned(), recorded, requested });
        }
        file::remove_temporaries(dir)?;
        file::refuse_link(&dir.join(FIGURES))?;
        file::remove_temporaries(&dir.join(FIGURES))?;
        let found = if recorded.finished_at.is_some() {
            file::remove(&dir.join(PARTS))?;
            Found::Complete
        } else {
            file::create_inner_folder(&dir.join(PARTS))?;
            file::remove_temporaries(&dir.join(PARTS))?;
            Found::Resumed { finished_parts: parts::list(dir)? }
        };
        let mut writer = Self { dir: dir.to_owned(), manifest: recorded, _lock: lock };
        if found != Found::Complete && !requested.kernels.is_subset(&writer.manifest.kernels) {
            let kernels = &writer.manifest.kernels | &requested.kernels;
            writer.update(Manifest { kernels, ..writer.manifest.clone() })?;
        }
        Ok((writer, found))
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The manifest as it stands in the folder: of a resumed run, the time it began and the seconds so far are the earlier ones.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Numbers of the parts that are there; none of a finished run.
    pub fn finished_parts(&self) -> Result<BTreeSet<usize>, Error> {
        if self.manifest.finished_at.is_some() { Ok(BTreeSet::new()) } else { parts::list(&self.dir) }
    }

    /// Writes a part: all of it, or nothing. Several threads may write parts at once.
    pub fn write_part(&self, index: usize, rows: &Rows) -> Result<(), Error> {
        if self.manifest.finished_at.is_some() {
            return Err(Error::Finished { dir: self.dir.clone() });
        }
        let part = parts::folder(&self.dir, index);
        if part.exists() {
            return Err(Error::PartExists { dir: self.dir.clone(), index });
        }
        let temporary = file::temporary(&part);
        file::remove(&temporary)?;
        let written = write_tables(&temporary, rows).and_then(|()| file::publish(&temporary, &part));
        if written.is_err() {
            // The first error is the one to tell; the next sitting tries to remove it again.
            let _ = file::remove(&temporary);
        }
        written
    }

    /// Takes a part over from another folder, whose copy of it is checked against its hashes.
    pub(crate) fn take_part(&self, index: usize, source: &Path) -> Result<(), Error> {
        let part = parts::folder(&self.dir, index);
        parts::check(source, self.manifest.has_hashes())?;
        let temporary = file::temporary(&part);
        file::remove(&temporary)?;
        fs::create_dir(&temporary).map_err(Error::io("create", &temporary))?;
        for name in file::names(source)? {
            let (from, to) = (source.join(&name), temporary.join(&name));
            fs::copy(&from, &to).map_err(Error::io("copy", &from))?;
            let copied = fs::File::open(&to).and_then(|file| file.sync_all());
            copied.map_err(Error::io("write", &to))?;
        }
        file::sync_folder(&temporary)?;
        file::publish(&temporary, &part)
    }

    /// Adds seconds of work to the manifest; for a sitting that ends before the run does.
    pub fn add_elapsed(&mut self, elapsed_secs: f64) -> Result<(), Error> {
        let elapsed_secs = self.manifest.elapsed_secs + elapsed_secs;
        self.update(Manifest { elapsed_secs, ..self.manifest.clone() })
    }

    /// Merges the parts `0..n_parts` into the tables, marks the run finished and removes the parts.
    ///
    /// `elapsed_secs` are the seconds of this sitting, less those already given to `add_elapsed`. Of a finished run nothing is changed.
    pub fn finish(&mut self, n_parts: usize, finished_at: Timestamp, elapsed_secs: f64) -> Result<(), Error> {
        if self.manifest.finished_at.is_some() {
            return Ok(());
        }
        parts::check_all(&self.dir, n_parts)?;
        let required = self.manifest.has_hashes();
        (0..n_parts).try_for_each(|index| parts::check(&parts::folder(&self.dir, index), required))?;
        self.merge::<TraceRow>(n_parts)?;
        self.merge::<PrefixRow>(n_parts)?;
        self.merge::<AnswerRow>(n_parts)?;
        self.merge::<TokenRow>(n_parts)?;
        self.merge::<SignalRow>(n_parts)?;
        let has_decisions = |index| parts::folder(&self.dir, index).join(file_name(DECISIONS)).exists();
        if (0..n_parts).any(has_decisions) {
            self.merge::<DecisionRow>(n_parts)?;
        }
        self.update(Manifest {
            finished_at: Some(rfc3339(finished_at)),
            elapsed_secs: self.manifest.elapsed_secs + elapsed_secs,
            tables: parts::hashes(&self.dir)?,
            ..self.manifest.clone()
        })?;
        file::remove(&self.dir.join(PARTS))
    }

    fn merge<R: Row>(&self, n_parts: usize) -> Result<(), Error> {
        let name = file_name(R::TABLE);
        let path = self.dir.join(&name);
        let temporary = file::temporary(&path);
        let parts = (0..n_parts).map(|index| parts::folder(&self.dir, index).join(&name));
        let parts = parts.filter(|part| R::TABLE != DECISIONS || part.exists());
        let rows = TableReader::<R>::new(parts.collect());
        let written = copy_rows(rows, &temporary).and_then(|()| file::publish(&temporary, &path));
        if written.is_err() {
            // The first error is the one to tell; a full disk is glad of the space.
            let _ = file::remove(&temporary);
        }
        written
    }

    fn update(&mut self, manifest: Manifest) -> Result<(), Error> {
        manifest.save(&self.dir)?;
        self.manifest = manifest;
        Ok(())
    }

    /// Begins a file in the shape of lm-eval.
    pub fn begin_output(&self, name: &str) -> Result<Output, Error> {
        check_name(name)?;
        Ok(Output { name: name.to_owned(), file: Unfinished::create(&self.dir.join(name))? })
    }

    /// Puts files in the shape of lm-eval, which are written, in the place of those that were there before. Returns their paths.
    pub fn replace_outputs(&mut self, files: Vec<Output>) -> Result<Vec<PathBuf>, Error> {
        let earlier = self.manifest.outputs.clone();
        let new: Vec<String> = files.iter().map(|output| output.name.clone()).collect();
        let both = earlier.iter().chain(&new).cloned().collect();
        self.update(Manifest { outputs: both, ..self.manifest.clone() })?;
        let paths = files.into_iter().map(|output| output.file.publish()).collect::<Result<_, _>>()?;
        for name in earlier.iter().filter(|name| !new.contains(name)) {
            file::remove_file(&self.dir.join(name))?;
        }
        self.update(Manifest { outputs: new, ..self.manifest.clone() })?;
        Ok(paths)
    }

    /// Writes a file beside the tables, as `report.html` or `figures/entropy.svg`: the whole file, or nothing. Returns its path.
    pub fn write_file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        check_name(name)?;
        let path = self.dir.join(name);
        if path.parent() != Some(&self.dir) {
            path.parent().map_or(Ok(()), file::create_inner_folder)?;
        }
        file::write(&path, bytes)?;
        Ok(path)
    }
}

fn write_tables(folder: &Path, rows: &Rows) -> Result<(), Error> {
    fs::create_dir(folder).map_err(Error::io("create", folder))?;
    write_table(folder, &rows.traces)?;
    write_table(folder, &rows.prefixes)?;
    write_table(folder, &rows.answers)?;
    write_table(folder, &rows.tokens)?;
    write_table(folder, &rows.signals)?;
    if !rows.decisions.is_empty() {
        write_table(folder, &rows.decisions)?;
    }
    parts::write_hashes(folder)?;
    file::sync_folder(folder)
}

fn copy_rows<R: Row>(rows: TableReader<R>, path: &Path) -> Result<(), Error> {
    let mut table = TableWriter::<R, R>::create(path)?;
    for row in rows {
        table.push(row?)?;
    }
    table.finish()
}

fn write_table<R: Row>(folder: &Path, rows: &[R]) -> Result<(), Error> {
    let mut table = TableWriter::<R, &R>::create(&folder.join(file_name(R::TABLE)))?;
    for row in rows {
        table.push(row)?;
    }
    table.finish()
}

fn refuse_occupied(dir: &Path) -> Result<(), Error> {
    let in_the_way = |name: &String| OTHER_NAMES.contains(&&**name) || is_own(name);
    let names: Vec<String> = file::names(dir)?.into_iter().filter(in_the_way).collect();
    if names.is_empty() { Ok(()) } else { Err(Error::Occupied { dir: dir.to_owned(), names }) }
}

fn refuse_newer(dir: &Path, recorded: &Manifest) -> Result<(), Error> {
    if recorded.is_newer() {
        return Err(Error::UnknownFormat {
            path: dir.join(MANIFEST_FILE),
            found: recorded.format_version.clone(),
            known: FORMAT_VERSION,
        });
    }
    Ok(())
}

/// Removes all of a run but its manifest, which says from the first step on that the run is not finished.
fn remove_run(dir: &Path, recorded: Manifest) -> Result<(), Error> {
    let outputs = recorded.outputs.clone();
    Manifest { finished_at: None, tables: BTreeMap::new(), ..recorded }.save(dir)?;
    for name in file::names(dir)? {
        let own = is_own(&name) && name != MANIFEST_FILE;
        if outputs.contains(&name) {
            file::remove_file(&dir.join(name))?;
        } else if own || OTHER_NAMES.contains(&&*name) {
            file::remove(&dir.join(name))?;
        }
    }
    Ok(())
}

/// Whether a name in the folder is the manifest, the parts or a table.
fn is_own(name: &str) -> bool {
    name == MANIFEST_FILE
        || name == PARTS
        || TABLES.iter().chain([&DECISIONS]).any(|table| file_name(table) == name)
}

/// A file beside the tables stays in the folder, is not hidden, and is none of the run's own.
fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: Component<'_>| matches!(c, Component::Normal(n) if !n.to_string_lossy().starts_with('.'));
    let mut components = Path::new(name).components();
    let first = Path::new(name).components().next().map(|c| c.as_os_str().to_string_lossy().into_owned());
    let own = first.is_none_or(|first| is_own(&first));
    if own || name.ends_with(['/', '\\']) || !components.all(plain) {
        return Err(Error::BadName { name: name.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
