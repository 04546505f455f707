//! The steps of the trainable forward pass, each with its backward pass, as custom operations on candle's autograd.
//!
//! Everything is float32 in CPU memory and runs on one thread: parallelism is over packs of a batch (see `gradients`), so that results do
//! not depend on the number of threads. Tests compare every step with the same formula composed of candle's own operations, forward and
//! backward, and with finite differences.

pub(crate) mod attention;
pub(crate) mod exp;
pub(crate) mod gather;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod numbers;
pub(crate) mod rope;
pub(crate) mod scores;
pub(crate) mod swiglu;

#[cfg(test)]
pub(crate) mod tests_support;
