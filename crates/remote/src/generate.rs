//! Completions drawn by servers.
//!
//! A fork is a request for as many completions as it has streams; its seeds are not sent, because servers ignore them, take all for the same
//! one, or stop (`docs`), so draws differ from run to run. What comes back is cut as everywhere: the token that ends the turn is no part of
//! a completion, nor is anything from a stop string on.

use crate::engine::Core;
use crate::pool::{Conversation, Failure};
use crate::schedule::Lane;
use crate::session::{error_of, key_of};
use crate::wire::{Answer, Dialect, Draw, Drawn, Question};
use entrace_backend::generate::RequestCompletions;
use entrace_backend::{
    Completion, Decoded, Error, GenerateRequest, Place, Sampling, Sharpness, Text, Watcher,
};
use entrace_measure::TokenId;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest time between two looks at whether to stop.
const GLANCE: Duration = Duration::from_millis(100);

/// A watcher that is told of progress alone.
pub(crate) struct Unwatched<'a>(pub(crate) &'a mut dyn FnMut(usize) -> bool);

impl Watcher for Unwatched<'_> {
    fn progress(&mut self, n_tokens: usize) -> bool {
        (self.0)(n_tokens)
    }
}

/// Which completion: the key of its context, and the seed of its stream.
type Stream = (u64, u64);

/// Completions of a call that failed for the sake of one of them. The caller asks for the others by themselves then, and gets what had come;
/// what failed is not drawn again, because a completion that took too long is a long one, and a second try would leave the short ones.
#[derive(Default)]
pub(crate) struct Kept(Mutex<HashMap<Stream, Result<Completion, String>>>);

impl Kept {
    fn take(&self, stream: Stream) -> Option<Result<Completion, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&stream)
    }

    fn keep(&self, stream: Stream, completion: Result<Completion, String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, completion);
    }
}

/// Completions of a fork, as far as they have come.
struct Slots {
    context: Vec<TokenId>,
    limit: usize,
    streams: Vec<Stream>,
    completions: Vec<Option<Completion>>,
}

impl Slots {
    fn add(&mut self, seeds: &[u64]) -> Range<usize> {
        let (first, key) = (self.streams.len(), key_of(&self.context));
        self.streams.extend(seeds.iter().map(|&seed| (key, seed)));
        self.completions.resize(self.streams.len(), None);
        first..self.streams.len()
    }
}

/// Which completions a question asks for.
struct Asked {
    request: usize,
    fork: usize,
    /// Numbers of the streams.
    streams: Range<usize>,
}

pub(crate) fn generate(
    core: &Core,
    text: &dyn Text,
    requests: &[GenerateRequest],
    sampling: &Sampling,
    watcher: &mut dyn Watcher,
) -> Result<Vec<RequestCompletions>, Error> {
    let mut drawing = Drawing {
        core,
        text,
        sampling,
        requests,
        slots: requests.iter().map(|request| slots(core, request, sampling)).collect::<Result<_, _>>()?,
        conversation: core.converse(),
        asked: Vec::new(),
        failed: None,
    };
    for (request, asked) in requests.iter().enumerate() {
        for (number, fork) in asked.forks.iter().enumerate() {
            let streams = drawing.slots[request][number].add(&fork.streams);
            drawing.ask(request, number, streams, watcher);
        }
    }
    while drawing.conversation.n_open() > 0 {
        let Some((number, ended)) = drawing.conversation.next(GLANCE) else {
            if !watcher.progress(0) {
                return Err(Error::engine("interrupted"));
            }
            continue;
        };
        match ended {
            Ok(Answer::Draws(draws, usage)) => {
                if !watcher.progress(usage.completion_tokens) {
                    return Err(Error::engine("interrupted"));
                }
                drawing.drawn(number, draws, watcher)?;
            }
            Ok(Answer::Next(..)) => {}
            Err(Failure::Item(fault)) => drawing.fail(number, fault.to_string()),
            Err(stopped) => return Err(error_of(stopped)),
        }
    }
    drawing.finish()
}

