//! Prompts and traces of a batch.
//!
//! Each question's prompt is made once; traces are sampled for all questions of the batch together, or tokenised where they were
//! imported. The trace is the reasoning part of a completion: what stands before `</think>` where the model closes its reasoning so,
//! else all of it. What cannot be measured is a reason, kept with the item.

use crate::error::Error;
use crate::event::{Event, Observer, Phase};
use crate::plan::{Engine, Measurement, Prompting, TaskPlan, TraceInput, WorkItem};
use entrace_backend::generate::RequestCompletions;
use entrace_backend::{
    Completion, Fork, GenerateRequest, More, Place, Prompt, Sharpness, Watcher, stream_seed,
};
use entrace_measure::{Answer, AnswerFormat, Choices, Prefix, Question, StopReason, Trace};
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

/// One trace, ready to be measured.
pub(crate) struct Traced {
    pub(crate) question: Arc<Question>,
    pub(crate) sample: u32,
    pub(crate) prompting: Prompting,
    pub(crate) prompt: Prompt,
    pub(crate) completion: String,
    pub(crate) trace: Trace,
    pub(crate) prefixes: Vec<Prefix>,
    /// Of each trace token, where the engine generated it.
    pub(crate) scores: Option<TokenScored>,
    pub(crate) answer: Answer,
    pub(crate) correct: Option<bool>,
    pub(crate) stop_reason: StopReason,
}

/// What is known of each token of a trace.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenScored {
    pub(crate) logprobs: Vec<Option<f64>>,
    pub(crate) sharpness: Vec<Option<Sharpness>>,
}

/// A trace that cannot be measured.
pub(crate) struct Unmeasured {
    pub(crate) question: Arc<Question>,
    pub(crate) sample: u32,
    pub(crate) prompt: String,
    pub(crate) completion: String,
    pub(crate) n_prompt_tokens: usize,
    pub(crate) n_trace_tokens: usize,
    /// What the completion states all the same; `None` where there is nothing to read.
    pub(crate) answer: Option<Answer>,
    pub(crate) correct: Option<bool>,
    /// Whether something failed; otherwise the question itself cannot be measured.
    pub(crate) failed: bool,
    pub(crate) reason: String,
}

/// A trace or why there is none.
pub(crate) type Outcome = Result<Box<Traced>, Box<Unmeasured>>;

/// Makes the traces of a batch, in order of items and traces.
pub(crate) fn trace_batch(
    engine: Engine<'_>,
    task: &TaskPlan,
    items: &[WorkItem],
    how: &Measurement,
    answer_room: usize,
    observer: &mut dyn Observer,
) -> Result<Vec<Outcome>, Error> {
    let prompts: Vec<Result<Prompt, entrace_backend::Error>> =
        items.iter().map(|item| prompt(engine, &item.prompting)).collect();
    let mut generated = generate(engine, task, items, &prompts, how, observer)?.into_iter();
    let mut outcomes = Vec::new();
    for (item, prompt) in items.iter().zip(&prompts) {
        for (sample, input) in &item.traces {
            let unmeasured = |failed: bool, reason: String| {
                let completion = text_of(input);
                let (answer, correct) = stated(task, &item.question, input, completion, StopReason::Stop);
                Err(Box::new(Unmeasured {
                    question: Arc::clone(&item.question),
                    sample: *sample,
                    prompt: prompt.as_ref().map_or_else(|_| String::new(), |p| p.text.clone()),
                    completion: completion.to_string(),
                    n_prompt_tokens: prompt.as_ref().map_or(0, |p| p.token_ids.len()),
                    n_trace_tokens: 0,
                    answer,
                    correct,
                    failed,
                    reason,
                }))
            };
            let prompt = match prompt {
                Ok(prompt) => prompt,
                Err(error) => {
                    outcomes.push(unmeasured(true, error.to_string()));
                    continue;
                }
            };
            let maker = Maker { engine, task, how, answer_room, item, input, sample: *sample, prompt };
            outcomes.push(match input {
                TraceInput::Imported { text, step_ends, correct } => {
                    maker.imported(text, step_ends.as_deref(), *correct)
                }
                TraceInput::Generate => match generated.next() {
                    Some(Ok(completion)) => maker.generated(completion),
                    Some(Err(NoTrace { failed, reason })) => unmeasured(failed, reason),
                    None => unmeasured(true, "the engine returned too few completions".into()),
                },
            });
        }
    }
    Ok(outcomes)
}

