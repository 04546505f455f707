//! How well signals tell correct from wrong traces.
//!
//! Every signal of `entrace_measure::signal` that the recorded tables allow gives a score per trace, larger = more confident; the others
//! are listed with the reason why they are absent. Rows are measured traces with a known verdict, clusters are questions. Per signal:
//!
//! * AUROC with Obuchowski's interval for clustered rows, and DeLong's where every question has one trace (the same number then); a
//!   two-sided p-value against 0.5, adjusted by Holm over the signals of the task that have one. An AUROC surely below 0.5 is a finding
//!   too: the signal points the other way here. Where fewer than ten questions have traces of one verdict, there is neither.
//! * average precision; AURC with its excess over the oracle's; prediction-rejection ratio, with 1 for correct as the quality.
//! * for scores that claim to be probabilities of being right: Brier score with its parts, and expected calibration error in ten bins of
//!   equal mass.
//! * an isotonic and a logistic (Platt) map from score to probability, fitted on one half of the questions and judged on the other.
//!
//! The combined score is a ridge logistic regression over the cheap signals, those that need nothing beyond the trace and its answer
//! curve; rows are judged by models that saw neither their question for the weights nor for the penalty. Its area is that of ranks within
//! folds, and so is the baseline's (`entrace_stats::cross_validation`). Its gain is measured against
//! −H(1), a baseline named in advance, not against the best signal, which is picked on these very rows. At most
//! [`MOST_COMBINED`] questions take part, drawn by the seed.
//!
//! A task whose traces are all correct or all wrong has no areas; everything that is undefined says why.
//! Sources: `entrace_stats` (`auroc`, `ranking`, `calibration`, `cross_validation`), `entrace_measure::signal`.

mod combined;

use entrace_measure::signal::{Absent, Direction, Input, SIGNALS, Signal};
use entrace_record::rows::Outcome;
use entrace_stats::bootstrap::Resampling;
use entrace_stats::calibration::binning::Binning;
use entrace_stats::calibration::isotonic::Isotonic;
use entrace_stats::calibration::platt::Platt;
use entrace_stats::calibration::{brier, reliability};
use entrace_stats::cross_validation::assign_folds;
use entrace_stats::{Clusters, Level, auroc, multiplicity, ranking};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use combined::{CombinedMetrics, MOST_COMBINED};

use super::quantity::Quantity;
use super::separability::area;
use crate::facts::{TaskFacts, TraceFacts};

/// Bins of the calibration error.
const BINS: usize = 10;

/// Levels of representation in the order in which they are shown, with what they are levels of.
pub(crate) const LEVELS: [(&str, &str); 8] = [
    ("token", "Tokens of the trace"),
    ("step", "Steps of the trace"),
    ("answer", "Answer distributions along the trace"),
    ("semantic", "Meanings of answers"),
    ("layer", "Layers of the model"),
    ("hidden", "Hidden states of the model"),
    ("attention", "Attention of the model"),
    ("sequence", "Whole completions"),
];

/// Scores that claim to be the probability of being right; other scores in [0, 1] are shares of something else.
const PROBABILITIES: [&str; 4] = ["top_answer_prob", "self_consistency", "verbalised_confidence", "p_true"];

/// Prediction of correctness for one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictMetrics {
    /// Traces with a known verdict.
    pub n_traces: usize,
    /// Those that are correct.
    pub n_correct: usize,
    /// Their questions.
    pub n_questions: usize,
    /// Every signal of the registry, in its order.
    pub signals: Vec<SignalMetrics>,
    /// The cheap signals together.
    pub combined: CombinedMetrics,
    /// Why nothing is predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl PredictMetrics {
    /// Signals with an AUROC, the largest first, ties in the order of the registry.
    pub fn ranked(&self) -> Vec<&SignalMetrics> {
        let mut ranked: Vec<&SignalMetrics> =
            self.signals.iter().filter(|s| s.auroc.value.is_some()).collect();
        ranked.sort_by(|a, b| b.auroc.value.unwrap_or(0.0).total_cmp(&a.auroc.value.unwrap_or(0.0)));
        ranked
    }
}

