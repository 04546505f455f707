//! `cargo xtask bench`: how fast entrace is, and how far that is from what the machine can do.
//!
//! Five workloads go through the same traits as `entrace` itself:
//!
//! - W1 `choices`: log-probabilities of four options after a cue, at every prefix of every trace
//! - W2 `rollout`: sampled continuations from shared prefixes
//! - W3 `tokens`: log-probability of every token of a long text
//! - W4 `enumerate`: answer strings to a residual mass of at most 0.01 at every prefix
//! - W5 `statistics`: report of a record with a million prefix rows; no model
//!
//! and three more measurements: `growth` (time and memory against prefixes, traces and length), `startup` (a new process to its first
//! token) and `run` (from prompts to the report, and where the time goes). Repetitions are interleaved, since the speed of a shared machine drifts; the best and the median of each are told.
//!
//! The yardstick is the arithmetic floor: 2 × parameters × tokens of one packed pass that runs every token once, over the rate of a
//! float32 matrix product that is measured in the same run (`sgemm`). The embedding table is counted for the rows that need the output
//! head, not for every token; attention is not counted.

mod args;
mod choices;
mod enumerate;
mod growth;
mod machine;
mod made_up;
mod make;
mod outcome;
mod rollout;
mod run;
mod serve;
mod sgemm;
mod startup;
mod statistics;
mod timed;
mod tokens;
mod workload;

use anyhow::{Context, Result};
use args::{Args, Name};
use clap::Parser;
use entrace_decoder::{LanguageModel, Options};
use outcome::{Once, Outcome, Results};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use workload::Workload;

/// Fixes the number of threads before anything has started one.
const THREADS: &str = "RAYON_NUM_THREADS";

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(threads) = args.threads.map(|n| n.to_string())
        && std::env::var(THREADS).ok().as_ref() != Some(&threads)
    {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        return Err(command.args(std::env::args_os().skip(1)).env(THREADS, threads).exec().into());
    }
    if args.first_token {
        return startup::first_token(&model_path(&args)?, args.options());
    }
    let names = args.names();
    let mut results = Results::default();
    if names.contains(&Name::W5) && !args.serve {
        results.outcomes.push(statistics::measure(&args)?);
    }
    if names.contains(&Name::Run) && !args.serve {
        results.outcomes.extend(run::measure(&args)?);
    }
    if !names.iter().any(|name| name.needs_model()) && args.make_workload.is_none() {
        return results.tell(args.json.as_deref());
    }
    let path = model_path(&args)?;
    let model = open(&path, args.options())?;
    if let Some(out) = &args.make_workload {
        return make::make(&model, &args, out);
    }
    let workload = workload(&args, &model)?;
    if args.serve {
        return serve::serve(&model, &workload, args.max_nodes);
    }
    let bench = Bench { model: &model, workload: &workload, args: &args };
    results.model = Some(outcome::ModelNote::of(&model));
    bench.rounds(&names, &mut results)?;
    if names.contains(&Name::Growth) {
        growth::measure(&model, &workload, args.repeats, &mut results)?;
    }
    if names.contains(&Name::Startup) {
        results.outcomes.push(startup::measure(&path, &args)?);
    }
    if let Some(file) = &args.scores {
        serve::write_scores(&model, &workload, file)?;
    }
    results.tell(args.json.as_deref())
}

/// The model asked for, or the made-up one, written where it is not there yet.
fn model_path(args: &Args) -> Result<PathBuf> {
    match &args.model {
        Some(path) => Ok(path.clone()),
        None => made_up::model(&args.cache()),
    }
}

fn open(path: &std::path::Path, options: Options) -> Result<LanguageModel> {
    let now = jiff::Zoned::now().datetime();
    LanguageModel::open(&path.display().to_string(), path, options, now)
        .with_context(|| format!("cannot open {}", path.display()))
}

fn workload(args: &Args, model: &LanguageModel) -> Result<Workload> {
    let mut workload = match &args.workload {
        Some(path) => Workload::load(path)?,
        None => Workload::made_up(args.seed, model)?,
    };
    if let Some(n) = args.traces {
        workload.choices.truncate(n);
    }
    Ok(workload)
}

/// What the workloads run on.
struct Bench<'a> {
    model: &'a LanguageModel,
    workload: &'a Workload,
    args: &'a Args,
}

impl Bench<'_> {
    /// Runs every workload once in every round, and the matrix product before each.
    fn rounds(&self, names: &[Name], results: &mut Results) -> Result<()> {
        let names: Vec<Name> = names.iter().copied().filter(|name| name.is_repeated()).collect();
        let mut outcomes: Vec<Outcome> = Vec::new();
        for round in 0..self.args.repeats {
            for (index, &name) in names.iter().enumerate() {
                results.see_sgemm(sgemm::gflops());
                machine::reset_peak();
                let once = self.once(name)?;
                let peak = machine::peak_bytes();
                if round == 0 {
                    outcomes.push(Outcome::new(name.name()));
                }
                outcomes[index].add(once, peak);
            }
        }
        results.outcomes.extend(outcomes);
        Ok(())
    }

    fn once(&self, name: Name) -> Result<Once> {
        match name {
            Name::W1 => choices::measure(self.model, &self.workload.choices),
            Name::W2 => rollout::measure(self.model, &self.workload.rollout),
            Name::W3 => tokens::measure(self.model, &self.workload.tokens),
            _ => enumerate::measure(self.model, &self.workload.enumerate, self.args.max_nodes),
        }
    }
}
