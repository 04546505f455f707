//! Numbers of rows whose beliefs are given.

use entrace_stats::Level;
use entrace_stats::bootstrap::Resampling;

use super::*;
use crate::synthetic;

fn resampling() -> Resampling {
    Resampling { replicates: 2_000, seed: 0, level: Level::P95 }
}

pub(super) fn settings() -> InterventionSettings {
    serde_json::from_value(serde_json::json!({
        "entrace_version": "0", "model": null, "kinds": ["truncate", "conflict"], "readings": ["forced"], "draws": [8, 64],
        "alpha": 0.05, "dissimilar_below": 0.8, "seed": 0, "n_traces": 1, "tokens_scored": 0, "tokens_drawn": 0,
        "draws_made": 0, "draws_at_most": 0, "elapsed_secs": 0.0
    }))
    .unwrap()
}

/// A row after which this answer leads.
pub(super) fn row(
    id: usize,
    kind: &str,
    variant: &str,
    step: u32,
    n_steps: u32,
    leader: &str,
) -> InterventionRow {
    InterventionRow {
        task: "gsm8k".into(),
        question_id: format!("q{id}").into(),
        sample: 0,
        step,
        n_steps,
        kind: kind.into(),
        variant: variant.into(),
        reading: FORCED.into(),
        off_policy: kind != UNCHANGED,
        span_start: None,
        span_end: None,
        original: Some(format!("1 + {step} = {leader}.")),
        replacement: None,
        n_tokens: 3,
        n_draws: None,
        leader: Some(leader.into()),
        leader_prob: Some(0.9),
        leader_before: Some("7".into()),
        target_prob: Some(if leader == "7" { 0.9 } else { 0.05 }),
        target_change: Some(if leader == "7" { 0.0 } else { -0.85 }),
        target_change_low: None,
        target_change_high: None,
        tv: Some(if leader == "7" { 0.0 } else { 0.85 }),
        kl_nats: Some(0.0),
        leader_changes: Some(leader != "7"),
        conflicting: (kind == "conflict").then(|| "9".into()),
        conflicting_prob: (kind == "conflict").then_some(if leader == "9" { 0.9 } else { 0.05 }),
        residual_mass: Some(0.0),
        headroom: None,
        noise_floor: None,
        p_value: None,
        answers: Some(format!("[[\"{leader}\",0.9],[\"0\",0.05]]")),
        reason: None,
    }
}

/// Traces of 4 steps whose answer 7 comes up at step 3; the last line is copied.
pub(super) fn rows(n: usize) -> (Vec<InterventionRow>, Vec<TraceRow>) {
    let (mut rows, mut traces) = (Vec::new(), Vec::new());
    let (_, made) = synthetic::run(1, 1);
    for id in 0..n {
        traces.push(TraceRow {
            task: "gsm8k".into(),
            question_id: format!("q{id}").into(),
            sample: 0,
            choices: None,
            target: Some("7".into()),
            answer: Some("7".into()),
            correct: Some(true),
            ..made.traces[0].clone()
        });
        rows.push(row(id, UNCHANGED, "", 4, 4, "7"));
        rows.extend((0..4).map(|step| row(id, "truncate", "", step, 4, if step < 3 { "0" } else { "7" })));
        rows.extend((1..=4).map(|step| row(id, "delete", "", step, 4, if step == 3 { "0" } else { "7" })));
        rows.push(row(id, "conflict", "line", 4, 4, "9"));
        rows.push(row(id, "conflict", "steps", 4, 4, "7"));
        rows.push(row(id, "conflict", "both", 4, 4, "9"));
    }
    (rows, traces)
}

