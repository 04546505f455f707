//! The reading by rollouts: the rest of the trace is drawn anew.
//!
//! Draws from every prefix k = 0..K give p_k, what the model goes on to answer. Step k was drawn anew in the draws from k − 1 and is as it stands
//! in those from k, so its importance is the divergence of p_{k−1} and p_k (`importance`). The counterfactual variant takes only those draws
//! from k − 1 whose step says something else than the recorded one: other numbers, or a middle hidden state of its last token whose cosine with
//! that of the recorded step is below the threshold, after the mean over the steps at hand is taken off. (Hidden states of all texts lie in
//! one narrow cone; without that their cosines are all near one.)
//!
//! The number of draws grows by doubling, from the fewest to the most, at the two prefixes of a step of which the draws so far do not say that
//! it matters (p ≤ α/L for L sizes, so that looking often does not make chance significant) nor that it does not (p > ½). Other changes have
//! as many draws as the prefix after the step that they change.
//!
//! A draw ends where it has stated its answer in a box or in a line that has ended, outside of thoughts, and is as long as a trace may be.

use crate::error::Error;
use crate::importance::importance;
use crate::plan::{Edit, Plan, truncated};
use crate::recorded::Recorded;
use crate::rows::{self, Found};
use entrace_backend::generate::RequestCompletions;
use entrace_backend::{
    Completion, Fork, GenerateRequest, LayerRequest, Place, Sampling, Watcher, stream_seed,
};
use entrace_measure::intervention::edit::same_numbers;
use entrace_measure::intervention::effect::Belief;
use entrace_measure::intervention::{Kind, Reading};
use entrace_measure::{Answer, AnswerFormat, Segmentation, StopReason, ThoughtKind, Trace};
use entrace_record::rows::InterventionRow;
use entrace_run::probe::Path;
use entrace_run::{Engine, Event, Measurement, Observer};
use std::collections::{BTreeMap, HashMap};

/// Variant of a resampled step of which only those draws count that say something else.
pub(crate) const COUNTERFACTUAL: &str = "counterfactual";

/// p-value above which more draws are not expected to show that a step matters.
const HOPELESS: f64 = 0.5;

/// What is needed to draw.
#[derive(Clone, Copy)]
pub(crate) struct Drawing<'a> {
    pub(crate) engine: Engine<'a>,
    pub(crate) format: &'a dyn AnswerFormat,
    pub(crate) how: &'a Measurement,
    pub(crate) plan: &'a Plan,
}

/// What drawing took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) n_tokens: u64,
    pub(crate) n_draws: u64,
    pub(crate) n_draws_at_most: u64,
}

/// One draw.
#[derive(Debug, Clone)]
struct Draw {
    answer: Answer,
    /// Its first step, trimmed; empty where it ended at once.
    first_step: String,
    n_tokens: usize,
}

/// Draws from the end of one path, in order, or why there are none.
type Site = Result<Vec<Draw>, String>;

