//! What `run` and `score` share: flags to a measurement, a run folder, the walk, the outputs.

use crate::args::{ChoiceFormArg, EstimatorArg, MeasureArgs};
use crate::exit::{Exit, InSetUp, SetUp};
use crate::fingerprint;
use crate::opened::Model;
use crate::outputs;
use crate::progress::Progress;
use crate::shard::{self, Share};
use anyhow::Result;
use entrace_backend::Sampling;
use entrace_datasets::{BadLine, FormatKind, NumberStyle};
use entrace_measure::signal::Group;
use entrace_measure::{Estimator, Segmentation};
use entrace_record::manifest::{Manifest, TaskRecord, TraceSource};
use entrace_record::merge::shard_folder;
use entrace_record::writer::{Found, RunWriter};
use entrace_run::{
    ChoiceForm, Control, EstimatorChoice, Measured, Measurement, Rollouts, TaskPlan, TraceMaking, WorkItem,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Most new tokens of a trace unless a flag or the model says otherwise.
pub(crate) const MAX_NEW_TOKENS: usize = 512;

/// Everything that is measured in one run folder.
pub(crate) struct Job {
    pub(crate) model: Model,
    pub(crate) revision: Option<String>,
    /// Each task with its plans, one for each kind of answers.
    pub(crate) tasks: Vec<(Vec<TaskPlan>, TaskRecord)>,
    pub(crate) traces: TraceSource,
    pub(crate) measurement: Measurement,
    pub(crate) template_vars: BTreeMap<String, serde_json::Value>,
    pub(crate) out: PathBuf,
    pub(crate) limit: Option<f64>,
    /// The share of the run that is measured here; all of it without one.
    pub(crate) share: Option<Share>,
    /// Lines of the input that could not be read.
    pub(crate) bad_lines: Vec<BadLine>,
}

/// Turns flags into a measurement; `max_new_tokens` holds unless a flag says otherwise.
pub(crate) fn measurement(args: &MeasureArgs, max_new_tokens: usize) -> Result<Measurement> {
    let segmentation = Segmentation::parse(&args.segment).in_set_up()?;
    let in_range = |name: &str, ok: bool| {
        if ok { Ok(()) } else { Err(SetUp(format!("--{name} is out of range"))) }
    };
    in_range("epsilon", (0.0..1.0).contains(&args.epsilon))?;
    in_range("batch-size", args.batch_size > 0)?;
    in_range("max-answer-tokens", args.max_answer_tokens > 0)?;
    in_range("max-steps", args.max_steps != Some(0))?;
    for (name, value, most) in [
        ("samples", args.samples, 100_000),
        ("max-nodes", args.max_nodes, 10_000_000),
        ("max-answer-tokens", args.max_answer_tokens, 100_000),
        ("batch-size", args.batch_size, 100_000),
    ] {
        at_most(name, value, most)?;
    }
    let sampling = sampling(args, max_new_tokens)?;
    let mut cues: Vec<String> = args.cue.iter().map(|cue| unescaped(cue)).collect();
    if let Some(again) = (1..cues.len()).find(|&i| cues[..i].contains(&cues[i])) {
        return Err(SetUp(format!("--cue {:?} is given twice", args.cue[again])).into());
    }
    let cue = if cues.is_empty() { String::new() } else { cues.remove(0) };
    Ok(Measurement {
        estimator: match args.estimator {
            EstimatorArg::Auto => EstimatorChoice::Auto,
            EstimatorArg::Choices => EstimatorChoice::Always(Estimator::Choices),
            EstimatorArg::Enumerate => EstimatorChoice::Always(Estimator::Enumerate),
            EstimatorArg::Sample => EstimatorChoice::Always(Estimator::Sample),
            EstimatorArg::Rollout => EstimatorChoice::Always(Estimator::Rollout),
        },
        cue,
        more_cues: cues,
        choice_form: match args.choice_form {
            ChoiceFormArg::Label => ChoiceForm::Label,
            ChoiceFormArg::Text => ChoiceForm::Text,
            ChoiceFormArg::TextMean => ChoiceForm::TextMean,
        },
        samples: args.samples,
        epsilon: args.epsilon,
        max_nodes: args.max_nodes,
        max_answer_tokens: args.max_answer_tokens,
        segmentation,
        max_steps: args.max_steps,
        controls: controls(&args.controls)?,
        control_depths: control_depths(&args.control_depths)?,
        control_nodes: args.control_nodes.unwrap_or(args.max_nodes.div_ceil(4)),
        rollouts: args.rollouts.as_deref().map(rollouts).transpose()?.flatten(),
        signals: signals(&args.signals)?,
        traces: TraceMaking { sampling },
        seed: args.seed,
        batch_size: args.batch_size,
    })
}

/// The share of the run that `--shard` asks for.
pub(crate) fn share(args: &MeasureArgs) -> Result<Option<Share>> {
    let find = |name: &str| std::env::var(name).ok();
    Ok(args.shard.as_deref().map(|text| shard::parse(text, find)).transpose()?)
}

/// Refuses a number that would take memory without end, before any is taken.
pub(crate) fn at_most(flag: &str, value: usize, most: usize) -> Result<()> {
    if value > most {
        return Err(SetUp(format!("--{flag} {value} is out of range: at most {most}")).into());
    }
    Ok(())
}

fn controls(names: &[String]) -> Result<Vec<Control>> {
    let mut controls = Vec::new();
    for name in names {
        let control = match name.as_str() {
            "swapped" => Control::Swapped,
            "shuffled" => Control::Shuffled,
            "unstated" => Control::Unstated,
            "none" | "" => continue,
            other => {
                let known = "swapped, shuffled, unstated, none";
                return Err(SetUp(format!("--controls: {other:?} is none of {known}")).into());
            }
        };
        if !controls.contains(&control) {
            controls.push(control);
        }
    }
    Ok(controls)
}

/// The depths of `--control-depths`; `None` for all prefixes.
fn control_depths(list: &[String]) -> Result<Option<Vec<f64>>> {
    if let [only] = list
        && only == "all"
    {
        return Ok(None);
    }
    let mut depths = Vec::new();
    for text in list {
        match text.parse::<f64>() {
            Ok(depth) if (0.0..=1.0).contains(&depth) => depths.push(depth),
            _ => {
                let problem = format!("--control-depths: {text:?} is no depth from 0 to 1, and not all");
                return Err(SetUp(problem).into());
            }
        }
    }
    depths.sort_by(f64::total_cmp);
    depths.dedup();
    Ok(Some(depths))
}

/// What `--rollouts` asks for.
fn rollouts(text: &str) -> Result<Option<Rollouts>> {
    if text == "0" {
        return Ok(None);
    }
    let parts = text.split_once(':').and_then(|(questions, draws)| {
        let n_questions = if questions == "all" { usize::MAX } else { questions.parse().ok()? };
        Some(Rollouts {
            n_questions,
            draws: draws.parse().ok().filter(|draws| (1..=MOST_DRAWS).contains(draws))?,
        })
    });
    match parts {
        Some(Rollouts { n_questions: 0, .. }) => Ok(None),
        Some(rollouts) => Ok(Some(rollouts)),
        None => {
            let asked =
                format!("QUESTIONS:DRAWS such as 100:8 or all:8, with 1 to {MOST_DRAWS} draws, nor 0");
            Err(SetUp(format!("--rollouts: {text:?} is neither {asked}")).into())
        }
    }
}

/// Most draws at a prefix.
const MOST_DRAWS: usize = 10_000;

/// Rollouts where no flag asks for any: on as many questions as a model of this size does in minutes rather than hours.
pub(crate) fn fill_in_rollouts(how: &mut Measurement, args: &MeasureArgs, n_parameters: Option<u64>) {
    let all_rolled_out = how.estimator == EstimatorChoice::Always(Estimator::Rollout);
    if args.rollouts.is_some() || all_rolled_out {
        return;
    }
    let n_questions = match n_parameters {
        Some(..50_000_000) => usize::MAX,
        Some(50_000_000..2_000_000_000) => 100,
        _ => 30,
    };
    how.rollouts = Some(Rollouts { n_questions, draws: 8 });
}

fn signals(names: &[String]) -> Result<BTreeSet<Group>> {
    let mut groups = BTreeSet::new();
    for name in names {
        match (name.as_str(), Group::from_name(name)) {
            ("all", _) => groups.extend(Group::ALL),
            ("none" | "", _) => {}
            (_, Some(group)) => groups.extend([group]),
            (other, None) => {
                let known = Group::ALL.map(Group::name).join(", ");
                return Err(SetUp(format!("--signals: {other:?} is none of {known}, all, none")).into());
            }
        }
    }
    Ok(groups)
}

/// `\n` and `\t` as a shell user writes them.
fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}

