//! What a task's verdict says, in plain sentences for the terminal, Markdown and the page.

use crate::format::{Scale, decimal, optional};
use crate::metrics::predict::SignalMetrics;
use crate::metrics::verdict::CheckMetrics;
use crate::metrics::{DuplicateMetrics, Finding, PredictMetrics, Quantity, TaskMetrics};

/// What holds for every verdict and is easily read into it.
pub(crate) const LIMITS: &str = "It is about averages over questions, not about every step or trace. It says that reasoning text lets a \
    reader of this model's beliefs foretell the true answer better, not that the model is right, nor what training brought it about. A \
    falling entropy plays no part in it: where the rest of the reasoning is sampled, mean entropy falls for any model, right or wrong.";

/// The verdict with its reasons, as one sentence; a failed self-check of the estimator comes first. Where nothing was
/// measured there is none.
pub fn verdict(task: &TaskMetrics) -> String {
    if task.counts.measured == 0 {
        return "Nothing of this task was measured.".to_string();
    }
    let verdict = &task.verdict;
    let finding = match verdict.finding {
        Finding::Supported if verdict.comes_with_the_statement() => {
            "Stepwise informativeness is supported, but only with the statement of the answer"
        }
        Finding::Supported => "Stepwise informativeness is supported",
        Finding::NotSupported => "Stepwise informativeness is not supported",
        Finding::Inconclusive => "Stepwise informativeness is neither supported nor refuted",
    };
    let alarm =
        broken(verdict.estimator_check.as_ref()).map_or_else(String::new, |alarm| format!("{alarm} "));
    format!("{alarm}{finding}: {}{}.", verdict.reasons.join("; "), numbers(task))
}

/// The numbers behind a verdict, in brackets.
fn numbers(task: &TaskMetrics) -> String {
    let verdict = &task.verdict;
    let mut parts = Vec::new();
    let n_questions = verdict.usable_information.n_questions;
    let mut name = |label: &str, quantity: &Quantity| {
        if quantity.value.is_some() {
            let n = other_n(quantity, n_questions);
            parts.push(format!("{label} = {}{n}", Scale::Plain.with_interval(quantity)));
        }
    };
    name("usable information I(1)", &verdict.usable_information);
    for net in &verdict.net {
        name(&format!("net of {}", net.control), &net.net);
    }
    name("before the answer is stated", &verdict.before_statement);
    name("raw gain G(1)", &verdict.gain);
    if let Some(p) = verdict.trend.p_value {
        parts.push(format!("rise {}", p_value(p)));
    }
    if parts.is_empty() {
        return String::new();
    }
    let by = readout_name(&verdict.readout).map_or_else(String::new, |name| format!(", by {name}"));
    format!(" ({}; n = {n_questions}{by})", parts.join(", "))
}

/// The readout of a verdict in words; `None` where there were too few questions to fit one.
pub(crate) fn readout_name(readout: &str) -> Option<String> {
    match readout {
        "" => None,
        "rollout" => Some("rollouts".to_string()),
        other => Some(format!("the forced readout `{other}`")),
    }
}

/// The number of questions of a quantity, in brackets, where it is not that of the others.
pub(crate) fn other_n(quantity: &Quantity, n_questions: usize) -> String {
    if quantity.n_questions == n_questions {
        return String::new();
    }
    format!(" (n = {})", quantity.n_questions)
}

/// The alarm of an estimator that fails its own check.
pub(crate) fn broken(check: Option<&CheckMetrics>) -> Option<String> {
    let check = check.filter(|check| check.broken)?;
    let mut faults = Vec::new();
    if let Some((fewest, most)) = check.draws.filter(|(fewest, most)| fewest != most) {
        faults.push(format!("prefixes have between {fewest} and {most} draws"));
    }
    let drifts = check.tests.iter().filter(|test| test.holm_p < check.alpha);
    faults.extend(drifts.map(|test| {
        let size = decimal(test.mean, 3);
        format!("belief drifts ({}: mean {size} where 0 is due, {})", test.name, p_value(test.holm_p))
    }));
    Some(format!("ESTIMATOR BROKEN: {}.", faults.join("; ")))
}

/// Traces that are alike though they should not be; `None` where there are none.
pub(crate) fn duplicates(task: &TaskMetrics) -> Option<String> {
    let found = task.duplicates.filter(DuplicateMetrics::are_suspicious)?;
    let expected = found.expected.map_or_else(String::new, |expected| {
        format!(", where {} are expected of independent draws", decimal(expected, 1))
    });
    Some(format!(
        "{} of {} pairs of traces of one question are identical{expected}: count them as one, or check that the engine honours seeds.",
        found.n_identical, found.n_pairs
    ))
}

/// What a rule that stops traces did, and what it cost to ask; `None` without one.
pub(crate) fn stopping(task: &TaskMetrics) -> Option<String> {
    let found = task.stopping.as_ref()?;
    let gave_up = if found.gave_up > 0 { format!(" and gave up {}", found.gave_up) } else { String::new() };
    let tokens = |mean: f64| decimal(mean, 1);
    let net = match (found.whole_tokens, found.net_saved_tokens) {
        (Some(whole), Some(net)) if net >= 0.0 => {
            format!(
                " Whole traces have {} where the rule was chosen: {} saved, net.",
                tokens(whole),
                tokens(net)
            )
        }
        (Some(whole), Some(net)) => format!(
            " Whole traces have {} where the rule was chosen: asking costs {} more than it saves.",
            tokens(whole),
            tokens(-net)
        ),
        _ => " What whole traces take is not known here; a run without the rule tells.".to_string(),
    };
    Some(format!(
        "Rule: {}. It stopped {} of {} traces{gave_up}, after {} decisions; the answer of such a trace is the belief's leader there. Tokens of a \
         trace: {} kept, {} written, {} run to ask.{net}",
        found.rule,
        found.stopped,
        found.traces,
        found.decisions,
        tokens(found.kept_tokens),
        tokens(found.written_tokens),
        tokens(found.asked_tokens)
    ))
}

/// The three signals that predict best, and all cheap ones together, as one sentence; `None` where nothing is predicted.
pub(crate) fn best_signals(predict: &PredictMetrics) -> Option<String> {
    let ranked = predict.ranked();
    if ranked.is_empty() {
        return None;
    }
    // Signals that order traces alike have one area; the first of them stands for all.
    let mut distinct: Vec<&SignalMetrics> = Vec::new();
    for &signal in &ranked {
        if distinct.last().is_none_or(|last| !same(last.auroc.value, signal.auroc.value)) {
            distinct.push(signal);
        }
    }
    let best: Vec<String> = distinct
        .iter()
        .take(3)
        .map(|signal| {
            let sign = if signal.negated { "−" } else { "" };
            format!("{sign}{} {}", signal.signal, Scale::Plain.with_interval(&signal.auroc))
        })
        .collect();
    let combined = match predict.combined.auroc.value {
        Some(_) => {
            format!("; all cheap ones together {}", Scale::Plain.with_interval(&predict.combined.auroc))
        }
        None => String::new(),
    };
    Some(format!("Best signals by AUROC of {}: {}{combined}.", ranked.len(), best.join(", ")))
}

fn same(a: Option<f64>, b: Option<f64>) -> bool {
    a.zip(b).is_some_and(|(a, b)| (a - b).abs() < 1e-12)
}

/// p with its sign.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_string() } else { format!("p = {}", decimal(p, 3)) }
}

/// p as it stands in a table.
pub(crate) fn p_number(p: Option<f64>) -> String {
    match p {
        Some(p) if p < 0.001 => "< 0.001".to_string(),
        p => optional(p, 3),
    }
}
