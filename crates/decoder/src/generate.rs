//! Sampling completions on a token tree: continuous batching.
//!
//! Places from which completions grow are branches of a session (`tree`), which runs contexts and what is added to them once. Every completion
//! is a sequence of its own that attends to the slots of its place. Up to `max_sequences` of them are live; each step runs one token of every
//! live one in a single pass, and a sequence that ends makes room for the next. A sequence takes cache slots behind those of the tree, in small
//! chunks, and gives them back at its end; one that is paused keeps them.
//!
//! A completion that draws the very tokens which follow its place in the branch needs no pass for them: they have been run. It takes its place
//! among the live ones where it parts from the branch.
//!
//! A completion that is kept becomes a branch with the slots and the hidden states of its sequence; at most its last token, which was drawn and
//! not run, is run then. A token has the same bits whether it was run by itself or with others, so beliefs about a trace do not depend on who
//! wrote it.
//!
//! Some rotary scalings turn keys by angles that depend on the length of the whole sequence. Where that length calls for other angles
//! than the keys before were turned by, a place or a sequence runs its whole context anew, in slots of its own.

use crate::error::Error as DecoderError;
use crate::language::LanguageModel;
use crate::ops::reduce::RowSums;
use crate::passes::{self, HiddenRow, Run};
use crate::sampler::draw;
use crate::sequence::{CHUNK, Done, Live, Origin, Waiting};
use crate::tree::{Grown, Held, Session};
use entrace_backend::generate::RequestCompletions;
use entrace_backend::sampling;
use entrace_backend::{
    Branch, BranchId, BranchScore, Completion, Each, Error, Generate, GenerateRequest, More, Parent, Place,
    Sampled, Sampling, SamplingSession, Sharpness, Stem, Text, TreeSession, Watcher,
};
use entrace_measure::{StopReason, TokenId};
use rand::RngExt;
use std::collections::{BTreeMap, VecDeque};

impl Generate for LanguageModel {
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<RequestCompletions> {
        sampling::generate(&mut Writing::new(self)?, self.info(), requests, sampling, watcher)
    }
}

/// A session of a model that writes.
pub(crate) struct Writing<'a> {
    model: &'a LanguageModel,
    tree: Session<'a>,
    /// Completions that are paused, by their newest branch.
    paused: BTreeMap<usize, Live>,
}

impl<'a> Writing<'a> {
    pub(crate) fn new(model: &'a LanguageModel) -> Result<Self, Error> {
        Ok(Self { model, tree: Session::new(&model.decoder)?, paused: BTreeMap::new() })
    }
}

impl TreeSession for Writing<'_> {
    fn extend_each(&mut self, branches: &[Branch]) -> Each<BranchScore> {
        self.tree.extend_each(branches)
    }

    fn truncate(&mut self, n_branches: usize) {
        self.paused.split_off(&n_branches);
        self.tree.truncate(n_branches);
        self.keep_paused();
    }

    fn n_branches(&self) -> usize {
        self.tree.n_branches()
    }
}

