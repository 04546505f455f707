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
use crate::error::{Capability, Error};
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
            match self.measure_group(group, ground.as_deref_mut()) {
                Ok(found) => findings.extend(found),
                Err(error) if error.is_about_one_item() => {
                    for subject in group {
                        findings.push(self.measure_alone(subject)?);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(findings)
    }

    /// One subject by itself: what goes wrong is its own failure. Where the fault may lie in a control, each is measured apart, so that it
    /// takes nothing but itself away.
    fn measure_alone(&mut self, subject: &Subject<'_>) -> Result<Findings, Error> {
        match self.measure_group(std::slice::from_ref(subject), None) {
            Ok(mut found) => Ok(found.remove(0)),
            Err(error) if !error.is_about_one_item() => Err(error),
            Err(error) if subject.variants.len() < 2 => {
                Ok(Findings { curves: vec![Err(error.to_string())], token_scores: None, draws: Vec::new() })
            }
            Err(_) => {
                let part = |variants: &[&Variant]| Subject {
                    variants: variants.iter().map(|&variant| variant.clone()).collect(),
                    ..*subject
                };
                let own = &subject.variants[0];
                let mut findings = self.measure_alone(&part(&[own]))?;
                for control in &subject.variants[1..] {
                    findings.curves.push(match self.measure_group(&[part(&[own, control])], None) {
                        Ok(mut found) => found.remove(0).curves.remove(1),
                        Err(error) if error.is_about_one_item() => Err(error.to_string()),
                        Err(error) => return Err(error),
                    });
                }
                Ok(findings)
            }
        }
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
            let found = if estimator.is_sampled() {
                let contexts = flat_sites(run, subjects, &cues, &chosen);
                let by_context = sampled::estimate(run, estimator, &contexts, self.observer)?;
                let owners =
                    chosen.iter().flat_map(|&i| (0..subjects[i].variants.len()).map(move |v| (i, v)));
                let mut found = Vec::new();
                for ((subject, variant), context) in owners.zip(by_context) {
                    if variant == 0 {
                        draws[subject] = context.first_draws;
                    }
                    found.extend(context.results);
                }
                found
            } else {
                let sites = tree.sites(subjects, &cues, &chosen, run.how);
                let session = session.as_deref_mut().ok_or(Error::Lacks(Capability::ScoreTree))?;
                self.score(session, &sites)?
            };
            let is_open = |&(i, s): &(usize, usize)| results[i][s].is_none();
            let slots = chosen.iter().flat_map(|&i| (0..results[i].len()).map(move |s| (i, s)));
            let slots: Vec<(usize, usize)> = slots.filter(is_open).collect();
            for ((subject, site), result) in slots.into_iter().zip(found) {
                results[subject][site] = Some(result);
            }
        }
        Ok(subjects
            .iter()
            .zip(results)
            .zip(tree.token_scores)
            .zip(draws)
            .map(|(((subject, results), token_scores), draws)| Findings {
                curves: curves(subject, results),
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
    /// Of its variants, as many as were planted.
    traces: Vec<BranchId>,
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
            let mut traces: Vec<BranchId> = grown.and_then(|grown| grown.trace).into_iter().collect();
            for variant in &subject.variants[traces.len()..n_variants] {
                traces.push(BranchId(n_branches + branches.len()));
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
        let mut scores = session.extend(&branches)?;
        let scores_of = |(subject, planted): (&Subject<'_>, &Option<Planted>)| {
            let planted = planted.as_ref().filter(|_| subject.is_unscored())?;
            let score = scores.iter_mut().find(|score| score.id == planted.traces[0])?;
            Some(TokenScored {
                logprobs: std::mem::take(&mut score.token_logprobs),
                sharpness: std::mem::take(&mut score.token_sharpness),
            })
        };
        let token_scores = subjects.iter().zip(&planted).map(scores_of).collect();
        let n_tokens = branches.iter().map(|branch| branch.tokens.len()).sum();
        Ok(Self { planted, token_scores, n_tokens })
    }

    fn sites<'a>(
        &self,
        subjects: &[Subject<'a>],
        cues: &[Cues],
        chosen: &[usize],
        how: &Measurement,
    ) -> Vec<TreeSite<'a>> {
        let mut sites = Vec::new();
        for &i in chosen {
            let subject = &subjects[i];
            let Some(planted) = &self.planted[i] else { continue };
            for (v, p) in subject.open_sites() {
                let variant = &subject.variants[v];
                let n_tokens = variant.measured[p].n_tokens;
                let at = if n_tokens == 0 {
                    Parent { branch: planted.prompt, n_tokens: subject.posed.prompt.token_ids.len() }
                } else {
                    Parent { branch: planted.traces[v], n_tokens }
                };
                let max_nodes = if variant.control.is_none() { how.max_nodes } else { how.control_nodes };
                let cue = Arc::clone(&cues[i][v][p]);
                sites.push(TreeSite { question: &subject.posed.question, at, max_nodes, cue });
            }
        }
        sites
    }
}

/// What asks for the answer where each variant of a subject is measured, `[variant][prefix]`.
type Cues = Vec<Vec<Arc<[TokenId]>>>;

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
        variant.measured.iter().map(at_prefix).collect()
    };
    subject.variants.iter().map(of_variant).collect()
}

/// Each variant of the chosen subjects as a context; without `cues` nothing is asked.
pub(crate) fn flat_sites<'a>(
    TaskRun { task, how, .. }: TaskRun<'_>,
    subjects: &[Subject<'a>],
    cues: &[Cues],
    chosen: &[usize],
) -> Vec<FlatSites<'a>> {
    let mut contexts = Vec::new();
    for &i in chosen {
        let posed = subjects[i].posed;
        for (v, variant) in subjects[i].variants.iter().enumerate() {
            let control = variant.control.map_or("none", |c| c.name());
            let sites = subjects[i].open_sites().filter(|&(variant, _)| variant == v);
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
                cues: sites.clone().filter_map(|(v, p)| Some(Arc::clone(&cues.get(i)?[v][p]))).collect(),
                opened: posed.opened.as_ref(),
                sites: sites.map(|(_, p)| (variant.measured[p].step, variant.measured[p].n_tokens)).collect(),
            });
        }
    }
    contexts
}

/// Puts the results of a subject's sites together, variant by variant.
fn curves(subject: &Subject<'_>, results: Vec<Option<SiteResult>>) -> Vec<Result<EntropyCurve, String>> {
    let mut by_variant: Vec<Vec<SiteResult>> = subject.variants.iter().map(|_| Vec::new()).collect();
    for ((variant, _), result) in subject.sites().zip(results) {
        by_variant[variant].push(result.unwrap_or_else(|| Err("no estimator was chosen".into())));
    }
    let before: SiteResult =
        by_variant.first().and_then(|own| own.first()).cloned().unwrap_or_else(|| Err("no prefix".into()));
    subject
        .variants
        .iter()
        .zip(by_variant)
        .map(|(variant, mut results)| {
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
