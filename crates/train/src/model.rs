//! The trainable model: LLaMA's and Qwen-2's forward pass on candle's autograd, float32 on the CPU.
//!
//! tokens of a pack `[T]` -> embeddings `[T, E]` -> L times { x += o(attention(rope(q), rope(k), v)); x += down(silu(gate)·up) }, each
//! part of rms_norm(x) -> norm -> for the scored rows ln p(target) and entropy, `[2, R]` in nats.
//!
//! Weights have the names of checkpoints. All of them are trained, or only adapters beside the linear maps (see `lora`).

use crate::error::Error;
use crate::lora::{self, Adapter, Lora};
use crate::ops::attention::Attention;
use crate::ops::gather::gather;
use crate::ops::linear::linear;
use crate::ops::norm::rms_norm;
use crate::ops::numbers;
use crate::ops::rope::{Angles, rope};
use crate::ops::scores::token_scores;
use crate::ops::swiglu::swiglu;
use crate::sequence::Pack;
use crate::shape::{Kind, Shape, WeightSpec};
use crate::{init, weights};
use candle_core::{Result as TensorResult, Tensor, Var};
use rayon::prelude::*;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A weight that training changes.
#[derive(Debug, Clone)]
pub(crate) struct Trained {
    pub(crate) name: String,
    pub(crate) tensor: Tensor,
    pub(crate) kind: Kind,
}

/// A model that can be trained.
#[derive(Debug)]
pub struct Model {
    shape: Shape,
    config: Map<String, Value>,
    specs: Vec<WeightSpec>,
    /// By checkpoint key.
    weights: BTreeMap<String, Tensor>,
    /// By the checkpoint key of the map that they stand beside.
    adapters: BTreeMap<String, Adapter>,
    trained: Vec<Trained>,
    layers: Vec<Layer>,
}

/// Which weights are trained.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adaptation {
    /// All.
    Full,
    /// Low-rank adapters.
    Lora(Lora),
}

impl Model {
    /// A model with random weights. The same seed gives the same weights.
    pub fn from_scratch(config: Map<String, Value>, seed: u64) -> Result<Self, Error> {
        let shape = Shape::read(Path::new("config.json"), &config)?;
        let residual_scale = init::residual_scale(shape.n_layers);
        let numbers = |spec: &WeightSpec| Ok(init::weight(spec, residual_scale, seed));
        Self::build(shape, config, &Adaptation::Full, seed, numbers)
    }

    /// Loads a folder in Hugging Face layout. The seed is that of new adapters.
    pub fn load(folder: &Path, adaptation: &Adaptation, seed: u64) -> Result<Self, Error> {
        let path = folder.join("config.json");
        let config = weights::read_object(&path)?;
        let shape = Shape::read(&path, &config)?;
        let file = weights::WeightFolder::open(folder)?;
        Self::build(shape, config, adaptation, seed, |spec| file.read(spec))
    }

    /// A copy that is not trained and does not change when this one does: the reference of reinforcement learning.
    pub fn frozen_copy(&self) -> Result<Self, Error> {
        let merged: BTreeMap<String, Vec<f32>> = self.merged()?.into_iter().collect();
        let mut model = Self::build(self.shape.clone(), self.config.clone(), &Adaptation::Full, 0, |spec| {
            Ok(merged.get(&spec.name).cloned().unwrap_or_default())
        })?;
        for tensor in model.weights.values_mut() {
            *tensor = tensor.detach();
        }
        model.trained.clear();
        model.layers = model.link_layers()?;
        Ok(model)
    }

    fn build(
        shape: Shape,
        config: Map<String, Value>,
        adaptation: &Adaptation,
        seed: u64,
        numbers: impl Fn(&WeightSpec) -> Result<Vec<f32>, Error>,
    ) -> Result<Self, Error> {
        let specs = shape.weights();
        let mut model = Self {
            shape,
            config,
            specs: specs.clone(),
            weights: BTreeMap::new(),
            adapters: BTreeMap::new(),
            trained: Vec::new(),
            layers: Vec::new(),
        };
        for spec in &specs {
            let tensor = numbers::tensor(numbers(spec)?, spec.dims.as_slice())?;
            let tensor = match adaptation {
                Adaptation::Full => model.train(&spec.name, spec.kind, &tensor)?,
                Adaptation::Lora(_) => tensor,
            };
            model.weights.insert(spec.name.clone(), tensor);
        }
        if let Adaptation::Lora(lora) = adaptation {
            model.add_adapters(lora, seed)?;
        }
        model.layers = model.link_layers()?;
        Ok(model)
    }

