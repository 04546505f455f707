//! Reading a run folder, finished or not.
//!
//! Of a finished run the rows are those of the five tables, in the order of the questions. Of an unfinished one they are those of the
//! parts that are there, in the order of their numbers; what a writer adds after `open` is not seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::manifest::{MANIFEST_FILE, Manifest};
use crate::parts;
use crate::rows::{AnswerRow, DecisionRow, PrefixRow, SignalRow, TokenRow, TraceRow};
use crate::table::{DECISIONS, Row, TableFile, TableReader, file_name, parts as parts_of};
use crate::tables::{AnswerHead, PrefixHead, PrefixLeader, TokenHead, TokenStep, TraceHead};

/// A run folder, checked.
#[derive(Debug)]
pub struct RunReader {
    dir: PathBuf,
    manifest: Manifest,
    /// The folders that hold tables: the run folder itself, or its parts.
    folders: Vec<PathBuf>,
}

impl RunReader {
    /// Opens a run folder and checks its manifest, its version and, of a finished run, that the tables are there with all their columns.
    ///
    /// A run that is finished meanwhile loses its parts between the manifest and the tables; it is then opened as the finished run.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let reader = Self::open_unverified(dir)?;
        match reader.verify() {
            Err(_) if !reader.is_complete() && is_finished(dir) => {
                let reader = Self::open_once(dir)?;
                reader.verify().map(|()| reader)
            }
            verified => verified.map(|()| reader),
        }
    }

    /// Opens a run folder as `open` does, but leaves the hashes of its tables to [`Self::verify`]: they take as long as reading all bytes.
    pub fn open_unverified(dir: &Path) -> Result<Self, Error> {
        match Self::open_once(dir) {
            Err(_) if is_finished(dir) => Self::open_once(dir),
            result => result,
        }
    }

    fn open_once(dir: &Path) -> Result<Self, Error> {
        let manifest = Manifest::load(dir)?.ok_or_else(|| Error::NoManifest { dir: dir.to_owned() })?;
        let folders = if manifest.finished_at.is_some() {
            vec![dir.to_owned()]
        } else {
            parts::list(dir)?.into_iter().map(|index| parts::folder(dir, index)).collect()
        };
        let reader = Self { dir: dir.to_owned(), manifest, folders };
        if reader.is_complete() {
            reader.check::<TraceRow>()?;
            reader.check::<PrefixRow>()?;
            reader.check::<AnswerRow>()?;
            reader.check::<TokenRow>()?;
            reader.check::<SignalRow>()?;
        }
        Ok(reader)
    }

    /// Compares the tables with the hashes that the manifest or the parts state.
    pub fn verify(&self) -> Result<(), Error> {
        let required = self.manifest.has_hashes();
        if !self.is_complete() {
            return self.folders.iter().try_for_each(|folder| parts::check(folder, required));
        }
        if required || !self.manifest.tables.is_empty() {
            parts::compare(&self.dir, &self.manifest.tables, MANIFEST_FILE)?;
        }
        Ok(())
    }

    fn check<R: Row>(&self) -> Result<(), Error> {
        TableFile::<R>::open(&self.dir.join(file_name(R::TABLE))).map(|_| ())
    }

    fn rows<R: Row>(&self) -> TableReader<R> {
        TableReader::new(self.files(R::TABLE))
    }

    /// The files of a table, in the order of the questions.
    pub(crate) fn files(&self, table: &str) -> Vec<PathBuf> {
        self.folders.iter().map(|folder| folder.join(file_name(table))).collect()
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The traces of one part of an unfinished run.
    pub fn part_traces(&self, index: usize) -> Result<Vec<TraceRow>, Error> {
        TableReader::new(vec![parts::folder(&self.dir, index).join(file_name(TraceRow::TABLE))]).collect()
    }

    /// An error if the other tables of a part have rows of traces that do not belong there.
    pub fn check_part(&self, index: usize, known: &BTreeSet<TraceKey<'_>>) -> Result<(), Error> {
        let folder = parts::folder(&self.dir, index);
        check_keys::<PrefixRow>(&folder, known, |row| (&row.task, &row.question_id, row.sample))?;
        check_keys::<AnswerRow>(&folder, known, |row| (&row.task, &row.question_id, row.sample))?;
        check_keys::<TokenRow>(&folder, known, |row| (&row.task, &row.question_id, row.sample))?;
        check_keys::<SignalRow>(&folder, known, |row| (&row.task, &row.question_id, row.sample))?;
        if folder.join(file_name(DECISIONS)).exists() {
            check_keys::<DecisionRow>(&folder, known, |row| (&row.task, &row.question_id, row.sample))?;
        }
        Ok(())
    }

    /// The folder of a part of an unfinished run.
    pub fn part_folder(&self, index: usize) -> PathBuf {
        parts::folder(&self.dir, index)
    }

    /// Whether the run was finished; else the rows are those of the parts so far.
    pub fn is_complete(&self) -> bool {
        self.manifest.finished_at.is_some()
    }

    /// All rows of `traces`.
    pub fn traces(&self) -> Result<Vec<TraceRow>, Error> {
        self.stream_traces().collect()
    }

    /// All rows of `prefixes`.
    pub fn prefixes(&self) -> Result<Vec<PrefixRow>, Error> {
        self.stream_prefixes().collect()
    }

    /// All rows of `answers`.
    pub fn answers(&self) -> Result<Vec<AnswerRow>, Error> {
        self.stream_answers().collect()
    }

    /// All rows of `tokens`.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        self.stream_tokens().collect()
    }

    /// All rows of `signals`.
    pub fn signals(&self) -> Result<Vec<SignalRow>, Error> {
        self.stream_signals().collect()
    }

    /// All rows of `decisions`; none where no rule stopped traces.
    pub fn decisions(&self) -> Result<Vec<DecisionRow>, Error> {
        self.stream_decisions().collect()
    }

    /// The rows of `decisions`, one row group in memory at a time.
    pub fn stream_decisions(&self) -> impl Iterator<Item = Result<DecisionRow, Error>> + use<> {
        let mut files = self.files(DECISIONS);
        files.retain(|file| file.exists());
        TableReader::new(files)
    }

    /// The rows of `traces`, one row group in memory at a time. An error ends the iteration.
    pub fn stream_traces(&self) -> impl Iterator<Item = Result<TraceRow, Error>> + use<> {
        self.rows()
    }

    /// The rows of `traces` without their texts, likewise.
    pub fn stream_trace_heads(&self) -> impl Iterator<Item = Result<TraceHead, Error>> + use<> {
        parts_of(self.files(TraceRow::TABLE))
    }

    /// The leaders of `prefixes`, likewise.
    pub fn stream_prefix_leaders(&self) -> impl Iterator<Item = Result<PrefixLeader, Error>> + use<> {
        parts_of(self.files(PrefixRow::TABLE))
    }

    /// What of `prefixes` a list of traces needs, likewise.
    pub fn stream_prefix_heads(&self) -> impl Iterator<Item = Result<PrefixHead, Error>> + use<> {
        parts_of(self.files(PrefixRow::TABLE))
    }

    /// What the rows of `answers` belong to, likewise.
    pub fn stream_answer_heads(&self) -> impl Iterator<Item = Result<AnswerHead, Error>> + use<> {
        parts_of(self.files(AnswerRow::TABLE))
    }

    /// What the rows of `tokens` belong to, likewise.
    pub fn stream_token_heads(&self) -> impl Iterator<Item = Result<TokenHead, Error>> + use<> {
        parts_of(self.files(TokenRow::TABLE))
    }

    /// The tokens of one part of an unfinished run, by number.
    pub fn part_tokens(&self, index: usize) -> impl Iterator<Item = Result<TokenStep, Error>> + use<> {
        parts_of(vec![parts::folder(&self.dir, index).join(file_name(TokenRow::TABLE))])
    }

    /// The rows of `prefixes`, likewise.
    pub fn stream_prefixes(&self) -> impl Iterator<Item = Result<PrefixRow, Error>> + use<> {
        self.rows()
    }

    /// The rows of `answers`, likewise.
    pub fn stream_answers(&self) -> impl Iterator<Item = Result<AnswerRow, Error>> + use<> {
        self.rows()
    }

    /// The rows of `tokens`, likewise.
    pub fn stream_tokens(&self) -> impl Iterator<Item = Result<TokenRow, Error>> + use<> {
        self.rows()
    }

    /// The rows of `signals`, likewise.
    pub fn stream_signals(&self) -> impl Iterator<Item = Result<SignalRow, Error>> + use<> {
        self.rows()
    }
}

fn is_finished(dir: &Path) -> bool {
    Manifest::peek(dir).is_some_and(|manifest| manifest.finished_at.is_some())
}

/// Task, question and number of a trace.
pub type TraceKey<'a> = (&'a str, &'a str, u32);

fn check_keys<R: Row>(
    folder: &Path,
    known: &BTreeSet<TraceKey<'_>>,
    key: impl Fn(&R) -> TraceKey<'_>,
) -> Result<(), Error> {
    for row in TableReader::<R>::new(vec![folder.join(file_name(R::TABLE))]) {
        let row = row?;
        let (task, id, sample) = key(&row);
        if !known.contains(&(task, id, sample)) {
            let problem = format!(
                "{} has a row of {task} {id:?} trace {sample}, which does not belong there",
                R::TABLE
            );
            return Err(Error::ForeignPart { path: folder.to_owned(), problem });
        }
    }
    Ok(())
}
