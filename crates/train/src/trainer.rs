//! What maximum likelihood and reinforcement learning share: updates, skipped updates, checkpoints, resuming.

use crate::checkpoint::{self, ExportType, FORMAT_VERSION, Progress, TextFiles};
use crate::error::Error;
use crate::gradients::Gradients;
use crate::journal::Journal;
use crate::model::Model;
use crate::optimizer::{AdamW, Moments};
use crate::order::Position;
use crate::schedule::Schedule;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where checkpoints and metrics go, and when.
#[derive(Debug, Clone)]
pub struct Output {
    /// The folder of `metrics.jsonl` and the checkpoints `step-000100` and so on.
    pub folder: PathBuf,
    /// Files that every checkpoint gets.
    pub texts: TextFiles,
    /// When checkpoints are written; there is always one at the end.
    pub checkpoints: Checkpoints,
    /// Type of the models in checkpoints.
    pub export: ExportType,
    /// Whether checkpoints can be resumed.
    pub resumable: bool,
}

/// When checkpoints are written. None is written right after an update that was left out because a number was not finite.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checkpoints {
    /// After every so many updates.
    pub every: Option<u64>,
    /// After these numbers of updates; 0 is the start.
    pub at: Vec<u64>,
    /// After so much time without one, for a training that is killed. Each is removed when the next checkpoint is written, so that none is
    /// left at the end; there are none where checkpoints cannot be resumed.
    pub rolling: Option<Duration>,
}

/// How long a checkpoint stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    /// For good.
    Kept,
    /// Until the next one.
    Rolling,
}

impl Checkpoints {
    fn has(&self, step: u64) -> bool {
        self.at.contains(&step) || (step > 0 && self.every.is_some_and(|n| n > 0 && step.is_multiple_of(n)))
    }
}

/// How training ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps were made.
    Finished(Ending),
    /// The watcher asked for it.
    Stopped(Ending),
    /// It went wrong beyond a limit.
    Diverged {
        /// Updates made.
        step: u64,
        /// Which limit.
        reason: String,
        /// The last checkpoint, which was written while all numbers were finite.
        checkpoint: Option<PathBuf>,
    },
}

/// Where training ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// Updates made.
    pub step: u64,
    /// Updates left out because a number was not finite.
    pub n_skipped: u64,
    /// The last checkpoint.
    pub checkpoint: PathBuf,
    /// Training time over all runs that led here.
    pub elapsed_secs: f64,
}

/// Optimizer, counters and files of one training.
pub(crate) struct Trainer<'a> {
    pub(crate) model: &'a Model,
    pub(crate) progress: Progress,
    pub(crate) journal: Journal,
    moments: Moments,
    optimizer: AdamW,
    schedule: Schedule,
    n_steps: u64,
    output: &'a Output,
    started: Instant,
    elapsed_before: f64,
    n_skipped_in_a_row: u32,
    /// The last checkpoint, with its step.
    saved: Option<(u64, Stay, PathBuf)>,
    /// Since when there has been none.
    unsaved_since: Instant,
}

/// Updates left out in a row after which training ends.
const MOST_SKIPPED: u32 = 10;

/// What one update did.
pub(crate) struct Update {
    pub(crate) learning_rate: f64,
    pub(crate) grad_norm: f64,
    pub(crate) skipped: bool,
}

/// What a training is about: settings and data must be the same when it is resumed.
pub(crate) struct Plan {
    pub(crate) optimizer: AdamW,
    pub(crate) schedule: Schedule,
    pub(crate) n_steps: u64,
    pub(crate) settings: Value,
    pub(crate) data_sha256: String,
}

impl<'a> Trainer<'a> {
    /// Starts, or resumes from a checkpoint.
    pub(crate) fn new(
        model: &'a Model,
        plan: Plan,
        output: &'a Output,
        resume: Option<&Path>,
    ) -> Result<Self, Error> {
        plan.schedule.check()?;
        plan.optimizer.check()?;
        let mut first = first_progress(&plan);
        first.model_sha256 = Some(model.fingerprint()?);
        let (progress, moments) = match resume {
            None => (first, Moments::new(model.trained())),
            Some(folder) => {
                let (progress, moments) = checkpoint::read_state(folder, model)?;
                check_resumed(folder, &progress, &first)?;
                (progress, moments)
            }
        };
        let journal = Journal::open(&output.folder, resume.map(|_| progress.step))?;
        let Plan { optimizer, schedule, n_steps, .. } = plan;
        let elapsed_before = progress.elapsed_secs;
        let started = Instant::now();
        let stay = if progress.rolling { Stay::Rolling } else { Stay::Kept };
        let saved = resume.map(|folder| (progress.step, stay, folder.to_path_buf()));
        Ok(Self {
            model,
            progress,
            journal,
            moments,
            optimizer,
            schedule,
            n_steps,
            output,
            started,
            elapsed_before,
            n_skipped_in_a_row: 0,
            saved,
            unsaved_since: started,
        })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.progress.step >= self.n_steps
    }

    pub(crate) fn begin_step(&mut self) {
        self.progress.step += 1;
    }

    /// Why training should end, if no update has been finite for a while.
    pub(crate) fn is_stuck(&self) -> Option<String> {
        if self.n_skipped_in_a_row >= MOST_SKIPPED { self.illness() } else { None }
    }

