//! Prompts and traces of a batch.
//!
//! Each question's prompt is made once; traces are sampled for all questions of the batch together, or tokenised where they were
//! imported. Where the engine draws on a token tree, prompts are planted once, and the traces are measured where they grew (`sites`); traces
//! are branches of that tree as long as all of them would fit in what the engine holds, whatever length they reach. Either way the completion is divided (`entrace_measure::completion`): the trace is its thoughts, or all of it where there is none,
//! the answer is read from what it replies, and what runs on into another question belongs to neither. What cannot be measured is a reason,
//! kept with the item.

use crate::cue;
use crate::error::Error;
use crate::estimate::SiteResult;
use crate::event::{Event, Observer, Phase};
use crate::online::Decision;
use crate::plan::{Engine, Measurement, Prompting, TaskPlan, TaskRun, TraceInput, WorkItem};
use entrace_backend::generate::RequestCompletions;
use entrace_backend::{
    Branch, BranchId, BranchScore, Completion, Fork, GenerateRequest, More, Parent, Place, Prompt,
    SamplingSession, Sharpness, Stem, Watcher, stream_seed,
};
use entrace_measure::trace::NotATrace;
use entrace_measure::{Answer, Division, Prefix, Question, StopReason, ThoughtKind, TokenId, Trace};
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

/// A question put to the model, after which traces are measured: its own, and others' as controls.
pub(crate) struct Posed {
    pub(crate) question: Arc<Question>,
    /// Number of the trace.
    pub(crate) sample: u32,
    pub(crate) prompting: Prompting,
    pub(crate) prompt: Prompt,
    /// The thought in which the completion begins: the prompt opened it, or nothing but its closing mark tells of it.
    pub(crate) opened: Option<ThoughtKind>,
    /// Tokens that cue and answer need after prompt and trace.
    pub(crate) answer_room: usize,
    /// Whether its trace was written elsewhere.
    pub(crate) is_imported: bool,
}

/// One trace, ready to be measured.
pub(crate) struct Traced {
    pub(crate) posed: Posed,
    pub(crate) completion: String,
    pub(crate) trace: Trace,
    /// Tokens at the beginning of the trace that only open a thought.
    pub(crate) n_opening: usize,
    pub(crate) prefixes: Vec<Prefix>,
    /// Of each trace token, where the engine generated it.
    pub(crate) scores: Option<TokenScored>,
    pub(crate) answer: Answer,
    pub(crate) correct: Option<bool>,
    pub(crate) stop_reason: StopReason,
    /// Where it grew, on the tree of its batch.
    pub(crate) planted: Option<Planted>,
    /// Belief at its first prefixes, where that was asked for while it was written.
    pub(crate) asked: Vec<SiteResult>,
}

/// Branches of a trace on the tree on which it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planted {
    pub(crate) prompt: BranchId,
    /// Its completion, which begins with the trace; `None` where that was not kept.
    pub(crate) trace: Option<BranchId>,
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
    pub(crate) why: NoTrace,
}

/// A trace or why there is none.
pub(crate) type Outcome = Result<Box<Traced>, Box<Unmeasured>>;

/// A prompt, or why there is none.
pub(crate) type Prompted = Result<Prompt, entrace_backend::Error>;

/// What the model wrote, or why it wrote nothing.
pub(crate) type Writing = Result<Generated, NoTrace>;

/// A completion that the model wrote.
#[derive(Clone)]
pub(crate) struct Generated {
    pub(crate) completion: Completion,
    pub(crate) planted: Option<Planted>,
    /// Belief at the first prefixes of its trace, where that was asked for.
    pub(crate) asked: Vec<SiteResult>,
    /// What a stopping rule decided at them.
    pub(crate) decisions: Vec<Decision>,
    /// What ended it where a rule did.
    pub(crate) stopped: Option<Stopped>,
}

/// A trace that a stopping rule ended. The completion ends with it.
#[derive(Clone)]
pub(crate) struct Stopped {
    pub(crate) prefixes: Vec<Prefix>,
    /// The leading answer there; `Invalid` where the trace was given up.
    pub(crate) answer: Answer,
}

