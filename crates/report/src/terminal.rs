//! Results as text tables: one line per task, or several runs side by side.
//!
//! Names from files are stripped of control characters, so that they cannot steer a terminal. Nothing is coloured.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};

use crate::compare::{Change, Comparison};
use crate::depth::FINAL;
use crate::format::{NONE, Scale, decimal, optional, percent, printable, thousands, wrapped};
use crate::gaps;
use crate::metrics::{Metrics, Quantity, TaskMetrics};
use crate::sentence;

mod interventions;

pub use interventions::interventions;
pub(crate) use interventions::{name as intervention_name, p_value};

/// Width of sentences where none is asked for.
pub(crate) const WIDTH: usize = 110;

/// Columns of the results table.
const HEADER: [&str; 13] = [
    "task",
    "n",
    "accuracy %",
    "H(0)",
    "H(1)",
    "I(1)",
    "net I(1)",
    "before",
    "G(1)",
    "AUROC(1)",
    "lock-in",
    "invalid %",
    "left out",
];

/// The results of a run, or that there are none; an unfinished run says so first. Intervals go below their values where
/// one line would be wider than `width`.
pub fn results(metrics: &Metrics, width: Option<usize>) -> String {
    let head =
        gaps::unfinished(metrics).map_or_else(String::new, |how_far| format!("Unfinished: {how_far}.\n"));
    let text_width = width.unwrap_or(WIDTH);
    let body = match gaps::nothing(metrics) {
        Some(nothing) => format!("{nothing}\n"),
        None => format!("{}\n{}", fitting_table(metrics, width), legend(metrics, text_width)),
    };
    printable(&format!("{head}{body}{}", tasks(metrics, text_width)))
}

fn fitting_table(metrics: &Metrics, width: Option<usize>) -> String {
    let one_line = results_table(metrics, " ");
    let widest = one_line.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    match width {
        Some(width) if widest > width => results_table(metrics, "\n"),
        _ => one_line,
    }
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
            show(&task.verdict.usable_information, Scale::Plain),
            show(&net_information(task), Scale::Plain),
            optional(task.verdict.before_statement.value, 2),
            optional(task.information_gain.all.at(FINAL).value, 2),
            show(&task.separability.at(FINAL), Scale::Plain),
            optional(task.lock_in.all.median_depth, 2),
            percent(task.invalid_share.value),
            left_out(task),
        ]);
    }
    table.trim_fmt()
}

/// Traces that were skipped, traces that failed, and lines of the input that could not be read.
pub(crate) fn left_out(task: &TaskMetrics) -> String {
    let counts = &task.counts;
    format!("{}/{}/{}", counts.skipped, counts.failed, counts.bad_lines)
}

/// For each task its verdict, the signals that predict best, and why traces were left out.
fn tasks(metrics: &Metrics, width: usize) -> String {
    let mut text = String::new();
    for task in &metrics.tasks {
        let sentences = [
            Some(sentence::verdict(task)),
            sentence::stopping(task),
            sentence::best_signals(&task.predict),
            sentence::duplicates(task),
        ];
        let mut lines: Vec<String> = sentences.iter().flatten().map(|s| wrapped(s, "  ", width)).collect();
        let reasons = gaps::lines(&task.counts, width.saturating_sub(2));
        lines.extend(reasons.iter().map(|line| format!("  {line}")));
        text.push_str(&format!("\n{}\n{}\n", task.task, lines.join("\n")));
    }
    text
}

/// What the words of both tables mean, for readers who have nothing but the terminal.
const GLOSSARY: &str = "H: entropy of the answer, I: usable information about the true answer, in nats; (0), (1): depth, the share of \
    the steps taken; net I: what exceeds that of another question's trace (swapped); before: I before the trace states its answer; G: raw \
    gain of the target's log-probability, which over-confidence lowers; lock-in: the depth from which the leading answer does not change";

/// What stands in the column `left out`.
pub(crate) const LEFT_OUT: &str = "left out: traces skipped/traces failed/lines of the input not read";

