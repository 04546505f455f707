//! From questions to recorded answer distributions.
//!
//! The orchestrator: it walks the questions of each task, in batches, through prompt, trace, prefixes, answer distributions and curve,
//! and hands rows to the record. It knows engines only by the traits of `entrace_backend`.
//!
//! In reading order: `plan` (what to measure and how), `walk` (tasks, batches, resuming), `trace` (prompts and traces of a batch), `sites`
//! (where beliefs are asked for), `cue` (what asks for them), `estimate` (one file per estimator), `control` (traces swapped, shuffled, and
//! without their statement), `signals` (what is measured because it was asked for), `rollouts` (what the model goes on to answer, at a few
//! depths), `stopping` and `online` (traces that a rule stops while they are written), `rows` (what is written), `settings` (what the manifest says of it), `event` (what an observer is told), `probe` (beliefs at the
//! ends of edited traces), `replies` (traces of engines that only chat, which are not measured).

mod control;
mod cue;
mod error;
mod estimate;
pub mod event;
mod online;
pub mod plan;
pub mod probe;
mod replies;
mod rollouts;
mod rows;
mod settings;
mod signals;
mod sites;
pub mod stopping;
mod trace;
mod walk;

pub use entrace_measure::Control;
pub use error::{BadSettings, Capability, Error};
pub use event::{Event, Observer, Phase};
pub use plan::{
    ChoiceForm, Engine, EstimatorChoice, Measurement, Prompting, QUARTERS, Rollouts, TaskPlan, TraceInput,
    TraceMaking, WorkItem, n_parts,
};
pub use replies::write_replies;
pub use settings::{Measured, model_record, sampling_record};
pub use stopping::{Judged, Seen, StopWatch, Stopping, StoppingRule};
pub use walk::{check, check_settings, run};

/// Revision of the measurement, for the manifest. It is raised with every change after which the same settings give other numbers; 2 follows
/// every way to the target, reads unexplored strings, and limits rollouts with their trace; 3 reads answers from the reply alone, closes an
/// open thought before the cue, keeps searches within their budget, and measures controls at the depths that are reported.
pub const METHOD: u32 = 3;
