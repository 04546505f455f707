//! Rollouts beside the estimator: what the model goes on to answer from a few depths of its traces.
//!
//! A forced answer says what the model would answer now. What the reasoning so far tells about the answer is p(A | Q, C_{1:k}), with the rest
//! of the reasoning marginalised. It is measured as by the estimator `rollout`, on the first questions of a task, at the depths 0, ¼, ½, ¾
//! and 1 of the trace, and of the swapped control at 0, where it is the question's own, and at 1.
//!
//! Before any reasoning all m draws are made. Elsewhere there are four first, and the others follow where the first four at the depth before
//! or after in the same trace do not all give one answer: belief is moving there. A prefix's own draws have no say in how many it gets, so
//! that its shares stay unbiased: stopping where the first draws agree would push them towards 0 and 1. The stream of a draw is named by its
//! question, prefix and number, so that the same draws come in whatever order the engine makes them.
//!
//! A draw ends where it has stated its answer in a box or in a line that has ended, outside of thoughts.

use crate::control::Variant;
use crate::error::Error;
use crate::estimate::sampled::{self, FlatSites};
use crate::event::{Event, Observer, Phase};
use crate::plan::{QUARTERS, Rollouts, TaskRun};
use crate::sites::{self, Subject};
use entrace_backend::generate::RequestCompletions;
use entrace_backend::{
    Completion, Error as EngineError, Fork, GenerateRequest, More, Place, ScoreTree, Watcher,
};
use entrace_measure::{
    Answer, AnswerDistribution, AnswerFormat, Control, EntropyCurve, Estimator, ThoughtKind,
};

/// Draws at a prefix before it is known whether there shall be more.
const FIRST_DRAWS: usize = 4;

/// The curve of each variant that was measured.
pub(crate) type Curves = Vec<(Option<Control>, EntropyCurve)>;

/// Measures all subjects, in their order. What goes wrong with one is told, and it has no curves.
pub(crate) fn measure(
    run: TaskRun<'_>,
    subjects: &[Subject<'_>],
    rollouts: Rollouts,
    observer: &mut dyn Observer,
) -> Result<Vec<Curves>, Error> {
    let thinned: Vec<Subject<'_>> = subjects.iter().map(at_quarters).collect();
    let asking = Asking { run, rollouts };
    let n_draws: usize = thinned.iter().map(|subject| asking.n_first(subject)).sum();
    observer.event(Event::PhaseBegins { phase: Phase::Rollouts, n: n_draws });
    let mut curves = Vec::with_capacity(subjects.len());
    for group in sites::groups(&thinned, run.engine.scorer.map_or(usize::MAX, ScoreTree::holds), false) {
        curves.extend(asking.measure(group, observer)?);
    }
    Ok(curves)
}

/// The trace and its swapped control, at the depths where rollouts go on from them.
fn at_quarters<'a>(subject: &Subject<'a>) -> Subject<'a> {
    let variants = subject.variants.iter().filter_map(|variant| match variant.control {
        None => Some(variant.at_depths(&QUARTERS)),
        Some(Control::Swapped) => Some(variant.at_depths(&[1.0])),
        Some(Control::Shuffled | Control::Unstated) => None,
    });
    Subject { variants: variants.collect(), ..*subject }
}

struct Asking<'a> {
    run: TaskRun<'a>,
    rollouts: Rollouts,
}

