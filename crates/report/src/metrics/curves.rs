//! Answer entropy H(s) and information gain G(s) along depth, for traces as they are and under controls.
//!
//! H(s) is the mean of the entropy at depth s, G(s) that of g = ℓ(s) − ℓ(0) over traces with a target. The gap is H over wrong
//! minus H over correct traces. The net gain over a control is G − G_control on the questions that have both, so it is paired by
//! question. A trace whose gain is missing or infinite at some prefix takes no part in G.

use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use super::quantity::{Curve, Groups, Quantity, QuestionMeans};
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
    let mut entropy = GroupColumns::new(task.n_questions);
    let mut gain = GroupColumns::new(task.n_questions);
    let mut bounds = QuestionMeans::new(task.n_questions, 2 * N_DEPTHS);
    for (trace, points) in task.measured() {
        let positions = positions(points);
        entropy.add(trace.question, trace.correct, positions.map(|i| points[i].entropy));
        if let Some(values) = gains(points, &positions) {
            gain.add(trace.question, trace.correct, values);
        }
        for (column, &i) in positions.iter().enumerate() {
            bounds.add(trace.question, column, points[i].lower);
            bounds.add(trace.question, N_DEPTHS + column, points[i].upper);
        }
    }
    let (entropy, entropy_gap) = entropy.curves_and_gap(resampling);
    let mut lower = bounds.per_question().means();
    let upper = lower.split_off(N_DEPTHS);
    TaskCurves {
        entropy,
        entropy_lower: lower,
        entropy_upper: upper,
        entropy_gap,
        information_gain: gain.curves(resampling),
    }
}

/// Curves of one control, and the net gain over it.
pub(super) fn of_control(
    task: &TaskFacts,
    control: &str,
    usable: Option<&Gains<'_>>,
    resampling: &Resampling,
) -> ControlMetrics {
    let mut means = QuestionMeans::new(task.n_questions, 2 * N_DEPTHS);
    let mut own = vec![Vec::new(); task.n_questions];
    let mut other = vec![Vec::new(); task.n_questions];
    for (trace, points) in task.measured() {
        own[trace.question].extend(gains(points, &positions(points)));
        let Some(points) = trace.curve(control) else { continue };
        let positions = positions(points);
        for (column, &i) in positions.iter().enumerate() {
            means.add(trace.question, column, points[i].entropy);
        }
        if let Some(values) = gains(points, &positions) {
            for (column, value) in values.into_iter().enumerate() {
                means.add(trace.question, N_DEPTHS + column, value);
            }
            other[trace.question].push(values);
        }
    }
    let quantities = means.per_question().quantities(resampling);
    ControlMetrics {
        control: control.to_string(),
        entropy: Curve::of(&not_negative(&quantities[..N_DEPTHS])),
        information_gain: Curve::of(&quantities[N_DEPTHS..]),
        net_gain: paired_difference(&own, &other, resampling),
        usable_information: usable
            .map_or_else(Curve::default, |gains| Curve::of(&gains.quantities(resampling))),
    }
}

/// The mean over questions of the difference of their means, over questions that have both.
fn paired_difference(
    own: &[Vec<[f64; N_DEPTHS]>],
    other: &[Vec<[f64; N_DEPTHS]>],
    resampling: &Resampling,
) -> Curve {
    let mut means = QuestionMeans::new(own.len(), N_DEPTHS);
    let mut n_traces = 0;
    for (question, (own, other)) in own.iter().zip(other).enumerate() {
        let (Some(own_mean), Some(other_mean)) = (mean_curve(own), mean_curve(other)) else { continue };
        n_traces += own.len();
        for column in 0..N_DEPTHS {
            means.add(question, column, own_mean[column] - other_mean[column]);
        }
    }
    Curve { n_traces, ..Curve::of(&means.quantities(resampling)) }
}

fn mean_curve(curves: &[[f64; N_DEPTHS]]) -> Option<[f64; N_DEPTHS]> {
    (!curves.is_empty())
        .then(|| std::array::from_fn(|i| curves.iter().map(|c| c[i]).sum::<f64>() / curves.len() as f64))
}

pub(super) fn positions(points: &[Point]) -> [usize; N_DEPTHS] {
    let depths: Vec<f64> = points.iter().map(|p| p.depth).collect();
    last_prefix(&depths)
}

/// The gain at each depth; `None` where a prefix has none.
pub(crate) fn gains(points: &[Point], positions: &[usize; N_DEPTHS]) -> Option<[f64; N_DEPTHS]> {
    if points.iter().any(|p| p.gain.is_none()) {
        return None;
    }
    Some(positions.map(|i| points[i].gain.unwrap_or_default()))
}

/// Columns for all, correct and wrong traces along the grid.
struct GroupColumns(QuestionMeans);

impl GroupColumns {
    fn new(n_questions: usize) -> Self {
        Self(QuestionMeans::new(n_questions, 3 * N_DEPTHS))
    }

    fn add(&mut self, question: usize, correct: Option<bool>, values: [f64; N_DEPTHS]) {
        for (column, value) in values.into_iter().enumerate() {
            self.0.add(question, column, value);
            if let Some(correct) = correct {
                let group = if correct { 1 } else { 2 };
                self.0.add(question, group * N_DEPTHS + column, value);
            }
        }
    }

    fn curves(self, resampling: &Resampling) -> Groups<Curve> {
        grouped(&self.0.per_question().quantities(resampling))
    }

    /// The curves, and wrong − correct.
    fn curves_and_gap(self, resampling: &Resampling) -> (Groups<Curve>, Curve) {
        let means = self.0.per_question();
        let groups = grouped(&not_negative(&means.quantities(resampling)));
        let pairs: Vec<(usize, usize)> = (0..N_DEPTHS).map(|i| (2 * N_DEPTHS + i, N_DEPTHS + i)).collect();
        (groups, Curve::of(&means.differences(&pairs, resampling)))
    }
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
