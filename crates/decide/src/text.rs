//! A decision for people: the rule and what is promised in sentences, then tables.

use std::fmt::Write;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};

use crate::decision::Decision;
use crate::judge::{Judged, Measured};
use crate::loss::Loss;
use crate::rewards::Rewards;
use crate::rule::{Guarantee, RuleFile};
use crate::vote::Votes;

/// The text of a decision.
pub fn decision(decision: &Decision) -> String {
    let counts = &decision.counts;
    let mut text = format!(
        "{}: {} measured traces ({} left out); of their questions {} fit, {} calibrate and {} are held out.\n\n",
        decision.task,
        counts.n_traces,
        counts.n_left_out,
        counts.n_fit,
        counts.n_calibration,
        counts.n_held_out
    );
    if let Some(rule) = &decision.rule {
        text.push_str(&sentences(rule));
    }
    if let Some(reason) = &decision.no_rule {
        let _ = writeln!(text, "Without a guarantee: {reason}.");
    }
    text.push_str("\nOn the questions held out:\n");
    let _ = writeln!(text, "{}", table(decision.judged.iter().chain(&decision.budgets)));
    if !decision.signals.is_empty() {
        text.push_str("\nOther signals, each with a threshold chosen in the same way:\n");
        let _ = writeln!(text, "{}", table(decision.signals.iter()));
    }
    for (signal, reason) in &decision.without {
        let _ = writeln!(text, "{signal}: {reason}.");
    }
    text.push_str(
        "\nsaved: share of the trace tokens that are not written; change: accuracy less that of whole traces; looked: steps of a trace at which it \
         is decided,\nwhere a signal of the belief asks for an answer. [ ]: 95 % intervals over questions.\n",
    );
    text
}

/// What voting does.
pub fn votes(votes: &Votes) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    let shown_at = [1, 2, 4, 8, 16, 32, 64];
    let shown_at: Vec<usize> = shown_at.into_iter().filter(|m| *m < votes.n_traces).collect();
    let mut head = vec![String::new(), format!("accuracy % of {}", votes.n_traces), "less majority".into()];
    head.extend(shown_at.iter().map(|m| format!("of {m}")));
    table.set_header(head);
    for method in &votes.methods {
        let mut cells =
            vec![method.name.clone(), percent(&method.accuracy), percent(&method.against_majority)];
        cells.extend(
            shown_at
                .iter()
                .map(|m| method.curve[m - 1].value.map_or("–".into(), |v| format!("{:.1}", 100.0 * v))),
        );
        table.add_row(cells);
    }
    right_from(&mut table, 1);
    let mut text = format!(
        "\nOne answer from {} traces each of {} questions:\n{}\n",
        votes.n_traces,
        votes.n_questions,
        table.trim_fmt()
    );
    for (signal, reason) in &votes.without {
        let _ = writeln!(text, "{signal}: {reason}.");
    }
    text.push_str(
        "of m: accuracy with m of the traces, unbiased for m fresh ones. Weights are fitted on other questions; differences are paired.\n",
    );
    text
}

/// What the rewards of a task are worth.
pub fn rewards(rewards: &Rewards) -> String {
    let mut text = format!(
        "{}: rewards of {} steps of {} traces; {} traces left out.\n",
        rewards.task,
        rewards.n_steps,
        rewards.n_traces - rewards.n_without,
        rewards.n_left_out + rewards.n_without
    );
    text.push_str(&match &rewards.check {
        None => "The run has no control swapped, so whether rewards are about the question is not checked.\n"
            .to_string(),
        Some(check) => format!(
            "Own traces gain more than other questions' traces in {} % of {} traces; difference {} nats.\n",
            percent(&check.own_gains_more),
            check.n_traces,
            shown(&check.difference, 1.0, 2)
        ),
    });
    text
}

/// The rule and what is promised of it.
pub fn sentences(rule: &RuleFile) -> String {
    let mut text = String::new();
    for (what, condition) in [("Stop", &rule.stop), ("Give up", &rule.give_up)] {
        if let Some(condition) = condition {
            let _ = writeln!(text, "{what} when {}.", condition.when);
        }
    }
    for guarantee in &rule.guarantees {
        text.push_str(&promise(guarantee, rule.guarantees.len() > 1));
    }
    text
}