impl Generated {
    fn new(completion: Completion, planted: Option<Planted>) -> Self {
        Self { completion, planted, asked: Vec::new(), decisions: Vec::new(), stopped: None }
    }
}

/// The prompts of a batch.
pub(crate) fn prompts(engine: Engine<'_>, items: &[WorkItem]) -> Vec<Prompted> {
    items.iter().map(|item| prompt(engine, &item.prompting)).collect()
}

/// Makes the traces of a batch, in order of items and traces, from what the model wrote for those that it is to write.
pub(crate) fn outcomes(
    run: TaskRun<'_>,
    items: &[WorkItem],
    prompts: &[Prompted],
    generated: Vec<Writing>,
) -> Vec<Outcome> {
    let mut generated = generated.into_iter();
    let mut outcomes = Vec::new();
    for (item, prompt) in items.iter().zip(prompts) {
        for (sample, input) in &item.traces {
            let unmeasured = |why: NoTrace| {
                let completion = text_of(input);
                let division = divide(run.engine, prompt.as_ref().ok(), completion);
                let (answer, correct) = stated(run.task, &item.question, input, &division, StopReason::Stop);
                Err(Box::new(Unmeasured {
                    question: Arc::clone(&item.question),
                    sample: *sample,
                    prompt: prompt.as_ref().map_or_else(|_| String::new(), |p| p.text.clone()),
                    completion: completion.to_string(),
                    n_prompt_tokens: prompt.as_ref().map_or(0, |p| p.token_ids.len()),
                    n_trace_tokens: 0,
                    answer,
                    correct,
                    why,
                }))
            };
            let prompt = match prompt {
                Ok(prompt) => prompt,
                Err(error) => {
                    outcomes.push(unmeasured(match error {
                        entrace_backend::Error::ContextTooLong { .. } => NoTrace::Skipped(error.to_string()),
                        _ => NoTrace::Failed(error.to_string()),
                    }));
                    continue;
                }
            };
            let maker = Maker { run, item, input, sample: *sample, prompt };
            outcomes.push(match input {
                TraceInput::Imported { text, step_ends, .. } => maker.imported(text, step_ends.as_deref()),
                TraceInput::Generate => match generated.next() {
                    Some(Ok(generated)) => maker.generated(generated),
                    Some(Err(why)) => unmeasured(why),
                    None => unmeasured(NoTrace::Failed("the engine returned too few completions".into())),
                },
            });
        }
    }
    outcomes
}

/// The text of an imported trace; empty for one that is to be written.
pub(crate) fn text_of(input: &TraceInput) -> &str {
    match input {
        TraceInput::Generate => "",
        TraceInput::Imported { text, .. } => text,
    }
}

/// Divides what was written after a prompt, if there is one.
pub(crate) fn divide<'a>(engine: Engine<'_>, prompt: Option<&Prompt>, completion: &'a str) -> Division<'a> {
    let thoughts = engine.text.thoughts();
    let opened = prompt.and_then(|prompt| thoughts.opened_by(&prompt.text));
    thoughts.divide(completion, opened.as_ref())
}

/// What a completion that is not measured states, and whether that is right. A model that was asked and wrote nothing has given no
/// readable answer, which is wrong, as it is where only answers are scored. An imported trace without text may as well have been lost, so
/// there only what the file itself says counts. So it does of a text longer than models write, which takes long to read.
fn stated(
    task: &TaskPlan,
    question: &Question,
    input: &TraceInput,
    completion: &Division<'_>,
    stop_reason: StopReason,
) -> (Option<Answer>, Option<bool>) {
    const MOST_BYTES_READ: usize = 1 << 20;
    let judged = match input {
        TraceInput::Generate => None,
        TraceInput::Imported { text, correct, .. }
            if text.len() > MOST_BYTES_READ || text.trim().is_empty() =>
        {
            return (None, *correct);
        }
        TraceInput::Imported { correct, .. } => *correct,
    };
    let answer =
        completion.answer(task.format.as_ref(), stop_reason == StopReason::Length, question.choices.as_ref());
    let agrees = question.target.as_ref().map(|target| &answer == target);
    (Some(answer), judged.or(agrees))
}

