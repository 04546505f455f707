//! What the tests share: a small setting of everything, runs into a folder, what was recorded.

use entrace_backend::Sampling;
use entrace_backend::scripted::{Scripted, Vocabulary};
use entrace_datasets::FormatKind;
use entrace_measure::{Answer, AnswerFormat, Choices, Question, TokenId};
use entrace_record::manifest::{Manifest, TaskRecord, TraceSource};
use entrace_record::rows::{AnswerRow, PrefixRow, Rows};
use entrace_record::{RunReader, RunWriter};
use entrace_run::{
    Control, Engine, Error, Event, Measured, Measurement, Observer, Prompting, TaskPlan, TraceInput,
    TraceMaking, WorkItem,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub(crate) const TASK: &str = "task";

pub(crate) fn engine(model: &Scripted) -> Engine<'_> {
    Engine { text: model, generator: Some(model), scorer: Some(model), layers: Some(model) }
}

/// Settings that a test changes where it needs others.
pub(crate) fn measurement() -> Measurement {
    Measurement {
        samples: 8,
        epsilon: 0.0,
        max_nodes: 10_000,
        max_answer_tokens: 8,
        controls: Vec::new(),
        control_depths: None,
        control_nodes: 10_000,
        traces: TraceMaking {
            sampling: Sampling {
                temperature: 1.0,
                top_p: 1.0,
                top_k: 0,
                max_new_tokens: 200,
                stop: Vec::new(),
            },
        },
        ..Measurement::default()
    }
}

/// Both controls.
pub(crate) const CONTROLS: [Control; 2] = [Control::Swapped, Control::Shuffled];

pub(crate) fn question(id: usize, target: Option<&str>) -> Question {
    Question {
        task: TASK.into(),
        id: format!("q{id}"),
        text: format!("Q{id}"),
        choices: None,
        target: target.map(|target| Answer::Value(target.into())),
        rationale: None,
    }
}

pub(crate) fn choices(labels: &[&str], texts: &[&str]) -> Choices {
    let owned = |items: &[&str]| items.iter().map(ToString::to_string).collect();
    Choices::new(owned(labels), owned(texts)).unwrap()
}

/// A question that is asked with this prompt.
pub(crate) fn asked(question: Question, prompt: &str, traces: &[TraceInput]) -> WorkItem {
    WorkItem {
        question: Arc::new(question),
        prompting: Prompting::Verbatim(prompt.into()),
        traces: (0..).zip(traces.iter().cloned()).collect(),
    }
}

pub(crate) fn imported(text: &str) -> TraceInput {
    TraceInput::Imported { text: text.into(), step_ends: None, correct: None }
}

pub(crate) fn plan(format: Arc<dyn AnswerFormat>, items: Vec<WorkItem>) -> TaskPlan {
    TaskPlan { name: TASK.into(), format, items }
}

pub(crate) fn numbers(items: Vec<WorkItem>) -> TaskPlan {
    plan(FormatKind::Number.format(), items)
}

/// An observer that asks to stop once so many traces are done.
pub(crate) struct StopAfter {
    pub(crate) n_traces: usize,
}

/// An observer that never stops a run.
pub(crate) fn patient() -> StopAfter {
    StopAfter { n_traces: usize::MAX }
}

impl Observer for StopAfter {
    fn event(&mut self, event: Event<'_>) {
        if let Event::TracesDone(n) = event {
            self.n_traces = self.n_traces.saturating_sub(n);
        }
    }

    fn should_stop(&self) -> bool {
        self.n_traces == 0
    }
}

pub(crate) fn manifest(tasks: &[TaskPlan], how: &Measurement) -> Manifest {
    let record = |task: &TaskPlan| TaskRecord {
        name: task.name.clone(),
        source: "here".into(),
        hash: String::new(),
        items_hash: String::new(),
        n_available: 0,
        n_questions: task.items.len(),
        n_bad_lines: 0,
        answer_format: task.format.name().into(),
        estimator: how.estimator.name().into(),
    };
    let measured = Measured {
        tasks: tasks.iter().map(record).collect(),
        traces: TraceSource::Imported { path: "here".into(), hash: String::new(), sampling: None },
        revision: None,
        template_vars: BTreeMap::new(),
    };
    let model = Scripted::new(Vocabulary::bare(["a"]), |_: &[TokenId]| Vec::new());
    Manifest::begun(how.settings(&model, measured), Vec::new(), None)
}

/// One sitting: begins a run in the folder or goes on with it, and finishes it if it gets so far.
pub(crate) fn sit(
    dir: &Path,
    model: &Scripted,
    tasks: &[TaskPlan],
    how: &Measurement,
    observer: &mut StopAfter,
) -> Result<(), Error> {
    sit_by(dir, engine(model), tasks, how, observer)
}

/// As `sit`, with an engine that may lack something.
pub(crate) fn sit_by(
    dir: &Path,
    engine: Engine<'_>,
    tasks: &[TaskPlan],
    how: &Measurement,
    observer: &mut StopAfter,
) -> Result<(), Error> {
    let (mut writer, _) = RunWriter::open(dir, &manifest(tasks, how))?;
    entrace_run::run(engine, tasks, how, &mut writer, observer)
}

/// Everything that is recorded in a folder.
pub(crate) fn rows(dir: &Path) -> Rows {
    let reader = RunReader::open(dir).unwrap();
    Rows {
        traces: reader.traces().unwrap(),
        prefixes: reader.prefixes().unwrap(),
        answers: reader.answers().unwrap(),
        tokens: reader.tokens().unwrap(),
        signals: reader.signals().unwrap(),
        decisions: reader.decisions().unwrap(),
    }
}

/// Everything that a whole run records.
pub(crate) fn measure(model: &Scripted, tasks: &[TaskPlan], how: &Measurement) -> Rows {
    measure_by(engine(model), tasks, how)
}

/// As `measure`, with an engine that may lack something.
pub(crate) fn measure_by(engine: Engine<'_>, tasks: &[TaskPlan], how: &Measurement) -> Rows {
    let dir = tempfile::tempdir().unwrap();
    sit_by(dir.path(), engine, tasks, how, &mut patient()).unwrap_or_else(|e| panic!("{e}"));
    rows(dir.path())
}

/// The answers that were found at a prefix.
pub(crate) fn answers_at<'a>(rows: &'a Rows, at: &PrefixRow) -> Vec<&'a AnswerRow> {
    let same = |row: &&AnswerRow| {
        (&row.question_id, row.sample, &row.control, row.step)
            == (&at.question_id, at.sample, &at.control, at.step)
    };
    rows.answers.iter().filter(same).collect()
}

pub(crate) fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

/// H in nats of masses that are brought to one.
pub(crate) fn entropy(masses: impl Iterator<Item = f64>) -> f64 {
    let masses: Vec<f64> = masses.filter(|&p| p > 0.0).collect();
    let sum: f64 = masses.iter().sum();
    masses.iter().map(|p| -p / sum * (p / sum).ln()).sum()
}
