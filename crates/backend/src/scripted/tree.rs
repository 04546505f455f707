//! Token trees scored by the definition: every branch is its whole path, and the script is asked at every token.

use super::draw::Drawing;
use super::{Scripted, entropy, sharpness_of};
use crate::{
    Branch, BranchId, BranchScore, Each, Error, NextRequest, NextScore, Parent, Reach, Rest, TokenScores,
    TreeSession,
};
use entrace_measure::TokenId;
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Session<'a> {
    pub(super) model: &'a Scripted,
    branches: Vec<Path>,
    /// Completions that are paused, by their newest branch.
    pub(super) paused: BTreeMap<BranchId, Drawing>,
}

/// All tokens from the root to the end of a branch, and how many of them are its own. A branch that was not kept owns none.
#[derive(Default)]
pub(super) struct Path {
    pub(super) tokens: Vec<TokenId>,
    pub(super) n_own: usize,
}

impl Path {
    fn n_before(&self) -> usize {
        self.tokens.len() - self.n_own
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(model: &'a Scripted) -> Self {
        Self { model, branches: Vec::new(), paused: BTreeMap::new() }
    }

    /// Adds a branch that is kept.
    pub(super) fn add(&mut self, path: Path) {
        self.branches.push(path);
    }
}

impl TreeSession for Session<'_> {
    fn extend_each(&mut self, branches: &[Branch]) -> Each<BranchScore> {
        let first = self.branches.len();
        let scores = self.add_all(branches).inspect_err(|_| self.branches.truncate(first))?;
        for ((branch, score), path) in branches.iter().zip(&scores).zip(&mut self.branches[first..]) {
            if !branch.keep || score.is_err() {
                *path = Path::default();
            }
        }
        Ok(scores)
    }

    fn truncate(&mut self, n_branches: usize) {
        self.branches.truncate(n_branches);
        self.paused.retain(|id, _| id.0 < n_branches);
    }

    fn n_branches(&self) -> usize {
        self.branches.len()
    }
}

impl Session<'_> {
    /// Scores of the branches, one after the other; of one that failed there is an empty path.
    fn add_all(&mut self, branches: &[Branch]) -> Each<BranchScore> {
        let first = self.branches.len();
        let mut scores: Vec<Result<BranchScore, Error>> = Vec::with_capacity(branches.len());
        for (index, branch) in branches.iter().enumerate() {
            let inherited = branch.fault_of_parent(first, &scores);
            let path = inherited.map_or_else(|| self.path(index, branch), Err);
            let score = path.and_then(|path| {
                self.branches.push(path);
                self.score(BranchId(first + index), branch)
            });
            self.branches.resize_with(first + index + 1, Path::default);
            match score {
                Err(error) if !error.is_about_the_item() => return Err(error),
                score => scores.push(score),
            }
        }
        Ok(scores)
    }

    /// The tokens of a path that adds some to its parent's.
    pub(super) fn path_of(
        &self,
        index: usize,
        parent: Option<Parent>,
        own: &[TokenId],
    ) -> Result<Vec<TokenId>, Error> {
        let mut tokens = match parent {
            None if own.is_empty() => return Err(Error::EmptyContext),
            None => Vec::new(),
            Some(Parent { branch: parent, n_tokens }) => {
                let path = self.branches.get(parent.0);
                let available = path.map_or(0, |path| path.n_own);
                match path {
                    Some(path) if (1..=available).contains(&n_tokens) => {
                        path.tokens[..path.n_before() + n_tokens].to_vec()
                    }
                    _ => {
                        return Err(Error::BadFork { branch: index, parent: parent.0, n_tokens, available });
                    }
                }
            }
        };
        tokens.extend(own);
        Ok(tokens)
    }

    fn path(&self, index: usize, branch: &Branch) -> Result<Path, Error> {
        let tokens = self.path_of(index, branch.parent, &branch.tokens)?;
        let limit = self.model.info.context_length;
        if tokens.len() > limit {
            return Err(Error::ContextTooLong { n_tokens: tokens.len(), limit });
        }
        self.model.check_tokens(&branch.tokens)?;
        if let Some(next) = &branch.next {
            self.model.check_tokens(&next.gather)?;
            let vocab_size = self.model.info.vocab_size;
            if let Some(classes) = next.classes.as_ref().filter(|c| c.class_of.len() != vocab_size) {
                return Err(Error::BadClasses { n_tokens: classes.class_of.len(), vocab_size });
            }
        }
        Ok(Path { tokens, n_own: branch.tokens.len() })
    }

    fn score(&self, id: BranchId, branch: &Branch) -> Result<BranchScore, Error> {
        let path = &self.branches[id.0];
        let (mut token_logprobs, mut token_sharpness) = (Vec::new(), Vec::new());
        let scored = if branch.token_scores == TokenScores::None { 0 } else { branch.tokens.len() };
        for (i, &token) in branch.tokens[..scored].iter().enumerate() {
            let before = &path.tokens[..path.n_before() + i];
            let probs = if before.is_empty() { None } else { Some(self.model.distribution(before)?) };
            token_logprobs.push(probs.as_ref().map(|probs| probs[token as usize].ln()));
            if branch.token_scores == TokenScores::Full {
                token_sharpness.push(probs.as_deref().map(sharpness_of));
            }
        }
        let next = match &branch.next {
            Some(request) => {
                Some(next_score(self.model.reach, request, &self.model.distribution(&path.tokens)?))
            }
            None => None,
        };
        Ok(BranchScore { id, token_logprobs, token_sharpness, next })
    }
}

