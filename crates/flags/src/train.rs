//! `entrace train`: every flag of its methods, and the training that they describe.

use crate::usage::SetUp;
use crate::values::{not_negative, positive, share};
use clap::{Args, Subcommand, ValueEnum};
use entrace_study::Error;
use entrace_study::train::{
    Annotators, FitPlan, Keeping, Place, QuestionData, Reading, RehearsalData, RlPlan, TraceData,
};
use entrace_train::rl::RlOptions;
use entrace_train::{
    AdamW, Adaptation, Checkpoints, Decay, ExportType, FitOptions, Lora, LossOn, ModelSize, Schedule,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Headings in the help that say what flags depend on.
const OF_ARITH: &str = "Data of arith (--data arith, the default)";
const REHEARSAL: &str = "Rehearsal of traces beside the rewards";

/// Trains small models on reasoning traces.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The method.
    #[command(subcommand)]
    pub method: Method,
}

/// Methods of training.
#[derive(Debug, Subcommand)]
pub enum Method {
    /// Maximum likelihood from scratch: a new model learns traces
    Mle(MleArgs),
    /// Fine-tuning: a model learns further traces
    Sft(SftArgs),
    /// Reinforcement learning: a model answers and is rewarded where its answer is exact
    Rl(RlArgs),
    /// Every stage of a recipe, one after another
    Recipe(RecipeArgs),
}

/// Flags of `entrace train mle`.
#[derive(Debug, Args)]
pub struct MleArgs {
    /// How large the model is.
    #[command(flatten)]
    pub size: SizeArgs,
    /// What it learns, and how.
    #[command(flatten)]
    pub learning: LearningArgs,
}

