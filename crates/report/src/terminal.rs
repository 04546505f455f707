//! Results as text tables: one line per task, or several runs side by side.
//!
//! Names from files are stripped of control characters, so that they cannot steer a terminal. Nothing is coloured.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};

use crate::compare::{Change, Comparison};
use crate::depth::FINAL;
use crate::format::{NONE, Scale, decimal, optional, percent, printable, thousands, wrapped};
use crate::metrics::{Metrics, Quantity, TaskMetrics};
use crate::sentence;

/// Width of sentences where none is asked for.
const WIDTH: usize = 110;

/// Columns of the results table.
const HEADER: [&str; 11] = [
    "task",
    "n",
    "accuracy %",
    "H(0)",
    "H(1)",
    "G(1)",
    "net G(1)",
    "AUROC(1)",
    "lock-in",
    "invalid %",
    "left out",
];

/// The results of a run. Intervals go below their values where one line would be wider than `width`.
pub fn results(metrics: &Metrics, width: Option<usize>) -> String {
    let one_line = results_table(metrics, " ");
    let widest = one_line.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let table = match width {
        Some(width) if widest > width => results_table(metrics, "\n"),
        _ => one_line,
    };
    printable(&format!("{table}\n{}{}", legend(metrics), verdicts(metrics, width.unwrap_or(WIDTH))))
}

fn results_table(metrics: &Metrics, break_with: &str) -> String {
    let mut table = plain_table(HEADER.map(str::to_string).to_vec());
    for task in &metrics.tasks {
        let show = |quantity: &Quantity, scale: Scale| match scale.interval(quantity) {
            Some(interval) => format!("{}{break_with}{interval}", scale.value(quantity.value)),
            None => scale.value(quantity.value),
        };
        table.add_row(vec![
            task.task.clone(),
            thousands(task.counts.questions_measured),
            show(&task.accuracy, Scale::Percent),
            optional(task.entropy.all.at(0).value, 2),
            optional(task.entropy.all.at(FINAL).value, 2),
            show(&task.information_gain.all.at(FINAL), Scale::Plain),
            show(&net_gain(task), Scale::Plain),
            show(&task.separability.at(FINAL), Scale::Plain),
            optional(task.lock_in.all.median_depth, 2),
            percent(task.invalid_share.value),
            format!("{}/{}", task.counts.skipped, task.counts.failed),
        ]);
    }
    table.trim_fmt()
}

/// For each task its verdict and the signals that predict best, in plain sentences.
fn verdicts(metrics: &Metrics, width: usize) -> String {
    let mut text = String::new();
    for task in &metrics.tasks {
        let sentences = [Some(sentence::verdict(task)), sentence::best_signals(&task.predict)];
        let lines: Vec<String> = sentences.iter().flatten().map(|s| wrapped(s, "  ", width)).collect();
        text.push_str(&format!("\n{}\n{}\n", task.task, lines.join("\n")));
    }
    text
}

/// What the columns mean, with unit, estimator and m.
fn legend(metrics: &Metrics) -> String {
    let estimators: Vec<String> = metrics
        .tasks
        .iter()
        .map(|task| match task.n_samples {
            Some(m) => format!("{}: {}, m = {m}", task.task, task.estimator),
            None => format!("{}: {}", task.task, task.estimator),
        })
        .collect();
    format!(
        "n: questions measured. H, G in nats at depth 0 and 1; net G: over the swapped control;\n\
         AUROC of -H(1) for correctness; lock-in: median depth; left out: skipped/failed traces;\n\
         [ ]: {} % intervals, questions resampled. Estimator {}.\n",
        decimal(100.0 * metrics.options.level, 0),
        if estimators.is_empty() { NONE.to_string() } else { estimators.join("; ") }
    )
}

/// Net gain over the swapped control at s = 1.
pub(crate) fn net_gain(task: &TaskMetrics) -> Quantity {
    task.control("swapped")
        .map_or_else(|| Quantity::undefined("no swapped control"), |control| control.net_gain.at(FINAL))
}

/// A line of a comparison: its name and its text for a task.
type Row = (&'static str, fn(&TaskMetrics) -> String);

/// The lines of a comparison, in order.
const ROWS: [Row; 15] = [
    ("estimator", |t| {
        t.n_samples.map_or_else(|| t.estimator.clone(), |m| format!("{}, m = {m}", t.estimator))
    }),
    ("questions", |t| thousands(t.counts.questions_measured)),
    ("traces", |t| thousands(t.counts.measured)),
    ("accuracy, %", |t| Scale::Percent.with_interval(&t.accuracy)),
    ("invalid, %", |t| Scale::Percent.with_interval(&t.invalid_share)),
    ("H(0), nats", |t| Scale::Plain.with_interval(&t.entropy.all.at(0))),
    ("H(1), nats", |t| Scale::Plain.with_interval(&t.entropy.all.at(FINAL))),
    ("G(1), nats", |t| Scale::Plain.with_interval(&t.information_gain.all.at(FINAL))),
    ("net G(1), nats", |t| Scale::Plain.with_interval(&net_gain(t))),
    ("verdict", |t| t.verdict.finding.name().to_string()),
    ("AUROC(0)", |t| Scale::Plain.with_interval(&t.separability.at(0))),
    ("AUROC(1)", |t| Scale::Plain.with_interval(&t.separability.at(FINAL))),
    ("lock-in, median depth", |t| optional(t.lock_in.all.median_depth, 2)),
    ("tokens after lock-in, %", |t| Scale::Percent.with_interval(&t.lock_in.all.wasted_token_share)),
    ("skipped/failed", |t| format!("{}/{}", t.counts.skipped, t.counts.failed)),
];

/// Two or more runs side by side: a block of lines for each task that any of them has, a column for each run.
///
/// Intervals of runs on the same questions are not independent: whether they overlap says little about the difference.
pub fn compare(runs: &[(String, Metrics)]) -> String {
    let mut header = vec!["task".to_string(), "metric".to_string()];
    header.extend(runs.iter().map(|(name, _)| name.clone()));
    let mut table = plain_table(header);
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Left);
    }
    for name in task_names(runs) {
        let tasks: Vec<Option<&TaskMetrics>> =
            runs.iter().map(|(_, metrics)| metrics.tasks.iter().find(|t| t.task == name)).collect();
        for (i, (label, text)) in ROWS.iter().enumerate() {
            let first = if i == 0 { name.to_string() } else { String::new() };
            let mut cells = vec![first, (*label).to_string()];
            cells.extend(tasks.iter().map(|task| task.map_or_else(|| NONE.to_string(), text)));
            table.add_row(cells);
        }
    }
    printable(&format!("{}\n", table.trim_fmt()))
}

