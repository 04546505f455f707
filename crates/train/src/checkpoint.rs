//! Checkpoints: folders in Hugging Face layout, written whole or not at all.
//!
//! ```text
//! config.json, model.safetensors            the model; adapters are merged
//! tokenizer.json, tokenizer_config.json, .. whatever text files the model came with
//! generation_config.json                    the tokens that end a text
//! trainer_state.json                        step, position in the data, settings
//! trainer_state.safetensors                 float32: trained weights weight.<name>, moments first.<name>, second.<name>
//! ```
//!
//! The last two are what resuming needs, and are left out where nobody will resume. They hold the weights once more because the model
//! may be exported in a shorter type, and because adapters are merged in it.

use crate::error::Error;
use crate::model::Model;
use crate::ops::numbers::{change, of_tensor};
use crate::optimizer::Moments;
use crate::order::Position;
use crate::weights::read_object;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Type of the numbers of an exported model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportType {
    /// float32.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half.
    F16,
}

impl ExportType {
    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::Bf16 => Dtype::BF16,
            Self::F16 => Dtype::F16,
        }
    }

    /// As configurations spell it.
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }

    fn bytes(self, numbers: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::Bf16 => numbers.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
            Self::F16 => numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        }
    }
}

/// Files of the text side, which go from checkpoint to checkpoint unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextFiles(pub BTreeMap<String, Vec<u8>>);

/// Files of the text side that a folder may have.
const TEXT_FILES: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
];

impl TextFiles {
    /// Those that a folder has.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        for name in TEXT_FILES {
            let path = folder.join(name);
            if path.is_file() {
                files.insert(name.to_string(), std::fs::read(&path).map_err(Error::io("read", &path))?);
            }
        }
        Ok(Self(files))
    }

    /// Writes them into a folder, which is made if it is not there.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        for (name, bytes) in &self.0 {
            write_file(&folder.join(name), bytes)?;
        }
        Ok(())
    }
}

/// Where training stands, beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) format_version: u32,
    /// Updates so far, skipped ones included.
    pub(crate) step: u64,
    /// Updates that the optimizer has made.
    pub(crate) n_updates: u64,
    pub(crate) position: Position,
    pub(crate) n_tokens: u64,
    pub(crate) elapsed_secs: f64,
    /// Updates that were left out because a number was not finite.
    pub(crate) n_skipped: u64,
    pub(crate) data_sha256: String,
    /// Fingerprint of the model that training started from; absent in older checkpoints.
    #[serde(default)]
    pub(crate) model_sha256: Option<String>,
    /// Whether the next checkpoint replaces this one.
    #[serde(default)]
    pub(crate) rolling: bool,
    pub(crate) settings: Value,
}

/// Version of `trainer_state.json`.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// How the name of a checkpoint ends while it is being written.
const TEMPORARY: &str = ".entrace-tmp";

/// Writes a checkpoint under a temporary name and renames it; one of the same name is replaced.
pub(crate) fn write(
    folder: &Path,
    model: &Model,
    texts: &TextFiles,
    export: ExportType,
    state: Option<(&Progress, &Moments)>,
) -> Result<(), Error> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.with_file_name(format!(".{name}{TEMPORARY}"));
    remove_folder(&temporary)?;
    texts.write(&temporary)?;
    write_model(&temporary, model, texts, export)?;
    if let Some((progress, moments)) = state {
        write_state(&temporary, model, progress, moments)?;
    }
    remove_at_once(folder)?;
    std::fs::rename(&temporary, folder).map_err(Error::io("create", folder))
}

/// Removes a folder under a temporary name, so that one killed halfway does not leave a part of a checkpoint behind.
fn remove_at_once(folder: &Path) -> Result<(), Error> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let passing = folder.with_file_name(format!(".{name}.passed{TEMPORARY}"));
    remove_folder(&passing)?;
    match std::fs::rename(folder, &passing) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        renamed => renamed.map_err(Error::io("remove", folder)).and_then(|()| remove_folder(&passing)),
    }
}

fn remove_folder(folder: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder)(e)),
        _ => Ok(()),
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(Error::io("write", path))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| Error::io("write", path)(e.into()))?;
    text.push(b'\n');
    write_file(path, &text)
}

fn write_model(folder: &Path, model: &Model, texts: &TextFiles, export: ExportType) -> Result<(), Error> {
    let mut config = model.config().clone();
    config.remove("torch_dtype");
    config.insert("dtype".into(), export.name().into());
    write_json(&folder.join("config.json"), &config)?;
    if !texts.0.contains_key("generation_config.json") {
        let ids = ["bos_token_id", "eos_token_id"];
        let known = ids.iter().filter_map(|key| Some((key.to_string(), config.get(*key)?.clone())));
        write_json(&folder.join("generation_config.json"), &known.collect::<Map<_, _>>())?;
    }
    let merged = model.merged()?;
    let weights = merged.iter().zip(model.specs());
    let weights =
        weights.map(|((name, numbers), spec)| (name.clone(), spec.dims.clone(), export.bytes(numbers)));
    write_safetensors(&folder.join("model.safetensors"), export.dtype(), &weights.collect::<Vec<_>>())
}

