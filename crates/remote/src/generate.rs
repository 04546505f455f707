//! Completions drawn by servers.
//!
//! A fork is a request for as many completions as it has streams; its seeds are not sent, because servers ignore them, take all for the same
//! one, or stop (`docs`), so draws differ from run to run. A draw that failed is not drawn again, because a completion that took too long is a
//! long one, and a second try would leave the short ones: its request fails. What comes back is cut as everywhere: the token that ends the turn is no part of
//! a completion, nor is anything from a stop string on.

use crate::engine::Core;
use crate::pool::{Conversation, Failure};
use crate::schedule::Lane;
use crate::session::{error_of, key_of};
use crate::wire::{Answer, Dialect, Draw, Drawn, Question, Spelled};
use entrace_backend::generate::RequestCompletions;
use entrace_backend::sampling::check_request;
use entrace_backend::{
    Completion, Decoded, Each, Error, Fork, GenerateRequest, More, Place, Prompt, Sampling, Sharpness, Text,
    Watcher,
};
use entrace_measure::TokenId;
use std::ops::Range;
use std::time::Duration;

/// Longest time between two looks at whether to stop.
const GLANCE: Duration = Duration::from_millis(100);

/// Completions of a fork, as far as they have come.
struct Slots {
    context: Vec<TokenId>,
    limit: usize,
    completions: Vec<Option<Completion>>,
}

impl Slots {
    /// The numbers of some more.
    fn add(&mut self, n: usize) -> Range<usize> {
        let first = self.completions.len();
        self.completions.resize(first + n, None);
        first..first + n
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
) -> Each<RequestCompletions> {
    let of_request = |(number, request)| slots(core, number, request, sampling);
    let mut drawing = Drawing {
        core,
        text,
        sampling,
        requests,
        slots: requests.iter().enumerate().map(of_request).collect(),
        conversation: core.converse(),
        asked: Vec::new(),
    };
    for (request, asked) in requests.iter().enumerate() {
        for (number, fork) in asked.forks.iter().enumerate() {
            drawing.ask(request, number, fork.streams.len());
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
            Err(failure @ Failure::Item(_)) => drawing.fail(number, error_of(failure)),
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
    /// `[request][fork]`, or why a request has failed.
    slots: Vec<Result<Vec<Slots>, Error>>,
    conversation: Conversation,
    asked: Vec<Asked>,
}

impl Drawing<'_> {
    /// Asks for `n` more completions of a fork, unless its request has failed.
    fn ask(&mut self, request: usize, fork: usize, n: usize) {
        let Ok(slots) = &mut self.slots[request] else { return };
        let streams = slots[fork].add(n);
        let key = key_of(&self.requests[request].context);
        for (question, streams) in questions_of(self.core, self.text, &slots[fork], streams, self.sampling) {
            self.conversation.ask(key, Lane::Any, question);
            self.asked.push(Asked { request, fork, streams });
        }
    }

    /// Takes completions that have come.
    fn drawn(&mut self, number: usize, draws: Vec<Drawn>, watcher: &mut dyn Watcher) -> Result<(), Error> {
        let Asked { request, fork, ref streams } = self.asked[number];
        let streams = streams.clone();
        for (stream, drawn) in streams.clone().zip(spread(draws, streams.len())) {
            match completion(self.core, self.text, drawn, self.sampling) {
                Ok(completion) => self.put(Place { request, fork, stream }, completion, watcher),
                Err(error) if error.is_about_the_item() => self.fail(number, error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn put(&mut self, place: Place, completion: Completion, watcher: &mut dyn Watcher) {
        let Ok(slots) = &mut self.slots[place.request] else { return };
        let more = watcher.ended(place, &completion);
        slots[place.fork].completions[place.stream] = Some(completion);
        for More { request, fork, streams } in more {
            self.ask(request, fork, streams.len());
        }
    }

    /// The request of a question fails, for the first reason that there is.
    fn fail(&mut self, number: usize, error: Error) {
        let slots = &mut self.slots[self.asked[number].request];
        if slots.is_ok() {
            *slots = Err(error);
        }
    }

    fn finish(self) -> Each<RequestCompletions> {
        let whole = |slots: Slots| slots.completions.into_iter().collect::<Option<Vec<Completion>>>();
        let of_request = |forks: Result<Vec<Slots>, Error>| match forks {
            Ok(forks) => {
                let whole = forks.into_iter().map(whole).collect::<Option<RequestCompletions>>();
                whole.map(Ok).ok_or_else(|| Error::engine("a completion did not come"))
            }
            Err(error) => Ok(Err(error)),
        };
        self.slots.into_iter().map(of_request).collect()
    }
}

fn slots(
    core: &Core,
    number: usize,
    request: &GenerateRequest,
    sampling: &Sampling,
) -> Result<Vec<Slots>, Error> {
    check_request(&core.info, number, request)?;
    let of_fork = |fork: &Fork| {
        let context = [&request.context[..fork.n_tokens], &fork.suffix].concat();
        let limit = fork.limit(sampling).min(core.info.context_length - context.len());
        Slots { context, limit, completions: Vec::new() }
    };
    Ok(request.forks.iter().map(of_fork).collect())
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
    let by_text = matches!(core.profile.dialect, Some(Dialect::Completions { token_ids: false, .. }));
    let prompt = by_text.then(|| spelled(core, text, &slots.context));
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

/// A context as text, without the token that the server puts in front by itself.
fn spelled(core: &Core, side: &dyn Text, context: &[TokenId]) -> Spelled {
    let whole = side.spell(context);
    let begins = |tokens: &[TokenId]| tokens.first().is_some_and(|&token| is_special(side, token));
    // The text is cut into tokens anew, there as here; where two parts of the context meet they may be other ones than its own.
    let n_tokens = side.encode_prompt(&whole).map_or(context.len(), |Prompt { token_ids, .. }| {
        token_ids.len() - usize::from(begins(&token_ids) && !begins(context))
    });
    let is_put_there = core.profile.begins_texts && begins(context);
    let text = if is_put_there { side.spell(&context[1..]) } else { whole };
    Spelled { text, n_tokens: Some(n_tokens) }
}

/// Whether a token is spelled in prompts and is no text.
pub(crate) fn is_special(side: &dyn Text, token: TokenId) -> bool {
    side.decode(&[token]).text.is_empty() && !side.spell(&[token]).is_empty()
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