/// A comparison of runs on the same questions: values by run, changes with intervals and adjusted p, and what changed in a sentence.
/// A star marks a clear change.
pub fn comparison(comparison: &Comparison) -> String {
    let stages: Vec<&str> = comparison.stages.iter().map(|stage| stage.name.as_str()).collect();
    let mut text = String::new();
    for task in &comparison.tasks {
        let mut header = vec![task.task.clone()];
        header.extend(stages.iter().map(|&name| name.to_string()));
        let changes = task.quantities.first().map_or(&[][..], |q| &q.changes);
        header.extend(changes.iter().map(|c| format!("{} →\n{}", stages[c.from], stages[c.to])));
        let mut table = plain_table(header);
        for quantity in &task.quantities {
            let mut cells = vec![quantity.label.clone()];
            cells.extend(quantity.stages.iter().map(|stage| Scale::Plain.value(stage.value)));
            cells.extend(quantity.changes.iter().map(change));
            table.add_row(cells);
        }
        let summary = wrapped(&task.summary, "", WIDTH);
        text.push_str(&format!("{}\n{summary}\n\n", table.trim_fmt()));
    }
    text.push_str(&format!(
        "[ ]: {} % intervals, questions resampled; p adjusted by Holm over the changes of a task; *: clear at 0.05.\n",
        decimal(100.0 * comparison.options.level, 0)
    ));
    for note in &comparison.notes {
        text.push_str(&format!("Also different: {note}.\n"));
    }
    if !comparison.tasks_left_out.is_empty() {
        text.push_str(&format!(
            "Left out, because some run lacks them: {}.\n",
            comparison.tasks_left_out.join(", ")
        ));
    }
    printable(&text)
}

fn change(change: &Change) -> String {
    let star = if change.is_clear() { "*" } else { "" };
    let p = change.holm_p.map_or_else(String::new, |p| format!("\n{}{star}", sentence::p_value(p)));
    format!("{}{p}", Scale::Plain.with_interval(&change.difference))
}

/// Tasks in the order in which runs name them first.
fn task_names(runs: &[(String, Metrics)]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for task in runs.iter().flat_map(|(_, metrics)| &metrics.tasks) {
        if !names.contains(&task.task.as_str()) {
            names.push(&task.task);
        }
    }
    names
}

/// A table with lines above and below, numbers to the right.
fn plain_table(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.style_mut().row_separator = comfy_table::LineStyle::none();
    let n_columns = header.len();
    table.set_header(header);
    for i in 1..n_columns {
        if let Some(column) = table.column_mut(i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricOptions;
    use crate::synthetic;

    fn metrics(seed: u64) -> Metrics {
        let (manifest, rows) = synthetic::run(20, seed);
        Metrics::of(&manifest, &rows, &MetricOptions { replicates: 60, ..MetricOptions::default() })
    }

    fn widest(table: &str) -> usize {
        table
            .lines()
            .take_while(|line| !line.starts_with("n:"))
            .map(|line| line.chars().count())
            .max()
            .unwrap()
    }

    #[test]
    fn one_line_per_task_unless_it_is_too_wide() {
        let metrics = metrics(1);
        let wide = results(&metrics, None);
        let table = wide.lines().take_while(|line| !line.starts_with("n:"));
        assert_eq!(table.count(), 2 + 1 + 2 + 1, "{wide}");
        assert_eq!(wide.matches("Stepwise informativeness").count(), 2, "{wide}");
        let narrow = results(&metrics, Some(100));
        assert!(widest(&narrow) < widest(&wide), "{narrow}");
        assert!(wide.contains("Estimator arc_easy: choices; gsm8k: enumerate."), "{wide}");
    }

    #[test]
    fn a_task_that_a_run_lacks_has_dashes() {
        let (all, mut one) = (metrics(1), metrics(2));
        one.tasks.truncate(1);
        let table = compare(&[("base".into(), all), ("tuned".into(), one)]);
        let rows: Vec<&str> = table.lines().filter(|line| line.contains("accuracy, %")).collect();
        assert_eq!(rows.len(), 2, "{table}");
        assert!(!rows[0].contains(NONE) && rows[1].trim_end().ends_with(NONE), "{table}");
    }

    #[test]
    fn markdown_has_a_row_for_each_task() {
        let text = crate::markdown::results(&metrics(1));
        assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 4, "{text}");
        let columns = |line: &str| line.matches('|').count();
        assert!(text.lines().take(4).all(|line| columns(line) == 13), "{text}");
    }
}
