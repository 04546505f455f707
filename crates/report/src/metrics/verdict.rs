//! Whether the stepwise informativeness assumption (SIA) holds for this model on this task.
//!
//! The assumption: along reasoning prefixes information about the true answer accumulates in expectation. What can be measured is the
//! gain relative to the model's own belief, G(s) = E[ℓ(s) − ℓ(0)], because a true answer that the question fixes has no mutual
//! information with anything. Two things are asked of it:
//!
//! * Net gain: is G(1) of traces above that of the *swapped* control, another question's trace in their place, by more than τ (0 nats)?
//!   The difference is paired by question, its interval resamples questions.
//! * Trend: does g rise along depth? Page's L over the depths s = 0, ¼, ½, ¾, 1, a question being a block, its traces averaged. Five
//!   depths, because short traces have few steps, and finer grids only repeat values.
//!
//! Page's p-value takes depths within a question as exchangeable under the null hypothesis. Beliefs that wander are not: neighbouring
//! depths are alike. So the blocks' contributions to L are also tested against zero by Student's t, which needs questions to be
//! independent and nothing else. The larger of the two p-values counts.
//!
//! | finding | when |
//! |---|---|
//! | supported | the interval of net G(1) lies above τ, and the trend has p < α (0.05) |
//! | not supported | the interval of net G(1) does not reach above τ, or that of G(1) itself does not |
//! | inconclusive | neither; or there is nothing measured, no swapped control, too few questions, too many traces without a gain, or an estimator that fails its own check |
//!
//! Under the null hypothesis *supported* has a probability of at most the interval's tail, 2.5 % at level 0.95; measured in the tests of
//! this module. Without the swapped control nothing is ever supported: any fluent text may raise the probability of the answer that a
//! model leans to, which is the true one more often than not. The *shuffled* control, a trace's own steps in random order, keeps the
//! content of the trace, so it answers another question: whether the order of steps matters. Its net gain is given and does not decide.
//!
//! For inconclusive results the number of questions is given at which both conditions would be met with probability 0.8, were the
//! observed means and spreads the true ones. Not here: the change between training stages (`compare`).
//! Source: arXiv:2604.06192; the test itself is ours. Page 1963 (trend).

mod martingale;

use entrace_stats::bootstrap::Resampling;
use entrace_stats::distribution::t_sf;
use entrace_stats::interval::t_mean;
use entrace_stats::power::{Plan, clusters_needed};
use entrace_stats::trend::{page, page_contributions};
use entrace_stats::{Undefined, summary};
use serde::{Deserialize, Serialize};

pub use martingale::{CheckMetrics, DriftTest};

use super::MetricOptions;
use super::curves::positions;
use super::quantity::{Quantity, QuestionMeans};
use crate::depth::{QUARTERS, grid};
use crate::facts::{Point, TaskFacts};

/// The control that decides.
const SWAPPED: &str = "swapped";

/// Fewest questions for a finding: intervals and tests of fewer are not to be relied on.
pub const FEWEST_QUESTIONS: usize = 10;

/// Largest share of traces with a target whose gain may be unknown. Which they are depends on what the model believes, so leaving out
/// more would bias G.
pub const MOST_WITHOUT_GAIN: f64 = 0.05;

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
    /// τ, nats.
    pub threshold: f64,
    /// α of the trend test.
    pub alpha: f64,
    /// G(1).
    pub gain: Quantity,
    /// Net G(1) over each control; `swapped` decides.
    pub net_gains: Vec<NetGain>,
    /// The trend of g along depth.
    pub trend: Trend,
    /// Measured traces with a target.
    pub n_traces: usize,
    /// Those of them whose gain is unknown or infinite at some prefix.
    pub n_without_gain: usize,
    /// Questions at which the assumption would probably be supported; null unless inconclusive for want of data.
    pub questions_needed: Option<usize>,
    /// The self-check of `rollout`; null for other estimators.
    pub estimator_check: Option<CheckMetrics>,
}

impl VerdictMetrics {
    /// The net gain that decides.
    pub fn net_gain(&self) -> Option<&Quantity> {
        self.net_gains.iter().find(|net| net.control == SWAPPED).map(|net| &net.net_gain)
    }
}

/// Net G(1) over one control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetGain {
    /// `swapped` or `shuffled`.
    pub control: String,
    /// G(1) minus that under the control, paired by question.
    pub net_gain: Quantity,
    /// Traces with a target that were measured under the control.
    pub n_traces: usize,
    /// Those of them whose gain under it is unknown or infinite at some prefix.
    pub n_without_gain: usize,
}