impl SamplingSession for Writing<'_> {
    fn sample(
        &mut self,
        stems: &[Stem],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<Vec<Sampled>> {
        let n_branches = self.n_branches();
        let drawn = self.origins(stems).and_then(|origins| {
            let faults = origins.iter().map(|origin| origin.as_ref().err().cloned()).collect();
            let origins = origins.into_iter().map(Result::ok).collect();
            let mut batch = Batch::new(self.model, &mut self.tree, (origins, faults), sampling, watcher);
            for (request, stem) in stems.iter().enumerate() {
                batch.enqueue(More { request, fork: 0, streams: stem.streams.clone() });
            }
            batch.run()?;
            Ok(batch.ended())
        });
        self.hold(drawn.as_ref().map_or(&[], |(done, _)| done));
        // What ran places anew is not part of the tree.
        self.tree.truncate(n_branches);
        let sampled = drawn.and_then(|(done, faults)| self.planted(done, faults));
        self.keep_paused();
        sampled
    }

    fn resume(
        &mut self,
        paused: &[BranchId],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<Sampled> {
        let sequences: Vec<Option<Live>> = paused.iter().map(|id| self.paused.remove(&id.0)).collect();
        let fault = |(sequence, id): (&Option<Live>, &BranchId)| {
            sequence.is_none().then_some(Error::NotPaused { branch: id.0 })
        };
        let faults = sequences.iter().zip(paused).map(fault).collect();
        let origins = paused.iter().map(|_| None).collect();
        let mut batch = Batch::new(self.model, &mut self.tree, (origins, faults), sampling, watcher);
        for (request, sequence) in sequences.into_iter().enumerate() {
            let place = Place { request, fork: 0, stream: 0 };
            let waiting = sequence.map(|sequence| Waiting::Paused(Box::new(Live { place, ..sequence })));
            batch.queue.extend(waiting);
        }
        let drawn = batch.run().map(|()| batch.ended());
        self.hold(drawn.as_ref().map_or(&[], |(done, _)| done));
        let resumed = drawn.and_then(|(done, faults)| self.planted(done, faults));
        self.keep_paused();
        let only = |sampled: Result<Vec<Sampled>, Error>| {
            sampled.and_then(|mut sampled| {
                sampled.pop().ok_or_else(|| Error::engine("a completion that was paused has not ended"))
            })
        };
        Ok(resumed?.into_iter().map(only).collect())
    }
}

impl Writing<'_> {
    /// Where the completions of stems begin. A place whose path calls for other angles than its branch was turned by is run anew.
    fn origins(&mut self, stems: &[Stem]) -> Each<Origin> {
        let mut origins: Vec<Result<Origin, Error>> =
            stems.iter().enumerate().map(|(index, stem)| self.origin(index, stem)).collect();
        let is_anew = |index: &usize| origins[*index].as_ref().is_ok_and(|origin| origin.along.is_none());
        let anew: Vec<usize> = (0..stems.len()).filter(is_anew).collect();
        let fork =
            |&index: &usize| Branch { parent: Some(stems[index].from), keep: true, ..Branch::default() };
        let branches: Vec<Branch> = anew.iter().map(fork).collect();
        for (index, score) in anew.into_iter().zip(self.tree.extend_each(&branches)?) {
            match (score, &mut origins[index]) {
                (Ok(score), Ok(origin)) => {
                    if let Some(placed) = self.tree.branch(score.id) {
                        (origin.path, origin.row) = (placed.path(0), placed.last_row());
                    }
                }
                (Err(error), origin) => *origin = Err(error),
                (Ok(_), Err(_)) => {}
            }
        }
        Ok(origins)
    }

    fn origin(&self, index: usize, stem: &Stem) -> Result<Origin, Error> {
        let spec = self.model.decoder.model.spec();
        let Parent { branch, n_tokens } = stem.from;
        let available = self.tree.branch(branch).map_or(0, |placed| placed.n_tokens());
        if !(1..=available).contains(&n_tokens) {
            return Err(Error::BadFork { branch: index, parent: branch.0, n_tokens, available });
        }
        let (path, turning) = self
            .tree
            .branch(branch)
            .map_or_else(Default::default, |placed| (placed.path(n_tokens), placed.turning.clone()));
        let n_before = self.tree.path_to(stem.from).len();
        if n_before >= spec.context_length {
            return Err(Error::ContextTooLong { n_tokens: n_before + 1, limit: spec.context_length });
        }
        let now = spec.turning_lengths(n_before);
        let along = (now == turning).then_some(n_tokens);
        let row = along.and_then(|n| Some(self.tree.branch(branch)?.row(n - 1)));
        let limit = stem.max_new_tokens.unwrap_or(usize::MAX);
        Ok(Origin { from: stem.from, path, row, along, turning: now, n_before, limit, keep: stem.keep })
    }

    /// Completions of each request in their order, those that are kept as branches; nothing of requests that failed.
    fn planted(&mut self, mut done: Vec<Done>, mut faults: Vec<Option<Error>>) -> Each<Vec<Sampled>> {
        done.retain(|done| faults[done.sequence.place.request].is_none());
        done.sort_by_key(|done| done.sequence.place);
        let kept = done.iter().filter(|done| done.keep);
        let (branches, grown) =
            kept.map(|done| (done.branch(), done.grown())).unzip::<_, _, Vec<Branch>, Vec<Grown>>();
        let mut scores = self.tree.extend_grown(&branches, grown)?.into_iter();
        let mut sampled: Vec<Vec<Sampled>> = faults.iter().map(|_| Vec::new()).collect();
        for Done { completion, keep, sequence, is_paused } in done {
            let request = sequence.place.request;
            let branch = match keep.then(|| scores.next()).flatten() {
                Some(Ok(score)) => Some(score.id),
                Some(Err(error)) => {
                    faults[request].get_or_insert(error);
                    continue;
                }
                None => None,
            };
            if let (Some(branch), true) = (branch, is_paused) {
                let n_tokens = completion.token_ids.len();
                let end = Parent { branch, n_tokens: n_tokens - sequence.n_planted };
                self.paused.insert(branch.0, Live { end, n_planted: n_tokens, keep: true, ..*sequence });
            }
            sampled[request].push(Sampled { completion, branch, is_paused });
        }
        Ok(sampled.into_iter().zip(faults).map(|(sampled, fault)| fault.map_or(Ok(sampled), Err)).collect())
    }

    /// Keeps what completions hold that become branches, beside those that are paused.
    fn hold(&mut self, done: &[Done]) {
        let kept = || done.iter().filter(|done| done.keep).map(|done| &*done.sequence);
        self.tree.hold(Held {
            slots: kept().chain(self.paused.values()).map(Live::end).max().unwrap_or(0),
            passes: kept()
                .filter_map(|sequence| sequence.rows.last())
                .map(|row| row.pass + 1)
                .max()
                .unwrap_or(0),
        });
    }

    /// Keeps the slots of completions that are paused, and no others.
    fn keep_paused(&mut self) {
        self.hold(&[]);
    }
}

