//! Where a training stands: its folder, and the checkpoint from which it resumes.
//!
//! A folder that holds checkpoints of a training resumes it, as a run folder does: the same command again is all it takes. Other
//! settings, data or models are refused by the checkpoint itself.

use crate::exit::{InSetUp, SetUp};
use crate::train::flags::OutputArgs;
use anyhow::Result;
use entrace_train::{Error, last_resumable};
use std::path::{Path, PathBuf};

/// The place of one training.
pub(crate) struct Place<'a> {
    pub(crate) folder: PathBuf,
    /// The checkpoint to resume from.
    pub(crate) resume: Option<PathBuf>,
    args: &'a OutputArgs,
}

impl<'a> Place<'a> {
    pub(crate) fn of(args: &'a OutputArgs, method: &str) -> Result<Self> {
        let folder = args.output_path.clone().unwrap_or_else(|| Path::new("entrace-train").join(method));
        let resume = match &args.resume {
            Some(named) => Some(last_resumable(named).unwrap_or_else(|| named.clone())),
            None if args.overwrite => None,
            None => earlier(&folder)?,
        };
        Ok(Self { folder, resume, args })
    }

    /// Removes the checkpoints of a training that is replaced, and what was measured of them.
    pub(crate) fn clear(&self) -> Result<()> {
        if self.resume.is_some() || !holds_training(&self.folder) {
            return Ok(());
        }
        for checkpoint in crate::model::checkpoints(&self.folder) {
            std::fs::remove_dir_all(checkpoint)?;
        }
        let measured = self.folder.join("measured");
        if measured.exists() { Ok(std::fs::remove_dir_all(measured)?) } else { Ok(()) }
    }

    /// What to do about a checkpoint of another training that nobody named.
    pub(crate) fn explain<T>(&self, result: Result<T, Error>) -> Result<T> {
        match result {
            Err(error @ Error::Resume { .. }) if self.args.resume.is_none() => {
                let ways = "give its flags to resume it, --overwrite to train anew, or another --output-path";
                Err(SetUp(format!("{error}; {ways}")).into())
            }
            result => result.in_set_up(),
        }
    }

    /// How to resume an interrupted training.
    pub(crate) fn way_on(&self) -> String {
        let folder = self.folder.display();
        match (self.args.no_resume, &self.args.resume, self.args.overwrite) {
            (true, _, _) => "it cannot be resumed: --no-resume leaves out what that needs".to_string(),
            (_, Some(_), _) => format!("run the same command with --resume {folder} to resume"),
            (_, _, true) => "run the same command without --overwrite to resume".to_string(),
            _ => "run the same command again to resume".to_string(),
        }
    }
}

fn holds_training(folder: &Path) -> bool {
    folder.join("metrics.jsonl").exists()
}

/// The last checkpoint of a training that is in the folder; none where there is nothing to lose.
fn earlier(folder: &Path) -> Result<Option<PathBuf>> {
    if !holds_training(folder) {
        return Ok(None);
    }
    let last = last_resumable(folder);
    if last.is_none() && !crate::model::checkpoints(folder).is_empty() {
        let problem = format!(
            "{} holds a training that cannot be resumed (--no-resume): give --overwrite or another --output-path",
            folder.display()
        );
        return Err(SetUp(problem).into());
    }
    Ok(last)
}
