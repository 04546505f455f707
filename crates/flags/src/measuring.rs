//! How a training measures its checkpoints: the flags of `entrace run` that those of `entrace train` come to.

use crate::config_file;
use crate::run::RunArgs;
use crate::train::OutputArgs;
use crate::usage::Unparsed;
use clap::FromArgMatches;
use entrace_datasets::is_file_name;
use entrace_study::train::ARITH;
use std::path::Path;

impl OutputArgs {
    /// The flags of a run that measures a checkpoint, but for its model and folder. The task of what is learnt, `data` in the folder
    /// `data_dir`, is measured if no other one is named.
    ///
    /// # Errors
    /// What is wrong with the file of `--measure-config`, or with a flag in it.
    pub fn run(&self, data: &str, data_dir: Option<&Path>) -> Result<RunArgs, Unparsed> {
        let own = if is_file_name(data) { ARITH } else { data };
        let tasks = self.measure_tasks.as_deref().unwrap_or(own);
        let limit = self.measure_limit.to_string();
        let mut argv: Vec<String> =
            ["entrace", "run", "--quiet", "--overwrite", "--model", ".", "--tasks", tasks, "--limit", &limit]
                .map(String::from)
                .to_vec();
        for (flag, path) in [("--data-dir", data_dir), ("--config", self.measure_config.as_deref())] {
            argv.extend(path.into_iter().flat_map(|path| [flag.to_string(), path.display().to_string()]));
        }
        Ok(RunArgs::from_arg_matches(&config_file::arguments("run", argv)?)?)
    }
}
