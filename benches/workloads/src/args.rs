//! The flags of the program.

use clap::{Parser, ValueEnum};
use entrace_decoder::{Options, StorageType};
use std::path::PathBuf;

/// Times entrace on workloads W1 to W5.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Args {
    /// What to measure; everything unless some are named
    #[arg(value_enum, ignore_case = true)]
    names: Vec<Name>,
    /// A model in Hugging Face layout or a .gguf file; a made-up one with the shape of SmolLM2-135M unless given
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,
    /// Tokens of the workloads (see benches/README.md); made up from the seed unless given
    #[arg(long, value_name = "FILE")]
    pub(crate) workload: Option<PathBuf>,
    /// Only the first N traces of W1
    #[arg(long, value_name = "N")]
    pub(crate) traces: Option<usize>,
    /// Times that each workload is run
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeats: u32,
    /// Threads; all processors unless given
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// What weights are kept in
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Dtype,
    /// Most tokens in one packed pass
    #[arg(long, value_name = "N")]
    max_rows: Option<usize>,
    /// Most completions that are sampled at the same time
    #[arg(long, value_name = "N")]
    max_sequences: Option<usize>,
    /// Most nodes that W4 expands at a prefix
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) max_nodes: usize,
    /// Seed of everything that is made up
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Prefix rows of W5
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) rows: usize,
    /// Writes the measurements with notes on the machine
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the numbers that W1 and W3 compute, for comparison with other engines
    #[arg(long, value_name = "FILE")]
    pub(crate) scores: Option<PathBuf>,
    /// Folder for made-up models and records
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Writes a workload from real questions, with traces that the model writes, and ends
    #[arg(long, value_name = "FILE", requires_all = ["data_dir", "model"])]
    pub(crate) make_workload: Option<PathBuf>,
    /// Folder with the files of arc_challenge and svamp, for --make-workload; `run` takes its questions from svamp there
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Reads names of workloads from standard input and answers each with a line of JSON
    #[arg(long)]
    pub(crate) serve: bool,
    /// Generates one token and ends; what `startup` times
    #[arg(long, hide = true)]
    pub(crate) first_token: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    W1,
    W2,
    W3,
    W4,
    W5,
    Growth,
    Startup,
    Run,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    Bf16,
    Bf16Products,
    F16,
}

impl Args {
    pub(crate) fn names(&self) -> Vec<Name> {
        if self.names.is_empty() { Name::value_variants().to_vec() } else { self.names.clone() }
    }

    pub(crate) fn options(&self) -> Options {
        let default = Options::default();
        let dtype = match self.dtype {
            Dtype::F32 => StorageType::F32,
            Dtype::Bf16 => StorageType::BF16,
            Dtype::Bf16Products => StorageType::BF16Products,
            Dtype::F16 => StorageType::F16,
        };
        Options {
            dtype,
            max_rows: self.max_rows.unwrap_or(default.max_rows),
            max_sequences: self.max_sequences.unwrap_or(default.max_sequences),
            ..default
        }
    }

    /// Where made-up models and records are kept between runs.
    pub(crate) fn cache(&self) -> PathBuf {
        let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/bench"));
        self.cache.clone().unwrap_or(beside)
    }
}

impl Name {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::W1 => "W1 choices",
            Self::W2 => "W2 rollout",
            Self::W3 => "W3 tokens",
            Self::W4 => "W4 enumerate",
            Self::W5 => "W5 statistics",
            Self::Growth => "growth",
            Self::Startup => "startup",
            Self::Run => "run",
        }
    }

    /// Whether it runs on the model that all workloads share.
    pub(crate) fn needs_model(self) -> bool {
        !matches!(self, Self::W5 | Self::Run)
    }

    /// Whether it takes part in the interleaved rounds.
    pub(crate) fn is_repeated(self) -> bool {
        matches!(self, Self::W1 | Self::W2 | Self::W3 | Self::W4)
    }
}
