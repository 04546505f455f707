//! A run folder: its tables, its numbers, its verdicts and figures.

use crate::failure;
use crate::table::Table;
use entrace_record::RunReader;
use entrace_report::metrics::Metrics;
use entrace_report::{Report, ReportOptions, figure, verdict_sentence};
use entrace_study::Error;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A run folder, checked when it is opened.
#[pyclass(frozen)]
pub(crate) struct RunFolder {
    reader: RunReader,
    metrics: OnceLock<Metrics>,
}

#[pymethods]
impl RunFolder {
    #[new]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let reader = py.detach(|| RunReader::open(&path));
        let reader = reader.map_err(|error| failure::of_study(py, error.into()))?;
        Ok(Self { reader, metrics: OnceLock::new() })
    }

    /// The folder.
    #[getter]
    fn path(&self) -> PathBuf {
        self.reader.dir().to_path_buf()
    }

    /// Whether the run was finished; else its tables hold what was measured so far.
    #[getter]
    fn is_complete(&self) -> bool {
        self.reader.is_complete()
    }

    /// The manifest as JSON.
    #[getter]
    fn manifest(&self) -> PyResult<String> {
        json(self.reader.manifest())
    }

    /// All numbers as JSON, in the form of `metrics.json`.
    #[getter]
    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        json(self.numbers(py)?)
    }

    /// A table by its name; `None` where the run has no such table.
    fn table(&self, name: &str) -> Option<Table> {
        let file = format!("{name}.parquet");
        let in_folder = |folder: PathBuf| Some(folder.join(&file)).filter(|file| file.is_file());
        let of_run = in_folder(self.reader.dir().to_path_buf());
        let files: Vec<PathBuf> = match of_run {
            Some(file) => vec![file],
            None => self.parts().into_iter().filter_map(in_folder).collect(),
        };
        (!files.is_empty()).then(|| Table::of_files(name, files))
    }

    /// The verdict of each task in a sentence: pairs of a task and its sentence.
    fn sentences(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let tasks = &self.numbers(py)?.tasks;
        Ok(tasks.iter().map(|task| (task.task.clone(), verdict_sentence(task))).collect())
    }

    /// The figures of a task as SVG: pairs of a name and the figure. They hold no scripts, styles or links, and texts in them are escaped.
    fn figures(&self, py: Python<'_>, task: &str) -> PyResult<Vec<(String, String)>> {
        let metrics = self.numbers(py)?;
        let Some(task) = metrics.tasks.iter().find(|known| known.task == task) else { return Ok(Vec::new()) };
        let drawn = figure::task_figures(task, &metrics.depths, metrics.options.level);
        let drawn = drawn.map_err(|error| failure::of_study(py, error.into()))?;
        Ok(drawn.into_iter().map(|(name, svg)| (name.to_string(), svg)).collect())
    }
}

impl RunFolder {
    /// The parts of an unfinished run, in order.
    fn parts(&self) -> Vec<PathBuf> {
        let first = self.reader.part_folder(0);
        let entries = first.parent().and_then(|parts| std::fs::read_dir(parts).ok());
        let is_part = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
        };
        let mut parts: Vec<PathBuf> =
            entries.into_iter().flatten().flatten().map(|entry| entry.path()).filter(is_part).collect();
        parts.sort();
        parts
    }

    /// The numbers, made from the record once.
    fn numbers(&self, py: Python<'_>) -> PyResult<&Metrics> {
        if let Some(metrics) = self.metrics.get() {
            return Ok(metrics);
        }
        let report = py.detach(|| Report::of_run(&self.reader, &ReportOptions::default()));
        let report = report.map_err(|error| failure::of_study(py, Error::from(error)))?;
        Ok(self.metrics.get_or_init(|| report.metrics))
    }
}

fn json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| PyRuntimeError::new_err(error.to_string()))
}
