//! What each kind of change did, by variant and reading.

use std::collections::{BTreeMap, BTreeSet};

use entrace_measure::intervention::Kind;
use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use super::{Entry, TaskRows, Tested, calibrated};
use crate::metrics::Quantity;

/// The effect of one kind of change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindEffect {
    /// The kind.
    pub kind: String,
    /// Which of several changes of the kind; empty where there is one.
    pub variant: String,
    /// `forced` or `rollout`.
    pub reading: String,
    /// Whether the model continued text that it did not write.
    pub off_policy: bool,
    /// Changes that were made and read.
    pub n_made: usize,
    /// Those that were not, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, usize>,
    /// q(target) − p(target).
    pub target_change: Tested,
    /// Change of usable information, nats.
    pub usable_change: Quantity,
    /// Total variation.
    pub tv: Quantity,
    /// Smoothed KL(p‖q), nats.
    pub kl_nats: Quantity,
    /// Share of changes after which another answer leads.
    pub leader_changes: Quantity,
}

/// All kinds that have rows, in the order in which kinds are listed.
pub(super) fn of(rows: &TaskRows<'_>, resampling: &Resampling) -> Vec<KindEffect> {
    let keys: BTreeSet<(&str, Option<Kind>, &str)> = rows
        .entries
        .iter()
        .filter_map(|entry| {
            let kind = Kind::from_name(&entry.row.kind)?;
            Some((&*entry.row.reading, Some(kind), &*entry.row.variant))
        })
        .collect();
    let effect = |(reading, kind, variant): (&str, Option<Kind>, &str)| {
        let kind = kind?.name();
        Some(one(rows, kind, variant, reading, resampling))
    };
    keys.into_iter().filter_map(effect).collect()
}

fn one(rows: &TaskRows<'_>, kind: &str, variant: &str, reading: &str, resampling: &Resampling) -> KindEffect {
    let entries: Vec<&Entry<'_>> = rows.of(kind, variant, reading).collect();
    let made: Vec<&Entry<'_>> = entries.iter().copied().filter(|entry| entry.row.tv.is_some()).collect();
    let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.row.tv.is_none()) {
        let reason = entry.row.reason.as_deref().unwrap_or("no reason was recorded");
        *left_out.entry(reason.to_string()).or_default() += 1;
    }
    let values = |get: fn(&Entry<'_>) -> Option<f64>| -> Vec<(usize, f64)> {
        made.iter().filter_map(|entry| Some((entry.question, get(entry)?))).collect()
    };
    let leaders: Vec<(usize, bool)> =
        made.iter().filter_map(|entry| Some((entry.question, entry.row.leader_changes?))).collect();
    KindEffect {
        kind: kind.to_string(),
        variant: variant.to_string(),
        reading: reading.to_string(),
        off_policy: entries.iter().any(|entry| entry.row.off_policy),
        n_made: made.len(),
        left_out,
        target_change: rows.tested(&values(|entry| entry.row.target_change), resampling).within(-1.0, 1.0),
        usable_change: rows.mean(&calibrated::changes(rows, &made, resampling.seed), resampling),
        tv: rows.mean(&values(|entry| entry.row.tv), resampling).within(0.0, 1.0),
        kl_nats: rows.mean(&values(|entry| entry.row.kl_nats), resampling).within(0.0, f64::INFINITY),
        leader_changes: rows.share(&leaders, resampling),
    }
}
