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
//! | supported | the intervals of net G(1) and of G(1) itself lie above τ, and the trend has p < α (0.05) |
//! | not supported | the interval of net G(1) does not reach above τ, or that of G(1) itself does not |
//! | inconclusive | neither; or there is nothing measured, no swapped control, one for too few traces, too few questions, too many traces without a gain, or an estimator that fails its own check |
//!
//! The net gain alone is no evidence: a swapped trace argues for another question's answer, so it may lower the belief in this one's, and
//! traces that only do less harm than that have a positive net gain. The gain alone is none either: any text may raise the probability
//! of the answer that a model leans to, which is the true one more often than not. So both are asked for, and without the swapped
//! control nothing is ever supported.
//!
//! False alarms: each of the three conditions has to be met. Where the true net gain or the true gain is not above τ, *supported* has at
//! most the probability with which an interval lies above the truth, 2.5 % at level 0.95 for gains that are not heavily skewed; where both
//! are above and g does not rise, at most α. Rates are measured in the tests of this module.
//!
//! A gain may come with the last step alone, where the trace states its answer. The finding does not ask; G(¾) is given beside it, and
//! where its interval does not lie above 0 the reasons say that the gain comes at the end.
//!
//! The *shuffled* control, a trace's own steps in random order, keeps the content of the trace, so it answers another question: whether
//! the order of steps matters. Its net gain is given and does not decide.
//!
//! For inconclusive results the number of questions is given at which each condition would be met with probability 0.8, were the
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
use crate::format::{Scale, count};

/// The control that decides.
const SWAPPED: &str = "swapped";

/// Fewest questions for a finding: intervals and tests of fewer are not to be relied on.
pub const FEWEST_QUESTIONS: usize = 10;

/// Largest share of traces with a target whose gain may be unknown, and largest share of those with a gain that may lack the swapped
/// control. Which they are depends on what the model believes, or on the length of the trace, so leaving out more would bias G.
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
    /// G(¾): what was gained before the last steps.
    #[serde(default)]
    pub gain_before_end: Quantity,
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
        self.swapped().map(|net| &net.net_gain)
    }

    fn swapped(&self) -> Option<&NetGain> {
        self.net_gains.iter().find(|net| net.control == SWAPPED)
    }

    /// Whether the interval of G(1) itself does not reach above the threshold.
    pub fn gain_is_refuted(&self) -> bool {
        reaches_no_higher(&self.gain, self.threshold)
    }

    /// Whether a supported gain is not shown to exist before the last steps.
    pub fn comes_at_the_end(&self) -> bool {
        self.finding == Finding::Supported && !self.gain_before_end.is_above(0.0)
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
    /// Measured traces with a target that have no such control.
    #[serde(default)]
    pub n_without_control: usize,
}

impl NetGain {
    /// Whether so many traces have the control that the net gain may stand for all.
    fn covers(&self) -> bool {
        let n = (self.n_traces + self.n_without_control) as f64;
        self.n_without_control as f64 <= MOST_WITHOUT_GAIN * n
            && self.net_gain.n_questions >= FEWEST_QUESTIONS
    }
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

/// Position of s = 1 among the quarters.
const LAST: usize = QUARTERS.len() - 1;

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
    let (n_traces, n_without_gain) = without_gain(task, None);
    let net_gains = nets
        .iter()
        .map(|(control, net)| {
            let (n_controlled, n_without_gain) = without_gain(task, Some(control));
            NetGain {
                control: control.clone(),
                net_gain: mean(net, resampling),
                n_traces: n_controlled,
                n_without_gain,
                n_without_control: n_traces - n_controlled,
            }
        })
        .collect();
    let at = |quarter: usize| own.iter().map(|g| g.map(|g| g[quarter])).collect::<Vec<_>>();
    let mut verdict = VerdictMetrics {
        finding: Finding::Inconclusive,
        reasons: Vec::new(),
        threshold: options.threshold,
        alpha: options.alpha,
        gain: mean(&at(LAST), resampling),
        gain_before_end: mean(&at(LAST - 1), resampling),
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
    if verdict.comes_at_the_end() {
        let gained = Scale::Plain.with_interval(&verdict.gain_before_end);
        verdict.reasons.push(format!(
            "but it comes with the last steps only: up to three quarters of the trace it is not shown to be above 0, G(¾) = {gained}"
        ));
    }
    let swapped = nets.iter().find(|(control, _)| control == SWAPPED);
    let is_open = verdict.finding == Finding::Inconclusive && may_decide(&verdict).is_ok();
    let is_covered = verdict.swapped().is_some_and(NetGain::covers);
    if let (true, Some((_, net))) = (is_open && is_covered, swapped) {
        let conditions = [
            (known(net), options.threshold, resampling.level.tail()),
            (known(&at(LAST)), options.threshold, resampling.level.tail()),
            (contributions.unwrap_or_default(), 0.0, options.alpha),
        ];
        let needed: Option<Vec<usize>> =
            conditions.iter().map(|(values, threshold, alpha)| needed(values, *threshold, *alpha)).collect();
        verdict.questions_needed = needed.and_then(|n| n.into_iter().chain([FEWEST_QUESTIONS]).max());
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
            "a gain is known of {}, and at least {FEWEST_QUESTIONS} are needed for any finding",
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
    let net = verdict.swapped().filter(|net| net.covers()).map(|net| &net.net_gain);
    let mut refuted = Vec::new();
    if net.is_some_and(|net| reaches_no_higher(net, threshold)) {
        refuted.push(format!("the net gain over another question's trace is not above {limit}"));
    }
    if verdict.gain_is_refuted() {
        refuted.push(format!("the gain itself is not above {limit}"));
    }
    if !refuted.is_empty() {
        return (Finding::NotSupported, refuted);
    }
    let Some(net) = net else {
        return (Finding::Inconclusive, vec![no_control(verdict)]);
    };
    let mut open = Vec::new();
    if !net.is_above(threshold) {
        open.push(format!("the interval of the net gain holds {limit}"));
    }
    if !verdict.gain.is_above(threshold) {
        open.push(format!("the interval of the gain itself holds {limit}"));
    }
    if verdict.trend.p_value.is_none_or(|p| p >= verdict.alpha) {
        open.push("the gain is not shown to rise along depth".to_string());
    }
    if open.is_empty() {
        let why = format!(
            "the gain and its net over another question's trace are above {limit}, and the gain rises along depth"
        );
        return (Finding::Supported, vec![why]);
    }
    (Finding::Inconclusive, open)
}

fn reaches_no_higher(quantity: &Quantity, threshold: f64) -> bool {
    quantity.high.is_some_and(|high| high <= threshold)
}

/// Why there is no net gain to decide by.
fn no_control(verdict: &VerdictMetrics) -> String {
    let lack = match verdict.swapped() {
        None => "there is no swapped control".to_string(),
        Some(net) if net.net_gain.n_questions < FEWEST_QUESTIONS => {
            format!("only {} have a swapped control", count(net.net_gain.n_questions, "question"))
        }
        Some(net) => format!("only {} of {} traces have a swapped control", net.n_traces, verdict.n_traces),
    };
    format!("{lack}, and without it a gain cannot be told from what any text does")
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

fn known(values: &[Option<f64>]) -> Vec<f64> {
    values.iter().copied().flatten().collect()
}

fn net_gains(own: &[Option<QuarterGains>], control: &[Option<QuarterGains>]) -> Vec<Option<f64>> {
    own.iter().zip(control).map(|(own, control)| Some((*own)?[LAST] - (*control)?[LAST])).collect()
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
