//! What a finished run leaves besides its tables: metrics, report, figures, and lm-eval's files.

use crate::error::Error;
use entrace_record::lm_eval::{Results, Sample, SampleFiles, TaskResults};
use entrace_record::manifest::{Manifest, TraceSource};
use entrace_record::rows::{Outcome, TraceRow};
use entrace_record::{RunReader, RunWriter};
use entrace_report::metrics::{Curve, Metrics, TaskMetrics};
use entrace_report::{Report, ReportOptions, write_report};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Writes all that is made from the rows of a finished run. `limit` is the one that the questions were chosen by, for lm-eval's files.
pub fn write(writer: &mut RunWriter, limit: Option<f64>) -> Result<Report, Error> {
    let report = write_report(writer.dir(), &ReportOptions::default())?;
    let reader = RunReader::open(writer.dir())?;
    let mut questions = Questions::of(&reader, &report.metrics)?;
    let results = lm_eval_results(&report.metrics, &questions, limit);
    let mut files = SampleFiles::begin(writer, &results)?;
    for row in reader.stream_traces() {
        if let Some((task, doc_id, rows)) = questions.take(row?) {
            files.push(task, &sample(doc_id, &rows, &report.metrics.run))?;
        }
    }
    files.finish(writer, &results)?;
    Ok(report)
}

/// Number of a task, and its questions.
type OfTask = (usize, HashMap<Arc<str>, Counted>);

/// The questions of each task, in the order of their names, and the traces that have come of those that wait for others.
struct Questions {
    /// By name of the task: its number, and its questions.
    tasks: BTreeMap<Arc<str>, OfTask>,
    waiting: BTreeMap<(usize, usize), Vec<TraceRow>>,
}

/// A question: its position in its task, and how many traces it has.
struct Counted {
    doc_id: usize,
    n_traces: usize,
}

impl Questions {
    fn of(reader: &RunReader, metrics: &Metrics) -> Result<Self, Error> {
        let number =
            |(number, task): (usize, &TaskMetrics)| (Arc::from(&*task.task), (number, HashMap::new()));
        let mut tasks: BTreeMap<Arc<str>, OfTask> = metrics.tasks.iter().enumerate().map(number).collect();
        for row in reader.stream_trace_heads() {
            let row = row?;
            let Some((_, questions)) = tasks.get_mut(&row.task) else { continue };
            let question = Arc::from(row.question_id);
            questions.entry(question).or_insert(Counted { doc_id: 0, n_traces: 0 }).n_traces += 1;
        }
        for (_, questions) in tasks.values_mut() {
            let mut ids: Vec<Arc<str>> = questions.keys().cloned().collect();
            ids.sort_by(|a, b| natural(a).cmp(&natural(b)));
            for (doc_id, id) in ids.iter().enumerate() {
                questions.get_mut(id).into_iter().for_each(|question| question.doc_id = doc_id);
            }
        }
        Ok(Self { tasks, waiting: BTreeMap::new() })
    }

    fn len(&self, task: &str) -> usize {
        self.tasks.get(task).map_or(0, |(_, questions)| questions.len())
    }

    /// Takes a trace; with the last one of a question returns its task, its position there, and all of its traces.
    fn take(&mut self, row: TraceRow) -> Option<(usize, usize, Vec<TraceRow>)> {
        let (task, questions) = self.tasks.get(&row.task)?;
        let (task, Counted { doc_id, n_traces }) = (*task, questions.get(&row.question_id)?);
        let come = self.waiting.entry((task, *doc_id)).or_default();
        come.push(row);
        if come.len() < *n_traces {
            return None;
        }
        let mut rows = self.waiting.remove(&(task, *doc_id))?;
        rows.sort_by_key(|row| row.sample);
        Some((task, *doc_id, rows))
    }
}

