//! Opening a model: a folder in Hugging Face layout, or a `.gguf` file.

use crate::arch::{self, Family};
use crate::config::Config;
use crate::error::Error;
use crate::model::Model;
use crate::ops::packed::Products;
use crate::weights::{Adapters, GgufFile, Rows, SafetensorsFolder, WeightFile, Weights};
use candle_core::{DType, Device};
use entrace_backend::ModelInfo;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// How a model is loaded and run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The model whose adapters the path holds, if it holds adapters only.
    pub base: Option<PathBuf>,
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
        Self {
            base: None,
            dtype: StorageType::F32,
            device: DeviceKind::Cpu,
            max_rows: 1024,
            max_sequences: 64,
        }
    }
}

/// What matrices are kept in, and what their products are made of. On the CPU sums are float32 in every case; products are in the fastest
/// instructions that keep what is said here ([`StorageType::product_rate`] tells which, and how fast).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageType {
    /// float32; bfloat16 where that is as exact and the processor's matrix tiles take it, and quantised where a GGUF file has them so, with the
    /// numbers that they are in float32.
    F32,
    /// bfloat16.
    BF16,
    /// bfloat16, and on the CPU what is multiplied with the matrices is rounded to it too: less exact, and faster on processors that
    /// multiply such numbers (AMX, AVX-512 BF16).
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

    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::BF16 | Self::BF16Products => DType::BF16,
            Self::F16 => DType::F16,
        }
    }

    pub(crate) fn products(self) -> Products {
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
            problem: format!("{problem} (entrace must be built with the feature {feature})"),
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
    notes: Vec<String>,
}

const TIED_AND_NOT: &str = "the configuration says that the output head is the embedding, but there is a head of its own in the weights: \
                            it is used, as transformers does";

/// A model's files, opened.
pub(crate) enum Files {
    Folder(SafetensorsFolder),
    Gguf(GgufFile),
    Adapted { base: PathBuf, model: Box<Files>, adapters: Adapters },
}

impl Files {
    /// Opens what is at a path; `base` is the model that adapters belong to.
    pub(crate) fn open(path: &Path, base: Option<&Path>) -> Result<Self, Error> {
        let refuse = |problem: String| Err(Error::NotAModel { path: path.to_path_buf(), problem });
        if let Some(base) = base {
            if !Adapters::are_alone_in(path) {
                return refuse("it is no folder of adapters, and only those have a base model".into());
            }
            let model = Box::new(Self::open(base, None)?);
            let adapters = Adapters::open(path, model.as_ref())?;
            return Ok(Self::Adapted { base: base.to_path_buf(), model, adapters });
        }
        if Adapters::are_alone_in(path) {
            let base = Adapters::base_of(path)?;
            return refuse(format!("it holds adapters of {base} only, and needs that model as its base"));
        }
        if path.is_dir() {
            return Ok(Self::Folder(SafetensorsFolder::open(path)?));
        }
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf")) {
            return Ok(Self::Gguf(GgufFile::open(path)?));
        }
        refuse(if path.exists() {
            "expected a folder with config.json and *.safetensors, or a .gguf file".into()
        } else {
            "no such file or folder".into()
        })
    }

    fn config(&self, path: &Path) -> Result<Config, Error> {
        match self {
            Self::Folder(_) if !path.join("config.json").is_file() => Err(Error::NotAModel {
                path: path.to_path_buf(),
                problem: "there is no config.json in it".into(),
            }),
            Self::Folder(_) => Config::read(&path.join("config.json")),
            Self::Gguf(file) => file.config(),
            Self::Adapted { base, model, .. } => model.config(base),
        }
    }

    fn fingerprint(&self, hasher: &mut Sha256) {
        match self {
            Self::Folder(folder) => folder.fingerprint(hasher),
            Self::Gguf(file) => file.fingerprint(hasher),
            Self::Adapted { model, adapters, .. } => {
                model.fingerprint(hasher);
                adapters.file().fingerprint(hasher);
            }
        }
    }
}

impl WeightFile for Files {
    fn path(&self) -> &Path {
        match self {
            Self::Folder(folder) => folder.path(),
            Self::Gguf(file) => file.path(),
            Self::Adapted { model, .. } => model.path(),
        }
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match self {
            Self::Folder(folder) => folder.shape(name),
            Self::Gguf(file) => file.shape(name),
            Self::Adapted { model, adapters, .. } => adapters.shape(name, model.as_ref()),
        }
    }

    fn rows(&self, name: &str) -> Result<Rows<'_>, Error> {
        match self {
            Self::Folder(folder) => folder.rows(name),
            Self::Gguf(file) => file.rows(name),
            Self::Adapted { model, adapters, .. } => adapters.rows(name, model.as_ref()),
        }
    }

    fn let_go(&self, name: &str) {
        match self {
            Self::Folder(folder) => folder.let_go(name),
            Self::Gguf(file) => file.let_go(name),
            Self::Adapted { model, adapters, .. } => adapters.let_go(name, model.as_ref()),
        }
    }

    fn same(&self, a: &str, b: &str) -> bool {
        match self {
            Self::Folder(folder) => folder.same(a, b),
            Self::Gguf(file) => file.same(a, b),
            Self::Adapted { model, adapters, .. } => adapters.same(a, b, model.as_ref()),
        }
    }
}

impl Decoder {
    /// Loads a model; `name` is how the user named it.
    pub fn open(name: &str, path: &Path, options: Options) -> Result<Self, Error> {
        let files = Files::open(path, options.base.as_deref())?;
        Self::from_files(name, path, &files, options)
    }

    pub(crate) fn from_files(
        name: &str,
        path: &Path,
        files: &Files,
        options: Options,
    ) -> Result<Self, Error> {
        let config = files.config(path)?;
        let (family, spec) = arch::read_spec(&config)?;
        let options = Options {
            max_rows: options.max_rows.max(1),
            max_sequences: options.max_sequences.max(1),
            ..options
        };
        let device = options.device.open()?;
        let tied = spec.tie_word_embeddings;
        let weights = Weights::new(files, options.dtype.dtype(), options.dtype.products(), &device);
        let model = Model::load(spec, &weights, options.dtype.dtype(), &device)?;
        let mut notes = Vec::new();
        if tied && !model.spec().tie_word_embeddings {
            notes.push(TIED_AND_NOT.into());
        }
        let mut hasher = Sha256::new();
        hasher.update(format!("{:?}", model.spec()));
        files.fingerprint(&mut hasher);
        let info = ModelInfo {
            name: name.to_string(),
            architecture: family.model_type.to_string(),
            n_parameters: Some(model.n_parameters()),
            dtype: options.dtype.name().to_string(),
            device: options.device.name().to_string(),
            context_length: model.spec().context_length,
            vocab_size: model.spec().vocab_size,
            n_layers: Some(model.spec().n_layers()),
            model_hash: Some(base16ct::lower::encode_string(&hasher.finalize())),
            tokenizer_hash: None,
            template_hash: None,
        };
        Ok(Self { model, options, info, config, family, notes })
    }

    /// What identifies the model.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The model's own configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What its user should know of how its files were read.
    pub fn notes(&self) -> &[String] {
        &self.notes
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