/// What the columns mean, with unit, estimator and m.
fn legend(metrics: &Metrics, width: usize) -> String {
    let estimators: Vec<String> = metrics
        .tasks
        .iter()
        .map(|task| match task.n_samples {
            Some(m) => format!("{}: {}, m = {m}", task.task, task.estimator),
            None => format!("{}: {}", task.task, task.estimator),
        })
        .collect();
    let words =
        format!("n: questions measured; {GLOSSARY} (median); AUROC: of −H(1) for correctness; {LEFT_OUT}.");
    format!(
        "{}\n[ ]: {} % intervals over questions. Estimator {}.\n",
        wrapped(&words, "", width),
        decimal(100.0 * metrics.options.level, 0),
        if estimators.is_empty() { NONE.to_string() } else { estimators.join("; ") }
    )
}

/// Usable information net of the swapped control.
pub(crate) fn net_information(task: &TaskMetrics) -> Quantity {
    task.verdict.net_information().cloned().unwrap_or_else(|| Quantity::undefined("no swapped control"))
}

/// A line of a comparison: its name and its text for a task.
type Row = (&'static str, fn(&TaskMetrics) -> String);

/// The lines of a comparison, in order.
const ROWS: [Row; 17] = [
    ("estimator", |t| {
        t.n_samples.map_or_else(|| t.estimator.clone(), |m| format!("{}, m = {m}", t.estimator))
    }),
    ("questions", |t| thousands(t.counts.questions_measured)),
    ("traces", |t| thousands(t.counts.measured)),
    ("accuracy, %", |t| Scale::Percent.with_interval(&t.accuracy)),
    ("invalid, %", |t| Scale::Percent.with_interval(&t.invalid_share)),
    ("H(0), nats", |t| Scale::Plain.with_interval(&t.entropy.all.at(0))),
    ("H(1), nats", |t| Scale::Plain.with_interval(&t.entropy.all.at(FINAL))),
    ("I(1), nats", |t| Scale::Plain.with_interval(&t.verdict.usable_information)),
    ("net I(1), nats", |t| Scale::Plain.with_interval(&net_information(t))),
    ("I before the statement, nats", |t| Scale::Plain.with_interval(&t.verdict.before_statement)),
    ("G(1), nats", |t| Scale::Plain.with_interval(&t.information_gain.all.at(FINAL))),
    ("verdict", |t| match t.counts.measured {
        0 => "nothing measured".to_string(),
        _ => t.verdict.finding.name().to_string(),
    }),
    ("AUROC(0)", |t| Scale::Plain.with_interval(&t.separability.at(0))),
    ("AUROC(1)", |t| Scale::Plain.with_interval(&t.separability.at(FINAL))),
    ("lock-in, median depth", |t| optional(t.lock_in.all.median_depth, 2)),
    ("tokens after lock-in, %", |t| Scale::Percent.with_interval(&t.lock_in.all.wasted_token_share)),
    ("skipped/failed/not read", left_out),
];

/// Two or more runs side by side: a block of lines for each task that any of them has, a column for each run. Unfinished
/// runs are named first.
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
    let glossary = wrapped(&format!("{GLOSSARY}."), "", WIDTH);
    printable(&format!("{}{}\n{glossary}\n", unfinished(runs), table.trim_fmt()))
}