/// What one row of logits gave.
struct Drawn {
    token: TokenId,
    logprob: f64,
    sharpness: Sharpness,
}

struct Batch<'s, 'a> {
    model: &'a LanguageModel,
    tree: &'s mut Session<'a>,
    /// Where new completions of each request begin.
    origins: Vec<Option<Origin>>,
    /// Why requests have none.
    faults: Vec<Option<Error>>,
    sampling: &'s Sampling,
    watcher: &'s mut dyn Watcher,
    /// Slots from here on are free, and those of these chunks.
    next_slot: usize,
    free_chunks: Vec<usize>,
    /// Streams of each origin so far.
    n_streams: Vec<usize>,
    queue: VecDeque<Waiting>,
    live: Vec<Live>,
    done: Vec<Done>,
    /// Tokens since progress was last told.
    n_new: usize,
}

impl<'s, 'a> Batch<'s, 'a> {
    fn new(
        model: &'a LanguageModel,
        tree: &'s mut Session<'a>,
        (origins, faults): (Vec<Option<Origin>>, Vec<Option<Error>>),
        sampling: &'s Sampling,
        watcher: &'s mut dyn Watcher,
    ) -> Self {
        Self {
            model,
            next_slot: tree.n_slots(),
            tree,
            n_streams: vec![0; origins.len()],
            origins,
            faults,
            sampling,
            watcher,
            free_chunks: Vec::new(),
            queue: VecDeque::new(),
            live: Vec::new(),
            done: Vec::new(),
            n_new: 0,
        }
    }

