//! The token tree on the local decoder.
//!
//! A session owns an arena of cache slots and the last hidden states of what it keeps. One call takes new branches, gives them slots (kept
//! ones first, so that the others' slots are free again afterwards), runs their tokens in packed passes, and then runs the output head
//! on exactly the rows that somebody asked about: the row before a token whose log-probability is wanted, the last row of a branch whose
//! next token is wanted. Rows of earlier calls can be asked about too, through their kept hidden states. Branches of one call that begin
//! alike after the same tokens, as the prompts of a task do, run their beginning once.

use crate::cache::LentArena;
use crate::decoder::Decoder;
use crate::error::Error as DecoderError;
use crate::ops::reduce::{RowSums, class_logmass, top};
use crate::passes::{self, Hidden, HiddenRow, Run};
use crate::shared::{self, Beginning};
use entrace_backend::{
    Branch, BranchId, BranchScore, Error, NextRequest, NextScore, Parent, ScoreTree, Sharpness, TokenScores,
    TreeSession,
};
use entrace_measure::TokenId;
use std::collections::BTreeMap;
use std::ops::Range;

impl ScoreTree for Decoder {
    fn session(&self) -> Result<Box<dyn TreeSession + '_>, Error> {
        let arena = self.model.arena(0)?;
        Ok(Box::new(Session {
            decoder: self,
            arena,
            n_slots: 0,
            hidden: Hidden::default(),
            branches: Vec::new(),
        }))
    }
}

struct Session<'a> {
    decoder: &'a Decoder,
    arena: LentArena<'a>,
    n_slots: usize,
    hidden: Hidden,
    branches: Vec<Placed>,
}

/// A branch that has been run. One that is not kept has no tokens any more.
#[derive(Default)]
struct Placed {
    ancestors: Vec<Range<usize>>,
    /// Slots of its first tokens where an earlier branch has run them.
    shared: Vec<Range<usize>>,
    /// Slot of the first token after those.
    first_slot: usize,
    rows: Vec<HiddenRow>,
    /// The row before its first token; `None` for a root.
    before: Option<HiddenRow>,
}

impl Placed {
    fn n_tokens(&self) -> usize {
        self.rows.len()
    }

    fn n_ancestors(&self) -> usize {
        self.ancestors.iter().map(Range::len).sum()
    }

    fn n_shared(&self) -> usize {
        self.shared.iter().map(Range::len).sum()
    }

    /// Slots of its first `n` tokens.
    fn own(&self, n: usize) -> Vec<Range<usize>> {
        let after = self.first_slot..self.first_slot + n.saturating_sub(self.n_shared());
        shared::first_slots(self.shared.iter().cloned().chain([after]), n)
    }

    /// Slots of the path that ends after `n` of its tokens.
    fn path(&self, n: usize) -> Vec<Range<usize>> {
        let mut path = self.ancestors.clone();
        path.extend(self.own(n));
        path
    }
}

/// Something to read off one row of logits.
enum Want {
    Token { branch: usize, index: usize, token: TokenId },
    Next { branch: usize },
}

/// What was read.
enum Read {
    Token { branch: usize, index: usize, logprob: f64, sharpness: Option<Sharpness> },
    Next { branch: usize, score: NextScore },
    Damaged { row: usize },
}

impl TreeSession for Session<'_> {
    fn extend(&mut self, branches: &[Branch]) -> Result<Vec<BranchScore>, Error> {
        let lengths = self.check(branches)?;
        let placed = self.run(branches, &lengths)?;
        let scores = self.score(branches, &placed)?;
        self.keep(branches, placed);
        Ok(scores)
    }

    fn truncate(&mut self, n_branches: usize) {
        self.branches.truncate(n_branches);
        self.forget_unused();
    }

    fn n_branches(&self) -> usize {
        self.branches.len()
    }
}