impl Drawing<'_> {
    /// Rows of a trace: its prefixes, the importance of its steps, and the other changes.
    pub(crate) fn measure(
        &self,
        recorded: &Recorded,
        edits: &[Edit],
        observer: &mut dyn Observer,
        taken: &mut Taken,
    ) -> Result<Vec<InterventionRow>, Error> {
        let prefixes = self.prefixes(recorded, observer, taken)?;
        let beliefs: Vec<Result<Belief, String>> = prefixes.iter().map(belief).collect();
        let mut found = self.rows_of_prefixes(recorded, &prefixes, &beliefs);
        if self.plan.kinds.contains(&Kind::Resample) {
            found.extend(self.rows_of_steps(recorded, &prefixes, &beliefs)?);
        }
        for edit in edits {
            let path = edit.path.as_ref().map(|path| until_step(path, recorded, edit.step));
            let n_draws = prefixes[edit.step].as_ref().map_or(self.plan.draws.fewest, Vec::len);
            let site = match &path {
                Ok(path) => self.draw(recorded, &[(edit, path, 0..n_draws)], observer, taken)?.remove(0),
                Err(reason) => Err((*reason).clone()),
            };
            taken.n_draws_at_most += if path.is_ok() { self.plan.draws.most as u64 } else { 0 };
            let after = belief(&site);
            let of_edit = Found {
                before: beliefs[edit.step].as_ref().ok(),
                after: after.as_ref().map_err(String::as_str),
                n_tokens: n_tokens(&site),
                importance: None,
            };
            found.push(rows::row(recorded, edit, Reading::Rollout, &of_edit));
        }
        Ok(found)
    }

    /// Draws from every prefix k = 0..K.
    fn prefixes(
        &self,
        recorded: &Recorded,
        observer: &mut dyn Observer,
        taken: &mut Taken,
    ) -> Result<Vec<Site>, Error> {
        let edits: Vec<Edit> = (0..=recorded.n_steps()).map(|step| truncated(recorded, step)).collect();
        let mut sites: Vec<Site> = edits.iter().map(|_| Ok(Vec::new())).collect();
        let mut wanted = vec![self.plan.draws.fewest; sites.len()];
        taken.n_draws_at_most += (self.plan.draws.most * sites.len()) as u64;
        loop {
            let mut missing = Vec::new();
            for (at, edit) in edits.iter().enumerate() {
                if let (Ok(draws), Ok(path)) = (&sites[at], &edit.path)
                    && draws.len() < wanted[at]
                {
                    missing.push((at, (edit, path, draws.len()..wanted[at])));
                }
            }
            if missing.is_empty() {
                return Ok(sites);
            }
            let (places, jobs): (Vec<usize>, Vec<_>) = missing.into_iter().unzip();
            for (at, drawn) in places.into_iter().zip(self.draw(recorded, &jobs, observer, taken)?) {
                match (&mut sites[at], drawn) {
                    (Ok(draws), Ok(drawn)) => draws.extend(drawn),
                    (site, drawn) => *site = drawn,
                }
            }
            for step in 1..sites.len() {
                if self.is_undecided(recorded, step, &sites) {
                    for at in [step - 1, step] {
                        let n = sites[at].as_ref().map_or(0, Vec::len);
                        wanted[at] = wanted[at].max((2 * n).min(self.plan.draws.most));
                    }
                }
            }
        }
    }

    /// α for each of the sizes at which a step may be looked at.
    fn alpha_of_a_look(&self) -> f64 {
        let (mut n_looks, mut n) = (1, self.plan.draws.fewest.max(1));
        while n < self.plan.draws.most {
            (n, n_looks) = (2 * n, n_looks + 1);
        }
        self.plan.alpha / f64::from(n_looks)
    }

    fn is_undecided(&self, recorded: &Recorded, step: usize, sites: &[Site]) -> bool {
        let (Ok(before), Ok(after)) = (&sites[step - 1], &sites[step]) else { return false };
        let seed = self.split_seed(recorded, step);
        importance(&answers(before), &answers(after), self.alpha_of_a_look(), seed)
            .is_some_and(|found| found.p_value > self.alpha_of_a_look() && found.p_value <= HOPELESS)
    }

    fn split_seed(&self, recorded: &Recorded, step: usize) -> u64 {
        let [task, id, sample] = recorded.stream();
        stream_seed(self.plan.seed, &[&task, &id, &sample, "splits", &step.to_string()])
    }

    fn rows_of_prefixes(
        &self,
        recorded: &Recorded,
        prefixes: &[Site],
        beliefs: &[Result<Belief, String>],
    ) -> Vec<InterventionRow> {
        let last = beliefs.last().and_then(|belief| belief.as_ref().ok());
        let row = |step: usize| {
            let found = Found {
                before: last,
                after: beliefs[step].as_ref().map_err(String::as_str),
                n_tokens: n_tokens(&prefixes[step]),
                importance: None,
            };
            let edit = truncated(recorded, step);
            match step == recorded.n_steps() {
                true => rows::unchanged(recorded, &edit, Reading::Rollout, &found),
                false => rows::row(recorded, &edit, Reading::Rollout, &found),
            }
        };
        (0..prefixes.len()).map(row).collect()
    }

    /// The importance of every step, of all draws and of those that say something else.
    fn rows_of_steps(
        &self,
        recorded: &Recorded,
        prefixes: &[Site],
        beliefs: &[Result<Belief, String>],
    ) -> Result<Vec<InterventionRow>, Error> {
        let states = self.states(recorded, prefixes)?;
        let mut found = Vec::new();
        for step in 1..prefixes.len() {
            let after = prefixes[step].as_ref();
            let own = recorded.text_of_step(step).trim();
            let all = prefixes[step - 1].clone();
            let differ = |draw: &Draw| states.differ(own, &draw.first_step, self.plan.dissimilar_below);
            let others = all.clone().and_then(|draws| {
                let draws: Vec<Draw> = draws.into_iter().filter(differ).collect();
                if draws.is_empty() { Err("no draw says anything else".to_string()) } else { Ok(draws) }
            });
            for (variant, before) in [("", all), (COUNTERFACTUAL, others)] {
                let edit = Edit {
                    kind: Kind::Resample,
                    variant: variant.to_string(),
                    replaced: Some((recorded.bytes(step), String::new())),
                    ..truncated(recorded, step)
                };
                let drawn = belief(&before);
                let importance = match (&before, after) {
                    (Ok(before), Ok(after)) => {
                        let seed = self.split_seed(recorded, step);
                        importance(&answers(before), &answers(after), self.alpha_of_a_look(), seed)
                    }
                    _ => None,
                };
                let of_step = Found {
                    before: beliefs[step].as_ref().ok(),
                    after: drawn.as_ref().map_err(String::as_str),
                    n_tokens: 0,
                    importance,
                };
                let row = rows::row(recorded, &edit, Reading::Rollout, &of_step);
                found.push(InterventionRow { replacement: None, ..row });
            }
        }
        Ok(found)
    }

    /// Completions of one trace's paths, in their order, for draws of these numbers.
    fn draw(
        &self,
        recorded: &Recorded,
        jobs: &[(&Edit, &Path, std::ops::Range<usize>)],
        observer: &mut dyn Observer,
        taken: &mut Taken,
    ) -> Result<Vec<Site>, Error> {
        let text = self.engine.text;
        let limit = text.info().context_length;
        let n_prompt = recorded.prompt.token_ids.len();
        let sampling = self.how.rollout_sampling();
        let mut forks = Vec::new();
        let mut befores = Vec::new();
        let mut results: Vec<Site> = Vec::new();
        for (edit, path, numbers) in jobs {
            let n_path = path.kept + path.tail.len();
            if n_prompt + n_path >= limit {
                let reason = format!(
                    "prompt and edited trace ({n_path}) leave no room in the context of {limit} tokens"
                );
                results.push(Err(reason));
                continue;
            }
            results.push(Ok(Vec::new()));
            befores.push(text.decode(&path.tokens(recorded.trace.token_ids())).text);
            forks.push(Fork {
                n_tokens: n_prompt + path.kept,
                suffix: path.tail.clone(),
                streams: numbers.clone().map(|number| self.stream(recorded, edit, number)).collect(),
                max_new_tokens: (!recorded.imported).then(|| sampling.max_new_tokens.saturating_sub(n_path)),
            });
        }
        if forks.is_empty() {
            return Ok(results);
        }
        let context = [&recorded.prompt.token_ids[..], recorded.trace.token_ids()].concat();
        let n_draws: usize = forks.iter().map(|fork| fork.streams.len()).sum();
        let request = [GenerateRequest { context, forks }];
        let drawn = match self.generate(&request, &sampling, recorded, &befores, observer)? {
            Ok(drawn) => drawn,
            Err(error) => {
                let asked = results.iter_mut().filter(|site| site.is_ok());
                asked.for_each(|site| *site = Err(error.to_string()));
                return Ok(results);
            }
        };
        taken.n_draws += n_draws as u64;
        let segmentation = segmentation(recorded, self.how);
        let mut of_forks = befores.iter().zip(drawn);
        for site in results.iter_mut().filter(|site| site.is_ok()) {
            let Some((before, completions)) = of_forks.next() else { break };
            taken.n_tokens += completions.iter().map(|draw| draw.token_ids.len() as u64).sum::<u64>();
            let draws = completions.into_iter().map(|completion| Draw {
                answer: self.answer(recorded, before, &completion),
                n_tokens: completion.token_ids.len(),
                first_step: first_step(completion, &segmentation),
            });
            *site = Ok(draws.collect());
        }
        Ok(results)
    }

    fn stream(&self, recorded: &Recorded, edit: &Edit, number: usize) -> u64 {
        let [task, id, sample] = recorded.stream();
        let (step, number) = (edit.step.to_string(), number.to_string());
        let parts = [&*task, &id, &sample, "intervene", edit.kind.name(), &edit.variant, &step, &number];
        stream_seed(self.plan.seed, &parts)
    }

    fn generate(
        &self,
        request: &[GenerateRequest; 1],
        sampling: &Sampling,
        recorded: &Recorded,
        befores: &[String],
        observer: &mut dyn Observer,
    ) -> Result<Result<RequestCompletions, entrace_backend::Error>, Error> {
        let thoughts = self.engine.text.thoughts();
        let open = befores
            .iter()
            .map(|before| thoughts.divide(before, recorded.opened.as_ref()).open_at(before.len()).cloned());
        let mut watching =
            Watching { drawing: self, recorded, open: open.collect(), observer, stopped: false };
        let drawn = self.engine.generator()?.generate_each(request, sampling, &mut watching);
        if watching.stopped {
            return Err(entrace_run::Error::Interrupted.into());
        }
        Ok(drawn?.pop().unwrap_or_else(|| Ok(Vec::new())))
    }

    fn answer(&self, recorded: &Recorded, before: &str, draw: &Completion) -> Answer {
        let completion = format!("{before}{}", draw.text);
        let division = self.engine.text.thoughts().divide(&completion, recorded.opened.as_ref());
        let is_cut = draw.stop_reason == StopReason::Length;
        division.answer(self.format, is_cut, recorded.question.choices.as_ref())
    }

    /// Middle hidden states of all steps that were recorded or drawn first.
    fn states(&self, recorded: &Recorded, prefixes: &[Site]) -> Result<States, Error> {
        let Some(layers) = self.engine.layers else { return Ok(States::default()) };
        let drawn = prefixes.iter().flatten().flatten().map(|draw| draw.first_step.as_str());
        let own = (1..=recorded.n_steps()).map(|step| recorded.text_of_step(step).trim());
        let mut states = BTreeMap::new();
        for words in own.chain(drawn).filter(|words| !words.is_empty()) {
            if states.contains_key(words) {
                continue;
            }
            let tokens = self.engine.text.encode_plain(words)?;
            let request = LayerRequest { middle: true, ..LayerRequest::default() };
            let read = if tokens.is_empty() { None } else { layers.read_layers(&tokens, &request).ok() };
            states.extend(read.map(|read| (words.to_string(), read.middle_state)));
        }
        Ok(States::centred(states))
    }
}

