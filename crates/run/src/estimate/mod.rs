//! Answer distributions at the sites of a batch: one file per estimator.
//!
//! The forced estimators (`choices`, `enumerate`) score branches of the session's token tree; the sampling ones (`sample`, `rollout`)
//! draw completions from forks of the contexts. Every estimator takes all sites of a batch at once, so that they share passes, and gives
//! one result for each: a distribution, or the reason why there is none.

pub(crate) mod choices;
pub(crate) mod enumerate;
pub(crate) mod sampled;

use crate::error::Error;
use crate::event::{Event, Observer};
use crate::plan::TaskRun;
use entrace_backend::{Parent, TreeSession};
use entrace_measure::{AnswerDistribution, Estimator, Question, TokenId};
use enumerate::Enumerator;
use std::sync::Arc;

/// A distribution, or why there is none.
pub(crate) type SiteResult = Result<AnswerDistribution, String>;

/// Asks for belief in one task.
pub(crate) struct Asker<'a> {
    pub(crate) run: TaskRun<'a>,
    pub(crate) enumerator: &'a mut Enumerator,
    pub(crate) observer: &'a mut dyn Observer,
}

impl Asker<'_> {
    /// Belief at sites of questions that one estimator is for, by forks of the tree.
    pub(crate) fn score(
        &mut self,
        session: &mut dyn TreeSession,
        sites: &[TreeSite<'_>],
    ) -> Result<Vec<SiteResult>, Error> {
        let TaskRun { engine, how, .. } = self.run;
        let Some(first) = sites.first() else { return Ok(Vec::new()) };
        if how.estimator.for_question(first.question) == Some(Estimator::Choices) {
            let found = choices::estimate(session, engine.text, sites, how)?;
            self.observer.event(Event::PhaseAdvances(found.len()));
            return Ok(found);
        }
        enumerate::estimate(session, self.enumerator, sites, how, self.observer)
    }
}

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
