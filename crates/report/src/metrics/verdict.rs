//! Whether the stepwise informativeness assumption (SIA) holds for this model on this task.
//!
//! The assumption: along reasoning prefixes information about the true answer accumulates in expectation. What is tested is usable
//! information (`metrics::usable`): I(s), how much better the true answer can be foretold with the trace up to depth s than without it, by a
//! readout fitted on other questions. Three things are asked of it:
//!
//! * Information: is I(1) above τ (0 nats)?
//! * Net of a control: is I(1) of traces above that of the *swapped* control, another question's trace in their place, by more than τ? Each
//!   has its own fit, so that a foreign trace can be worth nothing and no less. The difference is paired by question.
//! * Rise: does I rise along depth? The least-squares slope of each question's contributions over the depths s = 0, ¼, ½, ¾, 1, tested
//!   against zero by Student's t over questions, one-sided. Ranks would not do: where most traces end wrong and certain, most questions lose a
//!   little at the end while few gain much, and it is the mean that counts.
//!
//! | finding | when |
//! |---|---|
//! | supported | the intervals of I(1) and of its net lie above τ, and the slope has p < α (0.05) |
//! | not supported | the interval of I(1), or of its net, ends below τ + 0.05 nats |
//! | inconclusive | neither; or there is nothing measured, no swapped control, one for too few traces, too few questions, too many traces without a readout, or an estimator that fails its own check |
//!
//! Usable information cannot be negative in truth, so no interval would ever end at 0; [`NEGLIGIBLE`] is what counts as none.
//!
//! The verdict rests on the rollouts where at least ten questions have them, else on the run's own estimator; `readout` names it. A forced
//! readout reads back what the text has just stated; the rollout marginalises the reasoning to come, which is what p(A | Q, C_{1:k}) means.
//!
//! False alarms: each of the three conditions has to be met. Where the true information or its net is not above τ, *supported* has at most
//! the probability with which an interval lies above the truth, 2.5 % at level 0.95. Rates are measured in the tests of this module.
//!
//! Information may come with the statement of the answer alone. `before_statement` is I at the last prefix before the trace first states its
//! own answer; where its interval does not lie above 0, the reasons say that the information comes with the statement.
//!
//! The *shuffled* control, a trace's own steps in random order, keeps the content of the trace, so it answers another question: whether
//! the order of steps matters. Raw G(1) and its net are given and do not decide.
//!
//! For inconclusive results the number of questions is given at which each condition would be met with probability 0.8, were the
//! observed means and spreads the true ones. Not here: the change between training stages (`compare`).
//! Source: arXiv:2604.06192; arXiv:2002.10689 (usable information); the test itself is ours.

mod martingale;

use std::sync::Arc;

use entrace_measure::Control;
use entrace_stats::Level;
use entrace_stats::bootstrap::Resampling;
use entrace_stats::distribution::t_sf;
use entrace_stats::interval::t_mean;
use entrace_stats::power::{Plan, clusters_needed};
use entrace_stats::{Undefined, summary};
use serde::{Deserialize, Serialize};

pub use martingale::{CheckMetrics, DriftTest};

use super::MetricOptions;
use super::curves::positions;
use super::quantity::{Quantity, QuestionMeans};
use super::usable::{Gains, TaskGains};
use crate::depth::{FINAL, QUARTERS, grid};
use crate::facts::{OWN, Point, Source, TaskFacts};
use crate::format::{Scale, count};

/// The control that decides.
const SWAPPED: &str = Control::Swapped.name();

/// Fewest questions for a finding: intervals and tests of fewer are not to be relied on.
pub const FEWEST_QUESTIONS: usize = 10;

/// Largest share of traces with a target whose readouts may be unknown, and largest share of those with readouts that may lack the swapped
/// control. Which they are depends on what the model believes, or on the length of the trace, so leaving out more would bias I.
pub const MOST_LEFT_OUT: f64 = 0.05;

/// Information above τ that counts as none, in nats: an interval that ends below it refutes the assumption.
pub const NEGLIGIBLE: f64 = 0.05;

