//! What a person sees while a model trains, and measuring at checkpoints.
//!
//! A bar on standard error where that is a terminal; evaluations and checkpoints as notes. Ctrl-C writes a checkpoint and stops.

use crate::args::{Cli, Command};
use crate::config_file;
use crate::exit::SetUp;
use crate::progress::{Progress, stop_is_asked_for};
use crate::train::data;
use crate::train::file::is_file;
use crate::train::flags::OutputArgs;
use anyhow::Result;
use clap::{CommandFactory, Parser};
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
    steps: u64,
    /// Run folders that were written.
    pub(crate) measured: Vec<PathBuf>,
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

impl<'a> Watch<'a> {
    pub(crate) fn new(measuring: Measuring<'a>, folder: &'a Path, steps: u64) -> Result<Self> {
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
        Ok(Self {
            progress: Progress::new(output.quiet)?,
            bar,
            measuring,
            folder,
            steps,
            measured: Vec::new(),
            failure: None,
        })
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

    /// Takes the bar away and passes on what failed.
    pub(crate) fn end(self) -> Result<Vec<PathBuf>> {
        self.bar.finish_and_clear();
        self.failure.map_or(Ok(self.measured), Err)
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
        let due = self
            .measuring
            .output
            .measure
            .is_some_and(|n| n > 0 && (step.is_multiple_of(n) || step == self.steps));
        if !due || self.failure.is_some() {
            return;
        }
        let run = self.folder.join("measured").join(format!("step-{step:06}"));
        self.note(&format!("step {step}: measuring"));
        match self.measuring.measure(checkpoint, &run) {
            Ok(()) => self.measured.push(run),
            Err(error) => self.failure = Some(error),
        }
    }
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
        let own = if is_file(self.data) { data::ARITH } else { self.data };
        self.output.measure_tasks.as_deref().unwrap_or(own)
    }
}
