//! Which signals tell correct from wrong traces: figure, sentence, and the whole table on demand.

use maud::{Markup, PreEscaped, html};

use super::parts::cell;
use crate::format::{NONE, Scale, decimal, optional};
use crate::metrics::predict::{Calibration, LEVELS, SignalMetrics};
use crate::metrics::{PredictMetrics, TaskMetrics};
use crate::sentence::{best_signals, p_number, p_value};

pub(super) fn predict(task: &TaskMetrics, figure: Option<&str>) -> Markup {
    let predict = &task.predict;
    html! {
        @if let Some(reason) = &predict.reason { p.why { "Nothing can be predicted: " (reason) "." } }
        @if let Some(sentence) = best_signals(predict) {
            p {
                (sentence) " The best of many looks better than it is; the adjusted p-values and the combined score, judged on \
                 questions that it was not fitted to, are safer."
            }
        }
        @if let Some(svg) = figure { figure.forest { (PreEscaped(svg)) figcaption {
            "AUROC of each signal for correctness with its interval over questions. Left of one half a signal points the other way."
        } } }
        @if predict.reason.is_none() { (combined(predict)) }
        details {
            summary { "All signals" }
            (table(predict))
            (calibration(predict))
            (absent(predict))
        }
    }
}

fn combined(predict: &PredictMetrics) -> Markup {
    let combined = &predict.combined;
    html! {
        p {
            @if let Some(reason) = &combined.reason { "No combined score: " (reason) "." }
            @else {
                "Combined score: logistic regression over " (combined.signals.len())
                " cheap signals, cross-validated by question: AUROC within folds " (Scale::Plain.with_interval(&combined.auroc))
                @if combined.difference.value.is_some() {
                    ", " (Scale::Plain.with_interval(&combined.difference)) " above −H(1) alone"
                    @if let Some(p) = combined.p_value { " (" (p_value(p)) ")" }
                }
                @if let Some(c) = &combined.calibration {
                    "; Brier score " (decimal(c.brier, 3)) " where the base rate alone has " (decimal(c.uncertainty, 3))
                    ", calibration error " (decimal(c.ece, 3))
                }
                "."
            }
        }
    }
}

fn table(predict: &PredictMetrics) -> Markup {
    let ranked = predict.ranked();
    html! {
        div.scroll {
            table {
                caption {
                    "By level, the largest AUROC first. A minus marks a score that is the negative of its quantity. p: two-sided against \
                     0.5, adjusted over all signals (Holm). AP: average precision. AURC: area under the risk-coverage curve, \
                     and above the oracle's. PRR: prediction-rejection ratio."
                }
                thead { tr {
                    th { "Signal" } th { "n" } th { "AUROC" } th { "DeLong" } th { "p adjusted" } th { "AP" } th { "AURC" }
                    th { "excess" } th { "PRR" } th.text { "Source" }
                } }
                @for (level, title) in LEVELS {
                    @let rows: Vec<&&SignalMetrics> = ranked.iter().filter(|s| s.level == level).collect();
                    @if !rows.is_empty() {
                        tbody {
                            tr { th.group colspan="10" { (title) } }
                            @for signal in rows { (row(signal)) }
                        }
                    }
                }
            }
        }
    }
}

fn row(signal: &SignalMetrics) -> Markup {
    let delong = signal.delong.map_or_else(
        || NONE.to_string(),
        |(low, high)| format!("[{}, {}]", decimal(low, 2), decimal(high, 2)),
    );
    html! {
        tr {
            td { @if signal.negated { "−" } (signal.signal) }
            td { (signal.n_traces) }
            td { (cell(&signal.auroc, Scale::Plain)) }
            td { (delong) }
            td { (p_number(signal.holm_p)) }
            td { (optional(signal.average_precision, 2)) }
            td { (optional(signal.aurc, 3)) }
            td { (optional(signal.aurc_excess, 3)) }
            td { (optional(signal.prr, 2)) }
            td.text { (signal.source) }
        }
    }
}

fn calibration(predict: &PredictMetrics) -> Markup {
    let ranked = predict.ranked();
    let rows: Vec<(&str, &str, &Calibration)> = ranked
        .iter()
        .flat_map(|signal| {
            let name = signal.signal.as_str();
            [
                ("as it is", signal.probability.as_ref()),
                ("isotonic", signal.isotonic.as_ref()),
                ("logistic", signal.platt.as_ref()),
            ]
            .into_iter()
            .filter_map(move |(map, calibration)| Some((name, map, calibration?)))
        })
        .collect();
    html! {
        @if !rows.is_empty() {
            div.scroll {
                table {
                    caption {
                        "Scores as probabilities of being right: as they are (all traces) where they claim to be one, and after maps \
                         fitted on one half of the questions and judged on the other. Brier = reliability − resolution + uncertainty, \
                         up to variation within bins."
                    }
                    thead { tr {
                        th { "Signal" } th.text { "Map" } th { "n" } th { "Brier" } th { "reliability" } th { "resolution" }
                        th { "uncertainty" } th { "ECE" }
                    } }
                    tbody { @for (signal, map, c) in rows { tr {
                        td { (signal) } td.text { (map) } td { (c.n_traces) }
                        @for value in [c.brier, c.reliability, c.resolution, c.uncertainty, c.ece] { td { (decimal(value, 3)) } }
                    } } }
                }
            }
        }
    }
}

fn absent(predict: &PredictMetrics) -> Markup {
    let absent: Vec<(&str, &str)> =
        predict.signals.iter().filter_map(|s| Some((s.signal.as_str(), s.absent.as_deref()?))).collect();
    html! {
        @if !absent.is_empty() {
            p.foot {
                "Absent: "
                @for (i, (name, reason)) in absent.iter().enumerate() { @if i > 0 { "; " } (name) " (" (reason) ")" }
                "."
            }
        }
    }
}
