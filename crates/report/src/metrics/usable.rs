//! Usable information: how much better the true answer can be foretold with the trace so far than without it.
//!
//! Raw G(s) = E[ℓ(s) − ℓ(0)] charges two things to one account: what the prefix tells about the true answer, and how far the readout
//! overstates it. A model that is right in three of ten cases and certain in all ten loses nats, although its traces triple the probability
//! of the right answer. So information is measured by the best readout of a family, fitted on other questions (predictive V-information, Xu
//! et al. 2020, arXiv:2002.10689; of single traces, Ethayarajh et al. 2022, arXiv:2110.08420):
//!
//!   f_s(a) = w_p T_τ p_s(a) + w_0 T_τ0 p_0(a) + w_u u(a),      f_0 the same without the first term,
//!   I(s)   = mean over questions of ln f_s(a*) − ln f_0(a*),
//!
//! weights on the simplex, T_τ p the distribution at temperature τ (`entrace_measure::readout`), u the base: even over the options, for open
//! answers the targets of the other questions. Both are fitted in the same family by maximum likelihood, questions dealt to
//! [`FOLDS`] folds, [`REPETITIONS`] times, and logarithms averaged (`entrace_stats::mixture`). The family holds f_0, so a useless prefix costs
//! nothing and a prefix that only makes the readout sharper or flatter gains nothing.
//!
//! What it bounds. Where the answer is random given the question, I(s) ≤ I(A; C_{1:k} | Q) + KL gap of f_0, in expectation and up to the
//! fit, with equality for a readout that is Bayesian. Where the question determines the answer, the mutual information is zero for every
//! model and I(s) is what a reader with this readout gains. I(s) is no bound from above on what another readout could use.
//!
//! Over-confidence: I(s) − G(s) on the same traces is what log loss charges for stating more than is known.
//!
//! Intervals resample questions and are widened by the variance of the fit (`CrossFitted::fit_variance`). Every control has a fit of its own,
//! so that it can be worth nothing and never less.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use entrace_measure::Estimator;
use entrace_measure::readout::{TEMPERATURES, UNTEMPERED};
use entrace_stats::bootstrap::Resampling;
use entrace_stats::mixture::{Expert, Folding, cross_fitted};
use entrace_stats::{Clusters, Undefined};

use super::quantity::{Curve, Groups, Quantity, QuestionMeans};
use crate::depth::{grid, last_prefix};
use crate::facts::{OWN, Point, Source, TaskFacts, TraceFacts};
use crate::readouts::readout;

/// Folds into which questions are dealt, and how often.
pub(crate) const FOLDS: usize = 5;
/// Repetitions of the deal for up to [`MANY_QUESTIONS`] questions; one for more, whose folds matter little.
pub(crate) const REPETITIONS: usize = 4;
/// Questions from which they are dealt once.
pub(crate) const MANY_QUESTIONS: usize = 2_000;

/// The fits of a task: its own traces and every control, along the grid of depths.
#[derive(Debug)]
pub(crate) struct TaskGains<'a> {
    /// Name of the estimator that was read.
    pub(crate) readout: String,
    pub(crate) own: Gains<'a>,
    /// In order of name; a control none of whose traces can take part is left out.
    pub(crate) controls: Vec<(Arc<str>, Gains<'a>)>,
}

/// One trace of a fit: the readouts before any reasoning and at each place, and the gain ℓ(place) − ℓ(0) there.
#[derive(Debug, Clone)]
pub(crate) struct Reading<'a> {
    pub(crate) trace: &'a TraceFacts,
    pub(crate) first: &'a Point,
    /// The points at the places, in the order of the places.
    pub(crate) places: Vec<&'a Point>,
}

/// ln f_s(a*) − ln f_0(a*) of every trace at every place.
#[derive(Debug, Clone)]
pub(crate) struct Gains<'a> {
    pub(crate) readings: Vec<Reading<'a>>,
    /// `[places][traces]`.
    pub(crate) values: Vec<Vec<f64>>,
    /// Variance that the fit adds to the mean at each place.
    pub(crate) fit_variance: Vec<f64>,
    n_questions: usize,
}

/// How a task's readouts are fitted.
pub(crate) fn folding(resampling: &Resampling, n_questions: usize) -> Folding {
    let repetitions = if n_questions > MANY_QUESTIONS { 1 } else { REPETITIONS };
    Folding { folds: FOLDS, repetitions, seed: resampling.seed }
}

