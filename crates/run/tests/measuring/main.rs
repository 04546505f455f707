//! The walk from questions to rows, on scripted models whose beliefs are known or can be listed.
//!
//! Every test goes through `entrace_run::run` and reads what was recorded. In reading order: `support` (what the tests share), one file
//! for each estimator, `controls` (whose trace is lent, and what is left of one), `cues` (belief under several), `equivalence` (batches and
//! interruptions change nothing), `faults` (what goes wrong stays where it is), `labels` (what a trace's own ending is read as), `thoughts`
//! (what is thought is cut into steps, what is replied is read), `rollouts` (draws beside the forced estimators), `null` and `two_readouts` (what the report's
//! test says of models that know nothing).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "rates belong into the output of a test")]

mod choices;
mod controls;
mod cues;
mod enumerate;
mod equivalence;
mod faults;
mod labels;
mod null;
mod online;
mod rollouts;
mod sampled;
mod support;
mod thoughts;
mod two_readouts;
