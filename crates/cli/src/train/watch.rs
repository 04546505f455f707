//! What a person sees while a model trains, and measuring at checkpoints.
//!
//! A bar on standard error where that is a terminal; evaluations and checkpoints as notes. Ctrl-C or SIGTERM writes a checkpoint and stops.

use crate::console::Terminal;
use crate::progress::{Progress, stop_is_asked_for};
use crate::run::Request;
use anyhow::Result;
use entrace_flags::train::OutputArgs;
use entrace_flags::{RunArgs, SetUp};
use entrace_study::train::Training;
use entrace_study::{Error, Kind, checkpoints};
use entrace_train::{Event, Flow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Watches one training.
pub(crate) struct Watch {
    progress: Progress,
    bar: ProgressBar,
    measuring: Option<Measuring>,
    folder: PathBuf,
    /// Updates until the end.
    steps: u64,
    /// The first failure of a measurement; it ends the training.
    failure: Option<anyhow::Error>,
}

/// What is measured at checkpoints: runs that differ in their model and folder.
pub(crate) struct Measuring {
    every: u64,
    args: RunArgs,
}

/// The measurements of a training.
pub(crate) struct Measured {
    /// Run folders in the order of training.
    pub(crate) runs: Vec<PathBuf>,
    /// Whether all are there.
    pub(crate) is_complete: bool,
}

impl Watch {
    pub(crate) fn new(training: &Training, measuring: Option<Measuring>, quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let (place, steps) = (training.place(), training.steps());
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}  {elapsed} + {eta}") {
            bar.set_style(style);
        }
        let folder = place.folder.clone();
        let watch =
            Self { progress: Progress::new(quiet, None), bar, measuring, folder, steps, failure: None };
        if let Some(checkpoint) = &place.resume {
            watch.note(&format!("resuming from {}", checkpoint.display()));
        }
        watch
    }

    fn run_folder(&self, step: u64) -> PathBuf {
        self.folder.join("measured").join(format!("step-{step:06}"))
    }

    fn is_measured(&self, step: u64) -> bool {
        let every = self.measuring.as_ref().map(|measuring| measuring.every).filter(|&n| n > 0);
        every.is_some_and(|n| step.is_multiple_of(n) || step == self.steps)
    }

    /// A line for the user.
    pub(crate) fn note(&self, text: &str) {
        self.bar.suspend(|| self.progress.note(text));
    }

    /// Takes the bar away, and passes on what failed. What was to be measured before an interruption and was not is measured now.
    pub(crate) fn end(mut self) -> Result<Measured> {
        self.bar.finish_and_clear();
        let mut measured = Measured { runs: Vec::new(), is_complete: true };
        for checkpoint in checkpoints(&self.folder) {
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
        if let Some((step, said)) = event.update() {
            self.bar.set_position(step);
            self.bar.set_message(said);
        }
        event.evaluation().iter().for_each(|said| self.note(said));
        if let Event::Saved { step, folder } = event {
            self.saved(*step, folder);
        }
        if self.failure.is_some() || stop_is_asked_for() { Flow::Stop } else { Flow::Continue }
    }

    fn saved(&mut self, step: u64, checkpoint: &Path) {
        if !self.is_measured(step) || self.failure.is_some() {
            return;
        }
        let run = self.run_folder(step);
        self.note(&format!("step {step}: measuring"));
        match self.measuring.as_ref().map(|measuring| measuring.measure(checkpoint, run)) {
            None | Some(Ok(())) => {}
            // Training stops as well, and measures again when it is resumed.
            Some(Err(error)) if is_interruption(&error) => {}
            Some(Err(error)) => self.failure = Some(error),
        }
    }
}

fn is_interruption(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(|error: &Error| error.kind() == Kind::Interrupted)
}

impl Measuring {
    /// What flags ask for; `None` where nothing is measured.
    pub(crate) fn of(output: &OutputArgs, learnt: (&str, Option<&Path>)) -> Result<Option<Self>> {
        let (data, data_dir) = learnt;
        let Some(every) = output.measure else { return Ok(None) };
        let refuse = |error: anyhow::Error| SetUp(format!("--measure-config: {error:#}"));
        let args = output.run(data, data_dir).map_err(|unparsed| refuse(unparsed.into()))?;
        Request::of(args.clone(), &Terminal).map_err(refuse)?;
        Ok(Some(Self { every, args }))
    }

    /// Measures a checkpoint as the same `entrace run` would.
    fn measure(&self, checkpoint: &Path, run: PathBuf) -> Result<()> {
        let mut request = Request::of(self.args.clone(), &Terminal)?;
        request.model.names = vec![checkpoint.display().to_string()];
        request.sitting.folder = Some(run);
        request.carry_out()?.print().map_err(anyhow::Error::from)
    }
}