/// What one signal says about correctness.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SignalMetrics {
    /// Name in the registry.
    pub signal: String,
    /// One of `token`, `step`, `answer`, `semantic`, `layer`, `hidden`, `attention` and `sequence`.
    pub level: String,
    /// Where it is from.
    pub source: String,
    /// Whether the score is the negative of the quantity that gives the name.
    pub negated: bool,
    /// Traces that have a score.
    pub n_traces: usize,
    /// Area under the ROC curve; its reason says why it is missing.
    pub auroc: Quantity,
    /// DeLong's interval; null where questions have several traces.
    pub delong: Option<(f64, f64)>,
    /// Two-sided p-value of an AUROC of 0.5; null without a standard error.
    pub p_value: Option<f64>,
    /// The same after Holm's adjustment over the signals of the task.
    pub holm_p: Option<f64>,
    /// Average precision; chance is the share of correct traces.
    pub average_precision: Option<f64>,
    /// Area under the risk-coverage curve, 0 at best.
    pub aurc: Option<f64>,
    /// That area minus the oracle's.
    pub aurc_excess: Option<f64>,
    /// Prediction-rejection ratio: 1 is the oracle, 0 a random order.
    pub prr: Option<f64>,
    /// The score taken as a probability; null for scores that claim to be none.
    pub probability: Option<Calibration>,
    /// After an isotonic map, on the half of the questions that it was not fitted on.
    pub isotonic: Option<Calibration>,
    /// After a logistic map, likewise.
    pub platt: Option<Calibration>,
    /// Why the signal has no score on any trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

/// How far probabilities are from what happens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Traces judged.
    pub n_traces: usize,
    /// Brier score, 0 at best.
    pub brier: f64,
    /// Distance of probabilities from the rates of their bins.
    pub reliability: f64,
    /// Distance of those rates from the base rate.
    pub resolution: f64,
    /// Variance of correctness: the Brier score of the base rate.
    pub uncertainty: f64,
    /// Expected calibration error.
    pub ece: f64,
}

impl Calibration {
    fn of(probs: &[f64], labels: &[bool]) -> Option<Self> {
        let binning = Binning::EqualMass(BINS);
        let parts = brier::decompose(probs, labels, binning).ok()?;
        Some(Self {
            n_traces: labels.len(),
            brier: parts.brier,
            reliability: parts.reliability,
            resolution: parts.resolution,
            uncertainty: parts.uncertainty,
            ece: reliability::expected_calibration_error(probs, labels, binning).ok()?,
        })
    }
}

pub(super) fn of(task: &TaskFacts, resampling: &Resampling) -> PredictMetrics {
    let rows: Vec<Row<'_>> = task
        .traces
        .iter()
        .filter(|trace| trace.outcome == Outcome::Measured)
        .filter_map(|trace| Some(Row { trace, correct: trace.correct? }))
        .collect();
    let n_correct = rows.iter().filter(|row| row.correct).count();
    let mut n_questions: Vec<usize> = rows.iter().map(|row| row.trace.question).collect();
    n_questions.dedup();
    let mut signals: Vec<SignalMetrics> = (0..SIGNALS.len())
        .into_par_iter()
        .map(|number| judge(&SIGNALS[number], &scored(&rows, number), resampling))
        .collect();
    adjust(&mut signals);
    let reason = match (rows.len(), n_correct) {
        (0, _) => Some("no measured trace has a known verdict".to_string()),
        (_, 0) => Some("all traces are wrong".to_string()),
        (n, correct) if n == correct => Some("all traces are correct".to_string()),
        _ => None,
    };
    PredictMetrics {
        n_traces: rows.len(),
        n_correct,
        n_questions: n_questions.len(),
        signals,
        combined: combined::of(&rows, resampling),
        reason,
    }
}

/// A trace with a known verdict.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    trace: &'a TraceFacts,
    correct: bool,
}

impl Row<'_> {
    fn score(&self, signal: usize) -> Result<f64, Option<Absent>> {
        self.trace
            .scores
            .get(signal)
            .map_err(Some)
            .and_then(|s| if s.is_finite() { Ok(s) } else { Err(None) })
    }
}

/// The rows that a signal scores.
#[derive(Debug, Default)]
struct Scored {
    scores: Vec<f64>,
    labels: Vec<bool>,
    questions: Vec<usize>,
    /// Why the first row without a score has none.
    absent: Option<Absent>,
}

