//! Results and samples in the shape of lm-evaluation-harness, for the tools that read its output.
//!
//! `results_<time>.json` holds `results` (task -> `alias` and values by `metric,filter`, standard errors by `metric_stderr,filter`),
//! `group_subtasks`, `configs`, `versions`, `n-shot`, `higher_is_better`, `n-samples`, `config`, `git_hash`, `date` (seconds since 1970),
//! `task_hashes`, `model_source`, `model_name`, `model_name_sanitized` and `total_evaluation_time_seconds` (text, as there).
//! `samples_<task>_<time>.jsonl` holds a line for each question and filter. Hashes are SHA-256: of the document as indented JSON, of the
//! prompt, of the target; a task's hash is that of all of these in a row.
//!
//! Metrics come from the caller; this module gives them their place. A key of `extra` that lm-eval uses itself is left out.
//!
//! Differences: files lie in the run folder itself, not in a subfolder with the model's name; times are in UTC; `git_hash` is null; what
//! describes the Python environment is absent.
//! Source: lm-evaluation-harness 0.4, `evaluator.py` and `loggers/evaluation_tracker.py`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::file::short_name;
use crate::hash::sha256;
use crate::spool::InOrder;
use crate::time::file_stamp;
use crate::writer::{Output, RunWriter};

/// All results of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// Kind of model, as lm-eval's `--model`: `entrace`.
    pub model_source: String,
    /// The model as the user named it.
    pub model_name: String,
    /// What the run was made with, as `batch_size`, `limit`, `gen_kwargs`, `random_seed`.
    pub config: Map<String, Value>,
    /// When the results were written; part of the file names.
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
    /// Questions whose answers were scored.
    pub n_effective: usize,
}

/// One question, one answer filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Position of the question in its task, from 0 and without gaps.
    pub doc_id: usize,
    /// The question as an object.
    pub doc: Value,
    /// The true answer.
    pub target: String,
    /// The prompt.
    pub prompt: String,
    /// Second argument of the request: generation settings, or the option that was scored.
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

/// `samples_<task>_<time>.jsonl` of every task, written one sample after another.
#[derive(Debug)]
pub struct SampleFiles {
    stamp: String,
    /// In the order of the tasks.
    files: Vec<SampleFile>,
}

/// The samples of a task.
#[derive(Debug)]
struct SampleFile {
    output: Output,
    hasher: Sha256,
    order: InOrder,
}

impl SampleFiles {
    /// Begins the files of these results.
    pub fn begin(writer: &RunWriter, results: &Results) -> Result<Self, Error> {
        let stamp = file_stamp(results.date);
        let file = |task: &TaskResults| {
            let output = writer.begin_output(&format!("samples_{}_{stamp}.jsonl", file_part(&task.name)))?;
            Ok(SampleFile { output, hasher: Sha256::new(), order: InOrder::new(writer.dir()) })
        };
        let files = results.tasks.iter().map(file).collect::<Result<_, _>>()?;
        Ok(Self { stamp, files })
    }

    /// Takes a sample of a task by its number; they come in any order.
    pub fn push(&mut self, task: usize, sample: &Sample) -> Result<(), Error> {
        let SampleFile { output, hasher, order } = &mut self.files[task];
        let hashes = sample_hashes(sample).concat();
        let line = format!("{hashes}{}\n", line(sample));
        order.push(sample.doc_id, line.as_bytes(), |piece| {
            let (hashes, line) = piece.split_at(HASHES_BYTES);
            hasher.update(hashes);
            output.file.write(line)
        })
    }

    /// Writes `results_<time>.json`, and puts all files in the place of those that were written before; a task without samples has no file.
    /// Returns their paths, the results first.
    pub fn finish(self, writer: &mut RunWriter, results: &Results) -> Result<Vec<PathBuf>, Error> {
        let mut first = writer.begin_output(&format!("results_{}.json", self.stamp))?;
        let (mut outputs, mut hashes) = (Vec::new(), Map::new());
        for (file, task) in
            self.files.into_iter().zip(&results.tasks).filter(|(file, _)| file.order.n_written() > 0)
        {
            let hash = base16ct::lower::encode_string(&file.hasher.finalize());
            hashes.insert(task.name.clone(), hash.into());
            outputs.push(file.output);
        }
        first.file.write(&pretty(&summary(results, hashes)))?;
        outputs.insert(0, first);
        writer.replace_outputs(outputs)
    }
}

