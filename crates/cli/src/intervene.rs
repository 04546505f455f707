//! `entrace intervene`: changes in recorded traces, and what they do to belief.
//!
//! It is a command of its own and no flag of `run` or `score`: it starts from traces that are recorded, can be repeated with other kinds or
//! another model without measuring anything again, and adds to the run folder what it finds. The model is the one that the manifest names,
//! unless `--model` names another; then whatever is measured is off-policy, and the table says so.

use crate::args::{InterveneArgs, ModelArgs};
use crate::exit::{Exit, InSetUp, SetUp};
use crate::outputs;
use crate::progress::Progress;
use anyhow::Result;
use entrace_backend::Text;
use entrace_datasets::FormatKind;
use entrace_decoder::LanguageModel;
use entrace_intervene::cost::{Costs, Rates};
use entrace_intervene::walk::{self, TaskFormat};
use entrace_intervene::{Draws, Plan, Recorded, cost, import, recorded};
use entrace_measure::intervention::{Kind, Reading};
use entrace_record::interventions::{self, InterventionSettings, Unfinished};
use entrace_record::manifest::ModelRecord;
use entrace_record::{Manifest, RunReader};
use entrace_report::{ReportOptions, terminal, write_report};
use entrace_run::{Engine, Measurement};
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Instant;

pub(crate) fn intervene(args: InterveneArgs) -> Result<Exit> {
    if let Some(folder) = &args.import {
        return import_rollouts(folder, &args);
    }
    let plan = plan(&args)?;
    let reader = crate::report::open(&args.run)?;
    let manifest = reader.manifest().clone();
    let how = walk::measurement(&manifest.settings)?;
    walk::check(&plan, &how)?;
    let progress = Progress::new(args.quiet)?;
    let model_args = ModelArgs {
        model: vec![args.model.name().unwrap_or(&manifest.settings.model.name).to_string()],
        ..args.model.clone()
    };
    let (mut model, revision) = crate::model::open(&model_args, args.quiet)?;
    if let Some(clock) = manifest.clock.as_deref().and_then(|clock| clock.parse().ok()) {
        model.set_clock(clock);
    }
    let hash = &model.info().model_hash;
    let is_same = hash.is_some() && *hash == manifest.settings.model.model_hash;
    if !is_same {
        progress.note(&format!(
            "{} is not the model that the run was measured with ({}): every effect is off-policy",
            model.info().name,
            manifest.settings.model.name
        ));
    }
    let (traces, left_out) = recorded::load(&reader, &model, args.limit)?;
    let tasks = tasks(traces, &manifest)?;
    let n_traces: usize = tasks.iter().map(|task| task.traces.len()).sum();
    if n_traces == 0 {
        let reasons: Vec<String> = left_out.iter().map(|(reason, n)| format!("{n}: {reason}")).collect();
        return Err(
            SetUp(format!("{} has no trace to change ({})", args.run.display(), reasons.join("; "))).into()
        );
    }
    let engine = engine(&model);
    if args.dry_run {
        let rates = cost::rates(engine, &tasks, &how, &plan)?;
        writeln!(crate::terminal::stdout(), "{}", costs(&cost::costs(engine, &tasks, &plan), rates, &plan))?;
        return Ok(Exit::success());
    }
    let paraphraser = match &args.paraphraser {
        Some(name) => Some(
            crate::model::open(&ModelArgs { model: vec![name.clone()], ..args.model.clone() }, args.quiet)?.0,
        ),
        None => None,
    };
    let settings = InterventionSettings {
        model: Some(entrace_run::model_record(model.info(), revision)),
        paraphraser: paraphraser.as_ref().map(|model| model.info().name.clone()),
        n_traces,
        left_out,
        ..settings(&plan)
    };
    measure(&args, &reader, engine, paraphraser.as_ref(), &tasks, &how, &plan, settings, is_same, progress)
}

