//! Answer entropy H(s) and information gain G(s) along depth, for traces as they are and under controls.
//!
//! H(s) is the mean of the entropy at depth s, G(s) that of g = ℓ(s) − ℓ(0) over traces with a target. The gap is H over wrong
//! minus H over correct traces. The net gain over a control is G − G_control on the questions that have both, so it is paired by
//! question. A trace whose gain is missing or infinite at some prefix takes no part in G.

use std::ops::Range;

use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use super::quantity::{Curve, Groups, Quantity, QuestionMeans, blocks, means_in_blocks};
use super::usable::Gains;
use crate::depth::{N_DEPTHS, last_prefix};
use crate::facts::{Point, TaskFacts};

/// Curves under a control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlMetrics {
    /// `swapped` (another question's trace), `shuffled` (its own steps in random order) or `unstated` (the trace without the sentences that
    /// state its answer).
    pub control: String,
    /// H(s) under the control.
    pub entropy: Curve,
    /// G(s) under the control.
    pub information_gain: Curve,
    /// G(s) of the traces themselves minus that under the control, paired by question.
    pub net_gain: Curve,
    /// I(s) under the control, with a fit of its own.
    pub usable_information: Curve,
}

pub(super) struct TaskCurves {
    pub(super) entropy: Groups<Curve>,
    pub(super) entropy_lower: Vec<Option<f64>>,
    pub(super) entropy_upper: Vec<Option<f64>>,
    pub(super) entropy_gap: Curve,
    pub(super) information_gain: Groups<Curve>,
}

pub(super) fn of(task: &TaskFacts, resampling: &Resampling) -> TaskCurves {
    let entropy = |points: &[Point]| Some(positions(points).map(|i| points[i].entropy));
    let (entropy, entropy_gap) = by_verdict(task, resampling, entropy);
    let (gain, _) = by_verdict(task, resampling, |points| gains(points, &positions(points)));
    TaskCurves {
        entropy: grouped(&not_negative(&entropy)),
        entropy_lower: means_of(task, |point| point.lower),
        entropy_upper: means_of(task, |point| point.upper),
        entropy_gap: Curve::of(&entropy_gap),
        information_gain: grouped(&gain),
    }
}

/// The mean over questions of a number at each depth.
fn means_of(task: &TaskFacts, value: impl Fn(&Point) -> f64) -> Vec<Option<f64>> {
    let mut means = QuestionMeans::new(task.n_questions, N_DEPTHS);
    for (trace, points) in task.measured() {
        for (column, i) in positions(points).into_iter().enumerate() {
            means.add(trace.question, column, value(&points[i]));
        }
    }
    means.per_question().means()
}

/// Curves of one control, and the net gain over it.
pub(super) fn of_control(
    task: &TaskFacts,
    control: &str,
    usable: Option<&Gains<'_>>,
    resampling: &Resampling,
) -> ControlMetrics {
    let along = |values: &dyn Fn(&[Point]) -> Option<[f64; N_DEPTHS]>| {
        means_in_blocks(task.n_questions, N_DEPTHS, resampling, |depths, take| {
            for (trace, _) in task.measured() {
                let Some(values) = trace.curve(control).and_then(values) else { continue };
                depths.clone().for_each(|depth| take(trace.question, depth, values[depth]));
            }
        })
    };
    let entropy = along(&|points| Some(positions(points).map(|i| points[i].entropy)));
    let gain = along(&|points| gains(points, &positions(points)));
    ControlMetrics {
        control: control.to_string(),
        entropy: Curve::of(&not_negative(&entropy)),
        information_gain: Curve::of(&gain),
        net_gain: net_gain(task, control, resampling),
        usable_information: usable
            .map_or_else(Curve::default, |gains| Curve::of(&gains.quantities(resampling))),
    }
}

/// The mean over questions of the difference between their mean gain and that under a control, over questions that have both.
fn net_gain(task: &TaskFacts, control: &str, resampling: &Resampling) -> Curve {
    let mut n_traces = 0;
    let of_block = |depths: Range<usize>| {
        let mut own = Sums::new(task.n_questions, &depths);
        let mut other = Sums::new(task.n_questions, &depths);
        for (trace, points) in task.measured() {
            own.add(trace.question, gains(points, &positions(points)));
            let under_control = trace.curve(control).and_then(|points| gains(points, &positions(points)));
            other.add(trace.question, under_control);
        }
        let mut means = QuestionMeans::new(task.n_questions, depths.len());
        n_traces = 0;
        for question in 0..task.n_questions {
            let (Some(own_mean), Some(other_mean)) = (own.mean(question), other.mean(question)) else {
                continue;
            };
            n_traces += own.n_traces[question] as usize;
            for (column, (own, other)) in own_mean.zip(other_mean).enumerate() {
                means.add(question, column, own - other);
            }
        }
        means.quantities(resampling)
    };
    let quantities: Vec<Quantity> = blocks(task.n_questions, N_DEPTHS).flat_map(of_block).collect();
    Curve { n_traces, ..Curve::of(&quantities) }
}