fn write_state(folder: &Path, model: &Model, progress: &Progress, moments: &Moments) -> Result<(), Error> {
    write_json(&folder.join("trainer_state.json"), progress)?;
    let mut all = Vec::new();
    for ((trained, first), second) in model.trained().iter().zip(&moments.first).zip(&moments.second) {
        let weight = of_tensor(&trained.tensor)?.to_vec();
        for (what, numbers) in [("weight", &weight), ("first", first), ("second", second)] {
            let name = format!("{what}.{}", trained.name);
            all.push((name, trained.tensor.dims().to_vec(), ExportType::F32.bytes(numbers)));
        }
    }
    write_safetensors(&folder.join("trainer_state.safetensors"), Dtype::F32, &all)
}

fn write_safetensors(path: &Path, dtype: Dtype, all: &[(String, Vec<usize>, Vec<u8>)]) -> Result<(), Error> {
    let broken = |e: safetensors::SafeTensorError| Error::io("write", path)(std::io::Error::other(e));
    let views: Vec<(&str, TensorView<'_>)> = all
        .iter()
        .map(|(name, dims, bytes)| Ok((name.as_str(), TensorView::new(dtype, dims.clone(), bytes)?)))
        .collect::<Result<_, _>>()
        .map_err(broken)?;
    let format = std::collections::HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes = safetensors::serialize(views, Some(format)).map_err(broken)?;
    write_file(path, &bytes)
}

/// Reads where training stood and sets the model's trained weights to what they were.
pub(crate) fn read_state(folder: &Path, model: &Model) -> Result<(Progress, Moments), Error> {
    let refuse = |problem: String| Error::Resume { path: folder.to_path_buf(), problem };
    let json = read_object(&folder.join("trainer_state.json"))
        .map_err(|e| refuse(format!("it has no trainer state ({e})")))?;
    if json.get("format_version") != Some(&json!(FORMAT_VERSION)) {
        return Err(refuse("its trainer state was written by another version".into()));
    }
    let progress: Progress =
        serde_json::from_value(Value::Object(json)).map_err(|e| refuse(e.to_string()))?;
    let path = folder.join("trainer_state.safetensors");
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| refuse(e.to_string()))?;
    let mut moments = Moments::new(model.trained());
    moments.n_updates = progress.n_updates;
    for (index, trained) in model.trained().iter().enumerate() {
        let read =
            |what: &str| read_numbers(&file, &format!("{what}.{}", trained.name), trained.tensor.dims());
        let weight = read("weight").map_err(refuse)?;
        change(&trained.tensor, |numbers| numbers.copy_from_slice(&weight))?;
        moments.first[index] = read("first").map_err(refuse)?;
        moments.second[index] = read("second").map_err(refuse)?;
    }
    Ok((progress, moments))
}

fn read_numbers(file: &SafeTensors<'_>, name: &str, dims: &[usize]) -> Result<Vec<f32>, String> {
    let view = file.tensor(name).map_err(|_| format!("{name} is missing in its trainer state"))?;
    if view.shape() != dims || view.dtype() != Dtype::F32 {
        return Err(format!("{name} has another shape in its trainer state"));
    }
    Ok(view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Whether a checkpoint's model has numbers of this type.
pub(crate) fn is_exported_as(folder: &Path, export: ExportType) -> bool {
    let config = read_object(&folder.join("config.json")).unwrap_or_default();
    config.get("dtype").and_then(Value::as_str) == Some(export.name())
}

/// Removes what `newest` replaces: rolling checkpoints, and what was being written or removed when a training was killed.
pub(crate) fn remove_passed(output: &Path, newest: &Path) -> Result<(), Error> {
    let is_rolling = |folder: &Path| {
        let state = read_object(&folder.join("trainer_state.json")).unwrap_or_default();
        state.get("rolling") == Some(&Value::Bool(true))
    };
    for (_, folder) in checkpoints(output).into_iter().filter(|(_, folder)| folder != newest) {
        if is_rolling(&folder) {
            remove_at_once(&folder)?;
        }
    }
    let is_left_over = |name: &str| name.starts_with(".step-") && name.ends_with(TEMPORARY);
    for (_, folder) in folders(output).into_iter().filter(|(name, _)| is_left_over(name)) {
        remove_folder(&folder)?;
    }
    Ok(())
}

/// The last checkpoint in the folder of a training from which it can be resumed.
pub fn last_resumable(output: &Path) -> Option<PathBuf> {
    let mut found = checkpoints(output);
    found.retain(|(_, folder)| folder.join("trainer_state.json").is_file());
    found.into_iter().max().map(|(_, folder)| folder)
}

/// The checkpoints of a training, with the updates before each.
fn checkpoints(output: &Path) -> Vec<(u64, PathBuf)> {
    let step = |name: &str| name.strip_prefix("step-")?.parse().ok();
    folders(output).into_iter().filter_map(|(name, folder)| Some((step(&name)?, folder))).collect()
}

fn folders(output: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(output).into_iter().flatten().flatten();
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect()
}

/// Folder of the checkpoint after `step` updates.
pub fn step_folder(output: &Path, step: u64) -> PathBuf {
    output.join(format!("step-{step:06}"))
}