#[expect(clippy::too_many_arguments, reason = "what was opened and read, each once")]
fn measure(
    args: &InterveneArgs,
    reader: &RunReader,
    engine: Engine<'_>,
    paraphraser: Option<&LanguageModel>,
    tasks: &[TaskFormat],
    how: &Measurement,
    plan: &Plan,
    settings: InterventionSettings,
    is_same: bool,
    mut progress: Progress,
) -> Result<Exit> {
    let began = Instant::now();
    let unfinished = Unfinished::of(reader.dir(), &settings);
    let paraphraser = paraphraser.map(self::engine);
    let measured =
        entrace_intervene::measure(engine, paraphraser, tasks, how, plan, Some(&unfinished), &mut progress);
    progress.end();
    let mut measured = measured?;
    if !is_same {
        measured.rows.iter_mut().for_each(|row| row.off_policy = true);
    }
    let elapsed_secs = began.elapsed().as_secs_f64();
    let settings = InterventionSettings { elapsed_secs, ..measured.counted_in(&settings) };
    interventions::write(reader.dir(), &settings, &measured.rows)?;
    unfinished.remove()?;
    say(args)
}

/// Makes the report again and prints what was found.
fn say(args: &InterveneArgs) -> Result<Exit> {
    let dir = &args.run;
    let report = write_report(dir, &ReportOptions::default())?;
    let mut out = crate::terminal::stdout();
    if let Some(found) = &report.metrics.interventions {
        writeln!(out, "{}", terminal::interventions(found, outputs::terminal_width()))?;
    }
    if !args.quiet {
        writeln!(out, "{}", dir.join("report.html").display())?;
    }
    Ok(Exit::success())
}

fn engine(model: &LanguageModel) -> Engine<'_> {
    Engine { text: model, generator: Some(model), scorer: Some(model), layers: Some(model) }
}

fn plan(args: &InterveneArgs) -> Result<Plan> {
    let mut kinds = BTreeSet::new();
    for name in &args.kinds {
        match (name.as_str(), Kind::from_name(name)) {
            ("all", _) => kinds.extend(Kind::ALL),
            (_, Some(kind)) => kinds.extend([kind]),
            (other, None) => {
                let known = Kind::ALL.map(Kind::name).join(", ");
                return Err(SetUp(format!("--kinds: {other:?} is none of {known}, all")).into());
            }
        }
    }
    let mut readings = BTreeSet::new();
    for name in &args.readings {
        let reading = Reading::from_name(name)
            .ok_or_else(|| SetUp(format!("--readings: {name:?} is none of forced, rollout")))?;
        readings.insert(reading);
    }
    let in_range = (0.0..=1.0).contains(&args.dissimilar_below);
    if !in_range {
        return Err(SetUp("--dissimilar-below is a cosine from 0 to 1".into()).into());
    }
    Ok(Plan {
        kinds,
        readings,
        draws: draws(&args.draws)?,
        alpha: ALPHA,
        dissimilar_below: args.dissimilar_below,
        seed: args.seed,
    })
}

/// Share of steps without importance that the noise floor lets through.
const ALPHA: f64 = 0.05;

/// Most draws at a place.
const MOST_DRAWS: usize = 10_000;

/// A number of draws, or a range.
fn draws(text: &str) -> Result<Draws> {
    let (fewest, most) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.parse().ok().filter(|n| (1..=MOST_DRAWS).contains(n));
    match (number(fewest), number(most)) {
        (Some(fewest), Some(most)) if fewest <= most => Ok(Draws { fewest, most }),
        _ => {
            let expected = format!("a number of draws from 1 to {MOST_DRAWS}, or a range such as 8..64");
            Err(SetUp(format!("--draws: {text:?} is not {expected}")).into())
        }
    }
}

fn settings(plan: &Plan) -> InterventionSettings {
    InterventionSettings {
        entrace_version: env!("CARGO_PKG_VERSION").to_string(),
        model: None,
        paraphraser: None,
        kinds: plan.kinds.iter().map(|kind| kind.name().to_string()).collect(),
        readings: plan.readings.iter().map(|reading| reading.name().to_string()).collect(),
        draws: [plan.draws.fewest, plan.draws.most],
        alpha: plan.alpha,
        dissimilar_below: plan.dissimilar_below,
        seed: plan.seed,
        n_traces: 0,
        left_out: Default::default(),
        tokens_scored: 0,
        tokens_drawn: 0,
        draws_made: 0,
        draws_at_most: 0,
        elapsed_secs: 0.0,
        doubled_rollouts: 0,
        table_hash: String::new(),
    }
}

