//! `entrace score`: traces that somebody already has.

use crate::args::ScoreArgs;
use crate::exit::{Exit, SetUp};
use crate::measure::{self, Job};
use crate::progress::Progress;
use crate::questions::{self, Asking};
use anyhow::Result;
use entrace_backend::Text;
use entrace_datasets::imported::{self, ImportedTrace};
use entrace_datasets::{BadLines, jsonl};
use entrace_record::manifest::{TaskRecord, TraceSource};
use entrace_run::{Prompting, TaskPlan, TraceInput, WorkItem};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) fn score(args: ScoreArgs) -> Result<Exit> {
    let path =
        args.traces.clone().ok_or_else(|| SetUp("--traces is missing: a JSONL file of traces".into()))?;
    let how = measure::measurement(&args.measure, &[])?;
    let name = match &args.task {
        Some(name) => name.clone(),
        None => path.file_stem().map_or_else(|| "traces".into(), |stem| stem.to_string_lossy().into_owned()),
    };
    let options = jsonl::Options {
        columns: questions::columns(args.map.as_deref())?,
        answer_format: questions::format_kind(args.answer_format.as_deref())?,
        bad_lines: if args.measure.strict { BadLines::Stop } else { BadLines::Skip },
    };
    let read = imported::load(&path, &name, &options)?;
    let (model, revision) = crate::model::open(&args.model)?;
    let progress = Progress::new(args.measure.quiet)?;
    if let Some(note) = questions::bad_lines_note(&read.bad_lines) {
        progress.note(&note);
    }
    let asking = Asking::of(args.system.as_deref(), args.prompt_template.as_deref(), false, &model)?;
    let n = measure::limited(read.traces.len(), args.limit)?;
    let mut items: Vec<WorkItem> = Vec::new();
    for trace in read.traces.into_iter().take(n) {
        add(&mut items, trace, &asking, read.answer_format);
    }
    let questions: BTreeSet<&str> = items.iter().map(|item| item.question.id.as_str()).collect();
    let record = TaskRecord {
        name: name.clone(),
        source: read.source.clone(),
        hash: read.hash.clone(),
        n_questions: questions.len(),
        n_bad_lines: read.bad_lines.len(),
        answer_format: read.answer_format.name().to_string(),
        estimator: how.estimator.name().to_string(),
    };
    let mut plan = TaskPlan { name: name.clone(), format: read.answer_format.format(), items };
    measure::shuffle(&mut plan, how.seed);
    let out = args.measure.output_path.clone();
    let out = out.unwrap_or_else(|| measure::default_folder(&model.info().name, &[name]));
    let traces = TraceSource::Imported { path: read.source, hash: read.hash };
    let tasks = vec![(plan, record)];
    let job = Job { model, revision, tasks, traces, measurement: how, out, limit: args.limit };
    measure::carry_out(job, &args.measure)
}

/// Adds a trace to the item of its question and prompt, or begins one.
fn add(items: &mut Vec<WorkItem>, trace: ImportedTrace, asking: &Asking, kind: entrace_datasets::FormatKind) {
    let prompting = match &trace.prompt {
        Some(prompt) => Prompting::Verbatim(prompt.clone()),
        None => asking.prompting(&trace.question, kind, &[], 0),
    };
    let sample = u32::try_from(trace.sample).unwrap_or(u32::MAX);
    let input =
        TraceInput::Imported { text: trace.trace, step_ends: trace.step_ends, correct: trace.correct };
    let same = items.last_mut().filter(|item| {
        let same_prompt = match (&item.prompting, &prompting) {
            (Prompting::Verbatim(a), Prompting::Verbatim(b)) => a == b,
            (Prompting::Chat(a), Prompting::Chat(b)) => a == b,
            _ => false,
        };
        item.question.id == trace.question.id && same_prompt
    });
    match same {
        Some(item) => item.traces.push((sample, input)),
        None => items.push(WorkItem {
            question: Arc::new(trace.question),
            prompting,
            traces: vec![(sample, input)],
        }),
    }
}
