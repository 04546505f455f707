//! Where steps matter: by depth, by headroom, and by what they say.
//!
//! A step states the answer where its text holds the answer that the trace ends with; else it calculates where it has an equals sign and a
//! number, else it has numbers, else words alone.

use std::collections::HashMap;

use entrace_measure::{Choices, Statement, number};
use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use super::steps::is_above_floor;
use super::{Entry, FORCED, ROLLOUT, TaskRows};
use crate::metrics::Quantity;

/// Steps of one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// `depth`, `headroom` or `step`.
    pub by: String,
    /// The group.
    pub group: String,
    /// Steps in it.
    pub n_steps: usize,
    /// Mean r_k by rollouts, total variation.
    pub importance: Quantity,
    /// Share of steps above the noise floor.
    pub above_floor: Quantity,
    /// Mean total variation where the step is left out, forced.
    pub deleted: Quantity,
    /// Mean total variation where it is made wrong, forced.
    pub corrupted: Quantity,
}

/// The groups in order, those without steps left out.
pub(super) fn of(rows: &TaskRows<'_>, resampling: &Resampling) -> Vec<Place> {
    let headrooms: HashMap<(usize, u32), f64> = rows
        .of("resample", "", ROLLOUT)
        .filter_map(|entry| Some(((entry.trace, entry.row.step), entry.row.headroom?)))
        .collect();
    let said: HashMap<(usize, u32), &'static str> = ["resample", "delete"]
        .into_iter()
        .flat_map(|kind| rows.entries.iter().filter(move |entry| *entry.row.kind == *kind))
        .filter_map(|entry| Some(((entry.trace, entry.row.step), says(rows, entry)?)))
        .collect();
    let by_depth = (0..5).map(|fifth| {
        let name = format!("{}–{} %", 20 * fifth, 20 * (fifth + 1));
        ("depth", name, fifth)
    });
    let mut places: Vec<Place> = by_depth
        .map(|(by, name, fifth)| one(rows, by, &name, &|entry| fifth_of(entry) == fifth, resampling))
        .collect();
    let bounds = [0.0, 0.1, 0.5, 1.0, f64::INFINITY];
    for pair in bounds.windows(2) {
        let name = match pair[1].is_finite() {
            true => format!("{}–{} nats", pair[0], pair[1]),
            false => format!("{} nats or more", pair[0]),
        };
        let within = |entry: &Entry<'_>| {
            let headroom = headrooms.get(&(entry.trace, entry.row.step));
            headroom.is_some_and(|&headroom| pair[0] <= headroom && headroom < pair[1])
        };
        places.push(one(rows, "headroom", &name, &within, resampling));
    }
    for name in [STATES, CALCULATES, NUMBERS, WORDS] {
        let says = |entry: &Entry<'_>| said.get(&(entry.trace, entry.row.step)) == Some(&name);
        places.push(one(rows, "step", name, &says, resampling));
    }
    places.retain(|place| place.n_steps > 0);
    places
}

fn fifth_of(entry: &Entry<'_>) -> u32 {
    let row = entry.row;
    (5 * row.step.saturating_sub(1) / row.n_steps.max(1)).min(4)
}

fn one(
    rows: &TaskRows<'_>,
    by: &str,
    group: &str,
    is_in: &dyn Fn(&Entry<'_>) -> bool,
    resampling: &Resampling,
) -> Place {
    let of = |kind: &str, reading: &str| -> Vec<&Entry<'_>> {
        rows.of(kind, "", reading).filter(|entry| entry.row.tv.is_some() && is_in(entry)).collect()
    };
    let tv = |entries: &[&Entry<'_>]| -> Vec<(usize, f64)> {
        entries.iter().filter_map(|entry| Some((entry.question, entry.row.tv?))).collect()
    };
    let (drawn, deleted) = (of("resample", ROLLOUT), of("delete", FORCED));
    let above: Vec<(usize, bool)> =
        drawn.iter().filter_map(|entry| Some((entry.question, is_above_floor(entry)?))).collect();
    Place {
        by: by.to_string(),
        group: group.to_string(),
        n_steps: drawn.len().max(deleted.len()),
        importance: rows.mean(&tv(&drawn), resampling).within(0.0, 1.0),
        above_floor: rows.share(&above, resampling),
        deleted: rows.mean(&tv(&deleted), resampling).within(0.0, 1.0),
        corrupted: rows.mean(&tv(&of("corrupt", FORCED)), resampling).within(0.0, 1.0),
    }
}

const STATES: &str = "states the answer";
const CALCULATES: &str = "calculates";
const NUMBERS: &str = "has numbers";
const WORDS: &str = "words alone";

/// What a step says.
fn says(rows: &TaskRows<'_>, entry: &Entry<'_>) -> Option<&'static str> {
    let text = entry.row.original.as_deref()?;
    let trace = rows.traces[entry.trace].row;
    let choices = trace.and_then(|trace| read_choices(trace.choices.as_deref()?));
    let statement = trace.and_then(|trace| Statement::of(trace.answer.as_deref()?, choices.as_ref()));
    let has_numbers = !number::numerals(text).is_empty();
    Some(match statement {
        Some(statement) if !statement.find(text).is_empty() => STATES,
        _ if has_numbers && text.contains('=') => CALCULATES,
        _ if has_numbers => NUMBERS,
        _ => WORDS,
    })
}

fn read_choices(json: &str) -> Option<Choices> {
    crate::facts::read_choices(json)
}
