//! `run`: from prompts to the report, as `entrace run` does it, and where the time goes.
//!
//! The questions are a fixed set: word problems of `arith`, or the first ones of SVAMP where its files are at hand. Everything is on that a run
//! can ask of a model in this process: greedy traces, beliefs at every prefix with the swapped control, rollouts, the signals of layers,
//! hidden states and attention. Without `--model` it is measured twice, on made-up models of 49,152 and of 151,936 tokens, because
//! what is reduced over the vocabulary grows with it.

use crate::args::Args;
use crate::machine;
use crate::made_up;
use crate::outcome::{Once, Outcome};
use crate::timed::{Clock, Timed};
use anyhow::{Context, Result};
use entrace_decoder::LanguageModel;
use entrace_measure::signal::Group;
use entrace_run::{Phase, Rollouts};
use entrace_study::{
    Error, Event, Host, Measurement, Model, ModelOptions, Observer, OwnEngine, Place, Study, TaskOptions,
};
use entrace_worlds::arith::{self, Difficulty, Split};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Questions, and most tokens of a trace.
const N_QUESTIONS: u64 = 8;
const TRACE_TOKENS: usize = 96;
/// Rollouts at each of five depths.
const DRAWS: usize = 4;

/// Measures the model that is asked for, or the made-up ones.
pub(crate) fn measure(args: &Args) -> Result<Vec<Outcome>> {
    let models: Vec<(String, PathBuf)> = match &args.model {
        Some(path) => vec![("run".to_string(), path.clone())],
        None => [made_up::VOCAB, made_up::LARGE_VOCAB]
            .into_iter()
            .map(|n| Ok((format!("run, {n} tokens"), made_up::model_of(&args.cache(), n)?)))
            .collect::<Result<_>>()?,
    };
    let mut outcomes = Vec::new();
    for (name, path) in models {
        let model = Arc::new(crate::open(&path, args.options())?);
        let mut outcome = Outcome::new(name);
        for _ in 0..args.repeats {
            machine::reset_peak();
            let once = once(&model, args.data_dir.as_deref())?;
            outcome.add(once, machine::peak_bytes());
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn once(model: &Arc<LanguageModel>, data_dir: Option<&Path>) -> Result<Once> {
    let scratch = tempfile::tempdir()?;
    let clock = Clock::default();
    let brought = Brought { model: model.clone(), clock: clock.clone() };
    let mut own = Model::open(&ModelOptions::named("timed"), &brought)?;
    let tasks = questions(scratch.path(), data_dir)?;
    let mut parts = Parts::new(&clock);
    let begin = Instant::now();
    let study = Study::of_tasks(&mut own, tasks.open(&())?, how())?;
    let mut recorded = study.measure(&Place::at(scratch.path().join("run")), &mut parts)?;
    parts.begin(REPORT);
    recorded.write_outputs()?;
    parts.begin(QUESTIONS);
    let seconds = begin.elapsed().as_secs_f64();
    let mut notes = parts.seconds;
    notes.insert("share in the model", clock.total().as_secs_f64() / seconds);
    notes.insert("questions per minute", 60.0 * N_QUESTIONS as f64 / seconds);
    Ok(Once { seconds, amount: N_QUESTIONS as f64, unit: "question", flop: None, notes })
}

fn how() -> Measurement {
    let mut how = Measurement {
        rollouts: Some(Rollouts { n_questions: usize::MAX, draws: DRAWS }),
        signals: [Group::Layers, Group::Hidden, Group::Attention].into(),
        ..Measurement::default()
    };
    how.traces.sampling.max_new_tokens = TRACE_TOKENS;
    how
}

/// The fixed set of questions.
fn questions(scratch: &Path, data_dir: Option<&Path>) -> Result<TaskOptions> {
    let limit = Some(N_QUESTIONS as f64);
    if let Some(data_dir) = data_dir {
        let data_dir = Some(data_dir.to_path_buf());
        return Ok(TaskOptions { limit, data_dir, ..TaskOptions::named(["svamp"]) });
    }
    let line = |index| {
        let problem = arith::generate(0, Split::Test, index, &Difficulty::default());
        problem.json_line(&problem.solution) + "\n"
    };
    let path = scratch.join("questions.jsonl");
    std::fs::write(&path, (0..N_QUESTIONS).map(line).collect::<String>())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(TaskOptions { limit, ..TaskOptions::named([path.display().to_string()]) })
}

/// The program around the study: it brings the model along, which is loaded once for all repetitions.
struct Brought {
    model: Arc<LanguageModel>,
    clock: Clock,
}

impl Host for Brought {
    fn engine(&self, _: &str) -> Result<Option<Box<dyn OwnEngine>>, Error> {
        Ok(Some(Box::new(Timed { model: self.model.clone(), clock: self.clock.clone() })))
    }
}

/// A part of a run: the name of its seconds, and of those outside of the model.
type Part = [&'static str; 2];

const QUESTIONS: Part = ["questions, s", "  outside of the model: questions"];
const TRACES: Part = ["traces, s", "  outside of the model: traces"];
const PREFIXES: Part = ["prefixes and controls, s", "  outside of the model: prefixes and controls"];
const ROLLOUTS: Part = ["rollouts, s", "  outside of the model: rollouts"];
const SIGNALS: Part = ["signals, s", "  outside of the model: signals"];
const TABLES: Part = ["tables, s", "  outside of the model: tables"];
const REPORT: Part = ["statistics and report, s", "  outside of the model: statistics and report"];

/// Seconds of each part of a run.
struct Parts<'a> {
    clock: &'a Clock,
    part: Part,
    since: Instant,
    /// The clock at that moment.
    in_model: Duration,
    seconds: BTreeMap<&'static str, f64>,
}

impl<'a> Parts<'a> {
    fn new(clock: &'a Clock) -> Self {
        let since = Instant::now();
        Self { clock, part: QUESTIONS, since, in_model: clock.total(), seconds: BTreeMap::new() }
    }

    fn begin(&mut self, part: Part) {
        let (now, in_model) = (Instant::now(), self.clock.total());
        let took = now.duration_since(self.since);
        let outside = took.saturating_sub(in_model - self.in_model);
        for (name, time) in self.part.into_iter().zip([took, outside]) {
            *self.seconds.entry(name).or_default() += time.as_secs_f64();
        }
        (self.part, self.since, self.in_model) = (part, now, in_model);
    }
}

impl Observer for Parts<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::PhaseBegins { phase: Phase::Traces, .. } => self.begin(TRACES),
            Event::PhaseBegins { phase: Phase::Prefixes, .. } => self.begin(PREFIXES),
            Event::PhaseBegins { phase: Phase::Rollouts, .. } => self.begin(ROLLOUTS),
            Event::PhaseBegins { phase: Phase::Signals, .. } => self.begin(SIGNALS),
            Event::TracesDone(_) => self.begin(TABLES),
            _ => {}
        }
    }

    fn should_stop(&self) -> bool {
        false
    }
}