/// Fits a task's own traces and its controls along depth; the reason where nothing can be fitted.
pub(crate) fn of_task<'a>(
    task: &'a TaskFacts,
    source: Source,
    folding: &Folding,
) -> Result<TaskGains<'a>, String> {
    let own =
        fit(task, along_depth(task, source, OWN), folding).map_err(|undefined| undefined.to_string())?;
    let names = task.controls_of(source);
    let controls = names.into_iter().filter_map(|name| {
        let gains = fit(task, along_depth(task, source, &name), folding).ok()?;
        Some((name, gains))
    });
    let readout = match source {
        Source::Recorded => task.estimators.join("+"),
        Source::Rollouts => Estimator::Rollout.name().to_string(),
    };
    Ok(TaskGains { readout, own, controls: controls.collect() })
}

/// The readings of a control at every depth of the grid. A control begins where its trace begins.
fn along_depth<'a>(task: &'a TaskFacts, source: Source, control: &str) -> Vec<Reading<'a>> {
    let readings = task.measured().filter_map(|(trace, _)| {
        let first = trace.curve_of(source, OWN)?.first()?;
        let points = trace.curve_of(source, control)?;
        let depths: Vec<f64> = points.iter().map(|point| point.depth).collect();
        let late = points.first().is_some_and(|point| point.step > 0);
        let at = |(s, i): (f64, usize)| if late && points[0].depth > s + 1e-9 { first } else { &points[i] };
        let places: Vec<&Point> = grid().into_iter().zip(last_prefix(&depths)).map(at).collect();
        (usable(trace, &[first]) && usable(trace, &places)).then_some(Reading { trace, first, places })
    });
    readings.collect()
}

/// Fits the family at every place of the readings. All of them are [`usable`].
pub(crate) fn fit<'a>(
    task: &TaskFacts,
    readings: Vec<Reading<'a>>,
    folding: &Folding,
) -> Result<Gains<'a>, Undefined> {
    let n_places = readings.first().map_or(0, |reading| reading.places.len());
    let questions: Vec<usize> = readings.iter().map(|reading| reading.trace.question).collect();
    let clusters = Clusters::new(questions, task.n_questions)?;
    let prior = expert(readings.iter().map(|reading| reading.first))?;
    let base = Expert::fixed(base(task, &readings))?;
    let before = cross_fitted(&[&prior, &base], &clusters, folding)?;
    let mut fitted: HashMap<Vec<*const Point>, (Vec<f64>, f64)> = HashMap::new();
    let (mut values, mut fit_variance) = (Vec::new(), Vec::new());
    for place in 0..n_places {
        let key: Vec<*const Point> =
            readings.iter().map(|reading| std::ptr::from_ref(reading.places[place])).collect();
        if !fitted.contains_key(&key) {
            let gains = if readings.iter().all(|reading| std::ptr::eq(reading.places[place], reading.first)) {
                (vec![0.0; readings.len()], 0.0)
            } else {
                let current = expert(readings.iter().map(|reading| reading.places[place]))?;
                let after = cross_fitted(&[&current, &prior, &base], &clusters, folding)?;
                let gains =
                    after.log_densities.iter().zip(&before.log_densities).map(|(a, b)| a - b).collect();
                (gains, after.fit_variance(0))
            };
            fitted.insert(key.clone(), gains);
        }
        let (gains, variance) = &fitted[&key];
        values.push(gains.clone());
        fit_variance.push(*variance);
    }
    Ok(Gains { readings, values, fit_variance, n_questions: task.n_questions })
}

/// Whether a trace can take part: it has a target, and its readouts are known.
pub(crate) fn usable(trace: &TraceFacts, points: &[&Point]) -> bool {
    trace.target.is_some() && !points.is_empty() && points.iter().all(|point| point.readout.is_some())
}

fn expert<'a>(points: impl Iterator<Item = &'a Point>) -> Result<Expert, Undefined> {
    let mut likelihoods = Vec::new();
    for point in points {
        let readout = readout(point).ok_or(Undefined::Empty)?;
        likelihoods.extend(readout.map(f64::exp));
    }
    Expert::new(TEMPERATURES.len(), likelihoods, UNTEMPERED)
}