/// A call that is being answered.
struct Drawing<'a> {
    core: &'a Core,
    text: &'a dyn Text,
    sampling: &'a Sampling,
    requests: &'a [GenerateRequest],
    /// `[request][fork]`.
    slots: Vec<Vec<Slots>>,
    conversation: Conversation,
    asked: Vec<Asked>,
    /// Why the first completion failed that did.
    failed: Option<String>,
}

impl Drawing<'_> {
    /// Asks for some completions of a fork, unless they are kept.
    fn ask(&mut self, request: usize, fork: usize, streams: Range<usize>, watcher: &mut dyn Watcher) {
        let mut missing: Option<Range<usize>> = None;
        for stream in streams {
            match self.core.kept.take(self.slots[request][fork].streams[stream]) {
                Some(Ok(completion)) => self.put(request, fork, stream, completion, watcher),
                Some(Err(problem)) => {
                    self.failed.get_or_insert(problem);
                }
                None => {
                    let first = missing.as_ref().map_or(stream, |missing| missing.start);
                    missing = Some(first..stream + 1);
                }
            }
        }
        let Some(missing) = missing else { return };
        let key = key_of(&self.requests[request].context);
        for (question, streams) in
            questions_of(self.core, self.text, &self.slots[request][fork], missing, self.sampling)
        {
            self.conversation.ask(key, Lane::Any, question);
            self.asked.push(Asked { request, fork, streams });
        }
    }

    /// Takes completions that have come.
    fn drawn(&mut self, number: usize, draws: Vec<Drawn>, watcher: &mut dyn Watcher) -> Result<(), Error> {
        let Asked { request, fork, ref streams } = self.asked[number];
        let streams = streams.clone();
        for (stream, drawn) in streams.clone().zip(spread(draws, streams.len())) {
            let completion = completion(self.core, self.text, drawn, self.sampling)?;
            self.put(request, fork, stream, completion, watcher);
        }
        Ok(())
    }

    fn put(
        &mut self,
        request: usize,
        fork: usize,
        stream: usize,
        completion: Completion,
        watcher: &mut dyn Watcher,
    ) {
        let more = watcher.ended(Place { request, fork, stream }, &completion);
        self.slots[request][fork].completions[stream] = Some(completion);
        for more in more {
            let streams = self.slots[more.request][more.fork].add(&more.streams);
            self.ask(more.request, more.fork, streams, watcher);
        }
    }

    fn fail(&mut self, number: usize, problem: String) {
        let Asked { request, fork, ref streams } = self.asked[number];
        for stream in streams.clone() {
            self.core.kept.keep(self.slots[request][fork].streams[stream], Err(problem.clone()));
        }
        self.failed.get_or_insert(problem);
    }

    fn finish(self) -> Result<Vec<RequestCompletions>, Error> {
        if let Some(problem) = self.failed {
            let slots = self.slots.into_iter().flatten();
            let come = slots.flat_map(|slots| slots.streams.into_iter().zip(slots.completions));
            come.for_each(|(stream, completion)| {
                completion.into_iter().for_each(|completion| self.core.kept.keep(stream, Ok(completion)));
            });
            return Err(Error::Refused(problem));
        }
        let whole = |slots: Slots| slots.completions.into_iter().collect::<Option<Vec<Completion>>>();
        let of_request =
            |forks: Vec<Slots>| forks.into_iter().map(whole).collect::<Option<RequestCompletions>>();
        let all = self.slots.into_iter().map(of_request).collect::<Option<Vec<_>>>();
        all.ok_or_else(|| Error::engine("a completion did not come"))
    }
}

