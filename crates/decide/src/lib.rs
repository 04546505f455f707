//! What to do with a belief: stop a trace early, choose among traces, reward steps. From a recorded run, without the model.
//!
//! In reading order:
//!
//! - `recorded`: the traces of a task with what was known at each of their prefixes.
//! - `signal`: one number at a prefix, from what was written up to it; `fit`: those that have parameters.
//! - `rule`: when to stop, as text and as `rule.json`; `replay`: what a rule does to a trace; `online`: the same while it is written; `loss`: what that costs.
//! - `choose`: the boldest rule whose risk holds on new questions; `judge`: what rules do on questions held out.
//! - `decision`: the whole of it for a task; `text`: the same for people.
//! - `vote`: one answer from several traces of a question.
//! - `rewards`: what each step was worth, in the formats of trainers; `confidence`: how sure each trace was, for inspect.
//!
//! Questions are the units throughout: those that fit, those that calibrate and those that judge are different ones, and the traces of a
//! question stay together.

pub mod choose;
pub mod confidence;
pub mod decision;
pub mod error;
pub mod fit;
pub mod judge;
pub mod loss;
pub mod online;
pub mod recorded;
pub mod replay;
pub mod rewards;
pub mod rule;
pub mod signal;
pub mod text;
pub mod vote;

#[cfg(test)]
mod world;

pub use decision::{Decision, Options, decide};
pub use error::Error;
pub use recorded::TaskTraces;
pub use rule::Rule;
