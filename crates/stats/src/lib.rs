//! Domain-free statistics of clustered data.
//!
//! Rows come in clusters; rows of one cluster are not independent, clusters are. Whatever estimates an uncertainty takes
//! the clusters explicitly. A statistic either has a value or an [`Undefined`] reason, never NaN.
//!
//! Nothing here reads a file, a clock or a global random generator: seeds are arguments, and the same input with the
//! same seed gives the same bits whatever the number of threads.
//!
//! | question | module |
//! |---|---|
//! | which rows belong together? | [`cluster`] |
//! | mean, variance, quantile, tail probability | [`summary`], [`distribution`] |
//! | how sure is a number? | [`interval`], [`bootstrap`] |
//! | does it change between two conditions? | [`paired`], [`permutation`] |
//! | does it rise along an ordered condition? | [`trend`] |
//! | does a score tell two classes apart? | [`auroc`], [`ranking`] |
//! | is a probability what it says? | [`calibration`] |
//! | what do several scores say together? | [`logistic`], [`cross_validation`] |
//! | how well do several forecasts together foresee what happened? | [`mixture`] |
//! | which of many rules keeps its risk on new data? | [`risk`] |
//! | several tests at once; how many clusters to plan for | [`multiplicity`], [`power`] |

pub mod auroc;
pub mod bootstrap;
pub mod calibration;
pub mod cluster;
pub mod cross_validation;
pub mod distribution;
pub mod interval;
pub mod logistic;
pub mod mixture;
pub mod multiplicity;
pub mod paired;
pub mod permutation;
pub mod power;
pub mod ranking;
pub mod risk;
pub mod summary;
pub mod trend;

mod rank;
mod special;
mod stream;
mod undefined;

pub use cluster::{ClusterSums, Clusters};
pub use interval::{Estimate, Interval, Level};
pub use undefined::Undefined;
