//! Sampling completions: continuous batching over forks of shared contexts.
//!
//! All contexts are run first, in packed passes and what they have in common once, then what each fork adds to its context. Every
//! completion is a sequence of its own that attends to the slots of its context. Up to `max_sequences` of them are live; each step runs
//! one token of every live one in a single pass, and a sequence that ends makes room for the next. A sequence takes cache slots in small
//! chunks and gives them back at its end.
//!
//! A completion that draws the very tokens which follow its fork in the context needs no pass for them: they have been run. It takes its place
//! among the live ones where it parts from the context.
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
use entrace_backend::{
    Completion, Error, Generate, GenerateRequest, More, Place, Sampling, Sharpness, Text, Watcher,
};
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
        self.generate_watched(requests, sampling, &mut Counting(progress))
    }

    fn generate_watched(
        &self,
        requests: &[GenerateRequest],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Result<Vec<RequestCompletions>, Error> {
        check(self, requests)?;
        let mut slots = SlotPool::new(self.decoder.model.arena(0)?);
        let mut hidden = Hidden::default();
        let (contexts, forks) = run_contexts(self, requests, &mut slots, &mut hidden)?;
        let mut batch = Batch {
            model: self,
            requests,
            sampling,
            watcher,
            slots,
            hidden,
            contexts,
            n_streams: forks.iter().map(|forks| vec![0; forks.len()]).collect(),
            forks,
            queue: VecDeque::new(),
            live: Vec::new(),
            done: Vec::new(),
            n_new: 0,
        };
        for (request, forks) in requests.iter().map(|request| &request.forks).enumerate() {
            for (fork, streams) in forks.iter().map(|fork| fork.streams.clone()).enumerate() {
                batch.enqueue(More { request, fork, streams });
            }
        }
        while batch.step()? {
            let n_new = std::mem::take(&mut batch.n_new);
            if !batch.watcher.progress(n_new) {
                return Err(Error::engine("interrupted"));
            }
        }
        batch.watcher.progress(batch.n_new);
        Ok(collect(&batch.n_streams, batch.done))
    }
}

/// A watcher who only counts.
struct Counting<'a>(&'a mut dyn FnMut(usize) -> bool);