/// What maximum likelihood and fine-tuning share.
#[derive(Debug, Args)]
pub struct LearningArgs {
    /// Which traces.
    #[command(flatten)]
    pub data: DataArgs,
    /// How batches are made.
    #[command(flatten)]
    pub fit: FitArgs,
    /// How weights change.
    #[command(flatten)]
    pub update: UpdateArgs,
    /// Where checkpoints go.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Flags of `entrace train sft`.
#[derive(Debug, Args)]
pub struct SftArgs {
    /// Model to start from (LLaMA or Qwen 2): a folder in Hugging Face layout, a folder of a training, sprout@STAGE, org/name on the Hub
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Whether adapters are trained.
    #[command(flatten)]
    pub lora: LoraArgs,
    /// What it learns, and how.
    #[command(flatten)]
    pub learning: LearningArgs,
}

/// Flags of `entrace train rl`.
#[derive(Debug, Args)]
pub struct RlArgs {
    /// Model to start from, which is also the reference (as for `train sft`)
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Whether adapters are trained.
    #[command(flatten)]
    pub lora: LoraArgs,
    /// Which questions.
    #[command(flatten)]
    pub questions: QuestionArgs,
    /// How they are sampled and rewarded.
    #[command(flatten)]
    pub group: GroupArgs,
    /// What is rehearsed.
    #[command(flatten)]
    pub rehearsal: RehearsalArgs,
    /// How weights change.
    #[command(flatten)]
    pub update: UpdateArgs,
    /// Where checkpoints go.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Flags of `entrace train recipe`.
#[derive(Debug, Args)]
pub struct RecipeArgs {
    /// TOML file of stages, in their order: `train` is mle, sft or rl, the other lines are flags of that command. Run again, it skips
    /// stages that are done and resumes one that was interrupted
    pub recipe: PathBuf,
    /// Only these stages, by their place from 1
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub stages: Vec<usize>,
    /// Replace existing trainings in the output folders
    #[arg(long)]
    pub overwrite: bool,
    /// Say nothing but results and errors
    #[arg(long, short)]
    pub quiet: bool,
}

/// How large a new model is.
#[derive(Debug, Args)]
pub struct SizeArgs {
    /// Width of the residual stream
    #[arg(long, default_value_t = 128, value_name = "N", help_heading = "Model")]
    pub hidden_size: usize,
    /// Layers
    #[arg(long, default_value_t = 6, value_name = "N", help_heading = "Model")]
    pub layers: usize,
    /// Attention heads
    #[arg(long, default_value_t = 4, value_name = "N", help_heading = "Model")]
    pub heads: usize,
    /// Heads of keys and values (default: as many)
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub kv_heads: Option<usize>,
    /// Width of the feed-forward part
    #[arg(long, default_value_t = 384, value_name = "N", help_heading = "Model")]
    pub intermediate_size: usize,
    /// Most tokens of a text
    #[arg(long, default_value_t = 512, value_name = "N", help_heading = "Model")]
    pub context_length: usize,
}

impl SizeArgs {
    /// The size of the model.
    ///
    /// # Errors
    /// Where widths and heads do not go together.
    pub fn size(&self) -> Result<ModelSize, SetUp> {
        let kv_heads = self.kv_heads.unwrap_or(self.heads);
        let multiple = |of: usize, n: usize| n > 0 && of.is_multiple_of(n);
        if !multiple(self.hidden_size, self.heads) || !multiple(self.heads, kv_heads) {
            let problem = "--hidden-size is a multiple of --heads, and that one of --kv-heads";
            return Err(SetUp(problem.to_string()));
        }
        Ok(ModelSize {
            hidden_size: self.hidden_size,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: kv_heads,
            intermediate_size: self.intermediate_size,
            max_position_embeddings: self.context_length,
            ..ModelSize::default()
        })
    }
}

/// Whether all weights are trained, or adapters.
#[derive(Debug, Args)]
pub struct LoraArgs {
    /// Train adapters of this rank instead of all weights; they are merged in checkpoints
    #[arg(long, value_name = "R", help_heading = "Adapters")]
    pub lora_rank: Option<usize>,
    /// Scale of adapters, α (default: twice the rank)
    #[arg(long, value_name = "A", requires = "lora_rank", value_parser = positive)]
    #[arg(allow_negative_numbers = true, help_heading = "Adapters")]
    pub lora_alpha: Option<f64>,
}

impl LoraArgs {
    /// What is trained.
    pub fn adaptation(&self) -> Adaptation {
        match self.lora_rank {
            None => Adaptation::Full,
            Some(rank) => Adaptation::Lora(Lora {
                rank,
                alpha: self.lora_alpha.unwrap_or(2.0 * rank as f64),
                ..Lora::default()
            }),
        }
    }
}

/// Which traces are learnt.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// Traces: a task of `entrace ls tasks` with rationales, or a file (.jsonl, .json, .csv, .tsv, .parquet). The question of a row is
    /// asked as `entrace run` asks it, with the model's chat template or as "Q: ... A:"; a prompt is taken verbatim. What follows is
    /// under completion or trace, or under answer where the first row has neither. The first line that cannot be read stops the training,
    /// where `run` and `score` would skip it
    #[arg(long, default_value = "arith", value_name = "TASK_OR_FILE", help_heading = "Data")]
    pub data: String,
    /// Columns of a file: question=COL,prompt=COL,trace=COL,target=COL,choices=COL
    #[arg(long, value_name = "MAP", help_heading = "Data")]
    pub map: Option<String>,
    /// How the answers of a file are read: number, choice or text; chat models are asked for answers of this kind (default: by its
    /// targets, as in `entrace run`; text if it has none)
    #[arg(long, value_name = "FORMAT", help_heading = "Data")]
    pub answer_format: Option<String>,
    /// File of traces on which the loss is only measured (default: others of arith's problems; of other data none)
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub eval_data: Option<PathBuf>,
    /// Folder of benchmark files (default: fetched from the Hub)
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
    /// Traces to learn from (default: all there are; 100000 problems of arith)
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub examples: Option<usize>,
    /// Traces on which the loss is measured
    #[arg(long, default_value_t = 300, value_name = "N", help_heading = "Data")]
    pub eval_examples: usize,
    /// Remove calculator annotations, <<48/2=24>>, from the completions of a file
    #[arg(long, help_heading = "Data")]
    pub strip_annotations: bool,
    /// Which tokens are learnt
    #[arg(long, value_enum, default_value = "completion", help_heading = "Data")]
    pub loss_on: LossOnArg,
    /// Which problems of arith.
    #[command(flatten)]
    pub arith: ArithArgs,
}

impl DataArgs {
    fn data(&self) -> TraceData {
        let arith = &self.arith;
        TraceData {
            source: self.data.clone(),
            reading: Reading {
                map: self.map.clone(),
                answer_format: self.answer_format.clone(),
                strip_annotations: self.strip_annotations,
            },
            eval_file: self.eval_data.clone(),
            data_dir: self.data_dir.clone(),
            n_examples: self.examples,
            n_eval_examples: self.eval_examples,
            loss_on: match self.loss_on {
                LossOnArg::Completion => LossOn::Completion,
                LossOnArg::All => LossOn::All,
            },
            seed: arith.data_seed,
            annotators: Annotators {
                wrong_share: arith.wrong_share,
                interrupted_share: arith.interrupted_share,
                draft_wrong_share: arith.draft_wrong_share,
                aside_share: arith.aside_share,
            },
        }
    }
}

/// Which of arith's problems are learnt, and who wrote their solutions.
#[derive(Debug, Args)]
pub struct ArithArgs {
    /// Seed of the problems
    #[arg(long, default_value_t = 1, value_name = "SEED", help_heading = OF_ARITH)]
    pub data_seed: u64,
    /// Share of traces with a wrong step
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    #[arg(allow_negative_numbers = true, help_heading = OF_ARITH)]
    pub wrong_share: f64,
    /// Share of traces that end, after any of their lines, with the true answer: what the estimators ask for
    #[arg(long, default_value_t = 0.2, value_name = "SHARE", value_parser = share)]
    #[arg(allow_negative_numbers = true, help_heading = OF_ARITH)]
    pub interrupted_share: f64,
    /// Interrupt drafts, this share of which have a wrong step: they are given, only the answer after them is learnt (default: interrupt
    /// what is learnt otherwise, and learn all of it)
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[arg(allow_negative_numbers = true, help_heading = OF_ARITH)]
    pub draft_wrong_share: Option<f64>,
    /// Share of traces with a line that no other line uses
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    #[arg(allow_negative_numbers = true, help_heading = OF_ARITH)]
    pub aside_share: f64,
}

/// Which tokens are learnt.
#[expect(missing_docs, reason = "the help would print what is said of each")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LossOnArg {
    Completion,
    All,
}

