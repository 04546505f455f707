//! The token tree of an engine written in Python: a book of paths, of which the object is given what is new.
//!
//! A branch becomes a `Path`: the tokens of its ancestors, its own, and the places of both together after which logits are wanted. The object may
//! keep what it has run and find it again by its tokens; here only tokens are kept.

use super::{Engine, ids};
use crate::failure::raised;
use entrace_backend::{Branch, BranchId, BranchScore, Each, Error, ScoreTree, TokenScores, TreeSession};
use entrace_decoder::LogitRow;
use entrace_measure::TokenId;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rayon::prelude::*;

impl ScoreTree for Engine {
    fn session(&self) -> Result<Box<dyn TreeSession + '_>, Error> {
        self.reset()?;
        Ok(Box::new(Session { engine: self, branches: Vec::new() }))
    }
}

/// A growing tree.
struct Session<'a> {
    engine: &'a Engine,
    branches: Vec<Path>,
}

/// All tokens from the root to the end of a branch, and how many of them are its own. One that was not kept has none.
#[derive(Default)]
pub(super) struct Path {
    pub(super) tokens: Vec<TokenId>,
    pub(super) n_own: usize,
    /// Places after which logits are wanted, rising.
    pub(super) rows: Vec<usize>,
    /// Whether others may continue it.
    pub(super) keep: bool,
}

impl Path {
    fn n_before(&self) -> usize {
        self.tokens.len() - self.n_own
    }

    /// The places that a branch asks about.
    fn rows_of(&self, branch: &Branch) -> Vec<usize> {
        let mut rows = Vec::new();
        if branch.token_scores != TokenScores::None {
            let first = self.n_before();
            rows.extend((first..first + self.n_own).filter_map(|place| place.checked_sub(1)));
        }
        let last = self.tokens.len().saturating_sub(1);
        if branch.next.is_some() && rows.last() != Some(&last) {
            rows.push(last);
        }
        rows
    }
}

impl TreeSession for Session<'_> {
    fn extend_each(&mut self, branches: &[Branch]) -> Each<BranchScore> {
        let first = self.branches.len();
        let scores = self.add(branches).inspect_err(|_| self.branches.truncate(first))?;
        for ((branch, score), path) in branches.iter().zip(&scores).zip(&mut self.branches[first..]) {
            if !branch.keep || score.is_err() {
                *path = Path::default();
            }
        }
        Ok(scores)
    }

    fn truncate(&mut self, n_branches: usize) {
        self.branches.truncate(n_branches);
    }

    fn n_branches(&self) -> usize {
        self.branches.len()
    }
}

impl Session<'_> {
    /// Scores of the branches; of one that is not in order there is an empty path, which the object is not asked about.
    fn add(&mut self, branches: &[Branch]) -> Each<BranchScore> {
        let first = self.branches.len();
        let mut checked: Vec<Result<(), Error>> = Vec::with_capacity(branches.len());
        for (index, branch) in branches.iter().enumerate() {
            let inherited = branch.fault_of_parent(first, &checked);
            let path = inherited.map_or_else(|| self.path(index, branch), Err);
            checked.push(path.as_ref().map(|_| ()).map_err(Error::clone));
            self.branches.push(path.unwrap_or_default());
        }
        let asked: Vec<usize> = (0..branches.len()).filter(|&index| checked[index].is_ok()).collect();
        let paths: Vec<&Path> = asked.iter().map(|&index| &self.branches[first + index]).collect();
        let scored = self.engine.scored(&paths, |at, rows| {
            score(BranchId(first + asked[at]), &branches[asked[at]], paths[at], rows)
        });
        let mut scored = scored?.into_iter();
        let mut scores: Vec<Result<BranchScore, Error>> = Vec::with_capacity(branches.len());
        for (branch, checked) in branches.iter().zip(checked) {
            let score = checked.and_then(|()| {
                scored.next().ok_or_else(|| Error::engine("an array that was asked for is missing"))?
            });
            match (score, branch.fault_of_parent(first, &scores)) {
                (Err(error), _) if !error.is_about_the_item() => return Err(error),
                (Ok(_), Some(fault)) => scores.push(Err(fault)),
                (score, _) => scores.push(score),
            }
        }
        Ok(scores)
    }

    /// The path of a branch, checked.
    fn path(&self, index: usize, branch: &Branch) -> Result<Path, Error> {
        let mut tokens = match branch.parent {
            None if branch.tokens.is_empty() => return Err(Error::EmptyContext),
            None => Vec::new(),
            Some(parent) => {
                let path = self.branches.get(parent.branch.0);
                let available = path.map_or(0, |path| path.n_own);
                let path = path.filter(|_| (1..=available).contains(&parent.n_tokens));
                let Some(path) = path else {
                    let (parent, n_tokens) = (parent.branch.0, parent.n_tokens);
                    return Err(Error::BadFork { branch: index, parent, n_tokens, available });
                };
                path.tokens[..path.n_before() + parent.n_tokens].to_vec()
            }
        };
        tokens.extend(&branch.tokens);
        let info = &self.engine.info;
        if tokens.len() > info.context_length {
            return Err(Error::ContextTooLong { n_tokens: tokens.len(), limit: info.context_length });
        }
        check_vocabulary(branch, info.vocab_size)?;
        let mut path = Path { tokens, n_own: branch.tokens.len(), rows: Vec::new(), keep: branch.keep };
        path.rows = path.rows_of(branch);
        Ok(path)
    }
}

