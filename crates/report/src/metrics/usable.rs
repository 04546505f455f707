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

use super::quantity::{Curve, Groups, Quantity, QuestionMeans, means_in_blocks};
use crate::depth::{grid, last_prefix};
use crate::facts::{OWN, Point, Source, TaskFacts, TraceFacts};

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
    points: &'a [Point],
    /// The position of the point at each place; [`FIRST`] for `first`.
    places: Box<[u32]>,
}

/// Stands for the first point of the trace itself among the positions of a control.
const FIRST: u32 = u32::MAX;

impl<'a> Reading<'a> {
    /// A reading at some positions of a curve, if all of them are known.
    pub(crate) fn at(
        trace: &'a TraceFacts,
        first: &'a Point,
        points: &'a [Point],
        places: impl IntoIterator<Item = u32>,
    ) -> Option<Self> {
        let reading = Self { trace, first, points, places: places.into_iter().collect() };
        let is_known = |point: &Point| point.readout().is_some();
        let mut places = 0..reading.places.len();
        let is_usable = !reading.places.is_empty() && trace.target.is_some() && is_known(first);
        (is_usable && places.all(|place| is_known(reading.place(place)))).then_some(reading)
    }

    /// The point at a place.
    pub(crate) fn place(&self, place: usize) -> &'a Point {
        match self.places[place] {
            FIRST => self.first,
            position => &self.points[position as usize],
        }
    }
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
        let at = |(s, i): (f64, usize)| if late && points[0].depth > s + 1e-9 { FIRST } else { i as u32 };
        Reading::at(trace, first, points, grid().into_iter().zip(last_prefix(&depths)).map(at))
    });
    readings.collect()
}

/// Fits the family at every place of the readings.
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
    let (mut values, mut fit_variance): (Vec<Vec<f64>>, Vec<f64>) = (Vec::new(), Vec::new());
    for place in 0..n_places {
        let same = |other: &usize| {
            readings.iter().all(|reading| std::ptr::eq(reading.place(place), reading.place(*other)))
        };
        let (gains, variance) = if let Some(fitted) = (0..place).find(same) {
            (values[fitted].clone(), fit_variance[fitted])
        } else if readings.iter().all(|reading| std::ptr::eq(reading.place(place), reading.first)) {
            (vec![0.0; readings.len()], 0.0)
        } else {
            let current = expert(readings.iter().map(|reading| reading.place(place)))?;
            let after = cross_fitted(&[&current, &prior, &base], &clusters, folding)?;
            let gains = after.log_densities.iter().zip(&before.log_densities).map(|(a, b)| a - b).collect();
            (gains, after.fit_variance(0))
        };
        values.push(gains);
        fit_variance.push(variance);
    }
    Ok(Gains { readings, values, fit_variance, n_questions: task.n_questions })
}

fn expert<'a>(points: impl Iterator<Item = &'a Point>) -> Result<Expert, Undefined> {
    let mut likelihoods = Vec::new();
    for point in points {
        let readout = point.readout().ok_or(Undefined::Empty)?;
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
    let share = |reading: &Reading<'_>| match reading.trace.n_choices {
        Some(n_choices) => 1.0 / f64::from(n_choices.max(1)),
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
        let quantities = means_in_blocks(self.n_questions, self.values.len(), resampling, |places, take| {
            let readings = self.readings.iter().enumerate();
            for (row, reading) in readings.filter(|(_, reading)| wanted(reading.trace)) {
                for place in places.clone() {
                    take(reading.trace.question, place, self.values[place][row]);
                }
            }
        });
        let quantities = quantities.into_iter().zip(&self.fit_variance);
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
            let quantities =
                means_in_blocks(self.n_questions, self.values.len(), resampling, |places, take| {
                    for (row, reading) in self.readings.iter().enumerate() {
                        if verdict.is_some() && reading.trace.correct != verdict {
                            continue;
                        }
                        for place in places.clone() {
                            if let Some(gain) = reading.place(place).gain() {
                                take(reading.trace.question, place, self.values[place][row] - gain);
                            }
                        }
                    }
                });
            let quantities = quantities.into_iter().zip(&self.fit_variance);
            let widened: Vec<Quantity> = quantities
                .map(|(quantity, &variance)| quantity.widened(variance, resampling.level))
                .collect();
            Curve::of(&widened)
        };
        Groups { all: of(None), correct: of(Some(true)), wrong: of(Some(false)) }
    }
}
