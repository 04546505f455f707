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
//! | mean, variance, quantile | [`summary`] |
//! | how sure is a number? | [`interval`], [`bootstrap`] |
//! | does a score tell two classes apart? | [`auroc`] |

pub mod auroc;
pub mod bootstrap;
pub mod cluster;
pub mod distribution;
pub mod interval;
pub mod summary;

mod rank;
mod special;
mod stream;
mod undefined;

pub use cluster::{ClusterSums, Clusters};
pub use interval::{Estimate, Interval, Level};
pub use undefined::Undefined;
