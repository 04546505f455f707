//! A reasoner of whom it is known which step matters, its recorded traces, and what was measured of them.
//!
//! It writes four steps, each with a 3 or an 8, and then its answer, 12 or 15:
//!
//! ```text
//! Step one: we find 3.↵↵Step two: we find 8.↵↵ … ↵↵The answer is 12.
//! ```

use entrace_backend::Sampling;
use entrace_backend::scripted::{KnownAnswers, Reasoning, Scripted, Table, Vocabulary};
use entrace_datasets::FormatKind;
use entrace_intervene::{Draws, Measured, Plan, TaskFormat, measure, recorded};
use entrace_measure::intervention::{Kind, Reading};
use entrace_measure::{Answer, Question, Segmentation};
use entrace_record::rows::{InterventionRow, TraceRow};
use entrace_record::{Manifest, RunReader, RunWriter};
use entrace_run::{
    ChoiceForm, Engine, EstimatorChoice, Event, Measurement, Observer, Prompting, TaskPlan, TraceInput,
    TraceMaking, WorkItem,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) const TASK: &str = "task";
const WORDS: [&str; 4] = ["one", "two", "three", "four"];

/// Probability of the answer 12 where step two has a 3, where it has an 8, and where it is none of both.
pub(crate) const THREE: f64 = 0.9;
pub(crate) const EIGHT: f64 = 0.2;
pub(crate) const NEITHER: f64 = 0.4;

/// The probability of 12 that a text of steps gives.
pub(crate) fn prob_of_12(text: &str) -> f64 {
    if text.contains("Step two: we find 3.") {
        THREE
    } else if text.contains("Step two: we find 8.") {
        EIGHT
    } else {
        NEITHER
    }
}

fn answers(prob: f64) -> Table {
    vec![(" 12".to_string(), prob), (" 15".to_string(), 1.0 - prob)]
}

fn steps(so_far: &Reasoning) -> Table {
    let said = |step: &String| step.starts_with("Step");
    let k = so_far.steps.iter().filter(|step| said(step)).count();
    let step = |n: u32| (format!("Step {}: we find {n}.", WORDS[k.min(3)]), 0.5);
    if k >= WORDS.len() { Vec::new() } else { vec![step(3), step(8)] }
}

/// Only step two matters.
pub(crate) fn second_step() -> Scripted {
    model(|so_far| answers(prob_of_12(&so_far.steps.join(" "))))
}

/// The last line is copied, where it states an answer.
pub(crate) fn copying() -> Scripted {
    model(|so_far| match so_far.steps.last().and_then(|step| step.strip_prefix("The answer is ")) {
        Some(said) => vec![(format!(" {}", said.trim_end_matches('.')), 0.95), (" 99".to_string(), 0.05)],
        None => answers(NEITHER),
    })
}

/// Steps are decoration.
pub(crate) fn decorating() -> Scripted {
    model(|_| answers(NEITHER))
}

fn model(rule: impl Fn(&Reasoning) -> Table + Send + Sync + 'static) -> Scripted {
    let numbers: Vec<String> = (0..100).map(|n| format!(" {n}")).collect();
    let heads: Vec<String> = WORDS.iter().map(|word| format!("Step {word}: we find")).collect();
    let fixed =
        [".", "\n\n", "\n", "The answer is", " ...", "Q", "A", ":", " ", "0", "1", "2", "3", "5", "8"];
    let pieces: Vec<&str> =
        heads.iter().map(String::as_str).chain(numbers.iter().map(String::as_str)).chain(fixed).collect();
    Scripted::new(Vocabulary::chat(pieces), KnownAnswers::new(steps, rule).with_floor(0.0))
}

pub(crate) fn engine(model: &Scripted) -> Engine<'_> {
    Engine { text: model, generator: Some(model), scorer: Some(model), layers: Some(model) }
}

pub(crate) fn measurement(seed: u64) -> Measurement {
    Measurement {
        estimator: EstimatorChoice::Auto,
        cue: "\nThe answer is".into(),
        more_cues: Vec::new(),
        choice_form: ChoiceForm::Label,
        samples: 8,
        epsilon: 0.0,
        max_nodes: 1000,
        max_answer_tokens: 3,
        segmentation: Segmentation::Auto,
        max_steps: None,
        controls: Vec::new(),
        control_depths: None,
        control_nodes: 1000,
        rollouts: None,
        signals: BTreeSet::new(),
        stopping: None,
        traces: TraceMaking {
            sampling: Sampling {
                temperature: 1.0,
                top_p: 1.0,
                top_k: 0,
                max_new_tokens: 80,
                stop: Vec::new(),
            },
        },
        seed,
        batch_size: 16,
    }
}

