//! The families: one file each, from a configuration to a [`Spec`].
//!
//! A family says what its keys mean and which of them it cannot honour; what it cannot honour it refuses, naming the key. The forward
//! pass is common to all.

mod common;
mod deepseek;
mod gemma2;
mod gemma3;
mod llama;
mod mistral;
mod olmo;
mod olmo2;
mod olmo3;
mod phi3;
mod qwen;

use crate::config::Config;
use crate::error::Error;
use crate::spec::Spec;

/// A family of models.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// Models of the family, for people.
    pub models: &'static str,
    /// `general.architecture` of its GGUF files. Of families that share one, the first reads them unless the file says more.
    pub gguf: &'static str,
    read: fn(&Config) -> Result<Spec, Error>,
}

/// All families, in the order in which they are listed.
pub const FAMILIES: &[Family] = &[
    Family {
        model_type: "llama",
        models: "LLaMA 2, 3, 3.1, 3.2; SmolLM2; DeepSeek-LLM; DeepSeek-R1-Distill-Llama",
        gguf: "llama",
        read: llama::read,
    },
    Family {
        model_type: "qwen2",
        models: "Qwen 2, 2.5; DeepSeek-R1-Distill-Qwen",
        gguf: "qwen2",
        read: qwen::read_qwen2,
    },
    Family { model_type: "qwen3", models: "Qwen 3 (dense)", gguf: "qwen3", read: qwen::read_qwen3 },
    Family { model_type: "gemma2", models: "Gemma 2", gguf: "gemma2", read: gemma2::read },
    Family { model_type: "gemma3_text", models: "Gemma 3 (text)", gguf: "gemma3", read: gemma3::read },
    Family { model_type: "olmo", models: "OLMo", gguf: "olmo", read: olmo::read },
    Family { model_type: "olmo2", models: "OLMo 2", gguf: "olmo2", read: olmo2::read },
    Family { model_type: "olmo3", models: "OLMo 3", gguf: "olmo2", read: olmo3::read },
    Family {
        model_type: "deepseek_v2",
        models: "DeepSeek-V2, V2-Lite",
        gguf: "deepseek2",
        read: deepseek::read_v2,
    },
    Family {
        model_type: "deepseek_v3",
        models: "DeepSeek-V3, R1",
        gguf: "deepseek2",
        read: deepseek::read_v3,
    },
    Family { model_type: "mistral", models: "Mistral 7B", gguf: "llama", read: mistral::read },
    Family { model_type: "phi3", models: "Phi-3, Phi-3.5, Phi-4-mini", gguf: "phi3", read: phi3::read },
];

/// Reads a configuration through its family.
pub fn read_spec(config: &Config) -> Result<(&'static Family, Spec), Error> {
    let found = config.opt_str("model_type")?.ok_or_else(|| config.refuse("model_type", "missing"))?;
    let family =
        FAMILIES.iter().find(|f| f.model_type == found).ok_or_else(|| Error::UnknownArchitecture {
            path: config.path().to_path_buf(),
            key: "model_type",
            found: found.to_string(),
        })?;
    config.refuse_if_present("quantization_config")?;
    Ok((family, (family.read)(config)?))
}
