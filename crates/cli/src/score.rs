//! `entrace score`: existing traces.

use crate::args::ScoreArgs;
use crate::exit::{Exit, SetUp};
use crate::measure::{self, Job};
use crate::progress::Progress;
use crate::questions::{self, Asking};
use crate::template_vars;
use anyhow::Result;
use entrace_datasets::imported::{self, ImportedTrace, TracePrompt};
use entrace_datasets::{BadLines, FormatKind, jsonl, stem};
use entrace_record::manifest::{TaskRecord, TraceSource};
use entrace_run::{Prompting, TraceInput, WorkItem};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

pub(crate) fn score(args: ScoreArgs) -> Result<Exit> {
    let path = args.traces.clone().ok_or_else(|| SetUp("--traces is missing: a file of traces".into()))?;
    let mut how = measure::measurement(&args.measure, measure::MAX_NEW_TOKENS)?;
    let name = match &args.task {
        Some(name) => name.clone(),
        None => stem(&path).unwrap_or_else(|| "traces".into()),
    };
    let options = jsonl::Options {
        columns: questions::columns(args.map.as_deref())?,
        answer_format: questions::format_kind(args.answer_format.as_deref())?,
        bad_lines: if args.measure.strict { BadLines::Stop } else { BadLines::Skip },
        max_cell_bytes: args.measure.max_cell_bytes,
    };
    questions::parse_template(args.prompt_template.as_deref())?;
    measure::limited(0, args.limit)?;
    let read = imported::load_with(&path, args.requests.as_deref(), &name, &options)?;
    let template_vars = template_vars::parse(&args.measure.template_vars)?;
    let (mut model, revision) = crate::opened::open(&args.model, args.measure.quiet)?;
    measure::fill_in_rollouts(&mut how, &args.measure, model.info().n_parameters);
    let progress = Progress::new(args.measure.quiet)?;
    template_vars::apply(&mut model, &template_vars, &progress)?;
    for note in &read.notes {
        progress.note(note);
    }
    let asking = Asking::of(args.system.as_deref(), args.prompt_template.as_deref(), false, model.text())?;
    let n = measure::limited(read.traces.len(), args.limit)?;
    let n_questions = |traces: &[ImportedTrace]| {
        traces.iter().map(|trace| trace.question.id.as_str()).collect::<BTreeSet<&str>>().len()
    };
    let n_available = n_questions(&read.traces);
    let mut traces = read.traces;
    traces.truncate(n);
    let n_questions = n_questions(&traces);
    if traces.iter().any(|trace| !matches!(trace.prompt, Some(TracePrompt::Text(_)))) {
        how.traces.sampling.stop.extend(asking.stop());
    }
    let kinds: Vec<FormatKind> = traces.iter().map(|trace| trace.answer_format).collect();
    let items = items(traces, &asking)?;
    let record = TaskRecord {
        name: name.clone(),
        source: read.source.clone(),
        hash: read.hash.clone(),
        items_hash: String::new(),
        n_available,
        n_questions,
        n_bad_lines: read.bad_lines.len(),
        answer_format: FormatKind::names(&kinds),
        estimator: how.estimator.name().to_string(),
    };
    let plans = measure::plans(&name, read.style, items, how.seed);
    let out = args.measure.output_path.clone();
    let out = out.unwrap_or_else(|| measure::default_folder(&model.info().name, &[name]));
    refuse_own_input(&path, &out, args.measure.overwrite)?;
    let sampling = Some(entrace_run::sampling_record(&how.traces.sampling));
    let traces = TraceSource::Imported { path: read.source, hash: read.hash, sampling };
    measure::keep_clock(&mut model, &out, &args.measure);
    let job = Job {
        model,
        revision,
        tasks: vec![(plans, record)],
        traces,
        measurement: how,
        template_vars,
        out,
        limit: args.limit,
        share: measure::share(&args.measure)?,
        bad_lines: read.bad_lines,
    };
    measure::carry_out(job, &args.measure)
}

/// A run that is replaced may hold the very file that is read, as its table of traces.
fn refuse_own_input(path: &Path, out: &Path, overwrite: bool) -> Result<()> {
    let (Ok(path), Ok(out)) = (path.canonicalize(), out.canonicalize()) else { return Ok(()) };
    if overwrite && path.starts_with(&out) {
        let problem =
            format!("--overwrite may remove {}, which is read; choose another --output-path", path.display());
        return Err(SetUp(problem).into());
    }
    Ok(())
}

/// One item for each question and prompt, with the kind of its answer, in the order in which they come first.
fn items(traces: Vec<ImportedTrace>, asking: &Asking) -> Result<Vec<(FormatKind, WorkItem)>> {
    let mut items: Vec<(FormatKind, WorkItem)> = Vec::new();
    let mut of_question: HashMap<String, Vec<usize>> = HashMap::new();
    for trace in traces {
        let prompting = match &trace.prompt {
            Some(TracePrompt::Text(prompt)) => Prompting::Verbatim(prompt.clone()),
            Some(TracePrompt::Messages(messages)) => {
                asking.conversation(messages, &trace.question, trace.answer_format)?
            }
            None => asking.prompting(&trace.question, trace.answer_format, &[], 0),
        };
        let sample = u32::try_from(trace.sample).unwrap_or(u32::MAX);
        let input =
            TraceInput::Imported { text: trace.trace, step_ends: trace.step_ends, correct: trace.correct };
        let known = of_question.entry(trace.question.id.clone()).or_default();
        match known.iter().find(|&&index| items[index].1.prompting == prompting) {
            Some(&index) => items[index].1.traces.push((sample, input)),
            None => {
                known.push(items.len());
                let question = Arc::new(trace.question);
                let item = WorkItem { question, prompting, traces: vec![(sample, input)] };
                items.push((trace.answer_format, item));
            }
        }
    }
    for (_, item) in &mut items {
        item.traces.sort_by_key(|(sample, _)| *sample);
    }
    Ok(items)
}
