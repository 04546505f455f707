//! Every flag, with its help.
//!
//! Words are those of lm-eval where it has one for the thing. Each flag may be written with hyphens or underscores, and in a configuration
//! file under the same name.

use crate::train::flags::TrainArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use entrace_decide::choose::Method;
use entrace_decide::loss::Loss;
use entrace_decide::rewards::Reward;
use entrace_decide::rewards::format::Format;
use entrace_decoder::{DeviceKind, StorageType};
use entrace_run::{ChoiceForm, EstimatorChoice};
use entrace_stats::risk::Bound;
use std::path::PathBuf;

const DTYPES: [StorageType; 4] =
    [StorageType::F32, StorageType::BF16, StorageType::BF16Products, StorageType::F16];
const DEVICES: [DeviceKind; 3] = [DeviceKind::Cpu, DeviceKind::Cuda, DeviceKind::Metal];

/// Reads one of a library's values by its name.
fn by_name<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let known = PossibleValuesParser::new(all.iter().map(|&value| name(value)));
    known.try_map(move |text| all.iter().copied().find(|&value| name(value) == text).ok_or("unknown"))
}

/// What exit codes mean, below the help and in manual pages.
pub(crate) const EXIT_CODES: &str = "0 measured, 1 finished with failed items or nothing measured, 2 usage or set-up, 3 engine or disk failure, \
                                     130 interrupted (run the same command again to resume).";

/// The variables that are read, likewise.
pub(crate) const ENVIRONMENT: &str = "HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH, HF_ENDPOINT, HF_HUB_OFFLINE, HF_HUB_DOWNLOAD_TIMEOUT for \
                                      models and data from the Hub, as in huggingface_hub; OPENAI_BASE_URL, OPENAI_API_KEY for servers; \
                                      RAYON_NUM_THREADS.";

/// How much does a reasoning model know about the answer at each step?
#[derive(Debug, Parser)]
#[command(name = "entrace", version, max_term_width = 110, args_override_self = true)]
#[command(after_help = format!("Exit codes: {EXIT_CODES}\nEnvironment: {ENVIRONMENT}"))]
pub(crate) struct Cli {
    /// Threads to compute with (default, and 0: all cores)
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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

#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// Model: a folder in Hugging Face layout, a .gguf file, org/name or org/name@revision on the Hub (of GGUF files there
    /// org/name:QUANTISATION, such as Q4_K_M, or org/name/file.gguf); a model behind a server that speaks the OpenAI protocol, http://host:port/v1#NAME,
    /// which may be given several times for replicas; or the model that comes with entrace: sprout, or sprout@STAGE with one
    /// of init, mle, sft, rl (default of `run` without tasks or with arith: sprout)
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The model that adapters were trained on, where --model is a folder of adapters (LoRA) only: they are merged into it
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: Option<String>,
    /// Type in which weights are kept; sums are float32 on the CPU in every case. With bf16-products, what is multiplied with the weights is
    /// rounded to bf16 as well: faster on processors with AVX-512 BF16, less exact
    #[arg(long, default_value = "f32", value_parser = by_name(&DTYPES, StorageType::name))]
    pub(crate) dtype: StorageType,
    /// Where the model runs; cuda and metal need a build with that feature
    #[arg(long, default_value = "cpu", value_parser = by_name(&DEVICES, DeviceKind::name))]
    pub(crate) device: DeviceKind,
}

impl ModelArgs {
    /// The model that is named; the last one counts.
    pub(crate) fn name(&self) -> Option<&str> {
        self.model.last().map(String::as_str)
    }
}

/// Models behind servers.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// Address of a server's API, whose model --model names; may be given several times (default: OPENAI_BASE_URL, where --model is no file
    /// here). The key is taken from OPENAI_API_KEY
    #[arg(long, value_name = "URL", help_heading = "Server")]
    pub(crate) base_url: Vec<String>,
    /// Tokenizer and chat template of a model behind a server: a folder, a .gguf file, or org/name on the Hub (default: what the server says
    /// that its model came from)
    #[arg(long, value_name = "MODEL", help_heading = "Server")]
    pub(crate) tokenizer: Option<String>,
    /// Header of every request to a server, as 'NAME: VALUE'; a value $VARIABLE is taken from the environment, and a key must be. May be
    /// given several times
    #[arg(long, value_name = "HEADER", help_heading = "Server")]
    pub(crate) header: Vec<String>,
    /// Seconds to wait for a server that does not answer yet
    #[arg(long, value_name = "SECONDS", default_value_t = 0, help_heading = "Server")]
    pub(crate) wait_for_server: u64,
}