    fn train(&mut self, name: &str, kind: Kind, tensor: &Tensor) -> Result<Tensor, Error> {
        let tensor = Var::from_tensor(tensor)?.into_inner();
        self.trained.push(Trained { name: name.to_string(), tensor: tensor.clone(), kind });
        Ok(tensor)
    }

    fn add_adapters(&mut self, lora: &Lora, seed: u64) -> Result<(), Error> {
        lora.check()?;
        for spec in self.specs.clone().iter().filter(|spec| lora.adapts(&spec.name)) {
            let (a, b) = lora.start(spec, seed)?;
            let a = self.train(&lora::name(&spec.name, "lora_A"), Kind::Matrix, &a)?;
            let b = self.train(&lora::name(&spec.name, "lora_B"), Kind::Matrix, &b)?;
            self.adapters.insert(spec.name.clone(), Adapter { a, b, scale: lora.scale() });
        }
        Ok(())
    }

    fn weight(&self, name: &str) -> Result<Tensor, Error> {
        let missing =
            || Error::Weight { path: "model".into(), name: name.into(), problem: "is missing".into() };
        self.weights.get(name).cloned().ok_or_else(missing)
    }

    fn map(&self, layer: usize, part: &str) -> Result<LinearMap, Error> {
        let name = format!("model.layers.{layer}.{part}");
        let weight = format!("{name}.weight");
        Ok(LinearMap {
            bias: self.weights.get(&format!("{name}.bias")).cloned(),
            adapter: self.adapters.get(&weight).cloned(),
            weight: self.weight(&weight)?,
        })
    }

    fn link_layers(&self) -> Result<Vec<Layer>, Error> {
        let layer = |index: usize| {
            let norm = |part: &str| self.weight(&format!("model.layers.{index}.{part}.weight"));
            Ok(Layer {
                input_layernorm: norm("input_layernorm")?,
                q_proj: self.map(index, "self_attn.q_proj")?,
                k_proj: self.map(index, "self_attn.k_proj")?,
                v_proj: self.map(index, "self_attn.v_proj")?,
                o_proj: self.map(index, "self_attn.o_proj")?,
                post_attention_layernorm: norm("post_attention_layernorm")?,
                gate_proj: self.map(index, "mlp.gate_proj")?,
                up_proj: self.map(index, "mlp.up_proj")?,
                down_proj: self.map(index, "mlp.down_proj")?,
            })
        };
        (0..self.shape.n_layers).map(layer).collect()
    }

    /// Number of weights.
    pub fn n_parameters(&self) -> usize {
        self.weights.values().map(Tensor::elem_count).sum()
    }

    /// Number of weights that are trained.
    pub fn n_trained(&self) -> usize {
        self.trained.iter().map(|trained| trained.tensor.elem_count()).sum()
    }

    /// Most tokens of a sequence.
    pub fn context_length(&self) -> usize {
        self.shape.context_length
    }

    /// `config.json`.
    pub fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    pub(crate) fn trained(&self) -> &[Trained] {
        &self.trained
    }

    /// Whether every trained weight is a number.
    pub(crate) fn is_finite(&self) -> bool {
        let finite =
            |tensor: &Tensor| numbers::of_tensor(tensor).is_ok_and(|all| all.iter().all(|x| x.is_finite()));
        self.trained.iter().all(|trained| finite(&trained.tensor))
    }

    /// SHA-256 over all weights and adapters.
    pub(crate) fn fingerprint(&self) -> Result<String, Error> {
        let frozen = self.weights.par_iter().map(|(name, tensor)| hash_of(name, tensor));
        let mut all: Vec<[u8; 32]> = frozen.collect::<Result<_, Error>>()?;
        for (name, adapter) in &self.adapters {
            all.extend([hash_of(name, &adapter.a)?, hash_of(name, &adapter.b)?]);
            all.push(Sha256::digest(adapter.scale.to_le_bytes()).into());
        }
        Ok(base16ct::lower::encode_string(&Sha256::digest(all.concat())))
    }

