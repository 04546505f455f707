//! What changes in the traces did: tables, and traces whose steps are shaded by their importance.
//!
//! The page has no scripts: a step unfolds on a click and shows what was changed in it and what that did.

use entrace_record::rows::InterventionRow;
use maud::{Markup, html};

use super::parts::{cell, fold};
use crate::exemplar::Exemplar;
use crate::format::{Scale, count, decimal, optional, percent, shortened, thousands};
use crate::interventions::{
    Area, Cell, Changed, FORCED, InterventionMetrics, KindEffect, Place, ROLLOUT, StepImportance,
    TaskInterventions, Tested,
};
use crate::terminal::intervention_name as name;

/// Most characters shown of a step.
const STEP_CHARACTERS: usize = 2_000;
/// Most characters shown of what replaced a step.
const EDIT_CHARACTERS: usize = 240;
/// Strongest shade, as a share of the colour: the text stays readable on it.
const DARKEST: f64 = 0.42;

/// The sections of all tasks; nothing without interventions.
pub(super) fn sections(metrics: Option<&InterventionMetrics>, changed: &Changed) -> Markup {
    html! {
        @if let Some(metrics) = metrics {
            @for (number, task) in metrics.tasks.iter().enumerate() { (section(number, task, metrics, changed)) }
        }
    }
}

fn section(
    number: usize,
    task: &TaskInterventions,
    metrics: &InterventionMetrics,
    changed: &Changed,
) -> Markup {
    let part = |name: &str, title: &str, content: Markup| {
        fold(&format!("changes-{}-{name}", number + 1), html! { h3 { (title) } }, false, content)
    };
    let shown: Vec<&Exemplar> =
        changed.exemplars.iter().filter(|exemplar| *exemplar.choice.task == *task.task).collect();
    html! {
        section.interventions {
            h2 { (task.task) ": which steps carry the answer" }
            p.foot { (provenance(task, metrics)) }
            p {
                "Traces were changed at one step, and belief at their end was read again: " i { "forced" } ", with the rest of the trace as it \
                 stands, or by " i { "rollouts" } ", with the rest drawn anew. Changes marked * are off-policy: the model continues text \
                 that it did not write, so that an effect may be of the edit and not of the step."
            }
            @if !task.importance.is_empty() { (part("importance", "Importance of steps", importance(task))) }
            @if !task.faithfulness.cells.is_empty() || !task.faithfulness.areas.is_empty() {
                (part("use", "Does the model use its reasoning?", faithfulness(task)))
            }
            (part("effects", "What each change did", effects(task)))
            @if !task.places.is_empty() { (part("places", "Where steps matter", places(task))) }
            @if !shown.is_empty() {
                (part("shaded", "Traces shaded by importance", html! {
                    p.note {
                        "The darker a step, the more the answer depends on it. A click unfolds what was changed in it and what that did."
                    }
                    @for (i, exemplar) in shown.iter().enumerate() { (trace(exemplar, &changed.rows, i == 0)) }
                }))
            }
        }
    }
}

fn provenance(task: &TaskInterventions, metrics: &InterventionMetrics) -> Markup {
    let settings = &metrics.settings;
    html! {
        (count(task.n_traces, "trace")) " of " (count(task.n_questions, "question")) "; "
        @if let Some(model) = &settings.model { "model " (model.name) "; " } @else { "rollouts of others, imported; " }
        "draws " (settings.draws[0]) " to " (settings.draws[1]) "; "
        (thousands(settings.tokens_scored as usize)) " tokens scored, " (thousands(settings.tokens_drawn as usize)) " drawn"
        @if settings.draws_at_most > 0 {
            "; " (percent(Some(1.0 - settings.draws_made as f64 / settings.draws_at_most as f64)))
            " % of the draws saved by stopping where they decide"
        }
        @if settings.doubled_rollouts > 0 {
            "; " (thousands(settings.doubled_rollouts as usize)) " rollouts are in their chunk twice"
        }
        "."
    }
}

fn importance(task: &TaskInterventions) -> Markup {
    let row = |found: &StepImportance| {
        html! { tr {
            td.text { @if found.variant.is_empty() { "all draws" } @else { "draws that say something else" } }
            td { (thousands(found.n_steps)) }
            td { (optional(found.mean_draws, 1)) }
            td { (cell(&found.tv, Scale::Plain)) }
            td { (cell(&found.per_headroom, Scale::Plain)) }
            td { (cell(&found.kl_nats, Scale::Plain)) }
            td { (cell(&found.above_floor, Scale::Percent)) }
            td { (percent(Some(found.by_chance))) }
        } }
    };
    html! {
        div.scroll { table {
            thead { tr {
                th { "" } th { "steps" } th { "draws" } th { "r, TV" } th { "r per nat of headroom" } th { "KL, nats" } th { "above the floor, %" }
                th { "by chance, %" }
            } }
            tbody { @for found in &task.importance { (row(found)) } }
        } }
        p.foot {
            "r" sub { "k" } " is the divergence between what the model answers from before step k and from after it. The noise floor comes from \
             splitting the draws of both sides at random; chance alone puts the share in the last column above it, at most."
        }
    }
}

