//! How answer distributions are measured: the flags that `run` and `score` share, and the measurement that they describe.

use crate::values::by_name;
use clap::Args;
use entrace_backend::Sampling;
use entrace_datasets::{BadLines, jsonl};
use entrace_run::{ChoiceForm, EstimatorChoice, TraceMaking};
use entrace_study::{Error, Measurement, parse};
use std::path::PathBuf;

/// Most new tokens of a trace unless a flag or the model says otherwise.
pub const MAX_NEW_TOKENS: usize = 512;

/// How answer distributions are measured: common to `run` and `score`.
#[derive(Debug, Clone, Args)]
pub struct MeasureArgs {
    /// How a trace is cut into steps: auto, steps, blank-line, line, sentence, tokens:N or regex:PATTERN
    #[arg(long, default_value = "auto", value_name = "HOW", help_heading = "Measurement")]
    pub segment: String,
    /// Most steps of a trace; more are merged evenly (default: no limit)
    #[arg(long, value_name = "N", help_heading = "Measurement")]
    pub max_steps: Option<usize>,
    /// How the answer distribution at a prefix is estimated; auto is choices where there are options, else enumerate; none writes traces and
    /// measures nothing, which is all that a server can do that only chats
    #[arg(long, default_value = "auto", help_heading = "Measurement")]
    #[arg(value_parser = by_name(&EstimatorChoice::ALL, EstimatorChoice::name))]
    pub estimator: EstimatorChoice,
    /// Text after which an answer is asked for (estimators choices, enumerate, sample); \n is a line break. May be given several times: the
    /// first carries the numbers, under the others the traces themselves are measured too, and the report says how much cues differ
    #[arg(long, default_value = "\\nThe answer is", value_name = "TEXT")]
    #[arg(allow_hyphen_values = true, help_heading = "Measurement")]
    pub cue: Vec<String>,
    /// What choices scores: the option's label, its text (summed), or its text (mean of a token)
    #[arg(long, default_value = "label", help_heading = "Measurement")]
    #[arg(value_parser = by_name(&ChoiceForm::ALL, ChoiceForm::name))]
    pub choice_form: ChoiceForm,
    /// Draws m at each prefix (estimators sample, rollout)
    #[arg(long, default_value_t = 16, value_name = "M", help_heading = "Measurement")]
    pub samples: usize,
    /// enumerate stops once at most this share of the probability is unexplored
    #[arg(long, default_value_t = 0.01, value_name = "EPS", help_heading = "Measurement")]
    pub epsilon: f64,
    /// Most nodes that enumerate expands at a prefix; 64 more at most lead to the target
    #[arg(long, default_value_t = 64, value_name = "N", help_heading = "Measurement")]
    pub max_nodes: usize,
    /// Most tokens of an answer string
    #[arg(long, default_value_t = 16, value_name = "N", help_heading = "Measurement")]
    pub max_answer_tokens: usize,
    /// Controls: swapped (another question's trace), shuffled (the steps in random order), unstated (the trace without the sentences and
    /// lines that state its answer), or none
    #[arg(long, value_delimiter = ',', default_value = "swapped")]
    #[arg(value_name = "LIST", help_heading = "Measurement")]
    pub controls: Vec<String>,
    /// Relative depths at which controls are measured, or all
    #[arg(long, value_delimiter = ',', default_value = "0,0.25,0.5,0.75,1")]
    #[arg(value_name = "LIST", help_heading = "Measurement")]
    pub control_depths: Vec<String>,
    /// Most nodes that enumerate expands at a prefix of a control: enough for the target and the likeliest answers (default: a quarter of
    /// --max-nodes)
    #[arg(long, value_name = "N", help_heading = "Measurement")]
    pub control_nodes: Option<usize>,
    /// Rollouts beside the estimator where answers are open: on how many questions, and at most how many draws at each of the depths 0, 1/4,
    /// 1/2, 3/4, 1; all:M is every question, 0 none. Greedy traces are rolled out at temperature 1 (default: all:8 for models of less than 50
    /// million weights, 100:8 of less than 2 billion, else 30:8; none with --estimator rollout)
    #[arg(long, value_name = "QUESTIONS:DRAWS", help_heading = "Measurement")]
    pub rollouts: Option<String>,
    /// Signals that need passes of their own: layers, hidden, attention, verbalised, p_true, semantic, all, or none
    #[arg(long, value_delimiter = ',', default_value = "none", value_name = "LIST")]
    #[arg(help_heading = "Measurement")]
    pub signals: Vec<String>,
    /// Seed of every random stream
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub seed: u64,
    /// Questions measured together; an interrupted run loses at most one batch, and may be resumed with another size
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub batch_size: usize,
    /// Sampling of traces and rollouts as key=value pairs: temperature, top_p, top_k, max_gen_toks, until, do_sample
    #[arg(long, value_name = "KEY=VALUE,…", help_heading = "Sampling")]
    pub gen_kwargs: Option<String>,
    /// Temperature of traces and rollouts; 0 is greedy (default 0)
    #[arg(long, value_name = "T", help_heading = "Sampling")]
    pub temperature: Option<f64>,
    /// Nucleus mass: only the likeliest tokens that reach it together are drawn (default 1: all)
    #[arg(long, value_name = "P", help_heading = "Sampling")]
    pub top_p: Option<f64>,
    /// Number of most likely tokens that are drawn from (default 0: all)
    #[arg(long, value_name = "K", help_heading = "Sampling")]
    pub top_k: Option<usize>,
    /// Most new tokens of a trace or rollout (default 512; 96 for sprout in `run`)
    #[arg(long, value_name = "N", help_heading = "Sampling")]
    pub max_new_tokens: Option<usize>,
    /// String that ends a trace or rollout; may be given several times. Plain questions (Q: .. A:) also end where another one begins
    #[arg(long, value_name = "TEXT", help_heading = "Sampling")]
    pub stop: Vec<String>,
    /// Variables of the model's chat template as name=value, value in JSON: enable_thinking=false; may be given several times
    #[arg(long, value_name = "NAME=VALUE,…", help_heading = "Prompt")]
    pub template_vars: Vec<String>,
    /// Run folder; if it holds this run unfinished, the run is resumed (default: entrace-runs/MODEL_TASKS)
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub output_path: Option<PathBuf>,
    /// Measure one of N shares of the run, by itself: I/N with I from 0, or /N or auto, where the number is that of a job array
    /// (SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, SKYPILOT_NODE_RANK). It goes to shard-I-of-N in the run folder; `entrace merge` puts them
    /// together
    #[arg(long, value_name = "I/N", help_heading = "Output")]
    pub shard: Option<String>,
    /// Replace an existing run in the folder
    #[arg(long, help_heading = "Output")]
    pub overwrite: bool,
    /// Most bytes of one text in a file of your own; longer ones are lines that cannot be read (default: 128 MiB)
    #[arg(long, value_name = "N")]
    pub max_cell_bytes: Option<usize>,
    /// Stop at the first line of input that cannot be read, instead of skipping and counting it
    #[arg(long)]
    pub strict: bool,
    /// Say nothing but results and errors
    #[arg(long, short)]
    pub quiet: bool,
    /// TOML file of flags by name; the command line overrides it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl MeasureArgs {
    /// The measurement; `max_new_tokens` holds unless a flag says otherwise.
    ///
    /// # Errors
    /// The option whose value cannot be used.
    pub fn measurement(&self, max_new_tokens: usize) -> Result<Measurement, Error> {
        let (cue, more_cues) = parse::cues(&self.cue)?;
        let how = Measurement {
            estimator: self.estimator,
            cue,
            more_cues,
            choice_form: self.choice_form,
            samples: self.samples,
            epsilon: self.epsilon,
            max_nodes: self.max_nodes,
            max_answer_tokens: self.max_answer_tokens,
            segmentation: parse::segmentation(&self.segment)?,
            max_steps: self.max_steps,
            controls: parse::controls(&self.controls)?,
            control_depths: parse::control_depths(&self.control_depths)?,
            control_nodes: self.control_nodes.unwrap_or(self.max_nodes.div_ceil(4)),
            rollouts: self.rollouts.as_deref().map(parse::rollouts).transpose()?.flatten(),
            signals: parse::signals(&self.signals)?,
            stopping: None,
            traces: TraceMaking { sampling: self.sampling(max_new_tokens)? },
            seed: self.seed,
            batch_size: self.batch_size,
        };
        parse::check(&how)?;
        Ok(how)
    }

