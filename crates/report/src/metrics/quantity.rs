//! A number with its interval, or the reason why there is none; and how means over questions become one.
//!
//! Every mean is taken over the traces of a question first and then over questions, so that each question counts once however many
//! traces it has; intervals resample questions (`entrace_stats::bootstrap`).

use std::ops::Range;

use entrace_stats::bootstrap::{CurvePoint, Resampled, Resampling};
use entrace_stats::{ClusterSums, Estimate, Level, Undefined, interval};
use serde::{Deserialize, Serialize};

/// A number with its interval.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Quantity {
    /// The number; null where it is undefined.
    pub value: Option<f64>,
    /// Lower end of the interval; null where there is none.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// Standard error over questions; null where there is none.
    #[serde(default)]
    pub standard_error: Option<f64>,
    /// Questions that took part.
    pub n_questions: usize,
    /// Traces that took part.
    pub n_traces: usize,
    /// Why value or interval is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Quantity {
    pub(crate) fn of(
        value: Option<f64>,
        estimate: Result<Estimate, Undefined>,
        n_questions: usize,
        n_traces: usize,
    ) -> Self {
        match estimate {
            Ok(estimate) => Self {
                value: Some(estimate.value),
                low: Some(estimate.interval.low),
                high: Some(estimate.interval.high),
                standard_error: Some(estimate.standard_error),
                n_questions,
                n_traces,
                reason: None,
            },
            Err(undefined) => {
                let what = if value.is_some() { "no interval: " } else { "" };
                let reason = Some(format!("{what}{undefined}"));
                Self { value, n_questions, n_traces, reason, ..Self::default() }
            }
        }
    }

    /// Neither value nor interval.
    pub(crate) fn undefined(reason: &str) -> Self {
        Self { reason: Some(reason.to_string()), ..Self::default() }
    }

    /// The value alone, with the reason why it has no interval.
    pub(crate) fn without_interval(self, reason: &str) -> Self {
        let reason = Some(reason.to_string());
        Self { low: None, high: None, standard_error: None, reason, ..self }
    }

    /// The interval with a further variance of the value, such as that of a fit; its ends keep their distances from the value in proportion.
    pub(crate) fn widened(self, variance: f64, level: Level) -> Self {
        let (Some(value), Some(low), Some(high), Some(error)) =
            (self.value, self.low, self.high, self.standard_error)
        else {
            return self;
        };
        let wider = (error * error + variance).sqrt();
        let extra = level.normal_point() * wider;
        let (below, above) = if error > 0.0 {
            ((value - low) * wider / error, (high - value) * wider / error)
        } else {
            (extra, extra)
        };
        Self { low: Some(value - below), high: Some(value + above), standard_error: Some(wider), ..self }
    }

    /// The interval cut to the range that the number has by nature.
    pub(crate) fn within(self, lowest: f64, highest: f64) -> Self {
        let [low, high] = [self.low, self.high].map(|end| end.map(|end| end.clamp(lowest, highest)));
        Self { low, high, ..self }
    }

    /// A share of yes and no: where every question agrees the bootstrap shows no spread, and Wilson's interval for the number of questions
    /// stands in its place. Other intervals end at 0 and 1.
    pub(crate) fn into_share(self, level: Level) -> Self {
        let successes = match self.value {
            Some(value) if value <= 0.0 => 0,
            Some(value) if value >= 1.0 => self.n_questions,
            _ => return self.within(0.0, 1.0),
        };
        match interval::wilson(successes, self.n_questions, level) {
            Ok(interval) => Self { low: Some(interval.low), high: Some(interval.high), reason: None, ..self },
            Err(_) => self,
        }
    }

    /// Whether the interval lies above a value.
    pub fn is_above(&self, threshold: f64) -> bool {
        self.low.is_some_and(|low| low > threshold)
    }

    /// Whether the interval lies below a value.
    pub fn is_below(&self, threshold: f64) -> bool {
        self.high.is_some_and(|high| high < threshold)
    }
}

/// A quantity along the depth grid.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Curve {
    /// The value at each depth; null where it is undefined.
    pub value: Vec<Option<f64>>,
    /// Lower ends of the pointwise intervals.
    pub low: Vec<Option<f64>>,
    /// Upper ends.
    pub high: Vec<Option<f64>>,
    /// Standard errors over questions.
    #[serde(default)]
    pub standard_error: Vec<Option<f64>>,
    /// Questions that took part (the most at any depth).
    pub n_questions: usize,
    /// Traces that took part (the most at any depth).
    pub n_traces: usize,
    /// Why values or intervals are missing (the first reason).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Curve {
    pub(crate) fn of(points: &[Quantity]) -> Self {
        Self {
            value: points.iter().map(|p| p.value).collect(),
            low: points.iter().map(|p| p.low).collect(),
            high: points.iter().map(|p| p.high).collect(),
            standard_error: points.iter().map(|p| p.standard_error).collect(),
            n_questions: points.iter().map(|p| p.n_questions).max().unwrap_or(0),
            n_traces: points.iter().map(|p| p.n_traces).max().unwrap_or(0),
            reason: points.iter().find_map(|p| p.reason.clone()),
        }
    }

    /// The point at a position of the grid.
    pub fn at(&self, position: usize) -> Quantity {
        let get = |values: &[Option<f64>]| values.get(position).copied().flatten();
        Quantity {
            value: get(&self.value),
            low: get(&self.low),
            high: get(&self.high),
            standard_error: get(&self.standard_error),
            n_questions: self.n_questions,
            n_traces: self.n_traces,
            reason: self.reason.clone(),
        }
    }

    /// Whether some depth has a value.
    pub fn is_defined(&self) -> bool {
        self.value.iter().any(Option::is_some)
    }
}

