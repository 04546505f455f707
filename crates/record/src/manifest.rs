//! What a run was: everything needed to read its numbers and to repeat it.
//!
//! `settings` are what results depend on; a run is resumed only with equal settings. The rest describes the occasion.
//!
//! # The run folder
//!
//! | name | what |
//! |---|---|
//! | `manifest.json` | this module, with a checksum of itself (`sealed`); the first file written, and the last one changed |
//! | `traces.parquet`, `prefixes.parquet`, `answers.parquet`, `tokens.parquet`, `signals.parquet` | the rows (`rows`), once the run is finished |
//! | `decisions.parquet` | what a stopping rule decided at each prefix, in runs that have one |
//! | `parts/00000/`, ... | the same tables for a part of the questions, and `hashes.json`, until then |
//! | `report.html`, `metrics.json`, `figures/`, `results_*.json`, `samples_*.jsonl` | made from the rows; can be made again |
//! | `interventions.parquet`, `interventions.json` | what changes in the traces did to belief, and how that was measured; replaced as a whole |
//! | `interventions.parts/` | what is finished of interventions that are being measured |
//! | `skipped_lines.txt` | lines of the input that could not be read, if there were some |
//! | `.lock`, `.*.entrace-tmp` | of a writer at work, or left by one that was killed |
//!
//! # Versions of the format
//!
//! `format_version` is `major.minor`, in the manifest and in every table. A minor version adds files, columns or fields, which older
//! readers skip; all else needs a new major version. A reader accepts its own major version and refuses others. A writer goes on with or
//! replaces only what its own version or an earlier minor one wrote: it never touches what is newer. Tables of 1.0 are kept with the
//! tests and are read by every later version of major 1.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Difference, Error};
use crate::file;
use crate::parts::Hashes;
use crate::sealed;
use crate::time::rfc3339;

/// Version of the run folder's format that this crate writes.
///
/// History: 1.0, the first; 1.1 adds `answer_stated`, `target_stated` and `cue` to `prefixes`, `cue` and `estimator` to `answers`, further
/// cues to the settings, hashes of tables and parts, a checksum of the manifest itself, the clock of templates, the table of interventions,
/// shards and servers, what multiplied, the table of decisions and the rule behind them, and allows a model's size and hash to be null.
pub const FORMAT_VERSION: &str = "1.1";

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
    /// What multiplied with the weights, as in `AVX2`: several where the model needs several, or a run was resumed on another processor. Empty where the model
    /// did not run in this program.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub kernels: BTreeSet<String>,
    /// The command line, without secrets.
    pub command: Vec<String>,
    /// The unit of every entropy and log-probability: `nats`.
    pub unit: String,
    /// Names of the files `results_*.json` and `samples_*.jsonl` in the folder that belong to the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// SHA-256 of each finished table by file name; empty while the run is not finished.
    #[serde(default, skip_serializing_if = "Hashes::is_empty")]
    pub tables: Hashes,
    /// The time that chat templates see, as `2026-04-07T09:30:00`: a run that is resumed on another day has the prompts that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
    /// Which part of a run this folder holds; absent for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardRecord>,
    /// What was found out about the servers that a model is behind; absent where it ran in the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<Value>,
    /// What the results depend on.
    pub settings: Settings,
}

/// A part of a run, measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Its number, from 0.
    pub index: usize,
    /// How many there are.
    pub of: usize,
    /// Parts of the whole run.
    pub n_parts: usize,
}