    fn sampling(&self, max_new_tokens: usize) -> Result<Sampling, Error> {
        let stop = self.stop.iter().map(|text| parse::unescaped(text)).collect();
        let mut sampling = Sampling { temperature: 0.0, top_p: 1.0, top_k: 0, max_new_tokens, stop };
        parse::gen_kwargs(self.gen_kwargs.as_deref().unwrap_or_default(), &mut sampling)?;
        sampling.temperature = self.temperature.unwrap_or(sampling.temperature);
        sampling.top_p = self.top_p.unwrap_or(sampling.top_p);
        sampling.top_k = self.top_k.unwrap_or(sampling.top_k);
        sampling.max_new_tokens = self.max_new_tokens.unwrap_or(sampling.max_new_tokens);
        Ok(sampling)
    }

    /// How a file of questions or traces is read.
    pub(crate) fn reading(
        &self,
        map: Option<&str>,
        answer_format: Option<&str>,
    ) -> Result<jsonl::Options, Error> {
        Ok(jsonl::Options {
            columns: parse::columns(map)?,
            answer_format: parse::answer_format(answer_format)?,
            bad_lines: if self.strict { BadLines::Stop } else { BadLines::Skip },
            max_cell_bytes: self.max_cell_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    #[test]
    fn flags_default_to_what_the_library_does() {
        let matches = MeasureArgs::augment_args(clap::Command::new("run")).get_matches_from(["run"]);
        let found = MeasureArgs::from_arg_matches(&matches).unwrap().measurement(MAX_NEW_TOKENS).unwrap();
        assert_eq!(format!("{found:?}"), format!("{:?}", Measurement::default()));
    }
}