/// Probability with which the stated number of questions would support the assumption.
const POWER: f64 = 0.8;

/// The answer to the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Traces inform about the true answer, more so with depth and more than a control.
    Supported,
    /// They do not.
    NotSupported,
    /// The data do not say.
    Inconclusive,
}

impl Finding {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::NotSupported => "not supported",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// The finding with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictMetrics {
    /// The finding.
    pub finding: Finding,
    /// Why, as fragments that fit after "because".
    pub reasons: Vec<String>,
    /// The estimator whose beliefs were read.
    pub readout: String,
    /// τ, nats.
    pub threshold: f64,
    /// α of the trend test.
    pub alpha: f64,
    /// I(1), usable information, nats.
    pub usable_information: Quantity,
    /// I at the last prefix before the trace states its own answer, with a fit of its own.
    pub before_statement: Quantity,
    /// Net I(1) over each control; `swapped` decides.
    pub net: Vec<NetInformation>,
    /// The rise of I along depth.
    pub trend: Trend,
    /// Measured traces with a target, and for rollouts those that have some.
    pub n_traces: usize,
    /// Those of them whose readouts are not all known.
    pub n_left_out: usize,
    /// Questions at which the assumption would probably be supported; null unless inconclusive for want of data.
    pub questions_needed: Option<usize>,
    /// G(1) of the same beliefs: the raw gain of log-probability, which over-confidence lowers.
    pub gain: Quantity,
    /// Net G(1) over the swapped control.
    pub net_gain: Quantity,
    /// The self-check of `rollout`; null where there are none.
    pub estimator_check: Option<CheckMetrics>,
}

impl VerdictMetrics {
    /// Net I(1) over the control that decides.
    pub fn net_information(&self) -> Option<&Quantity> {
        self.swapped().map(|net| &net.net)
    }

    fn swapped(&self) -> Option<&NetInformation> {
        self.net.iter().find(|net| net.control == SWAPPED)
    }

    /// Whether the interval of I(1) itself ends at what counts as none.
    pub fn information_is_refuted(&self) -> bool {
        is_negligible(&self.usable_information, self.threshold)
    }

    /// Whether information is supported but not shown to exist before the answer is stated.
    pub fn comes_with_the_statement(&self) -> bool {
        self.finding == Finding::Supported
            && self.before_statement.value.is_some()
            && !self.before_statement.is_above(0.0)
    }
}

/// Net I(1) over one control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetInformation {
    /// `swapped`, `shuffled` or `unstated`.
    pub control: String,
    /// I(1) under the control, with a fit of its own.
    pub usable_information: Quantity,
    /// I(1) minus that under the control, paired by question.
    pub net: Quantity,
    /// Traces that took part and have the control.
    pub n_traces: usize,
    /// Traces that took part and lack it.
    pub n_without_control: usize,
}

impl NetInformation {
    /// Whether so many traces have the control that the net may stand for all.
    fn covers(&self) -> bool {
        let n = (self.n_traces + self.n_without_control) as f64;
        self.n_without_control as f64 <= MOST_LEFT_OUT * n && self.net.n_questions >= FEWEST_QUESTIONS
    }
}

/// The rise of I along depth.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Trend {
    /// The depths compared.
    pub depths: Vec<f64>,
    /// Questions.
    pub n_questions: usize,
    /// Mean least-squares slope of the questions' contributions, in nats per trace.
    pub slope: Option<f64>,
    /// One-sided p-value of no rise.
    pub p_value: Option<f64>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Position of s = 1 among the quarters.
const LAST: usize = QUARTERS.len() - 1;

/// What the verdict of a task is made from.
pub(super) struct Evidence<'a> {
    pub(super) task: &'a TaskFacts,
    pub(super) source: Source,
    /// The fits, or why there are none.
    pub(super) gains: &'a Result<TaskGains<'a>, String>,
    pub(super) before_statement: Quantity,
}