impl ShardRecord {
    /// The parts that belong to it: as many as any other shard has, or one more.
    pub fn parts(&self) -> std::ops::Range<usize> {
        let begin = |index: usize| index * self.n_parts / self.of.max(1);
        begin(self.index)..begin(self.index + 1)
    }
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
    /// Further cues under which the traces themselves were measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_cues: Vec<String>,
    /// What closes an open thought before a cue, as the model's chat template writes it; absent where the template names no thoughts, and
    /// one is closed with the counterpart of its own opening mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thought_close: Option<String>,
    /// Variables that the chat template was given, as in `--template-vars`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub template_vars: BTreeMap<String, Value>,
    /// What `--choice-form` scored: `label`, `text` or `text-mean`.
    pub choice_form: String,
    /// Number of draws m of the sampling estimators.
    pub samples: usize,
    /// Unexplored mass at which `enumerate` stops.
    pub enumerate_epsilon: f64,
    /// Most nodes that `enumerate` expands at a prefix.
    pub enumerate_nodes: usize,
    /// Most tokens of an answer string; absent where the run did not limit them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_answer_tokens: Option<usize>,
    /// Controls that were measured besides the traces themselves.
    pub controls: Vec<String>,
    /// Relative depths at which controls were measured; absent for every prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_depths: Option<Vec<f64>>,
    /// Most nodes that `enumerate` expands at a prefix of a control; absent where that is `enumerate_nodes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_nodes: Option<usize>,
    /// Rollouts beside the estimator; absent where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollouts: Option<RolloutRecord>,
    /// The rule by which traces were stopped while they were written; absent where they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<StoppingRecord>,
    /// Groups of signals that were measured because they were asked for, as in `--signals`.
    #[serde(default)]
    pub signals: Vec<String>,
    /// The run's seed.
    pub seed: u64,
    /// Questions in one part, and in one batch unless the run went on with another size. Sums of floating-point numbers depend on the
    /// size of a batch in the last digits.
    pub batch_size: usize,
    /// Revision of the measurement. Another revision gave other numbers from the same settings, so that runs of different revisions can be
    /// neither resumed nor compared.
    #[serde(default = "first_method")]
    pub method: u32,
}

/// The method of runs that state none.
fn first_method() -> u32 {
    1
}

/// A rule by which traces were stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoppingRecord {
    /// In words, as in `stop when answer_entropy < 0.1 for 2`.
    pub rule: String,
    /// Its conditions with their parameters, as `rule.json` has them.
    pub conditions: Value,
    /// Mean tokens of a whole trace on the questions on which the rule was chosen; absent where it was given by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_tokens: Option<f64>,
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
    /// Number of parameters; null where it is not known.
    pub n_parameters: Option<u64>,
    /// Type of numbers in computation.
    pub dtype: String,
    /// Where it ran.
    pub device: String,
    /// Context length in tokens.
    pub context_length: usize,
    /// Hash of configuration and weights; null where the weights are out of reach.
    pub model_hash: Option<String>,
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
    /// SHA-256 of the bytes of the source.
    pub hash: String,
    /// SHA-256 of what is measured: questions with their options and targets, prompts, and the traces if they were imported.
    #[serde(default)]
    pub items_hash: String,
    /// Questions that the source has.
    #[serde(default)]
    pub n_available: usize,
    /// Questions to measure, after `--limit`.
    pub n_questions: usize,
    /// Lines of the source that could not be read.
    pub n_bad_lines: usize,
    /// How answers are read: `number`, `choice` or `text`; all that occur, separated by commas, where questions differ.
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
        /// How completions that the measurement needs are sampled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sampling: Option<SamplingRecord>,
    },
}

/// How completions are sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplingRecord {
    /// Temperature; 0 is greedy.
    pub temperature: f64,
    /// Nucleus mass.
    pub top_p: f64,
    /// Number of most likely tokens kept; 0 for all.
    pub top_k: usize,
    /// Most new tokens.
    pub max_new_tokens: usize,
    /// Stop strings.
    pub stop: Vec<String>,
}

/// Rollouts beside the estimator of a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutRecord {
    /// On so many questions of each task, the first that are measured; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_questions: Option<usize>,
    /// Most draws at a prefix.
    pub draws: usize,
    /// How they are sampled.
    pub sampling: SamplingRecord,
}

/// Name of the manifest's file.
pub(crate) const MANIFEST_FILE: &str = "manifest.json";

impl Manifest {
    /// The manifest of a run that begins now, in nats. `clock` is the time that chat templates see.
    pub fn begun(settings: Settings, command: Vec<String>, clock: Option<String>) -> Self {
        Self {
            format_version: FORMAT_VERSION.to_string(),
            entrace_version: env!("CARGO_PKG_VERSION").to_string(),
            started_at: rfc3339(Timestamp::now()),
            finished_at: None,
            elapsed_secs: 0.0,
            kernels: BTreeSet::new(),
            command,
            unit: "nats".to_string(),
            outputs: Vec::new(),
            tables: Hashes::new(),
            clock,
            shard: None,
            servers: None,
            settings,
        }
    }