/// Which questions are asked in reinforcement learning.
#[derive(Debug, Args)]
pub struct QuestionArgs {
    /// Questions: a task of `entrace ls tasks`
    #[arg(long, default_value = "arith", value_name = "TASK", help_heading = "Data")]
    pub data: String,
    /// Folder of benchmark files (default: fetched from the Hub)
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
    /// Questions to learn from (default: all there are; 20000 problems of arith)
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub examples: Option<usize>,
    /// Questions that are only answered
    #[arg(long, default_value_t = 200, value_name = "N", help_heading = "Data")]
    pub eval_examples: usize,
    /// Seed of arith's problems
    #[arg(long, default_value_t = 1, value_name = "SEED", help_heading = "Data")]
    pub data_seed: u64,
}

/// How maximum likelihood makes batches and changes weights.
#[derive(Debug, Args)]
pub struct FitArgs {
    /// Updates
    #[arg(long, default_value_t = 1000, value_name = "N", help_heading = "Training")]
    pub steps: u64,
    /// Most tokens in the batch of an update
    #[arg(long, default_value_t = 8192, value_name = "N", help_heading = "Training")]
    pub batch_tokens: usize,
    /// Largest learning rate
    #[arg(long, default_value_t = 1e-3, value_name = "RATE", value_parser = positive)]
    #[arg(allow_negative_numbers = true, help_heading = "Training")]
    pub learning_rate: f64,
    /// Updates until it is reached
    #[arg(long, default_value_t = 100, value_name = "N", help_heading = "Training")]
    pub warmup_steps: u64,
    /// Decay of matrices
    #[arg(long, default_value_t = 0.1, value_name = "LAMBDA")]
    #[arg(value_parser = not_negative, allow_negative_numbers = true)]
    #[arg(help_heading = "Training")]
    pub weight_decay: f64,
}

impl LearningArgs {
    /// What is learnt, and how.
    pub fn plan(&self) -> FitPlan {
        let (fit, update) = (&self.fit, &self.update);
        let options = FitOptions {
            steps: fit.steps,
            batch_tokens: fit.batch_tokens,
            shards: update.shards,
            accumulation: update.accumulation,
            seed: update.seed,
            optimizer: update.optimizer(fit.weight_decay),
            schedule: update.schedule(fit.learning_rate, fit.warmup_steps),
            evaluate_every: Some(update.evaluation_interval(fit.steps)),
        };
        FitPlan { data: self.data.data(), options, keeping: self.output.keeping(fit.steps) }
    }
}

