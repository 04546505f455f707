//! Single traces, step by step.
//!
//! Long texts are cut, with a note of how much is missing, so that the page stays small.

use entrace_measure::Answer;
use entrace_record::rows::{PrefixRow, TraceRow};
use maud::{Markup, PreEscaped, html};

use crate::error::Error;
use crate::exemplar::Exemplar;
use crate::figure::{TracePoint, trace_curve};
use crate::format::decimal;

/// Most characters shown of the text of a step.
const STEP_CHARACTERS: usize = 2_000;
/// Most characters shown of a question.
const QUESTION_CHARACTERS: usize = 4_000;
/// Most steps shown of a trace, half from its beginning and half from its end.
const SHOWN_STEPS: usize = 60;
/// Answers shown at a step, besides the target.
const SHOWN_ANSWERS: usize = 3;

/// All traces, the first unfolded.
pub(super) fn traces(exemplars: &[&Exemplar]) -> Result<Markup, Error> {
    let mut shown: Vec<Markup> = Vec::new();
    for exemplar in exemplars {
        let Some(row) = &exemplar.trace else { continue };
        if !exemplar.prefixes.is_empty() {
            shown.push(one(exemplar, row, shown.is_empty())?);
        }
    }
    Ok(html! { @for trace in &shown { (trace) } })
}

fn one(exemplar: &Exemplar, row: &TraceRow, open: bool) -> Result<Markup, Error> {
    let svg = trace_curve(&points(exemplar, row))?;
    let highest = exemplar.prefixes.iter().map(|p| p.answer_entropy).fold(0.0, f64::max).max(1e-9);
    let n = exemplar.prefixes.len();
    let hidden = n.saturating_sub(SHOWN_STEPS);
    let (first, last) = if hidden > 0 { (SHOWN_STEPS / 2, n - SHOWN_STEPS / 2) } else { (n, n) };
    Ok(html! {
        details open[open] {
            summary {
                (exemplar.choice.why) ": question " (row.question_id)
                @if row.sample > 0 { ", trace " (row.sample + 1) }
                (verdict(row))
            }
            (statement(row))
            figure.curve { (PreEscaped(svg)) }
            div.steps {
                @for prefix in &exemplar.prefixes[..first] { (step(exemplar, row, prefix, highest)) }
                @if hidden > 0 { p.note { (hidden) " steps in between are not shown." } }
                @for prefix in &exemplar.prefixes[last..] { (step(exemplar, row, prefix, highest)) }
            }
        }
    })
}

fn points(exemplar: &Exemplar, row: &TraceRow) -> Vec<TracePoint> {
    let point = |p: &PrefixRow| TracePoint {
        step: p.step,
        entropy: p.answer_entropy,
        lower: p.entropy_lower,
        upper: p.entropy_upper,
        leader_is_target: row.target.as_deref().map(|target| *p.leader == *target),
    };
    exemplar.prefixes.iter().map(point).collect()
}

fn verdict(row: &TraceRow) -> Markup {
    html! {
        @match row.correct {
            Some(true) => { span.tag.correct { "correct" } }
            Some(false) => { span.tag.wrong { "wrong" } }
            None => { span.tag.plain { "no target" } }
        }
    }
}

fn statement(row: &TraceRow) -> Markup {
    html! {
        div.said { (cut(&row.question, QUESTION_CHARACTERS)) }
        @if let Some((labels, texts)) = row.choices.as_deref().and_then(options) {
            ol.choices {
                @for (label, text) in labels.iter().zip(&texts) {
                    li {
                        b { (label) } " " (cut(text, STEP_CHARACTERS))
                        @if row.target.as_deref() == Some(label) { " " span.tag.correct { "target" } }
                    }
                }
            }
        }
        p.note {
            @if let Some(target) = &row.target { "Target: " b { (target) } ". " }
            "Stated answer: "
            @match row.answer.as_deref() {
                Some(Answer::INVALID_NAME) => "none that can be read",
                Some(answer) => b { (cut(answer, 200)) },
                None => "not known",
            }
            ". " (row.n_trace_tokens) " tokens in " (row.n_steps) " steps"
            @if let Some(step) = row.lock_in_step { "; locks in at step " (step) }
            @if let Some(wasted) = row.wasted_tokens { ", " (wasted) " tokens after that" }
            "."
        }
    }
}

/// Labels and texts of `{"labels": [...], "texts": [...]}`.
fn options(json: &str) -> Option<(Vec<String>, Vec<String>)> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    let strings = |name: &str| -> Option<Vec<String>> {
        value.get(name)?.as_array()?.iter().map(|v| v.as_str().map(str::to_string)).collect()
    };
    Some((strings("labels")?, strings("texts")?))
}

fn step(exemplar: &Exemplar, row: &TraceRow, prefix: &PrefixRow, highest: f64) -> Markup {
    let width = (100.0 * prefix.answer_entropy / highest).clamp(0.0, 100.0);
    html! {
        div.step {
            div.measure {
                @if prefix.step == 0 { "question alone" } @else { "step " (prefix.step) }
                span.bar { i style={ "width:" (format!("{width:.1}")) "%" } {} }
                "H " b { (decimal(prefix.answer_entropy, 2)) }
                @if let Some(gain) = prefix.information_gain { ", g " b { (decimal(gain, 2)) } }
            }
            div.words {
                @if prefix.step > 0 { (cut(exemplar.text_of_step(prefix.step).trim(), STEP_CHARACTERS)) }
            }
            (answers(exemplar, row, prefix))
        }
    }
}

/// The leading answers, and the target if it is not among them.
fn answers(exemplar: &Exemplar, row: &TraceRow, prefix: &PrefixRow) -> Markup {
    let target = row.target.as_deref();
    let all = exemplar.answers_at(prefix.step);
    let mut shown: Vec<(&str, f64)> = all.iter().take(SHOWN_ANSWERS).map(|a| (&*a.answer, a.prob)).collect();
    if shown.is_empty() {
        shown.push((&prefix.leader, prefix.leader_prob));
    }
    if shown.iter().all(|(answer, _)| Some(*answer) != target) {
        let found = all.iter().find(|a| Some(&*a.answer) == target).map(|a| a.prob);
        let prob = found.or(prefix.target_logprob.map(f64::exp));
        shown.extend(target.zip(prob));
    }
    html! {
        div.answers {
            @for (answer, prob) in shown {
                div.target[Some(answer) == target] {
                    i style={ "width:" (format!("{:.1}", (100.0 * prob).clamp(0.0, 100.0))) "%" } {}
                    span title=[(Some(answer) == target).then_some("target")] {
                        (cut(answer, 60)) @if Some(answer) == target { " ✓" }
                    }
                    span { (probability(prob)) }
                }
            }
        }
    }
}

fn probability(prob: f64) -> String {
    if prob > 0.0 && prob < 0.001 { "<.001".to_string() } else { decimal(prob, 3) }
}

/// At most so many characters, with a note of how many are missing.
fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_string(),
        Some((end, _)) => format!("{} … ({} more characters)", &text[..end], text[end..].chars().count()),
    }
}
