//! The verdict of a task: what was asked, what was found, on which numbers, and what it does not show.

use maud::{Markup, html};

use super::parts::key;
use crate::format::{Scale, count, decimal, optional};
use crate::metrics::verdict::{CheckMetrics, NetGain, VerdictMetrics};
use crate::metrics::{Finding, Quantity, TaskMetrics};
use crate::sentence::{LIMITS, broken, other_n, p_number, p_value};

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
            (numbers(verdict))
            details {
                summary { "How this was decided, and what it does not show" }
                (method(verdict))
                @if let Some(check) = &verdict.estimator_check { (self_check(check)) }
                p { (LIMITS) }
            }
        }
    }
}

fn headline(verdict: &VerdictMetrics) -> &'static str {
    match verdict.finding {
        Finding::Supported if verdict.comes_at_the_end() => {
            "Supported, by the last steps only: the information about the true answer comes with the end of the reasoning."
        }
        Finding::Supported => {
            "Supported: along the reasoning, information about the true answer accumulates."
        }
        Finding::NotSupported if verdict.gain_is_refuted() => {
            "Not supported: along the reasoning, no information about the true answer is gained on average."
        }
        Finding::NotSupported => {
            "Not supported: the reasoning gives no more information about the true answer than another question's trace gives."
        }
        Finding::Inconclusive => "Inconclusive: the data neither support nor refute it.",
    }
}

fn numbers(verdict: &VerdictMetrics) -> Markup {
    html! {
        dl.keys {
            (key("Gain G(1)", &verdict.gain, Scale::Plain, "nats"))
            @for net in &verdict.net_gains {
                (key(&net_label(net, verdict.gain.n_questions), &net.net_gain, Scale::Plain, "nats"))
            }
            @if verdict.net_gains.is_empty() {
                (key("Net gain", &Quantity::undefined("no control was measured"), Scale::Plain, "nats"))
            }
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

fn net_label(net: &NetGain, n_questions: usize) -> String {
    format!("Net of {} traces{}", net.control, other_n(&net.net_gain, n_questions))
}

fn method(verdict: &VerdictMetrics) -> Markup {
    let trend = &verdict.trend;
    html! {
        p {
            "Supported means that the intervals of the gain and of its net over swapped traces both lie above "
            (decimal(verdict.threshold, 2)) " nats and that the gain rises along depth (p < " (decimal(verdict.alpha, 2))
            "); not supported, that the interval of the net gain or of the gain itself does not reach above the threshold. \
             Swapped: another question's trace in the place of the own one. It shows what a text of this kind does that is not about \
             the question; as it argues for another answer, it may also lower the belief in the true one, so a net gain alone is no \
             evidence. Before the last quarter of the trace the gain is G(¾) = "
            (Scale::Plain.with_interval(&verdict.gain_before_end)) " nats. Shuffled, where present: the own steps in random order; it asks whether order matters and does not decide."
        }
        p {
            "The trend is Page's test over depths 0, ¼, ½, ¾ and 1 with "
            (count(trend.n_questions, "question")) " as blocks (L = " (optional(trend.statistic, 0)) ", "
            (p_words(trend.page_p)) " if depths are exchangeable; from the spread of L between questions "
            (p_words(trend.question_p)) "). The larger counts. "
            (count(verdict.n_without_gain, "trace")) " of " (verdict.n_traces) " had no known gain and took no part."
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
        assert!(headline(&verdict).ends_with("accumulates."));
        verdict.gain_before_end.low = Some(-0.1);
        assert!(headline(&verdict).contains("by the last steps only"));
        verdict.finding = Finding::NotSupported;
        assert!(verdict.gain.high > Some(0.0));
        assert!(headline(&verdict).contains("than another question's trace gives"));
        verdict.gain.high = Some(-0.1);
        assert!(headline(&verdict).contains("no information about the true answer is gained"));
    }
}
