//! The token tree on the local decoder.
//!
//! A session owns an arena of cache slots and the last hidden states of what it keeps. One call takes new branches, gives them slots (kept
//! ones first, so that the others' slots are free again afterwards), runs their tokens in packed passes, and then runs the output head
//! on exactly the rows that somebody asked about: the row before a token whose log-probability is wanted, the last row of a branch whose
//! next token is wanted. Rows of earlier calls can be asked about too, through their kept hidden states. Branches of one call that begin
//! alike after the same tokens, as the prompts of a task do, run their beginning once.
//!
//! Completions are drawn on the same arena (`generate`), and become branches with the keys and the hidden states that they were written with.
//!
//! Some rotary scalings turn keys by angles that depend on the length of the whole path. Keys that were turned by others are of no use
//! to a branch, so it runs its context anew: every branch scores as its path would as a root.

use crate::cache::LentArena;
use crate::decoder::Decoder;
use crate::error::Error as DecoderError;
use crate::passes::{self, Hidden, HiddenRow, Run};
use crate::row::LogitRow;
use crate::shared::{self, Beginning};
use entrace_backend::{
    Branch, BranchId, BranchScore, Each, Error, NextRequest, NextScore, Parent, ScoreTree, Sharpness,
    TokenScores, TreeSession,
};
use entrace_measure::TokenId;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

impl ScoreTree for Decoder {
    fn session(&self) -> Result<Box<dyn TreeSession + '_>, Error> {
        Ok(Box::new(Session::new(self)?))
    }
}

pub(crate) struct Session<'a> {
    decoder: &'a Decoder,
    pub(crate) arena: LentArena<'a>,
    /// Slots from here on are free.
    n_slots: usize,
    /// What is kept beside the branches.
    held: Held,
    pub(crate) hidden: Hidden,
    branches: Vec<Placed>,
}

/// What a session keeps although no branch holds it: slots and passes below these.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    pub(crate) slots: usize,
    pub(crate) passes: usize,
}

/// The first tokens of a new branch where they have been run already, after the same path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grown {
    pub(crate) slots: Vec<Range<usize>>,
    pub(crate) rows: Vec<HiddenRow>,
}

/// A branch that has been run. One that is not kept has no tokens any more.
#[derive(Default)]
pub(crate) struct Placed {
    parent: Option<Parent>,
    token_ids: Vec<TokenId>,
    pub(crate) turning: Vec<usize>,
    /// Slots of its context, unless that was run anew.
    ancestors: Vec<Range<usize>>,
    /// Tokens of its context that were run anew with it; its own follow.
    n_anew: usize,
    /// Slots of its first tokens where those had been run: with an earlier branch, or as they were drawn.
    shared: Vec<Range<usize>>,
    /// Slot of the first token after those.
    first_slot: usize,
    /// Of all tokens run with it.
    rows: Vec<HiddenRow>,
    /// The row before its first token; `None` for a root.
    before: Option<HiddenRow>,
}

impl Placed {
    pub(crate) fn n_tokens(&self) -> usize {
        self.rows.len() - self.n_anew
    }

    pub(crate) fn token_ids(&self) -> &[TokenId] {
        &self.token_ids
    }

    /// Number of tokens before its own.
    fn n_before(&self) -> usize {
        self.ancestors.iter().map(Range::len).sum::<usize>() + self.n_anew
    }

    fn n_shared(&self) -> usize {
        self.shared.iter().map(Range::len).sum()
    }

    /// Slots of the first `n` tokens run with it.
    fn run_with_it(&self, n: usize) -> Vec<Range<usize>> {
        let after = self.first_slot..self.first_slot + n.saturating_sub(self.n_shared());
        shared::first_slots(self.shared.iter().cloned().chain([after]), n)
    }

    /// Slots of the path that ends after `n` of its tokens.
    pub(crate) fn path(&self, n: usize) -> Vec<Range<usize>> {
        let mut path = self.ancestors.clone();
        path.extend(self.run_with_it(self.n_anew + n));
        path
    }

    /// The row of its token `index`.
    pub(crate) fn row(&self, index: usize) -> HiddenRow {
        self.rows[self.n_anew + index]
    }

    /// The row of the last token before the one that would come next.
    pub(crate) fn last_row(&self) -> Option<HiddenRow> {
        self.rows.last().copied().or(self.before)
    }
}

