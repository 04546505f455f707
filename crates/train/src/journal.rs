//! What training tells while it runs: events for its observers, and the same rows as JSON Lines in `metrics.jsonl`.

use crate::error::Error;
use serde::Serialize;
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What has just happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// An update of maximum likelihood.
    Fitted(&'a FitRow),
    /// A step of reinforcement learning.
    Reinforced(&'a crate::rl::RlRow),
    /// Rewards of held-out questions were measured.
    Rewarded(&'a crate::rl::RewardRow),
    /// The loss on held-out sequences was measured.
    Evaluated(&'a EvalRow),
    /// A checkpoint that stays was written.
    Saved {
        /// Updates so far.
        step: u64,
        /// Its folder.
        folder: &'a Path,
    },
}

impl Event<'_> {
    /// Of an update, its number and how it went, in words.
    pub fn update(&self) -> Option<(u64, String)> {
        match self {
            Self::Fitted(FitRow { step, loss, grad_norm, tokens_per_sec, .. }) => {
                let said = format!("loss {loss:.4}, norm {grad_norm:.2}, {tokens_per_sec:.0} tokens/s");
                Some((*step, said))
            }
            Self::Reinforced(row) => {
                Some((row.step, format!("reward {:.3}, {:.0} tokens each", row.reward, row.length)))
            }
            Self::Rewarded(_) | Self::Evaluated(_) | Self::Saved { .. } => None,
        }
    }

    /// Of an evaluation, what was found, in words.
    pub fn evaluation(&self) -> Option<String> {
        match self {
            Self::Evaluated(EvalRow { step, eval_loss, .. }) => {
                Some(format!("step {step}: held-out loss {eval_loss:.4} nats a token"))
            }
            Self::Rewarded(row) => {
                let (step, share, n) = (row.step, 100.0 * row.eval_accuracy, row.n_questions);
                Some(format!("step {step}: {share:.1} % of {n} held-out questions answered exactly"))
            }
            Self::Fitted(_) | Self::Reinforced(_) | Self::Saved { .. } => None,
        }
    }
}

/// What the watcher wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// To go on.
    Continue,
    /// To write a checkpoint and end.
    Stop,
}

/// A row about one update of maximum likelihood.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FitRow {
    /// Updates so far.
    pub step: u64,
    /// Mean loss of the batch's learnt tokens, in nats.
    pub loss: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Passes over the data that have been begun.
    pub epoch: u64,
    /// Tokens run so far.
    pub n_tokens: u64,
    /// Tokens run per second in this update.
    pub tokens_per_sec: f64,
    /// Training time so far.
    pub elapsed_secs: f64,
    /// Whether the update was left out because a number was not finite.
    pub skipped: bool,
}

/// A row about one evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalRow {
    /// Updates so far.
    pub step: u64,
    /// Mean loss of the held-out sequences' learnt tokens, in nats.
    pub eval_loss: f64,
    /// Number of these tokens.
    pub n_tokens: usize,
}

/// The file of rows.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens `metrics.jsonl`; rows of steps after `step`, which will be made again, are dropped.
    pub(crate) fn open(output: &Path, step: Option<u64>) -> Result<Self, Error> {
        std::fs::create_dir_all(output).map_err(Error::io("create", output))?;
        let path = output.join("metrics.jsonl");
        let kept = match step {
            Some(step) => rows_until(&path, step)?,
            None => String::new(),
        };
        let temporary = output.join(".metrics.jsonl.entrace-tmp");
        write_new(&temporary, kept.as_bytes()).map_err(Error::io("write", &temporary))?;
        std::fs::rename(&temporary, &path).map_err(Error::io("create", &path))?;
        let file = File::options().append(true).open(&path).map_err(Error::io("open", &path))?;
        Ok(Self { path, file })
    }

    /// Adds a row.
    pub(crate) fn write(&mut self, row: &impl Serialize) -> Result<(), Error> {
        let mut line = serde_json::to_vec(row).map_err(|e| Error::io("write", &self.path)(e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("write", &self.path))
    }
}

/// Writes a file in the place of what has its name, which may be a link to anything.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    File::create_new(path)?.write_all(bytes)
}

fn rows_until(path: &Path, step: u64) -> Result<String, Error> {
    let text = match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        text => text.map_err(Error::io("read", path))?,
    };
    let of_row = |line: &str| serde_json::from_str::<Value>(line).ok()?.get("step")?.as_u64();
    let kept = text.lines().filter(|line| of_row(line).is_some_and(|of_row| of_row <= step));
    Ok(kept.flat_map(|line| [line, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    #[test]
    fn a_link_in_the_folder_is_not_followed() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let victim = outside.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        for name in [".metrics.jsonl.entrace-tmp", "metrics.jsonl"] {
            std::os::unix::fs::symlink(&victim, folder.path().join(name)).unwrap();
        }
        super::Journal::open(folder.path(), None).unwrap().write(&7).unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
        assert_eq!(std::fs::read(folder.path().join("metrics.jsonl")).unwrap(), b"7\n");
    }
}
