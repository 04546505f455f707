//! Made worlds with known truth, from a seed at any size.
//!
//! - `arith`: word problems with worked solutions and exact answers, to train small models on reasoning traces and to measure them.
//! - `channel`: a finite joint of question, steps and answer in which every information quantity is a finite sum.
//!
//! Everything is a function of a seed and an index: item 17 of a set is the same whether or not items 0 to 16 were made. No
//! input or output, no clock, no tensors.

pub mod arith;
pub mod channel;
mod stream;
