//! `entrace run`: which questions are asked, and how.

use crate::measure::MeasureArgs;
use crate::model::ModelArgs;
use clap::Args;
use entrace_study::{Error, PromptOptions, TaskOptions};
use std::path::PathBuf;

/// Flags of `entrace run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Tasks, with commas between them: names of `entrace ls tasks`, or files of your own, .jsonl, .json, .csv, .tsv or .parquet, also
    /// with .gz or .zst (default with sprout: arith)
    #[arg(long, value_name = "LIST")]
    pub tasks: Vec<String>,
    /// Folder of benchmark files (default: fetched from the Hub)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Split to measure (default: the task's own)
    #[arg(long, value_name = "SPLIT")]
    pub split: Option<String>,
    /// Columns of files of your own: question=COL,target=COL,choices=COL,id=COL; a dot leads
    /// into nested objects and, with a number from 0, lists: target=answers.0.text
    #[arg(long, value_name = "MAP")]
    pub map: Option<String>,
    /// How answers of files of your own are read: number, choice, text, or auto, each question by its options and target (default)
    #[arg(long, value_name = "FORMAT")]
    pub answer_format: Option<String>,
    /// Only the first N questions of each task; a number below 1 is a share of them
    #[arg(long, value_name = "N")]
    pub limit: Option<f64>,
    /// Traces for each question
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeats: u32,
    /// Stop traces while they are written, by a rule that `entrace decide` has chosen (rule.json). Belief is asked for after each step; the
    /// answer of a trace that is stopped is the leading one there. There are no controls, no rollouts and no verdict then
    #[arg(long, value_name = "FILE", help_heading = "Stopping")]
    pub stop_with: Option<PathBuf>,
    /// The same by a condition of your own, without a guarantee: a signal, < or >, a number, and on request over how many steps and from how
    /// many tokens on, as in "answer_entropy < 0.1 for 2 after 30"
    #[arg(long, value_name = "CONDITION", help_heading = "Stopping", conflicts_with = "stop_with")]
    pub stop_when: Option<String>,
    /// Examples with solutions in the prompt, for base models; no chat template is used then
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Prompt")]
    pub num_fewshot: usize,
    /// System prompt
    #[arg(long, value_name = "TEXT", help_heading = "Prompt")]
    pub system: Option<String>,
    /// The user's message, with {question} and, if they are to be apart, {choices}
    #[arg(long, value_name = "TEXT", help_heading = "Prompt")]
    pub prompt_template: Option<String>,
    /// How it is measured.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

impl RunArgs {
    /// The tasks as a study opens them.
    ///
    /// # Errors
    /// The option whose value cannot be used.
    pub fn tasks(&self) -> Result<TaskOptions, Error> {
        Ok(TaskOptions {
            reading: self.measure.reading(self.map.as_deref(), self.answer_format.as_deref())?,
            names: self.tasks.clone(),
            data_dir: self.data_dir.clone(),
            split: self.split.clone(),
            limit: self.limit,
            repeats: self.repeats,
            prompt: PromptOptions {
                num_fewshot: self.num_fewshot,
                system: self.system.clone(),
                template: self.prompt_template.clone(),
            },
        })
    }
}