/// The text of an imported trace; empty for one that is to be written.
fn text_of(input: &TraceInput) -> &str {
    match input {
        TraceInput::Generate => "",
        TraceInput::Imported { text, .. } => text,
    }
}

/// The answer that a completion states.
pub(crate) fn answer(
    format: &dyn AnswerFormat,
    completion: &str,
    stop_reason: StopReason,
    choices: Option<&Choices>,
) -> Answer {
    match stop_reason {
        StopReason::Length => format.extract_cut(completion, choices),
        StopReason::Stop | StopReason::Imported => format.extract(completion, choices),
    }
}

/// What a completion that is not measured states, and whether that is right. A model that was asked and wrote nothing has given no
/// readable answer, which is wrong, as it is where only answers are scored. An imported trace without text may as well have been lost, so
/// there only what the file itself says counts.
fn stated(
    task: &TaskPlan,
    question: &Question,
    input: &TraceInput,
    completion: &str,
    stop_reason: StopReason,
) -> (Option<Answer>, Option<bool>) {
    let judged = match input {
        TraceInput::Generate => None,
        TraceInput::Imported { correct, .. } if completion.trim().is_empty() => return (None, *correct),
        TraceInput::Imported { correct, .. } => *correct,
    };
    let answer = answer(task.format.as_ref(), completion, stop_reason, question.choices.as_ref());
    let agrees = question.target.as_ref().map(|target| &answer == target);
    (Some(answer), judged.or(agrees))
}

/// Tokens of cue and answer, for which a context needs room after prompt and trace.
pub(crate) fn answer_room(engine: Engine<'_>, how: &Measurement) -> Result<usize, Error> {
    let mut longest = engine.text.encode_plain(&how.cue)?.len();
    for cue in &how.more_cues {
        longest = longest.max(engine.text.encode_plain(cue)?.len());
    }
    Ok(longest + how.max_answer_tokens)
}

pub(crate) fn prompt(engine: Engine<'_>, prompting: &Prompting) -> Result<Prompt, entrace_backend::Error> {
    match prompting {
        Prompting::Chat(messages) => engine.text.render_chat(messages),
        Prompting::Verbatim(text) => engine.text.encode_prompt(text),
    }
}

/// Why the model wrote no trace.
#[derive(Clone)]
pub(crate) struct NoTrace {
    /// Whether something failed; otherwise there was no room for one.
    pub(crate) failed: bool,
    pub(crate) reason: String,
}

/// Completions of all traces that the model writes, in order, or why there is none.
fn generate(
    engine: Engine<'_>,
    task: &TaskPlan,
    items: &[WorkItem],
    prompts: &[Result<Prompt, entrace_backend::Error>],
    how: &Measurement,
    observer: &mut dyn Observer,
) -> Result<Vec<Result<Completion, NoTrace>>, Error> {
    let limit = engine.text.info().context_length;
    let mut requests = Vec::new();
    let mut slots: Vec<(usize, Option<NoTrace>)> = Vec::new();
    for (item, prompt) in items.iter().zip(prompts) {
        let samples: Vec<u32> = item
            .traces
            .iter()
            .filter(|(_, t)| matches!(t, TraceInput::Generate))
            .map(|(sample, _)| *sample)
            .collect();
        let (Ok(prompt), false) = (prompt, samples.is_empty()) else { continue };
        let n_tokens = prompt.token_ids.len();
        if n_tokens == 0 || n_tokens >= limit {
            let reason = format!("the prompt of {n_tokens} tokens does not fit the context of {limit}");
            slots.push((samples.len(), Some(NoTrace { failed: false, reason })));
            continue;
        }
        let seed = |sample: &u32| {
            stream_seed(how.seed, &[&task.name, &item.question.id, &sample.to_string(), "trace"])
        };
        let streams = samples.iter().map(seed).collect();
        requests.push(GenerateRequest {
            context: prompt.token_ids.clone(),
            forks: vec![Fork { n_tokens, suffix: Vec::new(), streams, max_new_tokens: None }],
        });
        slots.push((samples.len(), None));
    }
    let n = requests.iter().flat_map(|request| &request.forks).map(|fork| fork.streams.len()).sum();
    observer.event(Event::PhaseBegins { phase: Phase::Traces, n });
    let completions = sample_each(engine, &requests, &how.traces.sampling, observer)?;
    let mut completions = completions.into_iter().flatten();
    let mut results = Vec::new();
    for (n, reason) in slots {
        for _ in 0..n {
            match &reason {
                Some(reason) => results.push(Err(reason.clone())),
                None => results.extend(completions.next()),
            }
        }
    }
    Ok(results)
}

