//! Answer distributions at the sites of a batch: one file per estimator.
//!
//! The forced estimators (`choices`, `enumerate`) score branches of the session's token tree; the sampling ones (`sample`, `rollout`)
//! draw completions from forks of the contexts. Every estimator takes all sites of a batch at once, so that they share passes, and gives
//! one result for each: a distribution, or the reason why there is none.

pub(crate) mod choices;
pub(crate) mod enumerate;
pub(crate) mod sampled;

use entrace_backend::Parent;
use entrace_measure::{AnswerDistribution, Question, TokenId};
use std::sync::Arc;

/// A distribution, or why there is none.
pub(crate) type SiteResult = Result<AnswerDistribution, String>;

/// A place in the token tree where belief is asked for.
#[derive(Clone)]
pub(crate) struct TreeSite<'a> {
    pub(crate) question: &'a Question,
    pub(crate) at: Parent,
    /// Most nodes that `enumerate` expands.
    pub(crate) max_nodes: usize,
    /// Tokens that ask for the answer there.
    pub(crate) cue: Arc<[TokenId]>,
}