    /// Which numbers are not finite. A model in that state is not written.
    pub(crate) fn illness(&self) -> Option<String> {
        match self.n_skipped_in_a_row {
            0 if self.model.is_finite() => None,
            0 => Some("weights are not finite".to_string()),
            1 => Some("loss or gradient was not finite in the last update".to_string()),
            n => Some(format!("loss or gradient was not finite in the last {n} updates")),
        }
    }

    /// One update of all weights; left out if loss or gradient is not finite.
    pub(crate) fn update(&mut self, loss: f64, gradients: &Gradients) -> Result<Update, Error> {
        let learning_rate = self.schedule.rate(self.progress.step, self.n_steps);
        let grad_norm = gradients.norm();
        let skipped = !loss.is_finite() || !grad_norm.is_finite();
        if skipped {
            self.progress.n_skipped += 1;
            self.n_skipped_in_a_row += 1;
        } else {
            self.n_skipped_in_a_row = 0;
            let trained = self.model.trained();
            self.optimizer.update(trained, &mut self.moments, gradients, grad_norm, learning_rate)?;
            self.progress.n_updates = self.moments.n_updates;
        }
        Ok(Update { learning_rate, grad_norm, skipped })
    }

    pub(crate) fn elapsed_secs(&self) -> f64 {
        self.elapsed_before + self.started.elapsed().as_secs_f64()
    }

    /// Whether a checkpoint is due, and for how long.
    pub(crate) fn due(&self) -> Option<Stay> {
        if self.is_done() || self.output.checkpoints.has(self.progress.step) {
            return Some(Stay::Kept);
        }
        let rolling = self.output.checkpoints.rolling.filter(|_| self.output.resumable);
        rolling.is_some_and(|after| self.unsaved_since.elapsed() >= after).then_some(Stay::Rolling)
    }

    /// Writes a checkpoint; `position` is where the next batch is drawn.
    pub(crate) fn save(&mut self, position: Position, stay: Stay) -> Result<PathBuf, Error> {
        self.progress.position = position;
        self.progress.elapsed_secs = self.elapsed_secs();
        self.progress.rolling = stay == Stay::Rolling;
        let folder = checkpoint::step_folder(&self.output.folder, self.progress.step);
        let state = self.output.resumable.then_some((&self.progress, &self.moments));
        checkpoint::write(&folder, self.model, &self.output.texts, self.output.export, state)?;
        checkpoint::remove_passed(&self.output.folder, &folder)?;
        self.saved = Some((self.progress.step, stay, folder.clone()));
        self.unsaved_since = Instant::now();
        Ok(folder)
    }

    /// The last checkpoint that was written or read.
    pub(crate) fn last_checkpoint(&self) -> Option<PathBuf> {
        self.saved.as_ref().map(|(_, _, folder)| folder.clone())
    }

    /// The checkpoint of this step, if it is there as it would be written now.
    pub(crate) fn kept_checkpoint(&self) -> Option<PathBuf> {
        let (step, stay, folder) = self.saved.as_ref()?;
        let is_own = *folder == checkpoint::step_folder(&self.output.folder, self.progress.step);
        let stands = is_own && *step == self.progress.step && *stay == Stay::Kept;
        (stands && checkpoint::is_exported_as(folder, self.output.export)).then(|| folder.clone())
    }

    pub(crate) fn ending(&self, checkpoint: PathBuf) -> Ending {
        Ending {
            step: self.progress.step,
            n_skipped: self.progress.n_skipped,
            checkpoint,
            elapsed_secs: self.elapsed_secs(),
        }
    }
}

fn first_progress(plan: &Plan) -> Progress {
    Progress {
        format_version: FORMAT_VERSION,
        step: 0,
        n_updates: 0,
        position: Position::default(),
        n_tokens: 0,
        elapsed_secs: 0.0,
        n_skipped: 0,
        data_sha256: plan.data_sha256.clone(),
        model_sha256: None,
        rolling: false,
        settings: plan.settings.clone(),
    }
}

/// Whether a checkpoint is of the training that `first` begins.
fn check_resumed(folder: &Path, progress: &Progress, first: &Progress) -> Result<(), Error> {
    let refuse = |problem: String| Error::Resume { path: folder.to_path_buf(), problem };
    if progress.data_sha256 != first.data_sha256 {
        return Err(refuse("the training data are others".into()));
    }
    if progress.model_sha256.is_some() && progress.model_sha256 != first.model_sha256 {
        return Err(refuse("training started from another model or with other adapters".into()));
    }
    let keys =
        |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let mut differing: Vec<String> = keys(&progress.settings);
    differing.extend(keys(&first.settings));
    differing.sort();
    differing.dedup();
    differing.retain(|key| progress.settings.get(key) != first.settings.get(key));
    if differing.is_empty() {
        return Ok(());
    }
    Err(refuse(format!("it was made with other settings: {}", differing.join(", "))))
}

/// A fingerprint of token sequences with their divisions.
pub(crate) fn fingerprint<'s>(sequences: impl Iterator<Item = (&'s [u32], usize)>) -> String {
    let mut hasher = Sha256::new();
    for (token_ids, n) in sequences {
        hasher.update((token_ids.len() as u64).to_le_bytes());
        hasher.update((n as u64).to_le_bytes());
        token_ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
    }
    base16ct::lower::encode_string(&hasher.finalize())
}
