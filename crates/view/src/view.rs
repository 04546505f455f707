//! Runs that are open, and the answers to what the page asks.

use std::cell::Cell;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use entrace_record::tables::{Places, TraceRows};
use entrace_record::{RunReader, Tables};
use serde::Serialize;
use serde_json::{Value, json};

use crate::detail::{Detail, rounded};
use crate::error::Error;
use crate::fill::{Filling, Progress};
use crate::index::{Column, Curve, Index, NO_POINT};
use crate::query::{Parameters, Query, Window, bad};
use crate::texts::beginning;

/// Most bytes of a question in a list.
const QUESTION_BYTES: usize = 240;
/// Most bytes of an answer in a list.
const ANSWER_BYTES: usize = 80;
/// Lists that are kept, so that scrolling does not filter and sort anew.
const KEPT_LISTS: usize = 6;

/// Run folders under a page.
pub struct View {
    runs: Vec<Arc<Run>>,
    lists: Mutex<VecDeque<(ListKey, Arc<Vec<u32>>)>>,
}

/// What a list depends on: the run, the run beside it, the query.
type ListKey = (usize, Option<usize>, Query);

/// One run folder.
pub(crate) struct Run {
    name: String,
    pub(crate) reader: RunReader,
    tables: Tables,
    pub(crate) index: Index,
    places: Mutex<Option<Arc<Places>>>,
    filling: Filling,
}

impl Run {
    fn open(dir: &Path, name: String) -> Result<Self, Error> {
        let reader = RunReader::open_unverified(dir)?;
        let tables = Tables::open(&reader)?;
        let index = Index::read(&tables)?;
        let (places, filling) = (Mutex::default(), Filling::begun());
        Ok(Self { name, reader, tables, index, places, filling })
    }

    /// Reads what the list needs beyond the traces.
    pub(crate) fn fill(&self) {
        match Tables::open(&self.reader) {
            Ok(tables) => self.filling.fill(&self.reader, &tables, &self.index),
            Err(error) => self.filling.fail(&error),
        }
    }

    fn places(&self) -> Result<Arc<Places>, Error> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = &*places {
            return Ok(Arc::clone(places));
        }
        let by_question = self.index.by_question();
        let found = self.tables.places(|task, id| by_question.get(&(task, id)).cloned())?;
        Ok(Arc::clone(places.insert(Arc::new(found))))
    }

    /// All of a trace; `None` for a number that no trace has.
    fn trace(&self, number: u32) -> Result<Option<Value>, Error> {
        let Some(trace) = self.tables.trace(number)? else { return Ok(None) };
        let rows = self.tables.rows_of(trace, number, &*self.places()?)?;
        Ok(self.trace_json(number, rows))
    }

    /// A trace with its row of the list, out of its rows of all tables.
    pub(crate) fn trace_json(&self, number: u32, rows: TraceRows) -> Option<Value> {
        let detail = Detail::of(number, rows, &self.reader.manifest().settings)?;
        Some(json!({ "trace": detail, "row": self.row(number, None) }))
    }

    /// What stopped the reading.
    pub(crate) fn problem(&self) -> Option<String> {
        self.filling.progress().problem
    }

    fn state(&self) -> RunState<'_> {
        let manifest = self.reader.manifest();
        let settings = &manifest.settings;
        let columns = self.index.columns();
        RunState {
            name: &self.name,
            model: &settings.model.name,
            tasks: self.index.tasks.names.iter().map(|name| &**name).collect(),
            n_traces: self.index.len(),
            finished: self.reader.is_complete(),
            date: manifest.started_at.get(..10).unwrap_or(&manifest.started_at),
            cues: std::iter::once(&settings.cue).chain(&settings.more_cues).map(String::as_str).collect(),
            changes: self.tables.has_interventions(),
            columns: columns.iter().map(|column| [column.name.clone(), column.label.clone()]).collect(),
            progress: self.filling.progress(),
        }
    }

    /// A trace as a row of a list. `other` is its number in another run.
    fn row(&self, number: u32, other: Option<(&Self, u32)>) -> Row<'_> {
        let index = &self.index;
        let at = number as usize;
        Row {
            number,
            task: index.task(number),
            id: index.question_id(number),
            sample: index.sample(number),
            question: index.question(number).map(|text| beginning(text, QUESTION_BYTES)),
            target: index.target(number).map(|text| beginning(text, ANSWER_BYTES)),
            answer: index.answer(number).map(|text| beginning(text, ANSWER_BYTES)),
            correct: index.correct[at],
            outcome: index.outcome[at].name(),
            stop_reason: index.stop_reason(number).map(|reason| &**reason),
            values: index.columns().iter().map(|column| value(column, number)).collect(),
            curve: index.curves.get().map(|curves| entropies(&curves[at])),
            other: other.map(|(run, number)| OtherRow {
                correct: run.index.correct[number as usize],
                answer: run.index.answer(number).map(|text| beginning(text, ANSWER_BYTES).to_owned()),
                gain: run.index.column("gain").and_then(|column| value(&column, number)),
            }),
        }
    }
}

