//! Small-scale training on the CPU: maximum likelihood, fine-tuning, reinforcement learning.
//!
//! Checkpoints are folders in Hugging Face layout, which `entrace_decoder` and transformers read. The same seed and options give the same
//! weights, bit for bit, whatever the number of threads and however often training was interrupted. Nothing is printed: whoever
//! calls is told through events, and may stop training through them.
//!
//! - `vocabulary`, `examples`, `sequence`, `order`: text to token sequences, in which order they are drawn, how they are packed
//! - `shape`, `init`, `weights`, `model`, `lora`, `ops`: the trainable forward pass on candle's autograd
//! - `gradients`, `optimizer`, `schedule`: data-parallel gradients, AdamW, the learning rate
//! - [`fit`]: maximum likelihood, from scratch or from a checkpoint; [`rl`]: group-relative policy optimisation
//! - `course`, `trainer`, `checkpoint`, `journal`: what both share
//!
//! Packs of a batch are the unit of parallel work. candle has a second pool of threads, for the elements of large tensors, and spins
//! while it waits for it; with `CANDLE_NUM_THREADS=1` in the environment before the first tensor is made, training is up to twice as fast.
//!
//! ```
//! use entrace_text::tokenizer::Tokenizer;
//! use entrace_train::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! // A tokenizer from pieces, and a model that fits it.
//! let vocabulary = Vocabulary::new([" apples", " has", "Ann"].map(String::from))?;
//! let texts = vocabulary.files(64);
//! texts.write(&folder.join("tokenizer"))?;
//! let tokenizer = Tokenizer::from_dir(&folder.join("tokenizer"))?;
//! let size = ModelSize { hidden_size: 32, num_hidden_layers: 2, intermediate_size: 64, ..ModelSize::default() };
//! let model = Model::from_scratch(size.config(&vocabulary.ids()), 0)?;
//!
//! // Examples as tokens.
//! let example = Example { prompt: "Ann has".into(), completion: " 7 apples".into(), ..Example::default() };
//! let data = encode(&tokenizer, &[example], LossOn::Completion, model.context_length())?;
//!
//! // Three updates, and a checkpoint at the end. From a checkpoint it is the same: `Model::load`, `TextFiles::read`, `fit`.
//! let options = FitOptions { steps: 3, ..FitOptions::default() };
//! let output = Output {
//!     folder: folder.join("out"),
//!     texts,
//!     checkpoints: Checkpoints::default(),
//!     export: ExportType::Bf16,
//!     resumable: true,
//! };
//! let train = FitData { train: &data.sequences, held_out: &[] };
//! let mut losses = Vec::new();
//! let outcome = fit(&model, train, &options, &output, None, &mut |event| {
//!     if let Event::Fitted(row) = event {
//!         losses.push(row.loss);
//!     }
//!     Flow::Continue
//! })?;
//! assert!(losses[2] < losses[0]);
//!
//! // Any checkpoint can be continued, and is a model.
//! let Outcome::Finished(ending) = outcome else { panic!("nobody stopped it") };
//! let again = Model::load(&ending.checkpoint, &Adaptation::Full, 0)?;
//! assert_eq!(again.n_parameters(), model.n_parameters());
//! # Ok(())
//! # }
//! ```

mod checkpoint;
mod course;
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

pub use checkpoint::{ExportType, TextFiles, last_resumable, step_folder};
pub use error::Error;
pub use examples::{Encoded, Example, LossOn, encode, strip_annotations};
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