    /// Reads the manifest of a run folder; `None` where there is none.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(MANIFEST_FILE);
        let bytes = match file::read_json(&path) {
            Ok(bytes) => bytes,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound) => return Ok(None),
            Err(e) => return Err(Error::io("read", &path)(e)),
        };
        Self::parse(&bytes, path).map(Some)
    }

    fn parse(bytes: &[u8], path: PathBuf) -> Result<Self, Error> {
        let bad = |problem: String| Error::BadManifest { path: path.clone(), problem };
        let mut json: Value = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        // The version comes first: the fields of another version need not be those below.
        let stated = json.get("format_version").and_then(Value::as_str);
        let stated = stated.ok_or_else(|| bad("it states no format_version".to_owned()))?;
        let version = Version::parse(stated).ok_or_else(|| bad(format!("format_version is {stated:?}")))?;
        if !version.can_be_read() {
            return Err(Error::UnknownFormat { path, found: stated.to_owned(), known: FORMAT_VERSION });
        }
        sealed::unseal(&mut json).map_err(bad)?;
        let manifest: Self = serde_json::from_value(json).map_err(|e| bad(e.to_string()))?;
        if let Some(clock) = manifest.clock.as_deref().filter(|clock| clock.parse::<DateTime>().is_err()) {
            return Err(bad(format!("clock is {clock:?}")));
        }
        match manifest.outputs.iter().find(|name| !is_output(name)) {
            Some(name) => Err(bad(format!("outputs names {name:?}, which entrace does not write there"))),
            None => Ok(manifest),
        }
    }

    /// The manifest of a run folder, if there is one that this version reads.
    pub fn peek(dir: &Path) -> Option<Self> {
        Self::load(dir).ok().flatten()
    }

    /// Whether tables and parts of its format have hashes.
    pub(crate) fn has_hashes(&self) -> bool {
        Version::parse(&self.format_version).is_some_and(Version::has_hashes)
    }

    /// Whether an entrace newer than this one wrote it.
    pub(crate) fn is_newer(&self) -> bool {
        Version::parse(&self.format_version).is_none_or(Version::is_newer)
    }

    /// Writes the manifest into a run folder.
    pub(crate) fn save(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(MANIFEST_FILE);
        let unwritable = |problem: String| Error::BadManifest { path: path.clone(), problem };
        match serde_json::to_value(self).map_err(|e| unwritable(e.to_string()))? {
            Value::Object(fields) => file::write(&path, sealed::seal(fields).as_bytes()),
            other => Err(unwritable(format!("{other} is no object"))),
        }
    }
}

/// Whether a name can be that of a file in the shape of lm-eval: directly in the run folder, and none of the run's own.
pub(crate) fn is_output(name: &str) -> bool {
    let is_results = name.starts_with("results_") && name.ends_with(".json");
    let is_samples = name.starts_with("samples_") && name.ends_with(".jsonl");
    (is_results || is_samples) && !name.contains(['/', '\\', '\0'])
}

impl Settings {
    /// Whether rows of this estimator stand beside those of the estimator of their question: rollouts of a run that asked for both.
    pub fn is_beside(&self, estimator: &str) -> bool {
        self.rollouts.is_some() && estimator == "rollout"
    }

    /// The fields in which other settings differ from these. Where a file lies is no difference: its hash says whether it is the same. Nor
    /// is the batch size.
    pub fn differences(&self, requested: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        // Settings hold strings, numbers and lists only, so they are always JSON.
        let json = |settings: &Self| serde_json::to_value(settings).unwrap_or_default();
        compare("", Some(&json(self)), Some(&json(requested)), &mut differences);
        differences.retain(|difference| !INDIFFERENT.iter().any(|end| difference.field.ends_with(end)));
        differences
    }
}

/// Fields on which results do not depend: where a file lies, and how many questions are measured at once.
const INDIFFERENT: [&str; 3] = ["].source", "traces.path", "batch_size"];

/// Walks two JSON values and lists where they differ, as deep as both have the same shape.
fn compare(
    field: &str,
    recorded: Option<&Value>,
    requested: Option<&Value>,
    differences: &mut Vec<Difference>,
) {
    match (recorded, requested) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let added = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(added) {
                let field = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
                compare(&field, a.get(key), b.get(key), differences);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{field}[{index}]"), Some(a), Some(b), differences);
            }
        }
        (a, b) if a == b => {}
        (a, b) => {
            let text = |value: Option<&Value>| value.unwrap_or(&Value::Null).to_string();
            differences.push(Difference { field: field.to_owned(), recorded: text(a), requested: text(b) });
        }
    }
}

