//! Why a statistic has no value.
//!
//! A statistic of this crate either has a value or one of these reasons; it is never NaN, 0 or -1 in place of a
//! missing answer. Reports show the reason instead of the number.

/// The reason why a statistic is undefined on the given input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undefined {
    /// There is nothing to compute on.
    #[error("there are no observations")]
    Empty,
    /// Fewer observations, clusters or class members than the statistic needs.
    #[error("there are {found} independent observations; at least {needed} are needed")]
    TooFew {
        /// The smallest number that works.
        needed: usize,
        /// The number that was given.
        found: usize,
    },
    /// A class has members in fewer independent clusters than an interval or a test needs.
    #[error("the rarer class has {found} independent observations; at least {needed} are needed")]
    FewOfClass {
        /// The smallest number that works.
        needed: usize,
        /// The number of the rarer class.
        found: usize,
    },
    /// A binary label takes one value only.
    #[error("all labels belong to one class")]
    SingleClass,
    /// A score or value takes one value only, where its variation is needed.
    #[error("all values are equal")]
    ConstantScore,
    /// A value is NaN or infinite.
    #[error("value {index} is not a finite number")]
    NotFinite {
        /// Its position in the input.
        index: usize,
    },
    /// A value lies outside the range that the statistic is defined on.
    #[error("value {index} is out of range")]
    OutOfRange {
        /// Its position in the input; 0 for a single argument.
        index: usize,
    },
    /// Two inputs that belong together have different lengths.
    #[error("{left} values were paired with {right}")]
    LengthMismatch {
        /// Length of the first input.
        left: usize,
        /// Length of the second input.
        right: usize,
    },
    /// More than one in twenty bootstrap replicates had no value, so their quantiles would mislead.
    #[error("{undefined} of {replicates} bootstrap replicates have no value")]
    UnstableResamples {
        /// Replicates without a value.
        undefined: usize,
        /// All replicates.
        replicates: usize,
    },
    /// The effect does not exceed its threshold, so no sample size can show that it does.
    #[error("the effect is not above the threshold")]
    NoEffect,
    /// An iterative fit did not settle within its step limit.
    #[error("the fit did not converge")]
    NotConverged,
}

/// Checks that two inputs have one length, which is not zero.
pub(crate) fn check_paired(left: usize, right: usize) -> Result<(), Undefined> {
    if left != right {
        return Err(Undefined::LengthMismatch { left, right });
    }
    if left == 0 { Err(Undefined::Empty) } else { Ok(()) }
}

/// Checks that every value is a finite number.
pub(crate) fn check_finite(values: &[f64]) -> Result<(), Undefined> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Undefined::NotFinite { index }),
        None => Ok(()),
    }
}

/// Checks that every value lies in [0, 1].
pub(crate) fn check_unit(values: &[f64]) -> Result<(), Undefined> {
    check_finite(values)?;
    match values.iter().position(|value| !(0.0..=1.0).contains(value)) {
        Some(index) => Err(Undefined::OutOfRange { index }),
        None => Ok(()),
    }
}

/// Checks that at least `needed` independent observations were found.
pub(crate) fn check_count(found: usize, needed: usize) -> Result<(), Undefined> {
    match found {
        0 => Err(Undefined::Empty),
        found if found < needed => Err(Undefined::TooFew { needed, found }),
        _ => Ok(()),
    }
}
