//! The program: its commands, and what its help says of all of them.

use crate::decide::{DecideArgs, RewardsArgs};
use crate::intervene::InterveneArgs;
use crate::run::RunArgs;
use crate::score::ScoreArgs;
use crate::small::{
    CompareArgs, CompletionsArgs, DoctorArgs, LsArgs, ManArgs, MergeArgs, ReportArgs, TokensArgs, ViewArgs,
};
use crate::train::TrainArgs;
use clap::{Parser, Subcommand};

/// What exit codes mean, below the help and in manual pages.
pub const EXIT_CODES: &str = "0 measured, 1 finished with failed items or nothing measured, 2 usage or set-up, 3 engine or disk failure, \
                              130 interrupted (run the same command again to resume).";

/// The variables that are read, likewise.
pub const ENVIRONMENT: &str = "HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH, HF_ENDPOINT, HF_HUB_OFFLINE, HF_HUB_DOWNLOAD_TIMEOUT for \
                               models and data from the Hub, as in huggingface_hub; OPENAI_BASE_URL, OPENAI_API_KEY for servers; \
                               RAYON_NUM_THREADS.";

/// How much does a reasoning model know about the answer at each step?
#[derive(Debug, Parser)]
#[command(name = "entrace", version, max_term_width = 110, args_override_self = true)]
#[command(after_help = format!("Exit codes: {EXIT_CODES}\nEnvironment: {ENVIRONMENT}"))]
pub struct Cli {
    /// Threads to compute with (default, and 0: all cores)
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Let a model reason on benchmarks, and measure what it knows at each step
    Run(RunArgs),
    /// Measure existing traces
    Score(ScoreArgs),
    /// Write the report of a run folder again
    Report(ReportArgs),
    /// Explore runs in the browser: every trace, step by step
    View(ViewArgs),
    /// Compare runs side by side
    Compare(CompareArgs),
    /// Change the steps of recorded traces, and measure what that does to the answer
    Intervene(InterveneArgs),
    /// Find, in a recorded run, when a trace may be stopped, with a guarantee
    Decide(DecideArgs),
    /// Write what each step of a recorded run was worth, as rewards for a trainer
    Rewards(RewardsArgs),
    /// Put the shards of a run together
    Merge(MergeArgs),
    /// Train a small model on reasoning traces
    Train(TrainArgs),
    /// Log-probability and entropy of every token of a text
    Tokens(TokensArgs),
    /// Load a model, describe it, and check that its numbers agree with each other
    Doctor(DoctorArgs),
    /// List what is built in
    Ls(LsArgs),
    /// Print what a shell needs to complete commands and flags
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands
    Man(ManArgs),
}
