//! The cheap signals together: a ridge logistic regression, judged by nested cross-validation over questions.
//!
//! A signal takes part where at least 95 % of the traces have it and its scores are not all equal; traces that lack one of those
//! are left out. The penalty is chosen among λ = 1, 10, 100, 1000 on inner folds. Scores of different folds come from different models
//! and are not compared: areas, the baseline's as well, are those of ranks within folds. Fewer than [`FEWEST_OF_A_CLASS`] correct or wrong
//! traces are too few to fit anything.

use entrace_measure::signal::SIGNALS;
use entrace_stats::bootstrap::Resampling;
use entrace_stats::cross_validation::{NestedFolds, assign_folds, out_of_fold};
use entrace_stats::logistic::Features;
use entrace_stats::{Clusters, Undefined};
use serde::{Deserialize, Serialize};

use super::{Calibration, Row, is_cheap};
use crate::metrics::quantity::Quantity;
use crate::metrics::separability::too_few;

/// Most questions that take part: more would cost seconds and move no second decimal.
pub const MOST_COMBINED: usize = 4_000;

/// Fewest traces of either verdict.
pub(super) const FEWEST_OF_A_CLASS: usize = 20;

/// Share of traces that must have a signal.
const COVERAGE: f64 = 0.95;

/// Penalties to choose from.
const LAMBDAS: [f64; 4] = [1.0, 10.0, 100.0, 1_000.0];

/// The signal to compare with.
const BASELINE: &str = "final_answer_entropy";

/// What the signals say together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CombinedMetrics {
    /// Signals that take part.
    pub signals: Vec<String>,
    /// AUROC of the out-of-fold scores within folds.
    pub auroc: Quantity,
    /// The signal it is compared with.
    pub baseline: String,
    /// AUROC minus that of the baseline on the same traces within the same folds.
    pub difference: Quantity,
    /// Two-sided p-value of no difference.
    pub p_value: Option<f64>,
    /// The out-of-fold probabilities.
    pub calibration: Option<Calibration>,
    /// Penalty chosen for each outer fold.
    pub lambdas: Vec<f64>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

pub(super) fn of(rows: &[Row<'_>], resampling: &Resampling) -> CombinedMetrics {
    let empty = CombinedMetrics { baseline: BASELINE.to_string(), ..CombinedMetrics::default() };
    match fit(rows, resampling, empty.clone()) {
        Ok(combined) => combined,
        Err(reason) => CombinedMetrics { auroc: Quantity::undefined(&reason), reason: Some(reason), ..empty },
    }
}

fn fit(rows: &[Row<'_>], resampling: &Resampling, empty: CombinedMetrics) -> Result<CombinedMetrics, String> {
    let why = |undefined: Undefined| undefined.to_string();
    let rows = drawn(rows, resampling.seed).map_err(why)?;
    let chosen: Vec<usize> = (0..SIGNALS.len()).filter(|&signal| takes_part(&rows, signal)).collect();
    if chosen.len() < 2 {
        return Err("fewer than two signals are recorded on almost all traces".to_string());
    }
    let complete = |row: &&Row<'_>| chosen.iter().all(|&signal| row.score(signal).is_ok());
    let rows: Vec<Row<'_>> = rows.iter().filter(complete).copied().collect();
    let labels: Vec<bool> = rows.iter().map(|row| row.correct).collect();
    let n_correct = labels.iter().filter(|&&correct| correct).count();
    if n_correct.min(labels.len() - n_correct) < FEWEST_OF_A_CLASS {
        return Err(format!("fewer than {FEWEST_OF_A_CLASS} traces are correct, or wrong"));
    }
    let clusters = Clusters::of(&rows.iter().map(|row| row.trace.question).collect::<Vec<_>>());
    let values =
        rows.iter().flat_map(|row| chosen.iter().map(|&signal| row.score(signal).unwrap_or_default()));
    let features = Features::new(chosen.len(), values.collect()).map_err(why)?;
    let folds = NestedFolds { seed: resampling.seed, ..NestedFolds::default() };
    let judged = out_of_fold(&features, &labels, &clusters, &LAMBDAS, &folds).map_err(why)?;
    let test = judged.against_chance(&labels, &clusters, resampling.level).map_err(too_few)?;
    let combined = CombinedMetrics {
        signals: chosen.iter().map(|&signal| SIGNALS[signal].name.to_string()).collect(),
        auroc: Quantity::of(None, Ok(test.estimate), clusters.count(), labels.len()),
        calibration: Calibration::of(&judged.probs, &labels),
        lambdas: judged.lambdas.clone(),
        ..empty
    };
    let position = chosen.iter().position(|&signal| SIGNALS[signal].name == BASELINE);
    let Some(position) = position else {
        let difference = Quantity::undefined("the baseline is not recorded, or constant");
        return Ok(CombinedMetrics { difference, ..combined });
    };
    let baseline: Vec<f64> = features.rows().map(|row| row[position]).collect();
    let compared = judged.compare(&baseline, &labels, &clusters, resampling.level);
    Ok(CombinedMetrics {
        p_value: compared.as_ref().ok().and_then(|c| c.p_value),
        difference: Quantity::of(None, compared.map(|c| c.difference), clusters.count(), labels.len()),
        ..combined
    })
}

/// All rows, or those of questions drawn by the seed.
fn drawn<'a>(rows: &[Row<'a>], seed: u64) -> Result<Vec<Row<'a>>, Undefined> {
    let clusters = Clusters::of(&rows.iter().map(|row| row.trace.question).collect::<Vec<_>>());
    if clusters.count() <= MOST_COMBINED {
        return Ok(rows.to_vec());
    }
    let parts = assign_folds(clusters.count(), clusters.count().div_ceil(MOST_COMBINED), seed)?;
    let first = rows.iter().zip(clusters.ids()).filter(|(_, question)| parts[**question] == 0);
    Ok(first.map(|(row, _)| *row).collect())
}

fn takes_part(rows: &[Row<'_>], signal: usize) -> bool {
    let scores: Vec<f64> = rows.iter().filter_map(|row| row.score(signal).ok()).collect();
    let varies = scores.iter().any(|score| (score - scores[0]).abs() > 0.0);
    is_cheap(&SIGNALS[signal]) && varies && scores.len() as f64 >= COVERAGE * rows.len() as f64
}
