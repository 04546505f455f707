//! What a run has not measured, in lines for the terminal and Markdown: questions still to come, traces left out and why,
//! lines of the input that could not be read.

use crate::format::{count, shortened, thousands};
use crate::metrics::{Counts, Metrics, OutcomeReason};

/// Reasons that are shown of a task.
const MOST_REASONS: usize = 3;

/// How far an unfinished run has come; `None` for a finished one.
pub(crate) fn unfinished(metrics: &Metrics) -> Option<String> {
    if metrics.is_finished() {
        return None;
    }
    let totals = metrics.totals();
    Some(format!(
        "{} of {} are done; run the same command again to resume",
        thousands(totals.questions),
        count(totals.questions_planned, "question")
    ))
}

/// That a run measured nothing at all; `None` where it measured something, and where it was to write traces alone.
pub(crate) fn nothing(metrics: &Metrics) -> Option<&'static str> {
    let totals = metrics.totals();
    match (totals.measured, totals.traces) {
        (0, 0) => Some("Nothing was measured: the record holds no trace."),
        (0, n) if metrics.measures_nothing() && n > totals.failed => None,
        (0, _) => Some("Nothing was measured: every trace was skipped or failed."),
        _ => None,
    }
}

/// One line of at most `width` characters for each of the most frequent reasons of a task, and for what else is missing.
pub(crate) fn lines(counts: &Counts, width: usize) -> Vec<String> {
    let (shown, rest) = counts.reasons.split_at(counts.reasons.len().min(MOST_REASONS));
    let mut lines: Vec<String> = shown.iter().map(reason).collect();
    if !rest.is_empty() {
        let traces = rest.iter().map(|reason| reason.traces).sum();
        lines.push(format!("{} for other reasons, all of them in metrics.json", count(traces, "trace")));
    }
    if counts.bad_lines > 0 {
        lines.push(format!("{} of the input could not be read", count(counts.bad_lines, "line")));
    }
    lines.iter().map(|line| shortened(line, width)).collect()
}

fn reason(reason: &OutcomeReason) -> String {
    let why = reason.reason.as_deref().unwrap_or("no reason was recorded");
    format!("{} {}: {why}", count(reason.traces, "trace"), reason.outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(reasons: &[(usize, Option<&str>)], bad_lines: usize) -> Counts {
        let reason = |&(traces, reason): &(usize, Option<&str>)| OutcomeReason {
            outcome: "skipped".into(),
            reason: reason.map(Into::into),
            traces,
        };
        Counts { reasons: reasons.iter().map(reason).collect(), bad_lines, ..Counts::default() }
    }

    #[test]
    fn the_most_frequent_reasons_have_a_line_each() {
        let found = lines(&counts(&[(4, Some("the trace\nis empty")), (1, None)], 0), 80);
        assert_eq!(
            found,
            ["4 traces skipped: the trace is empty", "1 trace skipped: no reason was recorded"]
        );
        let many = [(5, Some("a")), (4, Some("b")), (3, Some("c")), (2, Some("d")), (1, Some("e"))];
        let found = lines(&counts(&many, 2), 80);
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found[3].starts_with("3 traces for other reasons"), "{found:?}");
        assert_eq!(found[4], "2 lines of the input could not be read");
        let long = lines(&counts(&[(4, Some(&"word ".repeat(40)))], 0), 60);
        assert!(long[0].chars().count() <= 60 && long[0].ends_with('…'), "{long:?}");
    }
}
