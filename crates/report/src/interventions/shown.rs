//! Changed traces that a page shows, chosen by rule.
//!
//! Of each task: the trace with the step that matters most, the one whose steps matter least, and the first others in the record.

use std::collections::BTreeMap;
use std::sync::Arc;

use entrace_record::rows::InterventionRow;

use super::{FORCED, ROLLOUT};
use crate::exemplar::{Choice, Exemplar};

/// What a page shows of changed traces.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// The traces.
    pub(crate) exemplars: Vec<Exemplar>,
    /// All rows.
    pub(crate) rows: Vec<InterventionRow>,
}

type Key = (Arc<str>, Arc<str>, u32);

/// Up to `limit` traces of each task.
pub(crate) fn chosen(rows: &[InterventionRow], limit: usize) -> Vec<Choice> {
    let mut order: Vec<Key> = Vec::new();
    let mut largest: BTreeMap<Key, f64> = BTreeMap::new();
    let by_rollout = rows.iter().any(|row| is_weight(row, ROLLOUT));
    let reading = if by_rollout { ROLLOUT } else { FORCED };
    for row in rows {
        let key = (row.task.clone(), row.question_id.clone(), row.sample);
        if order.last() != Some(&key) && !order.contains(&key) {
            order.push(key.clone());
        }
        if let Some(tv) = row.tv.filter(|_| is_weight(row, reading)) {
            let most = largest.entry(key).or_insert(tv);
            *most = most.max(tv);
        }
    }
    let mut choices: Vec<Choice> = Vec::new();
    let mut tasks: Vec<Arc<str>> = order.iter().map(|key| key.0.clone()).collect();
    tasks.dedup();
    for task in tasks {
        let own: Vec<&Key> = order.iter().filter(|key| key.0 == task).collect();
        let known = || own.iter().filter_map(|&key| Some((key, *largest.get(key)?)));
        let most = known().fold(None, |best: Option<(&Key, f64)>, next| match best {
            Some(best) if best.1 >= next.1 => Some(best),
            _ => Some(next),
        });
        let least = known().fold(None, |best: Option<(&Key, f64)>, next| match best {
            Some(best) if best.1 <= next.1 => Some(best),
            _ => Some(next),
        });
        let ranked = most.map(|found| (found.0, "The step that matters most"));
        let ranked = ranked.into_iter().chain(least.map(|found| (found.0, "Steps that matter least")));
        let all = ranked.chain(own.iter().map(|&key| (key, "First in the record")));
        let mut taken: Vec<&Key> = Vec::new();
        for (key, why) in all {
            if taken.len() < limit && !taken.contains(&key) {
                taken.push(key);
                let (task, question_id, sample) = key.clone();
                choices.push(Choice { task, question_id, sample, why });
            }
        }
    }
    choices
}

/// Whether a row says how much a step matters.
fn is_weight(row: &InterventionRow, reading: &str) -> bool {
    let kind = if *reading == *ROLLOUT { "resample" } else { "delete" };
    *row.kind == *kind && row.variant.is_empty() && *row.reading == *reading
}