impl Asking<'_> {
    /// First draws at a step.
    fn first_draws(&self, step: usize) -> usize {
        if step == 0 { self.rollouts.draws } else { self.rollouts.draws.min(FIRST_DRAWS) }
    }

    /// First draws of a subject, all prefixes together.
    fn n_first(&self, subject: &Subject<'_>) -> usize {
        subject.sites().map(|(v, p)| self.first_draws(subject.variants[v].measured[p].step)).sum()
    }

    /// Curves of each subject; none of one of whose contexts no draws could be made.
    fn measure(&self, subjects: &[Subject<'_>], observer: &mut dyn Observer) -> Result<Vec<Curves>, Error> {
        let of_subject =
            |(i, subject): (usize, &Subject<'_>)| (0..subject.variants.len()).map(move |v| (i, v));
        let all: Vec<(usize, usize)> = subjects.iter().enumerate().flat_map(of_subject).collect();
        let contexts = sites::flat_sites(self.run, subjects, &[], &all);
        let requests: Vec<GenerateRequest> = contexts.iter().map(|context| self.request(context)).collect();
        let format = self.run.task.format.as_ref();
        let texts: Vec<Vec<String>> = contexts.iter().map(|context| self.texts(context)).collect();
        let mut rounds = Rounds {
            format,
            asking: self,
            contexts: &contexts,
            open: contexts.iter().zip(&texts).map(|(context, texts)| self.open(context, texts)).collect(),
            texts: &texts,
            answers: contexts.iter().map(|context| vec![Vec::new(); context.sites.len()]).collect(),
            moved: contexts.iter().map(|context| vec![false; context.sites.len()]).collect(),
            own: owners(subjects),
            observer,
            stopped: false,
        };
        let sampling = self.run.how.rollout_sampling();
        let drawn = self.run.engine.generator()?.generate_each(&requests, &sampling, &mut rounds);
        if rounds.stopped {
            return Err(Error::Interrupted);
        }
        let mut found = contexts
            .iter()
            .zip(&texts)
            .zip(drawn?)
            .map(|((context, texts), forks)| Ok(self.distributions(context, texts, &forks?)));
        let of_subject = |subject: &Subject<'_>| {
            let found: Vec<Result<Vec<AnswerDistribution>, EngineError>> =
                found.by_ref().take(subject.variants.len()).collect();
            match found.into_iter().collect::<Result<Vec<_>, _>>() {
                Ok(found) => curves(&subject.variants, found),
                Err(error) => {
                    let warning = format!("no rollouts of question {}: {error}", subject.posed.question.id);
                    observer.event(Event::Warning(&warning));
                    Vec::new()
                }
            }
        };
        Ok(subjects.iter().map(of_subject).collect())
    }

    fn request(&self, context: &FlatSites<'_>) -> GenerateRequest {
        let forks = context.sites.iter().map(|&(step, n_tokens)| Fork {
            n_tokens: context.n_prompt + n_tokens,
            suffix: Vec::new(),
            streams: self.streams(context, step, 0..self.first_draws(step)),
            max_new_tokens: context.room(n_tokens),
        });
        GenerateRequest { context: context.context.clone(), forks: forks.collect() }
    }

    fn streams(&self, context: &FlatSites<'_>, step: usize, draws: std::ops::Range<usize>) -> Vec<u64> {
        context.streams(Estimator::Rollout, step, draws, self.run.how.seed)
    }

    /// What stands before the draws at each site.
    fn texts(&self, context: &FlatSites<'_>) -> Vec<String> {
        let text = |&(_, n_tokens): &(usize, usize)| context.text_of_prefix(self.run.engine, n_tokens);
        context.sites.iter().map(text).collect()
    }

    /// The thought that is open at each site.
    fn open(&self, context: &FlatSites<'_>, texts: &[String]) -> Vec<Option<ThoughtKind>> {
        let thoughts = self.run.engine.text.thoughts();
        let open_after = |text: &String| thoughts.divide(text, context.opened).open_at(text.len()).cloned();
        texts.iter().map(open_after).collect()
    }

    /// The distribution at each site of a context.
    fn distributions(
        &self,
        context: &FlatSites<'_>,
        texts: &[String],
        forks: &RequestCompletions,
    ) -> Vec<AnswerDistribution> {
        let format = self.run.task.format.as_ref();
        let at_site = |(before, draws): (&String, &Vec<Completion>)| {
            let answers = draws
                .iter()
                .map(|draw| sampled::answer_of_rollout(self.run.engine, format, context, before, draw));
            // Draws make a distribution wherever there is one.
            sampled::distribution(Estimator::Rollout, answers, context.question).ok()
        };
        texts.iter().zip(forks).filter_map(at_site).collect()
    }
}

