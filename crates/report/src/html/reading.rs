//! Plain sentences that say what the numbers of a task are, without judging beyond their intervals.

use crate::depth::FINAL;
use crate::format::{Scale, count, decimal, percent};
use crate::metrics::{Quantity, TaskMetrics};
use crate::sentence::{duplicates, stopping};

/// One sentence or two on each finding; what is undefined is left out or said to be so.
pub(super) fn sentences(task: &TaskMetrics) -> Vec<String> {
    if task.counts.measured == 0 {
        return vec!["No trace of this task was measured.".to_string()];
    }
    let parts = [
        Some(accuracy(task)),
        stopping(task),
        entropy(task),
        information(task),
        before_statement(task),
        rollouts(task),
        gain(task),
        separability(task),
        lock_in(task),
        monotone(task),
        statement(task),
        copying(task),
        duplicates(task),
    ];
    parts.into_iter().flatten().collect()
}

/// Value and interval with per cent signs.
fn share(quantity: &Quantity) -> String {
    match (quantity.value, quantity.low, quantity.high) {
        (Some(_), Some(low), Some(high)) => {
            format!("{} % [{}, {}]", percent(quantity.value), percent(Some(low)), percent(Some(high)))
        }
        _ => format!("{} %", percent(quantity.value)),
    }
}

fn accuracy(task: &TaskMetrics) -> String {
    let counts = &task.counts;
    let base =
        format!("{} and {}", count(counts.questions_measured, "question"), count(counts.measured, "trace"));
    if task.accuracy.value.is_none() {
        return format!("{base} were measured. No target is known, so no answer is correct or wrong.");
    }
    let invalid = match task.invalid_share.value {
        Some(value) if value > 0.0 => {
            format!("{} state no readable answer, which counts as wrong", share(&task.invalid_share))
        }
        _ => "every trace states a readable answer".to_string(),
    };
    let scored = task.accuracy.n_traces;
    let of = match scored.saturating_sub(counts.measured) {
        0 => String::new(),
        n => format!("Of all {scored} with a verdict, {n} of which could not be measured, "),
    };
    if of.is_empty() {
        return format!(
            "{base} were measured: {} end in the right answer; {invalid}.",
            share(&task.accuracy)
        );
    }
    format!("{base} were measured. {of}{} are right; {invalid}.", share(&task.accuracy))
}

fn entropy(task: &TaskMetrics) -> Option<String> {
    let (start, end) = (task.entropy.all.at(0).value?, task.entropy.all.at(FINAL).value?);
    Some(format!(
        "Before any reasoning the belief about the answer has {} nats on average, the entropy of {} equally likely answers; after \
         the whole trace it has {} nats ({} answers).",
        decimal(start, 2),
        decimal(start.exp(), 1),
        decimal(end, 2),
        decimal(end.exp(), 1)
    ))
}

fn information(task: &TaskMetrics) -> Option<String> {
    let information = &task.verdict.usable_information;
    let value = information.value?;
    Some(format!(
        "With the trace, a reader of the model's beliefs foretells the true answer better by I(1) = {} nats: its probability grows by a factor \
         of {} on geometric average{}.",
        Scale::Plain.with_interval(information),
        factor(value),
        side(information)
    ))
}

fn before_statement(task: &TaskMetrics) -> Option<String> {
    let before = &task.verdict.before_statement;
    before.value?;
    let share = match task.before_statement.share.value {
        Some(_) => {
            format!("; by the run's own estimator, {} of all of it", share(&task.before_statement.share))
        }
        None => String::new(),
    };
    Some(format!(
        "At the last step before the trace states its own answer it is {} nats{}{share}.",
        Scale::Plain.with_interval(before),
        side(before)
    ))
}

fn rollouts(task: &TaskMetrics) -> Option<String> {
    let rollouts = task.rollouts.as_ref()?;
    let distance = rollouts.distance.at(2);
    distance.value?;
    Some(format!(
        "Half way through, the forced readout and the rollouts of {} differ by a total variation of {} (draws alone would show {}), and have \
         the same leading answer in {} of cases.",
        count(rollouts.n_questions, "question"),
        Scale::Plain.with_interval(&distance),
        Scale::Plain.value(rollouts.distance_floor.at(2).value),
        share(&rollouts.agreement.at(2))
    ))
}

