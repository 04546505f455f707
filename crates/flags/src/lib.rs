//! The flags of `entrace`: every one with its help, and what it means for the libraries.
//!
//! [`parse`] reads a command line into [`Cli`]. What a command takes is a struct of its flags, whose methods turn them into the options of
//! `study` and of the crates below it: [`MeasureArgs::measurement`], [`ModelArgs::options`], [`RunArgs::tasks`] and so on. Nothing is carried out
//! here, printed or opened, but files of flags.
//!
//! In reading order: `program` (the commands), `model` and `measure` (what they share), a file for each command with flags that mean something
//! together (`run` with `stopping`, `score`, `intervene`, `decide`, `train` with `measuring`), `small` (all others), `values` (how values are
//! read), `config_file` and `recipe` (flags from files), `usage` (what can be wrong), `hint` (which flags help about an error).
//!
//! Words are those of lm-eval where it has one for the thing. Each flag may be written with hyphens or underscores, and in a configuration
//! file under the same name.

mod config_file;
mod decide;
mod hint;
mod intervene;
mod measure;
mod measuring;
mod model;
mod program;
mod recipe;
mod run;
mod score;
mod small;
mod stopping;
pub mod train;
mod usage;
mod values;

pub use decide::{DecideArgs, RewardsArgs};
pub use hint::hint;
pub use intervene::InterveneArgs;
pub use measure::{MAX_NEW_TOKENS, MeasureArgs};
pub use model::{ModelArgs, ServerArgs};
pub use program::{Cli, Command, ENVIRONMENT, EXIT_CODES};
pub use recipe::stages;
pub use run::RunArgs;
pub use score::ScoreArgs;
pub use small::{
    CompareArgs, CompletionsArgs, DoctorArgs, Listing, LsArgs, ManArgs, MergeArgs, ReportArgs, TokensArgs,
    ViewArgs,
};
pub use stopping::AskedRule;
pub use usage::{SetUp, Unparsed};

use clap::{CommandFactory, FromArgMatches};

/// Reads a command line, whose first argument is the program's name. The flags of a configuration file are put in front of its own.
///
/// # Errors
/// What is wrong with a flag or its value, or with the file. Help and version come as clap's errors too.
pub fn parse(argv: Vec<String>) -> Result<Cli, Unparsed> {
    let argv = config_file::with_hyphens(argv);
    let argv = config_file::expand(argv, &command())?;
    let matches = command().try_get_matches_from(argv)?;
    Ok(Cli::from_arg_matches(&matches)?)
}

/// Every command with its flags and their help.
pub fn command() -> clap::Command {
    Cli::command()
}
