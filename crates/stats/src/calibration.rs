//! Whether probabilities are what they say, and how to make them so.
//!
//! Probabilities lie in [0, 1], one for each row, beside a binary label. [`reliability`] and [`brier`] measure,
//! [`isotonic`] and [`platt`] map a score to a probability: fit them on one split and apply
//! them to another, never to the rows that they were fitted on.
//!
//! Intervals here take rows as independent; for rows in clusters resample the measure with
//! [`crate::bootstrap::statistic`].

pub mod binning;
pub mod brier;
pub mod isotonic;
pub mod platt;
pub mod reliability;