/// The trend test.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Trend {
    /// The depths compared.
    pub depths: Vec<f64>,
    /// Questions.
    pub n_questions: usize,
    /// Page's L.
    pub statistic: Option<f64>,
    /// Its one-sided p-value for exchangeable depths.
    pub page_p: Option<f64>,
    /// One-sided p-value from the spread of L between questions.
    pub question_p: Option<f64>,
    /// The larger of the two, which counts.
    pub p_value: Option<f64>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// g at the quarters of the depth.
type QuarterGains = [f64; QUARTERS.len()];

pub(super) fn of(task: &TaskFacts, resampling: &Resampling, options: &MetricOptions) -> VerdictMetrics {
    let own = question_gains(task, None);
    let controls = task.controls();
    let nets: Vec<(String, Vec<Option<f64>>)> = controls
        .iter()
        .map(|name| (name.to_string(), net_gains(&own, &question_gains(task, Some(name)))))
        .collect();
    let contributions = blocks(&own).and_then(|blocks| page_contributions(&blocks));
    let net_gains = nets
        .iter()
        .map(|(control, net)| {
            let (n_traces, n_without_gain) = without_gain(task, Some(control));
            NetGain { control: control.clone(), net_gain: mean(net, resampling), n_traces, n_without_gain }
        })
        .collect();
    let (n_traces, n_without_gain) = without_gain(task, None);
    let mut verdict = VerdictMetrics {
        finding: Finding::Inconclusive,
        reasons: Vec::new(),
        threshold: options.threshold,
        alpha: options.alpha,
        gain: mean(&own.iter().map(|g| g.map(last)).collect::<Vec<_>>(), resampling),
        net_gains,
        trend: trend(&own, &contributions),
        n_traces,
        n_without_gain,
        questions_needed: None,
        estimator_check: task.is_rollout().then(|| martingale::check(task)),
    };
    (verdict.finding, verdict.reasons) = match task.measured().next() {
        Some(_) => decide(&verdict),
        None => (Finding::Inconclusive, vec!["no trace was measured".to_string()]),
    };
    let swapped = nets.iter().find(|(control, _)| control == SWAPPED);
    if let (Finding::Inconclusive, true, Some((_, net))) =
        (verdict.finding, may_decide(&verdict).is_ok(), swapped)
    {
        let net: Vec<f64> = net.iter().copied().flatten().collect();
        let tail = resampling.level.tail();
        let for_gain = needed(&net, options.threshold, tail);
        let for_trend = contributions.ok().and_then(|l| needed(&l, 0.0, options.alpha));
        verdict.questions_needed = for_gain.zip(for_trend).map(|(a, b)| a.max(b));
        verdict.reasons.push(match verdict.questions_needed {
            Some(n) => format!("about {n} questions would be needed if the observed means are the true ones"),
            None => "the observed means would not support it at any number of questions".to_string(),
        });
    }
    verdict
}

