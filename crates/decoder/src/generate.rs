//! Sampling completions: continuous batching over forks of shared contexts.
//!
//! All contexts are run first, in packed passes and what they have in common once, then what each fork adds to its context. Every
//! completion is a sequence of its own that attends to the slots of its context. Up to `max_sequences` of them are live; each step runs
//! one token of every live one in a single pass, and a sequence that ends makes room for the next. A sequence takes cache slots in small
//! chunks and gives them back at its end.
//!
//! Some rotary scalings turn keys by angles that depend on the length of the whole sequence. Where that length calls for other angles
//! than the keys before were turned by, a fork or a sequence runs its whole context anew, in slots of its own.

use crate::cache::LentArena;
use crate::error::Error as DecoderError;
use crate::language::LanguageModel;
use crate::ops::reduce::RowSums;
use crate::passes::{self, Hidden, HiddenRow, Run};
use crate::sampler::draw;
use crate::shared;
use entrace_backend::generate::RequestCompletions;
use entrace_backend::{Completion, Error, Generate, GenerateRequest, Sampling, Sharpness, Text};
use entrace_measure::{StopReason, TokenId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;
use std::ops::Range;

/// Slots that a sequence takes at a time.
const CHUNK: usize = 32;

impl Generate for LanguageModel {
    fn generate(
        &self,
        requests: &[GenerateRequest],
        sampling: &Sampling,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<RequestCompletions>, Error> {
        check(self, requests)?;
        let mut slots = SlotPool::new(self.decoder.model.arena(0)?);
        let mut hidden = Hidden::default();
        let queue = run_contexts(self, requests, &mut slots, &mut hidden)?;
        let mut batch = Batch {
            model: self,
            requests,
            sampling,
            slots,
            hidden,
            queue,
            live: Vec::new(),
            done: Vec::new(),
            n_new: 0,
        };
        while batch.step()? {
            if !progress(std::mem::take(&mut batch.n_new)) {
                return Err(Error::engine("interrupted"));
            }
        }
        progress(batch.n_new);
        Ok(collect(requests, batch.done))
    }
}

fn check(model: &LanguageModel, requests: &[GenerateRequest]) -> Result<(), Error> {
    let spec = model.decoder.model.spec();
    for (number, request) in requests.iter().enumerate() {
        let available = request.context.len();
        for (branch, fork) in request.forks.iter().enumerate() {
            if fork.n_tokens > available {
                return Err(Error::BadFork { branch, parent: number, n_tokens: fork.n_tokens, available });
            }
            let n_tokens = fork.n_tokens + fork.suffix.len();
            if n_tokens == 0 {
                return Err(Error::EmptyContext);
            }
            if n_tokens >= spec.context_length {
                return Err(Error::ContextTooLong { n_tokens: n_tokens + 1, limit: spec.context_length });
            }
        }
        let tokens = request.forks.iter().flat_map(|f| &f.suffix).chain(&request.context);
        if let Some(&token) = tokens.into_iter().find(|&&t| t as usize >= spec.vocab_size) {
            return Err(Error::UnknownToken { token, vocab_size: spec.vocab_size });
        }
    }
    Ok(())
}

/// Cache slots, handed out in runs.
struct SlotPool<'a> {
    arena: LentArena<'a>,
    n_used: usize,
    free_chunks: Vec<usize>,
}

impl<'a> SlotPool<'a> {
    fn new(arena: LentArena<'a>) -> Self {
        Self { arena, n_used: 0, free_chunks: Vec::new() }
    }

    fn take(&mut self, n: usize) -> Result<usize, DecoderError> {
        let first = self.n_used;
        self.n_used += n;
        self.arena.reserve(self.n_used)?;
        Ok(first)
    }

    fn take_chunk(&mut self) -> Result<usize, DecoderError> {
        match self.free_chunks.pop() {
            Some(chunk) => Ok(chunk),
            None => self.take(CHUNK),
        }
    }
}

/// A completion that has not begun.
struct Waiting {
    place: Place,
    path: Vec<Range<usize>>,
    last: HiddenRow,
    stream: u64,
}

/// Which completion: request, fork, stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(usize, usize, usize);

/// A sequence of tokens that has been run.
#[derive(Clone)]
struct Context {
    path: Vec<Range<usize>>,
    rows: Vec<HiddenRow>,
}

/// Runs contexts and suffixes; the queue is in order of request, fork and stream.
fn run_contexts(
    model: &LanguageModel,
    requests: &[GenerateRequest],
    slots: &mut SlotPool<'_>,
    hidden: &mut Hidden,
) -> Result<VecDeque<Waiting>, Error> {
    let used = |request: &GenerateRequest| request.forks.iter().map(|f| f.n_tokens).max().unwrap_or(0);
    let used: Vec<&[TokenId]> = requests.iter().map(|request| &request.context[..used(request)]).collect();
    let contexts = run_shared(model, &used, slots, hidden)?;
    let forks = run_forks(model, requests, &contexts, slots, hidden)?;
    let mut queue = VecDeque::new();
    let mut forks = forks.into_iter();
    for (r, request) in requests.iter().enumerate() {
        for (f, (fork, run)) in request.forks.iter().zip(forks.by_ref()).enumerate() {
            let last = *run.rows.last().ok_or(Error::EmptyContext)?;
            for (s, &stream) in fork.streams.iter().enumerate() {
                queue.push_back(Waiting { place: Place(r, f, s), path: run.path.clone(), last, stream });
            }
        }
    }
    Ok(queue)
}

/// Runs sequences, what they have in common once.
fn run_shared(
    model: &LanguageModel,
    sequences: &[&[TokenId]],
    slots: &mut SlotPool<'_>,
    hidden: &mut Hidden,
) -> Result<Vec<Context>, Error> {
    let spec = model.decoder.model.spec();
    let beginnings = shared::beginnings(sequences.iter().map(|&ids| (spec.turning_lengths(ids.len()), ids)));
    let mut contexts: Vec<Context> = Vec::with_capacity(sequences.len());
    let mut runs = Vec::with_capacity(sequences.len());
    for (&token_ids, beginning) in sequences.iter().zip(&beginnings) {
        let ancestors = beginning
            .map_or_else(Vec::new, |b| shared::first_slots(contexts[b.of].path.iter().cloned(), b.n_tokens));
        let new = &token_ids[beginning.map_or(0, |b| b.n_tokens)..];
        let first_slot = slots.take(new.len())?;
        let mut path = ancestors.clone();
        path.push(first_slot..first_slot + new.len());
        contexts.push(Context { path, rows: Vec::new() });
        let lone = token_ids.len() == 1;
        runs.push(Run { token_ids: new, ancestors, first_slot, path_length: token_ids.len(), lone });
    }
    let max_rows = model.decoder.options.max_rows;
    let rows = passes::run(&model.decoder.model, &mut slots.arena, hidden, &runs, max_rows)?;
    for (index, (own, beginning)) in rows.into_iter().zip(beginnings).enumerate() {
        let shared = beginning.map(|b| contexts[b.of].rows[..b.n_tokens].to_vec());
        contexts[index].rows = shared.unwrap_or_default();
        contexts[index].rows.extend(own);
    }
    Ok(contexts)
}

/// Runs what forks add to their contexts; for each fork of each request, its whole sequence.
fn run_forks(
    model: &LanguageModel,
    requests: &[GenerateRequest],
    contexts: &[Context],
    slots: &mut SlotPool<'_>,
    hidden: &mut Hidden,
) -> Result<Vec<Context>, Error> {
    let spec = model.decoder.model.spec();
    let mut forks = Vec::new();
    let mut suffixes = Vec::new();
    let mut anew: Vec<Vec<TokenId>> = Vec::new();
    for (request, context) in requests.iter().zip(contexts) {
        let turning = spec.turning_lengths(context.rows.len());
        for fork in &request.forks {
            let path_length = fork.n_tokens + fork.suffix.len();
            if spec.turning_lengths(path_length) != turning {
                anew.push([&request.context[..fork.n_tokens], &fork.suffix].concat());
                forks.push(None);
                continue;
            }
            let ancestors = shared::first_slots(context.path.iter().cloned(), fork.n_tokens);
            let first_slot = slots.take(fork.suffix.len())?;
            let own = first_slot..first_slot + fork.suffix.len();
            let path = ancestors.iter().cloned().chain((!own.is_empty()).then_some(own)).collect();
            forks.push(Some(Context { path, rows: context.rows[..fork.n_tokens].to_vec() }));
            let lone = fork.suffix.len() == 1;
            suffixes.push(Run { token_ids: &fork.suffix, ancestors, first_slot, path_length, lone });
        }
    }
    let max_rows = model.decoder.options.max_rows;
    let rows = passes::run(&model.decoder.model, &mut slots.arena, hidden, &suffixes, max_rows)?;
    for (fork, own) in forks.iter_mut().flatten().zip(rows) {
        fork.rows.extend(own);
    }
    let sequences: Vec<&[TokenId]> = anew.iter().map(Vec::as_slice).collect();
    let mut anew = run_shared(model, &sequences, slots, hidden)?.into_iter();
    Ok(forks.into_iter().filter_map(|fork| fork.or_else(|| anew.next())).collect())
}

/// A completion in progress.
struct Live {
    place: Place,
    /// Slots of its context, unless that was run anew.
    path: Vec<Range<usize>>,
    /// Slots of what comes after.
    chunks: Vec<usize>,
    turning: Vec<usize>,
    /// Tokens of its context.
    n_before: usize,
    rng: ChaCha8Rng,
    token_ids: Vec<TokenId>,
    logprobs: Vec<f64>,
    sharpness: Vec<Sharpness>,
}

impl Live {
    /// Number of tokens, the newest among them.
    fn n_tokens(&self) -> usize {
        self.n_before + self.token_ids.len()
    }

    fn n_in_path(&self) -> usize {
        self.path.iter().map(Range::len).sum()
    }

    /// Slots of its first `n` tokens.
    fn slots(&self, n: usize) -> Vec<Range<usize>> {
        let chunks = self.chunks.iter().map(|&chunk| chunk..chunk + CHUNK);
        shared::first_slots(self.path.iter().cloned().chain(chunks), n)
    }
}

/// What one row of logits gave.
struct Drawn {
    token: TokenId,
    logprob: f64,
    sharpness: Sharpness,
}

struct Batch<'a> {
    model: &'a LanguageModel,
    requests: &'a [GenerateRequest],
    sampling: &'a Sampling,
    slots: SlotPool<'a>,
    hidden: Hidden,
    queue: VecDeque<Waiting>,
    live: Vec<Live>,
    done: Vec<(Place, Completion)>,
    /// Tokens since progress was last told.
    n_new: usize,
}

