//! Where beliefs are asked for, and the curves that come of it.
//!
//! The traces of a batch with their controls become one token tree: each prompt is a root, its own trace and the controls' are branches,
//! and every prefix is a site from which the estimator's branches fork, after what asks for the answer there (`cue`). Batches are cut so
//! that a tree stays within a token budget, in which what a prompt has in common with the one before it counts nothing: engines run it
//! once. A control begins where its trace begins: its curve shares the belief before any reasoning. Traces that the model has just written may
//! be measured on the tree on which they grew: what stands there is not run again. Where belief was asked for while a trace was written it is not
//! asked for again.

use crate::control::Variant;
use crate::cue;
use crate::error::{Capability, Error, own_failure};
use crate::estimate::sampled::{self, FlatSites};
use crate::estimate::{Asker, SiteResult, TreeSite};
use crate::event::{Event, Phase};
use crate::plan::{Engine, Measurement, TaskRun};
use crate::trace::{Posed, TokenScored, Traced};
use entrace_backend::{Branch, BranchId, Parent, SamplingSession, ScoreTree, TokenScores, TreeSession};
use entrace_measure::{AnswerDistribution, EntropyCurve, Estimator, Prefix, TokenId};
use std::sync::Arc;

/// A question with everything that is measured after it.
#[derive(Clone)]
pub(crate) struct Subject<'a> {
    pub(crate) posed: &'a Posed,
    /// Its trace; `None` where only a control is measured, the trace having been measured before.
    pub(crate) traced: Option<&'a Traced>,
    /// The own trace first, or nothing in its place, then the controls.
    pub(crate) variants: Vec<Variant>,
}

/// What was measured on a trace.
pub(crate) struct Findings {
    /// One curve for each variant, or why there is none.
    pub(crate) curves: Vec<Result<EntropyCurve, String>>,
    /// Of each token of an imported trace.
    pub(crate) token_scores: Option<TokenScored>,
    /// Prompt, cue and draw of each answer that a sampling estimator drew before any reasoning.
    pub(crate) draws: Vec<Vec<TokenId>>,
}

impl<'a> Subject<'a> {
    /// A trace with its controls.
    pub(crate) fn of(traced: &'a Traced, variants: Vec<Variant>) -> Self {
        Self { posed: &traced.posed, traced: Some(traced), variants }
    }

    /// Tokens of its variants that are not on the tree on which its trace grew.
    fn n_tokens(&self, on_ground: bool) -> usize {
        let is_planted = self.planted(on_ground).is_some_and(|planted| planted.trace.is_some());
        self.variants.iter().skip(usize::from(is_planted)).map(|v| v.token_ids.len()).sum()
    }

    fn planted(&self, on_ground: bool) -> Option<crate::trace::Planted> {
        self.traced?.planted.filter(|_| on_ground)
    }

    /// Whether the tokens of its trace are still to be scored.
    fn is_unscored(&self) -> bool {
        self.traced.is_some_and(|traced| traced.scores.is_none())
    }

    /// `(variant, prefix)` of every site, in order.
    pub(crate) fn sites(&self) -> impl Iterator<Item = (usize, usize)> + Clone + '_ {
        self.variants.iter().enumerate().flat_map(|(v, variant)| {
            let first = usize::from(variant.control.is_some());
            (first..variant.measured.len()).map(move |p| (v, p))
        })
    }

    /// Belief at a site, where it was asked for while the trace was written.
    fn known(&self, (variant, prefix): (usize, usize)) -> Option<&SiteResult> {
        self.traced?.asked.get(prefix).filter(|_| variant == 0)
    }

    /// The sites at which belief is still to be asked for, in order.
    fn open_sites(&self) -> impl Iterator<Item = (usize, usize)> + Clone + '_ {
        self.sites().filter(|&site| self.known(site).is_none())
    }
}