impl Watcher for Counting<'_> {
    fn progress(&mut self, n_tokens: usize) -> bool {
        (self.0)(n_tokens)
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

/// A completion that has not begun, and the seed of its stream.
struct Waiting {
    place: Place,
    stream: u64,
}

/// A sequence of tokens that has been run.
#[derive(Clone)]
struct Context {
    path: Vec<Range<usize>>,
    rows: Vec<HiddenRow>,
}

/// Runs contexts and suffixes: the sequence of each request, and that of each of its forks.
fn run_contexts(
    model: &LanguageModel,
    requests: &[GenerateRequest],
    slots: &mut SlotPool<'_>,
    hidden: &mut Hidden,
) -> Result<(Vec<Context>, Vec<Vec<Context>>), Error> {
    let used = |request: &GenerateRequest| request.forks.iter().map(|f| f.n_tokens).max().unwrap_or(0);
    let used: Vec<&[TokenId]> = requests.iter().map(|request| &request.context[..used(request)]).collect();
    let contexts = run_shared(model, &used, slots, hidden)?;
    let mut forks = run_forks(model, requests, &contexts, slots, hidden)?.into_iter();
    let of_request = |request: &GenerateRequest| forks.by_ref().take(request.forks.len()).collect();
    let forks = requests.iter().map(of_request).collect();
    Ok((contexts, forks))
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
    /// How many tokens of its request's context it has come to repeat, its own fork among them; `None` once it has parted from it.
    along: Option<usize>,
    rng: ChaCha8Rng,
    token_ids: Vec<TokenId>,
    logprobs: Vec<Option<f64>>,
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

struct Batch<'a, 'w> {
    model: &'a LanguageModel,
    requests: &'a [GenerateRequest],
    sampling: &'a Sampling,
    watcher: &'w mut dyn Watcher,
    slots: SlotPool<'a>,
    hidden: Hidden,
    contexts: Vec<Context>,
    forks: Vec<Vec<Context>>,
    /// Streams of each fork so far.
    n_streams: Vec<Vec<usize>>,
    queue: VecDeque<Waiting>,
    live: Vec<Live>,
    done: Vec<(Place, Completion)>,
    /// Tokens since progress was last told.
    n_new: usize,
}

impl Batch<'_, '_> {
    /// Puts the streams of a fork into the queue.
    fn enqueue(&mut self, More { request, fork, streams }: More) {
        let n_streams = &mut self.n_streams[request][fork];
        for stream in streams {
            self.queue.push_back(Waiting { place: Place { request, fork, stream: *n_streams }, stream });
            *n_streams += 1;
        }
    }

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
                let goes_on = self.advance(sequence, &drawn);
                self.live.extend(goes_on);
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
            let request = &self.requests[sequence.place.request];
            let fork = &request.forks[sequence.place.fork];
            Some([&request.context[..fork.n_tokens], &fork.suffix, &sequence.token_ids].concat())
        });
        all.collect()
    }

    fn start_waiting(&mut self) -> Result<(), Error> {
        while self.live.len() < self.model.decoder.options.max_sequences && !self.queue.is_empty() {
            let n = (self.model.decoder.options.max_sequences - self.live.len()).min(self.queue.len());
            let waiting: Vec<Waiting> = self.queue.drain(..n).collect();
            let mut sequences: Vec<Live> =
                waiting.into_iter().map(|waiting| self.first_of(waiting)).collect();
            while !sequences.is_empty() {
                sequences = self.follow_context(sequences)?;
            }
        }
        Ok(())
    }

    /// A completion before its first token.
    fn first_of(&self, Waiting { place, stream }: Waiting) -> Live {
        let spec = self.model.decoder.model.spec();
        let (context, fork) =
            (&self.contexts[place.request], &self.requests[place.request].forks[place.fork]);
        let path = self.forks[place.request][place.fork].path.clone();
        let n_before = path.iter().map(Range::len).sum();
        let turning = spec.turning_lengths(n_before);
        let alike = fork.suffix.is_empty() && turning == spec.turning_lengths(context.rows.len());
        Live {
            place,
            path,
            chunks: Vec::new(),
            turning,
            n_before,
            along: alike.then_some(fork.n_tokens),
            rng: ChaCha8Rng::seed_from_u64(stream),
            token_ids: Vec::new(),
            logprobs: Vec::new(),
            sharpness: Vec::new(),
        }
    }

    /// Draws one token for sequences whose last token has been run with their contexts. Returns those of which that is still so; the others
    /// have ended or are live.
    fn follow_context(&mut self, mut sequences: Vec<Live>) -> Result<Vec<Live>, Error> {
        let mut rows = Vec::with_capacity(sequences.len());
        for sequence in &sequences {
            let Place { request, fork, .. } = sequence.place;
            let run = match sequence.along {
                Some(n_tokens) => self.contexts[request].rows.get(n_tokens - 1),
                None => self.forks[request][fork].rows.last(),
            };
            rows.push(*run.ok_or(Error::EmptyContext)?);
        }
        let u: Vec<f64> = sequences.iter_mut().map(|sequence| sequence.rng.random()).collect();
        let last = sequences.iter().map(|sequence| sequence.n_tokens() - 1);
        let drawn = self.draw_rows(&self.hidden, &rows, &u, last)?;
        let mut following = Vec::new();
        for (sequence, drawn) in sequences.into_iter().zip(drawn) {
            let Some(mut sequence) = self.advance(sequence, &drawn) else { continue };
            let request = sequence.place.request;
            let (context, run) = (&self.requests[request].context, &self.contexts[request]);
            let repeated = |n: &usize| *n < run.rows.len() && context[*n] == drawn.token;
            sequence.along = sequence.along.filter(repeated).map(|n_tokens| n_tokens + 1);
            match sequence.along {
                Some(n_tokens) => {
                    sequence.path = shared::first_slots(run.path.iter().cloned(), n_tokens);
                    following.push(sequence);
                }
                None => self.live.push(sequence),
            }
        }
        Ok(following)
    }

    /// Draws from each row; `last` is the position of each row's token in its context. The logits of a row that several draw from are
    /// computed once.
    fn draw_rows(
        &self,
        hidden: &Hidden,
        rows: &[HiddenRow],
        u: &[f64],
        last: impl Iterator<Item = usize>,
    ) -> Result<Vec<Drawn>, Error> {
        let mut distinct = rows.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let mut draws: Vec<Vec<usize>> = vec![Vec::new(); distinct.len()];
        for (index, row) in rows.iter().enumerate() {
            draws[distinct.partition_point(|other| other < row)].push(index);
        }
        let states = hidden.gather(&distinct)?;
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
        by_index.into_iter().zip(last).map(|(drawn, index)| drawn.ok_or(Error::NotFinite { index })).collect()
    }

    /// Takes the newly drawn token. The sequence, unless it ends.
    fn advance(&mut self, mut sequence: Live, drawn: &Drawn) -> Option<Live> {
        let Place { request, fork, .. } = sequence.place;
        let limit = self.requests[request].forks[fork].limit(self.sampling);
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
        for more in self.watcher.ended(sequence.place, &completion) {
            self.enqueue(more);
        }
        self.done.push((sequence.place, completion));
        None
    }
}

/// Completions in the order of the requests.
fn collect(n_streams: &[Vec<usize>], mut done: Vec<(Place, Completion)>) -> Vec<RequestCompletions> {
    done.sort_by_key(|(place, _)| *place);
    let mut done = done.into_iter().map(|(_, completion)| completion);
    n_streams.iter().map(|forks| forks.iter().map(|&n| done.by_ref().take(n).collect()).collect()).collect()
}