/// How answer distributions are measured: common to `run` and `score`.
#[derive(Debug, Clone, Args)]
pub(crate) struct MeasureArgs {
    /// How a trace is cut into steps: auto, steps, blank-line, line, sentence, tokens:N or regex:PATTERN
    #[arg(long, default_value = "auto", value_name = "HOW", help_heading = "Measurement")]
    pub(crate) segment: String,
    /// Most steps of a trace; more are merged evenly (default: no limit)
    #[arg(long, value_name = "N", help_heading = "Measurement")]
    pub(crate) max_steps: Option<usize>,
    /// How the answer distribution at a prefix is estimated; auto is choices where there are options, else enumerate
    #[arg(long, default_value = "auto", help_heading = "Measurement")]
    #[arg(value_parser = by_name(&EstimatorChoice::ALL, EstimatorChoice::name))]
    pub(crate) estimator: EstimatorChoice,
    /// Text after which an answer is asked for (estimators choices, enumerate, sample); \n is a line break. May be given several times: the
    /// first carries the numbers, under the others the traces themselves are measured too, and the report says how much cues differ
    #[arg(long, default_value = "\\nThe answer is", value_name = "TEXT")]
    #[arg(allow_hyphen_values = true, help_heading = "Measurement")]
    pub(crate) cue: Vec<String>,
    /// What choices scores: the option's label, its text (summed), or its text (mean of a token)
    #[arg(long, default_value = "label", help_heading = "Measurement")]
    #[arg(value_parser = by_name(&ChoiceForm::ALL, ChoiceForm::name))]
    pub(crate) choice_form: ChoiceForm,
    /// Draws m at each prefix (estimators sample, rollout)
    #[arg(long, default_value_t = 16, value_name = "M", help_heading = "Measurement")]
    pub(crate) samples: usize,
    /// enumerate stops once at most this share of the probability is unexplored
    #[arg(long, default_value_t = 0.01, value_name = "EPS", help_heading = "Measurement")]
    pub(crate) epsilon: f64,
    /// Most nodes that enumerate expands at a prefix; 64 more at most lead to the target
    #[arg(long, default_value_t = 64, value_name = "N", help_heading = "Measurement")]
    pub(crate) max_nodes: usize,
    /// Most tokens of an answer string
    #[arg(long, default_value_t = 16, value_name = "N", help_heading = "Measurement")]
    pub(crate) max_answer_tokens: usize,
    /// Controls: swapped (another question's trace), shuffled (the steps in random order), unstated (the trace without the sentences and
    /// lines that state its answer), or none
    #[arg(long, value_delimiter = ',', default_value = "swapped")]
    #[arg(value_name = "LIST", help_heading = "Measurement")]
    pub(crate) controls: Vec<String>,
    /// Relative depths at which controls are measured, or all
    #[arg(long, value_delimiter = ',', default_value = "0,0.25,0.5,0.75,1")]
    #[arg(value_name = "LIST", help_heading = "Measurement")]
    pub(crate) control_depths: Vec<String>,
    /// Most nodes that enumerate expands at a prefix of a control: enough for the target and the likeliest answers (default: a quarter of
    /// --max-nodes)
    #[arg(long, value_name = "N", help_heading = "Measurement")]
    pub(crate) control_nodes: Option<usize>,
    /// Rollouts beside the estimator where answers are open: on how many questions, and at most how many draws at each of the depths 0, 1/4,
    /// 1/2, 3/4, 1; all:M is every question, 0 none. Greedy traces are rolled out at temperature 1 (default: all:8 for models of less than 50
    /// million weights, 100:8 of less than 2 billion, else 30:8; none with --estimator rollout)
    #[arg(long, value_name = "QUESTIONS:DRAWS", help_heading = "Measurement")]
    pub(crate) rollouts: Option<String>,
    /// Signals that need passes of their own: layers, hidden, attention, verbalised, p_true, semantic, all, or none
    #[arg(long, value_delimiter = ',', default_value = "none", value_name = "LIST")]
    #[arg(help_heading = "Measurement")]
    pub(crate) signals: Vec<String>,
    /// Seed of every random stream
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub(crate) seed: u64,
    /// Questions measured together; an interrupted run loses at most one batch, and may be resumed with another size
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub(crate) batch_size: usize,
    /// Sampling of traces and rollouts as key=value pairs: temperature, top_p, top_k, max_gen_toks, until, do_sample
    #[arg(long, value_name = "KEY=VALUE,…", help_heading = "Sampling")]
    pub(crate) gen_kwargs: Option<String>,
    /// Temperature of traces and rollouts; 0 is greedy (default 0)
    #[arg(long, value_name = "T", help_heading = "Sampling")]
    pub(crate) temperature: Option<f64>,
    /// Nucleus mass: only the likeliest tokens that reach it together are drawn (default 1: all)
    #[arg(long, value_name = "P", help_heading = "Sampling")]
    pub(crate) top_p: Option<f64>,
    /// Number of most likely tokens that are drawn from (default 0: all)
    #[arg(long, value_name = "K", help_heading = "Sampling")]
    pub(crate) top_k: Option<usize>,
    /// Most new tokens of a trace or rollout (default 512; 96 for sprout in `run`)
    #[arg(long, value_name = "N", help_heading = "Sampling")]
    pub(crate) max_new_tokens: Option<usize>,
    /// String that ends a trace or rollout; may be given several times. Plain questions (Q: .. A:) also end where another one begins
    #[arg(long, value_name = "TEXT", help_heading = "Sampling")]
    pub(crate) stop: Vec<String>,
    /// Variables of the model's chat template as name=value, value in JSON: enable_thinking=false; may be given several times
    #[arg(long, value_name = "NAME=VALUE,…", help_heading = "Prompt")]
    pub(crate) template_vars: Vec<String>,
    /// Run folder; if it holds this run unfinished, the run is resumed (default: entrace-runs/MODEL_TASKS)
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) output_path: Option<PathBuf>,
    /// Measure one of N shares of the run, by itself: I/N with I from 0, or /N or auto, where the number is that of a job array
    /// (SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, SKYPILOT_NODE_RANK). It goes to shard-I-of-N in the run folder; `entrace merge` puts them
    /// together
    #[arg(long, value_name = "I/N", help_heading = "Output")]
    pub(crate) shard: Option<String>,
    /// Replace an existing run in the folder
    #[arg(long, help_heading = "Output")]
    pub(crate) overwrite: bool,
    /// Most bytes of one text in a file of your own; longer ones are lines that cannot be read (default: 128 MiB)
    #[arg(long, value_name = "N")]
    pub(crate) max_cell_bytes: Option<usize>,
    /// Stop at the first line of input that cannot be read, instead of skipping and counting it
    #[arg(long)]
    pub(crate) strict: bool,
    /// Say nothing but results and errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// TOML file of flags by name; the command line overrides it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Tasks, with commas between them: names of `entrace ls tasks`, or files of your own, .jsonl, .json, .csv, .tsv or .parquet, also
    /// with .gz or .zst (default with sprout: arith)
    #[arg(long, value_name = "LIST")]
    pub(crate) tasks: Vec<String>,
    /// Folder of benchmark files (default: fetched from the Hub)
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Split to measure (default: the task's own)
    #[arg(long, value_name = "SPLIT")]
    pub(crate) split: Option<String>,
    /// Columns of files of your own: question=COL,target=COL,choices=COL,id=COL; a dot leads
    /// into nested objects and, with a number from 0, lists: target=answers.0.text
    #[arg(long, value_name = "MAP")]
    pub(crate) map: Option<String>,
    /// How answers of files of your own are read: number, choice, text, or auto, each question by its options and target (default)
    #[arg(long, value_name = "FORMAT")]
    pub(crate) answer_format: Option<String>,
    /// Only the first N questions of each task; a number below 1 is a share of them
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<f64>,
    /// Traces for each question
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeats: u32,
    /// Stop traces while they are written, by a rule that `entrace decide` has chosen (rule.json). Belief is asked for after each step; the
    /// answer of a trace that is stopped is the leading one there. There are no controls, no rollouts and no verdict then
    #[arg(long, value_name = "FILE", help_heading = "Stopping")]
    pub(crate) stop_with: Option<PathBuf>,
    /// The same by a condition of your own, without a guarantee: a signal, < or >, a number, and on request over how many steps and from how
    /// many tokens on, as in "answer_entropy < 0.1 for 2 after 30"
    #[arg(long, value_name = "CONDITION", help_heading = "Stopping", conflicts_with = "stop_with")]
    pub(crate) stop_when: Option<String>,
    /// Examples with solutions in the prompt, for base models; no chat template is used then
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Prompt")]
    pub(crate) num_fewshot: usize,
    /// System prompt
    #[arg(long, value_name = "TEXT", help_heading = "Prompt")]
    pub(crate) system: Option<String>,
    /// The user's message, with {question} and, if they are to be apart, {choices}
    #[arg(long, value_name = "TEXT", help_heading = "Prompt")]
    pub(crate) prompt_template: Option<String>,
    #[command(flatten)]
    pub(crate) measure: MeasureArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Traces as .jsonl, .json, .csv, .tsv or .parquet, also with .gz or .zst, with columns question or prompt, trace or steps (or
    /// messages for both), target, and on request choices, id, sample, correct; or what others log: lm-eval's samples, inspect's .eval or
    /// .json, lighteval's details, TRL's completions, verl's rollouts, the output of OpenAI's and vLLM's batches
    #[arg(long, value_name = "FILE")]
    pub(crate) traces: Option<PathBuf>,
    /// The file of requests, where the traces are the output of a batch
    #[arg(long, value_name = "FILE")]
    pub(crate) requests: Option<PathBuf>,
    /// Names of columns: question=COL,trace=COL,target=COL and prompt, steps, messages, choices, id, sample, correct; a dot leads
    /// into nested objects and, with a number from 0, lists: trace=response.body.choices.0.message.content
    #[arg(long, value_name = "MAP")]
    pub(crate) map: Option<String>,
    /// Name under which the traces are recorded (default: the file's name)
    #[arg(long, value_name = "NAME")]
    pub(crate) task: Option<String>,
    /// How answers are read: number, choice, text, or auto, each question by its options and target (default)
    #[arg(long, value_name = "FORMAT")]
    pub(crate) answer_format: Option<String>,
    /// Only the first N traces; a number below 1 is a share of them
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<f64>,
    /// System prompt, for traces with a question
    #[arg(long, value_name = "TEXT", help_heading = "Prompt")]
    pub(crate) system: Option<String>,
    /// The user's message, for traces with a question
    #[arg(long, value_name = "TEXT", help_heading = "Prompt")]
    pub(crate) prompt_template: Option<String>,
    #[command(flatten)]
    pub(crate) measure: MeasureArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Run folder
    pub(crate) run: PathBuf,
    /// Print the results as Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Also write precomputed_scores.jsonl: how sure each trace was of its answer, for inspect's scorer of that name
    #[arg(long)]
    pub(crate) precomputed_scores: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ViewArgs {
    /// Run folders; two of the same questions are set side by side
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Port on this machine, which nothing else reaches (default: any that is free)
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub(crate) port: u16,
    /// Open the page in the browser; without it the link is printed, and nothing else happens
    #[arg(long, conflicts_with = "export")]
    pub(crate) open: bool,
    /// Write the page with all its data into one file instead of serving it, for at most 5,000 traces
    #[arg(long, value_name = "FILE", conflicts_with = "port")]
    pub(crate) export: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Run folders, in the order of training; sprout@STAGE is that stage on arith, which is measured first if it was not
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Folder for compare.html, compare.json and the figure
    #[arg(long, value_name = "DIR")]
    pub(crate) output_path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InterveneArgs {
    /// Run folder with the traces; interventions.parquet and interventions.json are added to it, and its report is made again
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Changes: delete (the step is left out), corrupt (a number or option in it is another), filler (neutral tokens in its place), paraphrase
    /// (other words), swap (a step of another question), resample (drawn anew), conflict (the last statement of the answer says another),
    /// truncate (the trace ends there), mistake (the step is made wrong and the rest drawn anew), or all
    #[arg(long, value_delimiter = ',')]
    #[arg(default_value = "delete,corrupt,filler,swap,resample,conflict,truncate,mistake")]
    #[arg(value_name = "LIST")]
    pub(crate) kinds: Vec<String>,
    /// Readings: forced (the rest of the trace is kept, then the answer is asked for) and rollout (the rest is drawn anew; resample and mistake
    /// need it)
    #[arg(long, value_delimiter = ',', default_value = "forced", value_name = "LIST")]
    pub(crate) readings: Vec<String>,
    /// Draws at a place under rollout; of a range, more are made where the first do not decide whether a step matters
    #[arg(long, default_value = "8..64", value_name = "N or LOW..HIGH")]
    pub(crate) draws: String,
    /// Cosine of middle hidden states below which a step that was drawn anew says something else; other numbers always do
    #[arg(long, default_value_t = 0.8, value_name = "COSINE")]
    pub(crate) dissimilar_below: f64,
    /// Model that says steps in other words (default: the model itself)
    #[arg(long, value_name = "MODEL")]
    pub(crate) paraphraser: Option<String>,
    /// Only the traces of the first N questions of each task
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Print the tokens and the time that each kind will take, and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Folder of rollouts in the shape of Thought Anchors (problem_N/chunk_K/solutions.json) that becomes the run folder, without a model
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dry_run", "paraphraser"])]
    pub(crate) import: Option<PathBuf>,
    /// Seed of what is changed into what, and of draws
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub(crate) seed: u64,
    /// Say nothing but results and errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// TOML file of flags by name; the command line overrides it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    /// Run folder
    pub(crate) run: PathBuf,
    /// The task to decide for, where the run has several
    #[arg(long, value_name = "NAME")]
    pub(crate) task: Option<String>,
    /// Signal that is compared with a threshold, such as leader_prob, cue_entropy, tempered_entropy or combined (default: answer_entropy)
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,
    /// What stopping must not do: end with a wrong answer where the whole trace is right, or with another answer than the whole trace's
    #[arg(long, default_value = "wrong", value_parser = by_name(&Loss::OF_STOPPING, Loss::name))]
    pub(crate) loss: Loss,
    /// Largest share of traces to which that may happen
    #[arg(long, default_value_t = 0.05, value_name = "EPS")]
    pub(crate) risk: f64,
    /// Also give up hopeless traces: the largest share of traces that are given up although they would have ended right
    #[arg(long, value_name = "EPS")]
    pub(crate) give_up_risk: Option<f64>,
    /// Probability with which the limits may be missed
    #[arg(long, default_value_t = 0.1, value_name = "DELTA")]
    pub(crate) delta: f64,
    /// How the threshold is chosen: learn-then-test in a fixed sequence or with Bonferroni's correction, or conformal risk control, whose
    /// limit holds on average only
    #[arg(long, default_value = "fixed-sequence", value_parser = by_name(&Method::ALL, Method::name))]
    pub(crate) method: Method,
    /// Bound of the risk for learn-then-test (default: binomial where questions have one trace, else betting)
    #[arg(long, value_parser = by_name(&Bound::ALL, Bound::name))]
    pub(crate) bound: Option<Bound>,
    /// Successive steps over which the signal must be beyond the threshold
    #[arg(long = "for", default_value_t = 1, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) for_steps: u32,
    /// Seed by which questions are divided
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub(crate) seed: u64,
    /// Folder for rule.json and decide.json (default: the run folder)
    #[arg(long, value_name = "DIR")]
    pub(crate) output_path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RewardsArgs {
    /// Run folder
    pub(crate) run: PathBuf,
    /// The task, where the run has several
    #[arg(long, value_name = "NAME")]
    pub(crate) task: Option<String>,
    /// Who reads it: TRL's stepwise supervision, OpenRLHF's process rewards, verl's data set, or all rewards as JSON Lines
    #[arg(long, default_value = "jsonl", value_parser = by_name(&Format::ALL, Format::name))]
    pub(crate) format: Format,
    /// The reward of a step in formats that have one: the gain of ln p(target), the gain of p(target), what it adds to the best so far, the
    /// gain of a belief calibrated on other questions, or its importance by `entrace intervene --readings rollout`, with the sign of the gain
    #[arg(long, default_value = "gain", value_parser = by_name(&Reward::ALL, Reward::name))]
    pub(crate) reward: Reward,
    /// Divide rewards by the tokens of their steps
    #[arg(long)]
    pub(crate) per_token: bool,
    /// What follows each step in the format openrlhf: one token of the tokenizer that is trained
    #[arg(long, default_value = "ки", value_name = "TEXT")]
    pub(crate) placeholder: String,
    /// File to write (default: rewards_FORMAT.jsonl in the run folder)
    #[arg(long, value_name = "FILE")]
    pub(crate) output_path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// Run folders of shards, or one folder that holds them
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Folder for the whole run (default: the folder that holds the shards)
    #[arg(long, value_name = "DIR")]
    pub(crate) output_path: Option<PathBuf>,
    /// Merge nothing: print the numbers of the shards that are missing or unfinished, as a job array is written, and exit with 1 if there are
    /// some
    #[arg(long)]
    pub(crate) check: bool,
    /// Say nothing but results and errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TokensArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The text; special tokens in it are recognised
    #[arg(long, conflicts_with = "token_ids", required_unless_present = "token_ids")]
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
    /// Token numbers instead of a text; works without a tokenizer
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    pub(crate) token_ids: Vec<u32>,
    /// Also the logit-lens entropy of every layer
    #[arg(long)]
    pub(crate) layers: bool,
    /// JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// What to list
    #[arg(value_enum)]
    pub(crate) what: Listing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listing {
    Tasks,
    Estimators,
    Signals,
    Architectures,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// Folder for a page of each command (default: the page of the program is printed)
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}