fn value(column: &Column, number: u32) -> Option<f64> {
    column.get(number).map(|value| rounded(f64::from(value)))
}

/// Nats of a small curve.
fn entropies(curve: &Curve) -> Vec<Option<f64>> {
    curve.iter().map(|&point| (point != NO_POINT).then(|| rounded(f64::from(point) / 32.0))).collect()
}

/// What the page needs to know of a run.
#[derive(Serialize)]
struct RunState<'a> {
    name: &'a str,
    model: &'a str,
    tasks: Vec<&'a str>,
    n_traces: usize,
    finished: bool,
    date: &'a str,
    cues: Vec<&'a str>,
    /// Whether steps were changed in it (`entrace intervene`).
    changes: bool,
    /// Names and labels of the numbers in the rows of a list.
    columns: Vec<[String; 2]>,
    progress: Progress,
}

/// A row of a list.
#[derive(Serialize)]
struct Row<'a> {
    number: u32,
    task: &'a str,
    id: &'a str,
    sample: u32,
    question: Option<&'a str>,
    target: Option<&'a str>,
    answer: Option<&'a str>,
    correct: Option<bool>,
    outcome: &'static str,
    stop_reason: Option<&'a str>,
    values: Vec<Option<f64>>,
    curve: Option<Vec<Option<f64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<OtherRow>,
}

/// The same trace in another run.
#[derive(Serialize)]
struct OtherRow {
    correct: Option<bool>,
    answer: Option<String>,
    gain: Option<f64>,
}

impl View {
    /// Opens run folders and begins to read them in the background.
    pub fn open(dirs: &[PathBuf]) -> Result<Self, Error> {
        let view = Self::unread(dirs)?;
        for run in &view.runs {
            let run = Arc::clone(run);
            thread::spawn(move || {
                // So that whoever looks at a trace first need not wait for it. What fails here is told then.
                drop(run.places());
                run.fill();
            });
        }
        Ok(view)
    }

    /// Opens run folders and reads nothing in the background.
    pub fn unread(dirs: &[PathBuf]) -> Result<Self, Error> {
        let runs = dirs.iter().zip(names(dirs)).map(|(dir, name)| Run::open(dir, name).map(Arc::new));
        Ok(Self { runs: runs.collect::<Result<_, _>>()?, lists: Mutex::default() })
    }

    pub(crate) fn runs(&self) -> &[Arc<Run>] {
        &self.runs
    }

    /// Number of traces of all runs.
    pub fn n_traces(&self) -> usize {
        self.runs.iter().map(|run| run.index.len()).sum()
    }

    /// Waits until everything has been read; tells what stopped it, by run.
    pub fn wait(&self) -> Vec<Option<String>> {
        let ended = |run: &Arc<Run>| loop {
            let progress = run.filling.progress();
            if progress.reading.is_none() {
                return progress.problem;
            }
            thread::sleep(std::time::Duration::from_millis(5));
        };
        self.runs.iter().map(ended).collect()
    }

