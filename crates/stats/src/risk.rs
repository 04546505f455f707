//! Choosing a rule so that its risk holds on new data.
//!
//! A rule has a loss in [0, 1] on every independent unit (a question), and its risk R is the mean loss on new ones. [`bound`] says from n
//! losses how large R may be; [`control`] chooses among many rules so that the one chosen keeps R <= epsilon: with probability 1 - delta
//! over the units ([`control::fixed_sequence`], [`control::bonferroni`]), or in expectation over them ([`control::conformal`]).
//!
//! The units that choose must be others than those that made the rules, and than those on which the chosen rule is judged.

pub mod bound;
pub mod control;

pub use bound::Bound;