/// Middle hidden states of texts, their mean taken off.
#[derive(Default)]
struct States(HashMap<String, Vec<f64>>);

impl States {
    fn centred(states: BTreeMap<String, Vec<f32>>) -> Self {
        let n = states.len() as f64;
        let size = states.values().map(Vec::len).max().unwrap_or(0);
        let mut mean = vec![0.0; size];
        for state in states.values() {
            state.iter().zip(&mut mean).for_each(|(x, mean)| *mean += f64::from(*x) / n);
        }
        let centre = |(words, state): (String, Vec<f32>)| {
            (words, state.iter().zip(&mean).map(|(x, mean)| f64::from(*x) - mean).collect())
        };
        Self(states.into_iter().map(centre).collect())
    }

    /// Whether a step says something else than the recorded one.
    fn differ(&self, own: &str, other: &str, dissimilar_below: f64) -> bool {
        if own == other {
            return false;
        }
        if !same_numbers(own, other) {
            return true;
        }
        match (self.0.get(own), self.0.get(other)) {
            (Some(a), Some(b)) => cosine(a, b) < dissimilar_below,
            _ => true,
        }
    }
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let norm = (dot(a, a) * dot(b, b)).sqrt();
    if norm > 0.0 { dot(a, b) / norm } else { 0.0 }
}