fn check_vocabulary(branch: &Branch, vocab_size: usize) -> Result<(), Error> {
    let classes = branch.next.iter().flat_map(|next| &next.classes);
    if let Some(n_tokens) = classes.map(|classes| classes.class_of.len()).find(|&n| n != vocab_size) {
        return Err(Error::BadClasses { n_tokens, vocab_size });
    }
    let gathered = branch.next.iter().flat_map(|next| next.gather.iter());
    match branch.tokens.iter().chain(gathered).find(|&&token| token as usize >= vocab_size) {
        Some(&token) => Err(Error::UnknownToken { token, vocab_size }),
        None => Ok(()),
    }
}

impl Engine {
    /// Asks the object for the logits of paths and reads them; `rows` of a path are its logits, one after the other.
    pub(super) fn scored<T: Send>(
        &self,
        paths: &[&Path],
        read: impl Fn(usize, &[f32]) -> T + Sync,
    ) -> Result<Vec<T>, Error> {
        Python::attach(|py| {
            let found = self.ask(py, paths).map_err(|error| Error::engine(raised(py, error)))?;
            let rows: Result<Vec<&[f32]>, _> = found.iter().map(|array| array.as_slice()).collect();
            let rows = rows.map_err(|error| Error::engine(error.to_string()))?;
            Ok(py.detach(|| rows.par_iter().enumerate().map(|(index, rows)| read(index, rows)).collect()))
        })
    }

    fn ask<'py>(&self, py: Python<'py>, paths: &[&Path]) -> PyResult<Vec<numpy::PyReadonlyArray2<'py, f32>>> {
        let class = py.import("entrace._backend")?.getattr("Path")?;
        let path = |path: &&Path| {
            let tokens = |tokens: &[TokenId]| ids(py, tokens.iter().map(|&token| token as usize));
            let (context, own) = path.tokens.split_at(path.n_before());
            class.call1((tokens(context), tokens(own), ids(py, path.rows.iter().copied()), path.keep))
        };
        let asked: Vec<Bound<'py, PyAny>> = paths.iter().map(path).collect::<PyResult<_>>()?;
        let found = self.object.bind(py).call_method1("score", (asked,))?;
        let found: Vec<Bound<'py, PyAny>> = found.try_iter()?.collect::<PyResult<_>>()?;
        if found.len() != paths.len() {
            let problem = format!("score gave {} arrays for {} paths", found.len(), paths.len());
            return Err(PyValueError::new_err(problem));
        }
        found.iter().zip(paths).map(|(found, path)| self.logits("score", found, path.rows.len())).collect()
    }
}

/// What was asked of a branch, from the logits at its places.
fn score(id: BranchId, branch: &Branch, path: &Path, logits: &[f32]) -> Result<BranchScore, Error> {
    let vocab_size = logits.len() / path.rows.len().max(1);
    let row_at = |place: usize| {
        let at =
            path.rows.binary_search(&place).map_err(|_| Error::engine("a row that was not asked for"))?;
        LogitRow::of(&logits[at * vocab_size..(at + 1) * vocab_size]).ok_or(Error::NotFinite { index: place })
    };
    let (mut token_logprobs, mut token_sharpness) = (Vec::new(), Vec::new());
    let n_scored = if branch.token_scores == TokenScores::None { 0 } else { branch.tokens.len() };
    for (i, &token) in branch.tokens[..n_scored].iter().enumerate() {
        let row = (path.n_before() + i).checked_sub(1).map(row_at).transpose()?;
        token_logprobs.push(row.as_ref().map(|row| row.logprob(token)));
        if branch.token_scores == TokenScores::Full {
            token_sharpness.push(row.as_ref().map(LogitRow::sharpness));
        }
    }
    let next = match &branch.next {
        Some(request) => Some(row_at(path.tokens.len() - 1)?.next(request)),
        None => None,
    };
    Ok(BranchScore { id, token_logprobs, token_sharpness, next })
}
