//! The local engine: transformer decoders that score token trees on the CPU or a GPU.
//!
//! From a model's files to numbers: `config` and `arch` turn `config.json` into a `spec`; `weights` reads safetensors and GGUF;
//! `model` is the forward pass over `cache` and `ops`; `row` reads logits; `tree`, `generate` and `layers` are what [`LanguageModel`] and [`Decoder`] can do
//! (the traits of `entrace_backend`); `rate` measures the processor; the text side is crate `text`'s. Everything here is our own on candle's tensors; no
//! Python is involved.

pub mod arch;
mod attention;
mod cache;
pub mod config;
mod decoder;
mod error;
mod generate;
mod language;
mod layers;
mod mlp;
mod model;
mod ops;
mod passes;
mod rate;
pub mod rope;
mod row;
mod sampler;
mod sequence;
mod shared;
pub mod spec;
mod tree;
mod weights;

pub use decoder::{Decoder, DeviceKind, Options, StorageType};
pub use error::Error;
pub use language::{LanguageModel, open_text};
pub use model::Model;
pub use rate::ProductRate;
pub use row::LogitRow;
