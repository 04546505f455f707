//! Questions, traces, prefixes, answer distributions, entropy curves and signatures.
//!
//! The pure part of entrace: what is measured, without saying how a model is run or where results are kept. Modules in reading
//! order follow one question through the flow:
//!
//! `question` -> `completion` -> `trace` -> `prefix` -> `answer` -> `distribution` -> `entropy` -> `curve` -> `signature` -> `profile` -> `signal`
//!
//! Beside it stand `fano` and `information`, the inequalities that bind these quantities, `readout`, what usable information is made of,
//! `semantic`, answers that mean the same, `statement`, where a trace states an answer (`number`: what numbers a text holds), `control` and
//! `intervention`, what is put in the place of a trace or changed in it, and what that does to belief, and `stopping`, what is done with a
//! trace at a prefix.
//!
//! No input or output, no clock, no random generator, no tensors: the same input gives the same bits. All logarithms are natural;
//! entropies are in nats.

pub mod answer;
pub mod completion;
pub mod control;
pub mod curve;
pub mod distribution;
pub mod entropy;
pub mod fano;
pub mod information;
pub mod intervention;
pub mod number;
pub mod prefix;
pub mod profile;
pub mod question;
pub mod readout;
pub mod seed;
pub mod semantic;
mod sentence;
pub mod signal;
pub mod signature;
mod special;
pub mod statement;
pub mod stopping;
#[cfg(test)]
mod testing;
pub mod trace;

pub use answer::{Answer, AnswerFormat, AnswerGrammar, GrammarState, Verdict};
pub use completion::{Division, ThoughtKind, Thoughts};
pub use control::Control;
pub use curve::{CurvePoint, EntropyCurve};
pub use distribution::{AnswerDistribution, AnswerMass, Estimator, NotADistribution};
pub use entropy::EntropyInterval;
pub use number::Number;
pub use prefix::{Prefix, Segmentation, SegmentationError, prefixes};
pub use profile::Profile;
pub use question::{Choices, Question};
pub use signal::{SIGNALS, Signal};
pub use signature::{Point, Signature};
pub use statement::Statement;
pub use stopping::Act;
pub use trace::{StopReason, TokenId, Trace};
