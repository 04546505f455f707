//! `entrace decide` and `entrace rewards`: what is made of a recorded run.

use crate::values::by_name;
use clap::Args;
use entrace_decide::Options;
use entrace_decide::choose::Method;
use entrace_decide::loss::Loss;
use entrace_decide::rewards::Reward;
use entrace_decide::rewards::format::{Format, Writing};
use entrace_stats::risk::Bound;
use std::path::PathBuf;

/// Flags of `entrace decide`.
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// Run folder
    pub run: PathBuf,
    /// The task to decide for, where the run has several
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// Signal that is compared with a threshold, such as leader_prob, cue_entropy, tempered_entropy or combined (default: answer_entropy)
    #[arg(long, value_name = "SIGNAL")]
    pub signal: Option<String>,
    /// What stopping must not do: end with a wrong answer where the whole trace is right, or with another answer than the whole trace's
    #[arg(long, default_value = "wrong", value_parser = by_name(&Loss::OF_STOPPING, Loss::name))]
    pub loss: Loss,
    /// Largest share of traces to which that may happen
    #[arg(long, default_value_t = 0.05, value_name = "EPS")]
    pub risk: f64,
    /// Also give up hopeless traces: the largest share of traces that are given up although they would have ended right
    #[arg(long, value_name = "EPS")]
    pub give_up_risk: Option<f64>,
    /// Probability with which the limits may be missed
    #[arg(long, default_value_t = 0.1, value_name = "DELTA")]
    pub delta: f64,
    /// How the threshold is chosen: learn-then-test in a fixed sequence or with Bonferroni's correction, or conformal risk control, whose
    /// limit holds on average only
    #[arg(long, default_value = "fixed-sequence", value_parser = by_name(&Method::ALL, Method::name))]
    pub method: Method,
    /// Bound of the risk for learn-then-test (default: binomial where questions have one trace, else betting)
    #[arg(long, value_parser = by_name(&Bound::ALL, Bound::name))]
    pub bound: Option<Bound>,
    /// Successive steps over which the signal must be beyond the threshold
    #[arg(long = "for", default_value_t = 1, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    pub for_steps: u32,
    /// Seed by which questions are divided
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub seed: u64,
    /// Folder for rule.json and decide.json (default: the run folder)
    #[arg(long, value_name = "DIR")]
    pub output_path: Option<PathBuf>,
}

/// Flags of `entrace rewards`.
#[derive(Debug, Args)]
pub struct RewardsArgs {
    /// Run folder
    pub run: PathBuf,
    /// The task, where the run has several
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// Who reads it: TRL's stepwise supervision, OpenRLHF's process rewards, verl's data set, or all rewards as JSON Lines
    #[arg(long, default_value = "jsonl", value_parser = by_name(&Format::ALL, Format::name))]
    pub format: Format,
    /// The reward of a step in formats that have one: the gain of ln p(target), the gain of p(target), what it adds to the best so far, the
    /// gain of a belief calibrated on other questions, or its importance by `entrace intervene --readings rollout`, with the sign of the gain
    #[arg(long, default_value = "gain", value_parser = by_name(&Reward::ALL, Reward::name))]
    pub reward: Reward,
    /// Divide rewards by the tokens of their steps
    #[arg(long)]
    pub per_token: bool,
    /// What follows each step in the format openrlhf: one token of the tokenizer that is trained
    #[arg(long, default_value = "ки", value_name = "TEXT")]
    pub placeholder: String,
    /// File to write (default: rewards_FORMAT.jsonl in the run folder)
    #[arg(long, value_name = "FILE")]
    pub output_path: Option<PathBuf>,
}

impl DecideArgs {
    /// How it is decided.
    pub fn options(&self) -> Options {
        Options {
            task: self.task.clone(),
            signal: self.signal.clone(),
            loss: self.loss,
            risk: self.risk,
            give_up_risk: self.give_up_risk,
            delta: self.delta,
            method: self.method,
            bound: self.bound,
            for_steps: self.for_steps,
            seed: self.seed,
        }
    }
}

impl RewardsArgs {
    /// How rewards are written.
    pub fn writing(&self) -> Writing {
        Writing {
            format: self.format,
            reward: self.reward,
            per_token: self.per_token,
            placeholder: self.placeholder.clone(),
        }
    }
}