fn scored(rows: &[Row<'_>], signal: usize) -> Scored {
    let mut scored = Scored::default();
    for row in rows {
        match row.score(signal) {
            Ok(score) => {
                scored.scores.push(score);
                scored.labels.push(row.correct);
                scored.questions.push(row.trace.question);
            }
            Err(absent) => scored.absent = scored.absent.or(absent),
        }
    }
    scored
}

fn judge(signal: &Signal, rows: &Scored, resampling: &Resampling) -> SignalMetrics {
    let named = SignalMetrics {
        signal: signal.name.to_string(),
        level: signal.level.name().to_string(),
        source: signal.source.to_string(),
        negated: signal.direction == Direction::Negated,
        n_traces: rows.scores.len(),
        ..SignalMetrics::default()
    };
    if rows.scores.is_empty() {
        let why = rows.absent.map_or_else(|| "no trace to score".to_string(), |absent| absent.to_string());
        return SignalMetrics { auroc: Quantity::undefined(&why), absent: Some(why), ..named };
    }
    let (scores, labels) = (rows.scores.as_slice(), rows.labels.as_slice());
    let clusters = Clusters::of(&rows.questions);
    let (auroc, p_value) = area(scores, labels, &clusters, resampling.level);
    let losses: Vec<f64> = labels.iter().map(|&correct| if correct { 0.0 } else { 1.0 }).collect();
    let quality: Vec<f64> = losses.iter().map(|loss| 1.0 - loss).collect();
    let risk = ranking::aurc(scores, &losses).ok();
    let (isotonic, platt) = maps(scores, labels, &clusters, resampling.seed).unzip();
    SignalMetrics {
        delong: delong(&auroc, scores, labels, &clusters, resampling.level),
        auroc,
        p_value,
        average_precision: ranking::average_precision(scores, labels).ok(),
        aurc: risk.map(|risk| risk.aurc),
        aurc_excess: risk.map(|risk| risk.excess),
        prr: ranking::prediction_rejection_ratio(scores, &quality, 1.0).ok(),
        probability: PROBABILITIES.contains(&signal.name).then(|| Calibration::of(scores, labels)).flatten(),
        isotonic: isotonic.flatten(),
        platt: platt.flatten(),
        ..named
    }
}

/// DeLong's interval where rows are independent and the area has one at all.
fn delong(
    area: &Quantity,
    scores: &[f64],
    labels: &[bool],
    clusters: &Clusters,
    level: Level,
) -> Option<(f64, f64)> {
    let independent = clusters.count() == clusters.n_rows() && area.low.is_some();
    let estimate = independent.then(|| auroc::delong(scores, labels, level).ok()).flatten()?;
    Some((estimate.interval.low, estimate.interval.high))
}

/// Both maps, fitted on half of the questions and judged on the other; `None` unless both halves hold both classes.
fn maps(
    scores: &[f64],
    labels: &[bool],
    clusters: &Clusters,
    seed: u64,
) -> Option<(Option<Calibration>, Option<Calibration>)> {
    let half_of_question = assign_folds(clusters.count(), 2, seed).ok()?;
    let half = |number: usize| -> (Vec<f64>, Vec<bool>) {
        let rows = (0..labels.len()).filter(|&row| half_of_question[clusters.ids()[row]] == number);
        rows.map(|row| (scores[row], labels[row])).unzip()
    };
    let ((fit_scores, fit_labels), (scores, labels)) = (half(0), half(1));
    let both = |labels: &[bool]| labels.contains(&true) && labels.contains(&false);
    if !both(&fit_labels) || !both(&labels) {
        return None;
    }
    let judged = |map: &dyn Fn(f64) -> f64| {
        let probs: Vec<f64> = scores.iter().map(|&score| map(score).clamp(0.0, 1.0)).collect();
        Calibration::of(&probs, &labels)
    };
    let isotonic = Isotonic::calibrate(&fit_scores, &fit_labels).ok();
    let platt = Platt::fit(&fit_scores, &fit_labels).ok();
    Some((
        isotonic.and_then(|map| judged(&|score| map.predict(score))),
        platt.and_then(|map| judged(&|score| map.predict(score))),
    ))
}

/// Holm's adjustment over the signals that have a p-value.
fn adjust(signals: &mut [SignalMetrics]) {
    let p_values: Vec<f64> = signals.iter().filter_map(|signal| signal.p_value).collect();
    let mut adjusted = multiplicity::holm(&p_values).unwrap_or_default().into_iter();
    for signal in signals.iter_mut().filter(|signal| signal.p_value.is_some()) {
        signal.holm_p = adjusted.next();
    }
}

/// Whether a signal needs nothing beyond the trace and its answer curve.
fn is_cheap(signal: &Signal) -> bool {
    signal.needs.iter().all(|need| !matches!(need, Input::Agreement | Input::Asked(_)))
}

#[cfg(test)]
mod tests;
