//! Completions of an engine written in Python: it gives logits, and the tokens are drawn here.
//!
//! So every completion has a random stream of its own, whatever the engine: its draws do not depend on the others. Sequences are drawn side by
//! side, [`MOST_LIVE`] at most. `generate(contexts)` is a generator that yields logits `[n, V]` of the sequences that are live, and is sent
//! which of them go on, as places in what it yielded, with the token of each. An object without it is asked step by step through `score`.

use super::tree::Path;
use super::{Engine, ids};
use crate::failure::raised;
use entrace_backend::generate::RequestCompletions;
use entrace_backend::sampling::check_request;
use entrace_backend::{
    Completion, Decoded, Each, Error, Generate, GenerateRequest, More, Place, Sampling, Sharpness, Text,
    Watcher,
};
use entrace_decoder::LogitRow;
use entrace_measure::{StopReason, TokenId};
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// Sequences that are drawn side by side.
const MOST_LIVE: usize = 32;

/// A completion in progress.
struct Live {
    place: Place,
    context: Vec<TokenId>,
    drawn: Vec<TokenId>,
    limit: usize,
    rng: ChaCha8Rng,
    logprobs: Vec<Option<f64>>,
    sharpness: Vec<Sharpness>,
}

/// A completion that has ended, or why it could not be drawn.
type Ended = (Place, Result<Completion, Error>);

impl Generate for Engine {
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<RequestCompletions> {
        let mut faults: Vec<Option<Error>> = (requests.iter().enumerate())
            .map(|(number, request)| check_request(&self.info, number, request).err())
            .collect();
        self.reset()?;
        let mut waiting: VecDeque<Live> = VecDeque::new();
        let mut counts: Vec<Vec<usize>> =
            requests.iter().map(|request| vec![0; request.forks.len()]).collect();
        let mut enqueue = |waiting: &mut VecDeque<Live>, More { request, fork, streams }: More| {
            for stream in streams {
                let place = Place { request, fork, stream: counts[request][fork] };
                counts[request][fork] += 1;
                waiting.push_back(self.begun(&requests[request], place, stream, sampling));
            }
        };
        for (request, asked) in requests.iter().enumerate().filter(|(request, _)| faults[*request].is_none())
        {
            for (fork, of_fork) in asked.forks.iter().enumerate() {
                enqueue(&mut waiting, More { request, fork, streams: of_fork.streams.clone() });
            }
        }
        let mut all: Vec<(Place, Completion)> = Vec::new();
        while !waiting.is_empty() {
            let live: Vec<Live> = waiting.drain(..waiting.len().min(MOST_LIVE)).collect();
            for (place, drawn) in self.wave(live, sampling, watcher)? {
                match drawn {
                    Ok(completion) => {
                        let more = watcher.ended(place, &completion).into_iter();
                        for more in more.filter(|more| faults[more.request].is_none()) {
                            enqueue(&mut waiting, more);
                        }
                        all.push((place, completion));
                    }
                    Err(error) => {
                        faults[place.request].get_or_insert(error);
                    }
                }
            }
            waiting.retain(|waiting| faults[waiting.place.request].is_none());
        }
        all.sort_by_key(|(place, _)| *place);
        let mut found: Vec<RequestCompletions> =
            requests.iter().map(|request| vec![Vec::new(); request.forks.len()]).collect();
        for (place, completion) in all {
            found[place.request][place.fork].push(completion);
        }
        Ok(found.into_iter().zip(faults).map(|(found, fault)| fault.map_or(Ok(found), Err)).collect())
    }
}

impl Engine {
    fn begun(&self, request: &GenerateRequest, place: Place, stream: u64, sampling: &Sampling) -> Live {
        let fork = &request.forks[place.fork];
        let context = [&request.context[..fork.n_tokens], &fork.suffix].concat();
        let limit = fork.limit(sampling).min(self.info.context_length - context.len());
        let rng = ChaCha8Rng::seed_from_u64(stream);
        let (drawn, logprobs, sharpness) = (Vec::new(), Vec::new(), Vec::new());
        Live { place, context, drawn, limit, rng, logprobs, sharpness }
    }