/// For each context, in order of subjects and variants, the context of the subject's own trace.
fn owners(subjects: &[Subject<'_>]) -> Vec<usize> {
    let mut owners = Vec::new();
    for subject in subjects {
        let own = owners.len();
        owners.extend(subject.variants.iter().map(|_| own));
    }
    owners
}

/// Watches the first draws and asks for more where they disagree.
struct Rounds<'a> {
    format: &'a dyn AnswerFormat,
    asking: &'a Asking<'a>,
    contexts: &'a [FlatSites<'a>],
    texts: &'a [Vec<String>],
    /// The thought that is open at each site of each context.
    open: Vec<Vec<Option<ThoughtKind>>>,
    /// What the first draws at each site of each context answered.
    answers: Vec<Vec<Vec<Answer>>>,
    /// Whether more draws were asked for.
    moved: Vec<Vec<bool>>,
    own: Vec<usize>,
    observer: &'a mut dyn Observer,
    stopped: bool,
}

impl Watcher for Rounds<'_> {
    fn progress(&mut self, n_tokens: usize) -> bool {
        self.observer.event(Event::Tokens(n_tokens));
        self.stopped = self.observer.should_stop();
        !self.stopped
    }

    fn is_over(&mut self, place: Place, text: &str) -> bool {
        let choices = self.contexts[place.request].question.choices.as_ref();
        let open = self.open[place.request][place.fork].as_ref();
        let division = self.asking.run.engine.text.thoughts().divide(text, open);
        let stated = division.answer(self.format, true, choices);
        !stated.is_invalid() && division.answer(self.format, false, choices) == stated
    }

    fn ended(&mut self, place: Place, completion: &Completion) -> Vec<More> {
        self.observer.event(Event::PhaseAdvances(1));
        if place.stream >= FIRST_DRAWS {
            return Vec::new();
        }
        let Place { request, fork, .. } = place;
        let (context, before) = (&self.contexts[request], &self.texts[request][fork]);
        let answer =
            sampled::answer_of_rollout(self.asking.run.engine, self.format, context, before, completion);
        let answers = &mut self.answers[request][fork];
        let disagree = answers.iter().any(|other| *other != answer);
        answers.push(answer);
        if disagree { self.more_beside(request, fork) } else { Vec::new() }
    }
}

impl Rounds<'_> {
    /// The other draws of the sites before and after one, unless they were asked for already. A control's first site comes after the question
    /// alone of the own trace.
    fn more_beside(&mut self, request: usize, fork: usize) -> Vec<More> {
        let mut beside = vec![(request, fork + 1)];
        beside.extend(fork.checked_sub(1).map(|before| (request, before)));
        if fork == 0 && self.own[request] == request {
            let controls = (request + 1..self.own.len()).take_while(|&other| self.own[other] == request);
            beside.extend(controls.map(|control| (control, 0)));
        }
        beside.into_iter().filter_map(|(request, fork)| self.more(request, fork)).collect()
    }

    fn more(&mut self, request: usize, fork: usize) -> Option<More> {
        let &(step, _) = self.contexts[request].sites.get(fork)?;
        let (first, all) = (self.asking.first_draws(step), self.asking.rollouts.draws);
        if first == all || std::mem::replace(&mut self.moved[request][fork], true) {
            return None;
        }
        self.observer.event(Event::PhaseGrows(all - first));
        Some(More { request, fork, streams: self.asking.streams(&self.contexts[request], step, first..all) })
    }
}

/// One curve for each variant; that of a control begins with the belief before the own trace.
fn curves(variants: &[Variant], found: Vec<Vec<AnswerDistribution>>) -> Curves {
    let before = found.first().and_then(|own| own.first()).cloned();
    let curve = |(variant, mut distributions): (&Variant, Vec<AnswerDistribution>)| {
        if variant.control.is_some() {
            distributions.insert(0, before.clone()?);
        }
        let curve = EntropyCurve::at_some(variant.n_steps(), &variant.measured, distributions).ok()?;
        Some((variant.control, curve))
    };
    variants.iter().zip(found).filter_map(curve).collect()
}