/// u(a*) of every reading: one over the number of options; for open answers the share of the other questions whose target is a*.
fn base(task: &TaskFacts, readings: &[Reading<'_>]) -> Vec<f64> {
    let mut target_of: Vec<Option<&str>> = vec![None; task.n_questions];
    for reading in readings {
        target_of[reading.trace.question] = reading.trace.target.as_deref();
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let n_known = target_of.iter().flatten().count();
    target_of.iter().flatten().for_each(|target| *counts.entry(target).or_default() += 1);
    let share = |reading: &Reading<'_>| match reading.trace.choices.as_ref() {
        Some(choices) => 1.0 / choices.len().max(1) as f64,
        None => {
            let same =
                reading.trace.target.as_deref().and_then(|target| counts.get(target)).copied().unwrap_or(1);
            same.saturating_sub(1) as f64 / n_known.saturating_sub(1).max(1) as f64
        }
    };
    readings.iter().map(share).collect()
}

impl Gains<'_> {
    /// The traces that took part, by question and sample.
    pub(crate) fn traces(&self) -> HashSet<(usize, u32)> {
        self.readings.iter().map(|reading| (reading.trace.question, reading.trace.sample)).collect()
    }

    /// Questions of the task.
    pub(crate) fn n_questions(&self) -> usize {
        self.n_questions
    }

    /// Questions that took part.
    pub(crate) fn n_contributing(&self) -> usize {
        self.readings.iter().map(|reading| reading.trace.question).collect::<HashSet<_>>().len()
    }

    /// The mean over questions at every place.
    pub(crate) fn quantities(&self, resampling: &Resampling) -> Vec<Quantity> {
        self.quantities_of(|_| true, resampling)
    }

    /// The same over some of the traces; the fit is that of all.
    pub(crate) fn quantities_of(
        &self,
        wanted: impl Fn(&TraceFacts) -> bool,
        resampling: &Resampling,
    ) -> Vec<Quantity> {
        let mut means = QuestionMeans::new(self.n_questions, self.values.len());
        for (row, reading) in self.readings.iter().enumerate().filter(|(_, reading)| wanted(reading.trace)) {
            for (place, values) in self.values.iter().enumerate() {
                means.add(reading.trace.question, place, values[row]);
            }
        }
        let quantities = means.per_question().quantities(resampling).into_iter().zip(&self.fit_variance);
        quantities.map(|(quantity, &variance)| quantity.widened(variance, resampling.level)).collect()
    }

    /// All, correct and wrong traces along the places.
    pub(crate) fn groups(&self, resampling: &Resampling) -> Groups<Curve> {
        let of = |verdict: Option<bool>| {
            let wanted = |trace: &TraceFacts| verdict.is_none() || trace.correct == verdict;
            Curve::of(&self.quantities_of(wanted, resampling))
        };
        Groups { all: of(None), correct: of(Some(true)), wrong: of(Some(false)) }
    }

    /// The mean over questions of another value of each trace, by its reading and row; its interval is not widened.
    pub(crate) fn mean_of(
        &self,
        value: impl Fn(&Reading<'_>, usize) -> Option<f64>,
        resampling: &Resampling,
    ) -> Quantity {
        let mut means = QuestionMeans::new(self.n_questions, 1);
        for (row, reading) in self.readings.iter().enumerate() {
            if let Some(value) = value(reading, row) {
                means.add(reading.trace.question, 0, value);
            }
        }
        means.per_question().quantities(resampling).swap_remove(0)
    }

    /// For each question the mean over its traces at a place.
    pub(crate) fn by_question(&self, place: usize) -> Vec<Option<f64>> {
        let mut sums = vec![(0.0, 0_usize); self.n_questions];
        for (reading, value) in self.readings.iter().zip(&self.values[place]) {
            sums[reading.trace.question].0 += value;
            sums[reading.trace.question].1 += 1;
        }
        sums.into_iter().map(|(sum, n)| (n > 0).then(|| sum / n as f64)).collect()
    }

    /// I − G at every place, over the traces whose gain is known and finite there.
    pub(crate) fn cost(&self, resampling: &Resampling) -> Groups<Curve> {
        let of = |verdict: Option<bool>| {
            let mut means = QuestionMeans::new(self.n_questions, self.values.len());
            for (row, reading) in self.readings.iter().enumerate() {
                if verdict.is_some() && reading.trace.correct != verdict {
                    continue;
                }
                for (place, values) in self.values.iter().enumerate() {
                    if let Some(gain) = reading.places[place].gain {
                        means.add(reading.trace.question, place, values[row] - gain);
                    }
                }
            }
            let quantities = means.per_question().quantities(resampling).into_iter().zip(&self.fit_variance);
            let widened: Vec<Quantity> = quantities
                .map(|(quantity, &variance)| quantity.widened(variance, resampling.level))
                .collect();
            Curve::of(&widened)
        };
        Groups { all: of(None), correct: of(Some(true)), wrong: of(Some(false)) }
    }
}