fn next_score(reach: Reach, request: &NextRequest, probs: &[f64]) -> NextScore {
    let mut ranked: Vec<(TokenId, f64)> = (0..).zip(probs.iter().map(|p| p.ln())).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let told = told(reach, request, &ranked);
    let is_told = |token: TokenId| told.as_ref().is_none_or(|told| told.contains(&token));
    let class_logmass = request.classes.as_ref().map_or_else(Vec::new, |classes| {
        let mut masses = vec![0.0; classes.n_classes];
        for (token, (p, &class)) in (0..).zip(probs.iter().zip(&classes.class_of)) {
            masses[usize::from(class)] += if is_told(token) { *p } else { 0.0 };
        }
        masses.into_iter().map(f64::ln).collect()
    });
    let gather = request.gather.iter().map(|&token| is_told(token).then(|| probs[token as usize].ln()));
    NextScore {
        entropy: told.is_none().then(|| entropy(probs)),
        gather: gather.collect(),
        class_logmass,
        top: ranked.iter().copied().take(request.top_k.min(reach.top_k.unwrap_or(usize::MAX))).collect(),
        rest: told.as_ref().map_or(Rest::Nothing, |told| rest(told, &ranked)),
    }
}

/// The tokens that an engine of this reach tells of; `None` for all.
fn told(reach: Reach, request: &NextRequest, ranked: &[(TokenId, f64)]) -> Option<BTreeSet<TokenId>> {
    let listed = reach.top_k?;
    let mut told: BTreeSet<TokenId> = ranked.iter().take(listed).map(|&(token, _)| token).collect();
    let most = reach.gather.unwrap_or(usize::MAX);
    let apart = if request.gather.len() <= most { &request.gather[..] } else { &request.foremost };
    told.extend(apart.iter().take(most));
    (told.len() < ranked.len()).then_some(told)
}

fn rest(told: &BTreeSet<TokenId>, ranked: &[(TokenId, f64)]) -> Rest {
    let untold = ranked.iter().filter(|(token, _)| !told.contains(token));
    let least_listed = ranked.iter().take_while(|(token, _)| told.contains(token)).last();
    Rest::Unlisted {
        logmass: untold.clone().map(|(_, logprob)| logprob.exp()).sum::<f64>().ln(),
        each_at_most: least_listed.map_or(0.0, |&(_, logprob)| logprob),
        n_tokens: untold.count(),
    }
}
