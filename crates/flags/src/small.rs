//! Commands with a few flags each, which are taken as they are.

use crate::model::ModelArgs;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Flags of `entrace report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run folder
    pub run: PathBuf,
    /// Print the results as Markdown
    #[arg(long)]
    pub markdown: bool,
    /// Also write precomputed_scores.jsonl: how sure each trace was of its answer, for inspect's scorer of that name
    #[arg(long)]
    pub precomputed_scores: bool,
}

/// Flags of `entrace view`.
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// Run folders; two of the same questions are set side by side
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Port on this machine, which nothing else reaches (default: any that is free)
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub port: u16,
    /// Open the page in the browser; without it the link is printed, and nothing else happens
    #[arg(long, conflicts_with = "export")]
    pub open: bool,
    /// Write the page with all its data into one file instead of serving it, for at most 5,000 traces
    #[arg(long, value_name = "FILE", conflicts_with = "port")]
    pub export: Option<PathBuf>,
}

/// Flags of `entrace compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Run folders, in the order of training; sprout@STAGE is that stage on arith, which is measured first if it was not
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Folder for compare.html, compare.json and the figure
    #[arg(long, value_name = "DIR")]
    pub output_path: Option<PathBuf>,
}

/// Flags of `entrace merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Run folders of shards, or one folder that holds them
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Folder for the whole run (default: the folder that holds the shards)
    #[arg(long, value_name = "DIR")]
    pub output_path: Option<PathBuf>,
    /// Merge nothing: print the numbers of the shards that are missing or unfinished, as a job array is written, and exit with 1 if there are
    /// some
    #[arg(long)]
    pub check: bool,
    /// Say nothing but results and errors
    #[arg(long, short)]
    pub quiet: bool,
}

/// Flags of `entrace tokens`.
#[derive(Debug, Args)]
pub struct TokensArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The text; special tokens in it are recognised
    #[arg(long, conflicts_with = "token_ids", required_unless_present = "token_ids")]
    #[arg(allow_hyphen_values = true)]
    pub text: Option<String>,
    /// Token numbers instead of a text; works without a tokenizer
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    pub token_ids: Vec<u32>,
    /// Also the logit-lens entropy of every layer
    #[arg(long)]
    pub layers: bool,
    /// JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Flags of `entrace doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Flags of `entrace ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// What to list
    #[arg(value_enum)]
    pub what: Listing,
}

/// What `entrace ls` lists.
#[expect(missing_docs, reason = "the help would print what is said of each")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Listing {
    Tasks,
    Estimators,
    Signals,
    Architectures,
}

/// Flags of `entrace completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Flags of `entrace man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Folder for a page of each command (default: the page of the program is printed)
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}
