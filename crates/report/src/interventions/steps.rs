//! How much steps matter by rollouts.
//!
//! r_k is the divergence of what the model answers from before step k and from after it. Its size follows how much was left to decide, the
//! headroom H(p_{k−1}); r_k/H(p_{k−1}) is given over steps with a headroom of at least [`LEAST_HEADROOM`]. Two sets of draws from one
//! distribution differ as well: the share of steps above the noise floor is to be held against α.

use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use super::{Entry, ROLLOUT, TaskRows};
use crate::metrics::Quantity;

/// Headroom in nats below which a ratio to it says nothing.
pub(crate) const LEAST_HEADROOM: f64 = 0.1;

/// Tolerance on equal distances.
const ROUNDING: f64 = 1e-9;

/// The importance of a task's steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepImportance {
    /// Empty for all draws; `counterfactual` for those whose step says something else.
    pub variant: String,
    /// Steps with draws on both sides.
    pub n_steps: usize,
    /// Steps without, as where no draw says anything else.
    pub n_without: usize,
    /// Mean r_k, total variation.
    pub tv: Quantity,
    /// Mean smoothed KL, nats.
    pub kl_nats: Quantity,
    /// Mean r_k / H(p_{k−1}), per nat.
    pub per_headroom: Quantity,
    /// Share of steps whose r_k exceeds the noise floor.
    pub above_floor: Quantity,
    /// The share that chance gives at most.
    pub by_chance: f64,
    /// Mean draws before and after a step.
    pub mean_draws: Option<f64>,
}

/// Whether the step's importance is more than chance.
pub(crate) fn is_above_floor(entry: &Entry<'_>) -> Option<bool> {
    Some(entry.row.tv? > entry.row.noise_floor? + ROUNDING)
}

/// Of all draws, then of those that say something else; nothing without rollouts.
pub(super) fn of(rows: &TaskRows<'_>, alpha: f64, resampling: &Resampling) -> Vec<StepImportance> {
    let one = |variant: &str| {
        let entries: Vec<&Entry<'_>> = rows.of("resample", variant, ROLLOUT).collect();
        let known: Vec<&Entry<'_>> =
            entries.iter().copied().filter(|entry| entry.row.noise_floor.is_some()).collect();
        let values = |get: fn(&Entry<'_>) -> Option<f64>| -> Vec<(usize, f64)> {
            known.iter().filter_map(|entry| Some((entry.question, get(entry)?))).collect()
        };
        let above: Vec<(usize, bool)> =
            known.iter().filter_map(|entry| Some((entry.question, is_above_floor(entry)?))).collect();
        let n_draws: u32 = known.iter().filter_map(|entry| entry.row.n_draws).sum();
        (!entries.is_empty()).then(|| StepImportance {
            variant: variant.to_string(),
            n_steps: known.len(),
            n_without: entries.len() - known.len(),
            tv: rows.mean(&values(|entry| entry.row.tv), resampling).within(0.0, 1.0),
            kl_nats: rows.mean(&values(|entry| entry.row.kl_nats), resampling).within(0.0, f64::INFINITY),
            per_headroom: rows.mean(&values(per_headroom), resampling).within(0.0, f64::INFINITY),
            above_floor: rows.share(&above, resampling),
            by_chance: alpha,
            mean_draws: (!known.is_empty()).then(|| f64::from(n_draws) / known.len() as f64),
        })
    };
    ["", "counterfactual"].into_iter().filter_map(one).collect()
}

fn per_headroom(entry: &Entry<'_>) -> Option<f64> {
    let headroom = entry.row.headroom.filter(|&headroom| headroom >= LEAST_HEADROOM)?;
    Some(entry.row.tv? / headroom)
}