pub(crate) fn prompt(engine: Engine<'_>, prompting: &Prompting) -> Result<Prompt, entrace_backend::Error> {
    // Megabytes are refused before they are tokenised.
    let n_bytes = match prompting {
        Prompting::Chat(messages) => messages.iter().map(|message| message.content.trim().len()).sum(),
        Prompting::Verbatim(text) => text.len(),
    };
    let limit = engine.text.info().context_length;
    let least = engine.text.max_token_bytes().map_or(0, |most| n_bytes.div_ceil(most));
    if least > limit {
        return Err(entrace_backend::Error::ContextTooLong { n_tokens: least, limit });
    }
    match prompting {
        Prompting::Chat(messages) => engine.text.render_chat(messages),
        Prompting::Verbatim(text) => engine.text.encode_prompt(text),
    }
}

/// Why there is no trace to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoTrace {
    /// Something failed.
    Failed(String),
    /// It has no room, or nothing that could be measured.
    Skipped(String),
}

/// The traces that the model is to write for one item.
pub(crate) struct Wanted<'a> {
    pub(crate) item: &'a WorkItem,
    pub(crate) prompt: &'a Prompt,
    pub(crate) samples: Vec<u32>,
    /// The random stream of each.
    pub(crate) streams: Vec<u64>,
}

/// What the model is to write for a batch, and for each item with such traces how many there are and, if it has no room for them, why.
pub(crate) struct Plan<'a> {
    pub(crate) wanted: Vec<Wanted<'a>>,
    slots: Vec<(usize, Option<NoTrace>)>,
}

impl<'a> Plan<'a> {
    pub(crate) fn of(
        TaskRun { engine, task, how }: TaskRun<'_>,
        items: &'a [WorkItem],
        prompts: &'a [Prompted],
    ) -> Self {
        let limit = engine.text.info().context_length;
        let mut plan = Self { wanted: Vec::new(), slots: Vec::new() };
        for (item, prompt) in items.iter().zip(prompts) {
            let is_written = |(_, input): &&(u32, TraceInput)| matches!(input, TraceInput::Generate);
            let samples: Vec<u32> =
                item.traces.iter().filter(is_written).map(|(sample, _)| *sample).collect();
            let (Ok(prompt), false) = (prompt, samples.is_empty()) else { continue };
            let n_tokens = prompt.token_ids.len();
            if n_tokens == 0 || n_tokens >= limit {
                let reason = format!("the prompt of {n_tokens} tokens does not fit the context of {limit}");
                plan.slots.push((samples.len(), Some(NoTrace::Skipped(reason))));
                continue;
            }
            let seed = |sample: &u32| {
                stream_seed(how.seed, &[&task.name, &item.question.id, &sample.to_string(), "trace"])
            };
            plan.slots.push((samples.len(), None));
            let streams = samples.iter().map(seed).collect();
            plan.wanted.push(Wanted { item, prompt, samples, streams });
        }
        plan
    }

    /// What was written, with what could not be, in order of items and traces.
    pub(crate) fn filled(&self, written: Vec<Vec<Writing>>) -> Vec<Writing> {
        let mut written = written.into_iter().flatten();
        let mut all = Vec::new();
        for (n, reason) in &self.slots {
            match reason {
                Some(reason) => all.extend((0..*n).map(|_| Err(reason.clone()))),
                None => all.extend(written.by_ref().take(*n)),
            }
        }
        all
    }
}

/// Completions of all traces that the model writes, in order, or why there is none. They grow on `ground`, an empty tree, if there is one.
pub(crate) fn generate(
    engine: Engine<'_>,
    plan: &Plan<'_>,
    how: &Measurement,
    ground: Option<&mut (dyn SamplingSession + '_)>,
    observer: &mut dyn Observer,
) -> Result<Vec<Writing>, Error> {
    let n = plan.wanted.iter().map(|wanted| wanted.streams.len()).sum();
    observer.event(Event::PhaseBegins { phase: Phase::Traces, n });
    if let Some(ground) = ground {
        let holds = engine.scorer.map_or(0, |scorer| scorer.holds());
        return Ok(plan.filled(grow(ground, &plan.wanted, holds, how, observer)?));
    }
    let request = |wanted: &Wanted<'_>| GenerateRequest {
        context: wanted.prompt.token_ids.clone(),
        forks: vec![Fork {
            n_tokens: wanted.prompt.token_ids.len(),
            suffix: Vec::new(),
            streams: wanted.streams.clone(),
            max_new_tokens: None,
        }],
    };
    let requests: Vec<GenerateRequest> = plan.wanted.iter().map(request).collect();
    let written = sample_each(engine, &requests, &how.traces.sampling, observer)?;
    let of_item = |(wanted, forks): (&Wanted<'_>, Result<RequestCompletions, _>)| match forks {
        Ok(forks) => {
            forks.into_iter().flatten().map(|completion| Ok(Generated::new(completion, None))).collect()
        }
        Err(error) => wanted.failed(&error),
    };
    Ok(plan.filled(plan.wanted.iter().zip(written).map(of_item).collect()))
}