fn sampling(args: &MeasureArgs, max_new_tokens: usize) -> Result<Sampling> {
    let mut sampling = Sampling {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        max_new_tokens,
        stop: args.stop.iter().map(|s| unescaped(s)).collect(),
    };
    for pair in
        args.gen_kwargs.iter().flat_map(|pairs| pairs.split(',')).filter(|pair| !pair.trim().is_empty())
    {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| SetUp(format!("--gen-kwargs: {pair:?} is not key=value")))?;
        let (key, value) = (key.trim(), value.trim());
        let bad = || SetUp(format!("--gen-kwargs: {value:?} is not a value of {key}"));
        match key {
            "temperature" => sampling.temperature = value.parse().map_err(|_| bad())?,
            "top_p" => sampling.top_p = value.parse().map_err(|_| bad())?,
            "top_k" => sampling.top_k = value.parse().map_err(|_| bad())?,
            "max_gen_toks" | "max_new_tokens" | "max_tokens" => {
                sampling.max_new_tokens = value.parse().map_err(|_| bad())?;
            }
            "until" | "stop" => sampling.stop.push(unescaped(value)),
            "do_sample" if value.eq_ignore_ascii_case("false") => sampling.temperature = 0.0,
            "do_sample" if value.eq_ignore_ascii_case("true") => {}
            _ => {
                let known = "temperature, top_p, top_k, max_gen_toks, until, do_sample";
                return Err(SetUp(format!("--gen-kwargs: {key} is not known; known are {known}")).into());
            }
        }
    }
    if sampling.stop.iter().any(String::is_empty) {
        let problem = "an empty text as --stop would end every trace where it begins; leave it out";
        return Err(SetUp(problem.into()).into());
    }
    sampling.temperature = args.temperature.unwrap_or(sampling.temperature);
    sampling.top_p = args.top_p.unwrap_or(sampling.top_p);
    sampling.top_k = args.top_k.unwrap_or(sampling.top_k);
    sampling.max_new_tokens = args.max_new_tokens.unwrap_or(sampling.max_new_tokens);
    let fits = sampling.temperature.is_finite()
        && sampling.temperature >= 0.0
        && sampling.top_p > 0.0
        && sampling.top_p <= 1.0
        && sampling.max_new_tokens > 0;
    if !fits {
        let asked = "temperature >= 0, 0 < top_p <= 1 and at least one new token";
        return Err(SetUp(format!("sampling needs {asked}")).into());
    }
    Ok(sampling)
}

