//! `sample` and `rollout`: answer distributions from m draws.
//!
//! `sample` draws answers after prefix and cue, from the raw distribution (temperature 1), and reads each through the format's grammar. A
//! draw ends with its line, so that of a model that begins a new line after the cue nothing is read, where `enumerate` passes over it.
//! `rollout` lets the model go on from the prefix to the end, with the sampling of the traces themselves, and reads the final answer of
//! prefix and continuation together. Both together have no more tokens than a trace may have: with a limit of their own, continuations
//! would end where the trace could not, and belief would move without a cause. What cannot be read is the outcome `invalid`. Every draw has
//! a random stream of its own; the label of a trace comes from the trace's own ending, from which these draws are disjoint.

use super::SiteResult;
use crate::error::Error;
use crate::event::Observer;
use crate::plan::{Engine, Measurement, TaskRun};
use crate::trace::sample_each;
use entrace_backend::{Completion, Fork, GenerateRequest, Sampling, stream_seed};
use entrace_measure::{
    Answer, AnswerDistribution, AnswerFormat, Choices, Estimator, Question, StopReason, ThoughtKind, TokenId,
    Verdict,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Places in one context where belief is asked for.
pub(crate) struct FlatSites<'a> {
    pub(crate) question: &'a Question,
    /// Names the random streams: task, question, sample, control.
    pub(crate) stream: Vec<String>,
    /// Prompt and trace.
    pub(crate) context: Vec<TokenId>,
    /// Tokens of the prompt.
    pub(crate) n_prompt: usize,
    /// Most tokens of a trace, where it was made under a limit.
    pub(crate) most_tokens: Option<usize>,
    /// Step and trace tokens of each site.
    pub(crate) sites: Vec<(usize, usize)>,
    /// Tokens that ask for the answer at each site; empty where nothing is asked.
    pub(crate) cues: Vec<Arc<[TokenId]>>,
    /// The thought that is open where the trace begins.
    pub(crate) opened: Option<&'a ThoughtKind>,
}

impl FlatSites<'_> {
    /// What the first tokens of the trace say.
    pub(crate) fn text_of_prefix(&self, engine: Engine<'_>, n_tokens: usize) -> String {
        engine.text.decode(&self.context[self.n_prompt..self.n_prompt + n_tokens]).text
    }

    /// The random streams of draws at a site.
    pub(crate) fn streams(
        &self,
        estimator: Estimator,
        step: usize,
        draws: Range<usize>,
        seed: u64,
    ) -> Vec<u64> {
        let stream = |draw: usize| {
            let (step, draw) = (step.to_string(), draw.to_string());
            let mut parts: Vec<&str> = self.stream.iter().map(String::as_str).collect();
            parts.extend([estimator.name(), step.as_str(), draw.as_str()]);
            stream_seed(seed, &parts)
        };
        draws.map(stream).collect()
    }

    /// Most tokens of a rollout from a site, where the trace had a limit.
    pub(crate) fn room(&self, n_tokens: usize) -> Option<usize> {
        self.most_tokens.map(|most| most.saturating_sub(n_tokens))
    }
}

/// What was found in one context.
pub(crate) struct Sampled {
    /// Distributions at its sites.
    pub(crate) results: Vec<SiteResult>,
    /// Everything up to the end of each draw at its first site: prompt, prefix, cue and draw.
    pub(crate) first_draws: Vec<Vec<TokenId>>,
    /// Tokens that were drawn.
    pub(crate) n_drawn: usize,
}

impl Sampled {
    fn failed(context: &FlatSites<'_>, reason: &str) -> Self {
        let results = vec![Err(reason.to_string()); context.sites.len()];
        Self { results, first_draws: Vec::new(), n_drawn: 0 }
    }
}

