//! What is finished of interventions that are being measured, so that an interrupted measurement is resumed.
//!
//! `interventions.parts/00000`, ... hold a table and settings each, in the form of the whole. A part counts only if it was measured with the same
//! settings; the folder goes once the whole table is written.

use super::{InterventionSettings, Interventions, PARTS_FOLDER, read, write};
use crate::error::Error;
use crate::file;
use crate::rows::InterventionRow;
use std::path::{Path, PathBuf};

/// The finished parts of a measurement.
#[derive(Debug)]
pub struct Unfinished {
    folder: PathBuf,
    settings: InterventionSettings,
}

impl Unfinished {
    /// The parts in a run folder of a measurement with these settings, whose counts are left out of account.
    pub fn of(run: &Path, settings: &InterventionSettings) -> Self {
        Self { folder: run.join(PARTS_FOLDER), settings: without_counts(settings) }
    }

    /// A part, if it is there and whole.
    pub fn part(&self, index: usize) -> Option<Interventions> {
        let found = read(&self.part_folder(index)).ok().flatten();
        found.filter(|(settings, _)| without_counts(settings) == self.settings)
    }

    /// Writes a part; `counts` are the settings with what it took.
    pub fn write(
        &self,
        index: usize,
        counts: &InterventionSettings,
        rows: &[InterventionRow],
    ) -> Result<(), Error> {
        file::create_inner_folder(&self.folder)?;
        let folder = self.part_folder(index);
        file::create_inner_folder(&folder)?;
        write(&folder, counts, rows)
    }

    /// The settings, without counts.
    pub fn settings(&self) -> &InterventionSettings {
        &self.settings
    }

    /// Removes all parts.
    pub fn remove(self) -> Result<(), Error> {
        file::remove(&self.folder)
    }

    fn part_folder(&self, index: usize) -> PathBuf {
        self.folder.join(format!("{index:05}"))
    }
}

fn without_counts(settings: &InterventionSettings) -> InterventionSettings {
    InterventionSettings {
        tokens_scored: 0,
        tokens_drawn: 0,
        draws_made: 0,
        draws_at_most: 0,
        elapsed_secs: 0.0,
        table_hash: String::new(),
        ..settings.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{row, settings};
    use super::*;

    #[test]
    fn parts_of_the_same_settings_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let unfinished = Unfinished::of(dir.path(), &settings());
        assert_eq!(unfinished.part(0), None);
        let counts = InterventionSettings { tokens_scored: 9, ..settings() };
        unfinished.write(1, &counts, &[row(1)]).unwrap();
        let (found, rows) = unfinished.part(1).unwrap();
        assert_eq!((found.tokens_scored, rows), (9, vec![row(1)]));
        assert_eq!(unfinished.part(0), None);
        let others = Unfinished::of(dir.path(), &InterventionSettings { seed: 5, ..settings() });
        assert_eq!(others.part(1), None);
        unfinished.remove().unwrap();
        assert!(file::names(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn a_damaged_part_is_measured_again() {
        let dir = tempfile::tempdir().unwrap();
        let unfinished = Unfinished::of(dir.path(), &settings());
        unfinished.write(0, &settings(), &[row(1)]).unwrap();
        let table = unfinished.part_folder(0).join(super::super::TABLE_FILE);
        std::fs::write(table, "PAR1").unwrap();
        assert_eq!(unfinished.part(0), None);
    }
}