/// How far a branch reaches. The default is that of one that is not run.
#[derive(Default)]
struct Extent {
    /// Tokens of its own that must be run.
    n_run: usize,
    /// Tokens of its whole path.
    n_path: usize,
    /// Whether its slots are kept: it is, or a kept one of the same call forks from it.
    keep: bool,
}

/// What is run for a branch.
struct Work<'a> {
    /// What it continues; nothing if its context is run anew.
    parent: Option<Parent>,
    n_anew: usize,
    token_ids: Cow<'a, [TokenId]>,
    turning: Vec<usize>,
}

/// What of new branches need not be run.
struct Known<'a> {
    beginnings: &'a [Option<Beginning>],
    grown: &'a [Grown],
}

impl Known<'_> {
    fn n_tokens(&self, branch: usize) -> usize {
        self.beginnings[branch].map_or(self.grown[branch].rows.len(), |beginning| beginning.n_tokens)
    }
}

/// Something to read off one row of logits.
enum Want {
    Token { branch: usize, index: usize, token: TokenId },
    Next { branch: usize },
}

impl Want {
    fn branch(&self) -> usize {
        match *self {
            Self::Token { branch, .. } | Self::Next { branch } => branch,
        }
    }
}

/// What was read.
enum Read {
    Token { branch: usize, index: usize, logprob: f64, sharpness: Option<Sharpness> },
    Next { branch: usize, score: NextScore },
    Damaged { row: usize },
}

impl TreeSession for Session<'_> {
    fn extend_each(&mut self, branches: &[Branch]) -> Each<BranchScore> {
        self.extend_grown(branches, Vec::new())
    }

    fn truncate(&mut self, n_branches: usize) {
        self.branches.truncate(n_branches);
        self.forget_unused();
    }

    fn n_branches(&self) -> usize {
        self.branches.len()
    }
}

impl<'a> Session<'a> {
    pub(crate) fn new(decoder: &'a Decoder) -> Result<Self, Error> {
        Ok(Self {
            decoder,
            arena: decoder.model.arena(0)?,
            n_slots: 0,
            held: Held::default(),
            hidden: Hidden::default(),
            branches: Vec::new(),
        })
    }

    /// A branch that was added; `None` for a number that none has.
    pub(crate) fn branch(&self, id: BranchId) -> Option<&Placed> {
        self.branches.get(id.0)
    }