impl Wanted<'_> {
    /// No trace at all, for the same reason.
    fn failed(&self, error: &entrace_backend::Error) -> Vec<Writing> {
        self.streams.iter().map(|_| Err(NoTrace::Failed(error.to_string()))).collect()
    }
}

/// Plants the prompts and lets the traces grow from them, as branches if the tree holds all of them.
fn grow(
    ground: &mut (dyn SamplingSession + '_),
    wanted: &[Wanted<'_>],
    holds: usize,
    how: &Measurement,
    observer: &mut dyn Observer,
) -> Result<Vec<Vec<Writing>>, Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let sampling = &how.traces.sampling;
    let most = |wanted: &Wanted<'_>| {
        wanted
            .prompt
            .token_ids
            .len()
            .saturating_add(wanted.streams.len().saturating_mul(sampling.max_new_tokens))
    };
    let keep = wanted.iter().map(most).fold(0, usize::saturating_add) <= holds;
    let root = |wanted: &Wanted<'_>| Branch {
        tokens: wanted.prompt.token_ids.clone(),
        keep: true,
        ..Branch::default()
    };
    let roots: Vec<Branch> = wanted.iter().map(root).collect();
    let prompts = ground.extend_each(&roots)?;
    observer.event(Event::Tokens(roots.iter().map(|root| root.tokens.len()).sum()));
    let planted =
        wanted.iter().zip(&prompts).filter_map(|(wanted, prompt)| Some((wanted, prompt.as_ref().ok()?)));
    let stem = |(wanted, prompt): (&Wanted<'_>, &BranchScore)| Stem {
        from: Parent { branch: prompt.id, n_tokens: wanted.prompt.token_ids.len() },
        streams: wanted.streams.clone(),
        max_new_tokens: None,
        keep,
    };
    let stems: Vec<Stem> = planted.map(stem).collect();
    let mut watching = Watching { observer, stopped: false };
    let grown = ground.sample(&stems, sampling, &mut watching);
    if watching.stopped {
        return Err(Error::Interrupted);
    }
    let mut grown = grown?.into_iter();
    let of_item = |(wanted, prompt): (&Wanted<'_>, Result<BranchScore, _>)| {
        let grown = prompt.and_then(|prompt| {
            let sampled =
                grown.next().ok_or_else(|| entrace_backend::Error::engine("a stem has no answer"))?;
            Ok((prompt.id, sampled?))
        });
        match grown {
            Ok((prompt, sampled)) => {
                let planted = |trace| Some(Planted { prompt, trace });
                let written = sampled.into_iter();
                written.map(|drawn| Ok(Generated::new(drawn.completion, planted(drawn.branch)))).collect()
            }
            Err(error) => wanted.failed(&error),
        }
    };
    Ok(wanted.iter().zip(prompts).map(of_item).collect())
}

/// Completions of each request, under the observer's eyes.
pub(crate) fn sample_each(
    engine: Engine<'_>,
    requests: &[GenerateRequest],
    sampling: &entrace_backend::Sampling,
    observer: &mut dyn Observer,
) -> Result<Vec<Result<RequestCompletions, entrace_backend::Error>>, Error> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let mut watching = Watching { observer, stopped: false };
    let drawn = engine.generator()?.generate_each(requests, sampling, &mut watching);
    if watching.stopped { Err(Error::Interrupted) } else { Ok(drawn?) }
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