    pub(crate) fn specs(&self) -> &[WeightSpec] {
        &self.specs
    }

    /// Every weight by its checkpoint key in the order of checkpoints, adapters added to the maps beside which they stand.
    pub(crate) fn merged(&self) -> Result<Vec<(String, Vec<f32>)>, Error> {
        self.specs
            .iter()
            .map(|spec| {
                let weight = self.weight(&spec.name)?;
                let mut all = numbers::of_tensor(&weight)?.to_vec();
                if let Some(adapter) = self.adapters.get(&spec.name) {
                    adapter.add_to(&mut all)?;
                }
                Ok((spec.name.clone(), all))
            })
            .collect()
    }

    /// Log-probabilities and entropies of the pack's targets, `[2, R]`.
    pub(crate) fn scores(&self, pack: &Pack) -> Result<Tensor, Error> {
        let hidden = gather(&self.hidden(pack)?, &pack.rows)?;
        let name =
            if self.shape.tie_word_embeddings { "model.embed_tokens.weight" } else { "lm_head.weight" };
        Ok(token_scores(&hidden, &self.weight(name)?, &pack.targets)?)
    }

    /// Hidden states after the final norm, `[T, E]`.
    fn hidden(&self, pack: &Pack) -> Result<Tensor, Error> {
        let (cos, sin) = self.shape.rope.angles(&pack.positions, &pack.lengths);
        let shared = PassContext {
            angles: Arc::new(Angles { cos, sin, half: self.shape.head_dim / 2 }),
            attention: Attention {
                n_heads: self.shape.n_heads,
                n_kv_heads: self.shape.n_kv_heads,
                head_dim: self.shape.head_dim,
                scale: (self.shape.head_dim as f32).powf(-0.5),
                documents: pack.documents.clone(),
            },
            eps: self.shape.rms_norm_eps,
        };
        let mut hidden = gather(&self.weight("model.embed_tokens.weight")?, &pack.token_ids)?;
        for layer in &self.layers {
            hidden = layer.forward(&hidden, &shared)?;
        }
        Ok(rms_norm(&hidden, &self.weight("model.norm.weight")?, self.shape.rms_norm_eps)?)
    }
}

/// Numbers that are hashed at a time.
const HASHED: usize = 1 << 14;

fn hash_of(name: &str, tensor: &Tensor) -> Result<[u8; 32], Error> {
    let mut hasher = Sha256::new_with_prefix(name);
    let numbers = numbers::of_tensor(tensor)?;
    for part in numbers.chunks(HASHED) {
        hasher.update(part.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    }
    Ok(hasher.finalize().into())
}

/// What all layers of a pass share.
struct PassContext {
    angles: Arc<Angles>,
    attention: Attention,
    eps: f64,
}

/// A linear map with what stands beside it.
#[derive(Debug)]
struct LinearMap {
    weight: Tensor,
    bias: Option<Tensor>,
    adapter: Option<Adapter>,
}

impl LinearMap {
    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let mut y = linear(x, &self.weight)?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(bias)?;
        }
        match &self.adapter {
            Some(adapter) => y + adapter.forward(x)?,
            None => Ok(y),
        }
    }
}

#[derive(Debug)]
struct Layer {
    input_layernorm: Tensor,
    q_proj: LinearMap,
    k_proj: LinearMap,
    v_proj: LinearMap,
    o_proj: LinearMap,
    post_attention_layernorm: Tensor,
    gate_proj: LinearMap,
    up_proj: LinearMap,
    down_proj: LinearMap,
}

impl Layer {
    fn forward(&self, hidden: &Tensor, shared: &PassContext) -> TensorResult<Tensor> {
        let x = rms_norm(hidden, &self.input_layernorm, shared.eps)?;
        let q = rope(&self.q_proj.forward(&x)?, &shared.angles)?;
        let k = rope(&self.k_proj.forward(&x)?, &shared.angles)?;
        let attended = shared.attention.apply(&q, &k, &self.v_proj.forward(&x)?)?;
        let hidden = (hidden + self.o_proj.forward(&attended)?)?;
        let x = rms_norm(&hidden, &self.post_attention_layernorm, shared.eps)?;
        let x = swiglu(&self.gate_proj.forward(&x)?, &self.up_proj.forward(&x)?)?;
        hidden + self.down_proj.forward(&x)?
    }
}