fn slots(core: &Core, request: &GenerateRequest, sampling: &Sampling) -> Result<Vec<Slots>, Error> {
    let info = &core.info;
    let of_fork = |(index, fork): (usize, &entrace_backend::Fork)| {
        let available = request.context.len();
        if fork.n_tokens > available {
            return Err(Error::BadFork { branch: index, parent: 0, n_tokens: fork.n_tokens, available });
        }
        let context: Vec<TokenId> =
            request.context[..fork.n_tokens].iter().chain(&fork.suffix).copied().collect();
        if context.is_empty() {
            return Err(Error::EmptyContext);
        }
        if let Some(&token) = context.iter().find(|&&token| token as usize >= info.vocab_size) {
            return Err(Error::UnknownToken { token, vocab_size: info.vocab_size });
        }
        if context.len() >= info.context_length {
            return Err(Error::ContextTooLong { n_tokens: context.len() + 1, limit: info.context_length });
        }
        let limit = fork.limit(sampling).min(info.context_length - context.len());
        Ok(Slots { context, limit, streams: Vec::new(), completions: Vec::new() })
    };
    request.forks.iter().enumerate().map(of_fork).collect()
}

/// Questions for some completions of a fork, each for as many as the server draws at once. Greedy ones are all alike: one is asked for.
fn questions_of(
    core: &Core,
    text: &dyn Text,
    slots: &Slots,
    streams: Range<usize>,
    sampling: &Sampling,
) -> Vec<(Question, Range<usize>)> {
    let greedy = sampling.temperature <= 0.0;
    let at_once = if greedy { streams.len().max(1) } else { core.profile.n_at_once.max(1) };
    let by_text = matches!(core.profile.dialect, Some(Dialect::Completions { token_ids: false }));
    let prompt = by_text.then(|| text.decode(&slots.context).text);
    let parts = streams.clone().step_by(at_once).map(|first| first..(first + at_once).min(streams.end));
    let question = |part: Range<usize>| {
        let draw = Draw {
            context: slots.context.clone(),
            text: prompt.clone(),
            messages: Vec::new(),
            n: if greedy { 1 } else { part.len() },
            sampling: Sampling { max_new_tokens: slots.limit, ..sampling.clone() },
            seed: None,
        };
        (Question::Draw(draw), part)
    };
    parts.map(question).collect()
}

/// As many completions as there are streams: those that came, or the one greedy one for all.
fn spread(draws: Vec<Drawn>, n: usize) -> Vec<Drawn> {
    match draws.len() {
        1 => vec![draws[0].clone(); n],
        _ => draws,
    }
}

fn completion(core: &Core, side: &dyn Text, drawn: Drawn, sampling: &Sampling) -> Result<Completion, Error> {
    let is_plain = (sampling.temperature - 1.0).abs() < 1e-9 && sampling.top_p >= 1.0 && sampling.top_k == 0;
    let tells_raw = is_plain || core.profile.is_raw == Some(true);
    let mut token_ids = match drawn.token_ids {
        Some(token_ids) => token_ids,
        None => side.encode_completion(&drawn.text)?,
    };
    if let Some(end) = token_ids.iter().position(|token| side.stop_tokens().contains(token)) {
        token_ids.truncate(end);
    }
    let Decoded { mut text, mut token_ends } = side.decode(&token_ids);
    if let Some(at) = sampling.stop.iter().filter_map(|stop| text.find(stop.as_str())).min() {
        // The token in which a stop string begins is kept.
        let within = token_ends.iter().filter(|&&end| end < at).count();
        let n_tokens = if at == 0 { 0 } else { within + 1 };
        text.truncate(at);
        token_ends.truncate(n_tokens);
        token_ends.iter_mut().for_each(|end| *end = (*end).min(at));
        token_ids.truncate(n_tokens);
    }
    let n = token_ids.len();
    let logprobs = match drawn.logprobs.filter(|logprobs| tells_raw && logprobs.len() >= n) {
        Some(mut logprobs) => {
            logprobs.truncate(n);
            logprobs.into_iter().map(Some).collect()
        }
        None => vec![None; n],
    };
    let untold =
        Sharpness { entropy: None, top2_margin: None, topk_confidence: None, uniform_divergence: None };
    Ok(Completion {
        token_ids,
        text,
        token_ends,
        logprobs,
        sharpness: vec![untold; n],
        stop_reason: drawn.stop_reason,
    })
}