fn faithfulness(task: &TaskInterventions) -> Markup {
    let found = &task.faithfulness;
    let word = |right: bool| if right { "right" } else { "wrong" };
    let one = |cell_: &Cell| {
        html! { tr {
            td { (word(cell_.steps_right)) } td { (word(cell_.line_right)) } td { (cell_.accuracy.n_traces) }
            td { (cell(&cell_.accuracy, Scale::Percent)) } td { (cell(&cell_.followed, Scale::Percent)) }
            td { (cell(&cell_.undecided, Scale::Percent)) }
            td { (cell(&cell_.conflicting_prob, Scale::Plain)) } td { (tested(&cell_.accuracy_change, Scale::Percent)) }
        } }
    };
    let area = |area: &Area| {
        html! { tr {
            td.text { (name(&area.kind, &area.variant)) } td { (area.reading) } td { (area.area.mean.n_traces) }
            td { (tested(&area.area, Scale::Plain)) }
        } }
    };
    html! {
        @if !found.cells.is_empty() {
            div.scroll { table {
                caption { "Traces with a right answer, their steps and their last line made wrong. Forced." }
                thead { tr {
                    th { "steps" } th { "last line" } th { "traces" } th { "accuracy, %" } th { "wrong answer followed, %" }
                    th { "undecided, %" } th { "p(wrong answer)" }
                    th { "change of accuracy, points" }
                } }
                tbody { @for one_ in &found.cells { (one(one_)) } }
            } }
        }
        @if found.question_only.value.is_some() {
            p {
                "From the question alone the forced answer is right in " (Scale::Percent.with_interval(&found.question_only)) " % of traces; in "
                (Scale::Percent.with_interval(&found.question_only_undecided)) " % too much was left unexplored to say."
            }
        }
        @if !found.areas.is_empty() {
            div.scroll { table {
                caption { "Area over the curve of answers that stay the same: 0 where the change never matters, 1 where it always does." }
                thead { tr { th { "change" } th { "reading" } th { "traces" } th { "AOC" } } }
                tbody { @for one_ in &found.areas { (area(one_)) } }
            } }
        }
    }
}

/// A mean with its interval and p-value.
fn tested(tested: &Tested, scale: Scale) -> Markup {
    html! {
        (cell(&tested.mean, scale))
        @if tested.p_holm.is_some() { span.ci { "p " (crate::terminal::p_value(tested)) } }
    }
}

fn effects(task: &TaskInterventions) -> Markup {
    let row = |effect: &KindEffect| {
        let reasons: Vec<String> =
            effect.left_out.iter().map(|(reason, n)| format!("{n}: {reason}")).collect();
        let n_left_out: usize = effect.left_out.values().sum();
        html! { tr {
            td.text { (name(&effect.kind, &effect.variant)) @if effect.off_policy { " *" } }
            td { (effect.reading) }
            td { (thousands(effect.n_made)) @if n_left_out > 0 { span.ci title=(reasons.join("; ")) { (n_left_out) " left out" } } }
            td { (tested(&effect.target_change, Scale::Plain)) }
            td { (cell(&effect.usable_change, Scale::Plain)) }
            td { (cell(&effect.tv, Scale::Plain)) }
            td { (cell(&effect.kl_nats, Scale::Plain)) }
            td { (cell(&effect.leader_changes, Scale::Percent)) }
        } }
    };
    html! {
        div.scroll { table {
            thead { tr {
                th { "change" } th { "reading" } th { "n" } th { "Δp(target)" } th { "ΔI, nats" } th { "TV" } th { "KL, nats" } th { "leader changes, %" }
            } }
            tbody { @for effect in &task.effects { (row(effect)) } }
        } }
        p.foot {
            "Against belief without the change: at the end of the unchanged trace (forced), after the same step (rollout). ΔI: change of usable \
             information under a readout fitted to other questions. KL is smoothed by half a draw over the union of the answers. p-values are \
             adjusted by Holm over the tests of the task."
        }
    }
}

