//! Results and samples in the shape of lm-evaluation-harness.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::writer::RunWriter;

/// All results of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// Kind of model, as lm-eval's `--model`: `entrace`.
    pub model_source: String,
    /// The model as the user named it.
    pub model_name: String,
    /// What the run was made with, as `batch_size`, `limit`, `gen_kwargs`, `random_seed`.
    pub config: Map<String, Value>,
    /// When the results were written.
    pub date: Timestamp,
    /// Seconds of work.
    pub elapsed_secs: f64,
    /// The tasks.
    pub tasks: Vec<TaskResults>,
}

/// Results of one task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskResults {
    /// Its name.
    pub name: String,
    /// Version of the task.
    pub version: u32,
    /// Values by `metric,filter`, standard errors by `metric_stderr,filter`.
    pub metrics: Map<String, Value>,
    /// By metric, whether more is better.
    pub higher_is_better: BTreeMap<String, bool>,
    /// How the task was set up.
    pub config: Map<String, Value>,
    /// Examples in the prompt.
    pub num_fewshot: usize,
    /// Questions of the task.
    pub n_original: usize,
    /// Questions that were asked.
    pub n_effective: usize,
}

/// One question, one answer filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Position of the question in its task.
    pub doc_id: usize,
    /// The question as an object.
    pub doc: Value,
    /// The true answer.
    pub target: String,
    /// The prompt.
    pub prompt: String,
    /// Generation settings, or the option that was scored; the second argument of the request.
    pub arguments: Value,
    /// What the model wrote, one for each trace.
    pub responses: Vec<String>,
    /// The answers read from it.
    pub filtered_responses: Vec<String>,
    /// Name of the filter that read them, as `none` or `flexible-extract`.
    pub filter: String,
    /// Values by metric.
    pub metrics: Map<String, Value>,
    /// Other keys, which lm-eval's tools pass over.
    pub extra: Map<String, Value>,
}

/// Writes `results_<time>.json`, time as in [`crate::time::file_stamp`]. Returns its path.
pub fn write_results(writer: &RunWriter, results: &Results) -> Result<PathBuf, Error> {
    unimplemented!("{writer:?} {results:?}")
}

/// Writes `samples_<task>_<time>.jsonl`. Returns its path.
pub fn write_samples(
    writer: &RunWriter,
    task: &str,
    date: Timestamp,
    samples: &[Sample],
) -> Result<PathBuf, Error> {
    unimplemented!("{writer:?} {task} {date} {samples:?}")
}
