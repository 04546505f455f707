//! Low-rank adapters (LoRA) as peft saves them, merged into the model that they were trained on.
//!
//! A matrix W `[out, in]` becomes W + s·B·A, with A `[r, in]`, B `[out, r]` and s = α/r, or α/√r where the configuration says
//! `use_rslora`. Ranks and α may differ by module. Weights that were trained as a whole (`modules_to_save`) take the place of the
//! model's. What is more than a sum is refused by name.
//! Source: Hu et al. 2021; peft's `LoraConfig` for the meaning of every key.

use super::{Rows, SafetensorsFolder, WeightFile};
use crate::config::Config;
use crate::error::Error;
use candle_core::{Device, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What peft puts before the names of the model.
const PREFIX: &str = "base_model.model.";
const EMBEDDINGS: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// A folder of adapters.
pub(crate) struct Adapters {
    file: SafetensorsFolder,
    alpha: f64,
    by_root_of_rank: bool,
    transposed: bool,
    alphas: BTreeMap<String, f64>,
    /// The model's weights that adapters change, with peft's names.
    changes: BTreeMap<String, Change>,
}

/// What happens to a weight, by names in the adapters' file.
#[derive(Default)]
struct Change {
    /// What takes its place.
    whole: Option<String>,
    /// A and B of what is added.
    product: Option<(String, String)>,
}

impl Adapters {
    /// Whether a folder holds adapters and no model of its own.
    pub(crate) fn are_alone_in(folder: &Path) -> bool {
        folder.join(CONFIG).is_file() && !folder.join("config.json").is_file()
    }

    /// The model that adapters were trained on, as their configuration names it.
    pub(crate) fn base_of(folder: &Path) -> Result<String, Error> {
        let config = Config::read(&folder.join(CONFIG))?;
        Ok(config.opt_str("base_model_name_or_path")?.unwrap_or("a model that is not named").to_string())
    }

    /// Opens a folder of adapters for a model with the given weights.
    pub(crate) fn open(folder: &Path, model: &dyn WeightFile) -> Result<Self, Error> {
        let config = Config::read(&folder.join(CONFIG))?;
        refuse_what_is_no_sum(&config)?;
        let file = SafetensorsFolder::open_file(&folder.join(WEIGHTS))?;
        let mut adapters = Self {
            alpha: config.f64("lora_alpha")?,
            by_root_of_rank: config.bool_or("use_rslora", false)?,
            transposed: config.bool_or("fan_in_fan_out", false)?,
            alphas: pattern(&config, "alpha_pattern")?,
            changes: BTreeMap::new(),
            file,
        };
        for name in adapters.file.names() {
            let Some((weight, part)) = part(&name) else { continue };
            let change = adapters.changes.entry(weight).or_default();
            match part {
                Part::Whole => change.whole = Some(name),
                Part::Product { b } => change.product = Some((name, b)),
            }
        }
        adapters.check_against(folder, model)?;
        Ok(adapters)
    }

    fn check_against(&self, folder: &Path, model: &dyn WeightFile) -> Result<(), Error> {
        let refuse = |problem: String| Err(Error::NotAModel { path: folder.to_path_buf(), problem });
        if self.changes.is_empty() {
            return refuse("there are no adapters of a language model in it".into());
        }
        let has = |name: &str| self.shape(name, model).is_some();
        if let Some(weight) = self.changes.keys().find(|weight| !has(weight)) {
            return refuse(format!("it changes {weight}, which the base model does not have"));
        }
        let embeddings = self.changes.get(EMBEDDINGS).is_some_and(|change| change.product.is_some());
        if embeddings && !has(HEAD) {
            return refuse(
                "it adapts embeddings that are also the output head, which is not supported".into(),
            );
        }
        Ok(())
    }

    /// The opened file.
    pub(crate) fn file(&self) -> &SafetensorsFolder {
        &self.file
    }

    /// Shape of a weight of the adapted model.
    pub(crate) fn shape(&self, name: &str, model: &dyn WeightFile) -> Option<Vec<usize>> {
        match self.whole(name) {
            Some(whole) => self.file.shape(whole),
            None => model.shape(name),
        }
    }

    fn whole(&self, name: &str) -> Option<&str> {
        self.changes.get(name)?.whole.as_deref()
    }

    /// Whether two weights of the adapted model are known to be the same.
    pub(crate) fn same(&self, a: &str, b: &str, model: &dyn WeightFile) -> bool {
        let changed = [a, b].iter().any(|name| self.changes.contains_key(*name));
        !changed && model.same(a, b)
    }

    /// A weight of the model with what its adapter adds.
    pub(crate) fn rows<'a>(&'a self, name: &str, model: &'a dyn WeightFile) -> Result<Rows<'a>, Error> {
        let own = match self.whole(name) {
            Some(whole) => self.file.rows(whole)?,
            None => model.rows(name)?,
        };
        let Some((a, b)) = self.changes.get(name).and_then(|change| change.product.as_ref()) else {
            return Ok(own);
        };
        let shape = self.shape(name, model).unwrap_or_default();
        let (rank, product) = self.product(name, a, b, &shape)?;
        let sum = (in_float32(&own, &shape)? + (product * self.scale(name, rank))?)?;
        Ok(Rows::computed(sum.flatten_all()?.to_vec1()?, shape[1]))
    }

    /// As for any file of weights.
    pub(crate) fn let_go(&self, name: &str, model: &dyn WeightFile) {
        match self.whole(name) {
            Some(whole) => self.file.let_go(whole),
            None => model.let_go(name),
        }
    }

    /// The rank and B·A, checked against the shape of what it is added to.
    fn product(&self, name: &str, a: &str, b: &str, shape: &[usize]) -> Result<(usize, Tensor), Error> {
        let of = |part: &str| self.file.shape(part).unwrap_or_default();
        let (of_a, of_b) = (of(a), of(b));
        let (&[rank, columns], &[rows, inner]) = (of_a.as_slice(), of_b.as_slice()) else {
            return Err(self.misfit(a, of_a, &[0, 0]));
        };
        if inner != rank {
            return Err(self.misfit(b, vec![rows, inner], &[rows, rank]));
        }
        // The embedding's adapter multiplies one-hot rows, so that its product is the other way round.
        let turned = self.transposed || a.contains("lora_embedding_A");
        let found = if turned { [columns, rows] } else { [rows, columns] };
        if found != *shape {
            return Err(self.misfit(name, found.to_vec(), shape));
        }
        let (b, a) = (in_float32(&self.file.rows(b)?, &of_b)?, in_float32(&self.file.rows(a)?, &of_a)?);
        let product = b.matmul(&a)?;
        Ok((rank, if turned { product.t()?.contiguous()? } else { product }))
    }

    fn misfit(&self, name: &str, found: Vec<usize>, expected: &[usize]) -> Error {
        Error::WrongShape {
            path: self.file.path().to_path_buf(),
            name: name.to_string(),
            found,
            expected: expected.to_vec(),
        }
    }

    fn scale(&self, name: &str, rank: usize) -> f64 {
        let module = name.trim_end_matches(".weight");
        let special = self.alphas.iter().find(|(pattern, _)| names_module(pattern, module));
        let alpha = special.map_or(self.alpha, |(_, &alpha)| alpha);
        alpha / if self.by_root_of_rank { (rank as f64).sqrt() } else { rank as f64 }
    }
}

/// peft's patterns are ends of module names; expressions among them are refused when they are read.
fn names_module(pattern: &str, module: &str) -> bool {
    module.strip_suffix(pattern).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn in_float32(rows: &Rows<'_>, shape: &[usize]) -> Result<Tensor, Error> {
    Ok(Tensor::from_vec(rows.read_all()?, shape, &Device::Cpu)?)
}

/// What a tensor of the adapters' file is to a weight.
enum Part {
    /// It takes its place.
    Whole,
    /// It is an A, whose B has this name.
    Product { b: String },
}

/// The weight that a tensor belongs to by peft's name for it, and what it is to it. A B goes with its A.
fn part(name: &str) -> Option<(String, Part)> {
    let own = name.strip_prefix(PREFIX)?;
    for (a, b) in [("lora_A.weight", "lora_B.weight"), ("lora_embedding_A", "lora_embedding_B")] {
        if let Some(module) = own.strip_suffix(a) {
            return Some((format!("{module}weight"), Part::Product { b: format!("{PREFIX}{module}{b}") }));
        }
        if own.ends_with(b) {
            return None;
        }
    }
    Some((own.replace(".modules_to_save", "").replace(".base_layer", ""), Part::Whole))
}

fn refuse_what_is_no_sum(config: &Config) -> Result<(), Error> {
    match config.opt_str("peft_type")? {
        Some("LORA") => {}
        other => {
            let found = other.unwrap_or("none");
            return Err(config.refuse("peft_type", format!("{found:?} is not supported, only LORA is")));
        }
    }
    if let Some(bias) = config.opt_str("bias")?.filter(|&bias| bias != "none") {
        return Err(config.refuse("bias", format!("{bias:?} is not supported")));
    }
    for key in ["use_dora", "lora_bias", "use_qalora"] {
        config.refuse_if_on(key)?;
    }
    for key in ["layer_replication", "trainable_token_indices", "target_parameters"] {
        match config.get(key) {
            Some(Value::Array(items)) if items.is_empty() => {}
            _ => config.refuse_if_present(key)?,
        }
    }
    Ok(())
}

fn pattern(config: &Config, key: &str) -> Result<BTreeMap<String, f64>, Error> {
    let Some(Value::Object(map)) = config.get(key) else { return Ok(BTreeMap::new()) };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let entry = |(module, value): (&String, &Value)| match value.as_f64() {
        Some(number) if module.chars().all(plain) => Ok((module.clone(), number)),
        _ => Err(config.refuse(key, format!("{module:?}: {value} is not supported"))),
    };
    map.iter().map(entry).collect()
}