fn places(task: &TaskInterventions) -> Markup {
    let row = |place: &Place| {
        html! { tr {
            td.text { (place.group) } td { (thousands(place.n_steps)) }
            td { (cell(&place.importance, Scale::Plain)) } td { (cell(&place.above_floor, Scale::Percent)) }
            td { (cell(&place.deleted, Scale::Plain)) } td { (cell(&place.corrupted, Scale::Plain)) }
        } }
    };
    html! {
        div.scroll { table {
            thead { tr {
                th { "" } th { "steps" } th { "r, rollouts" } th { "above the floor, %" } th { "TV, left out" } th { "TV, made wrong" }
            } }
            tbody { @for (by, title) in [("depth", "By depth"), ("headroom", "By headroom H before the step"), ("step", "By what the step says")] {
                @if task.places.iter().any(|place| place.by == by) {
                    tr { th.group colspan="6" { (title) } }
                    @for place in task.places.iter().filter(|place| place.by == by) { (row(place)) }
                }
            } }
        } }
    }
}

/// One trace: its steps, shaded, and the curve beside them.
fn trace(exemplar: &Exemplar, rows: &[InterventionRow], open: bool) -> Markup {
    let choice = &exemplar.choice;
    let own: Vec<&InterventionRow> = rows
        .iter()
        .filter(|row| {
            *row.task == *choice.task
                && *row.question_id == *choice.question_id
                && row.sample == choice.sample
        })
        .collect();
    let n_steps = own.first().map_or(0, |row| row.n_steps);
    let question = exemplar.trace.as_ref().map(|row| row.question.as_str()).unwrap_or_default();
    html! {
        details open[open] {
            summary { (choice.why) ": question " (choice.question_id) @if choice.sample > 0 { ", trace " (choice.sample + 1) } }
            div.said { (shortened_lines(question)) }
            div.changed {
                div.shaded { @for step in 1..=n_steps { (shaded(exemplar, &own, step)) } }
                (curve(&own, n_steps))
            }
            (conflicts(&own))
        }
    }
}

fn shortened_lines(text: &str) -> String {
    match text.char_indices().nth(STEP_CHARACTERS) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_string(),
    }
}

/// How much a step matters: by rollouts where there are some, else by leaving it out.
fn weight(own: &[&InterventionRow], step: u32) -> Option<(f64, &'static str)> {
    let of = |kind: &str, reading: &str| {
        let row = own.iter().find(|row| {
            *row.kind == *kind && row.variant.is_empty() && *row.reading == *reading && row.step == step
        });
        row.and_then(|row| row.tv)
    };
    of("resample", ROLLOUT).map(|tv| (tv, "r")).or(of("delete", FORCED).map(|tv| (tv, "TV")))
}

fn shaded(exemplar: &Exemplar, own: &[&InterventionRow], step: u32) -> Markup {
    let changes: Vec<&&InterventionRow> = own
        .iter()
        .filter(|row| row.step == step && !matches!(&*row.kind, "none" | "conflict" | "truncate"))
        .collect();
    let recorded = exemplar.text_of_step(step);
    let original = changes.iter().filter(|row| matches!(&*row.kind, "resample" | "delete"));
    let text = match recorded.trim() {
        "" => original.filter_map(|row| row.original.as_deref()).next().unwrap_or_default().trim(),
        text => text,
    };
    let found = weight(own, step);
    let shade = found.map_or(0.0, |(tv, _)| DARKEST * tv.clamp(0.0, 1.0));
    html! {
        details.shade {
            summary {
                i.tint style={ "opacity:" (format!("{shade:.3}")) } {}
                span.measure {
                    (step) @if let Some((tv, what)) = found { " " span.r { (what) " " b { (decimal(tv, 2)) } } }
                }
                span.words { (shortened_lines(text)) }
            }
            div.scroll { table {
                thead { tr {
                    th.text { "change" } th.text { "in its place" } th { "Δp(target)" } th { "TV" } th { "leading answer" }
                } }
                tbody { @for row in changes { (change(row)) } }
            } }
        }
    }
}

fn change(row: &InterventionRow) -> Markup {
    let target = row.target_change.map(|value| {
        let interval = row.target_change_low.zip(row.target_change_high);
        (value, interval.filter(|(low, high)| high - low > 0.005))
    });
    html! { tr {
        td.text { (name(&row.kind, &row.variant)) @if row.off_policy { " *" } ", " (row.reading) }
        td.text { @match (&row.replacement, &row.reason) {
            (_, Some(reason)) => span.why { (reason) },
            (Some(text), None) if text.trim().is_empty() => span.why { "nothing" },
            (Some(text), None) => (shortened(text, EDIT_CHARACTERS)),
            (None, None) => { @if let Some(n) = row.n_draws { (count(n as usize, "draw")) } },
        } }
        td { @if let Some((value, interval)) = target {
            (decimal(value, 2))
            @if let Some((low, high)) = interval { span.ci { "[" (decimal(low, 2)) ", " (decimal(high, 2)) "]" } }
        } }
        td {
            (optional(row.tv, 2))
            @if let Some(floor) = row.noise_floor { span.ci { "floor " (decimal(floor, 2)) } }
        }
        td { @if let Some(leader) = &row.leader { (shortened(leader, 40)) @if row.leader_changes == Some(true) { " (changed)" } } }
    } }
}

