//! What can go wrong in this crate, in one place.
//!
//! Every message says what could not be done. What merely has no value (a slope through one point, a bound that does not
//! apply) is no error: it is `None` or a named variant where it arises.

use crate::curve::NotACurve;
use crate::distribution::NotADistribution;
use crate::question::NotChoices;
use crate::trace::NotATrace;

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A segmentation is not one of those that exist.
    #[error(
        "could not read the segmentation {0:?}: expected `auto`, `steps`, `blank-line`, `line`, `sentence`, `tokens:N` (such as `tokens:64`) \
         or `regex:PATTERN` (such as `regex:Wait`)"
    )]
    UnknownSegmentation(String),
    /// Steps of a number of tokens that is not a positive number.
    #[error(
        "could not read the segmentation `tokens:{0}`: expected a whole number of at least 1, such as `tokens:64`"
    )]
    BadTokenCount(String),
    /// A pattern that does not compile.
    #[error("could not compile the step pattern {pattern:?}: {problem}")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What the regular expression engine says.
        problem: String,
    },
    /// The segmentation `steps` on a trace that came without any.
    #[error("could not cut the trace at its recorded steps: it has none (hint: use the segmentation `auto`)")]
    NoRecordedSteps,
    /// Recorded steps that run backwards or past the text.
    #[error(
        "could not cut the trace at recorded step {index}: its end {end} does not fit after {previous} in a text of {len} bytes"
    )]
    BadStepEnd {
        /// Number of the step, from 0.
        index: usize,
        /// Its end in bytes.
        end: usize,
        /// The end of the step before it.
        previous: usize,
        /// Length of the text in bytes.
        len: usize,
    },
    /// A limit of zero steps.
    #[error("could not cut the trace into at most 0 steps: the limit must be at least 1")]
    NoSteps,
    /// Labels and texts do not make a set of choices.
    #[error("could not state the choices: {0}")]
    Choices(#[from] NotChoices),
    /// Tokens and text do not line up.
    #[error("could not line up the tokens of a trace with its text: {0}")]
    Trace(#[from] NotATrace),
    /// Masses do not make a distribution.
    #[error("could not make an answer distribution: {0}")]
    Distribution(#[from] NotADistribution),
    /// Prefixes and distributions do not pair up.
    #[error("could not make an entropy curve: {0}")]
    Curve(#[from] NotACurve),
}
