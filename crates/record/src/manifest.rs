//! What a run was: everything needed to read its numbers and to repeat it.
//!
//! `settings` are what results depend on; a run is resumed only with equal settings. The rest describes the occasion.

use serde::{Deserialize, Serialize};

/// Version of the run folder's format that this crate writes.
///
/// A reader accepts its own major version and refuses others; a minor version adds files, columns or fields that older readers skip.
/// History: 1.0, the first.
pub const FORMAT_VERSION: &str = "1.0";

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format, `major.minor`.
    pub format_version: String,
    /// Version of entrace that began the run.
    pub entrace_version: String,
    /// When the run began, RFC 3339.
    pub started_at: String,
    /// When the run was completed; absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// Seconds of work, over all sittings.
    #[serde(default)]
    pub elapsed_secs: f64,
    /// The command line, without secrets.
    pub command: Vec<String>,
    /// The unit of every entropy and log-probability: `nats`.
    pub unit: String,
    /// What the results depend on.
    pub settings: Settings,
}

/// What the results of a run depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The model.
    pub model: ModelRecord,
    /// The tasks, in order.
    pub tasks: Vec<TaskRecord>,
    /// How traces came to be.
    pub traces: TraceSource,
    /// How traces are cut into steps, as in `--segment`.
    pub segment: String,
    /// Most steps of a trace; absent for no limit.
    pub max_steps: Option<usize>,
    /// The answer cue of the forced estimators.
    pub cue: String,
    /// What `--choice-form` scored: `label`, `text` or `text-mean`.
    pub choice_form: String,
    /// Number of draws m of the sampling estimators.
    pub samples: usize,
    /// Unexplored mass at which `enumerate` stops.
    pub enumerate_epsilon: f64,
    /// Most nodes that `enumerate` expands at a prefix.
    pub enumerate_nodes: usize,
    /// Controls that were measured besides the traces themselves.
    pub controls: Vec<String>,
    /// The run's seed.
    pub seed: u64,
    /// Questions in one batch. Sums of floating-point numbers depend on it in the last digits.
    pub batch_size: usize,
}

/// Identity of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// As the user named it.
    pub name: String,
    /// Revision of a Hub repository.
    pub revision: Option<String>,
    /// `model_type`.
    pub architecture: String,
    /// Number of parameters.
    pub n_parameters: u64,
    /// Type of numbers in computation.
    pub dtype: String,
    /// Where it ran.
    pub device: String,
    /// Context length in tokens.
    pub context_length: usize,
    /// Hash of configuration and weights.
    pub model_hash: String,
    /// Hash of the tokenizer.
    pub tokenizer_hash: Option<String>,
    /// Hash of the chat template.
    pub template_hash: Option<String>,
}

/// One task of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Its name.
    pub name: String,
    /// Where the questions came from: a path or a repository with its revision.
    pub source: String,
    /// SHA-256 of the questions as read.
    pub hash: String,
    /// Questions to measure, after `--limit`.
    pub n_questions: usize,
    /// Lines of the source that could not be read.
    pub n_bad_lines: usize,
    /// How answers are read: `number`, `choice` or `text`.
    pub answer_format: String,
    /// The estimator.
    pub estimator: String,
}

/// How traces came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TraceSource {
    /// Sampled from the model.
    Generated {
        /// Temperature; 0 is greedy.
        temperature: f64,
        /// Nucleus mass.
        top_p: f64,
        /// Number of most likely tokens kept; 0 for all.
        top_k: usize,
        /// Most new tokens.
        max_new_tokens: usize,
        /// Stop strings.
        stop: Vec<String>,
        /// Traces for each question.
        traces_per_question: usize,
        /// Examples in the prompt.
        num_fewshot: usize,
        /// System prompt.
        system: Option<String>,
        /// `chat`, or the text of a prompt template.
        prompt_template: String,
    },
    /// Read from a file.
    Imported {
        /// The file.
        path: String,
        /// Its SHA-256.
        hash: String,
    },
}