/// Measures a job into its folder and writes all outputs.
pub(crate) fn carry_out(job: Job, args: &MeasureArgs) -> Result<Exit> {
    let (plans, mut records): (Vec<Vec<TaskPlan>>, Vec<TaskRecord>) = job.tasks.into_iter().unzip();
    for (plans, record) in plans.iter().zip(&mut records) {
        record.items_hash = fingerprint::of(plans);
    }
    let plans: Vec<TaskPlan> = plans.into_iter().flatten().collect();
    let engine = job.model.engine();
    check(&job.model, &plans, &job.measurement)?;
    let measured = Measured {
        tasks: records,
        traces: job.traces,
        revision: job.revision,
        template_vars: job.template_vars,
    };
    let settings = job.measurement.settings(job.model.text(), measured);
    let mut manifest =
        Manifest::begun(settings, std::env::args().collect(), Some(job.model.clock().to_string()));
    manifest.servers = job.model.servers();
    manifest.shard =
        job.share.map(|share| share.among(entrace_run::n_parts(&plans, job.measurement.batch_size)));
    let out = match &manifest.shard {
        Some(shard) => shard_folder(&job.out, shard),
        None => job.out,
    };
    let (mut writer, found) = open_folder(&out, &manifest, args.overwrite)?;
    list_bad_lines(&writer, &job.bad_lines, args.quiet)?;
    let finished_parts = match found {
        Found::Nothing => BTreeSet::new(),
        Found::Resumed { finished_parts } => finished_parts,
        Found::Complete => {
            let progress = Progress::new(args.quiet)?;
            progress.note(&format!("{} is complete already; making its outputs again", out.display()));
            return outputs::write_all(&mut writer, job.limit, args.quiet);
        }
    };
    let started = Instant::now();
    let mut progress = Progress::new(args.quiet)?.watching(job.model.standing());
    let walked = entrace_run::run(engine, &plans, &job.measurement, &writer, &finished_parts, &mut progress);
    progress.end();
    let elapsed = started.elapsed().as_secs_f64();
    match walked {
        Ok(_) if manifest.shard.is_some() => {
            writer.add_elapsed(elapsed)?;
            progress
                .note(&format!("{} is complete; `entrace merge` puts all shards together", out.display()));
            return Ok(Exit::success());
        }
        Ok(n_parts) => writer.finish(n_parts, jiff::Timestamp::now(), elapsed)?,
        Err(error) => {
            // The first error is the one to tell: a disk that is full for a part is full for the manifest too.
            let _ = writer.add_elapsed(elapsed);
            return Err(error.into());
        }
    }
    outputs::write_all(&mut writer, job.limit, args.quiet)
}

