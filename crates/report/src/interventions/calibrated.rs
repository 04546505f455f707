//! ΔI, what a change does to usable information.
//!
//! f = w T_τ p + (1 − w) u is fitted by maximum likelihood of the targets to the unchanged beliefs of *other questions* (five folds), with T_τ p
//! the belief at temperature τ and u even over the options, or for open answers the share of other questions with the same target. ΔI of a
//! change is ln f(target) after it less ln f(target) before it, in nats: raw Δ ln p charges for the certainty of the readout, which an edit
//! changes as well.

use std::collections::HashMap;

use entrace_measure::readout::{Atoms, FoundAnswer, TEMPERATURES, UNTEMPERED};
use entrace_record::rows::InterventionRow;
use entrace_stats::cross_validation::assign_folds;
use entrace_stats::mixture::{self, Expert};

use super::{Entry, FORCED, ROLLOUT, TaskRows, UNCHANGED, answers};

/// Folds into which questions are dealt.
const FOLDS: usize = 5;

/// ΔI of rows of one kind and reading, each with its question; nothing where no readout could be fitted.
pub(super) fn changes(rows: &TaskRows<'_>, wanted: &[&Entry<'_>], seed: u64) -> Vec<(usize, f64)> {
    let before = before(rows);
    let pairs: Vec<(&Entry<'_>, &Entry<'_>)> = wanted
        .iter()
        .filter_map(|entry| {
            let is_of_whole = *entry.row.reading == *FORCED || *entry.row.kind == *"truncate";
            let step = if is_of_whole { entry.row.n_steps } else { entry.row.step };
            let base = before.get(&(entry.trace, &*entry.row.reading, step))?;
            (entry.row.target_prob.is_some() && base.row.target_prob.is_some()).then_some((*base, *entry))
        })
        .collect();
    fitted(rows, &pairs, seed).unwrap_or_default()
}

/// The beliefs without a change, by trace, reading and step.
fn before<'a, 'b>(rows: &'a TaskRows<'b>) -> HashMap<(usize, &'a str, u32), &'a Entry<'b>> {
    let is_base = |entry: &&Entry<'_>| {
        *entry.row.kind == *UNCHANGED || (*entry.row.kind == *"truncate" && *entry.row.reading == *ROLLOUT)
    };
    rows.entries
        .iter()
        .filter(is_base)
        .map(|entry| ((entry.trace, &*entry.row.reading, entry.row.step), entry))
        .collect()
}

fn fitted(rows: &TaskRows<'_>, pairs: &[(&Entry<'_>, &Entry<'_>)], seed: u64) -> Option<Vec<(usize, f64)>> {
    let folds = assign_folds(rows.n_questions, FOLDS.min(rows.n_questions), seed).ok()?;
    let all: Vec<&Entry<'_>> =
        pairs.iter().map(|pair| pair.0).chain(pairs.iter().map(|pair| pair.1)).collect();
    let mut likelihoods = Vec::new();
    for entry in &all {
        likelihoods.extend(readout(entry.row)?.map(f64::exp));
    }
    let current = Expert::new(TEMPERATURES.len(), likelihoods, UNTEMPERED).ok()?;
    let base = Expert::fixed(all.iter().map(|entry| base(rows, entry)).collect()).ok()?;
    let mut n_of_question = vec![0.0; rows.n_questions];
    pairs.iter().for_each(|(before, _)| n_of_question[before.question] += 1.0);
    let weights: Vec<f64> =
        all.iter().map(|entry| 1.0 / f64::max(n_of_question[entry.question], 1.0)).collect();
    let mut changes = Vec::new();
    for fold in 0..FOLDS {
        let others: Vec<usize> = (0..pairs.len()).filter(|&i| folds[pairs[i].0.question] != fold).collect();
        let own: Vec<usize> = (0..pairs.len()).filter(|&i| folds[pairs[i].0.question] == fold).collect();
        if own.is_empty() {
            continue;
        }
        let experts = [&current, &base];
        let of_others: Vec<f64> = others.iter().map(|&i| weights[i]).collect();
        let mixture = mixture::fit(&experts, &others, &of_others).ok()?;
        for i in own {
            let change = mixture.log_density(&experts, pairs.len() + i) - mixture.log_density(&experts, i);
            changes.push((pairs[i].0.question, change));
        }
    }
    Some(changes)
}

/// ln T_τ p(target) of a row's belief.
fn readout(row: &InterventionRow) -> Option<[f64; TEMPERATURES.len()]> {
    let listed = answers(row);
    let target_prob = row.target_prob?;
    let residual = row.residual_mass.unwrap_or(0.0);
    if let Some(n) = row.n_draws {
        let count = |prob: f64| (prob * f64::from(n)).round() as usize;
        let target = count(target_prob);
        let mut others: Vec<usize> = listed.iter().map(|(_, prob)| count(*prob)).collect();
        if let Some(at) = others.iter().position(|&count| count == target).filter(|_| target > 0) {
            others.remove(at);
        }
        return Some(Atoms::of_counts((target > 0).then_some(target), &others).target_readout());
    }
    let mut found: Vec<FoundAnswer> =
        listed.iter().map(|(_, prob)| FoundAnswer { logprob: prob.ln(), is_target: false }).collect();
    if let Some(at) = listed.iter().position(|(_, prob)| (prob - target_prob).abs() < 1e-15) {
        found[at].is_target = target_prob > 0.0;
    }
    let target_logprob = if target_prob > 0.0 { target_prob.ln() } else { residual.max(1e-12).ln() };
    Some(Atoms::of_enumeration(&found, residual, target_logprob).target_readout())
}

/// u(target).
fn base(rows: &TaskRows<'_>, entry: &Entry<'_>) -> f64 {
    let Some(trace) = rows.traces[entry.trace].row else { return 0.0 };
    if let Some(choices) = &trace.choices {
        let value: Option<serde_json::Value> = serde_json::from_str(choices).ok();
        let n = value.and_then(|value| Some(value.get("labels")?.as_array()?.len())).unwrap_or(1);
        return 1.0 / n.max(1) as f64;
    }
    let others = rows.traces.iter().filter_map(|other| other.row);
    let others: Vec<bool> = others
        .filter(|other| other.question_id != trace.question_id)
        .map(|other| other.target == trace.target)
        .collect();
    let same = others.iter().filter(|&&same| same).count();
    same as f64 / others.len().max(1) as f64
}
