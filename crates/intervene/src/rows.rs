//! One change and what it did, as a row.

use crate::importance::Importance;
use crate::plan::Edit;
use crate::recorded::Recorded;
use entrace_measure::intervention::Reading;
use entrace_measure::intervention::effect::{Belief, Effect};
use entrace_record::rows::InterventionRow;

/// Most answers that a row lists.
const MOST_ANSWERS: usize = 32;

/// Name of the unchanged trace, among the kinds.
pub(crate) const UNCHANGED: &str = "none";

/// What was found of a change.
pub(crate) struct Found<'a> {
    /// Belief without it; `None` where that could not be read.
    pub(crate) before: Option<&'a Belief>,
    /// Belief with it, or why there is none.
    pub(crate) after: Result<&'a Belief, &'a str>,
    /// Tokens run for it alone.
    pub(crate) n_tokens: usize,
    pub(crate) importance: Option<Importance>,
}

/// The row of a change.
pub(crate) fn row(recorded: &Recorded, edit: &Edit, reading: Reading, found: &Found<'_>) -> InterventionRow {
    let blank = blank(recorded, edit, reading, found.n_tokens);
    let after = match found.after {
        Ok(after) => after,
        Err(reason) => return InterventionRow { reason: Some(reason.to_string()), ..blank },
    };
    let target = recorded.question.target.as_ref();
    let effect = found.before.map(|before| Effect::between(before, after, target));
    let change = effect.and_then(|effect| effect.target);
    let leader = after.leader();
    let leader_before = found.before.and_then(Belief::leader);
    InterventionRow {
        n_draws: after.n_draws().map(count),
        leader: leader.map(|(answer, _)| answer.name().into()),
        leader_prob: leader.map(|(_, prob)| prob),
        leader_before: leader_before.map(|(answer, _)| answer.name().into()),
        target_prob: target.map(|target| after.prob(target)),
        target_change: change.map(|change| change.value),
        target_change_low: change.map(|change| change.low),
        target_change_high: change.map(|change| change.high),
        tv: effect.map(|effect| effect.total_variation),
        kl_nats: effect.map(|effect| effect.kl_nats),
        leader_changes: effect.map(|effect| effect.leader_changes),
        conflicting_prob: edit.conflicting.as_ref().map(|answer| after.prob(answer)),
        residual_mass: Some(after.residual()),
        headroom: found.importance.map(|importance| importance.headroom_nats),
        noise_floor: found.importance.map(|importance| importance.floor),
        p_value: found.importance.map(|importance| importance.p_value),
        answers: Some(answers(after)),
        reason: found.before.is_none().then(|| "belief without the change could not be read".to_string()),
        ..blank
    }
}

/// The row of the unchanged trace.
pub(crate) fn unchanged(
    recorded: &Recorded,
    edit: &Edit,
    reading: Reading,
    found: &Found<'_>,
) -> InterventionRow {
    InterventionRow { kind: UNCHANGED.into(), ..row(recorded, edit, reading, found) }
}

fn blank(recorded: &Recorded, edit: &Edit, reading: Reading, n_tokens: usize) -> InterventionRow {
    let span = edit.replaced.as_ref();
    InterventionRow {
        task: recorded.question.task.as_str().into(),
        question_id: recorded.question.id.as_str().into(),
        sample: recorded.sample,
        step: count(edit.step),
        n_steps: count(recorded.n_steps()),
        kind: edit.kind.name().into(),
        variant: edit.variant.as_str().into(),
        reading: reading.name().into(),
        off_policy: edit.off_policy,
        span_start: span.map(|(bytes, _)| count(bytes.start)),
        span_end: span.map(|(bytes, _)| count(bytes.end)),
        original: span.map(|(bytes, _)| recorded.trace.text()[bytes.clone()].to_string()),
        replacement: span.map(|(_, text)| text.clone()),
        n_tokens: count(n_tokens),
        n_draws: None,
        leader: None,
        leader_prob: None,
        leader_before: None,
        target_prob: None,
        target_change: None,
        target_change_low: None,
        target_change_high: None,
        tv: None,
        kl_nats: None,
        leader_changes: None,
        conflicting: edit.conflicting.as_ref().map(|answer| answer.name().into()),
        conflicting_prob: None,
        residual_mass: None,
        headroom: None,
        noise_floor: None,
        p_value: None,
        answers: None,
        reason: None,
    }
}

/// The distribution as a JSON list of answers with their probabilities.
fn answers(belief: &Belief) -> String {
    let ranked = belief.ranked();
    let listed =
        ranked.iter().take(MOST_ANSWERS).map(|(answer, prob)| serde_json::json!([answer.name(), prob]));
    serde_json::Value::from_iter(listed).to_string()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