/// Traces with their formats: of a task with several kinds of answers, each trace by its question.
fn tasks(traces: Vec<(String, Vec<Recorded>)>, manifest: &Manifest) -> Result<Vec<TaskFormat>> {
    let mut tasks = Vec::new();
    for (task, traces) in traces {
        let record = manifest.settings.tasks.iter().find(|record| record.name == task);
        let names = record.map_or("text", |record| record.answer_format.as_str());
        let kinds: Vec<FormatKind> = names
            .split(',')
            .map(|name| FormatKind::from_name(name.trim()))
            .collect::<Result<_, _>>()
            .in_set_up()?;
        let kind_of = |recorded: &Recorded| {
            let question = &recorded.question;
            let target = question.target.as_ref().and_then(|target| target.value());
            let guessed = FormatKind::of_questions(
                std::iter::once((question.choices.as_ref(), target)),
                Default::default(),
            );
            guessed.first().copied().filter(|kind| kinds.contains(kind)).or(kinds.first().copied())
        };
        for kind in FormatKind::ALL {
            let of_kind: Vec<Recorded> =
                traces.iter().filter(|recorded| kind_of(recorded) == Some(kind)).cloned().collect();
            if !of_kind.is_empty() {
                tasks.push(TaskFormat { task: task.clone(), format: kind.format(), traces: of_kind });
            }
        }
    }
    Ok(tasks)
}

/// What each kind will take, as a table.
fn costs(costs: &Costs, rates: Option<Rates>, plan: &Plan) -> String {
    let mut text = format!(
        "{:<9} {:<11} {:>8} {:>14} {:>26} {:>20}\n",
        "reading", "kind", "changes", "tokens scored", "tokens drawn", "time"
    );
    let mut all = cost::Cost::default();
    let secs = |tokens_scored: u64, tokens_drawn: u64| {
        rates.map(|rates| tokens_scored as f64 / rates.scored + tokens_drawn as f64 / rates.drawn)
    };
    let mut line = |reading: &str, kind: &str, cost: &cost::Cost| {
        let drawn = match (cost.tokens_drawn_at_least, cost.tokens_drawn_at_most) {
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        let least = secs(cost.tokens_scored, cost.tokens_drawn_at_least).map(duration).unwrap_or_default();
        let most = secs(cost.tokens_scored, cost.tokens_drawn_at_most).map(duration).unwrap_or_default();
        let time = if least == most { least } else { format!("{least} to {most}") };
        text += &format!(
            "{reading:<9} {kind:<11} {:>8} {:>14} {drawn:>26} {time:>20}\n",
            cost.n_edits, cost.tokens_scored
        );
    };
    for (&(reading, kind), cost) in costs {
        line(reading.name(), kind, cost);
        all.n_edits += cost.n_edits;
        all.tokens_scored += cost.tokens_scored;
        all.tokens_drawn_at_least += cost.tokens_drawn_at_least;
        all.tokens_drawn_at_most += cost.tokens_drawn_at_most;
    }
    line("all", "", &all);
    if let Some(rates) = rates {
        text += &format!("At {:.0} tokens/s scored", rates.scored);
        if plan.readings.contains(&Reading::Rollout) {
            text +=
                &format!(" and {:.0} tokens/s drawn ({} draws side by side)", rates.drawn, plan.draws.fewest);
        }
        text += ", measured on the first trace. Cues and answers come on top.\n";
    }
    text
}

fn duration(secs: f64) -> String {
    match secs {
        ..100.0 => format!("{secs:.0} s"),
        100.0..6000.0 => format!("{:.0} min", secs / 60.0),
        _ => format!("{:.1} h", secs / 3600.0),
    }
}

/// Turns a folder of others' rollouts into a run folder and reports on it.
fn import_rollouts(folder: &std::path::Path, args: &InterveneArgs) -> Result<Exit> {
    let record = ModelRecord {
        name: args.model.name().unwrap_or("imported").to_string(),
        revision: None,
        architecture: String::new(),
        n_parameters: None,
        dtype: String::new(),
        device: String::new(),
        context_length: 0,
        model_hash: None,
        tokenizer_hash: None,
        template_hash: None,
    };
    let now = jiff::Timestamp::now();
    let command = std::env::args().collect();
    let imported = import::folder(folder, &args.run, record, ALPHA, args.seed, command, now)?;
    let progress = Progress::new(args.quiet)?;
    imported.notes.iter().for_each(|note| progress.note(note));
    say(args)
}