/// What was written, with the trace in it.
struct Written<'a> {
    division: Division<'a>,
    trace: Trace,
    scores: Option<TokenScored>,
    stop_reason: StopReason,
}

struct Maker<'a> {
    run: TaskRun<'a>,
    item: &'a WorkItem,
    input: &'a TraceInput,
    sample: u32,
    prompt: &'a Prompt,
}

/// The part of a decoded text that is its trace: the tokens that end within so many bytes, and the text that they cover.
pub(crate) fn trace_of(
    text: &str,
    token_ids: &[TokenId],
    token_ends: &[usize],
    n_bytes: usize,
) -> Result<Trace, NotATrace> {
    let n = token_ends.partition_point(|&end| end <= n_bytes);
    let text_end = match n.checked_sub(1) {
        _ if n == token_ends.len() => text.len(),
        None => 0,
        Some(last) => token_ends[last],
    };
    Trace::new(text[..text_end].to_string(), token_ids[..n].to_vec(), token_ends[..n].to_vec())
}

impl Maker<'_> {
    fn generated(&self, generated: Generated) -> Outcome {
        let Generated { completion, planted, asked, stopped, .. } = generated;
        let (n_tokens, stop_reason) = (completion.token_ids.len(), completion.stop_reason);
        let division = divide(self.run.engine, Some(self.prompt), &completion.text);
        let trace_end = if stopped.is_some() { completion.text.len() } else { division.trace_end() };
        let trace = trace_of(&completion.text, &completion.token_ids, &completion.token_ends, trace_end);
        let trace = match trace {
            Ok(trace) => trace,
            Err(error) => {
                let why = NoTrace::Failed(error.to_string());
                return self.unmeasured(&division, stop_reason, n_tokens, why);
            }
        };
        let scores = TokenScored {
            logprobs: completion.logprobs[..trace.len()].to_vec(),
            sharpness: completion.sharpness[..trace.len()].iter().copied().map(Some).collect(),
        };
        let written = Written { division, trace, scores: Some(scores), stop_reason };
        let traced = match stopped {
            None => self.traced(written, None),
            Some(stopped) => self.stopped(written, stopped),
        };
        traced.map(|traced| Box::new(Traced { planted, asked, ..*traced }))
    }

    fn imported(&self, text: &str, step_ends: Option<&[usize]>) -> Outcome {
        let limit = self.run.engine.text.info().context_length;
        if let Some(most) = self.run.engine.text.max_token_bytes()
            && let n_tokens = text.len().div_ceil(most)
            && n_tokens > limit
        {
            let n_bytes = text.len();
            let reason = format!(
                "a trace of {n_bytes} bytes has at least {n_tokens} tokens, which do not fit the context of {limit}"
            );
            let division = divide(self.run.engine, Some(self.prompt), text);
            return self.unmeasured(&division, StopReason::Imported, 0, NoTrace::Skipped(reason));
        }
        let composed = Composed::of(text, step_ends);
        let division = divide(self.run.engine, Some(self.prompt), text);
        let (division, step_ends, trace) = match self.tokenised(&division) {
            Err(_) if composed.text != text => {
                let division = divide(self.run.engine, Some(self.prompt), &composed.text);
                let trace = self.tokenised(&division);
                (division, composed.step_ends.as_deref(), trace)
            }
            trace => (division, step_ends, trace),
        };
        let trace = match trace {
            Ok(trace) => trace,
            Err(reason) => {
                return self.unmeasured(&division, StopReason::Imported, 0, NoTrace::Failed(reason));
            }
        };
        // Steps that were recorded may reach into the reply.
        let ends_within = |ends: &[usize]| ends.iter().map(|&end| end.min(trace.text().len())).collect();
        let step_ends: Option<Vec<usize>> = step_ends.map(ends_within);
        let written = Written { division, trace, scores: None, stop_reason: StopReason::Imported };
        self.traced(written, step_ends.as_deref())
    }

    /// The tokens of an imported trace.
    fn tokenised(&self, division: &Division<'_>) -> Result<Trace, String> {
        let own = &division.text()[..division.end()];
        let token_ids = self.run.engine.text.encode_completion(own).map_err(|e| e.to_string())?;
        let decoded = self.run.engine.text.decode(&token_ids);
        if decoded.text != own {
            return Err(
                "the tokenizer does not give the trace's text back; its steps cannot be placed".to_string()
            );
        }
        trace_of(own, &token_ids, &decoded.token_ends, division.trace_end()).map_err(|e| e.to_string())
    }

    fn traced(&self, written: Written<'_>, step_ends: Option<&[usize]>) -> Outcome {
        let Written { division, trace, stop_reason, .. } = &written;
        if trace.is_empty() {
            let why = NoTrace::Skipped("the trace is empty".into());
            return self.unmeasured(division, *stop_reason, 0, why);
        }
        let (segmentation, max_steps) = (&self.run.how.segmentation, self.run.how.max_steps);
        let prefixes = entrace_measure::prefix::prefixes(trace, segmentation, step_ends, max_steps);
        let prefixes = prefixes.map_err(|error| error.to_string());
        let (answer, correct) = self.stated(division, *stop_reason);
        self.cut_into(prefixes, written, (answer.unwrap_or(Answer::Invalid), correct))
    }

    /// A trace that a rule stopped: its answer is that of the belief there.
    fn stopped(&self, written: Written<'_>, Stopped { prefixes, answer }: Stopped) -> Outcome {
        let correct = self.item.question.target.as_ref().map(|target| target.name() == answer.name());
        self.cut_into(Ok(prefixes), written, (answer, correct))
    }

    fn cut_into(
        &self,
        prefixes: Result<Vec<Prefix>, String>,
        Written { division, trace, scores, stop_reason }: Written<'_>,
        (answer, correct): (Answer, Option<bool>),
    ) -> Outcome {
        let n_tokens = trace.len();
        let unmeasured = |why: NoTrace| self.unmeasured(&division, stop_reason, n_tokens, why);
        let answer_room = match cue::room(self.run.engine, &division, self.run.how) {
            Ok(room) => room,
            Err(error) => return unmeasured(NoTrace::Failed(error.to_string())),
        };
        let limit = self.run.engine.text.info().context_length;
        let needed = self.prompt.token_ids.len() + n_tokens + answer_room;
        if self.prompt.token_ids.is_empty() || needed > limit {
            let reason = format!(
                "prompt ({}), trace ({n_tokens}), cue and answer ({answer_room}) do not fit the context of {limit} tokens",
                self.prompt.token_ids.len(),
            );
            return unmeasured(NoTrace::Skipped(reason));
        }
        let prefixes = match prefixes {
            Ok(prefixes) => prefixes,
            Err(reason) => return unmeasured(NoTrace::Skipped(reason)),
        };
        let n_opening = trace.token_ends().partition_point(|&end| end <= division.opening_len());
        let first_step = prefixes.get(1).map_or(0, |prefix| prefix.n_tokens);
        Ok(Box::new(Traced {
            posed: Posed {
                question: Arc::clone(&self.item.question),
                sample: self.sample,
                prompting: self.item.prompting.clone(),
                prompt: self.prompt.clone(),
                opened: division.open_at(0).cloned(),
                answer_room,
                is_imported: stop_reason == StopReason::Imported,
            },
            completion: division.text().to_string(),
            n_opening: if n_opening < first_step { n_opening } else { 0 },
            trace,
            prefixes,
            scores,
            answer,
            correct,
            stop_reason,
            planted: None,
            asked: Vec::new(),
        }))
    }

    fn unmeasured(
        &self,
        division: &Division<'_>,
        stop_reason: StopReason,
        n_trace_tokens: usize,
        why: NoTrace,
    ) -> Outcome {
        let (answer, correct) = self.stated(division, stop_reason);
        Err(Box::new(Unmeasured {
            question: Arc::clone(&self.item.question),
            sample: self.sample,
            prompt: self.prompt.text.clone(),
            completion: division.text().to_string(),
            n_prompt_tokens: self.prompt.token_ids.len(),
            n_trace_tokens,
            answer,
            correct,
            why,
        }))
    }

    fn stated(&self, division: &Division<'_>, stop_reason: StopReason) -> (Option<Answer>, Option<bool>) {
        stated(self.run.task, &self.item.question, self.input, division, stop_reason)
    }
}