pub(super) fn of(
    evidence: &Evidence<'_>,
    resampling: &Resampling,
    options: &MetricOptions,
) -> VerdictMetrics {
    let (task, source) = (evidence.task, evidence.source);
    let gains = evidence.gains.as_ref();
    let n_traces = task
        .measured()
        .filter(|(trace, _)| trace.target.is_some() && trace.curve_of(source, OWN).is_some())
        .count();
    let usable_information =
        gains.map_or_else(|reason| Quantity::undefined(reason), |gains| at_end(&gains.own, resampling));
    let mut verdict = VerdictMetrics {
        finding: Finding::Inconclusive,
        reasons: Vec::new(),
        readout: gains.map_or_else(|_| String::new(), |gains| gains.readout.clone()),
        threshold: options.threshold,
        alpha: options.alpha,
        usable_information,
        before_statement: evidence.before_statement.clone(),
        net: gains.map_or_else(|_| Vec::new(), |gains| nets(gains, resampling)),
        trend: gains.map_or_else(|_| Trend::default(), |gains| trend(&gains.own)),
        n_traces,
        n_left_out: n_traces - gains.map_or(0, |gains| gains.own.readings.len()),
        questions_needed: None,
        gain: mean(&raw_gains(task, source, None), resampling),
        net_gain: mean(&raw_net(task, source), resampling),
        estimator_check: (task.is_rollout() || source == Source::Rollouts)
            .then(|| martingale::check(task, source)),
    };
    (verdict.finding, verdict.reasons) = match task.measured().next() {
        Some(_) => decide(&verdict),
        None => (Finding::Inconclusive, vec!["no trace was measured".to_string()]),
    };
    if verdict.comes_with_the_statement() {
        let before = Scale::Plain.with_interval(&verdict.before_statement);
        verdict
            .reasons
            .push(format!("before the answer is stated, it is not shown to be above 0, I = {before}"));
    }
    if let Ok(gains) = gains {
        state_what_is_needed(&mut verdict, gains, resampling, options);
    }
    verdict
}

/// I(1) with its interval.
fn at_end(gains: &Gains<'_>, resampling: &Resampling) -> Quantity {
    gains.quantities(resampling).swap_remove(FINAL)
}

fn nets(gains: &TaskGains<'_>, resampling: &Resampling) -> Vec<NetInformation> {
    let own = gains.own.traces();
    let net = |(control, other): &(Arc<str>, Gains<'_>)| {
        let n_traces = other.traces().intersection(&own).count();
        NetInformation {
            control: control.to_string(),
            usable_information: at_end(other, resampling),
            net: mean(&differences(&gains.own, other), resampling)
                .widened(gains.own.fit_variance[FINAL] + other.fit_variance[FINAL], resampling.level),
            n_traces,
            n_without_control: gains.own.readings.len() - n_traces,
        }
    };
    gains.controls.iter().map(net).collect()
}

/// For each question I(1) of its traces minus that under a control.
fn differences(own: &Gains<'_>, control: &Gains<'_>) -> Vec<Option<f64>> {
    let pairs = own.by_question(FINAL).into_iter().zip(control.by_question(FINAL));
    pairs.map(|(own, control)| Some(own? - control?)).collect()
}

fn state_what_is_needed(
    verdict: &mut VerdictMetrics,
    gains: &TaskGains<'_>,
    resampling: &Resampling,
    options: &MetricOptions,
) {
    let is_open = verdict.finding == Finding::Inconclusive && may_decide(verdict).is_ok();
    let swapped = gains.controls.iter().find(|(control, _)| &**control == SWAPPED);
    let (true, true, Some((_, swapped))) =
        (is_open, verdict.swapped().is_some_and(NetInformation::covers), swapped)
    else {
        return;
    };
    let conditions = [
        (known(&gains.own.by_question(FINAL)), options.threshold, resampling.level.tail()),
        (known(&differences(&gains.own, swapped)), options.threshold, resampling.level.tail()),
        (slopes(&gains.own), 0.0, options.alpha),
    ];
    let needed: Option<Vec<usize>> =
        conditions.iter().map(|(values, threshold, alpha)| needed(values, *threshold, *alpha)).collect();
    verdict.questions_needed = needed.and_then(|n| n.into_iter().chain([FEWEST_QUESTIONS]).max());
    verdict.reasons.push(match verdict.questions_needed {
        Some(n) => format!("about {n} questions would be needed if the observed means are the true ones"),
        None => "the observed means would not support it at any number of questions".to_string(),
    });
}