    /// What has ended or is paused, and why requests failed.
    fn ended(self) -> (Vec<Done>, Vec<Option<Error>>) {
        (self.done, self.faults)
    }

    /// Puts the streams of a stem into the queue.
    fn enqueue(&mut self, More { request, streams, .. }: More) {
        if self.origins.get(request).is_none_or(Option::is_none) {
            return;
        }
        let n_streams = &mut self.n_streams[request];
        for stream in streams {
            let place = Place { request, fork: 0, stream: *n_streams };
            self.queue.push_back(Waiting::New { place, stream });
            *n_streams += 1;
        }
    }

    /// Runs until nothing waits and nothing is live.
    fn run(&mut self) -> Result<(), Error> {
        while self.step()? {
            let n_new = std::mem::take(&mut self.n_new);
            if !self.watcher.progress(n_new) {
                return Err(Error::engine("interrupted"));
            }
        }
        self.watcher.progress(self.n_new);
        Ok(())
    }

    /// One token for every live sequence, then new sequences in the room that is left. False when all is done.
    fn step(&mut self) -> Result<bool, Error> {
        if !self.live.is_empty() {
            let n_passes = self.tree.hidden.n_passes();
            let rows = self.run_newest()?;
            let mut live = std::mem::take(&mut self.live);
            let u: Vec<f64> = live.iter_mut().map(|sequence| sequence.rng.random()).collect();
            let drawn = self.draw_rows(&rows, &u)?;
            if !live.iter().any(|sequence| sequence.keep) {
                self.tree.hidden.truncate(n_passes);
            }
            for (sequence, drawn) in live.into_iter().zip(drawn) {
                let Some(drawn) = drawn else {
                    self.fail(&sequence);
                    continue;
                };
                let goes_on =
                    self.advance(sequence, &drawn).and_then(|sequence| self.unless_paused(sequence));
                self.live.extend(goes_on);
            }
        }
        self.start_waiting()?;
        Ok(!self.live.is_empty() || !self.queue.is_empty())
    }

    fn take_chunk(&mut self) -> Result<usize, DecoderError> {
        if let Some(chunk) = self.free_chunks.pop() {
            return Ok(chunk);
        }
        let chunk = self.next_slot;
        self.next_slot += CHUNK;
        self.tree.arena.reserve(self.next_slot)?;
        Ok(chunk)
    }

    /// Runs the newest token of every sequence, or all of those whose keys it calls to be turned otherwise.
    fn run_newest(&mut self) -> Result<Vec<HiddenRow>, Error> {
        let anew = self.turned_otherwise();
        let mut live = std::mem::take(&mut self.live);
        for sequence in &mut live {
            let (n_tokens, n_in_path) = (sequence.n_tokens(), sequence.n_in_path());
            while n_in_path + sequence.chunks.len() * CHUNK < n_tokens {
                sequence.chunks.push(self.take_chunk()?);
            }
        }
        let mut runs = Vec::with_capacity(live.len());
        let mut last_runs = Vec::with_capacity(live.len());
        for (sequence, anew) in live.iter().zip(&anew) {
            let (n_tokens, n_in_path) = (sequence.n_tokens(), sequence.n_in_path());
            let token_ids = match anew {
                Some(token_ids) => token_ids.as_slice(),
                None => &sequence.token_ids[sequence.token_ids.len() - 1..],
            };
            let mut first = n_tokens - token_ids.len();
            while first < n_tokens {
                let (chunk, within) = ((first - n_in_path) / CHUNK, (first - n_in_path) % CHUNK);
                let n = (CHUNK - within).min(n_tokens - first);
                let from = first + token_ids.len() - n_tokens;
                runs.push(Run {
                    token_ids: &token_ids[from..from + n],
                    ancestors: sequence.slots(first),
                    first_slot: sequence.chunks[chunk] + within,
                    path_length: n_tokens,
                });
                first += n;
            }
            last_runs.push(runs.len() - 1);
        }
        let max_rows = self.model.decoder.options.max_rows;
        let Session { arena, hidden, .. } = &mut *self.tree;
        let rows = passes::run(&self.model.decoder.model, arena, hidden, &runs, max_rows)?;
        drop(runs);
        let newest: Vec<HiddenRow> =
            last_runs.into_iter().filter_map(|run| rows[run].last().copied()).collect();
        for ((sequence, row), anew) in live.iter_mut().zip(&newest).zip(&anew) {
            match anew {
                Some(_) => sequence.rows.clear(),
                None if sequence.keep => sequence.rows.push(*row),
                None => {}
            }
        }
        self.live = live;
        Ok(newest)
    }

