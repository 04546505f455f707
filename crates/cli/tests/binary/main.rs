//! The program as a person runs it: what it writes, what it says, how it exits.
//!
//! The model is a tiny random checkpoint with a small tokenizer, put together from the goldens.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod book;
mod browser;
mod deciding;
mod disk;
mod end_to_end;
mod hostile;
mod hub;
mod input_files;
mod interventions;
mod large_runs;
#[path = "../../../view/src/made_up.rs"]
mod made_up;
mod real;
mod real_servers;
mod reports;
mod resume;
mod servers;
mod shells;
mod sprout;
mod support;
mod thoughts;
mod train;
mod training_files;
mod training_goes_on;
mod two_samples;
mod viewing;
