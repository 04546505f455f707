//! Traces that are stopped while they are written.
//!
//! Each trace is written until a step has ended; belief is asked for there, by the run's estimator and after its cue, and the rule decides.
//! Whether a step has ended shows in what follows it: more than any mark, stop string or beginning of another question could be, or the end of
//! the trace. What was written beyond a stop is dropped and counted. All traces of a group are written together and asked about together.
//!
//! Where the engine draws on a token tree, a trace is paused and asked about where it stands, and goes on with its own stream: it is token for
//! token the beginning of the trace that would have been written without the rule. Other engines are asked for a few tokens at a time, each time
//! with all that has been written as the context.
//!
//! Decisions are those that a replay of the whole trace would give, prefix by prefix, because a prefix is asked about only once it is sure to
//! be one, and a trace that ended by itself is stopped at none that is its end. Where nothing but a closing mark at the very end tells that the
//! text began within a thought, they may differ: nobody can know while it is written.

use crate::cue;
use crate::error::{Capability, Error, own_failure};
use crate::estimate::sampled::{self, FlatSites};
use crate::estimate::{Asker, SiteResult, TreeSite};
use crate::event::{Event, Observer, Phase};
use crate::plan::{Engine, TaskRun};
use crate::stopping::{Judged, Seen, StopWatch, Stopping};
use crate::trace::{Generated, NoTrace, Stopped, Wanted, trace_of};
use entrace_backend::{
    Branch, BranchId, BranchScore, Completion, Decoded, Each, Error as EngineError, Fork, GenerateRequest,
    Parent, Place, Sampled, SamplingSession, Stem, TreeSession, Watcher, stream_seed,
};
use entrace_measure::{Act, Answer, Estimator, Prefix, Question, StopReason, ThoughtKind, TokenId, prefixes};
use std::sync::Arc;

/// Tokens that are asked for at a time from an engine that does not draw on a tree.
const CHUNK: usize = 32;

/// No mark of thoughts, end of a turn, or beginning of another question has more bytes.
const LONGEST_MARK: usize = 32;

/// What a rule decided at a prefix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decision {
    pub(crate) prefix: Prefix,
    pub(crate) n_written: usize,
    pub(crate) n_asked: usize,
    pub(crate) judged: Judged,
}

/// What all traces of a batch share.
#[derive(Clone, Copy)]
pub(crate) struct Online<'a> {
    pub(crate) run: TaskRun<'a>,
    pub(crate) stopping: &'a Stopping,
}

/// A trace being written.
struct Draft<'a> {
    question: &'a Question,
    sample: u32,
    prompt: &'a [TokenId],
    prompt_text: &'a str,
    stream: u64,
    /// The thought that the prompt leaves open.
    opened: Option<ThoughtKind>,
    watch: Box<dyn StopWatch + 'a>,
    completion: Completion,
    /// The branch of its prompt.
    root: Option<BranchId>,
    /// Its branches, each with the number of its tokens before it.
    pieces: Vec<(usize, BranchId)>,
    /// Whether it ended by itself.
    is_over: bool,
    prefixes: Vec<Prefix>,
    asked: Vec<SiteResult>,
    decisions: Vec<Decision>,
    stopped: Option<Act>,
    /// Why it cannot be written.
    fault: Option<String>,
}

/// A prefix at which belief is wanted.
#[derive(Clone, Copy)]
struct Open {
    draft: usize,
    prefix: Prefix,
    /// Whether the trace goes on after it, so that stopping would change something.
    is_early: bool,
}