/// Watches draws, and ends those that have stated their answer.
struct Watching<'a> {
    drawing: &'a Drawing<'a>,
    recorded: &'a Recorded,
    /// The thought that is open where the draws of each fork begin.
    open: Vec<Option<ThoughtKind>>,
    observer: &'a mut dyn Observer,
    stopped: bool,
}

impl Watcher for Watching<'_> {
    fn progress(&mut self, n_tokens: usize) -> bool {
        self.observer.event(Event::Tokens(n_tokens));
        self.stopped = self.observer.should_stop();
        !self.stopped
    }

    fn is_over(&mut self, place: Place, text: &str) -> bool {
        let choices = self.recorded.question.choices.as_ref();
        let division = self.drawing.engine.text.thoughts().divide(text, self.open[place.fork].as_ref());
        let stated = division.answer(self.drawing.format, true, choices);
        !stated.is_invalid() && division.answer(self.drawing.format, false, choices) == stated
    }
}

/// The part of an edited trace that ends with the step that was changed.
fn until_step(path: &Path, recorded: &Recorded, step: usize) -> Path {
    let n_after = recorded.trace.len() - recorded.ends[step];
    let n_tail = path.tail.len().saturating_sub(n_after);
    Path { kept: path.kept, tail: path.tail[..n_tail].to_vec() }
}

