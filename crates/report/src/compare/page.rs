//! The comparison as one self-contained page: sentence, figure and table for each task, in the style of the report.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Change, Comparison, QuantityComparison, StageRecord, TaskComparison};
use crate::format::{NONE, Scale, decimal, printable, thousands};
use crate::html::parts::{cell, fact};
use crate::html::{POLICY, STYLE};
use crate::sentence::p_number;

/// The page; `figures` are those of the tasks, in order.
pub(super) fn page(comparison: &Comparison, figures: &[String]) -> String {
    let names: Vec<&str> = comparison.stages.iter().map(|stage| stage.name.as_str()).collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (names.join(", ")) ": what changed" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (header(comparison))
                    @for (task, svg) in comparison.tasks.iter().zip(figures) { (section(task, &names, svg)) }
                    (method(comparison))
                }
            }
        }
    };
    printable(&page.into_string())
}

fn header(comparison: &Comparison) -> Markup {
    html! {
        header {
            p.kicker { "What changed from run to run, on the same questions" }
            h1 { @for (i, stage) in comparison.stages.iter().enumerate() { @if i > 0 { " → " } (stage.name) } }
            dl.facts {
                @for stage in &comparison.stages {
                    (fact(&stage.name, &identity(stage)))
                }
            }
            @if !comparison.tasks_left_out.is_empty() {
                p.note { "Left out, because some run lacks them: " (comparison.tasks_left_out.join(", ")) "." }
            }
            @if !comparison.notes.is_empty() {
                p.note { "Beside the model, these settings differ, so a change may be theirs: " (comparison.notes.join("; ")) "." }
            }
        }
    }
}

/// Model, revision and day of a run, and whether it is unfinished.
fn identity(stage: &StageRecord) -> String {
    let revision = stage.revision.as_ref().map_or_else(String::new, |revision| format!(" at {revision}"));
    let unfinished = if stage.finished_at.is_some() { "" } else { ", unfinished" };
    format!("{}{revision}, {}{unfinished}", stage.model, day(&stage.started_at))
}

fn day(date: &str) -> &str {
    date.get(..10).unwrap_or(date)
}

fn section(task: &TaskComparison, stages: &[&str], svg: &str) -> Markup {
    html! {
        section {
            h2 { (task.task) }
            p.foot {
                "Estimator " (task.estimator) "; " (thousands(task.n_questions)) " questions, the same in all runs; "
                (thousands(task.replicates)) " bootstrap replicates."
            }
            div.verdict { p.headline { "What changed" } p { (task.summary) } }
            figure.stages { (PreEscaped(svg)) figcaption { "Each quantity at each stage with its interval over questions. \
                Runs share their questions, so overlapping intervals do not mean that nothing changed; the table tests the changes." } }
            (table(task, stages))
        }
    }
}

fn table(task: &TaskComparison, stages: &[&str]) -> Markup {
    let pairs: Vec<&Change> = task.quantities.first().map_or_else(Vec::new, |q| q.changes.iter().collect());
    html! {
        div.scroll {
            table {
                caption { "Values by run, then changes with intervals and adjusted p. Bold: clear at 0.05 after Holm's adjustment." }
                thead { tr {
                    th { "" }
                    @for stage in stages { th { (stage) } }
                    @for change in pairs { th { (stages[change.from]) " → " (stages[change.to]) } }
                } }
                tbody { @for quantity in &task.quantities { (row(quantity)) } }
            }
        }
    }
}

fn row(quantity: &QuantityComparison) -> Markup {
    html! {
        tr {
            td.text { (quantity.label) }
            @for stage in &quantity.stages { td { (cell(stage, quantity.scale())) } }
            @for change in &quantity.changes { td { (changed(change, quantity.scale())) } }
        }
    }
}

fn changed(change: &Change, scale: Scale) -> Markup {
    let difference = &change.difference;
    html! {
        @if difference.value.is_none() {
            span title=[difference.reason.as_deref()] { (NONE) }
        } @else {
            @if change.is_clear() { b { (signed(difference.value, scale)) } } @else { (signed(difference.value, scale)) }
            @if let Some(interval) = scale.interval(difference) { span.ci { (interval) } }
            @match &change.untested {
                Some(reason) => span.ci title=(reason) { "not tested" },
                None => span.ci { "p " (p_number(change.holm_p)) },
            }
        }
    }
}

fn signed(value: Option<f64>, scale: Scale) -> String {
    let text = scale.value(value);
    let is_rise = value.is_some_and(|value| value > 0.0) && text.chars().any(|c| ('1'..='9').contains(&c));
    if is_rise { format!("+{text}") } else { text }
}

fn method(comparison: &Comparison) -> Markup {
    html! {
        section {
            h2 { "How changes are tested" }
            p {
                "A change is the mean over questions of later minus earlier, with a " (decimal(100.0 * comparison.options.level, 0))
                " % interval over questions and a two-sided p-value, adjusted by Holm over the tested changes of a task. Fewer than ten \
                 questions, and areas with fewer than ten of either verdict, are not tested. A clear change means that the runs differ on \
                 questions like these, not why they do."
            }
        }
    }
}