impl<'a> Online<'a> {
    /// Writes the traces of a batch, `[item][trace]`.
    pub(crate) fn write(
        self,
        wanted: &'a [Wanted<'a>],
        asker: &mut Asker<'_>,
    ) -> Result<Vec<Vec<Result<Generated, NoTrace>>>, Error> {
        let places: Vec<(usize, usize)> =
            wanted.iter().enumerate().flat_map(|(i, w)| (0..w.samples.len()).map(move |s| (i, s))).collect();
        asker.observer.event(Event::PhaseBegins { phase: Phase::Traces, n: places.len() });
        let mut written: Vec<Vec<Result<Generated, NoTrace>>> = wanted.iter().map(|_| Vec::new()).collect();
        for group in self.groups(wanted, &places) {
            let found = self.group(wanted, group, asker)?;
            group.iter().zip(found).for_each(|(&(item, _), found)| written[item].push(found));
        }
        Ok(written)
    }

    /// Traces whose tree stays within what the engine holds, were all of them to reach their limit.
    fn groups<'p>(self, wanted: &[Wanted<'_>], places: &'p [(usize, usize)]) -> Vec<&'p [(usize, usize)]> {
        let holds = self.run.engine.scorer.map_or(usize::MAX, |scorer| scorer.holds());
        let most = |&(item, _): &(usize, usize)| {
            wanted[item].prompt.token_ids.len() + self.run.how.traces.sampling.max_new_tokens
        };
        let mut groups = Vec::new();
        let (mut start, mut n_tokens) = (0, 0_usize);
        for (index, place) in places.iter().enumerate() {
            if index > start && n_tokens.saturating_add(most(place)) > holds {
                groups.push(&places[start..index]);
                (start, n_tokens) = (index, 0);
            }
            n_tokens = n_tokens.saturating_add(most(place));
        }
        groups.push(&places[start..]);
        groups
    }

    fn draft(self, wanted: &'a Wanted<'a>, index: usize) -> Draft<'a> {
        Draft {
            question: &wanted.item.question,
            sample: wanted.samples[index],
            prompt: &wanted.prompt.token_ids,
            prompt_text: &wanted.prompt.text,
            stream: wanted.streams[index],
            opened: self.run.engine.text.thoughts().opened_by(&wanted.prompt.text),
            watch: self.stopping.rule.watch(),
            completion: Completion {
                token_ids: Vec::new(),
                text: String::new(),
                token_ends: Vec::new(),
                logprobs: Vec::new(),
                sharpness: Vec::new(),
                stop_reason: StopReason::Length,
            },
            root: None,
            pieces: Vec::new(),
            is_over: false,
            prefixes: Vec::new(),
            asked: Vec::new(),
            decisions: Vec::new(),
            stopped: None,
            fault: None,
        }
    }

    /// Writes the traces of a group.
    fn group(
        self,
        wanted: &'a [Wanted<'a>],
        group: &[(usize, usize)],
        asker: &mut Asker<'_>,
    ) -> Result<Vec<Result<Generated, NoTrace>>, Error> {
        let mut drafts: Vec<Draft<'a>> =
            group.iter().map(|&(item, index)| self.draft(&wanted[item], index)).collect();
        let mut pen = Pen::of(self.run.engine)?;
        pen.plant(&mut drafts)?;
        let n_prompts = drafts.iter().map(|draft| draft.prompt.len()).sum();
        asker.observer.event(Event::Tokens(n_prompts));
        loop {
            let open: Vec<Open> =
                (0..drafts.len()).filter_map(|draft| self.open(&drafts[draft], draft)).collect();
            let is_asked = |draft: &usize| open.iter().any(|open| open.draft == *draft);
            let going: Vec<usize> =
                (0..drafts.len()).filter(|draft| !is_asked(draft) && drafts[*draft].goes_on()).collect();
            if open.is_empty() && going.is_empty() {
                break;
            }
            if open.is_empty() {
                self.write_on(&mut pen, &mut drafts, &going, asker.observer)?;
            } else {
                self.decide(&mut pen, &mut drafts, &open, asker)?;
            }
        }
        let written = |draft: Draft<'_>| match draft.fault {
            Some(reason) => Err(NoTrace::Failed(reason)),
            None => Ok(self.finished(draft)),
        };
        Ok(drafts.into_iter().map(written).collect())
    }

    /// The next prefix of a draft, once it is sure to be one.
    fn open(self, draft: &Draft<'_>, number: usize) -> Option<Open> {
        if draft.stopped.is_some() || draft.fault.is_some() || draft.asked.last().is_some_and(Result::is_err)
        {
            return None;
        }
        if draft.asked.is_empty() {
            return Some(Open { draft: number, prefix: Prefix { step: 0, n_tokens: 0 }, is_early: true });
        }
        let (prefix, is_early) = self.next_prefix(draft, &draft.completion)?;
        Some(Open { draft: number, prefix, is_early })
    }

    /// The prefix after those that were asked about, and whether the trace goes on after it.
    fn next_prefix(self, draft: &Draft<'_>, written: &Completion) -> Option<(Prefix, bool)> {
        let division = self.run.engine.text.thoughts().divide(&written.text, draft.opened.as_ref());
        let trace =
            trace_of(&written.text, &written.token_ids, &written.token_ends, division.trace_end()).ok()?;
        let all = prefixes(&trace, &self.run.how.segmentation, None, None).ok()?;
        let prefix = *all.get(draft.asked.len())?;
        let is_early = prefix.n_tokens < trace.len();
        let n_after = trace.text().len() - trace.text_of_prefix(prefix.n_tokens).len();
        (draft.is_over || is_early && n_after >= self.margin()).then_some((prefix, is_early))
    }

    /// Bytes after which nothing that is still to come makes a prefix anything else.
    fn margin(self) -> usize {
        let stop = self.run.how.traces.sampling.stop.iter().map(String::len).max().unwrap_or(0);
        stop.max(LONGEST_MARK)
    }

    fn write_on(
        self,
        pen: &mut Pen<'_>,
        drafts: &mut [Draft<'_>],
        going: &[usize],
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        match pen {
            Pen::OnTree(session) => self.write_on_tree(session.as_mut(), drafts, going, observer)?,
            Pen::ByChunks(session) => self.write_chunk(session.as_deref_mut(), drafts, going, observer)?,
        }
        let n_over = going.iter().filter(|&&draft| !drafts[draft].goes_on()).count();
        observer.event(Event::PhaseAdvances(n_over));
        Ok(())
    }

    fn write_on_tree(
        self,
        session: &mut dyn SamplingSession,
        drafts: &mut [Draft<'_>],
        going: &[usize],
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let sampling = &self.run.how.traces.sampling;
        let (new, begun): (Vec<usize>, Vec<usize>) =
            going.iter().copied().partition(|&draft| drafts[draft].pieces.is_empty());
        let stems: Vec<Stem> = new.iter().filter_map(|&draft| drafts[draft].stem()).collect();
        let paused: Vec<BranchId> =
            begun.iter().filter_map(|&draft| drafts[draft].pieces.last().map(|piece| piece.1)).collect();
        let mut drawn: Vec<Result<Sampled, EngineError>> = Vec::new();
        let mut watching = Watching { online: self, drafts, numbers: &new, observer, stopped: false };
        let mut result = Ok(());
        if !stems.is_empty() {
            let only = |sampled: Result<Vec<Sampled>, EngineError>| {
                let none = || EngineError::engine("a stem has no completion");
                sampled.and_then(|mut sampled| sampled.pop().ok_or_else(none))
            };
            result = session
                .sample(&stems, sampling, &mut watching)
                .map(|sampled| drawn.extend(sampled.into_iter().map(only)));
        }
        if result.is_ok() && !paused.is_empty() {
            watching.numbers = &begun;
            result = session.resume(&paused, sampling, &mut watching).map(|sampled| drawn.extend(sampled));
        }
        if watching.stopped {
            return Err(Error::Interrupted);
        }
        result?;
        for (&draft, drawn) in new.iter().chain(&begun).zip(drawn) {
            let draft = &mut drafts[draft];
            let Sampled { completion, branch, is_paused } = match drawn {
                Ok(drawn) => drawn,
                Err(error) => {
                    draft.fault = Some(error.to_string());
                    continue;
                }
            };
            let n_before = draft.completion.token_ids.len();
            draft.pieces.extend(branch.map(|branch| (n_before, branch)));
            (draft.completion, draft.is_over) = (completion, !is_paused);
        }
        Ok(())
    }

    fn write_chunk(
        self,
        mut session: Option<&mut (dyn TreeSession + '_)>,
        drafts: &mut [Draft<'_>],
        going: &[usize],
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let sampling = &self.run.how.traces.sampling;
        let limit = self.run.engine.text.info().context_length;
        let room = |draft: &Draft<'_>| {
            let n_written = draft.completion.token_ids.len();
            let room = limit.saturating_sub(draft.prompt.len() + n_written);
            room.min(sampling.max_new_tokens.saturating_sub(n_written)).min(CHUNK)
        };
        let (going, full): (Vec<usize>, Vec<usize>) =
            going.iter().copied().partition(|&draft| room(&drafts[draft]) > 0);
        full.into_iter().for_each(|draft| drafts[draft].is_over = true);
        let request = |&draft: &usize| {
            let draft = &drafts[draft];
            let context = [draft.prompt, &draft.completion.token_ids].concat();
            let number = draft.completion.token_ids.len().to_string();
            let stream = if draft.completion.token_ids.is_empty() {
                draft.stream
            } else {
                stream_seed(draft.stream, &["goes on", &number])
            };
            let n_tokens = context.len();
            let fork = Fork {
                n_tokens,
                suffix: Vec::new(),
                streams: vec![stream],
                max_new_tokens: Some(room(draft)),
            };
            GenerateRequest { context, forks: vec![fork] }
        };
        let requests: Vec<GenerateRequest> = going.iter().map(request).collect();
        let mut watching = Watching { online: self, drafts, numbers: &going, observer, stopped: false };
        let drawn = self.run.engine.generator()?.generate_each(&requests, sampling, &mut watching);
        if watching.stopped {
            return Err(Error::Interrupted);
        }
        for (&number, drawn) in going.iter().zip(drawn?) {
            let draft = &mut drafts[number];
            let drawn = match drawn.map(|forks| forks.into_iter().flatten().next()) {
                Ok(Some(drawn)) => drawn,
                Ok(None) => return Err(EngineError::engine("a request has no completion").into()),
                Err(error) => {
                    draft.fault = Some(error.to_string());
                    continue;
                }
            };
            let (end, n_before) = (draft.end(), draft.completion.token_ids.len());
            draft.is_over = drawn.stop_reason != StopReason::Length || drawn.token_ids.len() < room(draft);
            self.append(draft, drawn);
            let tokens = draft.completion.token_ids.get(n_before..).unwrap_or_default().to_vec();
            if let (Some(session), false) = (session.as_deref_mut(), tokens.is_empty()) {
                let branch = Branch { parent: end, tokens, keep: true, ..Branch::default() };
                match session.extend_each(&[branch])?.pop() {
                    Some(Ok(score)) => draft.pieces.push((n_before, score.id)),
                    fault => draft.fault = fault.and_then(|score| Some(score.err()?.to_string())),
                }
            }
        }
        Ok(())
    }

    /// Adds to a draft what was drawn after it. A stop string may have begun before.
    fn append(self, draft: &mut Draft<'_>, drawn: Completion) {
        let written = &mut draft.completion;
        let n_cut = self.run.engine.text.decode(&drawn.token_ids).text.len().saturating_sub(drawn.text.len());
        written.token_ids.extend(drawn.token_ids);
        written.logprobs.extend(drawn.logprobs);
        written.sharpness.extend(drawn.sharpness);
        written.stop_reason = drawn.stop_reason;
        let Decoded { text, token_ends } = self.run.engine.text.decode(&written.token_ids);
        (written.text, written.token_ends) = (text, token_ends);
        let stop = self
            .run
            .how
            .traces
            .sampling
            .stop
            .iter()
            .filter_map(|stop| written.text.find(stop.as_str()))
            .min();
        if let Some(at) = stop.or((n_cut > 0).then(|| written.text.len().saturating_sub(n_cut))) {
            let at = written.text.floor_char_boundary(at);
            let n_within = written.token_ends.iter().filter(|&&end| end < at).count() + usize::from(at > 0);
            cut(written, n_within.min(written.token_ids.len()), at);
            (written.stop_reason, draft.is_over) = (StopReason::Stop, true);
        }
    }

    /// Asks for belief at prefixes, and lets the rule decide.
    fn decide(
        self,
        pen: &mut Pen<'_>,
        drafts: &mut [Draft<'_>],
        open: &[Open],
        asker: &mut Asker<'_>,
    ) -> Result<(), Error> {
        let mut found: Vec<Option<(SiteResult, usize)>> = open.iter().map(|_| None).collect();
        for estimator in Estimator::ALL {
            let chosen: Vec<usize> = (0..open.len())
                .filter(|&i| {
                    self.run.how.estimator.for_question(drafts[open[i].draft].question) == Some(estimator)
                })
                .collect();
            if chosen.is_empty() {
                continue;
            }
            let asked: Vec<Open> = chosen.iter().map(|&i| open[i]).collect();
            let results = if estimator.is_sampled() {
                self.draw(estimator, drafts, &asked, asker.observer)?
            } else {
                let session = pen.session().ok_or(Error::Lacks(Capability::ScoreTree))?;
                self.score(session, drafts, &asked, asker)?
            };
            chosen.into_iter().zip(results).for_each(|(i, result)| found[i] = Some(result));
        }
        for (open, found) in open.iter().zip(found) {
            let (result, n_asked) = found.unwrap_or_else(|| (Err("belief was not asked for".into()), 0));
            let draft = &mut drafts[open.draft];
            draft.take(open, result, n_asked);
            asker
                .observer
                .event(Event::PhaseAdvances(usize::from(draft.stopped.is_some() && !draft.is_over)));
        }
        Ok(())
    }

    /// Belief by forks of the tree, with the tokens that each took; of questions that one estimator is for.
    fn score(
        self,
        session: &mut dyn TreeSession,
        drafts: &[Draft<'_>],
        asked: &[Open],
        asker: &mut Asker<'_>,
    ) -> Result<Vec<(SiteResult, usize)>, Error> {
        let mut sites = Vec::with_capacity(asked.len());
        let mut cues = Vec::with_capacity(asked.len());
        for open in asked {
            let draft = &drafts[open.draft];
            let at = draft.place(open.prefix.n_tokens).ok_or(Error::Lacks(Capability::ScoreTree))?;
            cues.push(own_failure(self.cue(draft, open.prefix))?.map(|cue| {
                sites.push(TreeSite { question: draft.question, at, max_nodes: self.run.how.max_nodes, cue });
            }));
        }
        let mut counted = Counted::new(session, &sites);
        let observer = &mut OnlyTokens(asker.observer);
        let found =
            Asker { run: self.run, enumerator: asker.enumerator, observer }.score(&mut counted, &sites);
        let mut found = found?.into_iter().zip(counted.n_tokens);
        Ok(in_place_of_cues(cues, || found.next()))
    }

    /// Belief by draws, with the tokens that each took, the context among them.
    fn draw(
        self,
        estimator: Estimator,
        drafts: &[Draft<'_>],
        asked: &[Open],
        observer: &mut dyn Observer,
    ) -> Result<Vec<(SiteResult, usize)>, Error> {
        let mut contexts = Vec::with_capacity(asked.len());
        let mut cues = Vec::with_capacity(asked.len());
        for open in asked {
            let draft = &drafts[open.draft];
            let (id, sample) = (draft.question.id.clone(), draft.sample.to_string());
            let written = &draft.completion.token_ids[..open.prefix.n_tokens];
            cues.push(own_failure(self.cue(draft, open.prefix))?.map(|cue| {
                contexts.push(FlatSites {
                    question: draft.question,
                    stream: vec![self.run.task.name.clone(), id, sample, "none".to_string()],
                    context: [draft.prompt, written].concat(),
                    n_prompt: draft.prompt.len(),
                    most_tokens: Some(self.run.how.traces.sampling.max_new_tokens),
                    cues: vec![cue],
                    opened: draft.opened.as_ref(),
                    sites: vec![(open.prefix.step, open.prefix.n_tokens)],
                });
            }));
        }
        let found = sampled::estimate(self.run, estimator, &contexts, &mut OnlyTokens(observer))?;
        let mut found = found.into_iter().zip(&contexts);
        let drawn = || {
            let (mut found, context) = found.next()?;
            let n_cue = if estimator == Estimator::Sample { context.cues[0].len() } else { 0 };
            Some((found.results.pop()?, context.context.len() + n_cue + found.n_drawn))
        };
        Ok(in_place_of_cues(cues, drawn))
    }

    /// What asks for the answer after a prefix.
    fn cue(self, draft: &Draft<'_>, prefix: Prefix) -> Result<Arc<[TokenId]>, Error> {
        let text = &draft.completion.text;
        let division = self.run.engine.text.thoughts().divide(text, draft.opened.as_ref());
        let end = prefix.n_tokens.checked_sub(1).map_or(0, |last| draft.completion.token_ends[last]);
        let before = if end == 0 { draft.prompt_text } else { &text[..end] };
        Ok(cue::after(self.run.engine.text, before, division.open_at(end), &self.run.how.cue)?.into())
    }

    /// The trace as it stands in the record.
    fn finished(self, draft: Draft<'_>) -> Generated {
        let Draft { mut completion, prefixes, asked, decisions, stopped, .. } = draft;
        let stopped = stopped.map(|act| {
            let n_tokens = prefixes.last().map_or(0, |prefix| prefix.n_tokens);
            let end = n_tokens.checked_sub(1).map_or(0, |last| completion.token_ends[last]);
            cut(&mut completion, n_tokens, end);
            let leader = asked.last().and_then(|belief| Some(belief.as_ref().ok()?.leader().answer.clone()));
            let (stop_reason, answer) = match act {
                Act::GiveUp => (StopReason::GaveUp, Answer::Invalid),
                _ => (StopReason::Rule, leader.unwrap_or(Answer::Invalid)),
            };
            completion.stop_reason = stop_reason;
            Stopped { prefixes: prefixes.clone(), answer }
        });
        Generated { completion, planted: None, asked, decisions, stopped }
    }
}

/// Results where there are cues, and elsewhere why there is none.
fn in_place_of_cues(
    cues: Vec<Result<(), String>>,
    mut next: impl FnMut() -> Option<(SiteResult, usize)>,
) -> Vec<(SiteResult, usize)> {
    let result = |cue: Result<(), String>| match cue {
        Ok(()) => next().unwrap_or_else(|| (Err("belief was not asked for".into()), 0)),
        Err(reason) => (Err(reason), 0),
    };
    cues.into_iter().map(result).collect()
}

/// Ends a completion after so many tokens and bytes.
fn cut(completion: &mut Completion, n_tokens: usize, at: usize) {
    completion.text.truncate(at);
    completion.token_ids.truncate(n_tokens);
    completion.token_ends.truncate(n_tokens);
    completion.token_ends.iter_mut().for_each(|end| *end = (*end).min(at));
    completion.logprobs.truncate(n_tokens);
    completion.sharpness.truncate(n_tokens);
}

impl Draft<'_> {
    /// Whether more of it can be written.
    fn goes_on(&self) -> bool {
        !self.is_over && self.stopped.is_none() && self.fault.is_none()
    }

    /// Where it begins to grow.
    fn stem(&self) -> Option<Stem> {
        let from = Parent { branch: self.root?, n_tokens: self.prompt.len() };
        Some(Stem { from, streams: vec![self.stream], max_new_tokens: None, keep: true })
    }

    /// The place in the tree after so many of its tokens.
    fn place(&self, n_tokens: usize) -> Option<Parent> {
        match self.pieces.iter().rfind(|(n_before, _)| *n_before < n_tokens) {
            Some(&(n_before, branch)) => Some(Parent { branch, n_tokens: n_tokens - n_before }),
            None => Some(Parent { branch: self.root?, n_tokens: self.prompt.len() }),
        }
    }

    fn end(&self) -> Option<Parent> {
        self.place(self.completion.token_ids.len())
    }

    /// Takes belief at a prefix, and the rule's decision where the trace goes on after it.
    fn take(&mut self, open: &Open, result: SiteResult, n_asked: usize) {
        let prefix = open.prefix;
        if let (Ok(belief), true) = (&result, open.is_early) {
            let (logprobs, sharpness) = (&self.completion.logprobs, &self.completion.sharpness);
            let n_tokens = prefix.n_tokens;
            let seen =
                Seen { n_tokens, belief, logprobs: &logprobs[..n_tokens], sharpness: &sharpness[..n_tokens] };
            let judged = self.watch.next(&seen);
            let n_written = self.completion.token_ids.len();
            self.decisions.push(Decision { prefix, n_written, n_asked, judged });
            self.stopped = Some(judged.act).filter(|&act| act != Act::Continue);
        }
        self.prefixes.push(prefix);
        self.asked.push(result);
    }
}

/// How traces are written.
enum Pen<'a> {
    OnTree(Box<dyn SamplingSession + 'a>),
    /// A few tokens at a time; with the tree on which belief is asked for, if the engine scores.
    ByChunks(Option<Box<dyn TreeSession + 'a>>),
}

impl<'a> Pen<'a> {
    fn of(engine: Engine<'a>) -> Result<Self, Error> {
        let Some(scorer) = engine.scorer else { return Ok(Self::ByChunks(None)) };
        Ok(match scorer.sampling_session()? {
            Some(session) => Self::OnTree(session),
            None => Self::ByChunks(Some(scorer.session()?)),
        })
    }

    fn session(&mut self) -> Option<&mut (dyn TreeSession + 'a)> {
        match self {
            Self::OnTree(session) => Some(session.as_mut()),
            Self::ByChunks(session) => session.as_deref_mut(),
        }
    }

    /// Plants the prompt of each draft.
    fn plant(&mut self, drafts: &mut [Draft<'_>]) -> Result<(), Error> {
        let Some(session) = self.session() else { return Ok(()) };
        let root =
            |draft: &Draft<'_>| Branch { tokens: draft.prompt.to_vec(), keep: true, ..Branch::default() };
        let roots: Vec<Branch> = drafts.iter().map(root).collect();
        for (draft, score) in drafts.iter_mut().zip(session.extend_each(&roots)?) {
            match score {
                Ok(score) => draft.root = Some(score.id),
                Err(error) => draft.fault = Some(error.to_string()),
            }
        }
        Ok(())
    }
}

/// Watches drafts grow, and pauses each where a step has ended.
struct Watching<'w, 'd, 'a> {
    online: Online<'a>,
    drafts: &'w [Draft<'d>],
    /// The drafts by the numbers of the call.
    numbers: &'w [usize],
    observer: &'w mut dyn Observer,
    stopped: bool,
}

impl Watcher for Watching<'_, '_, '_> {
    fn progress(&mut self, n_tokens: usize) -> bool {
        self.observer.event(Event::Tokens(n_tokens));
        self.stopped = self.observer.should_stop();
        !self.stopped
    }

    fn pauses(&mut self, place: Place, token_ids: &[TokenId]) -> bool {
        let draft = &self.drafts[self.numbers[place.request]];
        if draft.asked.last().is_some_and(Result::is_err) {
            return false;
        }
        let Decoded { text, token_ends } = self.online.run.engine.text.decode(token_ids);
        let written =
            Completion { token_ids: token_ids.to_vec(), text, token_ends, ..draft.completion.clone() };
        self.online.next_prefix(draft, &written).is_some()
    }
}

/// A session that counts, for each site, the tokens of the forks that grow from it.
struct Counted<'s> {
    inner: &'s mut dyn TreeSession,
    places: Vec<Parent>,
    n_before: usize,
    /// Of each branch that was added, the number of its site.
    owners: Vec<Option<usize>>,
    n_tokens: Vec<usize>,
}

impl<'s> Counted<'s> {
    fn new(inner: &'s mut dyn TreeSession, sites: &[TreeSite<'_>]) -> Self {
        let n_before = inner.n_branches();
        let places = sites.iter().map(|site| site.at).collect();
        Self { inner, places, n_before, owners: Vec::new(), n_tokens: vec![0; sites.len()] }
    }
}

impl TreeSession for Counted<'_> {
    fn extend_each(&mut self, branches: &[Branch]) -> Each<BranchScore> {
        let n_known = self.owners.len();
        for branch in branches {
            let owner = branch.parent.and_then(|parent| match parent.branch.0.checked_sub(self.n_before) {
                Some(added) => self.owners.get(added).copied().flatten(),
                None => self.places.iter().position(|place| *place == parent),
            });
            self.owners.push(owner);
        }
        let scores = self.inner.extend_each(branches).inspect_err(|_| self.owners.truncate(n_known))?;
        for ((branch, owner), score) in branches.iter().zip(&self.owners[n_known..]).zip(&scores) {
            if let (Some(owner), Ok(_)) = (owner, score) {
                self.n_tokens[*owner] += branch.tokens.len();
            }
        }
        Ok(scores)
    }

    fn truncate(&mut self, n_branches: usize) {
        self.owners.truncate(n_branches.saturating_sub(self.n_before));
        self.inner.truncate(n_branches);
    }

    fn n_branches(&self) -> usize {
        self.inner.n_branches()
    }
}

/// An observer who hears of tokens, and not of prefixes: what advances are traces.
struct OnlyTokens<'a>(&'a mut dyn Observer);

impl Observer for OnlyTokens<'_> {
    fn event(&mut self, event: Event<'_>) {
        if matches!(event, Event::Tokens(_)) {
            self.0.event(event);
        }
    }

    fn should_stop(&self) -> bool {
        self.0.should_stop()
    }
}