    /// For each live sequence, all of its tokens if their keys must be turned by other angles from now on. Gives the slots of such back.
    fn turned_otherwise(&mut self) -> Vec<Option<Vec<TokenId>>> {
        let spec = self.model.decoder.model.spec();
        let all = self.live.iter_mut().map(|sequence| {
            let turning = spec.turning_lengths(sequence.n_tokens());
            if turning == sequence.turning {
                return None;
            }
            sequence.turning = turning;
            sequence.path.clear();
            self.free_chunks.extend(sequence.chunks.drain(..).rev());
            let mut token_ids = self.tree.path_to(sequence.from);
            token_ids.extend(&sequence.token_ids);
            Some(token_ids)
        });
        all.collect()
    }

    fn start_waiting(&mut self) -> Result<(), Error> {
        let most = self.model.decoder.options.max_sequences;
        while self.live.len() < most && !self.queue.is_empty() {
            let n = (most - self.live.len()).min(self.queue.len());
            let waiting: Vec<Waiting> = self.queue.drain(..n).collect();
            let mut following = Vec::new();
            for waiting in waiting {
                match waiting {
                    Waiting::New { place, .. } if self.faults[place.request].is_some() => {}
                    Waiting::New { place, stream } => {
                        let origin = self.origins[place.request].as_ref();
                        following.extend(origin.map(|origin| Live::new(place, stream, origin)));
                    }
                    Waiting::Paused(sequence) if sequence.along.is_some() => following.push(*sequence),
                    Waiting::Paused(sequence) => self.live.push(*sequence),
                }
            }
            while !following.is_empty() {
                following = self.follow(following)?;
            }
        }
        Ok(())
    }

    /// Draws one token for sequences whose last token has been run with a branch. Returns those of which that is still so; the others have
    /// ended, are paused, or are live.
    fn follow(&mut self, mut sequences: Vec<Live>) -> Result<Vec<Live>, Error> {
        let mut rows = Vec::with_capacity(sequences.len());
        for sequence in &sequences {
            let row = match sequence.along {
                Some(n_tokens) => {
                    self.tree.branch(sequence.from.branch).map(|branch| branch.row(n_tokens - 1))
                }
                None => sequence.first_row,
            };
            rows.push(row.ok_or(Error::EmptyContext)?);
        }
        let u: Vec<f64> = sequences.iter_mut().map(|sequence| sequence.rng.random()).collect();
        let drawn = self.draw_rows(&rows, &u)?;
        let mut following = Vec::new();
        for (sequence, drawn) in sequences.into_iter().zip(drawn) {
            let Some(drawn) = drawn else {
                self.fail(&sequence);
                continue;
            };
            let Some(mut sequence) = self.advance(sequence, &drawn) else { continue };
            let branch = self.tree.branch(sequence.from.branch);
            let repeated =
                |n: &usize| branch.is_some_and(|branch| branch.token_ids().get(*n) == Some(&drawn.token));
            sequence.along = sequence.along.filter(repeated).map(|n_tokens| n_tokens + 1);
            if let (Some(n_tokens), Some(branch)) = (sequence.along, branch) {
                sequence.path = branch.path(n_tokens);
                sequence.rows.push(branch.row(n_tokens - 1));
            }
            match self.unless_paused(sequence) {
                Some(sequence) if sequence.along.is_some() => following.push(sequence),
                Some(sequence) => self.live.push(sequence),
                None => {}
            }
        }
        Ok(following)
    }

