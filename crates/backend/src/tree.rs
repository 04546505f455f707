//! The token tree: branches that share their ancestors.
//!
//! A branch is a run of tokens. It is a root, or it forks from another branch after some of that branch's tokens; each of its tokens
//! sees itself, the earlier tokens of its branch, and exactly its ancestors. The position of a token is the number of tokens before
//! it on that path. A question with its trace is one root; the answer cue after each of K prefixes is a branch; options fork from the
//! cue. K prefixes then cost T + K·s tokens instead of K·T.
//!
//! A session keeps what it has run, so that later branches can fork from earlier ones (best-first expansion does). One call of
//! `extend` is one packed pass; branches of several questions go into one call. Numbers are of the raw model distribution
//! (temperature 1, no penalties). The vocabulary is reduced inside the engine: `[T, V]` logits never leave it.

use crate::{Each, Error, SamplingSession, Sharpness};
use entrace_measure::TokenId;
use std::sync::Arc;

/// A branch within its session, numbered in the order in which branches were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BranchId(pub usize);

/// Where a branch forks: after the first `n_tokens` tokens of `branch` (at least one).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Parent {
    /// The branch forked from. It may be an earlier one of the same call.
    pub branch: BranchId,
    /// How many of its tokens are ancestors.
    pub n_tokens: usize,
}

/// A partition of the vocabulary, for the probability mass of whole groups of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenClasses {
    /// Class of each token, `[V]`.
    pub class_of: Vec<u8>,
    /// Number of classes; every entry of `class_of` is below it.
    pub n_classes: usize,
}

/// What to report of each token of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenScores {
    /// Nothing.
    #[default]
    None,
    /// Log-probabilities.
    Logprobs,
    /// Log-probabilities, and how sharp the distribution was that each token was drawn from.
    Full,
}

/// What to report of the distribution after the last token of a branch.
#[derive(Debug, Clone, Default)]
pub struct NextRequest {
    /// Tokens whose log-probabilities are wanted.
    pub gather: Arc<[TokenId]>,
    /// Those of them that an engine of limited [`Reach`] asks for apart when it cannot ask for all. Others need not look at it.
    pub foremost: Vec<TokenId>,
    /// Groups of tokens whose total mass is wanted.
    pub classes: Option<Arc<TokenClasses>>,
    /// How many of the most likely tokens are wanted.
    pub top_k: usize,
}

/// A branch to add.
#[derive(Debug, Clone, Default)]
pub struct Branch {
    /// Where it forks; `None` for a root.
    pub parent: Option<Parent>,
    /// Its tokens. A root needs at least one; a fork may have none, to ask about the token after its parent.
    pub tokens: Vec<TokenId>,
    /// What to report of its own tokens.
    pub token_scores: TokenScores,
    /// What to report of the token that would come next.
    pub next: Option<NextRequest>,
    /// Whether later calls may fork from it. What is not kept may be dropped, and its last token need not be run.
    pub keep: bool,
}

impl Branch {
    /// Why it cannot be run where what it forks from has failed in the same call: for the same reason. `first` is the number of the call's first
    /// branch, `earlier` what became of those before this one.
    pub fn fault_of_parent<T>(&self, first: usize, earlier: &[Result<T, Error>]) -> Option<Error> {
        let sibling = self.parent?.branch.0.checked_sub(first)?;
        earlier.get(sibling)?.as_ref().err().cloned()
    }
}

/// How much of a next-token distribution an engine tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Most of the likeliest tokens that it lists; `None` for the whole vocabulary.
    pub top_k: Option<usize>,
    /// Most tokens whose log-probabilities it tells when they are asked for by number, likely or not; `None` for any number.
    pub gather: Option<usize>,
}

impl Reach {
    /// Everything.
    pub const WHOLE: Self = Self { top_k: None, gather: None };

    /// Whether nothing stays untold.
    pub fn is_whole(self) -> bool {
        self == Self::WHOLE
    }
}

/// What an engine left untold of a next-token distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rest {
    /// Nothing: every number asked for is there.
    Nothing,
    /// The tokens that were not told.
    Unlisted {
        /// Logarithm of their mass together.
        logmass: f64,
        /// None of them has a higher log-probability.
        each_at_most: f64,
        /// How many they are.
        n_tokens: usize,
    },
}

/// The distribution after the last token of a branch, reduced. All in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct NextScore {
    /// Entropy over the whole vocabulary; `None` where the engine tells too little of it.
    pub entropy: Option<f64>,
    /// Log-probabilities of the tokens asked for, in their order; `None` for a token that the engine did not tell, of which `rest` knows
    /// bounds.
    pub gather: Vec<Option<f64>>,
    /// Logarithm of each class's mass, as far as its tokens were told; −∞ for an empty class.
    pub class_logmass: Vec<f64>,
    /// The most likely tokens with their log-probabilities, falling; ties by token number.
    pub top: Vec<(TokenId, f64)>,
    /// What is missing above.
    pub rest: Rest,
}

/// What was found out about a branch.
#[derive(Debug, Clone, PartialEq)]
pub struct BranchScore {
    /// The branch's number in the session.
    pub id: BranchId,
    /// Log-probability of each of its tokens given all that precedes it, `[n]`; `None` for the first token of a root, and for one that the
    /// engine did not tell. Empty unless asked for.
    pub token_logprobs: Vec<Option<f64>>,
    /// How sharp the distribution was that each token was drawn from, `[n]`; like `token_logprobs`. Empty unless asked for.
    pub token_sharpness: Vec<Option<Sharpness>>,
    /// The distribution after the last token, if asked for.
    pub next: Option<NextScore>,
}

/// An engine that scores continuations.
pub trait ScoreTree: Send + Sync {
    /// Begins an empty tree.
    fn session(&self) -> Result<Box<dyn TreeSession + '_>, Error>;

    /// Begins an empty tree on which completions can be drawn; `None` for an engine that scores only, or draws elsewhere.
    fn sampling_session(&self) -> Result<Option<Box<dyn SamplingSession + '_>>, Error> {
        Ok(None)
    }

    /// How much it tells of the token after a branch.
    fn reach(&self) -> Reach {
        Reach::WHOLE
    }

    /// Tokens that a tree had better not exceed. An engine that runs a tree in this process holds its cache; one that only writes it down
    /// holds any number, and the more is asked in one call, the more of it can be under way at the same time.
    fn holds(&self) -> usize {
        4096
    }
}

/// A growing token tree.
pub trait TreeSession {
    /// Runs the branches in packed passes and reports on each, in their order. A branch at fault has an error in its place, keeps its number and
    /// holds no tokens; those of the call that fork from it fail for the same reason. After an error of the whole call nothing is added.
    fn extend_each(&mut self, branches: &[Branch]) -> Each<BranchScore>;

    /// As `extend_each`, where all branches are needed: if any is at fault nothing is added.
    fn extend(&mut self, branches: &[Branch]) -> Result<Vec<BranchScore>, Error> {
        let n_branches = self.n_branches();
        let scores: Result<Vec<BranchScore>, Error> = self.extend_each(branches)?.into_iter().collect();
        scores.inspect_err(|_| self.truncate(n_branches))
    }

    /// Forgets all but the first `n_branches` branches. Their memory is free again, and so are their numbers.
    fn truncate(&mut self, n_branches: usize);
    /// Number of branches that were added and not forgotten, kept or not: the number of the next one.
    fn n_branches(&self) -> usize;
}