/// An observer that never stops anything.
pub(crate) struct Patient;

impl Observer for Patient {
    fn event(&mut self, _: Event<'_>) {}

    fn should_stop(&self) -> bool {
        false
    }
}

/// A run in a folder of its own.
pub(crate) struct Recording {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) how: Measurement,
}

/// Questions that the model answers.
pub(crate) fn questions(n: usize) -> Vec<WorkItem> {
    let item = |id: usize| WorkItem {
        question: Arc::new(Question {
            task: TASK.into(),
            id: format!("q{id}"),
            text: format!("Q{id}"),
            choices: None,
            target: Some(Answer::Value("12".into())),
            rationale: None,
        }),
        prompting: Prompting::Verbatim("Q\nA:".into()),
        traces: vec![(0, TraceInput::Generate)],
    };
    (0..n).map(item).collect()
}

/// Records the traces of these items.
pub(crate) fn record(
    model: &Scripted,
    items: Vec<WorkItem>,
    how: Measurement,
    format: FormatKind,
) -> Recording {
    let dir = tempfile::tempdir().unwrap();
    let tasks = [TaskPlan { name: TASK.into(), format: format.format(), items }];
    let mut writer = RunWriter::open(dir.path(), &manifest(format, &how)).unwrap().0;
    entrace_run::run(engine(model), &tasks, &how, &mut writer, &mut Patient).unwrap();
    Recording { dir, how }
}

fn manifest(format: FormatKind, how: &Measurement) -> Manifest {
    serde_json::from_value(serde_json::json!({
        "format_version": entrace_record::FORMAT_VERSION, "entrace_version": "0", "started_at": "", "command": [], "unit": "nats",
        "settings": {
            "model": {"name": "scripted", "revision": null, "architecture": "", "n_parameters": 0, "dtype": "", "device": "",
                      "context_length": 0, "model_hash": "", "tokenizer_hash": null, "template_hash": null},
            "tasks": [{"name": TASK, "source": "", "hash": "", "n_questions": 0, "n_bad_lines": 0, "answer_format": format.name(),
                       "estimator": "auto"}],
            "traces": {"kind": "imported", "path": "", "hash": ""}, "segment": how.segmentation.name(), "max_steps": null,
            "cue": how.cue, "choice_form": "label", "samples": 0, "enumerate_epsilon": 0.0, "enumerate_nodes": 64, "controls": [],
            "seed": how.seed, "batch_size": 16
        }
    }))
    .unwrap()
}

/// A plan of these kinds and readings.
pub(crate) fn plan(kinds: &[Kind], readings: &[Reading], draws: Draws, seed: u64) -> Plan {
    Plan {
        kinds: kinds.iter().copied().collect(),
        readings: readings.iter().copied().collect(),
        draws,
        alpha: 0.05,
        dissimilar_below: 0.8,
        seed,
    }
}

impl Recording {
    pub(crate) fn reader(&self) -> RunReader {
        RunReader::open(self.dir.path()).unwrap()
    }

    pub(crate) fn traces(&self) -> Vec<TraceRow> {
        self.reader().traces().unwrap()
    }

    pub(crate) fn tasks(&self, model: &Scripted, format: FormatKind) -> Vec<TaskFormat> {
        let (tasks, left_out) = recorded::load(&self.reader(), model, None).unwrap();
        assert!(left_out.is_empty(), "{left_out:?}");
        let task = |(task, traces)| TaskFormat { task, format: format.format(), traces };
        tasks.into_iter().map(task).collect()
    }

    /// Measures a plan on all traces, whose answers are numbers.
    pub(crate) fn measure(&self, model: &Scripted, plan: &Plan) -> Measured {
        let tasks = self.tasks(model, FormatKind::Number);
        measure(engine(model), None, &tasks, &self.how, plan, None, &mut Patient).unwrap()
    }
}

/// The text of each trace by question.
pub(crate) fn texts(traces: &[TraceRow]) -> BTreeMap<String, String> {
    traces.iter().map(|trace| (trace.question_id.to_string(), trace.completion.clone())).collect()
}

/// Rows of a kind.
pub(crate) fn of_kind<'a>(
    rows: &'a [InterventionRow],
    kind: &str,
    reading: &str,
) -> Vec<&'a InterventionRow> {
    rows.iter().filter(|row| *row.kind == *kind && *row.reading == *reading).collect()
}

pub(crate) fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}