    /// Ends a sequence whose next token cannot be drawn, and with it its request.
    fn fail(&mut self, sequence: &Live) {
        self.free_chunks.extend(sequence.chunks.iter().rev());
        self.faults[sequence.place.request]
            .get_or_insert(Error::NotFinite { index: sequence.n_tokens() - 1 });
    }

    /// Draws from each row; nothing where its logits are not finite. The logits of a row that several draw from are computed once.
    fn draw_rows(&self, rows: &[HiddenRow], u: &[f64]) -> Result<Vec<Option<Drawn>>, Error> {
        let mut distinct = rows.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let mut draws: Vec<Vec<usize>> = vec![Vec::new(); distinct.len()];
        for (index, row) in rows.iter().enumerate() {
            draws[distinct.partition_point(|other| other < row)].push(index);
        }
        let states = self.tree.hidden.gather(&distinct)?;
        let drawn = self.model.decoder.model.head().map_rows(&states, |row, logits| {
            let sums = RowSums::of(logits)?;
            let sharpness = sums.sharpness(logits);
            let draw = |&index: &usize| {
                let token = draw(logits, self.sampling, u[index]);
                (index, Drawn { token, logprob: sums.logprob(logits[token as usize]), sharpness })
            };
            Some(draws[row].iter().map(draw).collect::<Vec<_>>())
        });
        let mut by_index: Vec<Option<Drawn>> = rows.iter().map(|_| None).collect();
        for (index, drawn) in drawn.map_err(DecoderError::from)?.into_iter().flatten().flatten() {
            by_index[index] = Some(drawn);
        }
        Ok(by_index)
    }

    /// Takes the newly drawn token. The sequence, unless it ends.
    fn advance(&mut self, mut sequence: Live, drawn: &Drawn) -> Option<Live> {
        let limit = sequence.limit.min(self.sampling.max_new_tokens);
        if limit == 0 {
            return self.finish(sequence, StopReason::Length, None);
        }
        if self.model.stop_tokens().contains(&drawn.token) {
            return self.finish(sequence, StopReason::Stop, None);
        }
        self.n_new += 1;
        sequence.token_ids.push(drawn.token);
        sequence.logprobs.push(Some(drawn.logprob));
        sequence.sharpness.push(drawn.sharpness);
        if let Some(cut) = self.stop_string(&sequence.token_ids) {
            return self.finish(sequence, StopReason::Stop, Some(cut));
        }
        if self.is_over(&sequence, drawn.token) {
            return self.finish(sequence, StopReason::Stop, None);
        }
        let full = sequence.n_tokens() >= self.model.decoder.model.spec().context_length;
        if sequence.token_ids.len() == limit || full {
            return self.finish(sequence, StopReason::Length, None);
        }
        Some(sequence)
    }

    /// The sequence, unless the watcher pauses it.
    fn unless_paused(&mut self, mut sequence: Live) -> Option<Live> {
        if !self.watcher.pauses(sequence.place, &sequence.token_ids) {
            return Some(sequence);
        }
        sequence.keep = true;
        let completion = self.completion(&sequence, StopReason::Length, None);
        self.done.push(Done { completion, keep: true, sequence: Box::new(sequence), is_paused: true });
        None
    }

    /// Whether the watcher needs no more of a sequence, who is asked where a line or a brace ends.
    fn is_over(&mut self, sequence: &Live, newest: TokenId) -> bool {
        let ends = self.model.token_text(newest).contains(['\n', '}']);
        ends && self.watcher.is_over(sequence.place, &self.model.decode(&sequence.token_ids).text)
    }