    /// The first free slot.
    pub(crate) fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// Keeps this beside the branches, and no longer what was kept before.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held = held;
        self.forget_unused();
    }

    /// The tokens of the path up to a place.
    pub(crate) fn path_to(&self, place: Parent) -> Vec<TokenId> {
        self.path_ids(place, &[])
    }

    /// Adds branches; what is grown of the first of them, which may be nothing, is not run again.
    pub(crate) fn extend_grown(&mut self, branches: &[Branch], mut grown: Vec<Grown>) -> Each<BranchScore> {
        grown.resize_with(branches.len(), Grown::default);
        let checked = self.check(branches);
        let branches = sound(branches, &checked);
        let faults: Vec<Option<Error>> =
            checked.iter().map(|checked| checked.as_ref().err().cloned()).collect();
        grown
            .iter_mut()
            .zip(&faults)
            .filter(|(_, fault)| fault.is_some())
            .for_each(|(grown, _)| *grown = Grown::default());
        let mut extents: Vec<Extent> = checked.into_iter().map(Result::unwrap_or_default).collect();
        let n_passes = self.hidden.n_passes();
        let scored = self.run(&branches, &extents, grown).and_then(|placed| {
            let scores = self.score(&branches, &placed, faults)?;
            Ok((placed, scores))
        });
        let (placed, scores) = scored.inspect_err(|_| self.hidden.truncate(n_passes))?;
        for (extent, _) in extents.iter_mut().zip(&scores).filter(|(_, score)| score.is_err()) {
            extent.keep = false;
        }
        self.keep(&extents, placed, n_passes);
        Ok(scores)
    }

    /// Checks all branches and says how far they reach.
    fn check(&self, branches: &[Branch]) -> Vec<Result<Extent, Error>> {
        let first_id = self.branches.len();
        let mut extents: Vec<Result<Extent, Error>> = Vec::with_capacity(branches.len());
        for (index, branch) in branches.iter().enumerate() {
            let extent = match branch.fault_of_parent(first_id, &extents) {
                Some(fault) => Err(fault),
                None => self.extent(branches, index, &extents),
            };
            let sibling = branch.parent.and_then(|parent| parent.branch.0.checked_sub(first_id));
            if let (Ok(_), Some(parent), Some(sibling)) = (&extent, branch.parent, sibling)
                && let Ok(of_parent) = &mut extents[sibling]
            {
                of_parent.n_run = of_parent.n_run.max(parent.n_tokens);
            }
            extents.push(extent);
        }
        for (index, branch) in branches.iter().enumerate().rev() {
            let sibling = branch.parent.and_then(|parent| parent.branch.0.checked_sub(first_id));
            if let Some(sibling) = sibling.filter(|_| extents[index].as_ref().is_ok_and(|extent| extent.keep))
                && let Ok(of_parent) = &mut extents[sibling]
            {
                of_parent.keep = true;
            }
        }
        extents
    }

    /// How far a branch reaches by itself, if it is in order.
    fn extent(
        &self,
        branches: &[Branch],
        index: usize,
        earlier: &[Result<Extent, Error>],
    ) -> Result<Extent, Error> {
        let (branch, first_id) = (&branches[index], self.branches.len());
        let before = match branch.parent {
            None if branch.tokens.is_empty() => return Err(Error::EmptyContext),
            None => 0,
            Some(Parent { branch: parent, n_tokens }) => {
                let available = self.tokens_of(parent, first_id, &branches[..index]);
                if n_tokens == 0 || n_tokens > available {
                    return Err(Error::BadFork { branch: index, parent: parent.0, n_tokens, available });
                }
                let before_parent = match parent.0.checked_sub(first_id) {
                    None => self.branches[parent.0].n_before(),
                    Some(sibling) => earlier[sibling]
                        .as_ref()
                        .map_or(0, |extent| extent.n_path - branches[sibling].tokens.len()),
                };
                before_parent + n_tokens
            }
        };
        let spec = self.decoder.model.spec();
        let n_path = before + branch.tokens.len();
        if n_path > spec.context_length {
            return Err(Error::ContextTooLong { n_tokens: n_path, limit: spec.context_length });
        }
        check_requests(branch, spec.vocab_size)?;
        let all = branch.keep || branch.next.is_some();
        let n_run = if all { branch.tokens.len() } else { branch.tokens.len().saturating_sub(1) };
        Ok(Extent { n_run, n_path, keep: branch.keep })
    }

    fn tokens_of(&self, id: BranchId, first_id: usize, earlier: &[Branch]) -> usize {
        match id.0.checked_sub(first_id) {
            None => self.branches[id.0].n_tokens(),
            Some(sibling) => earlier.get(sibling).map_or(0, |b| b.tokens.len()),
        }
    }

    /// Gives slots to the tokens and runs them.
    fn run(
        &mut self,
        branches: &[Branch],
        extents: &[Extent],
        mut grown: Vec<Grown>,
    ) -> Result<Vec<Placed>, Error> {
        let works = self.works(branches, extents);
        for (grown, _) in grown.iter_mut().zip(&works).filter(|(_, work)| work.n_anew > 0) {
            *grown = Grown::default();
        }
        let mut beginnings = shared::beginnings(works.iter().zip(extents).map(|(work, extent)| {
            let context = (work.parent, extent.keep, work.turning.as_slice());
            (context, &*work.token_ids)
        }));
        for (beginning, _) in beginnings.iter_mut().zip(&grown).filter(|(_, grown)| !grown.rows.is_empty()) {
            *beginning = None;
        }
        let mut placed =
            self.place(branches, extents, &works, &Known { beginnings: &beginnings, grown: &grown })?;
        let runs: Vec<Run<'_>> = works
            .iter()
            .zip(&placed)
            .zip(extents)
            .map(|((work, placed), extent)| Run {
                token_ids: &work.token_ids[placed.n_shared()..],
                ancestors: {
                    let mut path = placed.ancestors.clone();
                    path.extend(placed.shared.iter().cloned());
                    path
                },
                first_slot: placed.first_slot,
                path_length: extent.n_path,
            })
            .collect();
        let max_rows = self.decoder.options.max_rows;
        let rows = passes::run(&self.decoder.model, &mut self.arena, &mut self.hidden, &runs, max_rows)?;
        for (index, (own_rows, grown)) in rows.into_iter().zip(grown).enumerate() {
            let shared = beginnings[index].map(|b| placed[b.of].rows[..b.n_tokens].to_vec());
            placed[index].rows = shared.unwrap_or(grown.rows);
            placed[index].rows.extend(own_rows);
            placed[index].before = match (placed[index].n_anew, branches[index].parent) {
                (0, Some(parent)) => Some(self.find(parent, &placed).row(parent.n_tokens - 1)),
                (n_anew, _) => n_anew.checked_sub(1).map(|last| placed[index].rows[last]),
            };
        }
        Ok(placed)
    }

    /// The branch that another forks from, of this call or an earlier one.
    fn find<'b>(&'b self, parent: Parent, siblings: &'b [Placed]) -> &'b Placed {
        match parent.branch.0.checked_sub(self.branches.len()) {
            None => &self.branches[parent.branch.0],
            Some(sibling) => &siblings[sibling],
        }
    }

    /// What to run for each branch. Where angles depend on the length of the path, and that of a branch calls for other ones than those
    /// of its parent, the whole path is run anew.
    fn works<'b>(&self, branches: &'b [Branch], extents: &[Extent]) -> Vec<Work<'b>> {
        let spec = self.decoder.model.spec();
        let mut works: Vec<Work<'b>> = Vec::with_capacity(branches.len());
        for (branch, extent) in branches.iter().zip(extents) {
            let turning = spec.turning_lengths(extent.n_path);
            let own = &branch.tokens[..extent.n_run];
            let turning_before =
                branch.parent.map(|parent| match parent.branch.0.checked_sub(self.branches.len()) {
                    None => &self.branches[parent.branch.0].turning,
                    Some(sibling) => &works[sibling].turning,
                });
            works.push(match branch.parent {
                Some(parent) if turning_before != Some(&turning) => {
                    let mut token_ids = self.path_ids(parent, branches);
                    let n_anew = token_ids.len();
                    token_ids.extend_from_slice(own);
                    Work { parent: None, n_anew, token_ids: token_ids.into(), turning }
                }
                parent => Work { parent, n_anew: 0, token_ids: own.into(), turning },
            });
        }
        works
    }

    /// The tokens of the path that ends in a branch.
    fn path_ids(&self, end: Parent, siblings: &[Branch]) -> Vec<TokenId> {
        let mut parts = Vec::new();
        let mut next = Some(end);
        while let Some(Parent { branch, n_tokens }) = next {
            let (token_ids, parent) = match branch.0.checked_sub(self.branches.len()) {
                None => (&self.branches[branch.0].token_ids, self.branches[branch.0].parent),
                Some(sibling) => (&siblings[sibling].tokens, siblings[sibling].parent),
            };
            parts.push(&token_ids[..n_tokens]);
            next = parent;
        }
        parts.into_iter().rev().flatten().copied().collect()
    }

    /// Gives slots to what is run.
    fn place(
        &mut self,
        branches: &[Branch],
        extents: &[Extent],
        works: &[Work<'_>],
        known: &Known<'_>,
    ) -> Result<Vec<Placed>, Error> {
        let n_new = |index: usize| works[index].token_ids.len() - known.n_tokens(index);
        let mut next_slot = self.n_slots;
        let mut first_slots = vec![0; branches.len()];
        for kept in [true, false] {
            for index in (0..branches.len()).filter(|&index| extents[index].keep == kept) {
                first_slots[index] = next_slot;
                next_slot += n_new(index);
            }
        }
        self.arena.reserve(next_slot).map_err(DecoderError::from)?;

        let mut placed: Vec<Placed> = Vec::with_capacity(branches.len());
        for (index, (branch, work)) in branches.iter().zip(works).enumerate() {
            let ancestors = work.parent.map(|parent| self.find(parent, &placed).path(parent.n_tokens));
            let shared = known.beginnings[index].map(|b| placed[b.of].run_with_it(b.n_tokens));
            placed.push(Placed {
                parent: branch.parent,
                token_ids: branch.tokens.clone(),
                turning: work.turning.clone(),
                ancestors: ancestors.unwrap_or_default(),
                n_anew: work.n_anew,
                shared: shared.unwrap_or_else(|| known.grown[index].slots.clone()),
                first_slot: first_slots[index],
                ..Placed::default()
            });
        }
        Ok(placed)
    }

    /// What is asked about the branches; `faults` are those of branches that were not run.
    fn score(
        &self,
        branches: &[Branch],
        placed: &[Placed],
        mut faults: Vec<Option<Error>>,
    ) -> Each<BranchScore> {
        let first_id = self.branches.len();
        let wants = wants(branches, placed);
        let rows: Vec<HiddenRow> = wants.keys().copied().collect();
        let wants: Vec<Vec<Want>> = wants.into_values().collect();
        let mut scores = empty_scores(branches, first_id);
        let mut reads = Vec::new();
        if !rows.is_empty() {
            let hidden = self.hidden.gather(&rows)?;
            let head = self.decoder.model.head();
            reads = head
                .map_rows(&hidden, |row, logits| read_row(branches, row, &wants[row], logits))
                .map_err(DecoderError::from)?;
        }
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
                    for want in &wants[row] {
                        let index = last_position(want, branches, placed);
                        faults[want.branch()].get_or_insert(Error::NotFinite { index });
                    }
                }
            }
        }
        let mut each: Vec<Result<BranchScore, Error>> = Vec::with_capacity(branches.len());
        for ((branch, score), fault) in branches.iter().zip(scores).zip(faults) {
            let fault = fault.or_else(|| branch.fault_of_parent(first_id, &each));
            each.push(fault.map_or(Ok(score), Err));
        }
        Ok(each)
    }

    /// Remembers kept branches; the others keep their number only. `first_pass` is the first that this call ran.
    fn keep(&mut self, extents: &[Extent], placed: Vec<Placed>, first_pass: usize) {
        let kept = placed.iter().zip(extents).filter(|(_, extent)| extent.keep);
        let used: HashSet<usize> =
            kept.flat_map(|(placed, _)| placed.rows.iter().map(|row| row.pass)).collect();
        self.hidden.retain(first_pass, &used);
        for (extent, placed) in extents.iter().zip(placed) {
            self.branches.push(if extent.keep { placed } else { Placed::default() });
        }
        self.forget_unused();
    }

    /// Frees slots and hidden states behind the last branch that still holds some.
    fn forget_unused(&mut self) {
        let end = |branch: &Placed| match branch.rows.len() - branch.n_shared() {
            0 => 0,
            n_own => branch.first_slot + n_own,
        };
        let slots = self.branches.iter().flat_map(|b| b.shared.iter().map(|range| range.end).chain([end(b)]));
        self.n_slots = slots.max().unwrap_or(0).max(self.held.slots);
        let passes = self.branches.iter().filter_map(|b| b.rows.last()).map(|row| row.pass + 1);
        self.hidden.truncate(passes.max().unwrap_or(0).max(self.held.passes));
    }
}