/// Sums over the traces of each question at some depths.
struct Sums {
    depths: Range<usize>,
    /// `[questions, depths]`
    sums: Vec<f64>,
    n_traces: Vec<u32>,
}

impl Sums {
    fn new(n_questions: usize, depths: &Range<usize>) -> Self {
        // Sums begin at −0, as those of iterators do: the sum of nothing but −0 is −0.
        let sums = vec![-0.0; n_questions * depths.len()];
        Self { depths: depths.clone(), sums, n_traces: vec![0; n_questions] }
    }

    fn add(&mut self, question: usize, values: Option<[f64; N_DEPTHS]>) {
        let Some(values) = values else { return };
        let n = self.depths.len();
        let sums = &mut self.sums[question * n..(question + 1) * n];
        sums.iter_mut().zip(&values[self.depths.clone()]).for_each(|(sum, value)| *sum += value);
        self.n_traces[question] += 1;
    }

    /// The means of a question; `None` without traces.
    fn mean(&self, question: usize) -> Option<impl Iterator<Item = f64> + '_> {
        let (n, n_traces) = (self.depths.len(), self.n_traces[question]);
        let sums = &self.sums[question * n..(question + 1) * n];
        (n_traces > 0).then(|| sums.iter().map(move |sum| sum / f64::from(n_traces)))
    }
}

pub(super) fn positions(points: &[Point]) -> [usize; N_DEPTHS] {
    let depths: Vec<f64> = points.iter().map(|p| p.depth).collect();
    last_prefix(&depths)
}

/// The gain at each depth; `None` where a prefix has none.
pub(crate) fn gains(points: &[Point], positions: &[usize; N_DEPTHS]) -> Option<[f64; N_DEPTHS]> {
    if points.iter().any(|p| p.gain().is_none()) {
        return None;
    }
    Some(positions.map(|i| points[i].gain().unwrap_or_default()))
}

/// All, correct and wrong traces along the grid, one after the other, and wrong − correct.
fn by_verdict(
    task: &TaskFacts,
    resampling: &Resampling,
    values: impl Fn(&[Point]) -> Option<[f64; N_DEPTHS]>,
) -> (Vec<Quantity>, Vec<Quantity>) {
    let mut groups = vec![Quantity::default(); 3 * N_DEPTHS];
    let mut gap = Vec::new();
    for depths in blocks(3 * task.n_questions, N_DEPTHS) {
        let n = depths.len();
        let mut means = QuestionMeans::new(task.n_questions, 3 * n);
        for (trace, points) in task.measured() {
            let Some(values) = values(points) else { continue };
            let verdict = trace.correct.map(|correct| if correct { 1 } else { 2 });
            for (column, value) in values[depths.clone()].iter().enumerate() {
                for group in [Some(0), verdict].into_iter().flatten() {
                    means.add(trace.question, group * n + column, *value);
                }
            }
        }
        let pairs: Vec<(usize, usize)> = (0..n).map(|i| (2 * n + i, n + i)).collect();
        let (quantities, differences) = means.per_question().with_differences(&pairs, resampling);
        for (column, quantity) in quantities.into_iter().enumerate() {
            groups[column / n * N_DEPTHS + depths.start + column % n] = quantity;
        }
        gap.extend(differences);
    }
    (groups, gap)
}

/// Intervals of quantities that are no less than 0.
fn not_negative(quantities: &[Quantity]) -> Vec<Quantity> {
    quantities.iter().cloned().map(|quantity| quantity.within(0.0, f64::INFINITY)).collect()
}

fn grouped(quantities: &[Quantity]) -> Groups<Curve> {
    Groups {
        all: Curve::of(&quantities[..N_DEPTHS]),
        correct: Curve::of(&quantities[N_DEPTHS..2 * N_DEPTHS]),
        wrong: Curve::of(&quantities[2 * N_DEPTHS..]),
    }
}