/// Whether the data allow for a finding at all, or why not.
fn may_decide(verdict: &VerdictMetrics) -> Result<(), String> {
    let n_questions = verdict.usable_information.n_questions;
    if verdict.n_traces == 0 {
        return Err("no measured trace has a target".to_string());
    }
    if verdict.estimator_check.as_ref().is_some_and(|check| check.broken) {
        return Err("the estimator fails its own check, so that its beliefs say nothing".to_string());
    }
    if verdict.n_left_out as f64 > MOST_LEFT_OUT * verdict.n_traces as f64 {
        return Err(format!(
            "the answers at some prefix are not recorded for {} of {} traces, and which they are depends on the belief itself",
            verdict.n_left_out, verdict.n_traces
        ));
    }
    if n_questions < FEWEST_QUESTIONS {
        return Err(format!(
            "the information is known of {}, and at least {FEWEST_QUESTIONS} are needed for any finding",
            count(n_questions, "question")
        ));
    }
    Ok(())
}

fn decide(verdict: &VerdictMetrics) -> (Finding, Vec<String>) {
    if let Err(reason) = may_decide(verdict) {
        return (Finding::Inconclusive, vec![reason]);
    }
    let threshold = verdict.threshold;
    let limit = format!("the threshold of {threshold} nats");
    let net = verdict.swapped().filter(|net| net.covers()).map(|net| &net.net);
    let mut refuted = Vec::new();
    if verdict.information_is_refuted() {
        refuted.push(format!("the usable information is at most {NEGLIGIBLE} nats above {limit}"));
    }
    if net.is_some_and(|net| is_negligible(net, threshold)) {
        refuted.push(format!(
            "what exceeds another question's trace is at most {NEGLIGIBLE} nats above {limit}"
        ));
    }
    if !refuted.is_empty() {
        return (Finding::NotSupported, refuted);
    }
    let Some(net) = net else {
        return (Finding::Inconclusive, vec![no_control(verdict)]);
    };
    let mut open = Vec::new();
    if !verdict.usable_information.is_above(threshold) {
        open.push(format!("the interval of the usable information holds {limit}"));
    }
    if !net.is_above(threshold) {
        open.push(format!("the interval of what exceeds another question's trace holds {limit}"));
    }
    if verdict.trend.p_value.is_none_or(|p| p >= verdict.alpha) {
        open.push("the information is not shown to rise along depth".to_string());
    }
    if open.is_empty() {
        let why = format!(
            "the usable information, and what of it exceeds another question's trace, are above {limit}, and it rises along depth"
        );
        return (Finding::Supported, vec![why]);
    }
    (Finding::Inconclusive, open)
}

/// Whether the interval ends at what counts as none above the threshold.
fn is_negligible(quantity: &Quantity, threshold: f64) -> bool {
    quantity.high.is_some_and(|high| high <= threshold + NEGLIGIBLE)
}

/// Why there is no net information to decide by.
fn no_control(verdict: &VerdictMetrics) -> String {
    let lack = match verdict.swapped() {
        None => "there is no swapped control".to_string(),
        Some(net) if net.net.n_questions < FEWEST_QUESTIONS => {
            format!("only {} have a swapped control", count(net.net.n_questions, "question"))
        }
        Some(net) => {
            format!(
                "only {} of {} traces have a swapped control",
                net.n_traces,
                net.n_traces + net.n_without_control
            )
        }
    };
    format!("{lack}, and without it information cannot be told from what any text does")
}