/// How reinforcement learning samples, what it rewards, and how it changes weights.
#[derive(Debug, Args)]
pub struct GroupArgs {
    /// Steps: questions are sampled, rewarded and learnt from
    #[arg(long, default_value_t = 1000, value_name = "N", help_heading = "Training")]
    pub steps: u64,
    /// Questions of a step
    #[arg(long, default_value_t = 16, value_name = "N", help_heading = "Training")]
    pub questions: usize,
    /// Completions of a question
    #[arg(long, default_value_t = 8, value_name = "N", help_heading = "Training")]
    pub samples: usize,
    /// Most tokens of a completion
    #[arg(long, default_value_t = 192, value_name = "N", help_heading = "Training")]
    pub max_new_tokens: usize,
    /// Updates with the completions of a step
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Training")]
    pub updates: usize,
    /// Weight of the divergence from the reference
    #[arg(long, default_value_t = 0.02, value_name = "BETA")]
    #[arg(value_parser = not_negative, allow_negative_numbers = true)]
    #[arg(help_heading = "Training")]
    pub kl_weight: f64,
    /// Weight of the entropy bonus
    #[arg(long, default_value_t = 0.0, value_name = "C", value_parser = not_negative)]
    #[arg(allow_negative_numbers = true, help_heading = "Training")]
    pub entropy_weight: f64,
    /// Divergence from the reference, in nats a token, beyond which training ends
    #[arg(long, default_value_t = 1.0, value_name = "NATS", value_parser = positive)]
    #[arg(allow_negative_numbers = true, help_heading = "Training")]
    pub max_kl: f64,
    /// Largest learning rate
    #[arg(long, default_value_t = 1e-4, value_name = "RATE", value_parser = positive)]
    #[arg(allow_negative_numbers = true, help_heading = "Training")]
    pub learning_rate: f64,
    /// Steps until it is reached
    #[arg(long, default_value_t = 5, value_name = "N", help_heading = "Training")]
    pub warmup_steps: u64,
    /// Decay of matrices
    #[arg(long, default_value_t = 0.0, value_name = "LAMBDA")]
    #[arg(value_parser = not_negative, allow_negative_numbers = true)]
    #[arg(help_heading = "Training")]
    pub weight_decay: f64,
}

impl GroupArgs {
    fn options(&self, update: &UpdateArgs, rehearsal: &RehearsalArgs) -> RlOptions {
        let default = RlOptions::default();
        let mut objective = default.objective.clone();
        (objective.kl_weight, objective.entropy_weight) = (self.kl_weight, self.entropy_weight);
        RlOptions {
            steps: self.steps,
            questions: self.questions,
            samples: self.samples,
            max_new_tokens: self.max_new_tokens,
            updates: self.updates,
            rehearsal_weight: rehearsal.rehearsal_weight,
            rehearsal_tokens: rehearsal.rehearsal_tokens,
            shards: update.shards,
            accumulation: update.accumulation,
            seed: update.seed,
            objective,
            optimizer: update.optimizer(self.weight_decay),
            schedule: update.schedule(self.learning_rate, self.warmup_steps),
            max_kl: Some(self.max_kl),
            evaluate_every: Some(update.evaluation_interval(self.steps)),
            ..default
        }
    }
}