/// Bytes of a sample's hashes, which stand before its line until it is written.
const HASHES_BYTES: usize = 3 * 64;

fn summary(results: &Results, task_hashes: Map<String, Value>) -> Value {
    let by_task = |of: &dyn Fn(&TaskResults) -> Value| -> Map<String, Value> {
        results.tasks.iter().map(|task| (task.name.clone(), of(task))).collect()
    };
    json!({
        "results": by_task(&task_values),
        "group_subtasks": by_task(&|_| json!([])),
        "configs": by_task(&|task| Value::Object(task.config.clone())),
        "versions": by_task(&|task| task.version.into()),
        "n-shot": by_task(&|task| task.num_fewshot.into()),
        "higher_is_better": by_task(&|task| json!(task.higher_is_better)),
        "n-samples": by_task(&|task| json!({"original": task.n_original, "effective": task.n_effective})),
        "config": results.config,
        "git_hash": null,
        "date": seconds(results.date),
        "task_hashes": task_hashes,
        "model_source": results.model_source,
        "model_name": results.model_name,
        "model_name_sanitized": file_part(&results.model_name),
        "total_evaluation_time_seconds": results.elapsed_secs.to_string(),
    })
}

fn task_values(task: &TaskResults) -> Value {
    let mut values = Map::from_iter([("alias".to_owned(), Value::from(task.name.as_str()))]);
    values.extend(task.metrics.clone());
    Value::Object(values)
}

fn line(sample: &Sample) -> Value {
    let hashes = sample_hashes(sample);
    let mut line = json!({
        "doc_id": sample.doc_id,
        "doc": sample.doc,
        "target": sample.target,
        "arguments": {"gen_args_0": {"arg_0": sample.prompt, "arg_1": sample.arguments}},
        "resps": [sample.responses],
        "filtered_resps": sample.filtered_responses,
        "filter": sample.filter,
        "metrics": sample.metrics.keys().collect::<Vec<_>>(),
        "doc_hash": hashes[0],
        "prompt_hash": hashes[1],
        "target_hash": hashes[2],
    });
    if let Value::Object(line) = &mut line {
        for (key, value) in sample.metrics.iter().chain(&sample.extra) {
            line.entry(key).or_insert_with(|| value.clone());
        }
    }
    line
}

fn sample_hashes(sample: &Sample) -> [String; 3] {
    [sha256(&pretty(&sample.doc)), sha256(sample.prompt.as_bytes()), sha256(sample.target.as_bytes())]
}

/// JSON with two spaces of indentation and no escapes for letters beyond ASCII: the text that lm-eval hashes.
fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}").into_bytes()
}

/// A name as part of a file name, not too long: each run of characters that some system forbids becomes two underscores.
fn file_part(name: &str) -> String {
    short_name(&allowed(name))
}

fn allowed(name: &str) -> String {
    let mut part = String::with_capacity(name.len());
    let mut forbidden_before = false;
    for c in name.chars() {
        let forbidden = "\"<>:/|\\?*[]".contains(c) || c.is_control();
        match (forbidden, forbidden_before) {
            (true, false) => part.push_str("__"),
            (true, true) => {}
            (false, _) => part.push(c),
        }
        forbidden_before = forbidden;
    }
    part
}

