//! Forced beliefs at the ends of paths that begin as a recorded trace does.
//!
//! A path keeps the first tokens of a trace and continues with its own, as an edited trace does. Trace and paths become one token tree: the
//! prompt is the root, the trace a branch of it, and each path forks from the trace where it leaves it, so that only what follows the edit is
//! run again. Leaving out each of the K steps of a trace of T tokens in turn runs T + Σ_k (T − t_k) tokens, about T + K·T/2, and not K·T. At the
//! end of each path belief is asked for as at a prefix (`cue`, `estimate`).

use crate::cue;
use crate::error::{Error, own_failure};
use crate::estimate::enumerate::Enumerator;
use crate::estimate::{SiteResult, TreeSite, choices, enumerate};
use crate::event::{Event, Observer};
use crate::plan::{Engine, EstimatorChoice, Measurement};
use entrace_backend::{Branch, BranchId, BranchScore, Error as EngineError, Parent, Prompt, TreeSession};
use entrace_measure::{AnswerDistribution, AnswerFormat, Question, ThoughtKind, TokenId};
use std::sync::Arc;

/// Tokens of branches in one tree.
const TREE_TOKENS: usize = 4096;

/// A recorded trace with the paths at whose ends belief is asked for.
pub struct Probed<'a> {
    /// The question.
    pub question: &'a Question,
    /// Its prompt.
    pub prompt: &'a Prompt,
    /// The thought in which the trace begins.
    pub opened: Option<&'a ThoughtKind>,
    /// Tokens of the trace.
    pub trace: &'a [TokenId],
    /// The paths.
    pub paths: Vec<&'a Path>,
}

/// The first tokens of a trace, and others after them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path {
    /// Tokens of the trace that are kept.
    pub kept: usize,
    /// Tokens that follow them.
    pub tail: Vec<TokenId>,
}

impl Path {
    /// The whole path as tokens.
    pub fn tokens(&self, trace: &[TokenId]) -> Vec<TokenId> {
        [&trace[..self.kept], &self.tail].concat()
    }
}

/// A belief at the end of a path, or why there is none.
pub type Probe = Result<AnswerDistribution, String>;

/// Asks for beliefs at the ends of paths.
pub struct Prober<'a> {
    engine: Engine<'a>,
    how: &'a Measurement,
    enumerator: Enumerator,
}

impl<'a> Prober<'a> {
    /// For questions with answers of one format. Where the measurement draws, beliefs are read by `choices` or `enumerate` all the same.
    pub fn new(engine: Engine<'a>, format: Arc<dyn AnswerFormat>, how: &'a Measurement) -> Self {
        Self { engine, how, enumerator: Enumerator::new(engine, format) }
    }

