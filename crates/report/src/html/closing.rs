//! The end of the page: method, glossary, and what is needed to repeat the run.

use maud::{Markup, html};

use super::parts::fold;
use crate::format::decimal;
use crate::metrics::Metrics;

/// How numbers were made, in words.
pub(super) fn method(metrics: &Metrics) -> Markup {
    html! {
        section {
            (fold("method", html! { h2 { "How the numbers were made" } }, false, html! {
            p {
                "A trace is cut into steps; a prefix is the question with the first " var { "k" } " steps, counted in tokens. At each \
                 prefix an estimator gives a distribution over answers. With " code { "choices" } ", " code { "enumerate" } " and "
                code { "sample" } " it is what the model would answer if it had to answer now, after the cue; with "
                code { "rollout" } " it is what it answers when it continues its reasoning."
            }
            p {
                "Traces have different numbers of steps, so curves are read at relative depths " var { "s" } " = 0, 0.05, …, 1: the \
                 value at " var { "s" } " is that of the last prefix at or before it. Means are over the traces of a question first and \
                 then over questions. Intervals are " (decimal(100.0 * metrics.options.level, 0)) " %, pointwise, from a bootstrap \
                 that resamples whole questions (seed " (metrics.options.seed) "), below eight questions Student's. Those of AUROC use \
                 the variance of Obuchowski for clustered rows and Student's t; where fewer than ten questions have traces of one \
                 verdict there is none."
            }
            p {
                "Under " code { "rollout" } " the mean entropy falls along any trace, whatever the model knows: the belief is a \
                 martingale. What speaks for knowledge is information gained about the target beyond the controls, and correct \
                 traces that separate from wrong ones."
            }
            }))
        }
    }
}

/// Quantities with their formulas.
pub(super) fn glossary() -> Markup {
    let k = || html! { sub { var { "k" } } };
    html! {
        section {
            (fold("glossary", html! { h2 { "Glossary" } }, false, html! {
            dl.glossary {
                dt { "Answer distribution " var { "p" } (k()) }
                dd { var { "p" } (k()) "(" var { "a" } ") = probability of answer " var { "a" } " given the question and the first "
                    var { "k" } " steps; answers with one canonical form are one outcome." }
                dt { "Answer entropy " var { "H" } (k()) }
                dd { var { "H" } (k()) " = −Σ" sub { var { "a" } } " " var { "p" } (k()) "(" var { "a" } ") ln " var { "p" } (k()) "("
                    var { "a" } "), in nats; e" sup { var { "H" } } " is the number of equally likely answers with this entropy." }
                dt { "Information gain " var { "g" } (k()) ", " var { "G" } "(" var { "s" } ")" }
                dd { var { "g" } (k()) " = ln " var { "p" } (k()) "(target) − ln " var { "p" } sub { "0" } "(target); " var { "G" } "("
                    var { "s" } ") is its mean at depth " var { "s" } "." }
                dt { "Usable information " var { "I" } "(" var { "s" } ")" }
                dd { "How much better the true answer is foretold with the trace up to depth " var { "s" } " than without it, by a mixture of "
                    var { "p" } (k()) " and " var { "p" } sub { "0" } ", each at a temperature, and a base distribution, fitted on other questions \
                    (predictive V-information). It cannot be lowered by over-confidence nor raised by certainty alone." }
                dt { "Over-confidence cost" }
                dd { var { "I" } " − " var { "G" } ": what log loss charges for stating more than is known." }
                dt { "Controls" }
                dd { i { "swapped" } ": the trace of another question of the task instead of the question's own; " i { "shuffled" }
                    ": its own steps in random order; " i { "unstated" }
                    ": the trace without the sentences and lines that state its answer. Net: " var { "I" } " or " var { "G" } " minus that under the control, on the same questions." }
                dt { "AUROC of −" var { "H" } "(" var { "s" } ")" }
                dd { "Probability that a correct trace has lower entropy than a wrong one at depth " var { "s" }
                    ", ties counting one half: 0.5 is chance, 1 perfect." }
                dt { "Stepwise informativeness" }
                dd { "The assumption that information about the true answer accumulates along reasoning, in expectation. Supported where the \
                     usable information, its net over swapped traces and its rise along depth are all beyond chance." }
                dt { "Effective answers" }
                dd { "e" sup { var { "H" } } ": the number of equally likely answers that a belief is worth." }
                dt { "Path length, directness" }
                dd { "Σ" var { "J" } " = ΣTV(" var { "p" } (k()) ", " var { "p" } sub { var { "k" } "+1" } "); directness = TV("
                    var { "p" } sub { "0" } ", " var { "p" } sub { var { "K" } } ")/Σ" var { "J" } ": 1 for a straight path." }
                dt { "Lock-in" }
                dd { "The first step from which the leading answer never changes and leads clearly; tokens after it are wasted." }
                dt { "Monotone" }
                dd { "A trace whose entropy never rises by more than 0.01 nats from one prefix to the next." }
                dt { "Fano's inequality" }
                dd { var { "h" } sub { "2" } "(" var { "P" } sub { "e" } ") + " var { "P" } sub { "e" } " ln(|A| − 1) ≥ " var { "H" }
                    "; the weak form is " var { "P" } sub { "e" } " ≥ (" var { "H" } " − ln 2) / ln(|A| − 1)." }
                dt { "Share of raw probability on answers" }
                dd { "How much of the model's probability after the cue went to answers at all, before it was scaled to one." }
            }
            }))
        }
    }
}

/// The command, every setting and the occasion.
pub(super) fn reproduce(metrics: &Metrics) -> Markup {
    let run = &metrics.run;
    let command: Vec<String> = run.command.iter().map(|word| quoted(word)).collect();
    html! {
        section {
            (fold("reproduce", html! { h2 { "How to repeat this" } }, false, html! {
            @if command.is_empty() {
                p { "The record does not hold a command line." }
            } @else {
                p { "The command of the run:" }
                pre { (command.join(" ")) }
            }
            p {
                "This page is made from the record alone and can be made again from it without the model. Run by entrace "
                (run.entrace_version) ", begun " (run.started_at)
                @if let Some(finished) = &run.finished_at { ", finished " (finished) } @else { ", not finished" }
                ", " (decimal(run.elapsed_secs, 0)) " s of work; record format " (run.format_version) "."
            }
            div.scroll {
                table {
                    caption { "Settings that the results depend on." }
                    tbody { @for (name, value) in settings(metrics) { tr { td { (name) } td.text { (value) } } } }
                }
            }
            }))
        }
    }
}

/// A word as a POSIX shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Every field of the settings by its path, as in `model.revision`.
fn settings(metrics: &Metrics) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    if let Ok(value) = serde_json::to_value(&metrics.run.settings) {
        flatten("", &value, &mut rows);
    }
    rows
}

fn flatten(path: &str, value: &serde_json::Value, rows: &mut Vec<(String, String)>) {
    use serde_json::Value;
    let join = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(&join(name), value, rows)),
        Value::Array(items) if items.iter().any(|item| item.is_object()) => {
            for (i, item) in items.iter().enumerate() {
                let name =
                    item.get("name").and_then(Value::as_str).map_or_else(|| i.to_string(), str::to_string);
                flatten(&join(&name), item, rows);
            }
        }
        other => rows.push((path.to_string(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("--model=org/name@main"), "--model=org/name@main");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