/// One completion for each stream of each request. Where the batch fails for the sake of one request, each is run by itself.
pub(crate) fn sample_each(
    engine: Engine<'_>,
    requests: &[GenerateRequest],
    sampling: &entrace_backend::Sampling,
    observer: &mut dyn Observer,
) -> Result<Vec<Vec<Result<Completion, NoTrace>>>, Error> {
    match sample(engine, requests, sampling, observer) {
        Ok(completions) => {
            let of_request = |forks: RequestCompletions| forks.into_iter().flatten().map(Ok).collect();
            Ok(completions.into_iter().map(of_request).collect())
        }
        Err(error) if !error.is_about_one_item() => Err(error),
        Err(error) if requests.len() == 1 => {
            let n = requests[0].forks.iter().map(|fork| fork.streams.len()).sum();
            Ok(vec![vec![Err(NoTrace { failed: true, reason: error.to_string() }); n]])
        }
        Err(_) => {
            let alone = |request| {
                Ok(sample_each(engine, std::slice::from_ref(request), sampling, observer)?.remove(0))
            };
            requests.iter().map(alone).collect()
        }
    }
}

/// Runs the generator under the observer's eyes.
pub(crate) fn sample(
    engine: Engine<'_>,
    requests: &[GenerateRequest],
    sampling: &entrace_backend::Sampling,
    observer: &mut dyn Observer,
) -> Result<Vec<RequestCompletions>, Error> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let mut watching = Watching { observer, stopped: false };
    let result = engine.generator.generate_watched(requests, sampling, &mut watching);
    if watching.stopped { Err(Error::Interrupted) } else { Ok(result?) }
}

/// Tells an observer what a generator does.
struct Watching<'a> {
    observer: &'a mut dyn Observer,
    stopped: bool,
}

impl Watcher for Watching<'_> {
    fn progress(&mut self, n_tokens: usize) -> bool {
        self.observer.event(Event::Tokens(n_tokens));
        self.stopped = self.observer.should_stop();
        !self.stopped
    }

    fn ended(&mut self, _: Place, _: &Completion) -> Vec<More> {
        self.observer.event(Event::PhaseAdvances(1));
        Vec::new()
    }
}

/// A text with its letters composed (NFC), as some tokenizers make it before they cut it into tokens.
struct Composed {
    text: String,
    step_ends: Option<Vec<usize>>,
}

impl Composed {
    /// A step that ends within a letter ends before it.
    fn of(text: &str, step_ends: Option<&[usize]>) -> Self {
        let composed: String = text.nfc().collect();
        let place = |&end: &usize| {
            let n_bytes = text.get(..end).map_or(text.len(), |before| before.nfc().map(char::len_utf8).sum());
            composed.floor_char_boundary(n_bytes)
        };
        Self { step_ends: step_ends.map(|ends| ends.iter().map(place).collect()), text: composed }
    }
}

struct Maker<'a> {
    engine: Engine<'a>,
    task: &'a TaskPlan,
    how: &'a Measurement,
    answer_room: usize,
    item: &'a WorkItem,
    input: &'a TraceInput,
    sample: u32,
    prompt: &'a Prompt,
}

/// Marks the end of the reasoning part in models that close it.
const END_OF_REASONING: &str = "</think>";