/// The branches, with nothing in the place of those that cannot be run.
fn sound<'b>(branches: &'b [Branch], checked: &[Result<Extent, Error>]) -> Cow<'b, [Branch]> {
    if checked.iter().all(Result::is_ok) {
        return Cow::Borrowed(branches);
    }
    let each = branches.iter().zip(checked);
    each.map(|(branch, checked)| if checked.is_ok() { branch.clone() } else { Branch::default() }).collect()
}

fn check_requests(branch: &Branch, vocab_size: usize) -> Result<(), Error> {
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

/// What is wanted of each row, in the order of rows.
fn wants(branches: &[Branch], placed: &[Placed]) -> BTreeMap<HiddenRow, Vec<Want>> {
    let mut wants: BTreeMap<HiddenRow, Vec<Want>> = BTreeMap::new();
    for (index, (branch, placed)) in branches.iter().zip(placed).enumerate() {
        if branch.token_scores != TokenScores::None {
            for (i, &token) in branch.tokens.iter().enumerate() {
                let row = if i == 0 { placed.before } else { Some(placed.row(i - 1)) };
                if let Some(row) = row {
                    wants.entry(row).or_default().push(Want::Token { branch: index, index: i, token });
                }
            }
        }
        if let (Some(_), Some(row)) = (&branch.next, placed.last_row()) {
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
    placed[branch].n_before() + n_own - 1
}

fn read_row(branches: &[Branch], row: usize, wants: &[Want], logits: &[f32]) -> Vec<Read> {
    let Some(logits) = LogitRow::of(logits) else { return vec![Read::Damaged { row }] };
    wants
        .iter()
        .map(|want| match *want {
            Want::Token { branch, index, token } => {
                let logprob = logits.logprob(token);
                let full = branches[branch].token_scores == TokenScores::Full;
                let sharpness = full.then(|| logits.sharpness());
                Read::Token { branch, index, logprob, sharpness }
            }
            Want::Next { branch } => {
                let empty = NextRequest::default();
                let request = branches[branch].next.as_ref().unwrap_or(&empty);
                Read::Next { branch, score: logits.next(request) }
            }
        })
        .collect()
}