fn gain(task: &TaskMetrics) -> Option<String> {
    let gain = task.information_gain.all.at(FINAL);
    gain.value?;
    let cost = task.overconfidence_cost.all.at(FINAL);
    Some(format!(
        "The raw gain of the target's log-probability is G(1) = {} nats; I(1) − G(1) = {} nats is what log loss charges for stating more \
         than is known.",
        Scale::Plain.with_interval(&gain),
        Scale::Plain.with_interval(&cost)
    ))
}

/// e^nats in words: 4.5, 1/8100, 10^12.
fn factor(nats: f64) -> String {
    let size = nats.abs().exp();
    if nats < 0.0 && size < 10.0 {
        return decimal(nats.exp(), 2);
    }
    let whole = match size {
        size if size < 10.0 => decimal(size, 2),
        size if size < 1e6 => decimal(two_digits(size), 0),
        _ => format!("10^{}", decimal(nats.abs() / std::f64::consts::LN_10, 0)),
    };
    if nats < 0.0 { format!("1/{whole}") } else { whole }
}

/// A number of at least ten, rounded to two digits.
fn two_digits(value: f64) -> f64 {
    let unit = 10_f64.powf(value.log10().floor() - 1.0);
    (value / unit).round() * unit
}

fn side(quantity: &Quantity) -> &'static str {
    if quantity.low.is_none() {
        "; there is no interval"
    } else if quantity.is_above(0.0) {
        "; the interval lies above 0"
    } else if quantity.is_below(0.0) {
        "; the interval lies below 0"
    } else {
        "; the interval includes 0"
    }
}

fn separability(task: &TaskMetrics) -> Option<String> {
    let (start, end) = (task.separability.at(0), task.separability.at(FINAL));
    end.value?;
    let no_interval = match (end.low, &end.reason) {
        (None, Some(reason)) => format!("; {reason}"),
        _ => String::new(),
    };
    Some(format!(
        "A correct trace ends with lower entropy than a wrong one with probability {} (AUROC; 0.5 is chance{no_interval}); before any \
         reasoning it is {}.",
        Scale::Plain.with_interval(&end),
        Scale::Plain.with_interval(&start)
    ))
}

fn lock_in(task: &TaskMetrics) -> Option<String> {
    let group = &task.lock_in.all;
    let n_locked: usize = group.histogram.iter().sum();
    let median = group.median_depth?;
    let wasted = match group.wasted_token_share.value {
        Some(_) => format!("; {} of all trace tokens come after that", share(&group.wasted_token_share)),
        None => String::new(),
    };
    Some(format!(
        "The leading answer locks in for {n_locked} of {}, half of them by depth {}{wasted}.",
        count(task.counts.measured, "trace"),
        decimal(median, 2)
    ))
}

fn monotone(task: &TaskMetrics) -> Option<String> {
    let descent = &task.descent;
    descent.accuracy_monotone.value?;
    descent.accuracy_not_monotone.value?;
    Some(format!(
        "Traces whose entropy never rises ({} of all) are right in {} of cases, the others in {}.",
        share(&descent.monotone_share.all),
        share(&descent.accuracy_monotone),
        share(&descent.accuracy_not_monotone)
    ))
}

fn statement(task: &TaskMetrics) -> Option<String> {
    let statement = &task.statement;
    let median = statement.median_depth?;
    Some(format!(
        "The answer that a trace ends with first stands in its text at depth {} (median); {} of the traces state it in their first step, \
         and {} in some step.",
        decimal(median, 2),
        share(&statement.at_once.all),
        share(&statement.share.all)
    ))
}

fn copying(task: &TaskMetrics) -> Option<String> {
    let before = &task.statement.leader_is_last_number_before;
    before.value?;
    Some(format!(
        "Before that, the most likely answer is just the last number of the text at {} of the prefixes: there the forced readout may \
         copy what it has read.",
        share(before)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_told_at_any_size() {
        let told = [0.0, 1.5, -1.5, 2.5, -9.0, 9.0, -2.4, 30.0, -30.0].map(factor);
        assert_eq!(told, ["1.00", "4.48", "0.22", "12", "1/8100", "8100", "1/11", "10^13", "1/10^13"]);
    }
}
