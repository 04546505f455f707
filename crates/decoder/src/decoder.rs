//! Opening a model: a folder in Hugging Face layout, or a `.gguf` file.

use crate::arch::{self, Family};
use crate::config::Config;
use crate::error::Error;
use crate::model::Model;
use crate::ops::packed::Products;
use crate::weights::{GgufFile, SafetensorsFolder, WeightFile, Weights};
use candle_core::{DType, Device};
use entrace_backend::ModelInfo;
use sha2::{Digest, Sha256};
use std::path::Path;

/// How a model is loaded and run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What matrices are kept in.
    pub dtype: StorageType,
    /// Where the model runs.
    pub device: DeviceKind,
    /// Most tokens in one packed pass; at least one.
    pub max_rows: usize,
    /// Most completions that are sampled at the same time; at least one.
    pub max_sequences: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { dtype: StorageType::F32, device: DeviceKind::Cpu, max_rows: 1024, max_sequences: 64 }
    }
}

/// What matrices are kept in, and what their products are made of. On the CPU sums are float32 in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageType {
    /// float32.
    F32,
    /// bfloat16.
    BF16,
    /// bfloat16, and on the CPU what is multiplied with the matrices is rounded to it too: faster where the processor multiplies such
    /// numbers (AVX-512 BF16), less exact everywhere.
    BF16Products,
    /// IEEE half.
    F16,
}

impl StorageType {
    /// The name used in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::BF16 => "bf16",
            Self::BF16Products => "bf16-products",
            Self::F16 => "f16",
        }
    }

    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::BF16 | Self::BF16Products => DType::BF16,
            Self::F16 => DType::F16,
        }
    }

    fn products(self) -> Products {
        match self {
            Self::BF16Products => Products::Bf16,
            Self::F32 | Self::BF16 | Self::F16 => Products::Float32,
        }
    }
}

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// The first NVIDIA GPU; needs the feature `cuda`.
    Cuda,
    /// Apple's GPU; needs the feature `metal`.
    Metal,
}

impl DeviceKind {
    /// The name used in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        }
    }

    fn open(self) -> Result<Device, Error> {
        let unavailable = |feature: &str, problem: candle_core::Error| Error::NoDevice {
            device: self.name().into(),
            problem: format!("{problem} (entrace must be built with --features {feature})"),
        };
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => Device::new_cuda(0).map_err(|e| unavailable("cuda", e)),
            Self::Metal => Device::new_metal(0).map_err(|e| unavailable("metal", e)),
        }
    }
}

/// A model without its text side: it takes and gives token numbers.
pub struct Decoder {
    pub(crate) model: Model,
    pub(crate) options: Options,
    info: ModelInfo,
    config: Config,
    family: &'static Family,
}

/// A model's files, opened.
pub(crate) enum Files {
    Folder(SafetensorsFolder),
    Gguf(GgufFile),
}

impl Files {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            return Ok(Self::Folder(SafetensorsFolder::open(path)?));
        }
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf")) {
            return Ok(Self::Gguf(GgufFile::open(path)?));
        }
        let problem = if path.exists() {
            "expected a folder with config.json and *.safetensors, or a .gguf file"
        } else {
            "no such file or folder"
        };
        Err(Error::NotAModel { path: path.to_path_buf(), problem: problem.into() })
    }

    fn config(&self, path: &Path) -> Result<Config, Error> {
        match self {
            Self::Folder(_) => Config::read(&path.join("config.json")),
            Self::Gguf(file) => file.config(),
        }
    }

    fn weights(&self) -> &dyn WeightFile {
        match self {
            Self::Folder(folder) => folder,
            Self::Gguf(file) => file,
        }
    }

    fn fingerprint(&self, hasher: &mut Sha256) {
        match self {
            Self::Folder(folder) => folder.fingerprint(hasher),
            Self::Gguf(file) => file.fingerprint(hasher),
        }
    }
}

impl Decoder {
    /// Loads a model; `name` is how the user named it.
    pub fn open(name: &str, path: &Path, options: Options) -> Result<Self, Error> {
        Self::from_files(name, path, &Files::open(path)?, options)
    }

    pub(crate) fn from_files(
        name: &str,
        path: &Path,
        files: &Files,
        options: Options,
    ) -> Result<Self, Error> {
        let config = match files {
            Files::Folder(_) if !path.join("config.json").is_file() => {
                return Err(Error::NotAModel {
                    path: path.to_path_buf(),
                    problem: "there is no config.json in it".into(),
                });
            }
            files => files.config(path)?,
        };
        let (family, spec) = arch::read_spec(&config)?;
        let options = Options {
            max_rows: options.max_rows.max(1),
            max_sequences: options.max_sequences.max(1),
            ..options
        };
        let device = options.device.open()?;
        let weights = Weights::new(files.weights(), options.dtype.dtype(), options.dtype.products(), &device);
        let model = Model::load(spec, &weights, options.dtype.dtype(), &device)?;
        let mut hasher = Sha256::new();
        hasher.update(format!("{:?}", model.spec()));
        files.fingerprint(&mut hasher);
        let info = ModelInfo {
            name: name.to_string(),
            architecture: family.model_type.to_string(),
            n_parameters: model.n_parameters(),
            dtype: options.dtype.name().to_string(),
            device: options.device.name().to_string(),
            context_length: model.spec().context_length,
            vocab_size: model.spec().vocab_size,
            n_layers: model.spec().n_layers(),
            model_hash: hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            tokenizer_hash: None,
            template_hash: None,
        };
        Ok(Self { model, options, info, config, family })
    }

    /// What identifies the model.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The model's own configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its family.
    pub fn family(&self) -> &'static Family {
        self.family
    }

    /// Bytes of cache that one token takes over all layers.
    pub fn cache_bytes_per_token(&self) -> usize {
        self.model.cache_bytes_per_token()
    }

    /// The loaded weights and what they compute.
    pub fn model(&self) -> &Model {
        &self.model
    }
}