fn seconds(time: Timestamp) -> f64 {
    time.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long = |end: &str| file_part(&format!("{}{end}", "é".repeat(200)));
        assert!(long("a").len() <= 120 && long("a") != long("b"));
        assert_eq!(file_part("a\nb"), "a__b");
    }

    fn sample() -> Sample {
        Sample {
            doc_id: 0,
            doc: json!({"question": "1 + 2 = ? ✓"}),
            target: "3".to_owned(),
            prompt: "1 + 2 = ?".to_owned(),
            arguments: json!({"until": ["\n\n"], "temperature": 0.0}),
            responses: vec!["it is 3".to_owned()],
            filtered_responses: vec!["3".to_owned()],
            filter: "flexible-extract".to_owned(),
            metrics: Map::from_iter([("exact_match".to_owned(), json!(1.0))]),
            extra: Map::from_iter([
                ("entropy_drop".to_owned(), json!(0.5)),
                ("doc".to_owned(), json!("mine")),
            ]),
        }
    }

    fn results() -> Results {
        let metrics = [("exact_match,flexible-extract", 1.0), ("exact_match_stderr,flexible-extract", 0.0)];
        Results {
            model_source: "entrace".to_owned(),
            model_name: "org/tiny".to_owned(),
            config: Map::from_iter([("batch_size".to_owned(), json!(8))]),
            date: Timestamp::new(1_775_554_200, 500_000_000).unwrap(),
            elapsed_secs: 1.5,
            tasks: vec![TaskResults {
                name: "my/sums".to_owned(),
                version: 1,
                metrics: metrics.map(|(key, value)| (key.to_owned(), json!(value))).into_iter().collect(),
                higher_is_better: BTreeMap::from([("exact_match".to_owned(), true)]),
                config: Map::new(),
                num_fewshot: 0,
                n_original: 10,
                n_effective: 1,
            }],
        }
    }

    #[test]
    fn files_have_the_names_and_the_shape_of_lm_eval() {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _) = RunWriter::open(dir.path(), &example::manifest()).unwrap();
        let mut files = SampleFiles::begin(&writer, &results()).unwrap();
        files.push(0, &sample()).unwrap();
        let paths = files.finish(&mut writer, &results()).unwrap();
        let names: Vec<_> = paths.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        let stamp = "2026-04-07T09-30-00.500000";
        assert_eq!(names, [format!("results_{stamp}.json"), format!("samples_my__sums_{stamp}.jsonl")]);

        let summary: Value = serde_json::from_slice(&std::fs::read(&paths[0]).unwrap()).unwrap();
        let task = &summary["results"]["my/sums"];
        assert_eq!((&task["alias"], &task["exact_match,flexible-extract"]), (&json!("my/sums"), &json!(1.0)));
        assert_eq!(summary["n-samples"]["my/sums"], json!({"original": 10, "effective": 1}));
        assert_eq!(summary["model_name_sanitized"], "org__tiny");
        assert_eq!(summary["date"], 1_775_554_200.5);
        assert_eq!(summary["task_hashes"]["my/sums"].as_str().unwrap().len(), 64);

        let lines = std::fs::read_to_string(&paths[1]).unwrap();
        let line: Value = serde_json::from_str(lines.trim_end()).unwrap();
        assert_eq!(line["arguments"]["gen_args_0"]["arg_0"], "1 + 2 = ?");
        assert_eq!(line["resps"], json!([["it is 3"]]));
        assert_eq!((&line["metrics"], &line["exact_match"]), (&json!(["exact_match"]), &json!(1.0)));
        assert_eq!(line["prompt_hash"], json!(sha256(b"1 + 2 = ?")));
    }

    #[test]
    fn samples_are_written_in_order_whatever_order_they_come_in() {
        let written = |order: &[usize]| {
            let dir = tempfile::tempdir().unwrap();
            let (mut writer, _) = RunWriter::open(dir.path(), &example::manifest()).unwrap();
            let mut files = SampleFiles::begin(&writer, &results()).unwrap();
            for &doc_id in order {
                let sample = Sample { doc_id, target: doc_id.to_string(), ..sample() };
                files.push(0, &sample).unwrap();
            }
            let paths = files.finish(&mut writer, &results()).unwrap();
            let left = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
            assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with("entrace-tmp")));
            paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect::<Vec<_>>()
        };
        let in_order = written(&[0, 1, 2, 3, 4]);
        assert_eq!(in_order[1].lines().count(), 5);
        assert_eq!(written(&[3, 1, 0, 4, 2]), in_order);
        assert_eq!(written(&[4, 3, 2, 1, 0]), in_order);
        assert_eq!(written(&[]).len(), 1, "a task without samples has no file");
    }

    #[test]
    fn extra_keys_never_replace_those_of_lm_eval() {
        let line = line(&sample());
        assert_eq!(line["doc"], json!({"question": "1 + 2 = ? ✓"}));
        assert_eq!(line["entropy_drop"], json!(0.5));
    }

    #[test]
    fn a_document_is_hashed_as_indented_json() {
        assert_eq!(
            pretty(&json!({"q": "✓", "n": [1]})),
            "{\n  \"q\": \"✓\",\n  \"n\": [\n    1\n  ]\n}".as_bytes()
        );
    }
}
