//! The model that a flag names, opened.

use crate::args::{DeviceArg, Dtype, ModelArgs};
use crate::exit::{InSetUp, SetUp};
use anyhow::Result;
use entrace_backend::ModelInfo;
use entrace_decoder::{Decoder, DeviceKind, LanguageModel, Options, StorageType};
use entrace_hub::{Kind, Name, fetch, is_model_file};
use entrace_record::manifest::ModelRecord;
use std::path::{Path, PathBuf};

/// A name, where its files are, and the Hub's revision if they came from there.
pub(crate) struct Located {
    name: String,
    path: PathBuf,
    revision: Option<String>,
}

/// Finds the files of a model, downloading them if need be.
pub(crate) fn locate(args: &ModelArgs) -> Result<Located> {
    let name = args.model.clone().ok_or_else(|| {
        SetUp(
            "--model is missing: a folder in Hugging Face layout, a .gguf file, or org/name on the Hub"
                .into(),
        )
    })?;
    let path = Path::new(&name);
    if path.exists() {
        return Ok(Located { path: path.to_path_buf(), name, revision: None });
    }
    let hub_name = Name::parse(&name)?;
    let folder = fetch(Kind::Model, &hub_name, is_model_file, "config.json, tokenizer.json, *.safetensors")?;
    let commit = folder.file_name().map(|commit| commit.to_string_lossy().into_owned());
    Ok(Located { name, path: folder, revision: commit })
}

fn options(args: &ModelArgs) -> Options {
    let dtype = match args.dtype {
        Dtype::F32 => StorageType::F32,
        Dtype::Bf16 => StorageType::BF16,
        Dtype::F16 => StorageType::F16,
    };
    let device = match args.device {
        DeviceArg::Cpu => DeviceKind::Cpu,
        DeviceArg::Cuda => DeviceKind::Cuda,
        DeviceArg::Metal => DeviceKind::Metal,
    };
    Options { dtype, device, ..Options::default() }
}

/// Opens a model with its tokenizer.
pub(crate) fn open(args: &ModelArgs) -> Result<(LanguageModel, Option<String>)> {
    let located = locate(args)?;
    let now = jiff::Zoned::now().datetime();
    let model = LanguageModel::open(&located.name, &located.path, options(args), now).in_set_up()?;
    Ok((model, located.revision))
}

/// Opens a model without its text side.
pub(crate) fn open_decoder(args: &ModelArgs) -> Result<Decoder> {
    let located = locate(args)?;
    Decoder::open(&located.name, &located.path, options(args)).in_set_up()
}

/// The model as the manifest records it.
pub(crate) fn record(info: &ModelInfo, revision: Option<String>) -> ModelRecord {
    ModelRecord {
        name: info.name.clone(),
        revision,
        architecture: info.architecture.clone(),
        n_parameters: info.n_parameters,
        dtype: info.dtype.clone(),
        device: info.device.clone(),
        context_length: info.context_length,
        model_hash: info.model_hash.clone(),
        tokenizer_hash: info.tokenizer_hash.clone(),
        template_hash: info.template_hash.clone(),
    }
}