fn lm_eval_results(metrics: &Metrics, questions: &Questions, limit: Option<f64>) -> Results {
    let manifest = &metrics.run;
    let tasks = metrics.tasks.iter().map(|task| task_results(task, manifest, questions.len(&task.task)));
    let settings = &manifest.settings;
    Results {
        model_source: "entrace".to_string(),
        model_name: settings.model.name.clone(),
        config: object(json!({
            "model": "entrace", "model_args": format!("model={},dtype={}", settings.model.name, settings.model.dtype),
            "batch_size": settings.batch_size, "device": settings.model.device, "limit": limit,
            "random_seed": settings.seed, "gen_kwargs": settings.traces,
            "model_num_parameters": settings.model.n_parameters, "model_dtype": settings.model.dtype,
        })),
        date: jiff::Timestamp::now(),
        elapsed_secs: manifest.elapsed_secs,
        tasks: tasks.collect(),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn task_results(task: &TaskMetrics, manifest: &Manifest, n_questions: usize) -> TaskResults {
    let num_fewshot = match &manifest.settings.traces {
        TraceSource::Generated { num_fewshot, .. } => *num_fewshot,
        TraceSource::Imported { .. } => 0,
    };
    let mut metrics = Map::new();
    let last = |curve: &Curve| curve.at(curve.value.len().saturating_sub(1));
    for (name, quantity) in [
        ("exact_match", task.accuracy.clone()),
        ("invalid", task.invalid_share.clone()),
        ("information_gain", last(&task.information_gain.all)),
        ("answer_entropy", last(&task.entropy.all)),
        ("auroc_answer_entropy", last(&task.separability)),
    ] {
        metrics.insert(format!("{name},none"), json!(quantity.value));
        let stderr = quantity.standard_error.map_or(json!("N/A"), |s| json!(s));
        metrics.insert(format!("{name}_stderr,none"), stderr);
    }
    let record = manifest.settings.tasks.iter().find(|record| record.name == task.task);
    let n_available = record.map(|record| record.n_available.max(record.n_questions));
    TaskResults {
        name: task.task.clone(),
        version: 1,
        metrics,
        higher_is_better: BTreeMap::from([("exact_match".to_string(), true), ("invalid".to_string(), false)]),
        config: object(json!({
            "task": task.task, "estimator": task.estimator, "cue": manifest.settings.cue,
            "segment": manifest.settings.segment, "samples": manifest.settings.samples,
        })),
        num_fewshot,
        n_original: n_available.unwrap_or(n_questions),
        n_effective: task.accuracy.n_questions,
    }
}

/// Orders `test-2` before `test-10`.
fn natural(id: &str) -> (&str, u64, &str) {
    let digits = id.len() - id.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, number) = id.split_at(id.len() - digits);
    (stem, number.parse().unwrap_or(0), id)
}

fn sample(doc_id: usize, rows: &[TraceRow], manifest: &Manifest) -> Sample {
    let first = &rows[0];
    let choices = first.choices.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
    let score =
        |row: &TraceRow| row.correct.map_or(Value::Null, |correct| json!(f64::from(u8::from(correct))));
    let mean = {
        let known: Vec<bool> = rows.iter().filter_map(|row| row.correct).collect();
        let right = known.iter().filter(|&&correct| correct).count();
        if known.is_empty() { Value::Null } else { json!(right as f64 / known.len() as f64) }
    };
    Sample {
        doc_id,
        doc: json!({ "id": *first.question_id, "question": first.question, "choices": choices }),
        target: first.target.clone().unwrap_or_default(),
        prompt: first.prompt.clone(),
        arguments: serde_json::to_value(&manifest.settings.traces).unwrap_or(Value::Null),
        responses: rows.iter().map(|row| row.completion.clone()).collect(),
        filtered_responses: rows.iter().map(|row| row.answer.clone().unwrap_or_default()).collect(),
        filter: "none".to_string(),
        metrics: Map::from_iter([("exact_match".to_string(), mean)]),
        extra: object(json!({
            "question_id": *first.question_id,
            "traces": rows.iter().map(|row| json!({
                "sample": row.sample, "outcome": row.outcome.name(), "reason": row.reason, "exact_match": score(row),
                "n_trace_tokens": row.n_trace_tokens, "n_steps": row.n_steps, "stop_reason": row.stop_reason,
                "lock_in_step": row.lock_in_step, "total_drop": row.total_drop, "monotone": row.monotone,
                "n_violations": row.n_violations, "late_slope": row.late_slope, "wasted_tokens": row.wasted_tokens,
            })).collect::<Vec<_>>(),
            "measured": rows.iter().all(|row| row.outcome == Outcome::Measured),
        })),
    }
}
