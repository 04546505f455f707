//! How belief moved and how traces came to their ends: the eight outcomes as bars, and the numbers of the path.

use maud::{Markup, html};

use super::parts::cell;
use crate::format::{Scale, percent};
use crate::metrics::{Groups, ProfileMetrics, Quantity, TaskMetrics};

pub(super) fn profile(task: &TaskMetrics) -> Markup {
    let profile = &task.profile;
    html! {
        @if let Some(reason) = &profile.reason { p.why { (reason) "." } }
        @if !profile.outcomes.is_empty() { (outcomes(profile)) }
        details {
            summary { "How belief moved" }
            (path(profile))
        }
    }
}

/// What each outcome means, in the order of the shares.
fn meaning(outcome: &str) -> &'static str {
    match outcome {
        "stable" => "the target leads throughout",
        "rescue" => "wrong at first, then right for good",
        "detour" => "right at first, left, and found again",
        "fragile" => "right against the last belief, or after losing what was found",
        "never-discovered" => "the target never leads",
        "escape" => "right at first, and left for good",
        "failed-rescue" => "found on the way, and lost for good",
        _ => "right by the last belief, wrong by its own ending",
    }
}

fn outcomes(profile: &ProfileMetrics) -> Markup {
    html! {
        div.outcomes {
            @for outcome in &profile.outcomes {
                @let share = outcome.share.value.unwrap_or(0.0);
                div.outcome {
                    span.name { b { (outcome.outcome) } " " (meaning(&outcome.outcome)) }
                    span.bar { i.(if outcome.success { "correct" } else { "wrong" })
                        style={ "width:" (crate::format::decimal(100.0 * share, 1)) "%" } {} }
                    span.value { (percent(outcome.share.value)) " %"
                        @if let Some(interval) = Scale::Percent.interval(&outcome.share) { " " span.ci { (interval) } } }
                }
            }
        }
        p.foot {
            "Share of traces by which answer leads from prefix to prefix and how the trace itself ends; blue ends in the target, orange does \
             not. Each question counts once."
        }
    }
}

fn path(profile: &ProfileMetrics) -> Markup {
    let rows: [(&str, &Groups<Quantity>); 7] = [
        ("Effective answers e^H before reasoning", &profile.effective_answers_first),
        ("Effective answers at the end", &profile.effective_answers_last),
        ("Changes of the leading answer", &profile.switches),
        ("Returns to an earlier leader", &profile.returns),
        ("Path length ΣJ (total variation)", &profile.path_length),
        ("Directness TV(first, last)/ΣJ", &profile.directness),
        ("Depth of commitment", &profile.commitment_depth),
    ];
    html! {
        div.scroll {
            table {
                thead { tr { th { "Mean per trace" } th { "all" } th { "correct" } th { "wrong" } } }
                tbody { @for (name, groups) in rows { tr {
                    td.text { (name) }
                    @for quantity in [&groups.all, &groups.correct, &groups.wrong] { td { (cell(quantity, Scale::Plain)) } }
                } } }
            }
        }
    }
}