/// For each question the mean over its traces of the raw gain g(1), under a control or for the traces themselves. Traces without a known
/// gain at some prefix take no part.
fn raw_gains(task: &TaskFacts, source: Source, control: Option<&str>) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0_usize); task.n_questions];
    for (trace, _) in task.measured() {
        let points = trace.curve_of(source, control.unwrap_or(OWN));
        let Some(gain) = points.and_then(last_gain) else { continue };
        sums[trace.question].0 += gain;
        sums[trace.question].1 += 1;
    }
    sums.into_iter().map(|(sum, n)| (n > 0).then(|| sum / n as f64)).collect()
}

fn raw_net(task: &TaskFacts, source: Source) -> Vec<Option<f64>> {
    let pairs = raw_gains(task, source, None).into_iter().zip(raw_gains(task, source, Some(SWAPPED)));
    pairs.map(|(own, swapped)| Some(own? - swapped?)).collect()
}

fn last_gain(points: &[Point]) -> Option<f64> {
    if points.is_empty() || points.iter().any(|p| p.gain().is_none()) {
        return None;
    }
    points[positions(points)[FINAL]].gain()
}

fn known(values: &[Option<f64>]) -> Vec<f64> {
    values.iter().copied().flatten().collect()
}

/// The mean over questions with its interval.
pub(super) fn mean(values: &[Option<f64>], resampling: &Resampling) -> Quantity {
    let mut means = QuestionMeans::new(values.len(), 1);
    for (question, value) in values.iter().enumerate() {
        if let Some(value) = value {
            means.add(question, 0, *value);
        }
    }
    means.quantities(resampling).swap_remove(0)
}

/// The least-squares slope of each question's contributions over the quarters, in nats per trace.
fn slopes(gains: &Gains<'_>) -> Vec<f64> {
    let quarters = QUARTERS.map(|quarter| gains.by_question(quarter));
    let n_questions = quarters[0].len();
    let of_question = |question: usize| -> Option<f64> {
        let mut slope = 0.0;
        for (quarter, values) in quarters.iter().enumerate() {
            slope += slope_weight(quarter) * values[question]?;
        }
        Some(slope)
    };
    (0..n_questions).filter_map(of_question).collect()
}

/// The weight of a quarter in the least-squares slope.
fn slope_weight(quarter: usize) -> f64 {
    let depths = QUARTERS.map(|quarter| grid()[quarter]);
    let mean = depths.iter().sum::<f64>() / depths.len() as f64;
    let spread: f64 = depths.iter().map(|depth| (depth - mean).powi(2)).sum();
    (depths[quarter] - mean) / spread
}

fn trend(gains: &Gains<'_>) -> Trend {
    let depths = QUARTERS.map(|quarter| grid()[quarter]).to_vec();
    let slopes = slopes(gains);
    let empty = Trend { depths, n_questions: slopes.len(), ..Trend::default() };
    let fit_variance: f64 =
        (0..=LAST).map(|quarter| slope_weight(quarter).powi(2) * gains.fit_variance[QUARTERS[quarter]]).sum();
    match rise(&slopes, fit_variance) {
        Err(undefined) => Trend { reason: Some(undefined.to_string()), ..empty },
        Ok((slope, p_value)) => Trend { slope: Some(slope), p_value: Some(p_value), ..empty },
    }
}

/// The mean slope, and the one-sided p-value of no rise; without any spread it is 0 for a positive slope, since then every question says
/// the same.
fn rise(slopes: &[f64], fit_variance: f64) -> Result<(f64, f64), Undefined> {
    let estimate = t_mean(slopes, Level::P95)?;
    let error = (estimate.standard_error.powi(2) + fit_variance).sqrt();
    let p_value = match error > 0.0 {
        true => t_sf(estimate.value / error, (slopes.len() - 1) as f64),
        false if estimate.value > 0.0 => 0.0,
        false => 1.0,
    };
    Ok((estimate.value, p_value))
}

/// Questions at which a one-sided test would show the mean to be above the threshold.
fn needed(values: &[f64], threshold: f64, alpha: f64) -> Option<usize> {
    let plan = Plan {
        mean: summary::mean(values).ok()?,
        standard_deviation: summary::standard_deviation(values).ok()?,
        threshold,
        alpha,
        power: POWER,
    };
    clusters_needed(&plan).ok()
}

#[cfg(test)]
mod tests;