/// Whether the data allow for a finding at all, or why not.
fn may_decide(verdict: &VerdictMetrics) -> Result<(), String> {
    let n_questions = verdict.gain.n_questions;
    if verdict.n_traces == 0 {
        return Err("no measured trace has a target".to_string());
    }
    if verdict.estimator_check.as_ref().is_some_and(|check| check.broken) {
        return Err("the estimator fails its own check, so that its beliefs say nothing".to_string());
    }
    let own = (verdict.n_without_gain, verdict.n_traces, "traces");
    let swapped = verdict.net_gains.iter().filter(|net| net.control == SWAPPED);
    let swapped = swapped.map(|net| (net.n_without_gain, net.n_traces, "swapped traces"));
    for (n_unknown, n, what) in swapped.chain([own]) {
        if n_unknown as f64 > MOST_WITHOUT_GAIN * n as f64 {
            return Err(format!(
                "the gain is unknown for {n_unknown} of {n} {what}, and which they are depends on the belief itself"
            ));
        }
    }
    if n_questions < FEWEST_QUESTIONS {
        return Err(format!(
            "{n_questions} questions have a gain and at least {FEWEST_QUESTIONS} are needed for any finding"
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
    let reaches_no_higher = |quantity: &Quantity| quantity.high.is_some_and(|high| high <= threshold);
    let net = verdict.net_gain().filter(|net| net.n_questions >= FEWEST_QUESTIONS);
    let mut refuted = Vec::new();
    if net.is_some_and(reaches_no_higher) {
        refuted.push(format!("the net gain over another question's trace is not above {limit}"));
    }
    if reaches_no_higher(&verdict.gain) {
        refuted.push(format!("the gain itself is not above {limit}"));
    }
    if !refuted.is_empty() {
        return (Finding::NotSupported, refuted);
    }
    let Some(net) = net else {
        let lack = match verdict.net_gain() {
            None => "there is no swapped control".to_string(),
            Some(net) => format!("only {} questions have a swapped control", net.n_questions),
        };
        let reason = format!("{lack}, and without it a gain cannot be told from what any text does");
        return (Finding::Inconclusive, vec![reason]);
    };
    let mut open = Vec::new();
    if !net.is_above(threshold) {
        open.push(format!("the interval of the net gain holds {limit}"));
    }
    if verdict.trend.p_value.is_none_or(|p| p >= verdict.alpha) {
        open.push("the gain is not shown to rise along depth".to_string());
    }
    if open.is_empty() {
        let why = format!(
            "the net gain over another question's trace is above {limit} and the gain rises along depth"
        );
        return (Finding::Supported, vec![why]);
    }
    (Finding::Inconclusive, open)
}

/// For each question the mean over its traces of g at the quarters, under a control or for the traces themselves.
fn question_gains(task: &TaskFacts, control: Option<&str>) -> Vec<Option<QuarterGains>> {
    let mut sums = vec![([0.0; QUARTERS.len()], 0_usize); task.n_questions];
    for (trace, own) in task.measured() {
        let points = control.map_or(Some(own), |name| trace.curve(name));
        let Some(gains) = points.and_then(quarter_gains) else { continue };
        let (sum, n) = &mut sums[trace.question];
        sum.iter_mut().zip(gains).for_each(|(sum, gain)| *sum += gain);
        *n += 1;
    }
    sums.into_iter().map(|(sum, n)| (n > 0).then(|| sum.map(|s| s / n as f64))).collect()
}

/// Traces with a target that were measured under a control, or at all, and how many of them have no known gain there.
fn without_gain(task: &TaskFacts, control: Option<&str>) -> (usize, usize) {
    let with_target = task.measured().filter(|(trace, _)| trace.target.is_some());
    let curves = with_target.filter_map(|(trace, own)| control.map_or(Some(own), |name| trace.curve(name)));
    curves
        .fold((0, 0), |(n, unknown), points| (n + 1, unknown + usize::from(quarter_gains(points).is_none())))
}

/// g of one trace at the quarters; `None` where some prefix has none.
fn quarter_gains(points: &[Point]) -> Option<QuarterGains> {
    if points.is_empty() || points.iter().any(|p| p.gain.is_none()) {
        return None;
    }
    let positions = positions(points);
    Some(QUARTERS.map(|quarter| points[positions[quarter]].gain.unwrap_or_default()))
}

fn last(gains: QuarterGains) -> f64 {
    gains[QUARTERS.len() - 1]
}

fn net_gains(own: &[Option<QuarterGains>], control: &[Option<QuarterGains>]) -> Vec<Option<f64>> {
    own.iter().zip(control).map(|(own, control)| Some(last((*own)?) - last((*control)?))).collect()
}

/// The mean over questions with its interval.
fn mean(values: &[Option<f64>], resampling: &Resampling) -> Quantity {
    let mut means = QuestionMeans::new(values.len(), 1);
    for (question, value) in values.iter().enumerate() {
        if let Some(value) = value {
            means.add(question, 0, *value);
        }
    }
    means.quantities(resampling).swap_remove(0)
}

fn blocks(own: &[Option<QuarterGains>]) -> Result<Vec<Vec<f64>>, Undefined> {
    let blocks: Vec<Vec<f64>> = own.iter().flatten().map(|gains| gains.to_vec()).collect();
    if blocks.is_empty() { Err(Undefined::Empty) } else { Ok(blocks) }
}

fn trend(own: &[Option<QuarterGains>], contributions: &Result<Vec<f64>, Undefined>) -> Trend {
    let depths = QUARTERS.map(|quarter| grid()[quarter]).to_vec();
    let n_questions = own.iter().flatten().count();
    let empty = Trend { depths, n_questions, ..Trend::default() };
    let tests = blocks(own).and_then(|blocks| {
        let by_questions = t_mean(contributions.as_ref().map_err(|e| *e)?, entrace_stats::Level::P95)?;
        Ok((page(&blocks)?, by_questions))
    });
    match tests {
        Err(undefined) => Trend { reason: Some(undefined.to_string()), ..empty },
        Ok((page, by_questions)) => {
            let question_p = one_sided(by_questions.value, by_questions.standard_error, n_questions);
            Trend {
                statistic: Some(page.statistic),
                page_p: Some(page.p_value),
                question_p: Some(question_p),
                p_value: Some(page.p_value.max(question_p)),
                ..empty
            }
        }
    }
}

/// P(T ≥ value/se); without any spread 0 for a positive value, since then every question says the same.
fn one_sided(value: f64, standard_error: f64, n: usize) -> f64 {
    if standard_error > 0.0 {
        return t_sf(value / standard_error, (n - 1) as f64);
    }
    if value > 0.0 { 0.0 } else { 1.0 }
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
