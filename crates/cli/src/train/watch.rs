//! What a person sees while a model trains, and measuring at checkpoints.
//!
//! A bar on standard error where that is a terminal; evaluations and checkpoints as notes. Ctrl-C writes a checkpoint and stops.

use crate::args::{Cli, Command};
use crate::config_file;
use crate::exit::SetUp;
use crate::progress::{Progress, stop_is_asked_for};
use crate::train::data;
use crate::train::flags::OutputArgs;
use crate::train::place::Place;
use anyhow::Result;
use clap::{CommandFactory, Parser};
use entrace_datasets::is_file_name;
use entrace_train::{Event, Flow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Watches one training.
pub(crate) struct Watch<'a> {
    progress: Progress,
    bar: ProgressBar,
    measuring: Measuring<'a>,
    folder: &'a Path,
    /// Updates until the end.
    pub(crate) steps: u64,
    /// The first failure of a measurement; it ends the training.
    failure: Option<anyhow::Error>,
}

/// What is measured at checkpoints.
pub(crate) struct Measuring<'a> {
    pub(crate) output: &'a OutputArgs,
    /// What is learnt: its task is measured if no other one is named.
    pub(crate) data: &'a str,
    pub(crate) data_dir: Option<&'a Path>,
}

/// The measurements of a training.
pub(crate) struct Measured {
    /// Run folders in the order of training.
    pub(crate) runs: Vec<PathBuf>,
    /// Whether all are there.
    pub(crate) is_complete: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(measuring: Measuring<'a>, place: &'a Place<'_>, steps: u64) -> Result<Self> {
        let folder = place.folder.as_path();
        let output = measuring.output;
        let shown = !output.quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}  {elapsed} + {eta}") {
            bar.set_style(style);
        }
        if output.measure.is_some() {
            let refuse = |error: anyhow::Error| SetUp(format!("--measure-config: {error:#}"));
            measuring.command(folder, folder).map_err(refuse)?;
        }
        let watch =
            Self { progress: Progress::new(output.quiet)?, bar, measuring, folder, steps, failure: None };
        if let Some(checkpoint) = &place.resume {
            watch.note(&format!("resuming from {}", checkpoint.display()));
        }
        Ok(watch)
    }

    fn run_folder(&self, step: u64) -> PathBuf {
        self.folder.join("measured").join(format!("step-{step:06}"))
    }

    fn is_measured(&self, step: u64) -> bool {
        let every = self.measuring.output.measure.filter(|&n| n > 0);
        every.is_some_and(|n| step.is_multiple_of(n) || step == self.steps)
    }

    /// A line for the user.
    pub(crate) fn note(&self, text: &str) {
        self.bar.suspend(|| self.progress.note(text));
    }

    /// Says how many traces do not fit into the context.
    pub(crate) fn note_too_long(&self, n_traces: usize) {
        if n_traces > 0 {
            self.note(&format!("{n_traces} traces are longer than the context and were left out"));
        }
    }

    /// Takes the bar away, and passes on what failed. What was to be measured before an interruption and was not is measured now.
    pub(crate) fn end(mut self) -> Result<Measured> {
        self.bar.finish_and_clear();
        let mut measured = Measured { runs: Vec::new(), is_complete: true };
        for checkpoint in crate::model::checkpoints(self.folder) {
            let name = checkpoint.file_name().unwrap_or_default().to_string_lossy();
            let step = name.strip_prefix("step-").and_then(|step| step.parse().ok());
            let Some(step) = step.filter(|&step| self.is_measured(step)) else { continue };
            let run = self.run_folder(step);
            let is_complete = || run.join("metrics.json").exists();
            if !is_complete() && !stop_is_asked_for() {
                self.saved(step, &checkpoint);
            }
            if is_complete() {
                measured.runs.push(run);
            } else {
                measured.is_complete = false;
            }
        }
        self.failure.map_or(Ok(measured), Err)
    }

    pub(crate) fn event(&mut self, event: &Event<'_>) -> Flow {
        match event {
            Event::Fitted(row) => self.show(
                row.step,
                format!(
                    "loss {:.4}, norm {:.2}, {:.0} tokens/s",
                    row.loss, row.grad_norm, row.tokens_per_sec
                ),
            ),
            Event::Reinforced(row) => {
                self.show(row.step, format!("reward {:.3}, {:.0} tokens each", row.reward, row.length));
            }
            Event::Evaluated(row) => {
                self.note(&format!("step {}: held-out loss {:.4} nats a token", row.step, row.eval_loss));
            }
            Event::Rewarded(row) => self.note(&format!(
                "step {}: {:.1} % of {} held-out questions answered exactly",
                row.step,
                100.0 * row.eval_accuracy,
                row.n_questions
            )),
            Event::Saved { step, folder } => self.saved(*step, folder),
        }
        if self.failure.is_some() || stop_is_asked_for() { Flow::Stop } else { Flow::Continue }
    }

    fn show(&self, step: u64, message: String) {
        self.bar.set_position(step);
        self.bar.set_message(message);
    }

    fn saved(&mut self, step: u64, checkpoint: &Path) {
        if !self.is_measured(step) || self.failure.is_some() {
            return;
        }
        let run = self.run_folder(step);
        self.note(&format!("step {step}: measuring"));
        match self.measuring.measure(checkpoint, &run) {
            Ok(()) => {}
            // Training stops as well, and measures again when it is resumed.
            Err(error) if is_interruption(&error) => {}
            Err(error) => self.failure = Some(error),
        }
    }
}

fn is_interruption(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(entrace_run::Error::Interrupted))
}

impl Measuring<'_> {
    /// Measures a checkpoint as the same `entrace run` would.
    fn measure(&self, checkpoint: &Path, run: &Path) -> Result<()> {
        if let Command::Run(args) = self.command(checkpoint, run)? {
            crate::run::run(args)?;
        }
        Ok(())
    }

    fn command(&self, checkpoint: &Path, run: &Path) -> Result<Command> {
        let (checkpoint, run) = (checkpoint.display().to_string(), run.display().to_string());
        let limit = self.output.measure_limit.to_string();
        let mut argv = vec!["entrace", "run", "--quiet", "--overwrite", "--model", &checkpoint];
        argv.extend(["--tasks", self.tasks(), "--limit", &limit, "--output-path", &run]);
        let paths = [("--data-dir", self.data_dir), ("--config", self.output.measure_config.as_deref())];
        let paths = paths.map(|(flag, path)| path.map(|path| [flag.to_string(), path.display().to_string()]));
        argv.extend(paths.iter().flatten().flatten().map(String::as_str));
        let argv = argv.into_iter().map(String::from).collect();
        Ok(Cli::try_parse_from(config_file::expand(argv, &Cli::command())?)?.command)
    }

    fn tasks(&self) -> &str {
        let own = if is_file_name(self.data) { data::ARITH } else { self.data };
        self.output.measure_tasks.as_deref().unwrap_or(own)
    }
}
