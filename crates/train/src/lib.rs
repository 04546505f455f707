//! Small-scale training on the CPU.

mod checkpoint;
mod error;
mod examples;
mod fit;
#[cfg(test)]
mod goldens;
mod gradients;
mod init;
mod journal;
mod lora;
mod model;
mod ops;
mod optimizer;
mod order;
pub mod rl;
mod schedule;
mod scoring;
mod sequence;
mod shape;
mod trainer;
mod vocabulary;
mod weights;

pub use checkpoint::{ExportType, TextFiles, step_folder};
pub use error::Error;
pub use examples::{Encoded, Example, LossOn, encode, read_jsonl, strip_annotations};
pub use fit::{FitData, FitOptions, fit};
pub use journal::{EvalRow, Event, FitRow, Flow};
pub use lora::{LORA_TARGETS, Lora};
pub use model::{Adaptation, Model};
pub use optimizer::AdamW;
pub use schedule::{Decay, Schedule};
pub use scoring::{logprobs, mean_loss};
pub use sequence::Sequence;
pub use shape::{ModelSize, VocabularyIds};
pub use trainer::{Checkpoints, Ending, Outcome, Output};
pub use vocabulary::Vocabulary;
