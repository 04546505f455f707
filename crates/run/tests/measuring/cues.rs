//! Belief under several cues.

use crate::support::{CONTROLS, asked, imported, measure, measurement, numbers, question};
use entrace_backend::scripted::{KnownAnswers, Scripted, Vocabulary};
use entrace_measure::Estimator;
use entrace_run::{EstimatorChoice, Measurement, TaskPlan};

fn model() -> Scripted {
    let pieces = ["0", "1", "2", ".", "\n", " ", "Q", "The answer is", "Step", ":", "up", "down", "\nA:"];
    Scripted::new(Vocabulary::chat(pieces), KnownAnswers::following_the_steps(2, " 1", " 2"))
}

fn task() -> TaskPlan {
    let text = "Step 1: up.\n\nStep 2: down.\n\nThe answer is 1.";
    let item = |id, prompt| asked(question(id, Some("1")), prompt, &[imported(text)]);
    numbers(vec![item(0, "Q0\nA:"), item(1, "Q1\nA:")])
}

fn how() -> Measurement {
    Measurement { controls: CONTROLS.to_vec(), ..measurement() }
}

#[test]
fn the_trace_itself_is_measured_under_every_cue_and_the_first_is_not_changed_by_the_others() {
    let alone = measure(&model(), &[task()], &how());
    // The model knows its cue whatever the white space before it.
    let more_cues = vec!["\n\nThe answer is".to_string(), " The answer is".to_string()];
    let rows = measure(&model(), &[task()], &Measurement { more_cues, ..how() });
    let first: Vec<_> = rows.prefixes.iter().filter(|row| row.cue == Some(0)).cloned().collect();
    assert_eq!(first, alone.prefixes);
    assert_eq!(rows.answers.iter().filter(|row| row.cue == Some(0)).count(), alone.answers.len());
    let own: Vec<_> = first.iter().filter(|row| &*row.control == "none").collect();
    for cue in [1, 2] {
        let under: Vec<_> = rows.prefixes.iter().filter(|row| row.cue == Some(cue)).collect();
        assert_eq!(under.len(), own.len());
        for (row, first) in under.iter().zip(&own) {
            assert_eq!((&row.question_id, &*row.control, row.step), (&first.question_id, "none", first.step));
            assert_eq!((&row.leader, row.answer_stated), (&first.leader, first.answer_stated));
            assert!((row.leader_prob - first.leader_prob).abs() < 1e-6, "{row:?} {first:?}");
        }
        assert!(rows.answers.iter().any(|row| row.cue == Some(cue)));
    }
}

#[test]
fn rollouts_know_no_cue() {
    let more_cues = vec!["\n\nThe answer is".to_string()];
    let estimator = EstimatorChoice::Always(Estimator::Rollout);
    let rows = measure(&model(), &[task()], &Measurement { estimator, more_cues, ..how() });
    assert!(!rows.prefixes.is_empty() && rows.prefixes.iter().all(|row| row.cue == Some(0)));
}