impl Session<'_> {
    /// Checks all branches and says how many tokens of each must be run.
    fn check(&self, branches: &[Branch]) -> Result<Vec<usize>, Error> {
        let first_id = self.branches.len();
        let spec = self.decoder.model.spec();
        let mut must_run_all = vec![false; branches.len()];
        let mut path_lengths: Vec<usize> = Vec::with_capacity(branches.len());
        for (index, branch) in branches.iter().enumerate() {
            let before = match branch.parent {
                None if branch.tokens.is_empty() => return Err(Error::EmptyContext),
                None => 0,
                Some(parent) => {
                    let available = self.tokens_of(parent.branch, first_id, &branches[..index]);
                    if parent.n_tokens == 0 || parent.n_tokens > available {
                        return Err(Error::BadFork {
                            branch: index,
                            parent: parent.branch.0,
                            n_tokens: parent.n_tokens,
                            available,
                        });
                    }
                    match parent.branch.0.checked_sub(first_id) {
                        None => self.branches[parent.branch.0].n_ancestors() + parent.n_tokens,
                        Some(sibling) => {
                            must_run_all[sibling] |= parent.n_tokens == available;
                            path_lengths[sibling] - branches[sibling].tokens.len() + parent.n_tokens
                        }
                    }
                }
            };
            let n_tokens = before + branch.tokens.len();
            if n_tokens > spec.context_length {
                return Err(Error::ContextTooLong { n_tokens, limit: spec.context_length });
            }
            check_tokens(branch, spec.vocab_size)?;
            path_lengths.push(n_tokens);
        }
        Ok(branches
            .iter()
            .zip(must_run_all)
            .map(|(branch, forked)| {
                let all = forked || branch.keep || branch.next.is_some();
                branch.tokens.len() - usize::from(!all && !branch.tokens.is_empty())
            })
            .collect())
    }

    fn tokens_of(&self, id: BranchId, first_id: usize, earlier: &[Branch]) -> usize {
        match id.0.checked_sub(first_id) {
            None => self.branches[id.0].n_tokens(),
            Some(sibling) => earlier.get(sibling).map_or(0, |b| b.tokens.len()),
        }
    }

    /// Gives slots to the tokens and runs them.
    fn run(&mut self, branches: &[Branch], lengths: &[usize]) -> Result<Vec<Placed>, Error> {
        let first_id = self.branches.len();
        let beginnings = self.beginnings(branches, lengths);
        let n_shared = |index: usize| beginnings[index].map_or(0, |beginning| beginning.n_tokens);
        let mut next_slot = self.n_slots;
        let mut first_slots = vec![0; branches.len()];
        for kept in [true, false] {
            for (index, _) in branches.iter().enumerate().filter(|(_, b)| b.keep == kept) {
                first_slots[index] = next_slot;
                next_slot += lengths[index] - n_shared(index);
            }
        }
        self.arena.reserve(next_slot).map_err(DecoderError::from)?;

        let mut placed: Vec<Placed> = Vec::with_capacity(branches.len());
        for ((branch, first_slot), beginning) in branches.iter().zip(first_slots).zip(&beginnings) {
            let ancestors = match branch.parent {
                None => Vec::new(),
                Some(Parent { branch, n_tokens }) => match branch.0.checked_sub(first_id) {
                    None => self.branches[branch.0].path(n_tokens),
                    Some(sibling) => placed[sibling].path(n_tokens),
                },
            };
            let shared = beginning.map_or_else(Vec::new, |b| placed[b.of].own(b.n_tokens));
            placed.push(Placed { ancestors, shared, first_slot, ..Placed::default() });
        }
        let runs: Vec<Run<'_>> = branches
            .iter()
            .zip(&placed)
            .zip(lengths)
            .map(|((branch, placed), &n)| Run {
                token_ids: &branch.tokens[placed.n_shared()..n],
                ancestors: placed.path(placed.n_shared()),
                first_slot: placed.first_slot,
                path_length: placed.n_ancestors() + branch.tokens.len(),
                lone: branch.tokens.len() == 1,
            })
            .collect();
        let rows = passes::run(
            &self.decoder.model,
            &mut self.arena,
            &mut self.hidden,
            &runs,
            self.decoder.options.max_rows,
        )?;
        for (index, own_rows) in rows.into_iter().enumerate() {
            let shared = beginnings[index].map(|b| placed[b.of].rows[..b.n_tokens].to_vec());
            placed[index].rows = shared.unwrap_or_default();
            placed[index].rows.extend(own_rows);
        }
        for (index, branch) in branches.iter().enumerate() {
            placed[index].before =
                branch.parent.map(|Parent { branch, n_tokens }| match branch.0.checked_sub(first_id) {
                    None => self.branches[branch.0].rows[n_tokens - 1],
                    Some(sibling) => placed[sibling].rows[n_tokens - 1],
                });
        }
        Ok(placed)
    }

    /// What each branch shares with an earlier one that is kept as long as it is.
    fn beginnings(&self, branches: &[Branch], lengths: &[usize]) -> Vec<Option<Beginning>> {
        let spec = self.decoder.model.spec();
        let mut path_lengths: Vec<usize> = Vec::with_capacity(branches.len());
        for branch in branches {
            let before = branch.parent.map_or(0, |Parent { branch, n_tokens }| {
                let before = match branch.0.checked_sub(self.branches.len()) {
                    None => self.branches[branch.0].n_ancestors(),
                    Some(sibling) => path_lengths[sibling] - branches[sibling].tokens.len(),
                };
                before + n_tokens
            });
            path_lengths.push(before + branch.tokens.len());
        }
        shared::beginnings(branches.iter().zip(lengths).zip(path_lengths).map(|((branch, &n), length)| {
            let context = (branch.parent, branch.keep, spec.turning_lengths(length));
            (context, &branch.tokens[..n])
        }))
    }

    fn score(&self, branches: &[Branch], placed: &[Placed]) -> Result<Vec<BranchScore>, Error> {
        let wants = wants(branches, placed);
        let rows: Vec<HiddenRow> = wants.keys().copied().collect();
        let wants: Vec<Vec<Want>> = wants.into_values().collect();
        let mut scores = empty_scores(branches, self.branches.len());
        if rows.is_empty() {
            return Ok(scores);
        }
        let hidden = self.hidden.gather(&rows)?;
        let head = self.decoder.model.head();
        let reads = head
            .map_rows(&hidden, |row, logits| read_row(branches, row, &wants[row], logits))
            .map_err(DecoderError::from)?;
        for read in reads.into_iter().flatten() {
            match read {
                Read::Token { branch, index, logprob, sharpness } => {
                    scores[branch].token_logprobs[index] = Some(logprob);
                    if let Some(slot) = scores[branch].token_sharpness.get_mut(index) {
                        *slot = sharpness;
                    }
                }
                Read::Next { branch, score } => scores[branch].next = Some(score),
                Read::Damaged { row } => {
                    let index = last_position(&wants[row][0], branches, placed);
                    return Err(Error::NotFinite { index });
                }
            }
        }
        Ok(scores)
    }

    /// Remembers kept branches; the others keep their number only.
    fn keep(&mut self, branches: &[Branch], placed: Vec<Placed>) {
        for (branch, placed) in branches.iter().zip(placed) {
            self.branches.push(if branch.keep { placed } else { Placed::default() });
        }
        self.forget_unused();
    }

    /// Frees slots and hidden states behind the last branch that still holds some.
    fn forget_unused(&mut self) {
        let slots = self
            .branches
            .iter()
            .map(|b| if b.rows.is_empty() { 0 } else { b.first_slot + b.n_tokens() - b.n_shared() });
        self.n_slots = slots.max().unwrap_or(0);
        let passes = self.branches.iter().filter_map(|b| b.rows.last()).map(|row| row.pass + 1);
        self.hidden.truncate(passes.max().unwrap_or(0));
    }
}