fn promise(guarantee: &Guarantee, is_one_of_two: bool) -> String {
    let losses = [Loss::Wrong, Loss::GaveUp, Loss::Differs];
    let loss = losses.into_iter().find(|loss| loss.name() == guarantee.loss);
    let loss = loss.map_or_else(|| guarantee.loss.clone(), |loss| loss.describe().to_string());
    let (n, epsilon) = (guarantee.n_questions, guarantee.epsilon);
    let promised = match guarantee.delta {
        Some(delta) => {
            let jointly = if is_one_of_two { ", jointly," } else { "" };
            format!(
                "With probability {} over the {n} calibration questions{jointly} the risk on new questions is at most {epsilon}",
                (1e6 * (1.0 - delta)).round() / 1e6
            )
        }
        None => format!(
            "On average over {n} calibration questions the risk on a new question is at most {epsilon}"
        ),
    };
    let bound = guarantee.bound.as_ref().map_or(String::new(), |bound| format!(", {bound}"));
    format!(
        "{promised}: {loss} ({}{bound}; {:.3} on the calibration questions).\n",
        guarantee.method, guarantee.observed
    )
}

fn table<'a>(rows: impl Iterator<Item = &'a Judged> + Clone) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    let risks: Vec<String> = rows
        .clone()
        .next()
        .map_or(Vec::new(), |row| row.risks.iter().map(|(loss, _)| format!("risk: {loss}")).collect());
    let head = ["", "rule", "saved %", "accuracy %", "change", "looked"].map(String::from);
    table.set_header(head.into_iter().chain(risks));
    for row in rows {
        let cells = [
            row.name.clone(),
            row.rule.clone(),
            percent(&row.saved),
            percent(&row.accuracy),
            percent(&row.change),
            format!("{:.1}", row.looked),
        ];
        table.add_row(cells.into_iter().chain(row.risks.iter().map(|(_, risk)| share(risk))));
    }
    right_from(&mut table, 2);
    table.trim_fmt()
}

/// Numbers stand right, from this column on; rows have no lines between them.
fn right_from(table: &mut Table, first: usize) {
    table.style_mut().row_separator = comfy_table::LineStyle::none();
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn percent(measured: &Measured) -> String {
    shown(measured, 100.0, 1)
}

fn share(measured: &Measured) -> String {
    shown(measured, 1.0, 3)
}

/// A value with its interval, a minus as a minus sign.
pub(crate) fn shown(measured: &Measured, factor: f64, digits: usize) -> String {
    let number = |value: f64| {
        let text = format!("{:.digits$}", factor * value);
        let is_zero = text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.');
        if is_zero { text.trim_start_matches('-').to_string() } else { text.replace('-', "−") }
    };
    match (measured.value, measured.low, measured.high) {
        (Some(value), Some(low), Some(high)) => {
            format!("{} [{}, {}]", number(value), number(low), number(high))
        }
        (Some(value), ..) => number(value),
        _ => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_sentences() {
        let guarantee = Guarantee {
            loss: "wrong".into(),
            epsilon: 0.05,
            delta: Some(0.1),
            method: "fixed-sequence".into(),
            bound: Some("binomial".into()),
            n_questions: 200,
            observed: 0.02,
        };
        assert_eq!(
            promise(&guarantee, false),
            "With probability 0.9 over the 200 calibration questions the risk on new questions is at most 0.05: stopped and now wrong, where the \
             whole trace is right (fixed-sequence, binomial; 0.020 on the calibration questions).\n"
        );
        let conformal = Guarantee { delta: None, bound: None, method: "conformal".into(), ..guarantee };
        assert!(promise(&conformal, false).starts_with("On average over 200 calibration questions"));
    }

    #[test]
    fn numbers_have_signs_that_can_be_read() {
        let measured = Measured { value: Some(-0.012), low: Some(-0.03), high: Some(-0.0000001) };
        assert_eq!(shown(&measured, 100.0, 1), "−1.2 [−3.0, 0.0]");
        assert_eq!(shown(&Measured { value: None, low: None, high: None }, 1.0, 3), "–");
    }
}