impl Batch<'_> {
    /// One token for every live sequence, then new sequences in the room that is left. False when all is done.
    fn step(&mut self) -> Result<bool, Error> {
        if !self.live.is_empty() {
            let mut states = Hidden::default();
            let rows = self.run_newest(&mut states)?;
            let live = std::mem::take(&mut self.live);
            let mut uniform: Vec<ChaCha8Rng> = live.iter().map(|l| l.rng.clone()).collect();
            let u: Vec<f64> = uniform.iter_mut().map(|rng| rng.random()).collect();
            let last = live.iter().map(|l| l.n_tokens() - 1);
            let drawn = self.draw_rows(&states, &rows, &u, last)?;
            for ((mut sequence, rng), drawn) in live.into_iter().zip(uniform).zip(drawn) {
                sequence.rng = rng;
                self.advance(sequence, &drawn);
            }
        }
        self.start_waiting()?;
        Ok(!self.live.is_empty() || !self.queue.is_empty())
    }

    /// Runs the newest token of every sequence, or all of those whose keys it calls to be turned otherwise.
    fn run_newest(&mut self, states: &mut Hidden) -> Result<Vec<HiddenRow>, Error> {
        let anew = self.turned_otherwise();
        let mut runs = Vec::with_capacity(self.live.len());
        let mut last_runs = Vec::with_capacity(self.live.len());
        for (sequence, anew) in self.live.iter_mut().zip(&anew) {
            let n_tokens = sequence.n_tokens();
            let n_in_path = sequence.n_in_path();
            while n_in_path + sequence.chunks.len() * CHUNK < n_tokens {
                sequence.chunks.push(self.slots.take_chunk()?);
            }
            let (token_ids, lone) = match anew {
                Some(token_ids) => (token_ids.as_slice(), false),
                None => (&sequence.token_ids[sequence.token_ids.len() - 1..], true),
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
                    lone,
                });
                first += n;
            }
            last_runs.push(runs.len() - 1);
        }
        let max_rows = self.model.decoder.options.max_rows;
        let rows = passes::run(&self.model.decoder.model, &mut self.slots.arena, states, &runs, max_rows)?;
        Ok(last_runs.into_iter().filter_map(|run| rows[run].last().copied()).collect())
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
            self.slots.free_chunks.extend(sequence.chunks.drain(..).rev());
            let Place(request, fork, _) = sequence.place;
            let (request, fork) = (&self.requests[request], &self.requests[request].forks[fork]);
            Some([&request.context[..fork.n_tokens], &fork.suffix, &sequence.token_ids].concat())
        });
        all.collect()
    }

    fn start_waiting(&mut self) -> Result<(), Error> {
        while self.live.len() < self.model.decoder.options.max_sequences && !self.queue.is_empty() {
            let n = (self.model.decoder.options.max_sequences - self.live.len()).min(self.queue.len());
            let waiting: Vec<Waiting> = self.queue.drain(..n).collect();
            let rows: Vec<HiddenRow> = waiting.iter().map(|w| w.last).collect();
            let mut rngs: Vec<ChaCha8Rng> =
                waiting.iter().map(|w| ChaCha8Rng::seed_from_u64(w.stream)).collect();
            let u: Vec<f64> = rngs.iter_mut().map(|rng| rng.random()).collect();
            let n_before = |waiting: &Waiting| waiting.path.iter().map(Range::len).sum::<usize>();
            let last = waiting.iter().map(|w| n_before(w) - 1);
            let drawn = self.draw_rows(&self.hidden, &rows, &u, last)?;
            for ((waiting, rng), drawn) in waiting.into_iter().zip(rngs).zip(drawn) {
                let n_before = n_before(&waiting);
                let sequence = Live {
                    place: waiting.place,
                    path: waiting.path,
                    chunks: Vec::new(),
                    turning: self.model.decoder.model.spec().turning_lengths(n_before),
                    n_before,
                    rng,
                    token_ids: Vec::new(),
                    logprobs: Vec::new(),
                    sharpness: Vec::new(),
                };
                self.advance(sequence, &drawn);
            }
        }
        Ok(())
    }

    /// Draws from each row; `last` is the position of each row's token in its context.
    fn draw_rows(
        &self,
        hidden: &Hidden,
        rows: &[HiddenRow],
        u: &[f64],
        last: impl Iterator<Item = usize>,
    ) -> Result<Vec<Drawn>, Error> {
        let states = hidden.gather(rows)?;
        let drawn = self.model.decoder.model.head().map_rows(&states, |row, logits| {
            let sums = RowSums::of(logits)?;
            let token = draw(logits, self.sampling, u[row]);
            let logprob = sums.logprob(logits[token as usize]);
            Some(Drawn { token, logprob, sharpness: sums.sharpness(logits) })
        });
        let drawn = drawn.map_err(DecoderError::from)?;
        drawn.into_iter().zip(last).map(|(drawn, index)| drawn.ok_or(Error::NotFinite { index })).collect()
    }

    /// Takes the newly drawn token; the sequence goes on or ends.
    fn advance(&mut self, mut sequence: Live, drawn: &Drawn) {
        let Place(request, fork, _) = sequence.place;
        let limit = self.requests[request].forks[fork].limit(self.sampling);
        if limit == 0 {
            return self.finish(sequence, StopReason::Length, None);
        }
        if self.model.stop_tokens().contains(&drawn.token) {
            return self.finish(sequence, StopReason::Stop, None);
        }
        self.n_new += 1;
        sequence.token_ids.push(drawn.token);
        sequence.logprobs.push(drawn.logprob);
        sequence.sharpness.push(drawn.sharpness);
        if let Some(cut) = self.stop_string(&sequence.token_ids) {
            return self.finish(sequence, StopReason::Stop, Some(cut));
        }
        let full = sequence.n_tokens() >= self.model.decoder.model.spec().context_length;
        if sequence.token_ids.len() == limit || full {
            return self.finish(sequence, StopReason::Length, None);
        }
        self.live.push(sequence);
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

    fn finish(&mut self, sequence: Live, stop_reason: StopReason, cut: Option<usize>) {
        self.slots.free_chunks.extend(sequence.chunks.iter().rev());
        let mut decoded = self.model.decode(&sequence.token_ids);
        let (mut token_ids, mut logprobs, mut sharpness) =
            (sequence.token_ids, sequence.logprobs, sequence.sharpness);
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
        let completion = Completion {
            token_ids,
            text: decoded.text,
            token_ends: decoded.token_ends,
            logprobs,
            sharpness,
            stop_reason,
        };
        self.done.push((sequence.place, completion));
    }
}

/// Completions in the order of the requests.
fn collect(requests: &[GenerateRequest], mut done: Vec<(Place, Completion)>) -> Vec<RequestCompletions> {
    done.sort_by_key(|(place, _)| *place);
    let mut done = done.into_iter().map(|(_, completion)| completion);
    requests
        .iter()
        .map(|request| {
            request.forks.iter().map(|fork| done.by_ref().take(fork.streams.len()).collect()).collect()
        })
        .collect()
}