/// The same quantity over all traces, over correct and over wrong ones. Invalid answers are wrong; traces of questions without a
/// target are in `all` only.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Groups<T> {
    /// All measured traces.
    pub all: T,
    /// Those whose stated answer is the target.
    pub correct: T,
    /// Those whose stated answer is not.
    pub wrong: T,
}

impl Groups<Quantity> {
    /// Each group as a share of yes and no.
    pub(crate) fn into_shares(self, level: Level) -> Self {
        let [all, correct, wrong] = [self.all, self.correct, self.wrong].map(|share| share.into_share(level));
        Self { all, correct, wrong }
    }
}

/// Columns of values, averaged within and then over questions.
#[derive(Debug)]
pub(crate) struct QuestionMeans {
    sums: ClusterSums,
    n_traces: Vec<usize>,
}

impl QuestionMeans {
    pub(crate) fn new(n_questions: usize, n_columns: usize) -> Self {
        Self { sums: ClusterSums::new(n_questions, n_columns), n_traces: vec![0; n_columns] }
    }

    /// Adds the value of one trace.
    pub(crate) fn add(&mut self, question: usize, column: usize, value: f64) {
        self.add_weighted(question, column, value, 1.0);
    }

    /// Adds the value of one trace with a weight > 0.
    pub(crate) fn add_weighted(&mut self, question: usize, column: usize, value: f64, weight: f64) {
        self.sums.add(question, column, value, weight);
        self.n_traces[column] += 1;
    }

    /// Gives each question weight one in each column.
    pub(crate) fn per_question(mut self) -> Self {
        self.sums = self.sums.with_equal_clusters();
        self
    }

    /// The mean of every column, without an interval.
    pub(crate) fn means(&self) -> Vec<Option<f64>> {
        self.sums.ratios()
    }

    /// Every column with its interval.
    pub(crate) fn quantities(&self, resampling: &Resampling) -> Vec<Quantity> {
        self.with_differences(&[], resampling).0
    }

    /// Every column, and the difference first − second of pairs of columns; counts of a pair are those of the rarer side.
    pub(crate) fn with_differences(
        &self,
        pairs: &[(usize, usize)],
        resampling: &Resampling,
    ) -> (Vec<Quantity>, Vec<Quantity>) {
        let (values, resampled) = (self.sums.ratios(), Resampled::new(&self.sums, resampling));
        let quantity =
            |value: Option<f64>, estimate: Result<CurvePoint, Undefined>, n_questions, n_traces| {
                Quantity::of(value, estimate.map(|point| point.estimate), n_questions, n_traces)
            };
        let n_questions: Vec<usize> =
            (0..values.len()).map(|column| self.sums.n_contributing(column)).collect();
        let quantities = resampled.curve().into_iter().enumerate().map(|(column, estimate)| {
            quantity(values[column], estimate, n_questions[column], self.n_traces[column])
        });
        let differences = pairs.iter().zip(resampled.contrasts(pairs)).map(|(&(first, second), estimate)| {
            let value = values[first].zip(values[second]).map(|(a, b)| a - b);
            let rarer = |counts: &[usize]| counts[first].min(counts[second]);
            quantity(value, estimate, rarer(&n_questions), rarer(&self.n_traces))
        });
        (quantities.collect(), differences.collect())
    }
}

/// Bytes of sums that are held at once, where a task has more questions than fit with all columns.
const HELD_BYTES: usize = 64 << 20;
/// Fewest columns that are resampled together.
const FEWEST_COLUMNS: usize = 7;

/// Columns by blocks, so that sums of many questions stay small: each column has the same value whatever it is resampled with.
pub(crate) fn blocks(n_questions: usize, n_columns: usize) -> impl Iterator<Item = Range<usize>> {
    let size = (HELD_BYTES / (size_of::<(f64, f64)>() * n_questions.max(1))).max(FEWEST_COLUMNS);
    (0..n_columns).step_by(size).map(move |start| start..n_columns.min(start + size))
}

/// Takes the value of one trace in a column: question, column and value.
type Taking<'a> = dyn FnMut(usize, usize, f64) + 'a;

/// The means over questions of columns that a function fills, some columns at a time; it is called for each block of them.
pub(crate) fn means_in_blocks(
    n_questions: usize,
    n_columns: usize,
    resampling: &Resampling,
    fill: impl Fn(Range<usize>, &mut Taking<'_>),
) -> Vec<Quantity> {
    let of_block = |block: Range<usize>| {
        let mut means = QuestionMeans::new(n_questions, block.len());
        let first = block.start;
        fill(block, &mut |question, column, value| means.add(question, column - first, value));
        means.per_question().quantities(resampling)
    };
    blocks(n_questions, n_columns).flat_map(of_block).collect()
}

/// The means over all, correct and wrong traces of a number that a trace may have.
pub(crate) fn group_means(
    n_questions: usize,
    values: impl Iterator<Item = (usize, Option<bool>, Option<f64>)>,
    resampling: &Resampling,
) -> Groups<Quantity> {
    let mut means = QuestionMeans::new(n_questions, 3);
    for (question, correct, value) in values {
        let Some(value) = value else { continue };
        means.add(question, 0, value);
        if let Some(correct) = correct {
            means.add(question, if correct { 1 } else { 2 }, value);
        }
    }
    let mut quantities = means.per_question().quantities(resampling).into_iter();
    let mut next = || quantities.next().unwrap_or_default();
    Groups { all: next(), correct: next(), wrong: next() }
}
