//! Interventions on the traces of a run: a table and its settings, added to the folder after the run.
//!
//! `interventions.parquet` has the rows ([`InterventionRow`]); `interventions.json` says how they were made. Both are replaced as a whole when
//! interventions are measured again. The settings name the table by its hash, so that a table of one measurement is never read with the
//! settings of another.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::file;
use crate::hash;
use crate::manifest::ModelRecord;
use crate::rows::InterventionRow;
use crate::sealed;
use crate::table::{TableReader, TableWriter};

mod unfinished;

pub use unfinished::Unfinished;

/// File of the table.
pub const TABLE_FILE: &str = "interventions.parquet";

/// File of the settings.
pub const SETTINGS_FILE: &str = "interventions.json";

/// Folder of what is finished while they are being measured.
pub(crate) const PARTS_FOLDER: &str = "interventions.parts";

/// How interventions were measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InterventionSettings {
    /// Version of entrace that measured them.
    pub entrace_version: String,
    /// The model that was asked; absent for rollouts of others that were imported.
    pub model: Option<ModelRecord>,
    /// The model that paraphrased, where it was another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paraphraser: Option<String>,
    /// Kinds of changes, by name.
    pub kinds: Vec<String>,
    /// `forced`, `rollout` or both.
    pub readings: Vec<String>,
    /// Fewest and most draws at a place.
    pub draws: [usize; 2],
    /// Share of steps without importance that the noise floor lets through.
    pub alpha: f64,
    /// Cosine of middle hidden states below which a step that was drawn anew says something else.
    pub dissimilar_below: f64,
    /// Seed of lots and draws.
    pub seed: u64,
    /// Traces that took part.
    pub n_traces: usize,
    /// Traces that did not, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, usize>,
    /// Tokens that were scored: prompts, traces and what follows edits.
    pub tokens_scored: u64,
    /// Tokens that were drawn.
    pub tokens_drawn: u64,
    /// Draws that were made.
    pub draws_made: u64,
    /// Draws that would have been made with the most draws everywhere.
    pub draws_at_most: u64,
    /// Seconds of work.
    pub elapsed_secs: f64,
    /// Draws of imported folders that are there twice; 0 for others.
    #[serde(default)]
    pub doubled_rollouts: u64,
    /// SHA-256 of the table.
    #[serde(default)]
    pub table_hash: String,
}

/// Settings and rows.
pub type Interventions = (InterventionSettings, Vec<InterventionRow>);

/// Writes table and settings into a run folder, each whole or not at all, and replaces earlier ones.
pub fn write(dir: &Path, settings: &InterventionSettings, rows: &[InterventionRow]) -> Result<(), Error> {
    let path = dir.join(TABLE_FILE);
    let temporary = file::temporary(&path);
    let written = write_table(&temporary, rows)
        .and_then(|()| hash::sha256_file(&temporary))
        .and_then(|hash| file::publish(&temporary, &path).map(|()| hash));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = file::remove(&temporary);
    }
    let settings = InterventionSettings { table_hash: written?, ..settings.clone() };
    let fields = serde_json::json!(settings).as_object().cloned().unwrap_or_default();
    file::write(&dir.join(SETTINGS_FILE), sealed::seal(fields).as_bytes())
}

fn write_table(path: &Path, rows: &[InterventionRow]) -> Result<(), Error> {
    let mut table = TableWriter::<InterventionRow, &InterventionRow>::create(path)?;
    rows.iter().try_for_each(|row| table.push(row))?;
    table.finish()
}

/// Reads what was added to a run folder; `None` where nothing was.
pub fn read(dir: &Path) -> Result<Option<Interventions>, Error> {
    let Some(settings) = settings(dir)? else { return Ok(None) };
    let rows = TableReader::new(vec![dir.join(TABLE_FILE)]).collect::<Result<_, _>>()?;
    Ok(Some((settings, rows)))
}

/// The settings of what was added to a run folder, whose table is the one that they name; `None` where nothing was.
pub fn settings(dir: &Path) -> Result<Option<InterventionSettings>, Error> {
    let path = dir.join(SETTINGS_FILE);
    let bytes = match file::read_json(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", &path)(e)),
    };
    let bad = |path: PathBuf, problem: String| Error::BadTable { path, problem };
    let parsed = || {
        let mut json = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
        sealed::unseal(&mut json)?;
        serde_json::from_value(json).map_err(|e| e.to_string())
    };
    let settings: InterventionSettings = parsed().map_err(|problem| bad(path, problem))?;
    let table = dir.join(TABLE_FILE);
    if hash::sha256_file(&table)? != settings.table_hash {
        let problem =
            format!("its SHA-256 is not the one in {SETTINGS_FILE}; measure the interventions again");
        return Err(bad(table, problem));
    }
    Ok(Some(settings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    pub(super) fn settings() -> InterventionSettings {
        InterventionSettings {
            entrace_version: "0".into(),
            kinds: vec!["delete".into()],
            readings: vec!["forced".into()],
            draws: [8, 64],
            n_traces: 1,
            tokens_scored: 1,
            ..InterventionSettings::default()
        }
    }

    pub(super) fn row(step: u32) -> InterventionRow {
        InterventionRow {
            task: "sums".into(),
            question_id: "q".into(),
            sample: 0,
            step,
            n_steps: 2,
            kind: "delete".into(),
            variant: "".into(),
            reading: "forced".into(),
            off_policy: true,
            span_start: Some(0),
            span_end: Some(4),
            original: Some("3 ✓".into()),
            replacement: Some(String::new()),
            n_tokens: 7,
            n_draws: None,
            leader: Some("3".into()),
            leader_prob: Some(0.5),
            leader_before: Some("4".into()),
            target_prob: None,
            target_change: None,
            target_change_low: None,
            target_change_high: None,
            tv: Some(0.25),
            kl_nats: Some(0.1),
            leader_changes: Some(true),
            conflicting: None,
            conflicting_prob: None,
            residual_mass: Some(0.0),
            headroom: None,
            noise_floor: None,
            p_value: None,
            answers: Some("[[\"3\",0.5]]".into()),
            reason: None,
        }
    }

    #[test]
    fn rows_survive_the_disk_and_replace_earlier_ones() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        write(dir.path(), &settings(), &[row(1)]).unwrap();
        write(dir.path(), &settings(), &[row(1), row(2)]).unwrap();
        let (found, rows) = read(dir.path()).unwrap().unwrap();
        assert_eq!((rows, found.draws), (vec![row(1), row(2)], [8, 64]));
        assert_eq!(file::names(dir.path()).unwrap(), [SETTINGS_FILE, TABLE_FILE]);
    }

    #[test]
    fn a_table_of_another_measurement_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &settings(), &[row(1)]).unwrap();
        let json = fs::read(dir.path().join(SETTINGS_FILE)).unwrap();
        write(dir.path(), &settings(), &[row(2)]).unwrap();
        fs::write(dir.path().join(SETTINGS_FILE), json).unwrap();
        let message = read(dir.path()).unwrap_err().to_string();
        assert!(message.contains("measure the interventions again"), "{message}");
    }
}
