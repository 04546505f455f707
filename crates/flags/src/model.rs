//! Which model, and how it is opened.

use crate::values::by_name;
use clap::Args;
use entrace_decoder::{DeviceKind, StorageType};
use entrace_study::{ModelOptions, ServerOptions};
use std::time::Duration;

const DTYPES: [StorageType; 4] =
    [StorageType::F32, StorageType::BF16, StorageType::BF16Products, StorageType::F16];
const DEVICES: [DeviceKind; 3] = [DeviceKind::Cpu, DeviceKind::Cuda, DeviceKind::Metal];

/// The model that a command is about.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// Model: a folder in Hugging Face layout, a .gguf file, org/name or org/name@revision on the Hub (of GGUF files there
    /// org/name:QUANTISATION, such as Q4_K_M, or org/name/file.gguf); a model behind a server that speaks the OpenAI protocol, http://host:port/v1#NAME,
    /// which may be given several times for replicas; or the model that comes with entrace: sprout, or sprout@STAGE with one
    /// of init, mle, sft, rl (default of `run` without tasks or with arith: sprout)
    #[arg(long, value_name = "MODEL")]
    pub model: Vec<String>,
    /// How servers are reached.
    #[command(flatten)]
    pub server: ServerArgs,
    /// The model that adapters were trained on, where --model is a folder of adapters (LoRA) only: they are merged into it
    #[arg(long, value_name = "MODEL")]
    pub base: Option<String>,
    /// Type in which weights are kept (f32: in bf16 where that is as exact and the processor has matrix tiles, and quantised where a GGUF file
    /// has them so, with the same numbers in less memory); sums are float32 on the CPU in every case. With bf16-products, what is multiplied
    /// with the weights is rounded to bf16 as well, which is less exact; `entrace doctor` measures how fast either is on this processor
    #[arg(long, default_value = "f32", value_parser = by_name(&DTYPES, StorageType::name))]
    pub dtype: StorageType,
    /// Where the model runs; cuda and metal need a build with that feature
    #[arg(long, default_value = "cpu", value_parser = by_name(&DEVICES, DeviceKind::name))]
    pub device: DeviceKind,
}

/// Models behind servers.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Address of a server's API, whose model --model names; may be given several times (default: OPENAI_BASE_URL, where --model is no file
    /// here). The key is taken from OPENAI_API_KEY
    #[arg(long, value_name = "URL", help_heading = "Server")]
    pub base_url: Vec<String>,
    /// Tokenizer and chat template of a model behind a server: a folder, a .gguf file, or org/name on the Hub (default: what the server says
    /// that its model came from)
    #[arg(long, value_name = "MODEL", help_heading = "Server")]
    pub tokenizer: Option<String>,
    /// Header of every request to a server, as 'NAME: VALUE'; a value $VARIABLE is taken from the environment, and a key must be. May be
    /// given several times
    #[arg(long, value_name = "HEADER", help_heading = "Server")]
    pub header: Vec<String>,
    /// Seconds to wait for a server that does not answer yet
    #[arg(long, value_name = "SECONDS", default_value_t = 0, help_heading = "Server")]
    pub wait_for_server: u64,
}

impl ModelArgs {
    /// The model that is named; the last one counts.
    pub fn name(&self) -> Option<&str> {
        self.model.last().map(String::as_str)
    }

    /// The model as a study opens it.
    pub fn options(&self) -> ModelOptions {
        ModelOptions {
            names: self.model.clone(),
            base: self.base.clone(),
            dtype: self.dtype,
            device: self.device,
            server: ServerOptions {
                base_urls: self.server.base_url.clone(),
                tokenizer: self.server.tokenizer.clone(),
                headers: self.server.header.clone(),
                wait: Duration::from_secs(self.server.wait_for_server),
            },
        }
    }
}