/// A version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// The version that this crate writes; a test holds it against [`FORMAT_VERSION`].
    const KNOWN: Self = Self { major: 1, minor: 1 };

    /// Parses `major.minor`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    /// Whether it is that of this minor version, or a later one.
    pub(crate) fn has_minor(self, minor: u32) -> bool {
        self.minor >= minor
    }

    /// Whether this crate reads it.
    pub(crate) fn can_be_read(self) -> bool {
        self.major == Self::KNOWN.major
    }

    /// Whether its tables and parts have hashes.
    fn has_hashes(self) -> bool {
        (self.major, self.minor) >= (1, 1)
    }

    /// Whether it is newer than what this crate writes.
    pub(crate) fn is_newer(self) -> bool {
        (self.major, self.minor) > (Self::KNOWN.major, Self::KNOWN.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn the_known_version_is_the_one_written() {
        assert_eq!(Version::parse(FORMAT_VERSION), Some(Version::KNOWN));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("1.10").is_newer() && version("1.10").can_be_read());
        assert!(version("2.0").is_newer() && !version("2.0").can_be_read());
        assert!(!version("0.9").is_newer() && !version("0.9").can_be_read());
        assert_eq!([Version::parse("1"), Version::parse("1.x"), Version::parse("")], [None; 3]);
    }

    #[test]
    fn outputs_are_plain_files_of_known_names() {
        for name in ["results_2026.json", "samples_a b_2026.jsonl"] {
            assert!(is_output(name), "{name}");
        }
        for name in [
            "../victim",
            "",
            "/etc/passwd",
            "traces.parquet",
            "results_/../../x.json",
            "samples_..\\x.jsonl",
            "parts",
        ] {
            assert!(!is_output(name), "{name}");
            let dir = tempfile::tempdir().unwrap();
            Manifest { outputs: vec![name.to_owned()], ..example::manifest() }.save(dir.path()).unwrap();
            let message = Manifest::load(dir.path()).unwrap_err().to_string();
            assert!(message.contains("outputs names"), "{message}");
        }
    }

    #[test]
    fn a_manifest_survives_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = example::manifest();
        manifest.save(dir.path()).unwrap();
        assert_eq!(Manifest::load(dir.path()).unwrap(), Some(manifest));
    }

    #[test]
    fn each_differing_field_is_named_with_both_values() {
        let recorded = example::manifest().settings;
        let mut requested = recorded.clone();
        requested.model.revision = Some("abc".to_owned());
        requested.tasks[0].n_questions += 1;
        requested.traces =
            TraceSource::Imported { path: "t.jsonl".to_owned(), hash: "00".to_owned(), sampling: None };
        requested.seed = 7;
        let differences = recorded.differences(&requested);
        let fields: Vec<&str> = differences.iter().map(|d| d.field.as_str()).collect();
        assert_eq!(fields[..3], ["model.revision", "tasks[0].n_questions", "traces.kind"]);
        assert!(fields.contains(&"traces.hash") && fields.contains(&"seed"), "{fields:?}");
        assert_eq!((&*differences[0].recorded, &*differences[0].requested), ("null", "\"abc\""));
        assert!(recorded.differences(&recorded).is_empty());
    }

    #[test]
    fn other_variables_of_the_template_are_a_difference() {
        let recorded = example::manifest().settings;
        let mut requested = recorded.clone();
        requested.template_vars.insert("enable_thinking".to_owned(), false.into());
        let [difference] = &recorded.differences(&requested)[..] else { panic!("one difference") };
        assert_eq!(difference.field, "template_vars");
        assert_eq!((&*difference.recorded, &*difference.requested), ("null", r#"{"enable_thinking":false}"#));
    }

    #[test]
    fn the_same_file_in_another_place_is_no_difference() {
        let recorded = example::manifest().settings;
        let mut requested = recorded.clone();
        requested.tasks[0].source = "./sums.jsonl".to_owned();
        requested.batch_size += 1;
        assert!(recorded.differences(&requested).is_empty());
        let imported = |path: &str| TraceSource::Imported {
            path: path.to_owned(),
            hash: "00".to_owned(),
            sampling: None,
        };
        let [recorded, requested] =
            ["t.jsonl", "/t.jsonl"].map(|path| Settings { traces: imported(path), ..recorded.clone() });
        assert!(recorded.differences(&requested).is_empty());
    }
}
