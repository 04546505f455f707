//! When traces state their answer, and how far the forced readout only copies.
//!
//! The stating step of a trace is the first whose text contains the answer that the trace ends with (`entrace_measure::statement`); its depth
//! is that step over K. A trace that states its answer at once does so in its first step. Traces whose answer cannot be read take no part.
//!
//! Where answers are numbers: the share of prefixes whose most likely answer is the last number that the text holds, by depth. A forced
//! readout that is sure of the last intermediate result ("Dean's height is 17" gives 17) has copied it. Prefixes without a number take no
//! part; nor do beliefs of `rollout`, which are not forced. After the answer is stated the last number is mostly the answer itself, so the
//! share before that stands apart. Source: the copying of forced readouts, arXiv:2605.10799.

use entrace_stats::bootstrap::Resampling;
use entrace_stats::summary;
use serde::{Deserialize, Serialize};

use super::curves::positions;
use super::quantity::{Curve, Groups, Quantity, QuestionMeans, group_means};
use crate::depth::N_DEPTHS;
use crate::facts::{Stated, TaskFacts, TraceFacts};

/// When answers are stated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StatementMetrics {
    /// Share of traces in which some step states the answer that the trace ends with.
    pub share: Groups<Quantity>,
    /// Share of traces that state it in their first step.
    pub at_once: Groups<Quantity>,
    /// Mean relative depth of the stating step, over the traces that have one.
    pub depth: Groups<Quantity>,
    /// Its median; null where no trace has one.
    pub median_depth: Option<f64>,
    /// Share of traces with a target in which some step states the target, right or wrong as the trace may be.
    pub target_share: Groups<Quantity>,
    /// Share of prefixes whose most likely answer is the last number of the text; without values where answers are no numbers.
    pub leader_is_last_number: Curve,
    /// The same over the prefixes from the first step to the last before the statement; whole traces where they state nothing.
    pub leader_is_last_number_before: Quantity,
    /// Why there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

pub(super) fn of(task: &TaskFacts, resampling: &Resampling) -> StatementMetrics {
    let answered = || task.measured().filter_map(|(trace, _)| Some((trace, stated(trace)?)));
    if answered().next().is_none() {
        let reason = Some("no measured trace has both a readable answer and its text".to_string());
        return StatementMetrics { reason, ..StatementMetrics::default() };
    }
    let means = |value: fn(&TraceFacts, Stated) -> Option<f64>| {
        let values = answered().map(|(t, stated)| (t.question, t.correct, value(t, stated)));
        group_means(task.n_questions, values, resampling)
    };
    let shares = |groups: Groups<Quantity>| groups.into_shares(resampling.level);
    let targets = task.measured().map(|(trace, _)| {
        let has_target = trace.statements.as_ref().is_some_and(|statements| statements.target.is_some());
        let stated = has_target.then(|| share(trace.target_stated_step().is_some()));
        (trace.question, trace.correct, stated)
    });
    let depths: Vec<f64> = answered().filter_map(|(trace, stated)| depth(trace, stated)).collect();
    StatementMetrics {
        share: shares(means(|_, stated| Some(share(stated.first_step.is_some())))),
        at_once: shares(means(|_, stated| Some(share(stated.first_step == Some(1))))),
        depth: means(depth),
        median_depth: summary::median(&depths).ok(),
        target_share: shares(group_means(task.n_questions, targets, resampling)),
        leader_is_last_number: copied(task, resampling),
        leader_is_last_number_before: copied_before(task, resampling),
        reason: None,
    }
}

fn stated(trace: &TraceFacts) -> Option<Stated> {
    trace.statements.as_ref()?.answer
}