/// Distributions at all sites of all contexts.
pub(crate) fn estimate(
    TaskRun { engine, task, how }: TaskRun<'_>,
    estimator: Estimator,
    contexts: &[FlatSites<'_>],
    observer: &mut dyn Observer,
) -> Result<Vec<Sampled>, Error> {
    let format = task.format.as_ref();
    let forced = estimator == Estimator::Sample;
    let sampling = if forced {
        Sampling {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            max_new_tokens: how.max_answer_tokens,
            stop: vec!["\n".to_string()],
        }
    } else {
        how.traces.sampling.clone()
    };
    let requests: Vec<GenerateRequest> = contexts.iter().map(|c| request(c, estimator, how)).collect();
    let completions = sample_each(engine, &requests, &sampling, observer)?;
    let results = contexts.iter().zip(completions).map(|(context, forks)| {
        let forks = match forks {
            Ok(forks) => forks,
            Err(error) => return Sampled::failed(context, &error.to_string()),
        };
        let first_draws = first_draws(context, forced, &forks);
        let n_drawn = forks.iter().flatten().map(|draw| draw.token_ids.len()).sum();
        let sites = context.sites.iter().zip(forks);
        let results = sites
            .map(|(&(_, n_tokens), draws)| {
                let choices = context.question.choices.as_ref();
                let before = if forced { String::new() } else { context.text_of_prefix(engine, n_tokens) };
                let answers = draws.iter().map(|draw| match estimator {
                    Estimator::Sample => read_answer(format, draw, choices),
                    _ => answer_of_rollout(engine, format, context, &before, draw),
                });
                let mut distribution = distribution(estimator, answers, context.question)?;
                distribution.cue_entropy = if forced { first_entropy(&draws) } else { None };
                Ok(distribution)
            })
            .collect();
        Sampled { results, first_draws, n_drawn }
    });
    Ok(results.collect())
}

fn first_draws(context: &FlatSites<'_>, forced: bool, forks: &[Vec<Completion>]) -> Vec<Vec<TokenId>> {
    let (Some(&(_, n_tokens)), Some(cue), Some(draws)) =
        (context.sites.first(), context.cues.first(), forks.first())
    else {
        return Vec::new();
    };
    let mut before = context.context[..context.n_prompt + n_tokens].to_vec();
    before.extend(cue.iter().filter(|_| forced));
    draws.iter().map(|draw| [before.as_slice(), &draw.token_ids].concat()).collect()
}

/// Entropy of the distribution from which the first token of every draw comes; none where all draws are empty.
fn first_entropy(draws: &[Completion]) -> Option<f64> {
    draws.iter().find_map(|draw| draw.sharpness.first()).and_then(|sharpness| sharpness.entropy)
}

fn request(context: &FlatSites<'_>, estimator: Estimator, how: &Measurement) -> GenerateRequest {
    let forced = estimator == Estimator::Sample;
    let forks = context.sites.iter().zip(&context.cues).map(|(&(step, n_tokens), cue)| Fork {
        n_tokens: context.n_prompt + n_tokens,
        suffix: if forced { cue.to_vec() } else { Vec::new() },
        streams: context.streams(estimator, step, 0..how.samples, how.seed),
        max_new_tokens: context.room(n_tokens).filter(|_| !forced),
    });
    GenerateRequest { context: context.context.clone(), forks: forks.collect() }
}

/// The final answer of a prefix and what a draw adds to it.
pub(crate) fn answer_of_rollout(
    engine: Engine<'_>,
    format: &dyn AnswerFormat,
    context: &FlatSites<'_>,
    before: &str,
    draw: &Completion,
) -> Answer {
    let completion = format!("{before}{}", draw.text);
    let division = engine.text.thoughts().divide(&completion, context.opened);
    division.answer(format, draw.stop_reason == StopReason::Length, context.question.choices.as_ref())
}

/// Reads a sampled answer string: up to where the grammar closes it, or all of it if it is complete and the model ended it. Of a string
/// that the limit on tokens cut (`12` of `123`) nobody knows the answer.
fn read_answer(format: &dyn AnswerFormat, draw: &Completion, choices: Option<&Choices>) -> Answer {
    let text = draw.text.as_str();
    let grammar = format.grammar(choices);
    let mut state = grammar.start();
    for (at, character) in text.char_indices() {
        state = grammar.step(state, character);
        match grammar.verdict(state) {
            Verdict::Closed => return format.canonical(&text[..at], choices),
            Verdict::Invalid => return Answer::Invalid,
            Verdict::Open | Verdict::Complete => {}
        }
    }
    if grammar.verdict(state) == Verdict::Complete && draw.stop_reason == StopReason::Stop {
        format.canonical(text, choices)
    } else {
        Answer::Invalid
    }
}

pub(crate) fn distribution(
    estimator: Estimator,
    answers: impl Iterator<Item = Answer>,
    question: &Question,
) -> SiteResult {
    let mut counts: BTreeMap<Answer, usize> = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer).or_default() += 1;
    }
    let n_support = question.choices.as_ref().map(|choices| choices.len() + 1);
    let counts = counts.into_iter().collect();
    AnswerDistribution::from_counts(estimator, counts, n_support, question.target.as_ref())
        .map_err(|e| e.to_string())
}