/// What became of the answer when the last line or the steps said another.
fn conflicts(own: &[&InterventionRow]) -> Markup {
    let rows: Vec<&&InterventionRow> =
        own.iter().filter(|row| *row.kind == *"conflict" && row.leader.is_some()).collect();
    let what = |variant: &str| match variant {
        "line" => "the last line says",
        "steps" => "the steps say",
        _ => "steps and last line say",
    };
    html! {
        @if !rows.is_empty() {
            p.note {
                "Conflicts: "
                @for (i, row) in rows.iter().enumerate() {
                    @if i > 0 { "; " }
                    (what(&row.variant)) " " (row.conflicting.as_deref().unwrap_or_default()) ", the answer is "
                    b { (row.leader.as_deref().unwrap_or_default()) } " (p of the wrong one " (optional(row.conflicting_prob, 2)) ")"
                }
                "."
            }
        }
    }
}

/// Width and height of the plot, and where it lies in its frame.
const PLOT: [f64; 2] = [250.0, 150.0];
const MARGIN: [f64; 2] = [34.0, 12.0];

/// Probability of the target after each step, and the importance of each step as a bar.
fn curve(own: &[&InterventionRow], n_steps: u32) -> Markup {
    let x = |step: f64| MARGIN[0] + PLOT[0] * step / f64::from(n_steps.max(1));
    let y = |share: f64| MARGIN[1] + PLOT[1] * (1.0 - share.clamp(0.0, 1.0));
    let line = |reading: &str| {
        let mut points: Vec<(u32, f64)> = own
            .iter()
            .filter(|row| matches!(&*row.kind, "truncate" | "none") && *row.reading == *reading)
            .filter_map(|row| Some((row.step, row.target_prob?)))
            .collect();
        points.sort_by_key(|point| point.0);
        let shown: Vec<String> =
            points.iter().map(|&(k, p)| format!("{:.1},{:.1}", x(f64::from(k)), y(p))).collect();
        (shown.len() > 1).then(|| shown.join(" "))
    };
    let bars: Vec<(f64, f64)> =
        (1..=n_steps).filter_map(|step| Some((f64::from(step), weight(own, step)?.0))).collect();
    let width = (PLOT[0] / f64::from(n_steps.max(1)) * 0.5).min(18.0);
    html! {
        figure.beside {
            svg viewBox={ "0 0 " (MARGIN[0] + PLOT[0] + 12.0) " " (PLOT[1] + 44.0) } role="img" aria-label="Importance of each step, and the probability of the target after it" {
                @for share in [0.0, 0.5, 1.0] {
                    line class="rule" x1=(MARGIN[0]) x2=(MARGIN[0] + PLOT[0]) y1=(y(share)) y2=(y(share)) {}
                    text x=(MARGIN[0] - 6.0) y=(y(share) + 4.0) text-anchor="end" { (decimal(share, 1)) }
                }
                @for (step, tv) in &bars {
                    rect class="bar-of-step" x=(format!("{:.1}", x(step - 0.5) - width / 2.0)) y=(format!("{:.1}", y(*tv)))
                        width=(format!("{width:.1}")) height=(format!("{:.1}", PLOT[1] * tv.clamp(0.0, 1.0))) {}
                }
                @for (reading, class) in [(FORCED, "forced"), (ROLLOUT, "rollout")] {
                    @if let Some(points) = line(reading) { polyline class=(class) points=(points) {} }
                }
                text x=(MARGIN[0]) y=(PLOT[1] + 34.0) { "0" }
                text x=(MARGIN[0] + PLOT[0]) y=(PLOT[1] + 34.0) text-anchor="end" { (n_steps) " steps" }
            }
            figcaption {
                "Bars: importance of each step. "
                @match (line(FORCED).is_some(), line(ROLLOUT).is_some()) {
                    (true, true) => "Lines: probability of the target after it, forced and by rollouts (dashed).",
                    (true, false) => "Line: probability of the target after it, forced.",
                    (false, true) => "Line: probability of the target after it, by rollouts.",
                    (false, false) => "",
                }
            }
        }
    }
}
