//! Token trees scored by the definition: every branch is its whole path, and the script is asked at every token.

use super::{Scripted, entropy, sharpness_of};
use crate::{Branch, BranchId, BranchScore, Error, NextRequest, NextScore, Parent, TokenScores, TreeSession};
use entrace_measure::TokenId;

pub(super) struct Session<'a> {
    model: &'a Scripted,
    branches: Vec<Path>,
}

/// All tokens from the root to the end of a branch, and how many of them are its own. A branch that was not kept owns none.
#[derive(Default)]
struct Path {
    tokens: Vec<TokenId>,
    n_own: usize,
}

impl Path {
    fn n_before(&self) -> usize {
        self.tokens.len() - self.n_own
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(model: &'a Scripted) -> Self {
        Self { model, branches: Vec::new() }
    }
}

impl TreeSession for Session<'_> {
    fn extend(&mut self, branches: &[Branch]) -> Result<Vec<BranchScore>, Error> {
        let first_id = self.branches.len();
        let result = self.add_all(branches);
        let kept = if result.is_ok() { first_id + branches.len() } else { first_id };
        self.branches.truncate(kept);
        for (branch, path) in branches.iter().zip(self.branches.iter_mut().skip(first_id)) {
            if !branch.keep {
                *path = Path::default();
            }
        }
        result
    }

    fn truncate(&mut self, n_branches: usize) {
        self.branches.truncate(n_branches);
    }

    fn n_branches(&self) -> usize {
        self.branches.len()
    }
}

impl Session<'_> {
    fn add_all(&mut self, branches: &[Branch]) -> Result<Vec<BranchScore>, Error> {
        let first_id = self.branches.len();
        for (index, branch) in branches.iter().enumerate() {
            let path = self.path(index, branch)?;
            self.branches.push(path);
        }
        let numbered = branches.iter().enumerate();
        numbered.map(|(index, branch)| self.score(BranchId(first_id + index), branch)).collect()
    }

    fn path(&self, index: usize, branch: &Branch) -> Result<Path, Error> {
        let mut tokens = match branch.parent {
            None if branch.tokens.is_empty() => return Err(Error::EmptyContext),
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
        tokens.extend(&branch.tokens);
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
            Some(request) => Some(next_score(request, &self.model.distribution(&path.tokens)?)),
            None => None,
        };
        Ok(BranchScore { id, token_logprobs, token_sharpness, next })
    }
}

fn next_score(request: &NextRequest, probs: &[f64]) -> NextScore {
    let class_logmass = request.classes.as_ref().map_or_else(Vec::new, |classes| {
        let mut masses = vec![0.0; classes.n_classes];
        for (p, &class) in probs.iter().zip(&classes.class_of) {
            masses[usize::from(class)] += p;
        }
        masses.into_iter().map(f64::ln).collect()
    });
    let mut top: Vec<(TokenId, f64)> = (0..).zip(probs.iter().map(|p| p.ln())).collect();
    top.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    top.truncate(request.top_k);
    NextScore {
        entropy: entropy(probs),
        gather: request.gather.iter().map(|&token| probs[token as usize].ln()).collect(),
        class_logmass,
        top,
    }
}