impl Asker<'_> {
    /// Measures all subjects, in their order, on the tree on which their traces grew if there is one.
    pub(crate) fn measure(
        &mut self,
        subjects: &[Subject<'_>],
        mut ground: Option<&mut (dyn SamplingSession + '_)>,
    ) -> Result<Vec<Findings>, Error> {
        let n = subjects.iter().map(|subject| subject.open_sites().count()).sum();
        self.observer.event(Event::PhaseBegins { phase: Phase::Prefixes, n });
        let mut findings = Vec::with_capacity(subjects.len());
        let holds = self.run.engine.scorer.map_or(usize::MAX, ScoreTree::holds);
        for group in groups(subjects, holds, ground.is_some()) {
            if self.observer.should_stop() {
                return Err(Error::Interrupted);
            }
            findings.extend(self.measure_group(group, ground.as_deref_mut())?);
        }
        Ok(findings)
    }

    /// Subjects whose tree is held at once.
    fn measure_group(
        &mut self,
        subjects: &[Subject<'_>],
        ground: Option<&mut (dyn SamplingSession + '_)>,
    ) -> Result<Vec<Findings>, Error> {
        let TaskRun { engine, how, .. } = self.run;
        let needs: Vec<Need> = subjects.iter().map(|subject| Need::of(engine, subject, how)).collect();
        let is_needed = needs.iter().any(|&need| need != Need::Nothing);
        match (ground, engine.scorer) {
            (Some(ground), _) if is_needed => {
                let n_branches = ground.n_branches();
                let tree = Tree::plant(ground, subjects, &needs, true);
                let measured = tree.and_then(|tree| self.measure_on(Some(&mut *ground), tree, subjects));
                ground.truncate(n_branches);
                measured
            }
            (None, Some(scorer)) if is_needed => {
                let mut session = scorer.session()?;
                let tree = Tree::plant(session.as_mut(), subjects, &needs, false)?;
                self.measure_on(Some(session.as_mut()), tree, subjects)
            }
            _ => self.measure_on(None, Tree::empty(subjects.len()), subjects),
        }
    }

    /// Measures subjects on a tree that holds what they need.
    fn measure_on(
        &mut self,
        mut session: Option<&mut (dyn TreeSession + '_)>,
        tree: Tree,
        subjects: &[Subject<'_>],
    ) -> Result<Vec<Findings>, Error> {
        let run = self.run;
        self.observer.event(Event::Tokens(tree.n_tokens));
        let cues: Vec<Cues> = subjects.iter().map(|subject| cues(run, subject)).collect::<Result<_, _>>()?;
        let faults = faults(subjects, &tree, &cues);
        let mut results: Vec<Vec<Option<SiteResult>>> =
            subjects.iter().map(|s| s.sites().map(|site| s.known(site).cloned()).collect()).collect();
        let mut draws: Vec<Vec<Vec<TokenId>>> = vec![Vec::new(); subjects.len()];
        for estimator in Estimator::ALL {
            let chosen: Vec<usize> = (0..subjects.len())
                .filter(|&i| run.how.estimator.for_question(&subjects[i].posed.question) == Some(estimator))
                .filter(|&i| subjects[i].open_sites().next().is_some())
                .collect();
            if chosen.is_empty() {
                continue;
            }
            let of_subject = |&i: &usize| (0..subjects[i].variants.len()).map(move |v| (i, v));
            let is_sound = |&(i, v): &(usize, usize)| faults[i][v].is_none();
            let variants: Vec<(usize, usize)> = chosen.iter().flat_map(of_subject).filter(is_sound).collect();
            let found = if estimator.is_sampled() {
                let contexts = flat_sites(run, subjects, &cues, &variants);
                let by_context = sampled::estimate(run, estimator, &contexts, self.observer)?;
                let mut found = Vec::new();
                for (&(subject, variant), context) in variants.iter().zip(by_context) {
                    if variant == 0 {
                        draws[subject] = context.first_draws;
                    }
                    found.extend(context.results);
                }
                found
            } else {
                let sites = tree.sites(subjects, &cues, &variants, run.how);
                let session = session.as_deref_mut().ok_or(Error::Lacks(Capability::ScoreTree))?;
                self.score(session, &sites)?
            };
            let slots =
                chosen.iter().flat_map(|&i| subjects[i].sites().enumerate().map(move |site| (i, site)));
            let open: Vec<(usize, usize)> = slots
                .filter(|&(i, (s, (v, _)))| results[i][s].is_none() && faults[i][v].is_none())
                .map(|(i, (s, _))| (i, s))
                .collect();
            for ((subject, site), result) in open.into_iter().zip(found) {
                results[subject][site] = Some(result);
            }
        }
        Ok(subjects
            .iter()
            .zip(results)
            .zip(faults)
            .zip(tree.token_scores)
            .zip(draws)
            .map(|((((subject, results), faults), token_scores), draws)| Findings {
                curves: curves(subject, results, faults),
                token_scores,
                draws,
            })
            .collect())
    }
}

/// Subjects whose trees have about so many tokens together, beside those of the tree on which their traces grew.
pub(crate) fn groups<'a, 'b>(
    subjects: &'a [Subject<'b>],
    most_tokens: usize,
    on_ground: bool,
) -> Vec<&'a [Subject<'b>]> {
    let mut groups = Vec::new();
    let mut start = 0;
    let mut n_tokens = 0_usize;
    for (index, subject) in subjects.iter().enumerate() {
        let prompt = &subject.posed.prompt.token_ids;
        let before = subjects[start..index].last().map_or(&[][..], |before| &before.posed.prompt.token_ids);
        let n_common = prompt.iter().zip(before).take_while(|(a, b)| a == b).count();
        let n_prompt = if subject.planted(on_ground).is_some() { 0 } else { prompt.len() };
        let n_own = subject.n_tokens(on_ground);
        let n_new = n_own + n_prompt.saturating_sub(n_common);
        if index > start && n_tokens.saturating_add(n_new) > most_tokens {
            groups.push(&subjects[start..index]);
            (start, n_tokens) = (index, n_own + n_prompt);
        } else {
            n_tokens += n_new;
        }
    }
    if start < subjects.len() {
        groups.push(&subjects[start..]);
    }
    groups
}

/// What of a subject the tree has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Prompt, trace and controls: belief is asked for by forks of them.
    All,
    /// Prompt and own trace, whose tokens have no scores yet.
    OwnTrace,
    /// Nothing: completions are drawn from contexts, and the engine wrote the trace.
    Nothing,
}

impl Need {
    fn of(engine: Engine<'_>, subject: &Subject<'_>, how: &Measurement) -> Self {
        let is_sampled =
            how.estimator.for_question(&subject.posed.question).is_some_and(Estimator::is_sampled);
        match (is_sampled, subject.is_unscored()) {
            (_, false) if subject.open_sites().next().is_none() => Self::Nothing,
            (false, _) => Self::All,
            (true, true) if engine.scorer.is_some() => Self::OwnTrace,
            (true, _) => Self::Nothing,
        }
    }
}

/// The planted part of a session: prompts and traces.
struct Tree {
    /// What was planted of each subject.
    planted: Vec<Option<Planted>>,
    token_scores: Vec<Option<TokenScored>>,
    /// Tokens of all of it.
    n_tokens: usize,
}

/// The branches of a subject.
struct Planted {
    prompt: BranchId,
    /// Of its variants, as many as were planted, or why one could not be.
    traces: Vec<Result<BranchId, String>>,
}

impl Tree {
    fn empty(n_subjects: usize) -> Self {
        Self {
            planted: (0..n_subjects).map(|_| None).collect(),
            token_scores: vec![None; n_subjects],
            n_tokens: 0,
        }
    }

    /// Adds to a tree what subjects need; on the one on which their traces grew, what is not there.
    fn plant(
        session: &mut (dyn TreeSession + '_),
        subjects: &[Subject<'_>],
        needs: &[Need],
        on_ground: bool,
    ) -> Result<Self, Error> {
        let n_branches = session.n_branches();
        let mut branches: Vec<Branch> = Vec::new();
        let mut planted = Vec::new();
        for (subject, need) in subjects.iter().zip(needs) {
            let n_variants = match need {
                Need::All => subject.variants.len(),
                Need::OwnTrace => 1,
                Need::Nothing => {
                    planted.push(None);
                    continue;
                }
            };
            let grown = subject.planted(on_ground);
            let n_tokens = subject.posed.prompt.token_ids.len();
            let prompt = grown.map(|grown| grown.prompt).unwrap_or_else(|| {
                branches.push(Branch {
                    tokens: subject.posed.prompt.token_ids.clone(),
                    keep: true,
                    ..Branch::default()
                });
                BranchId(n_branches + branches.len() - 1)
            });
            let mut traces: Vec<Result<BranchId, String>> =
                grown.and_then(|grown| grown.trace).map(Ok).into_iter().collect();
            for variant in &subject.variants[traces.len()..n_variants] {
                traces.push(Ok(BranchId(n_branches + branches.len())));
                let unscored = variant.control.is_none() && subject.is_unscored();
                branches.push(Branch {
                    parent: Some(Parent { branch: prompt, n_tokens }),
                    tokens: variant.token_ids.clone(),
                    token_scores: if unscored { TokenScores::Full } else { TokenScores::None },
                    keep: true,
                    ..Branch::default()
                });
            }
            planted.push(Some(Planted { prompt, traces }));
        }
        let mut scores = session.extend_each(&branches)?;
        let mut token_scores = vec![None; subjects.len()];
        for ((subject, planted), token_scores) in subjects.iter().zip(&mut planted).zip(&mut token_scores) {
            let traces = planted.iter_mut().flat_map(|planted| &mut planted.traces);
            for (place, trace) in traces.enumerate() {
                // What grew on this tree before is not among the new branches.
                let number = trace.as_ref().ok().and_then(|trace| trace.0.checked_sub(n_branches));
                match number.map(|number| &mut scores[number]) {
                    Some(Ok(score)) if place == 0 && subject.is_unscored() => {
                        *token_scores = Some(TokenScored {
                            logprobs: std::mem::take(&mut score.token_logprobs),
                            sharpness: std::mem::take(&mut score.token_sharpness),
                        });
                    }
                    Some(Err(error)) => *trace = Err(error.to_string()),
                    Some(Ok(_)) | None => {}
                }
            }
        }
        let n_tokens = branches.iter().map(|branch| branch.tokens.len()).sum();
        Ok(Self { planted, token_scores, n_tokens })
    }

    /// The open sites of some variants, each named by its subject and its own number.
    fn sites<'a>(
        &self,
        subjects: &[Subject<'a>],
        cues: &[Cues],
        variants: &[(usize, usize)],
        how: &Measurement,
    ) -> Vec<TreeSite<'a>> {
        let mut sites = Vec::new();
        for &(i, v) in variants {
            let (subject, variant) = (&subjects[i], &subjects[i].variants[v]);
            let (Some(planted), Ok(cues)) = (&self.planted[i], &cues[i][v]) else { continue };
            for (_, p) in subject.open_sites().filter(|site| site.0 == v) {
                let n_tokens = variant.measured[p].n_tokens;
                let at = match (n_tokens, &planted.traces[v]) {
                    (1.., Ok(trace)) => Parent { branch: *trace, n_tokens },
                    _ => Parent { branch: planted.prompt, n_tokens: subject.posed.prompt.token_ids.len() },
                };
                let max_nodes = if variant.control.is_none() { how.max_nodes } else { how.control_nodes };
                let cue = Arc::clone(&cues[p]);
                sites.push(TreeSite { question: &subject.posed.question, at, max_nodes, cue });
            }
        }
        sites
    }
}

/// What asks for the answer where each variant of a subject is measured, `[variant][prefix]`, or why it cannot be asked.
type Cues = Vec<Result<Vec<Arc<[TokenId]>>, String>>;

fn cues(TaskRun { engine, how, .. }: TaskRun<'_>, subject: &Subject<'_>) -> Result<Cues, Error> {
    let (text, posed) = (engine.text, subject.posed);
    let of_variant = |variant: &Variant| {
        let written = text.decode(&variant.token_ids);
        let division = text.thoughts().divide(&written.text, posed.opened.as_ref());
        let at_prefix = |prefix: &Prefix| {
            let end = prefix.n_tokens.checked_sub(1).map_or(0, |last| written.token_ends[last]);
            let before = if end == 0 { &posed.prompt.text } else { &written.text[..end] };
            Ok(cue::after(text, before, division.open_at(end), &how.cue)?.into())
        };
        own_failure(variant.measured.iter().map(at_prefix).collect())
    };
    subject.variants.iter().map(of_variant).collect()
}

/// Why variants cannot be measured, `[subject][variant]`.
fn faults(subjects: &[Subject<'_>], tree: &Tree, cues: &[Cues]) -> Vec<Vec<Option<String>>> {
    let of_variant = |i: usize, v: usize| {
        let trace = tree.planted[i].as_ref().and_then(|planted| planted.traces.get(v)?.as_ref().err());
        trace.or(cues[i][v].as_ref().err()).cloned()
    };
    let of_subject =
        |(i, subject): (usize, &Subject<'_>)| (0..subject.variants.len()).map(|v| of_variant(i, v)).collect();
    subjects.iter().enumerate().map(of_subject).collect()
}

/// Variants as contexts, each named by its subject and its own number; without `cues` nothing is asked.
pub(crate) fn flat_sites<'a>(
    TaskRun { task, how, .. }: TaskRun<'_>,
    subjects: &[Subject<'a>],
    cues: &[Cues],
    variants: &[(usize, usize)],
) -> Vec<FlatSites<'a>> {
    let mut contexts = Vec::new();
    for &(i, v) in variants {
        let (posed, variant) = (subjects[i].posed, &subjects[i].variants[v]);
        let control = variant.control.map_or("none", |c| c.name());
        let sites = subjects[i].open_sites().filter(|&(variant, _)| variant == v);
        let cues = cues.get(i).and_then(|cues| cues[v].as_ref().ok());
        contexts.push(FlatSites {
            question: &posed.question,
            stream: vec![
                task.name.clone(),
                posed.question.id.clone(),
                posed.sample.to_string(),
                control.to_string(),
            ],
            context: posed.prompt.token_ids.iter().chain(&variant.token_ids).copied().collect(),
            n_prompt: posed.prompt.token_ids.len(),
            most_tokens: (!posed.is_imported).then_some(how.traces.sampling.max_new_tokens),
            cues: sites.clone().filter_map(|(_, p)| Some(Arc::clone(&cues?[p]))).collect(),
            opened: posed.opened.as_ref(),
            sites: sites.map(|(_, p)| (variant.measured[p].step, variant.measured[p].n_tokens)).collect(),
        });
    }
    contexts
}

/// Puts the results of a subject's sites together, variant by variant; those that could not be measured have a reason.
fn curves(
    subject: &Subject<'_>,
    results: Vec<Option<SiteResult>>,
    faults: Vec<Option<String>>,
) -> Vec<Result<EntropyCurve, String>> {
    let mut by_variant: Vec<Vec<SiteResult>> = subject.variants.iter().map(|_| Vec::new()).collect();
    let unmeasured = |variant: usize| {
        Err(faults[variant].clone().unwrap_or_else(|| "no estimator was chosen".to_string()))
    };
    for ((variant, _), result) in subject.sites().zip(results) {
        by_variant[variant].push(result.unwrap_or_else(|| unmeasured(variant)));
    }
    let before: SiteResult =
        by_variant.first().and_then(|own| own.first()).cloned().unwrap_or_else(|| Err("no prefix".into()));
    subject
        .variants
        .iter()
        .zip(by_variant)
        .zip(&faults)
        .map(|((variant, mut results), fault)| {
            fault.clone().map_or(Ok(()), Err)?;
            if variant.control.is_some() {
                results.insert(0, before.clone());
            }
            let distributions: Vec<AnswerDistribution> = results
                .into_iter()
                .enumerate()
                .map(|(k, result)| result.map_err(|reason| format!("prefix {k}: {reason}")))
                .collect::<Result<_, _>>()?;
            EntropyCurve::at_some(variant.n_steps(), &variant.measured, distributions)
                .map_err(|e| e.to_string())
        })
        .collect()
}
