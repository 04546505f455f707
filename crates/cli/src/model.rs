//! The model that a flag names, opened.

use crate::args::{DeviceArg, Dtype, ModelArgs};
use crate::download::Download;
use crate::exit::{InSetUp, SetUp};
use crate::fault;
use crate::sprout;
use anyhow::Result;
use entrace_backend::{ChatMessage, Error, Role, Text};
use entrace_decoder::{Decoder, DeviceKind, LanguageModel, Options, StorageType};
use entrace_hub::{Hub, Name};
use entrace_remote::Endpoint;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A name, where its files are, and the Hub's revision if they came from there.
pub(crate) struct Located {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) revision: Option<String>,
    /// Keeps the files of an embedded model until they have been read.
    _unpacked: Option<TempDir>,
}

/// Finds the files of a model, downloading them if need be. The folder of a training stands for its last checkpoint.
pub(crate) fn locate(name: Option<&str>, quiet: bool) -> Result<Located> {
    let name = name.map(str::to_string).ok_or_else(|| {
        SetUp(
            "--model is missing: a folder in Hugging Face layout, a .gguf file, org/name on the Hub, or sprout"
                .into(),
        )
    })?;
    if Endpoint::is_meant(&name) {
        let problem = "a model behind a server can be measured (`entrace run`, `score`, `doctor`); this needs one that is loaded here";
        return Err(SetUp(problem.into()).into());
    }
    fault::doing(format!("opening the model {name}"));
    let path = Path::new(&name);
    if path.exists() {
        let trained = !path.join("config.json").exists() && path.join("metrics.jsonl").exists();
        let last = if trained { checkpoints(path).pop() } else { None };
        let path = last.unwrap_or_else(|| path.to_path_buf());
        return Ok(Located { path, name, revision: None, _unpacked: None });
    }
    if let Some(stage) = sprout::Stage::named(&name)? {
        let folder = stage.unpack()?;
        let path = folder.path().to_path_buf();
        return Ok(Located { name: stage.full_name(), path, revision: None, _unpacked: Some(folder) });
    }
    let fetched = Hub::from_env()?.model(&Name::parse(&name)?, &Download::new(quiet))?;
    Ok(Located { name, path: fetched.path, revision: Some(fetched.commit), _unpacked: None })
}

/// The checkpoints in the folder of a training, in order.
pub(crate) fn checkpoints(training: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(training).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_checkpoint = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("step-")).is_some()
    };
    let mut found: Vec<PathBuf> = entries.filter(is_checkpoint).collect();
    found.sort();
    found
}

fn options(args: &ModelArgs, base: Option<&Located>) -> Options {
    let dtype = match args.dtype {
        Dtype::F32 => StorageType::F32,
        Dtype::Bf16 => StorageType::BF16,
        Dtype::Bf16Products => StorageType::BF16Products,
        Dtype::F16 => StorageType::F16,
    };
    let device = match args.device {
        DeviceArg::Cpu => DeviceKind::Cpu,
        DeviceArg::Cuda => DeviceKind::Cuda,
        DeviceArg::Metal => DeviceKind::Metal,
    };
    Options { dtype, device, base: base.map(|base| base.path.clone()), ..Options::default() }
}

/// Opens a model with its tokenizer.
pub(crate) fn open(args: &ModelArgs, quiet: bool) -> Result<(LanguageModel, Option<String>)> {
    let located = locate(args.name(), quiet)?;
    let base = base(args, quiet)?;
    let now = jiff::Zoned::now().datetime();
    let options = options(args, base.as_ref());
    let model = LanguageModel::open(&located.name, &located.path, options, now).in_set_up()?;
    say_notes(model.decoder());
    Ok((model, located.revision))
}

/// Opens a model without its text side.
pub(crate) fn open_decoder(args: &ModelArgs) -> Result<Decoder> {
    let located = locate(args.name(), false)?;
    let base = base(args, false)?;
    let decoder = Decoder::open(&located.name, &located.path, options(args, base.as_ref())).in_set_up()?;
    say_notes(&decoder);
    Ok(decoder)
}

/// Refuses a chat template that cannot render a question. One that refuses the question does what it was written for.
pub(crate) fn check_template(text: &dyn Text) -> Result<()> {
    let question = ChatMessage { role: Role::User, content: "What is 2 + 2?".into() };
    match text.render_chat(&[question]) {
        Ok(_) | Err(Error::NoTemplate | Error::TemplateRefused(_)) => Ok(()),
        Err(error) => Err(error).in_set_up(),
    }
}

fn base(args: &ModelArgs, quiet: bool) -> Result<Option<Located>> {
    args.base.as_deref().map(|base| locate(Some(base), quiet)).transpose()
}

fn say_notes(decoder: &Decoder) {
    for note in decoder.notes() {
        crate::progress::print_line(&format!("note: {note}"));
    }
}

/// Whether a model could not be fetched, so that it has no other side to open.
pub(crate) fn could_not_be_fetched(error: &anyhow::Error) -> bool {
    error.is::<entrace_hub::Error>()
}
