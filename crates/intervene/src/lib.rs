//! Which step of a recorded trace carries the answer, and does the model use it?
//!
//! A recorded trace is changed at one step (`entrace_measure::intervention`), and belief at its end is read again: forced, with the rest of the
//! trace unchanged, or by rollouts, with the rest drawn anew. All changes of a trace share its beginning in one token tree, so that each
//! costs what follows it.
//!
//! In reading order: [`recorded`] (traces out of a run folder), [`plan`] (which changes), `realise` (changes as tokens), `paraphrase`, `forced`
//! and `rollout` (the two readings), `importance` (how far two sets of draws differ, and by chance), `rows` (what is written), [`cost`] (what it
//! will take), [`walk`] (a whole run), [`import`] (rollouts that others recorded).
//!
//! An edited trace is another trace: its kept beginning is the tokens of the recorded one, the changed step is tokenised anew from the change
//! on, and the steps after it keep their tokens. What is counted, tested and averaged over questions is made from the rows by
//! `entrace_report`.

pub mod cost;
mod error;
mod forced;
pub mod import;
mod importance;
mod paraphrase;
pub mod plan;
mod realise;
pub mod recorded;
mod rollout;
mod rows;
pub mod walk;

pub use error::Error;
pub use importance::{Importance, importance};
pub use plan::{Draws, Plan};
pub use recorded::{LeftOut, Recorded};
pub use walk::{Measured, TaskFormat, measure};