fn share(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

fn depth(trace: &TraceFacts, stated: Stated) -> Option<f64> {
    Some(f64::from(stated.first_step?) / f64::from(trace.n_steps.max(1)))
}

fn copied(task: &TaskFacts, resampling: &Resampling) -> Curve {
    if let Some(reason) = no_copies(task) {
        return Curve { reason: Some(reason.to_string()), ..Curve::default() };
    }
    let mut means = QuestionMeans::new(task.n_questions, N_DEPTHS);
    for (trace, points) in task.measured() {
        for (column, i) in positions(points).into_iter().enumerate() {
            if let Some(copied) = points[i].leader_is_last_number {
                means.add(trace.question, column, share(copied));
            }
        }
    }
    let shares = means.per_question().quantities(resampling);
    Curve::of(&shares.into_iter().map(|s| s.into_share(resampling.level)).collect::<Vec<_>>())
}

fn copied_before(task: &TaskFacts, resampling: &Resampling) -> Quantity {
    if let Some(reason) = no_copies(task) {
        return Quantity::undefined(reason);
    }
    let mut means = QuestionMeans::new(task.n_questions, 1);
    for (trace, points) in task.measured() {
        let statement = trace.stated_step().unwrap_or(u32::MAX);
        let before = points.iter().filter(|point| (1..statement).contains(&point.step));
        let copied: Vec<f64> = before.filter_map(|point| point.leader_is_last_number.map(share)).collect();
        if !copied.is_empty() {
            means.add(trace.question, 0, copied.iter().sum::<f64>() / copied.len() as f64);
        }
    }
    let shares = means.per_question().quantities(resampling);
    shares.into_iter().next().unwrap_or_default().into_share(resampling.level)
}

/// Why no readout can be said to copy numbers here.
fn no_copies(task: &TaskFacts) -> Option<&'static str> {
    if task.is_rollout() {
        return Some("beliefs of rollout are not forced");
    }
    (!task.answers_are_numbers()).then_some("answers are no numbers")
}

#[cfg(test)]
mod tests {
    use entrace_record::rows::{Rows, TokenRow, TraceRow};

    use super::super::tests::{curve, trace};
    use super::super::{MetricOptions, Metrics};
    use super::*;
    use crate::synthetic;

    /// A trace of question `id` whose steps are these texts, one token each, with the leader at each prefix.
    fn add(rows: &mut Rows, id: &str, target: &str, answer: &str, steps: &[&str], leaders: &[&str]) {
        rows.traces.push(TraceRow {
            choices: None,
            target: Some(target.into()),
            answer: Some(answer.into()),
            n_trace_tokens: steps.len() as u32,
            n_steps: steps.len() as u32,
            ..trace(id, 0, Some(target == answer))
        });
        let points: Vec<(f64, f64, &str)> = leaders.iter().map(|&leader| (0.5, -0.7, leader)).collect();
        rows.prefixes.extend(curve(id, 0, "none", &points));
        let tokens = steps.iter().enumerate().map(|(index, &text)| TokenRow {
            task: "t".into(),
            question_id: id.into(),
            sample: 0,
            index: index as u32,
            step: index as u32 + 1,
            token_id: 0,
            text: text.into(),
            logprob: None,
            token_entropy: None,
            top2_margin: None,
            topk_confidence: None,
            uniform_divergence: None,
        });
        rows.tokens.extend(tokens);
    }

    fn of_rows(rows: &Rows, estimator: &str) -> StatementMetrics {
        let manifest = synthetic::manifest(&[("t", estimator, 2)]);
        Metrics::of(&manifest, rows, &MetricOptions::default()).tasks.swap_remove(0).statement
    }

    #[test]
    fn the_stating_step_and_the_copies_before_it() {
        let mut rows = Rows::default();
        let built = [" 17 + 5 = 22.", " 22 + 12 = 34.", " The answer is 34."];
        add(&mut rows, "a", "34", "34", &built, &["5", "22", "34", "34"]);
        add(&mut rows, "b", "9", "255", &[" Dean is 17.", " So.", " It is 255."], &["5", "17", "9", "255"]);
        let found = of_rows(&rows, "enumerate");
        assert_eq!((found.share.all.value, found.at_once.all.value), (Some(1.0), Some(0.0)));
        assert_eq!((found.depth.correct.value, found.depth.wrong.value), (Some(2.0 / 3.0), Some(1.0)));
        assert_eq!(
            (found.target_share.correct.value, found.target_share.wrong.value),
            (Some(1.0), Some(0.0))
        );
        // Question a copies before its statement at its only prefix, question b at one of two.
        assert_eq!(found.leader_is_last_number_before.value, Some(0.75));
        let copied = &found.leader_is_last_number.value;
        assert_eq!((copied[0], copied[7], copied[14], copied[20]), (None, Some(1.0), Some(0.5), Some(1.0)));
    }

    #[test]
    fn what_is_not_known_has_a_reason() {
        let mut rows = Rows::default();
        add(&mut rows, "a", "B", "[invalid]", &["x"], &["B", "B"]);
        assert!(of_rows(&rows, "enumerate").reason.is_some());
        add(&mut rows, "b", "yes", "yes", &["Yes."], &["no", "yes"]);
        let found = of_rows(&rows, "choices");
        assert_eq!((found.reason, found.at_once.all.value), (None, Some(1.0)));
        assert!(found.leader_is_last_number.reason.is_some() && !found.leader_is_last_number.is_defined());
    }
}