    /// What the page begins with.
    pub(crate) fn state(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "runs": self.runs.iter().map(|run| run.state()).collect::<Vec<_>>(),
        })
    }

    /// The answer to `address`, as in `rows?run=0&sort=-gain`; `None` where nothing has it.
    pub(crate) fn answer(&self, address: &str) -> Result<Option<Value>, Error> {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let parameters = Parameters::parse(query);
        match path {
            "state" => Ok(Some(self.state())),
            "rows" => self.rows(&parameters).map(Some),
            "trace" => self.trace(&parameters),
            _ => Ok(None),
        }
    }

    fn run(&self, parameters: &Parameters, name: &str) -> Result<Option<(usize, &Arc<Run>)>, Error> {
        let Some(number) = parameters.number::<usize>(name)? else { return Ok(None) };
        let run = self.runs.get(number).ok_or_else(|| bad(format!("there is no run {number}")))?;
        Ok(Some((number, run)))
    }

    fn main_run(&self, parameters: &Parameters) -> Result<(usize, &Arc<Run>), Error> {
        self.run(parameters, "run")?.ok_or_else(|| bad("no run is named".to_owned()))
    }

    /// A part of a list of traces.
    fn rows(&self, parameters: &Parameters) -> Result<Value, Error> {
        let (number, run) = self.main_run(parameters)?;
        let other = self.run(parameters, "other")?;
        let query = Query::parse(parameters, &run.index)?;
        let window = Window::parse(parameters)?;
        let list = self.list((number, other.map(|(number, _)| number), query))?;
        let begin = window.from.min(list.len());
        let end = (begin + window.n).min(list.len());
        let in_other = |number: u32| {
            let (_, run_of_other) = other?;
            find_in(run_of_other, run, number, 0).map(|found| (&**run_of_other, found))
        };
        let rows: Vec<Row<'_>> =
            list[begin..end].iter().map(|&number| run.row(number, in_other(number))).collect();
        let position = window.at.and_then(|number| list.iter().position(|&listed| listed == number));
        let columns: Vec<String> = run.index.columns().iter().map(|column| column.name.clone()).collect();
        Ok(json!({
            "total": run.index.len(), "found": list.len(), "from": begin, "position": position, "columns": columns, "rows": rows,
        }))
    }

    /// The numbers of a list, kept or made.
    fn list(&self, key: ListKey) -> Result<Arc<Vec<u32>>, Error> {
        let lists = || self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, list)) = lists().iter().find(|(known, _)| *known == key) {
            return Ok(Arc::clone(list));
        }
        let (number, other, query) = &key;
        let run = &self.runs[*number];
        let near = Cell::new(0);
        let verdict = |number: u32| {
            let other = &self.runs[(*other)?];
            let found = find_in(other, run, number, near.get())?;
            near.set(found);
            other.index.correct[found as usize]
        };
        let list = Arc::new(query.run(&run.index, verdict)?);
        let mut lists = lists();
        lists.push_front((key, Arc::clone(&list)));
        lists.truncate(KEPT_LISTS);
        Ok(list)
    }

    /// One trace, by its number or its name.
    fn trace(&self, parameters: &Parameters) -> Result<Option<Value>, Error> {
        let (_, run) = self.main_run(parameters)?;
        let number = match parameters.number("number")? {
            Some(number) => Some(number),
            None => {
                let name =
                    |name: &str| parameters.get(name).ok_or_else(|| bad(format!("no {name} is named")));
                let sample = parameters.number("sample")?.unwrap_or(0);
                run.index.find(0, name("task")?, name("id")?, sample)
            }
        };
        number.map_or(Ok(None), |number| run.trace(number))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.runs.iter().for_each(|run| run.filling.stop());
    }
}

/// The number in one run of a trace of another.
fn find_in(run: &Run, of: &Run, number: u32, near: u32) -> Option<u32> {
    let index = &of.index;
    run.index.find(near, index.task(number), index.question_id(number), index.sample(number))
}

/// Names of folders, told apart by a number where they are alike.
fn names(dirs: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for dir in dirs {
        let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        let name = whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned();
        let n_alike =
            names.iter().filter(|known| **known == name || known.starts_with(&format!("{name} ("))).count();
        names.push(if n_alike == 0 { name } else { format!("{name} ({})", n_alike + 1) });
    }
    names
}

#[cfg(test)]
mod tests;
