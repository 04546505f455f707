//! The section of one task.

use maud::{Markup, PreEscaped, html};

use super::parts::{cell, fold, key};
use super::predict::predict;
use super::profile::profile;
use super::reading::sentences;
use super::trace;
use super::verdict::{reasons, verdict};
use crate::depth::{FINAL, QUARTERS};
use crate::error::Error;
use crate::exemplar::Exemplar;
use crate::format::{NONE, Scale, count, optional, percent, thousands};
use crate::metrics::{Groups, Metrics, Quantity, Summary, TaskMetrics};

/// Positions of the depth grid that the table shows: every tenth.
const TABLE_STRIDE: usize = 2;

/// What a reader wants first: the verdict, the curve and three numbers. The rest is folded below.
pub(super) fn section(
    number: usize,
    task: &TaskMetrics,
    metrics: &Metrics,
    figures: &[(&'static str, String)],
    exemplars: &[&Exemplar],
) -> Result<Markup, Error> {
    let id = format!("task-{}", number + 1);
    let measured = task.counts.measured > 0;
    let part = |name: &str, title: &str, content: Markup| {
        fold(&format!("{id}-{name}"), html! { h3 { (title) } }, false, content)
    };
    let first = first_figure(figures);
    let others = figures.iter().filter(|(name, _)| *name != "signals" && Some(*name) != first.map(|f| f.0));
    let signals = figures.iter().find(|(name, _)| *name == "signals").map(|(_, svg)| svg.as_str());
    let reading = html! { ul.reading { @for sentence in sentences(task) { li { (sentence) } } } };
    let traces = trace::traces(exemplars)?;
    Ok(html! {
        section id=(id) {
            h2 { (task.task) }
            @if measured {
                (verdict(task))
                div.first {
                    @if let Some((name, svg)) = first { (figure(name, svg, task)) }
                    (three_numbers(task))
                }
                (part("reading", "In words", reading))
                (part("verdict", "The verdict: its numbers, and how it was decided", reasons(task)))
                (part("curves", "All curves", html! {
                    (keys(task))
                    div.figures { @for (name, svg) in others { (figure(name, svg, task)) } }
                }))
                (part("signals", "What predicts correctness", predict(task, signals)))
                (part("ends", "How traces came to their ends", profile(task)))
                (part("numbers", "All numbers", all_numbers(task, metrics)))
            } @else {
                (reading)
            }
            (left_out(&id, task))
            @if !exemplars.is_empty() { (part("traces", "Single traces", single_traces(traces))) }
            p.foot { (provenance(task, metrics)) }
        }
    })
}

/// The curve that the verdict rests on, else the entropy.
fn first_figure<'a>(figures: &'a [(&'static str, String)]) -> Option<(&'static str, &'a str)> {
    let of = |wanted: &str| figures.iter().find(|(name, _)| *name == wanted);
    of("usable_information").or_else(|| of("entropy")).map(|(name, svg)| (*name, svg.as_str()))
}

fn three_numbers(task: &TaskMetrics) -> Markup {
    html! {
        dl.keys.three {
            (key("Right answers", &task.accuracy, Scale::Percent, "%"))
            (key("What the trace tells about the true answer, I(1)", &task.verdict.usable_information, Scale::Plain, "nats"))
            (key("How well the entropy tells right from wrong, AUROC", &task.separability.at(FINAL), Scale::Plain, ""))
        }
    }
}

fn all_numbers(task: &TaskMetrics, metrics: &Metrics) -> Markup {
    html! {
        details { summary { "By depth" } (by_depth(task, &metrics.depths)) }
        details { summary { "Gains by length, and before the statement" } (by_length(task)) }
        details { summary { "Shape of the curves" } (shape(task)) }
        details { summary { "Entropy and error: Fano's inequality" } (fano(task, &metrics.depths)) }
        details { summary { "What the estimator saw" } (seen(task)) }
        @if !task.cues.is_empty() {
            details { summary { "Other cues" } (other_cues(task)) }
        }
    }
}

fn single_traces(traces: Markup) -> Markup {
    html! {
        p.note {
            "Chosen by rule, not by hand; `entrace view` shows all of them. Each step shows its text, the entropy H" sub { "k" }
            " after it with the information gained about the target, and the leading answers with their probabilities."
        }
        (traces)
    }
}

fn provenance(task: &TaskMetrics, metrics: &Metrics) -> Markup {
    let record = metrics.run.settings.tasks.iter().find(|t| t.name == task.task);
    html! {
        "Estimator " (task.estimator)
        @if let Some(m) = task.n_samples { ", m = " (m) }
        @if let Some(record) = record { "; answers read as " (record.answer_format) "; source " (record.source) }
        "; " (thousands(task.replicates)) " bootstrap replicates."
    }
}

fn keys(task: &TaskMetrics) -> Markup {
    html! {
        dl.keys.four {
            (key("Accuracy", &task.accuracy, Scale::Percent, "%"))
            (key("Entropy before reasoning, H(0)", &task.entropy.all.at(0), Scale::Plain, "nats"))
            (key("Entropy at the end, H(1)", &task.entropy.all.at(FINAL), Scale::Plain, "nats"))
            (key("AUROC of −H(1)", &task.separability.at(FINAL), Scale::Plain, ""))
        }
        @if let Some(sentence) = unexplored(task) { p.note { (sentence) } }
    }
}

/// How much of the entropies is not known for certain.
fn unexplored(task: &TaskMetrics) -> Option<String> {
    let (first, last) = (task.mass.residual_first?, task.mass.residual_last?);
    let certified = |at: usize| {
        let end = |ends: &[Option<f64>]| optional(ends.get(at).copied().flatten(), 2);
        format!("[{}, {}]", end(&task.entropy_lower), end(&task.entropy_upper))
    };
    let open = match task.mass.leader_open {
        Some(share) if share > 0.0 => format!(
            " At {} % of the prefixes more was left unexplored than the most likely answer has: another may be more likely there, and \
             more nodes would tell.",
            percent(Some(share))
        ),
        _ => String::new(),
    };
    Some(format!(
        "Enumerating answers left {} % of the probability unexplored before reasoning and {} % at the end, on average. H takes \
         it for what it reads as so far; the certified interval says what is left open: {} nats for H(0) and {} for H(1).{open}",
        percent(Some(first)),
        percent(Some(last)),
        certified(0),
        certified(FINAL)
    ))
}

fn figure(name: &str, svg: &str, task: &TaskMetrics) -> Markup {
    let counts = &task.counts;
    let caption = match name {
        "entropy" if counts.correct > 0 && counts.wrong > 0 => format!(
            "Mean over questions of the answer entropy at each depth, {} and {}. A falling curve alone is no evidence of knowledge; \
             the distance between the two is.",
            count(counts.correct, "correct trace"),
            count(counts.wrong, "wrong trace")
        ),
        "entropy" => "Mean over questions of the answer entropy at each depth. A falling curve alone is no evidence of knowledge."
            .to_string(),
        "usable_information" => {
            "How much better the true answer is foretold with the trace so far than without it, by readouts fitted on other questions. \
             Rollouts: the model finishes its reasoning; forced: it answers at once. Swapped: another question's trace, with a fit of its own."
                .to_string()
        }
        "information_gain" => {
            "Mean change of the target's log-probability since the question alone. Controls: text of this kind that is about another \
             question (swapped), or the own steps out of order (shuffled)."
                .to_string()
        }
        "separability" => {
            "Probability that a correct trace has lower entropy than a wrong one at the same depth."
                .to_string()
        }
        _ => "Where along the trace the leading answer stops changing and leads clearly.".to_string(),
    };
    html! { figure { (PreEscaped(svg)) figcaption { (caption) } } }
}

fn by_depth(task: &TaskMetrics, depths: &[f64]) -> Markup {
    let copies = task.statement.leader_is_last_number.is_defined();
    html! {
        div.scroll {
            table {
                caption {
                    "Nats, except AUROC (0 to 1) and forced error (%)."
                    @if copies { " Copied: prefixes whose most likely answer is the last number of the text, %." }
                }
                thead { tr {
                    th { "s" } th { "H" } th { "H correct" } th { "H wrong" } th { "gap" } th { "I" } th { "G" } th { "I − G" }
                    @for control in &task.controls { th { "I " (control.control) } th { "G " (control.control) } }
                    th { "AUROC" } th { "forced error" }
                    @if copies { th { "copied" } }
                } }
                tbody {
                    @for (i, s) in depths.iter().enumerate().step_by(TABLE_STRIDE) {
                        tr {
                            td { (crate::format::decimal(*s, 1)) }
                            td { (cell(&task.entropy.all.at(i), Scale::Plain)) }
                            td { (cell(&task.entropy.correct.at(i), Scale::Plain)) }
                            td { (cell(&task.entropy.wrong.at(i), Scale::Plain)) }
                            td { (cell(&task.entropy_gap.at(i), Scale::Plain)) }
                            td { (cell(&task.usable_information.all.at(i), Scale::Plain)) }
                            td { (cell(&task.information_gain.all.at(i), Scale::Plain)) }
                            td { (cell(&task.overconfidence_cost.all.at(i), Scale::Plain)) }
                            @for control in &task.controls {
                                td { (cell(&control.usable_information.at(i), Scale::Plain)) }
                                td { (cell(&control.information_gain.at(i), Scale::Plain)) }
                            }
                            td { (cell(&task.separability.at(i), Scale::Plain)) }
                            td { (cell(&task.fano.forced_error.at(i), Scale::Percent)) }
                            @if copies { td { (cell(&task.statement.leader_is_last_number.at(i), Scale::Percent)) } }
                        }
                    }
                }
            }
        }
        (missing(task))
    }
}

/// Gains in all, per step and per 100 tokens, and the steps around the statement.
fn by_length(task: &TaskMetrics) -> Markup {
    let rows = [
        ("Usable information I", &task.by_length.usable_information),
        ("Raw gain G", &task.by_length.information_gain),
    ];
    let before = &task.before_statement;
    html! {
        div.scroll {
            table {
                caption { "Nats at the end of the trace. A mean per step falls with the number of steps by itself." }
                thead { tr { th { "" } th { "in all" } th { "per step" } th { "per 100 tokens" } } }
                tbody { @for (name, gains) in rows { tr {
                    td { (name) }
                    td { (cell(&gains.total, Scale::Plain)) }
                    td { (cell(&gains.per_step, Scale::Plain)) }
                    td { (cell(&gains.per_100_tokens, Scale::Plain)) }
                } } }
            }
            table {
                caption { "I by the step relative to the first that states the trace's own answer, nats." }
                thead { tr { @for step in &before.steps { th { (step) } } } }
                tbody { tr { @for i in 0..before.steps.len() { td { (cell(&before.aligned.at(i), Scale::Plain)) } } } }
            }
        }
    }
}

/// How far belief differs under further cues.
fn other_cues(task: &TaskMetrics) -> Markup {
    html! {
        p {
            "Belief was asked for under further cues as well. Distance: total variation from belief under the first cue, 0 to 1, up to the \
             probability that was left unexplored; agreement: prefixes with the same most likely answer, %. What differs by the cue is of \
             the readout, not of the reasoning."
        }
        div.scroll {
            table {
                thead { tr {
                    th { "cue" } th { "" }
                    @for at in QUARTERS { th { "s = " (crate::format::decimal(crate::depth::grid()[at], 2)) } }
                } }
                tbody {
                    @for cue in &task.cues {
                        tr {
                            td.text { (format!("{:?}", cue.cue)) } td { "distance" }
                            @for at in QUARTERS { td { (cell(&cue.distance.at(at), Scale::Plain)) } }
                        }
                        tr {
                            td {} td { "agreement" }
                            @for at in QUARTERS { td { (cell(&cue.agreement.at(at), Scale::Percent)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Why columns are empty.
fn missing(task: &TaskMetrics) -> Markup {
    let curves = [
        ("H correct", &task.entropy.correct),
        ("H wrong", &task.entropy.wrong),
        ("gap", &task.entropy_gap),
        ("I", &task.usable_information.all),
        ("G", &task.information_gain.all),
        ("AUROC", &task.separability),
        ("forced error", &task.fano.forced_error),
    ];
    let reasons: Vec<(&str, &str)> =
        curves.into_iter().filter_map(|(name, curve)| Some((name, curve.reason.as_deref()?))).collect();
    html! {
        @if !reasons.is_empty() {
            p.foot {
                "Without value or interval: "
                @for (i, (name, reason)) in reasons.iter().enumerate() { @if i > 0 { "; " } (name) ", " (reason) }
                "."
            }
        }
    }
}

fn shape(task: &TaskMetrics) -> Markup {
    let (lock, descent) = (&task.lock_in, &task.descent);
    let row = |name: &str, groups: [&Quantity; 3], scale: Scale| {
        html! { tr { td.text { (name) } @for quantity in groups { td { (cell(quantity, scale)) } } } }
    };
    let all =
        |groups: &'_ Groups<Quantity>| [groups.all.clone(), groups.correct.clone(), groups.wrong.clone()];
    let rows = [
        (
            "Traces that lock in, %",
            [&lock.all, &lock.correct, &lock.wrong].map(|g| g.share.clone()),
            Scale::Percent,
        ),
        (
            "Tokens after lock-in, %",
            [&lock.all, &lock.correct, &lock.wrong].map(|g| g.wasted_token_share.clone()),
            Scale::Percent,
        ),
        ("Traces that state their answer in the first step, %", all(&task.statement.at_once), Scale::Percent),
        ("Depth of the first statement", all(&task.statement.depth), Scale::Plain),
        ("Total drop H(0) − H(1), nats", all(&descent.total_drop), Scale::Plain),
        ("Monotone traces, %", all(&descent.monotone_share), Scale::Percent),
        ("Rises of the entropy per trace", all(&descent.violations), Scale::Plain),
        ("Late slope, nats per unit of depth", all(&descent.late_slope), Scale::Plain),
        ("Tokens per trace", all(&task.tokens.mean_trace_tokens), Scale::Plain),
        ("Token entropy, nats", all(&task.tokens.token_entropy), Scale::Fine),
    ];
    html! {
        div.scroll {
            table {
                thead { tr { th { "" } th { "all" } th { "correct" } th { "wrong" } } }
                tbody {
                    @for (name, groups, scale) in &rows { (row(name, groups.each_ref(), *scale)) }
                    tr {
                        td.text { "Median depth of lock-in" }
                        @for group in [&lock.all, &lock.correct, &lock.wrong] { td { (optional(group.median_depth, 2)) } }
                    }
                }
            }
        }
        @if descent.accuracy_difference.value.is_some() {
            p {
                "Accuracy is " (percent(descent.accuracy_monotone.value)) " % for "
                (count(descent.accuracy_monotone.n_traces, "trace")) " whose entropy never rises and "
                (percent(descent.accuracy_not_monotone.value)) " % for the other "
                (thousands(descent.accuracy_not_monotone.n_traces)) ": a difference of "
                (Scale::Percent.with_interval(&descent.accuracy_difference)) " points."
            }
        }
    }
}

fn fano(task: &TaskMetrics, depths: &[f64]) -> Markup {
    let fano = &task.fano;
    let quarters = QUARTERS.into_iter().filter_map(|i| depths.get(i).copied());
    html! {
        @if let Some(alphabet) = &fano.alphabet {
            p {
                "With |A| = " (alphabet.size) " answers (" (alphabet.source) "), a belief of entropy H cannot be right more often than \
                 Fano's inequality allows. The bound holds for the error that the model itself expects; that the error against \
                 the true answer also lies above it is a finding, not a theorem."
            }
            div.scroll {
                table {
                    thead { tr {
                        th { "s" } th { "H, nats" } th { "weak bound, %" } th { "exact bound, %" } th { "expected error, %" }
                        th { "forced error, %" } th { "slack, points" }
                    } }
                    tbody {
                        @for (i, s) in QUARTERS.into_iter().zip(quarters) {
                            tr {
                                td { (crate::format::decimal(s, 2)) }
                                td { (optional(fano.mean_entropy.get(i).copied().flatten(), 2)) }
                                td { (percent(fano.weak_bound.get(i).copied().flatten())) }
                                td { (percent(fano.exact_bound.get(i).copied().flatten())) }
                                td { (percent(fano.expected_error.get(i).copied().flatten())) }
                                td { (cell(&fano.forced_error.at(i), Scale::Percent)) }
                                td { (percent(fano.slack.get(i).copied().flatten())) }
                            }
                        }
                    }
                }
            }
            p.foot {
                "Expected error: 1 − probability of the leading answer. Forced error: share of prefixes whose leading answer is not \
                 the target. Slack: forced error − exact bound. " (NONE) " for the weak bound: it is empty at this entropy."
            }
        }
        @if let Some(reason) = &fano.reason { p.why { (reason) } }
    }
}

/// Unfolded where something was left out.
fn left_out(id: &str, task: &TaskMetrics) -> Markup {
    let counts = &task.counts;
    let open = counts.measured == 0 || counts.skipped + counts.failed + counts.bad_lines > 0;
    let heading = html! { h3 { "What was measured and what was left out" } };
    let content = html! {
        p {
            @if let Some(planned) = counts.questions_planned { (count(planned, "question")) " were planned; " }
            (count(counts.questions, "question")) " and " (count(counts.traces, "trace")) " are in the record: "
            (thousands(counts.measured)) " measured, " (thousands(counts.skipped)) " skipped, " (thousands(counts.failed)) " failed."
            @if counts.bad_lines > 0 { " " (count(counts.bad_lines, "line")) " of the source could not be read." }
            @if !counts.stop_reasons.is_empty() {
                " Completions ended by "
                @for (i, stop) in counts.stop_reasons.iter().enumerate() {
                    @if i > 0 { ", " } (stop.stop_reason) " (" (thousands(stop.traces)) ")"
                }
                "."
            }
        }
        @if !counts.reasons.is_empty() {
            div.scroll {
                table {
                    thead { tr { th { "Outcome" } th.text { "Reason" } th { "Traces" } } }
                    tbody { @for reason in &counts.reasons { tr {
                        td { (reason.outcome) }
                        td.text { (reason.reason.as_deref().unwrap_or("none recorded")) }
                        td { (thousands(reason.traces)) }
                    } } }
                }
            }
        }
    };
    fold(&format!("{id}-left-out"), heading, open, content)
}

/// How much the estimator saw, and lengths.
fn seen(task: &TaskMetrics) -> Markup {
    let rows: [(&str, Option<&Summary>, usize); 6] = [
        ("Share of raw probability on answers", task.mass.elicited.as_ref(), 3),
        ("Unexplored probability", task.mass.residual.as_ref(), 3),
        ("Width of the estimator's entropy interval, nats", task.mass.entropy_width.as_ref(), 3),
        ("Prompt tokens", task.tokens.prompt_tokens.as_ref(), 0),
        ("Trace tokens", task.tokens.trace_tokens.as_ref(), 0),
        ("Steps", task.tokens.steps.as_ref(), 1),
    ];
    html! {
        div.scroll {
            table {
                thead { tr {
                    th { "" } th { "n" } th { "mean" } th { "min" } th { "5 %" } th { "median" } th { "95 %" } th { "max" }
                } }
                tbody { @for (name, summary, decimals) in rows { tr {
                    td.text { (name) }
                    @if let Some(s) = summary {
                        td { (thousands(s.n)) }
                        @for value in [s.mean, s.min, s.p05, s.median, s.p95, s.max] {
                            td { (crate::format::decimal(value, decimals)) }
                        }
                    } @else {
                        td { "0" } @for _ in 0..6 { td { (NONE) } }
                    }
                } } }
            }
        }
    }
}
