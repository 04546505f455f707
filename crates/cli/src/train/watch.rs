//! What a person sees while a model trains, and measuring at checkpoints.
//!
//! A bar on standard error where that is a terminal; evaluations and checkpoints as notes. Ctrl-C writes a checkpoint and stops.

use crate::args::{Cli, Command};
use crate::progress::{Progress, stop_is_asked_for};
use crate::train::flags::OutputArgs;
use anyhow::Result;
use clap::Parser;
use entrace_train::{Event, Flow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Watches one training.
pub(crate) struct Watch<'a> {
    progress: Progress,
    bar: ProgressBar,
    output: &'a OutputArgs,
    folder: &'a Path,
    steps: u64,
    /// Run folders that were written.
    pub(crate) measured: Vec<PathBuf>,
    /// The first failure of a measurement; it ends the training.
    failure: Option<anyhow::Error>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(output: &'a OutputArgs, folder: &'a Path, steps: u64) -> Result<Self> {
        let shown = !output.quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}  {elapsed} + {eta}") {
            bar.set_style(style);
        }
        Ok(Self {
            progress: Progress::new(output.quiet)?,
            bar,
            output,
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
        let due =
            self.output.measure.is_some_and(|n| n > 0 && (step.is_multiple_of(n) || step == self.steps));
        if !due || self.failure.is_some() {
            return;
        }
        let run = self.folder.join("measured").join(format!("step-{step:06}"));
        self.note(&format!("step {step}: measuring"));
        match measure(checkpoint, &run, self.output) {
            Ok(()) => self.measured.push(run),
            Err(error) => self.failure = Some(error),
        }
    }
}

/// Measures a checkpoint as the same `entrace run` would.
fn measure(checkpoint: &Path, run: &Path, output: &OutputArgs) -> Result<()> {
    let (checkpoint, run) = (checkpoint.display().to_string(), run.display().to_string());
    let limit = output.measure_limit.to_string();
    let mut argv = vec!["entrace", "run", "--quiet", "--overwrite", "--model", &checkpoint];
    argv.extend(["--tasks", &output.measure_tasks, "--limit", &limit, "--output-path", &run]);
    if let Command::Run(args) = Cli::try_parse_from(argv)?.command {
        crate::run::run(args)?;
    }
    Ok(())
}