impl Maker<'_> {
    fn generated(&self, completion: Completion) -> Outcome {
        let text_end = completion.text.find(END_OF_REASONING).unwrap_or(completion.text.len());
        let n = completion.token_ends.iter().filter(|&&end| end <= text_end).count();
        let text_end = if n == completion.token_ends.len() {
            completion.text.len()
        } else {
            n.checked_sub(1).map_or(0, |last| completion.token_ends[last])
        };
        let trace = Trace::new(
            completion.text[..text_end].to_string(),
            completion.token_ids[..n].to_vec(),
            completion.token_ends[..n].to_vec(),
        );
        let trace = match trace {
            Ok(trace) => trace,
            Err(error) => {
                let stop_reason = completion.stop_reason;
                return self.unmeasured(&completion.text, stop_reason, n, true, error.to_string());
            }
        };
        let answer = self.answer(&completion.text, completion.stop_reason);
        let correct = self.item.question.target.as_ref().map(|target| &answer == target);
        let scores = TokenScored {
            logprobs: completion.logprobs[..n].iter().copied().map(Some).collect(),
            sharpness: completion.sharpness[..n].iter().copied().map(Some).collect(),
        };
        self.traced(trace, completion.text, None, Some(scores), answer, correct, completion.stop_reason)
    }

    fn imported(&self, text: &str, step_ends: Option<&[usize]>, judged: Option<bool>) -> Outcome {
        let limit = self.engine.text.info().context_length;
        if let Some(most) = self.engine.text.max_token_bytes()
            && let n_tokens = text.len().div_ceil(most)
            && n_tokens > limit
        {
            let n_bytes = text.len();
            let reason = format!(
                "a trace of {n_bytes} bytes has at least {n_tokens} tokens, which do not fit the context of {limit}"
            );
            return self.unmeasured(text, StopReason::Imported, 0, false, reason);
        }
        let composed = Composed::of(text, step_ends);
        let trace = self.engine.text.encode_plain(text).map_err(|e| e.to_string()).and_then(|token_ids| {
            let decoded = self.engine.text.decode(&token_ids);
            if decoded.text == text || decoded.text == composed.text {
                Trace::new(decoded.text, token_ids, decoded.token_ends).map_err(|e| e.to_string())
            } else {
                Err("the tokenizer does not give the trace's text back; its steps cannot be placed"
                    .to_string())
            }
        });
        let trace = match trace {
            Ok(trace) => trace,
            Err(reason) => return self.unmeasured(text, StopReason::Imported, 0, true, reason),
        };
        let (text, step_ends) = match trace.text() == text {
            true => (text, step_ends),
            false => (composed.text.as_str(), composed.step_ends.as_deref()),
        };
        let answer = self.answer(text, StopReason::Imported);
        let agrees = self.item.question.target.as_ref().map(|target| &answer == target);
        self.traced(trace, text.to_string(), step_ends, None, answer, judged.or(agrees), StopReason::Imported)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one value, named at both calls")]
    fn traced(
        &self,
        trace: Trace,
        completion: String,
        step_ends: Option<&[usize]>,
        scores: Option<TokenScored>,
        answer: Answer,
        correct: Option<bool>,
        stop_reason: StopReason,
    ) -> Outcome {
        let n_tokens = trace.len();
        if n_tokens == 0 {
            return self.unmeasured(&completion, stop_reason, 0, false, "the trace is empty".into());
        }
        let limit = self.engine.text.info().context_length;
        let needed = self.prompt.token_ids.len() + n_tokens + self.answer_room;
        if self.prompt.token_ids.is_empty() || needed > limit {
            let reason = format!(
                "prompt ({}), trace ({n_tokens}), cue and answer ({}) do not fit the context of {limit} tokens",
                self.prompt.token_ids.len(),
                self.answer_room
            );
            return self.unmeasured(&completion, stop_reason, n_tokens, false, reason);
        }
        let prefixes =
            entrace_measure::prefix::prefixes(&trace, &self.how.segmentation, step_ends, self.how.max_steps);
        let prefixes = match prefixes {
            Ok(prefixes) => prefixes,
            Err(error) => {
                return self.unmeasured(&completion, stop_reason, n_tokens, false, error.to_string());
            }
        };
        Ok(Box::new(Traced {
            question: Arc::clone(&self.item.question),
            sample: self.sample,
            prompting: self.item.prompting.clone(),
            prompt: self.prompt.clone(),
            completion,
            trace,
            prefixes,
            scores,
            answer,
            correct,
            stop_reason,
        }))
    }

    fn answer(&self, completion: &str, stop_reason: StopReason) -> Answer {
        answer(self.task.format.as_ref(), completion, stop_reason, self.item.question.choices.as_ref())
    }

    fn unmeasured(
        &self,
        completion: &str,
        stop_reason: StopReason,
        n_trace_tokens: usize,
        failed: bool,
        reason: String,
    ) -> Outcome {
        let (answer, correct) = stated(self.task, &self.item.question, self.input, completion, stop_reason);
        Err(Box::new(Unmeasured {
            question: Arc::clone(&self.item.question),
            sample: self.sample,
            prompt: self.prompt.text.clone(),
            completion: completion.to_string(),
            n_prompt_tokens: self.prompt.token_ids.len(),
            n_trace_tokens,
            answer,
            correct,
            failed,
            reason,
        }))
    }
}