/// Traces that are learnt by maximum likelihood beside the rewards, so that they are not forgotten.
#[derive(Debug, Args)]
pub struct RehearsalArgs {
    /// Traces to rehearse: a task with rationales (arith: of the questions that are asked), or a file as for `train sft --data`
    #[arg(long, value_name = "TASK_OR_FILE", help_heading = REHEARSAL)]
    pub rehearse: Option<String>,
    /// Weight of their mean loss beside that of the rewards
    #[arg(long, requires = "rehearse", default_value_t = 1.0, value_name = "GAMMA")]
    #[arg(value_parser = not_negative, allow_negative_numbers = true)]
    #[arg(help_heading = REHEARSAL)]
    pub rehearsal_weight: f64,
    /// Most tokens of them in an update
    #[arg(long, requires = "rehearse", default_value_t = 2048, value_name = "N", help_heading = REHEARSAL)]
    pub rehearsal_tokens: usize,
    /// With --rehearse arith: share of the rehearsed traces with a wrong step
    #[arg(long, requires = "rehearse", default_value_t = 0.0, value_name = "SHARE")]
    #[arg(value_parser = share, allow_negative_numbers = true)]
    #[arg(help_heading = REHEARSAL)]
    pub wrong_share: f64,
    /// With --rehearse arith: share of them that end, after any of their lines, with the true answer
    #[arg(long, requires = "rehearse", default_value_t = 0.2, value_name = "SHARE")]
    #[arg(value_parser = share, allow_negative_numbers = true)]
    #[arg(help_heading = REHEARSAL)]
    pub interrupted_share: f64,
    /// With --rehearse arith: interrupt drafts, this share of which have a wrong step; only the answer after them is learnt
    #[arg(long, requires = "rehearse", value_name = "SHARE", value_parser = share)]
    #[arg(allow_negative_numbers = true, help_heading = REHEARSAL)]
    pub draft_wrong_share: Option<f64>,
    /// With --rehearse arith: share of them with a line that no other line uses
    #[arg(long, requires = "rehearse", default_value_t = 0.0, value_name = "SHARE")]
    #[arg(value_parser = share, allow_negative_numbers = true)]
    #[arg(help_heading = REHEARSAL)]
    pub aside_share: f64,
}

impl RlArgs {
    /// What is asked and rewarded, and how.
    pub fn plan(&self) -> RlPlan {
        let (questions, rehearsal) = (&self.questions, &self.rehearsal);
        RlPlan {
            questions: QuestionData {
                source: questions.data.clone(),
                data_dir: questions.data_dir.clone(),
                n_examples: questions.examples,
                n_eval_examples: questions.eval_examples,
                seed: questions.data_seed,
            },
            rehearsal: RehearsalData {
                source: rehearsal.rehearse.clone(),
                annotators: Annotators {
                    wrong_share: rehearsal.wrong_share,
                    interrupted_share: rehearsal.interrupted_share,
                    draft_wrong_share: rehearsal.draft_wrong_share,
                    aside_share: rehearsal.aside_share,
                },
            },
            options: self.group.options(&self.update, rehearsal),
            keeping: self.output.keeping(self.group.steps),
        }
    }
}

/// How weights change, whatever the method.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Share of the learning rate at which the cosine ends; 1 keeps it constant
    #[arg(long, default_value_t = 0.1, value_name = "SHARE", value_parser = share)]
    #[arg(allow_negative_numbers = true, help_heading = "Training")]
    pub final_rate: f64,
    /// Largest norm of the gradient
    #[arg(long, default_value_t = 1.0, value_name = "NORM", value_parser = positive)]
    #[arg(allow_negative_numbers = true, help_heading = "Training")]
    pub clip_norm: f64,
    /// Parts of a batch that run side by side; results depend on it in the last digits
    #[arg(long, default_value_t = 8, value_name = "N", help_heading = "Training")]
    pub shards: usize,
    /// Rounds of such parts: more of them need less memory
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Training")]
    pub accumulation: usize,
    /// Seed of new weights, of the order of data, and of samples
    #[arg(long, default_value_t = 0, value_name = "SEED", help_heading = "Training")]
    pub seed: u64,
    /// Steps between evaluations on held-out data (default: a twentieth of all)
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub evaluate_every: Option<u64>,
}

impl UpdateArgs {
    fn evaluation_interval(&self, steps: u64) -> u64 {
        self.evaluate_every.unwrap_or_else(|| steps.div_ceil(20).max(1))
    }

    fn optimizer(&self, weight_decay: f64) -> AdamW {
        AdamW { weight_decay, clip_norm: Some(self.clip_norm), ..AdamW::default() }
    }

    fn schedule(&self, peak: f64, warmup_steps: u64) -> Schedule {
        let decay = if self.final_rate < 1.0 { Decay::Cosine(self.final_rate) } else { Decay::Constant };
        Schedule { peak, warmup_steps, decay }
    }
}