    /// Draws sequences side by side until all have ended, each for itself if its numbers are at fault.
    fn wave(
        &self,
        mut live: Vec<Live>,
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Result<Vec<Ended>, Error> {
        let mut ended = Vec::new();
        let without_room = |sequence: &mut Live| sequence.limit == 0;
        for sequence in live.extract_if(.., without_room) {
            ended.push((sequence.place, Ok(self.completion(sequence, StopReason::Length, None))));
        }
        let mut steps = Steps::new(self);
        // Places, in the last logits, of the sequences that are live.
        let mut going_on: Vec<usize> = Vec::new();
        while !live.is_empty() {
            let (vocab_size, logits) = (self.info.vocab_size, steps.next(&live, &going_on)?);
            going_on.clear();
            let mut still = Vec::with_capacity(live.len());
            for (at, mut sequence) in live.into_iter().enumerate() {
                let row = &logits[at * vocab_size..(at + 1) * vocab_size];
                match self.step(&mut sequence, row, sampling, watcher) {
                    Ok(None) => {
                        going_on.push(at);
                        still.push(sequence);
                    }
                    Ok(Some((reason, cut))) => {
                        ended.push((sequence.place, Ok(self.completion(sequence, reason, cut))))
                    }
                    Err(error) if error.is_about_the_item() => ended.push((sequence.place, Err(error))),
                    Err(error) => return Err(error),
                }
            }
            live = still;
        }
        steps.end();
        Ok(ended)
    }

    /// Draws one token; says how the completion ended if it did, and where a stop string cuts its text.
    fn step(
        &self,
        sequence: &mut Live,
        logits: &[f32],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Result<Option<(StopReason, Option<usize>)>, Error> {
        let n_before = sequence.context.len() + sequence.drawn.len();
        let row = LogitRow::of(logits).ok_or(Error::NotFinite { index: n_before - 1 })?;
        let token = row.draw(sampling, sequence.rng.random());
        if self.stop_tokens().contains(&token) {
            return Ok(Some((StopReason::Stop, None)));
        }
        sequence.drawn.push(token);
        sequence.logprobs.push(Some(row.logprob(token)));
        sequence.sharpness.push(row.sharpness());
        if !watcher.progress(1) {
            return Err(Error::engine("interrupted"));
        }
        let may_be_over = self.token_text(token).contains(['\n', '}']);
        if !sampling.stop.is_empty() || may_be_over {
            let text = self.side.text_of(&sequence.drawn);
            let cut = sampling.stop.iter().filter_map(|stop| text.find(stop.as_str())).min();
            if cut.is_some() || (may_be_over && watcher.is_over(sequence.place, &text)) {
                return Ok(Some((StopReason::Stop, cut)));
            }
        }
        let is_full = sequence.drawn.len() >= sequence.limit;
        Ok(is_full.then_some((StopReason::Length, None)))
    }

    /// The completion; of a text that a stop string cuts, the token in which the cut lies is kept.
    fn completion(&self, sequence: Live, stop_reason: StopReason, cut: Option<usize>) -> Completion {
        let Live { drawn: token_ids, logprobs, sharpness, .. } = sequence;
        let Decoded { text, token_ends } = self.decode(&token_ids);
        let mut completion = Completion { token_ids, text, token_ends, logprobs, sharpness, stop_reason };
        if let Some(at) = cut {
            let n_within = completion.token_ends.iter().filter(|&&end| end < at).count();
            let n_tokens = if at == 0 { 0 } else { n_within + 1 };
            completion.text.truncate(at);
            completion.token_ends.truncate(n_tokens);
            completion.token_ends.iter_mut().for_each(|end| *end = (*end).min(at));
            completion.token_ids.truncate(n_tokens);
            completion.logprobs.truncate(n_tokens);
            completion.sharpness.truncate(n_tokens);
        }
        completion
    }
}

/// Where the logits of the next step come from.
struct Steps<'a> {
    engine: &'a Engine,
    generator: Option<Py<PyAny>>,
}

impl<'a> Steps<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self { engine, generator: None }
    }

    /// Logits of the token after each live sequence, one row after the other.
    fn next(&mut self, live: &[Live], going_on: &[usize]) -> Result<Vec<f32>, Error> {
        if !self.engine.can_generate {
            return self.by_scores(live);
        }
        Python::attach(|py| {
            let found = self.by_generator(py, live, going_on);
            found.map_err(|error| Error::engine(raised(py, error)))
        })
    }

    fn by_generator(&mut self, py: Python<'_>, live: &[Live], going_on: &[usize]) -> PyResult<Vec<f32>> {
        let tokens = |tokens: &[TokenId]| ids(py, tokens.iter().map(|&token| token as usize));
        let found = match &self.generator {
            None => {
                let contexts: Vec<Bound<'_, PyAny>> = live.iter().map(|live| tokens(&live.context)).collect();
                let generator = self.engine.object.bind(py).call_method1("generate", (contexts,))?;
                self.generator = Some(generator.clone().unbind());
                generator.call_method0("__next__")?
            }
            Some(generator) => {
                let newest =
                    ids(py, live.iter().filter_map(|live| live.drawn.last()).map(|&token| token as usize));
                let sent = (ids(py, going_on.iter().copied()), newest);
                generator.bind(py).call_method1("send", (sent,))?
            }
        };
        let array = self.engine.logits("generate", &found, live.len())?;
        Ok(array.as_slice()?.to_vec())
    }

    fn by_scores(&self, live: &[Live]) -> Result<Vec<f32>, Error> {
        let path = |live: &Live| {
            let tokens = [live.context.as_slice(), &live.drawn].concat();
            let n_own = if live.drawn.is_empty() { tokens.len() } else { 1 };
            let rows = vec![tokens.len() - 1];
            Path { tokens, n_own, rows, keep: true }
        };
        let paths: Vec<Path> = live.iter().map(path).collect();
        let paths: Vec<&Path> = paths.iter().collect();
        Ok(self.engine.scored(&paths, |_, rows| rows.to_vec())?.concat())
    }

    /// Lets the generator go.
    fn end(self) {
        let Some(generator) = self.generator else { return };
        Python::attach(|py| {
            let closed = generator.bind(py).call_method0("close");
            // A generator that complains of its end has ended all the same.
            if let Err(error) = closed.map(|_| ()) {
                debug_assert!(!error.is_instance_of::<PyStopIteration>(py));
            }
        });
    }
}
