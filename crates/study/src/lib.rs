//! A study from end to end: a model's name and questions in, a recorded run and its verdict out.
//!
//! What a program on top needs and nothing that it decides: no flags, no printing, no exit codes. In reading order:
//!
//! - [`Model`]: a model by its name, in this process or behind servers; [`Host`], what the program around brings along
//! - [`TaskOptions`] and [`TraceOptions`]: questions to reason on, or existing traces; [`PromptOptions`], how they are put to the model
//! - [`Study`]: the two together, planned and fingerprinted; [`Study::measure`] records it in a [`Place`]
//! - [`Recorded`]: the finished folder, its report, lm-eval's files and the verdict of each task
//! - [`parse`]: measurements as people write them; [`stopping`]: a rule that stops traces; [`Share`]: which part of a run is measured here
//! - [`intervene`]: changes in the traces of a run; [`tokens`] and [`check`]: what a model says of a text, and of itself
//! - [`list`]: what is built in; [`Error`], with its [`Kind`] and [`Origin`]
//! - [`train`]: what a model learns, where its checkpoints go, and what is measured of them
//!
//! ```no_run
//! use entrace_study::{Measurement, Model, ModelOptions, Place, Study, TaskOptions};
//!
//! # fn main() -> Result<(), entrace_study::Error> {
//! let mut model = Model::open(&ModelOptions::named("org/name"), &())?;
//! let tasks = TaskOptions::named(["svamp"]).open(&())?;
//! let study = Study::of_tasks(&mut model, tasks, Measurement::default())?;
//! for (task, verdict) in study.measure(&Place::at("out"), &mut ())?.verdicts()? {
//!     assert_eq!((task.as_str(), verdict.finding.name()), ("svamp", "supported"));
//! }
//! # Ok(())
//! # }
//! ```

// The Rust of the book, so that rustdoc compiles it.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/book/src/rust.md")]
mod book {}
pub mod check;
mod error;
mod fingerprint;
mod host;
pub mod intervene;
pub mod list;
mod model;
mod origin;
mod outputs;
pub mod parse;
mod progress;
mod prompt;
mod shard;
mod stopping;
mod study;
mod tasks;
mod template_vars;
pub mod tokens;
mod traces;
pub mod train;

pub use entrace_report::metrics::{Finding, VerdictMetrics as Verdict};
pub use entrace_run::{Event, Measurement, Observer};
pub use error::{Error, Kind, kind_of};
pub use host::{BuiltIn, Host, OwnEngine};
pub use model::{
    Model, ModelOptions, Remotes, ServerOptions, checkpoints, open_decoder, open_language, remotes,
};
pub use origin::{Origin, item_of, origin_of};
pub use outputs::write as write_outputs;
pub use progress::{PhaseProgress, TaskProgress};
pub use prompt::PromptOptions;
pub use shard::Share;
pub use stopping::stopping;
pub use study::{Ending, Place, Recorded, Study, default_folder, usual_rollouts};
pub use tasks::{TaskOptions, Tasks, names};
pub use template_vars::parse as template_variables;
pub use traces::{TraceOptions, Traces};