fn unfinished(runs: &[(String, Metrics)]) -> String {
    let how_far = |(name, metrics): &(String, Metrics)| {
        gaps::unfinished(metrics).map(|how_far| format!("Unfinished: {name}, {how_far}.\n"))
    };
    runs.iter().filter_map(how_far).collect()
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
            cells.extend(quantity.stages.iter().map(|stage| quantity.scale().value(stage.value)));
            cells.extend(quantity.changes.iter().map(|found| change(found, quantity.scale())));
            table.add_row(cells);
        }
        let summary = wrapped(&task.summary, "", WIDTH);
        text.push_str(&format!("{}\n{summary}\n\n", table.trim_fmt()));
    }
    text.push_str(&format!(
        "[ ]: {} % intervals over questions; p adjusted by Holm over the changes of a task; *: clear at 0.05.\n",
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

fn change(change: &Change, scale: Scale) -> String {
    let star = if change.is_clear() { "*" } else { "" };
    let p = match (&change.untested, change.holm_p) {
        (Some(_), _) => "\nnot tested".to_string(),
        (None, p) => p.map_or_else(String::new, |p| format!("\n{}{star}", sentence::p_value(p))),
    };
    format!("{}{p}", scale.with_interval(&change.difference))
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
    use entrace_record::rows::{Outcome, Rows};

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

    /// A run of which 20 of 40 questions were measured before it was killed.
    fn killed() -> Metrics {
        let (mut manifest, rows) = synthetic::run(20, 1);
        manifest.finished_at = None;
        manifest.settings.tasks.iter_mut().for_each(|task| task.n_questions = 40);
        Metrics::of(&manifest, &rows, &MetricOptions { replicates: 60, ..MetricOptions::default() })
    }

    #[test]
    fn an_unfinished_run_says_so_first() {
        let how_far = "40 of 80 questions are done; run the same command again to resume.";
        let killed = killed();
        assert_eq!(
            results(&killed, Some(100)).lines().next(),
            Some(format!("Unfinished: {how_far}").as_str())
        );
        let markdown = crate::markdown::results(&killed);
        assert!(markdown.starts_with(&format!("**Unfinished:** {how_far}\n\n|")), "{markdown}");
        let table = compare(&[("base".into(), metrics(1)), ("tuned".into(), killed)]);
        assert!(table.starts_with(&format!("Unfinished: tuned, {how_far}\n")), "{table}");
        assert_eq!(table.matches("Unfinished").count(), 1);
        assert!(!results(&metrics(1), None).contains("Unfinished"));
    }

    #[test]
    fn what_was_left_out_has_its_reasons() {
        let mut metrics = metrics(1);
        metrics.tasks[1].counts.bad_lines = 3;
        let reason = "1 trace skipped: the trace has no step that ends before the limit of 1024 tokens";
        let table = results(&metrics, None);
        assert!(table.contains("1/1/0") && table.contains("1/1/3"), "{table}");
        assert_eq!(table.matches(&format!("\n  {reason}\n")).count(), 2, "{table}");
        assert_eq!(
            table.matches("\n  1 trace failed: prefix 3: logits are not finite\n").count(),
            2,
            "{table}"
        );
        assert_eq!(table.matches("\n  3 lines of the input could not be read\n").count(), 1, "{table}");
        let narrow = results(&metrics, Some(60));
        assert!(
            narrow.contains("\n  1 trace skipped: the trace has no step that ends before t…\n"),
            "{narrow}"
        );
        let markdown = crate::markdown::results(&metrics);
        assert_eq!(markdown.matches(&format!("\n- {reason}\n")).count(), 2, "{markdown}");
        assert!(markdown.contains("| 1/1/3 |") && markdown.contains("- 3 lines of the input"), "{markdown}");
    }

    #[test]
    fn where_nothing_was_measured_there_is_no_table() {
        let (manifest, mut rows) = synthetic::run(20, 1);
        for row in &mut rows.traces {
            (row.outcome, row.reason) = (Outcome::Skipped, Some("the trace is empty".into()));
        }
        let skipped = Metrics::of(&manifest, &rows, &MetricOptions::default());
        for text in [results(&skipped, Some(80)), crate::markdown::results(&skipped)] {
            assert!(text.starts_with("Nothing was measured: every trace was skipped or failed.\n"), "{text}");
            assert!(text.contains("20 traces skipped: the trace is empty"), "{text}");
            assert!(!text.contains(NONE) && !text.contains("target"), "{text}");
        }
        assert_eq!(skipped.tasks[0].verdict.reasons, ["no trace was measured"]);
        let empty = Metrics::of(&manifest, &Rows::default(), &MetricOptions::default());
        assert!(results(&empty, None).starts_with("Nothing was measured: the record holds no trace.\n"));
        let table = compare(&[("base".into(), metrics(1)), ("tuned".into(), skipped)]);
        assert!(table.contains("nothing measured"), "{table}");
    }

    #[test]
    fn a_comparison_explains_its_words() {
        let table = compare(&[("base".into(), metrics(1)), ("tuned".into(), metrics(2))]);
        for word in ["net I:", "G: raw", "lock-in:", "depth, the share of"] {
            assert!(table.contains(word), "{word} is not explained in {table}");
        }
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
        assert!(text.lines().take(4).all(|line| columns(line) == 15), "{text}");
    }
}