    /// The belief at the end of every path of every trace.
    pub fn forced(
        &mut self,
        traces: &[Probed<'_>],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Vec<Probe>>, Error> {
        let mut found = Vec::with_capacity(traces.len());
        for group in groups(traces) {
            if observer.should_stop() {
                return Err(Error::Interrupted);
            }
            found.extend(self.group(group, observer)?);
        }
        Ok(found)
    }

    /// Plants prompts and traces, then the paths in lots that stay within the tree's budget.
    fn group(
        &mut self,
        traces: &[Probed<'_>],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Vec<Probe>>, Error> {
        let mut session = self.engine.scorer()?.session()?;
        let planted = plant(session.as_mut(), traces, observer)?;
        let n_planted = session.n_branches();
        let all: Vec<(usize, &Path)> = traces
            .iter()
            .enumerate()
            .flat_map(|(t, trace)| trace.paths.iter().map(move |&path| (t, path)))
            .collect();
        let mut probes: Vec<Vec<Probe>> = traces.iter().map(|_| Vec::new()).collect();
        let mut rest = &all[..];
        while !rest.is_empty() {
            let (lot, later) = rest.split_at(n_within_budget(rest));
            let found = self.lot(session.as_mut(), &planted, lot, observer)?;
            lot.iter().zip(found).for_each(|(&(trace, _), probe)| probes[trace].push(probe));
            session.truncate(n_planted);
            rest = later;
        }
        Ok(probes)
    }

    fn lot(
        &mut self,
        session: &mut dyn TreeSession,
        planted: &[Planted<'_>],
        lot: &[(usize, &Path)],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Probe>, Error> {
        let mut probes: Vec<Option<Probe>> = vec![None; lot.len()];
        let n_branches = session.n_branches();
        let mut branches = Vec::new();
        let mut sites: Vec<(usize, TreeSite<'_>)> = Vec::new();
        for (place, &(number, path)) in lot.iter().enumerate() {
            let Planted { probed: trace, root } = &planted[number];
            let cue = own_failure(self.cue(trace, path))?.and_then(|cue| {
                self.check_room(trace, path, &cue)?;
                Ok((root.after(path.kept)?, cue))
            });
            let (after, cue) = match cue {
                Ok(asked) => asked,
                Err(reason) => {
                    probes[place] = Some(Err(reason));
                    continue;
                }
            };
            let at = if path.tail.is_empty() {
                after
            } else {
                branches.push(Branch {
                    parent: Some(after),
                    tokens: path.tail.clone(),
                    keep: true,
                    ..Branch::default()
                });
                Parent { branch: BranchId(n_branches + branches.len() - 1), n_tokens: path.tail.len() }
            };
            sites
                .push((place, TreeSite { question: trace.question, at, max_nodes: self.how.max_nodes, cue }));
        }
        observer.event(Event::Tokens(branches.iter().map(|branch| branch.tokens.len()).sum()));
        let scores = session.extend_each(&branches)?;
        sites.retain(|(place, site)| {
            let score = site.at.branch.0.checked_sub(n_branches).map(|number| &scores[number]);
            let fault = score.and_then(|score| score.as_ref().err());
            probes[*place] = fault.map(|error| Err(error.to_string()));
            fault.is_none()
        });
        for (place, result) in self.ask(session, sites, observer)? {
            probes[place] = Some(result);
        }
        Ok(probes
            .into_iter()
            .map(|probe| probe.unwrap_or_else(|| Err("no estimator was chosen".into())))
            .collect())
    }

    /// The results at the sites, each with its place.
    fn ask(
        &mut self,
        session: &mut dyn TreeSession,
        sites: Vec<(usize, TreeSite<'_>)>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<(usize, SiteResult)>, Error> {
        let chosen = match self.how.estimator {
            EstimatorChoice::Always(estimator) if estimator.is_sampled() => EstimatorChoice::Auto,
            chosen => chosen,
        };
        let is_listed = |site: &TreeSite<'_>| {
            chosen.for_question(site.question) == Some(entrace_measure::Estimator::Choices)
        };
        let (listed, open): (Vec<_>, Vec<_>) = sites.into_iter().partition(|(_, site)| is_listed(site));
        let mut results = Vec::new();
        let (places, listed): (Vec<usize>, Vec<TreeSite<'_>>) = listed.into_iter().unzip();
        let found = choices::estimate(session, self.engine.text, &listed, self.how)?;
        observer.event(Event::PhaseAdvances(found.len()));
        results.extend(places.into_iter().zip(found));
        let (places, open): (Vec<usize>, Vec<TreeSite<'_>>) = open.into_iter().unzip();
        let found = enumerate::estimate(session, &mut self.enumerator, &open, self.how, observer)?;
        results.extend(places.into_iter().zip(found));
        Ok(results)
    }

    /// What asks for the answer after a path.
    fn cue(&self, trace: &Probed<'_>, path: &Path) -> Result<Arc<[TokenId]>, Error> {
        let text = self.engine.text;
        let written = text.decode(&path.tokens(trace.trace)).text;
        let division = text.thoughts().divide(&written, trace.opened);
        let before = if written.is_empty() { &trace.prompt.text } else { &written };
        Ok(cue::after(text, before, division.open_at(written.len()), &self.how.cue)?.into())
    }

    fn check_room(&self, trace: &Probed<'_>, path: &Path, cue: &[TokenId]) -> Result<(), String> {
        let limit = self.engine.text.info().context_length;
        let n_path = path.kept + path.tail.len();
        let needed = trace.prompt.token_ids.len() + n_path + cue.len() + self.how.max_answer_tokens;
        if needed <= limit {
            return Ok(());
        }
        Err(format!(
            "prompt, edited trace ({n_path}), cue and answer are {needed} tokens, which do not fit the context of {limit}"
        ))
    }
}

/// A trace with its place in the tree.
struct Planted<'a> {
    probed: &'a Probed<'a>,
    root: Root,
}

/// The branches of a prompt and its trace, or why one could not be planted.
struct Root {
    prompt: Result<Parent, String>,
    trace: Result<BranchId, String>,
}

impl Root {
    /// The place after so many tokens of the trace.
    fn after(&self, kept: usize) -> Result<Parent, String> {
        match kept {
            0 => self.prompt.clone(),
            _ => Ok(Parent { branch: self.trace.clone()?, n_tokens: kept }),
        }
    }
}

fn plant<'a>(
    session: &mut dyn TreeSession,
    traces: &'a [Probed<'_>],
    observer: &mut dyn Observer,
) -> Result<Vec<Planted<'a>>, Error> {
    let mut branches = Vec::new();
    for trace in traces {
        let prompt = Parent { branch: BranchId(branches.len()), n_tokens: trace.prompt.token_ids.len() };
        let longest = trace.paths.iter().map(|path| path.kept).max().unwrap_or(0);
        branches.push(Branch { tokens: trace.prompt.token_ids.clone(), keep: true, ..Branch::default() });
        branches.push(Branch {
            parent: Some(prompt),
            tokens: trace.trace[..longest].to_vec(),
            keep: true,
            ..Branch::default()
        });
    }
    observer.event(Event::Tokens(branches.iter().map(|branch| branch.tokens.len()).sum()));
    let scores = session.extend_each(&branches)?;
    let id = |score: &Result<BranchScore, EngineError>| match score {
        Ok(score) => Ok(score.id),
        Err(error) => Err(error.to_string()),
    };
    let of_trace = |(probed, scores): (&'a Probed<'_>, &[_])| {
        let n_tokens = probed.prompt.token_ids.len();
        let prompt = id(&scores[0]).map(|branch| Parent { branch, n_tokens });
        Planted { probed, root: Root { prompt, trace: id(&scores[1]) } }
    };
    Ok(traces.iter().zip(scores.chunks_exact(2)).map(of_trace).collect())
}

/// How many of the paths are run together, at least one.
fn n_within_budget(paths: &[(usize, &Path)]) -> usize {
    let mut n_tokens = 0;
    let fits = |&&(_, path): &&(usize, &Path)| {
        n_tokens += path.tail.len();
        n_tokens <= TREE_TOKENS
    };
    paths.iter().take_while(fits).count().max(1)
}

/// Neighbours whose prompts, traces and paths fit one tree.
fn groups<'a, 'b>(traces: &'a [Probed<'b>]) -> Vec<&'a [Probed<'b>]> {
    let n_tokens = |trace: &Probed<'_>| {
        let tails: usize = trace.paths.iter().map(|path| path.tail.len()).sum();
        trace.prompt.token_ids.len() + trace.trace.len() + tails
    };
    let (mut groups, mut start, mut sum) = (Vec::new(), 0, 0);
    for (index, trace) in traces.iter().enumerate() {
        let n = n_tokens(trace);
        if index > start && sum + n > TREE_TOKENS {
            groups.push(&traces[start..index]);
            (start, sum) = (index, 0);
        }
        sum += n;
    }
    if start < traces.len() {
        groups.push(&traces[start..]);
    }
    groups
}
