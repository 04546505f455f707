//! Rollouts beside the forced estimators.
//!
//! Bounds on means are at 5 standard errors: a right estimator fails one of them with probability below 1e-6.

use crate::support::{asked, imported, measure, measurement, numbers, question};
use entrace_backend::scripted::{KnownAnswers, Reasoning, Scripted, Vocabulary};
use entrace_record::rows::{PrefixRow, Rows};
use entrace_run::{Control, Measurement, Rollouts, TaskPlan};

const N: usize = 300;
const DRAWS: usize = 12;

fn vocabulary() -> Vocabulary {
    let pieces =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", ".", "\n", " ", "Q", "The answer is", "Step"];
    Vocabulary::chat(pieces.into_iter().chain([":", "\nA:", "up", "down", "\n\n"]))
}

fn script() -> KnownAnswers {
    KnownAnswers::following_the_steps(2, " 1", " 2")
}

fn task(n: usize) -> TaskPlan {
    let trace = imported("Step 1: up.\n\nStep 2: down.\n\nThe answer is 1.");
    let item = |i| asked(question(i, Some("1")), &format!("Q{i}\nA:"), std::slice::from_ref(&trace));
    numbers((0..n).map(item).collect())
}

fn how(n_questions: usize) -> Measurement {
    Measurement {
        rollouts: Some(Rollouts { n_questions, draws: DRAWS }),
        controls: vec![Control::Swapped],
        ..measurement()
    }
}

fn of<'a>(rows: &'a Rows, estimator: &'a str, control: &'a str) -> impl Iterator<Item = &'a PrefixRow> {
    rows.prefixes.iter().filter(move |at| (&*at.estimator, &*at.control) == (estimator, control))
}

/// Share of draws at a step of the own trace that answered 1, by question, and the number of draws.
fn shares(rows: &Rows, step: u32) -> Vec<(f64, u32)> {
    let share = |at: &PrefixRow| {
        let same = rows.answers.iter().filter(|row| {
            row.estimator.as_deref() == Some("rollout")
                && (&row.question_id, &*row.control, row.step) == (&at.question_id, "none", step)
        });
        same.filter(|row| &*row.answer == "1").map(|row| row.prob).sum()
    };
    let at_step = of(rows, "rollout", "none").filter(|at| at.step == step);
    at_step.map(|at| (share(at), at.n_samples.unwrap())).collect()
}

#[test]
fn shares_are_those_of_all_continuations_however_many_draws_there_are() {
    let model = Scripted::new(vocabulary(), script());
    let rows = measure(&model, &[task(N)], &how(usize::MAX));
    let after = |steps: &[&str]| {
        let steps = steps.iter().map(ToString::to_string).collect();
        script().rollout(&Reasoning { prompt: String::new(), steps })[" 1"]
    };
    let truth = [after(&[]), after(&["Step 1: up."]), after(&["Step 1: up.", "Step 2: down."])];
    for (step, p) in (0..).zip(truth) {
        let found = shares(&rows, step);
        assert_eq!(found.len(), N);
        let mean = found.iter().map(|(share, _)| share).sum::<f64>() / N as f64;
        let variance: f64 = found.iter().map(|&(_, m)| p * (1.0 - p) / f64::from(m)).sum();
        let standard_error = variance.sqrt() / N as f64;
        assert!((mean - p).abs() < 5.0 * standard_error + 1e-6, "step {step}: {mean}, not {p}");
        let n_few = found.iter().filter(|&&(_, m)| m == 4).count();
        assert!(found.iter().all(|&(_, m)| m == 4 || m == DRAWS as u32), "{found:?}");
        assert_eq!(step == 0, n_few == 0, "step {step}: {n_few} of {N} had the first draws only");
    }
    // The trace has stated its answer; the draws stop at once.
    assert!(shares(&rows, 3).iter().all(|&(share, _)| (share - 1.0).abs() < 1e-12));
}

#[test]
fn what_was_measured_without_them_stays_and_the_first_questions_have_them() {
    let model = Scripted::new(vocabulary(), script());
    let alone = measure(&model, &[task(6)], &Measurement { rollouts: None, ..how(0) });
    let both = measure(&model, &[task(6)], &how(2));
    let forced = |row: &&PrefixRow| &*row.estimator != "rollout";
    assert!(both.prefixes.iter().filter(forced).eq(&alone.prefixes));
    assert_eq!((&both.traces, &both.tokens), (&alone.traces, &alone.tokens));
    let steps = |control: &str| -> Vec<(String, u32)> {
        of(&both, "rollout", control).map(|at| (at.question_id.to_string(), at.step)).collect()
    };
    let expected = |steps: &[u32]| -> Vec<(String, u32)> {
        let of_question = |id: &str| steps.iter().map(|&step| (id.to_string(), step)).collect::<Vec<_>>();
        ["q0", "q1"].into_iter().flat_map(of_question).collect()
    };
    assert_eq!(steps("none"), expected(&[0, 1, 2, 3]));
    let mut swapped = steps("swapped");
    swapped.sort();
    assert_eq!(swapped, expected(&[0, 3]));
    for at in of(&both, "rollout", "none") {
        let sum: f64 = both
            .answers
            .iter()
            .filter(|row| row.estimator.as_deref() == Some("rollout") && row.control == at.control)
            .filter(|row| (&row.question_id, row.step) == (&at.question_id, at.step))
            .map(|row| row.prob)
            .sum();
        assert!((sum - 1.0).abs() < 1e-9 && at.information_gain.is_some(), "{at:?}");
    }
}

#[test]
fn controls_are_measured_at_the_depths_asked_for() {
    let model = Scripted::new(vocabulary(), script());
    let how = Measurement { control_depths: Some(vec![0.5, 1.0]), rollouts: None, ..how(0) };
    let rows = measure(&model, &[task(3)], &how);
    let steps = |control| of(&rows, "enumerate", control).map(|at| at.step).collect::<Vec<u32>>();
    assert_eq!(steps("none"), [0, 1, 2, 3].repeat(3));
    assert_eq!(steps("swapped"), [0, 1, 3].repeat(3));
    let last: Vec<&PrefixRow> = of(&rows, "enumerate", "swapped").filter(|at| at.step == 3).collect();
    assert!(last.iter().all(|at| at.entropy_drop.is_none() && (at.depth - 1.0).abs() < 1e-12));
    assert_eq!(last.len(), 3);
}