fn check_tokens(branch: &Branch, vocab_size: usize) -> Result<(), Error> {
    let gathered = branch.next.iter().flat_map(|next| next.gather.iter());
    match branch.tokens.iter().chain(gathered).find(|&&token| token as usize >= vocab_size) {
        Some(&token) => Err(Error::UnknownToken { token, vocab_size }),
        None => Ok(()),
    }
}

/// What is wanted of each row, in the order of rows.
fn wants(branches: &[Branch], placed: &[Placed]) -> BTreeMap<HiddenRow, Vec<Want>> {
    let mut wants: BTreeMap<HiddenRow, Vec<Want>> = BTreeMap::new();
    for (index, (branch, placed)) in branches.iter().zip(placed).enumerate() {
        if branch.token_scores != TokenScores::None {
            for (i, &token) in branch.tokens.iter().enumerate() {
                let row = if i == 0 { placed.before } else { Some(placed.rows[i - 1]) };
                if let Some(row) = row {
                    wants.entry(row).or_default().push(Want::Token { branch: index, index: i, token });
                }
            }
        }
        let last = placed.rows.last().copied().or(placed.before);
        if let (Some(_), Some(row)) = (&branch.next, last) {
            wants.entry(row).or_default().push(Want::Next { branch: index });
        }
    }
    wants
}

fn empty_scores(branches: &[Branch], first_id: usize) -> Vec<BranchScore> {
    let n_tokens = |branch: &Branch, wanted: bool| if wanted { branch.tokens.len() } else { 0 };
    branches
        .iter()
        .enumerate()
        .map(|(index, branch)| BranchScore {
            id: BranchId(first_id + index),
            token_logprobs: vec![None; n_tokens(branch, branch.token_scores != TokenScores::None)],
            token_sharpness: vec![None; n_tokens(branch, branch.token_scores == TokenScores::Full)],
            next: None,
        })
        .collect()
}

/// Position, in its context, of the token whose row of logits is wanted.
fn last_position(want: &Want, branches: &[Branch], placed: &[Placed]) -> usize {
    let (branch, n_own) = match *want {
        Want::Token { branch, index, .. } => (branch, index),
        Want::Next { branch } => (branch, branches[branch].tokens.len()),
    };
    placed[branch].n_ancestors() + n_own - 1
}

fn read_row(branches: &[Branch], row: usize, wants: &[Want], logits: &[f32]) -> Vec<Read> {
    let Some(sums) = RowSums::of(logits) else { return vec![Read::Damaged { row }] };
    wants
        .iter()
        .map(|want| match *want {
            Want::Token { branch, index, token } => {
                let logprob = sums.logprob(logits[token as usize]);
                let full = branches[branch].token_scores == TokenScores::Full;
                let sharpness = full.then(|| sums.sharpness(logits));
                Read::Token { branch, index, logprob, sharpness }
            }
            Want::Next { branch } => {
                let empty = NextRequest::default();
                let request = branches[branch].next.as_ref().unwrap_or(&empty);
                Read::Next { branch, score: next_score(request, logits, &sums) }
            }
        })
        .collect()
}

fn next_score(request: &NextRequest, logits: &[f32], sums: &RowSums) -> NextScore {
    NextScore {
        entropy: sums.entropy,
        gather: request.gather.iter().map(|&token| sums.logprob(logits[token as usize])).collect(),
        class_logmass: request
            .classes
            .as_ref()
            .map_or_else(Vec::new, |classes| class_logmass(logits, classes, sums)),
        top: top(logits, request.top_k, sums),
    }
}