/// Refuses what the model cannot do before anything is measured; of servers it is said what they lack and what would do.
fn check(model: &Model, plans: &[TaskPlan], how: &Measurement) -> Result<()> {
    let Err(error) = entrace_run::check(model.engine(), plans, how) else { return Ok(()) };
    let lacks = model.lacks();
    if matches!(error, entrace_run::Error::Lacks(_)) && !lacks.is_empty() {
        return Err(SetUp(format!("{error}. The server lacks: {}", lacks.join("; "))).into());
    }
    Err(error.into())
}

/// Gives a resumed run the prompts that it began with: chat templates that print the date see its first day.
pub(crate) fn keep_clock(model: &mut Model, out: &Path, args: &MeasureArgs) {
    let recorded = Manifest::peek(out).filter(|_| !args.overwrite);
    if let Some(clock) = recorded.and_then(|manifest| manifest.clock?.parse().ok()) {
        model.set_clock(clock);
    }
}

/// Lists the lines that were left out in a file of the run folder.
fn list_bad_lines(writer: &RunWriter, bad_lines: &[BadLine], quiet: bool) -> Result<()> {
    let Some(first) = bad_lines.first() else { return Ok(()) };
    let lines: String = bad_lines.iter().map(|line| format!("{line}\n")).collect();
    let path = writer.write_file("skipped_lines.txt", lines.as_bytes())?;
    Progress::new(quiet)?.note(&format!(
        "{} line(s) could not be read and were skipped; the first: {first}; all of them: {}",
        bad_lines.len(),
        path.display()
    ));
    Ok(())
}

fn open_folder(out: &Path, manifest: &Manifest, overwrite: bool) -> Result<(RunWriter, Found)> {
    if overwrite {
        return Ok((RunWriter::overwrite(out, manifest)?, Found::Nothing));
    }
    Ok(RunWriter::open(out, manifest)?)
}

/// The default run folder: model and tasks by name.
pub(crate) fn default_folder(model: &str, tasks: &[String]) -> PathBuf {
    let clean = |text: &str| {
        let name = text.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(text);
        name.chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-@".contains(c) { c } else { '-' })
            .collect::<String>()
    };
    let tasks: Vec<String> = tasks.iter().map(|task| clean(task)).collect();
    let name = format!("{}_{}", clean(model), tasks.join("+"));
    Path::new("entrace-runs").join(entrace_record::file::short_name(&name))
}

/// The plans of a task, one for each kind of answers, each in a random order that the seed and the identities decide.
pub(crate) fn plans(
    name: &str,
    style: NumberStyle,
    items: Vec<(FormatKind, WorkItem)>,
    seed: u64,
) -> Vec<TaskPlan> {
    let of_kind = |kind: FormatKind| -> Vec<WorkItem> {
        items.iter().filter(|(other, _)| *other == kind).map(|(_, item)| item.clone()).collect()
    };
    let plans = FormatKind::ALL.into_iter().map(|kind| (kind, of_kind(kind)));
    let plans = plans.filter(|(_, items)| !items.is_empty()).map(|(kind, mut items)| {
        items.sort_by_cached_key(|item| {
            let id = &item.question.id;
            (entrace_backend::stream_seed(seed, &[name, id, "order"]), id.clone())
        });
        TaskPlan { name: name.to_string(), format: kind.format_in(style), items }
    });
    plans.collect()
}

/// How many of `n` items a limit leaves.
pub(crate) fn limited(n: usize, limit: Option<f64>) -> Result<usize> {
    match limit {
        None => Ok(n),
        Some(limit) if limit.is_finite() && limit > 0.0 => {
            let count = if limit < 1.0 { (n as f64 * limit).ceil() } else { limit };
            Ok(n.min(count as usize))
        }
        Some(limit) => Err(SetUp(format!("--limit {limit} is out of range")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::FromArgMatches;

    #[test]
    fn flags_default_to_what_the_library_does() {
        let matches = <Cli as clap::CommandFactory>::command().get_matches_from(["entrace", "run"]);
        let Ok(Cli { command: Command::Run(args), .. }) = Cli::from_arg_matches(&matches) else {
            panic!("`entrace run` is a command")
        };
        let found = measurement(&args.measure, MAX_NEW_TOKENS).unwrap();
        assert_eq!(format!("{found:?}"), format!("{:?}", Measurement::default()));
    }
}
