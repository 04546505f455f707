//! The head of the page: what was measured, with one line per task where there are several; and the facts of the run, folded.

use maud::{Markup, html};

use super::parts::{cell, fact, fold};
use crate::depth::FINAL;
use crate::format::{NONE, Scale, count, optional, thousands};
use crate::gaps;
use crate::metrics::{Metrics, TaskMetrics};
use entrace_record::Manifest;

/// Model and tasks, and how far an unfinished run is.
pub(super) fn header(metrics: &Metrics) -> Markup {
    let model = &metrics.run.settings.model;
    let n_measured = metrics.totals().measured;
    let n_questions: usize = metrics.tasks.iter().map(|t| t.counts.questions_measured).sum();
    html! {
        header {
            p.kicker { "What the model knows of the answer at each reasoning step" }
            h1 { (model.name) }
            p.lead {
                (count(metrics.tasks.len(), "task")) ", " (count(n_questions, "question")) ", "
                (count(n_measured, "trace")) " measured"
                "."
            }
            @if let Some(how_far) = gaps::unfinished(metrics) { p.note { b { "Unfinished: " } (how_far) "." } }
            @if metrics.tasks.len() > 1 { (results(metrics)) }
        }
    }
}

/// Date, model and the settings that decide what the numbers mean; and the table of tasks, where the head has none.
pub(super) fn about(metrics: &Metrics) -> Markup {
    let settings = &metrics.run.settings;
    let model = &settings.model;
    let date = metrics.run.started_at.get(..10).unwrap_or(&metrics.run.started_at);
    let facts = html! {
            dl.facts {
                (fact("Date of the run", date))
                (fact("Estimator", &distinct(metrics, |t| t.estimator.clone())))
                (fact("Draws m per prefix", &distinct(metrics, |t| {
                    t.n_samples.map_or_else(|| "none (no sampling)".to_string(), |m| m.to_string())
                })))
                (fact("Answer cue", &format!("{:?}", settings.cue)))
                (fact("Unit", "nats (natural logarithm)"))
                (fact("Intervals", &format!(
                    "{} %, over questions", crate::format::decimal(100.0 * metrics.options.level, 0))))
                (fact("Model revision", model.revision.as_deref().unwrap_or(NONE)))
                (fact("Parameters", &model.n_parameters.map_or_else(|| NONE.to_string(), |n| thousands(usize::try_from(n).unwrap_or(usize::MAX)))))
                (fact("Numbers and device", &numbers(&metrics.run)))
                (fact("Steps", &settings.segment))
            }
    };
    html! {
        section {
            (fold("run", html! { h2 { "The run" } }, false, facts))
            @if metrics.tasks.len() == 1 {
                (fold("table", html! { h2 { "The task in one line" } }, false, results(metrics)))
            }
        }
    }
}

/// What the model computed with.
fn numbers(run: &Manifest) -> String {
    let model = &run.settings.model;
    let mut all = vec![model.dtype.as_str(), &model.device];
    all.extend(run.kernels.iter().map(String::as_str));
    all.join(", ")
}

/// The different values of a text over tasks.
fn distinct(metrics: &Metrics, text: impl Fn(&TaskMetrics) -> String) -> String {
    let mut values: Vec<String> = metrics.tasks.iter().map(text).filter(|v| !v.is_empty()).collect();
    values.sort();
    values.dedup();
    if values.is_empty() { NONE.to_string() } else { values.join(", ") }
}

/// One line for each task.
fn results(metrics: &Metrics) -> Markup {
    html! {
        div.scroll {
            table.overview {
                thead { tr {
                    th { "Task" } th { "Verdict" } th { "Questions" } th { "Acc., %" } th { "H(0)" } th { "H(1)" } th { "I(1)" }
                    th { "net I(1)" } th { "before" } th { "G(1)" } th { "AUROC(1)" } th { "Lock‑in" } th { "Invalid, %" } th { "Left out" }
                } }
                tbody { @for (number, task) in metrics.tasks.iter().enumerate() { (row(number, task)) } }
            }
        }
        p.foot {
            "Verdict: whether reasoning informs about the true answer step by step. H: answer entropy in nats at relative depth 0 (question alone) and 1 (whole trace). I: usable information \
             about the true answer in nats, how much better it is foretold with the trace than without it; net I: what exceeds another \
             question's trace; before: I before the trace states its answer. G: raw gain of the target's log-probability, which \
             over-confidence lowers. AUROC: how well −H tells correct from wrong \
             traces. Lock-in: median depth from which the leading answer does not change. Left out: traces skipped or failed, and lines of \
             the input not read. Brackets: "
            (crate::format::decimal(100.0 * metrics.options.level, 0)) " % intervals. " (NONE) ": undefined; each section says why."
        }
    }
}

fn row(number: usize, task: &TaskMetrics) -> Markup {
    let net = task.verdict.net_information().cloned().unwrap_or_default();
    let left_out = task.counts.skipped + task.counts.failed;
    html! {
        tr {
            td { a href={ "#task-" (number + 1) } { (task.task) } }
            td { (task.verdict.finding.name()) @if task.verdict.estimator_check.as_ref().is_some_and(|c| c.broken) { " (estimator broken)" } }
            td { (thousands(task.counts.questions_measured)) }
            td { (cell(&task.accuracy, Scale::Percent)) }
            td { (cell(&task.entropy.all.at(0), Scale::Plain)) }
            td { (cell(&task.entropy.all.at(FINAL), Scale::Plain)) }
            td { (cell(&task.verdict.usable_information, Scale::Plain)) }
            td { (cell(&net, Scale::Plain)) }
            td { (cell(&task.verdict.before_statement, Scale::Plain)) }
            td { (Scale::Plain.value(task.information_gain.all.at(FINAL).value)) }
            td { (cell(&task.separability.at(FINAL), Scale::Plain)) }
            td { (optional(task.lock_in.all.median_depth, 2)) }
            td { (Scale::Percent.value(task.invalid_share.value)) }
            td {
                (left_out) " of " (thousands(task.counts.traces))
                @if task.counts.bad_lines > 0 { ", " (count(task.counts.bad_lines, "line")) }
            }
        }
    }
}