/// Where checkpoints go, and what is done with them.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Folder of metrics.jsonl and the checkpoints step-NNNNNN; if it holds this training unfinished, it resumes from the last checkpoint
    /// (default: entrace-train/METHOD)
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub output_path: Option<PathBuf>,
    /// Updates between checkpoints (default: one at the end)
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub checkpoint_every: Option<u64>,
    /// Minutes without a checkpoint after which a temporary one is written, from which a killed training can be resumed; it is removed when
    /// the next checkpoint is written. 0 writes none
    #[arg(long, default_value_t = 5.0, value_name = "MINUTES")]
    #[arg(value_parser = not_negative, allow_negative_numbers = true)]
    #[arg(help_heading = "Output")]
    pub checkpoint_minutes: f64,
    /// Checkpoints after these numbers of updates; 0 is the start
    #[arg(long, value_delimiter = ',', value_name = "LIST", help_heading = "Output")]
    pub checkpoint_at: Vec<u64>,
    /// Type of the weights in checkpoints
    #[arg(long, value_enum, default_value = "f32", help_heading = "Output")]
    pub export: ExportArg,
    /// Write checkpoints without what resuming needs
    #[arg(long, help_heading = "Output")]
    pub no_resume: bool,
    /// Checkpoint to resume from, or folder of a training whose last checkpoint it is; the training had the same flags (default: what is in
    /// the output folder)
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub resume: Option<PathBuf>,
    /// Replace an existing training in the folder
    #[arg(long, help_heading = "Output")]
    pub overwrite: bool,
    /// Measure what the model knows at each step of its traces after every N updates, at start and end: run folders beside the
    /// checkpoints, for `entrace compare`
    #[arg(long, value_name = "N", help_heading = "Measurement")]
    pub measure: Option<u64>,
    /// Tasks that are measured, as in `entrace run` (default: the task of --data; arith where that is a file)
    #[arg(long, value_name = "LIST", help_heading = "Measurement")]
    pub measure_tasks: Option<String>,
    /// Questions of each task that are measured
    #[arg(long, default_value_t = 100, value_name = "N", help_heading = "Measurement")]
    pub measure_limit: usize,
    /// TOML file of other flags of `entrace run` for measuring
    #[arg(long, value_name = "FILE", help_heading = "Measurement")]
    pub measure_config: Option<PathBuf>,
    /// Say nothing but results and errors
    #[arg(long, short)]
    pub quiet: bool,
    /// TOML file of flags by name; the command line overrides it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Types of the weights in checkpoints.
#[expect(missing_docs, reason = "the help would print what is said of each")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportArg {
    F32,
    Bf16,
    F16,
}

impl OutputArgs {
    /// The folder of a training by this method, and where it resumes.
    ///
    /// # Errors
    /// Where the folder holds another training, or one that cannot be resumed.
    pub fn place(&self, method: &str) -> Result<Place, Error> {
        let default = || Path::new("entrace-train").join(method);
        let folder = self.output_path.clone().unwrap_or_else(default);
        Place::open(folder, self.resume.as_deref(), self.overwrite)
    }

    /// How to resume an interrupted training.
    pub fn how_to_resume(&self, folder: &Path) -> String {
        match (self.no_resume, &self.resume, self.overwrite) {
            (true, _, _) => "it cannot be resumed: --no-resume leaves out what that needs".to_string(),
            (_, Some(_), _) => format!("run the same command with --resume {} to resume", folder.display()),
            (_, _, true) => "run the same command without --overwrite to resume".to_string(),
            _ => "run the same command again to resume".to_string(),
        }
    }

    /// Measured checkpoints are checkpoints too.
    fn keeping(&self, steps: u64) -> Keeping {
        let mut at = self.checkpoint_at.clone();
        if let Some(every) = self.measure.filter(|&n| n > 0) {
            at.extend((0..=steps / every).map(|i| i * every));
        }
        let rolling = Duration::try_from_secs_f64(60.0 * self.checkpoint_minutes).ok();
        let rolling = rolling.filter(|after| !after.is_zero());
        let export = match self.export {
            ExportArg::F32 => ExportType::F32,
            ExportArg::Bf16 => ExportType::Bf16,
            ExportArg::F16 => ExportType::F16,
        };
        let checkpoints = Checkpoints { every: self.checkpoint_every, at, rolling };
        Keeping { checkpoints, export, resumable: !self.no_resume }
    }
}
