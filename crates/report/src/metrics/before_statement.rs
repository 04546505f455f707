//! What is known before the trace states its answer.
//!
//! A forced readout that sees `= 63` reads 63, whether or not the reasoning before it leads there. So information is also measured at the
//! last prefix before the step that first states the trace's own answer (`entrace_measure::statement`); a trace that never states it counts
//! with its last prefix. The fit at that prefix is of its own (`super::usable`). Its share of I(1) is the ratio of the means over the same
//! questions, undefined unless I(1) is shown to be above 0.
//!
//! Aligned: the same at steps relative to the stating step, −1 being the last before it and 0 the stating step itself, each with a fit of its
//! own over the traces that have that step.
//!
//! Traces whose text is not in the record take no part.

use entrace_stats::Undefined;
use entrace_stats::bootstrap::{Resampling, statistic};
use entrace_stats::mixture::Folding;
use serde::{Deserialize, Serialize};

use super::quantity::{Curve, Groups, Quantity};
use super::usable::{Gains, Reading, fit, folding};
use super::verdict::FEWEST_QUESTIONS;
use crate::facts::{OWN, Point, Source, TaskFacts, TraceFacts};

/// Steps relative to the statement at which information is given.
const ALIGNED: std::ops::RangeInclusive<i64> = -4..=2;

/// Information before the answer is stated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BeforeStatement {
    /// I at the last prefix before the statement, nats.
    pub usable_information: Groups<Quantity>,
    /// G there, over the same traces.
    pub information_gain: Quantity,
    /// The share of I(1) that came before the statement.
    pub share: Quantity,
    /// Steps relative to the statement.
    pub steps: Vec<i64>,
    /// I at these steps.
    pub aligned: Curve,
}

pub(crate) fn of(task: &TaskFacts, source: Source, resampling: &Resampling) -> BeforeStatement {
    let folding = folding(resampling, task.n_questions);
    let steps: Vec<i64> = ALIGNED.collect();
    let aligned = steps.iter().map(|&offset| {
        let gains = fit(
            task,
            readings(task, source, |trace, points| vec![at_offset(trace, points, offset)]),
            &folding,
        );
        let quantity = gains.map(|gains| gains.quantities(resampling).swap_remove(0));
        let quantity = quantity.unwrap_or_else(|undefined| Quantity::undefined(&undefined.to_string()));
        if quantity.n_questions < FEWEST_QUESTIONS {
            Quantity::undefined("too few questions have this step")
        } else {
            quantity
        }
    });
    let aligned = Curve::of(&aligned.collect::<Vec<_>>());
    match before_and_end(task, source, &folding) {
        Ok(gains) => BeforeStatement {
            usable_information: first_place(&gains, resampling),
            information_gain: raw(&gains, resampling),
            share: share(&gains, resampling),
            steps,
            aligned,
        },
        Err(undefined) => {
            let none = || Quantity::undefined(&undefined.to_string());
            BeforeStatement {
                usable_information: Groups { all: none(), correct: none(), wrong: none() },
                information_gain: none(),
                share: none(),
                steps,
                aligned,
            }
        }
    }
}

/// I at the last prefix before the statement, over all traces.
pub(super) fn information(task: &TaskFacts, source: Source, resampling: &Resampling) -> Quantity {
    let gains = before_and_end(task, source, &folding(resampling, task.n_questions));
    let quantity = gains.map(|gains| gains.quantities(resampling).swap_remove(0));
    quantity.unwrap_or_else(|undefined| Quantity::undefined(&undefined.to_string()))
}

/// Fits at the last prefix before the statement, and at the end.
fn before_and_end<'a>(
    task: &'a TaskFacts,
    source: Source,
    folding: &Folding,
) -> Result<Gains<'a>, Undefined> {
    let places =
        |trace: &TraceFacts, points: &[Point]| vec![last_before(trace, points), points.len().checked_sub(1)];
    fit(task, readings(task, source, places), folding)
}

/// Readings at the places that a function names by their positions in the curve; traces that lack one take no part.
fn readings<'a>(
    task: &'a TaskFacts,
    source: Source,
    places: impl Fn(&TraceFacts, &[Point]) -> Vec<Option<usize>>,
) -> Vec<Reading<'a>> {
    let reading = |trace: &'a TraceFacts| {
        trace.statements.as_ref()?;
        let points = trace.curve_of(source, OWN)?;
        let first = points.first().filter(|point| point.step == 0)?;
        let known = |position: Option<usize>| position.filter(|position| *position < points.len());
        let places: Option<Vec<u32>> =
            places(trace, points).into_iter().map(|position| Some(known(position)? as u32)).collect();
        Reading::at(trace, first, points, places?)
    };
    task.measured().filter_map(|(trace, _)| reading(trace)).collect()
}

/// The last prefix before the statement; the last of all where nothing is stated.
fn last_before(trace: &TraceFacts, points: &[Point]) -> Option<usize> {
    match trace.stated_step() {
        Some(stated) => points.iter().rposition(|point| point.step < stated),
        None => points.len().checked_sub(1),
    }
}

fn at_offset(trace: &TraceFacts, points: &[Point], offset: i64) -> Option<usize> {
    let step = i64::from(trace.stated_step()?) + offset;
    points.iter().position(|point| i64::from(point.step) == step)
}

fn first_place(gains: &Gains<'_>, resampling: &Resampling) -> Groups<Quantity> {
    let of = |verdict: Option<bool>| {
        let wanted = |trace: &TraceFacts| verdict.is_none() || trace.correct == verdict;
        gains.quantities_of(wanted, resampling).swap_remove(0)
    };
    Groups { all: of(None), correct: of(Some(true)), wrong: of(Some(false)) }
}

fn raw(gains: &Gains<'_>, resampling: &Resampling) -> Quantity {
    gains.mean_of(|reading, _| reading.place(0).gain(), resampling)
}

fn share(gains: &Gains<'_>, resampling: &Resampling) -> Quantity {
    let whole = gains.quantities(resampling).swap_remove(1);
    if !whole.is_above(0.0) {
        return Quantity::undefined("I(1) is not shown to be above 0");
    }
    let pairs = gains.by_question(0).into_iter().zip(gains.by_question(1));
    let pairs: Vec<(f64, f64)> = pairs.filter_map(|(before, end)| before.zip(end)).collect();
    let ratio = |weights: &[u32]| {
        let (before, end) = weights.iter().zip(&pairs).fold((0.0, 0.0), |(before, end), (&n, pair)| {
            (before + f64::from(n) * pair.0, end + f64::from(n) * pair.1)
        });
        (end > 0.0).then(|| before / end)
    };
    let value = ratio(&vec![1; pairs.len()]);
    Quantity::of(value, statistic(pairs.len(), resampling, ratio), pairs.len(), gains.readings.len())
}
