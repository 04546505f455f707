//! `entrace intervene`: what is changed in recorded traces.

use crate::model::ModelArgs;
use clap::Args;
use entrace_intervene::Plan;
use entrace_study::intervene::ALPHA;
use entrace_study::{Error, parse};
use std::path::PathBuf;

/// Flags of `entrace intervene`.
#[derive(Debug, Args)]
pub struct InterveneArgs {
    /// Run folder with the traces; interventions.parquet and interventions.json are added to it, and its report is made again
    pub run: PathBuf,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Changes: delete (the step is left out), corrupt (a number or option in it is another), filler (neutral tokens in its place), paraphrase
    /// (other words), swap (a step of another question), resample (drawn anew), conflict (the last statement of the answer says another),
    /// truncate (the trace ends there), mistake (the step is made wrong and the rest drawn anew), or all
    #[arg(long, value_delimiter = ',')]
    #[arg(default_value = "delete,corrupt,filler,swap,resample,conflict,truncate,mistake")]
    #[arg(value_name = "LIST")]
    pub kinds: Vec<String>,
    /// Readings: forced (the rest of the trace is kept, then the answer is asked for) and rollout (the rest is drawn anew; resample and mistake
    /// need it)
    #[arg(long, value_delimiter = ',', default_value = "forced", value_name = "LIST")]
    pub readings: Vec<String>,
    /// Draws at a place under rollout; of a range, more are made where the first do not decide whether a step matters
    #[arg(long, default_value = "8..64", value_name = "N or LOW..HIGH")]
    pub draws: String,
    /// Cosine of middle hidden states below which a step that was drawn anew says something else; other numbers always do
    #[arg(long, default_value_t = 0.8, value_name = "COSINE")]
    pub dissimilar_below: f64,
    /// Model that says steps in other words (default: the model itself)
    #[arg(long, value_name = "MODEL")]
    pub paraphraser: Option<String>,
    /// Only the traces of the first N questions of each task
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Print the tokens and the time that each kind will take, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Folder of rollouts in the shape of Thought Anchors (problem_N/chunk_K/solutions.json) that becomes the run folder, without a model
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dry_run", "paraphraser"])]
    pub import: Option<PathBuf>,
    /// Seed of what is changed into what, and of draws
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub seed: u64,
    /// Say nothing but results and errors
    #[arg(long, short)]
    pub quiet: bool,
    /// TOML file of flags by name; the command line overrides it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl InterveneArgs {
    /// The changes and how they are measured.
    ///
    /// # Errors
    /// The option whose value cannot be used.
    pub fn plan(&self) -> Result<Plan, Error> {
        let plan = Plan {
            kinds: parse::kinds(&self.kinds)?,
            readings: parse::readings(&self.readings)?,
            draws: parse::draws(&self.draws)?,
            alpha: ALPHA,
            dissimilar_below: self.dissimilar_below,
            seed: self.seed,
        };
        parse::check_plan(&plan)?;
        Ok(plan)
    }
}
