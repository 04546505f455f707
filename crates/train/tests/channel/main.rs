//! Models that learn a channel, a world in which every quantity is a finite sum.
//!
//! In reading order: `world` (the channel as text, models that learn it, the law that a model believes in), `bound` (information of models
//! at many checkpoints against what their divergence from the truth implies), `measured` (what a run measures against the exact gain).
//! With `-- --nocapture` the tests print their tables.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "tables belong into the output of a test")]

mod bound;
mod measured;
mod world;