    /// Where in the text the first stop string begins, if one is complete.
    fn stop_string(&self, token_ids: &[TokenId]) -> Option<usize> {
        let longest = self.sampling.stop.iter().map(String::len).max()?;
        // A stop string that was not there before ends within the newest token, so a tail of enough tokens tells.
        let tail = self.model.decode(&token_ids[token_ids.len().saturating_sub(longest + 8)..]).text;
        if !self.sampling.stop.iter().any(|stop| tail.contains(stop.as_str())) {
            return None;
        }
        let text = self.model.decode(token_ids).text;
        self.sampling.stop.iter().filter_map(|stop| text.find(stop.as_str())).min()
    }

    /// Ends a sequence; there is none any more.
    fn finish(&mut self, sequence: Live, stop_reason: StopReason, cut: Option<usize>) -> Option<Live> {
        if !sequence.keep {
            self.free_chunks.extend(sequence.chunks.iter().rev());
        }
        let completion = self.completion(&sequence, stop_reason, cut);
        for more in self.watcher.ended(sequence.place, &completion) {
            self.enqueue(more);
        }
        let keep = sequence.keep;
        self.done.push(Done { completion, keep, sequence: Box::new(sequence), is_paused: false });
        None
    }

    /// What a sequence has come to, its text cut at a byte.
    fn completion(&self, sequence: &Live, stop_reason: StopReason, cut: Option<usize>) -> Completion {
        let mut decoded = self.model.decode(&sequence.token_ids);
        let (mut token_ids, mut logprobs, mut sharpness) =
            (sequence.token_ids.clone(), sequence.logprobs.clone(), sequence.sharpness.clone());
        if let Some(cut) = cut {
            // The token in which the stop string begins stays, as far as its text goes.
            let n = decoded.token_ends.iter().filter(|&&end| end < cut).count() + usize::from(cut > 0);
            let n = n.min(token_ids.len());
            decoded.text.truncate(cut);
            decoded.token_ends.truncate(n);
            decoded.token_ends.iter_mut().for_each(|end| *end = (*end).min(cut));
            token_ids.truncate(n);
            logprobs.truncate(n);
            sharpness.truncate(n);
        }
        let (text, token_ends) = (decoded.text, decoded.token_ends);
        Completion { token_ids, text, token_ends, logprobs, sharpness, stop_reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::Options;
    use entrace_backend::sampling::Counting;
    use std::path::Path;

    /// What a completion costs: its prompt once, and each of its tokens once.
    #[test]
    fn a_completion_that_is_kept_is_run_once() {
        let sprout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/sprout");
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
            std::fs::copy(sprout.join(name), folder.path().join(name)).unwrap();
        }
        std::fs::copy(sprout.join("sft.safetensors"), folder.path().join("model.safetensors")).unwrap();
        let now = jiff::civil::date(2026, 3, 9).at(7, 5, 0, 0);
        let model = LanguageModel::open("sprout", folder.path(), Options::default(), now).unwrap();
        let prompt = model.encode_plain("Tom has 3 apples and buys 4. How many apples has he?").unwrap();
        let mut session = Writing::new(&model).unwrap();
        let root = Branch { tokens: prompt.clone(), keep: true, ..Branch::default() };
        session.extend(&[root]).unwrap();
        let stem = Stem {
            from: Parent { branch: BranchId(0), n_tokens: prompt.len() },
            streams: vec![1, 2, 3],
            max_new_tokens: None,
            keep: true,
        };
        let sampling =
            Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 24, stop: Vec::new() };
        let drawn = session.sample(&[stem], &sampling, &mut Counting(&mut |_| true)).unwrap().remove(0);
        let drawn = drawn.unwrap();
        let n_drawn: usize = drawn.iter().map(|drawn| drawn.completion.token_ids.len()).sum();
        assert!(n_drawn > 24);
        assert_eq!(session.tree.hidden.n_rows(), prompt.len() + n_drawn);
    }
}
