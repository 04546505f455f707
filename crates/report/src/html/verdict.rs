//! The verdict of a task: what was asked and found, in a box; on which numbers, and what it does not show, for those who ask.

use maud::{Markup, html};

use super::parts::key;
use crate::format::{Scale, count, decimal, optional};
use crate::metrics::verdict::{CheckMetrics, NEGLIGIBLE, NetInformation, VerdictMetrics};
use crate::metrics::{Finding, Quantity, TaskMetrics};
use crate::sentence::{LIMITS, broken, other_n, p_number, p_value, readout_name};

/// The box at the top of a task.
pub(super) fn verdict(task: &TaskMetrics) -> Markup {
    let verdict = &task.verdict;
    let class = match verdict.finding {
        Finding::Supported => "supported",
        Finding::NotSupported => "not-supported",
        Finding::Inconclusive => "inconclusive",
    };
    let headline = headline(verdict);
    html! {
        div.verdict.(class) {
            @if let Some(alarm) = broken(verdict.estimator_check.as_ref()) { p.alarm { (alarm) } }
            p.question { "Stepwise informativeness: does the model's reasoning gain information about the true answer as it goes?" }
            p.headline { (headline) }
            p { "Because " (verdict.reasons.join("; ")) "." }
        }
    }
}

/// The numbers behind it, how it was decided, and what it does not show.
pub(super) fn reasons(task: &TaskMetrics) -> Markup {
    let verdict = &task.verdict;
    html! {
        (numbers(verdict))
        (method(verdict))
        @if let Some(check) = &verdict.estimator_check { (self_check(check)) }
        p { (LIMITS) }
    }
}

fn headline(verdict: &VerdictMetrics) -> &'static str {
    match verdict.finding {
        Finding::Supported if verdict.comes_with_the_statement() => {
            "Only with the statement of the answer: before it is stated, the reasoning is not shown to inform about the true answer."
        }
        Finding::Supported => {
            "Supported: along the reasoning, information about the true answer accumulates."
        }
        Finding::NotSupported if verdict.information_is_refuted() => {
            "Not supported: the reasoning brings no usable information about the true answer."
        }
        Finding::NotSupported => {
            "Not supported: the reasoning brings no more information about the true answer than another question's trace."
        }
        Finding::Inconclusive => "Inconclusive: the data neither support nor refute it.",
    }
}

fn numbers(verdict: &VerdictMetrics) -> Markup {
    let n_questions = verdict.usable_information.n_questions;
    html! {
        dl.keys {
            (key("Usable information I(1)", &verdict.usable_information, Scale::Plain, "nats"))
            @for net in &verdict.net {
                (key(&net_label(net, n_questions), &net.net, Scale::Plain, "nats"))
            }
            @if verdict.net.is_empty() {
                (key("Net information", &Quantity::undefined("no control was measured"), Scale::Plain, "nats"))
            }
            (key("Before the answer is stated", &verdict.before_statement, Scale::Plain, "nats"))
            div {
                dt { "Rise along depth" }
                dd {
                    span.number { (p_words(verdict.trend.p_value)) }
                    @if let Some(reason) = &verdict.trend.reason { span.ci { (reason) } }
                }
            }
        }
    }
}

fn net_label(net: &NetInformation, n_questions: usize) -> String {
    format!("Net of {} traces{}", net.control, other_n(&net.net, n_questions))
}

fn method(verdict: &VerdictMetrics) -> Markup {
    let trend = &verdict.trend;
    html! {
        p {
            @if let Some(readout) = readout_name(&verdict.readout) { "Read by " (readout) ". " }
            "Usable information is how much better the true answer is foretold with the trace \
             than without it, by a readout fitted on other questions; it can ignore a trace that is of no use and correct one that is too \
             certain. Supported means that the intervals of I(1) and of its net over swapped traces both lie above "
            (decimal(verdict.threshold, 2)) " nats and that I rises along depth (p < " (decimal(verdict.alpha, 2))
            "); not supported, that one of the two intervals ends below " (decimal(verdict.threshold + NEGLIGIBLE, 2)) " nats. Swapped: another \
             question's trace instead of its own, with a fit of its own: the effect of similar text that is not about the question. Shuffled, \
             where present: the trace's own steps in random order; it asks whether order matters and does not decide."
        }
        p {
            "The raw gain of log-probability is G(1) = " (Scale::Plain.with_interval(&verdict.gain)) " nats, and "
            (Scale::Plain.with_interval(&verdict.net_gain)) " net of swapped traces. It charges over-confidence to the same account: a readout \
             that is certain and sometimes wrong loses nats although its traces inform. A foreign trace misleads, which inflates the net."
        }
        p {
            "The rise is the mean least-squares slope over depths 0, ¼, ½, ¾ and 1 of " (count(trend.n_questions, "question")) ", "
            (optional(trend.slope, 2)) " nats a trace, tested one-sided over questions. " (count(verdict.n_left_out, "trace")) " of "
            (verdict.n_traces) " lack a readout and took no part."
        }
    }
}

fn p_words(p: Option<f64>) -> String {
    p.map_or_else(|| "p undefined".to_string(), p_value)
}

fn self_check(check: &CheckMetrics) -> Markup {
    html! {
        p {
            "Self-check of the rollout estimator: belief about any fixed answer must not drift on average. "
            @if check.broken { "It fails." }
            @else if let Some(reason) = &check.reason { "It could not be made: " (reason) "." }
            @else { "It passes (smallest adjusted " (p_words(check.p_value)) ", alarm below " (decimal(check.alpha, 2)) ")." }
        }
        @if !check.tests.is_empty() {
            div.scroll {
                table {
                    thead { tr { th { "Drift of" } th { "mean" } th { "95 % interval" } th { "p" } th { "adjusted p" } th { "n" } } }
                    tbody { @for test in &check.tests { tr {
                        td { (test.name) }
                        td { (decimal(test.mean, 4)) }
                        td { "[" (decimal(test.interval.0, 4)) ", " (decimal(test.interval.1, 4)) "]" }
                        td { (p_number(Some(test.p_value))) }
                        td { (p_number(Some(test.holm_p))) }
                        td { (test.n_questions) }
                    } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{MetricOptions, Metrics};
    use crate::synthetic;

    #[test]
    fn headlines_claim_what_was_found() {
        let (manifest, rows) = synthetic::run(40, 1);
        let options = MetricOptions { replicates: 60, ..MetricOptions::default() };
        let mut verdict = Metrics::of(&manifest, &rows, &options).tasks.swap_remove(0).verdict;
        verdict.finding = Finding::Supported;
        verdict.before_statement = Quantity::default();
        assert!(headline(&verdict).ends_with("accumulates."));
        verdict.before_statement = Quantity { value: Some(0.1), low: Some(-0.1), ..Quantity::default() };
        assert!(headline(&verdict).contains("Only with the statement"));
        verdict.finding = Finding::NotSupported;
        verdict.usable_information.high = Some(1.0);
        assert!(headline(&verdict).contains("than another question's trace"));
        verdict.usable_information.high = Some(-0.1);
        assert!(headline(&verdict).contains("no usable information"));
    }
}
