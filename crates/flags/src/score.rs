//! `entrace score`: which traces are measured.

use crate::measure::MeasureArgs;
use crate::model::ModelArgs;
use clap::Args;
use entrace_study::{Error, PromptOptions, TraceOptions};
use std::path::PathBuf;

/// Flags of `entrace score`.
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Traces as .jsonl, .json, .csv, .tsv or .parquet, also with .gz or .zst, with columns question or prompt, trace or steps (or
    /// messages for both), target, and on request choices, id, sample, correct; or what others log: lm-eval's samples, inspect's .eval or
    /// .json, lighteval's details, TRL's completions, verl's rollouts, the output of OpenAI's and vLLM's batches
    #[arg(long, value_name = "FILE")]
    pub traces: Option<PathBuf>,
    /// The file of requests, where the traces are the output of a batch
    #[arg(long, value_name = "FILE")]
    pub requests: Option<PathBuf>,
    /// Names of columns: question=COL,trace=COL,target=COL and prompt, steps, messages, choices, id, sample, correct; a dot leads
    /// into nested objects and, with a number from 0, lists: trace=response.body.choices.0.message.content
    #[arg(long, value_name = "MAP")]
    pub map: Option<String>,
    /// Name under which the traces are recorded (default: the file's name)
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// How answers are read: number, choice, text, or auto, each question by its options and target (default)
    #[arg(long, value_name = "FORMAT")]
    pub answer_format: Option<String>,
    /// Only the first N traces; a number below 1 is a share of them
    #[arg(long, value_name = "N")]
    pub limit: Option<f64>,
    /// System prompt, for traces with a question
    #[arg(long, value_name = "TEXT", help_heading = "Prompt")]
    pub system: Option<String>,
    /// The user's message, for traces with a question
    #[arg(long, value_name = "TEXT", help_heading = "Prompt")]
    pub prompt_template: Option<String>,
    /// How it is measured.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

impl ScoreArgs {
    /// The traces as a study opens them.
    ///
    /// # Errors
    /// Where no file is named, or an option has a value that cannot be used.
    pub fn traces(&self) -> Result<TraceOptions, Error> {
        let missing = || Error::Missing { option: "traces", expected: "a file of traces".to_string() };
        Ok(TraceOptions {
            path: self.traces.clone().ok_or_else(missing)?,
            requests: self.requests.clone(),
            name: self.task.clone(),
            reading: self.measure.reading(self.map.as_deref(), self.answer_format.as_deref())?,
            limit: self.limit,
            prompt: PromptOptions {
                num_fewshot: 0,
                system: self.system.clone(),
                template: self.prompt_template.clone(),
            },
        })
    }
}
