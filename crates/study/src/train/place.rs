//! The folder of a training, and the checkpoint from which it resumes.
//!
//! A folder that holds checkpoints of a training resumes it, as a run folder does. Other settings, data or models are refused by the
//! checkpoint itself.

use crate::error::Error;
use crate::model::checkpoints;
use entrace_train::last_resumable;
use std::path::{Path, PathBuf};

/// The place of one training.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its folder.
    pub folder: PathBuf,
    /// The checkpoint to resume from.
    pub resume: Option<PathBuf>,
    /// Whether that checkpoint was named, and not found in the folder.
    is_named: bool,
}

impl Place {
    /// A folder, and a checkpoint to resume from or the folder of the training whose last one it is; without one what the folder holds, unless
    /// that is to be replaced.
    ///
    /// # Errors
    /// Where the folder holds a training that was written without what resuming needs.
    pub fn open(folder: PathBuf, resume: Option<&Path>, overwrite: bool) -> Result<Self, Error> {
        let is_named = resume.is_some();
        let resume = match resume {
            Some(named) => Some(last_resumable(named).unwrap_or_else(|| named.to_path_buf())),
            None if overwrite => None,
            None => earlier(&folder)?,
        };
        Ok(Self { folder, resume, is_named })
    }

    /// Removes the checkpoints of a training that is replaced, and what was measured of them.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        if self.resume.is_some() || !holds_training(&self.folder) {
            return Ok(());
        }
        let measured = Some(self.folder.join("measured")).filter(|folder| folder.exists());
        for folder in checkpoints(&self.folder).into_iter().chain(measured) {
            std::fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
        }
        Ok(())
    }

    /// Tells a checkpoint of another training that nobody named from other failures.
    pub(crate) fn explain<T>(&self, result: Result<T, entrace_train::Error>) -> Result<T, Error> {
        match result {
            Err(error @ entrace_train::Error::Resume { .. }) if !self.is_named => {
                Err(Error::OtherTraining(Box::new(error)))
            }
            result => Ok(result?),
        }
    }
}

fn holds_training(folder: &Path) -> bool {
    folder.join("metrics.jsonl").exists()
}

/// The last checkpoint of a training that is in the folder; none where there is nothing to lose.
fn earlier(folder: &Path) -> Result<Option<PathBuf>, Error> {
    if !holds_training(folder) {
        return Ok(None);
    }
    let last = last_resumable(folder);
    if last.is_none() && !checkpoints(folder).is_empty() {
        return Err(Error::NotResumable { folder: folder.to_path_buf() });
    }
    Ok(last)
}
