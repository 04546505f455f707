//! W4: the distribution over answer strings at every prefix, as `entrace score --estimator enumerate` measures it.
//!
//! The walk of `run` itself, with its record on disk: traces are imported, so their own tokens are scored as well.

use crate::outcome::Once;
use crate::workload::Enumerate;
use anyhow::{Result, ensure};
use entrace_backend::Sampling;
use entrace_datasets::FormatKind;
use entrace_decoder::LanguageModel;
use entrace_measure::{Estimator, Question};
use entrace_record::manifest::TraceSource;
use entrace_record::{Manifest, RunReader, RunWriter};
use entrace_run::{
    Engine, EstimatorChoice, Measured, Measurement, Prompting, TaskPlan, TraceInput, TraceMaking, WorkItem,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Unexplored mass at which a prefix is done.
const EPSILON: f64 = 0.01;

pub(crate) fn measure(model: &LanguageModel, questions: &[Enumerate], max_nodes: usize) -> Result<Once> {
    let folder = tempfile::tempdir()?;
    let how = measurement(max_nodes);
    let (mut writer, _) = RunWriter::open(folder.path(), &manifest(model, &how))?;
    let engine = Engine { text: model, generator: Some(model), scorer: Some(model), layers: None };
    let plan = plan(questions);
    let begin = Instant::now();
    entrace_run::run(engine, &[plan], &how, &mut writer, &mut ())?;
    let seconds = begin.elapsed().as_secs_f64();
    let prefixes = RunReader::open(folder.path())?.prefixes()?;
    ensure!(!prefixes.is_empty(), "no prefix was measured");
    let n_prefixes = prefixes.len() as f64;
    let done = prefixes.iter().filter(|prefix| prefix.residual_mass <= EPSILON);
    let notes = BTreeMap::from([
        ("prefixes", n_prefixes),
        ("share of prefixes with residual mass <= 0.01", done.count() as f64 / n_prefixes),
    ]);
    Ok(Once { seconds, amount: n_prefixes, unit: "prefix", flop: None, notes })
}

fn plan(questions: &[Enumerate]) -> TaskPlan {
    let format = FormatKind::Number.format();
    let item = |(number, line): (usize, &Enumerate)| {
        let question = Question {
            task: "bench".into(),
            id: number.to_string(),
            text: line.prompt.clone(),
            choices: None,
            target: Some(format.canonical(&line.target, None)),
            rationale: None,
        };
        let trace = TraceInput::Imported { text: line.trace.clone(), step_ends: None, correct: None };
        WorkItem {
            question: Arc::new(question),
            prompting: Prompting::Verbatim(line.prompt.clone()),
            traces: vec![(0, trace)],
        }
    };
    let items = questions.iter().enumerate().map(item).collect();
    TaskPlan { name: "bench".into(), format: FormatKind::Number.format(), items }
}

/// What the command line measures unless told otherwise, without controls.
fn measurement(max_nodes: usize) -> Measurement {
    let sampling = Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 1, stop: Vec::new() };
    Measurement {
        estimator: EstimatorChoice::Always(Estimator::Enumerate),
        epsilon: EPSILON,
        max_nodes,
        controls: Vec::new(),
        control_depths: None,
        control_nodes: max_nodes,
        traces: TraceMaking { sampling },
        ..Measurement::default()
    }
}

fn manifest(model: &LanguageModel, how: &Measurement) -> Manifest {
    let measured = Measured {
        tasks: Vec::new(),
        traces: TraceSource::Imported { path: String::new(), hash: String::new(), sampling: None },
        revision: None,
        template_vars: BTreeMap::new(),
    };
    Manifest::begun(how.settings(model, measured), vec!["bench".into()], None)
}