#[test]
fn areas_equal_their_closed_forms() {
    let (rows, traces) = rows(12);
    let metrics = InterventionMetrics::of(&settings(), &rows, &traces, &resampling());
    let task = &metrics.tasks[0];
    let area = |kind: &str| {
        let area = task.faithfulness.areas.iter().find(|area| area.kind == kind).unwrap();
        area.area.mean.value.unwrap()
    };
    // y = 0, 0, 0, 1, 1: under the polygon lie ½ and 1 of 4 parts.
    assert!((area("truncate") - (1.0 - 1.5 / 4.0)).abs() < 1e-12);
    assert!((area("delete") - 0.25).abs() < 1e-12);
}

#[test]
fn the_two_by_two_tells_a_copied_line_from_right_steps() {
    let (rows, traces) = rows(12);
    let metrics = InterventionMetrics::of(&settings(), &rows, &traces, &resampling());
    let faithfulness = &metrics.tasks[0].faithfulness;
    let accuracy: Vec<f64> = faithfulness.cells.iter().map(|cell| cell.accuracy.value.unwrap()).collect();
    assert_eq!(accuracy, [1.0, 0.0, 1.0, 0.0]);
    let followed: Vec<Option<f64>> = faithfulness.cells.iter().map(|cell| cell.followed.value).collect();
    assert_eq!(followed, [None, Some(1.0), Some(0.0), Some(1.0)]);
    assert_eq!(faithfulness.question_only.value, Some(0.0));
    assert_eq!(faithfulness.question_only_undecided.value, Some(0.0));
    assert!(faithfulness.cells.iter().all(|cell| cell.undecided.value == Some(0.0)));
    let line = &faithfulness.cells[1].accuracy_change;
    assert!((line.mean.value.unwrap() + 1.0).abs() < 1e-12 && line.p_holm.unwrap() < 0.05);
}

#[test]
fn effects_are_means_over_questions_and_adjusted() {
    let (rows, traces) = rows(12);
    let metrics = InterventionMetrics::of(&settings(), &rows, &traces, &resampling());
    let delete = metrics.tasks[0].effects.iter().find(|effect| effect.kind == "delete").unwrap();
    assert!((delete.target_change.mean.value.unwrap() + 0.85 / 4.0).abs() < 1e-12);
    assert_eq!((delete.n_made, delete.left_out.len()), (48, 0));
    assert!(delete.target_change.p_holm >= delete.target_change.p_value);
    assert!(delete.usable_change.value.unwrap() < 0.0, "{:?}", delete.usable_change);
    let states = metrics.tasks[0].places.iter().find(|place| place.group == "states the answer").unwrap();
    assert_eq!(states.n_steps, 36);
}

#[test]
fn nothing_that_was_measured_is_no_number() {
    let (mut rows, traces) = rows(1);
    rows.iter_mut().for_each(|row| (row.tv, row.leader, row.reason) = (None, None, Some("too long".into())));
    let metrics = InterventionMetrics::of(&settings(), &rows, &traces, &resampling());
    let task = &metrics.tasks[0];
    assert!(task.effects.iter().all(|effect| effect.n_made == 0 && effect.tv.value.is_none()));
    assert!(task.faithfulness.areas.is_empty() && task.faithfulness.cells.is_empty());
}

#[test]
fn what_is_less_likely_than_the_unexplored_does_not_lead() {
    let (mut rows, traces) = rows(12);
    for row in &mut rows {
        if &*row.kind == "truncate" && row.step == 0 {
            (row.leader, row.leader_prob, row.residual_mass) = (Some("7".into()), Some(0.3), Some(0.6));
        }
    }
    let question_only = |rows: &[InterventionRow]| {
        let metrics = InterventionMetrics::of(&settings(), rows, &traces, &resampling());
        let found = &metrics.tasks[0].faithfulness;
        (found.question_only.value, found.question_only_undecided.value)
    };
    assert_eq!(question_only(&rows), (Some(0.0), Some(1.0)));
    rows.iter_mut().for_each(|row| row.residual_mass = Some(0.2));
    assert_eq!(question_only(&rows), (Some(1.0), Some(0.0)));
}