/// How a draw is cut into steps: as the trace was. Of a rule that depends on the text, the one that gives the recorded steps.
fn segmentation(recorded: &Recorded, how: &Measurement) -> Segmentation {
    if !matches!(how.segmentation, Segmentation::Auto | Segmentation::Steps) {
        return how.segmentation.clone();
    }
    let gives_steps = |rule: &Segmentation| {
        let cut = entrace_measure::prefixes(&recorded.trace, rule, None, None);
        cut.is_ok_and(|prefixes| {
            prefixes.iter().map(|prefix| prefix.n_tokens).eq(recorded.ends.iter().copied())
        })
    };
    let rules = [Segmentation::BlankLine, Segmentation::Line, Segmentation::Sentence];
    rules.into_iter().find(gives_steps).unwrap_or(Segmentation::Sentence)
}

/// The first step of a draw, trimmed.
fn first_step(draw: Completion, segmentation: &Segmentation) -> String {
    let Ok(trace) = Trace::new(draw.text, draw.token_ids, draw.token_ends) else { return String::new() };
    let prefixes = entrace_measure::prefixes(&trace, segmentation, None, None).unwrap_or_default();
    let end = prefixes.get(1).map_or(0, |prefix| prefix.n_tokens);
    trace.text_of_prefix(end).trim().to_string()
}

fn belief(site: &Site) -> Result<Belief, String> {
    let draws = site.as_ref().map_err(Clone::clone)?;
    Belief::of_draws(draws.iter().map(|draw| &draw.answer)).ok_or_else(|| "nothing was drawn".into())
}

fn answers(draws: &[Draw]) -> Vec<Answer> {
    draws.iter().map(|draw| draw.answer.clone()).collect()
}

fn n_tokens(site: &Site) -> usize {
    site.iter().flatten().map(|draw| draw.n_tokens).sum()
}
