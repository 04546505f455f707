//! `sample` and `rollout` on reasoners whose beliefs are a table.
//!
//! Bounds on means are at 5 standard errors: a right estimator fails one of them with probability below 1e-6. Intervals of the entropy are
//! meant to cover it in 95 of 100 cases; with n = 600 prefixes a coverage of 0.95 falls below 0.90 with probability below 1e-7.

use crate::support::{answers_at, asked, imported, measure, measurement, numbers, patient, question, sit};
use entrace_backend::scripted::{KnownAnswers, Reasoning, Scripted, Vocabulary};
use entrace_measure::{Estimator, Question};
use entrace_record::rows::{PrefixRow, Rows};
use entrace_run::{Error, EstimatorChoice, Measurement, TaskPlan, TraceInput, WorkItem};

const PIECES: [&str; 18] = [
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "0",
    ".",
    "\n",
    " ",
    "Q",
    "The answer is",
    "Step",
    ":",
    "\nA:",
];

fn vocabulary() -> Vocabulary {
    Vocabulary::chat(PIECES.into_iter().chain(["up", "down", "\n\n"]))
}

/// After `up` the belief in 1 against 2 is 3 to 1, after `down` the other way round.
fn model() -> Scripted {
    Scripted::new(vocabulary(), KnownAnswers::following_the_steps(2, " 1", " 2"))
}

const N: usize = 300;

fn task(trace: &str) -> TaskPlan {
    let item = |i| asked(question(i, Some("1")), &format!("Q{i}\nA:"), &[imported(trace)]);
    numbers((0..N).map(item).collect())
}

fn how(estimator: Estimator, samples: usize) -> Measurement {
    Measurement { estimator: EstimatorChoice::Always(estimator), samples, ..measurement() }
}

/// Mean over questions of the probability of answer 1 at a step.
fn mean_prob(rows: &Rows, step: u32) -> f64 {
    let at_step = rows.prefixes.iter().filter(|row| row.step == step);
    let probs: Vec<f64> = at_step
        .map(|at| answers_at(rows, at).iter().find(|row| &*row.answer == "1").map_or(0.0, |row| row.prob))
        .collect();
    assert_eq!(probs.len(), N);
    probs.iter().sum::<f64>() / N as f64
}

/// Holds means and intervals at steps 0 and 1 against the true probabilities of answer 1.
fn check(estimator: Estimator, truth: [f64; 2], samples: usize) {
    let rows = measure(&model(), &[task("Step 1: up.\n\nStep 2: down.")], &how(estimator, samples));
    for (step, p) in (0..).zip(truth) {
        let standard_error = (p * (1.0 - p) / (N * samples) as f64).sqrt();
        let mean = mean_prob(&rows, step);
        assert!((mean - p).abs() < 5.0 * standard_error + 1e-6, "step {step}: {mean}, not {p}");
    }
    let entropies = truth.map(|p: f64| -p * p.ln() - (1.0 - p) * (1.0 - p).ln());
    let (mut n, mut covered) = (0, 0);
    for at in rows.prefixes.iter().filter(|at| at.step < 2) {
        let truth = entropies[at.step as usize];
        n += 1;
        covered += usize::from(at.entropy_lower <= truth && truth <= at.entropy_upper);
        assert_eq!(at.n_samples, Some(samples as u32));
    }
    let share = covered as f64 / f64::from(n);
    println!(
        "{}: intervals cover the entropy at {share:.3} of {n} prefixes, m = {samples}",
        estimator.name()
    );
    assert!(n == 600 && share >= 0.90, "{share}");
}

#[test]
fn forced_answers_have_the_known_distribution() {
    check(Estimator::Sample, [0.5, 0.75], 12);
}

#[test]
fn rollouts_average_over_the_steps_to_come() {
    let script = KnownAnswers::following_the_steps(2, " 1", " 2");
    let after = |steps: &[&str]| {
        let steps = steps.iter().map(ToString::to_string).collect();
        script.rollout(&Reasoning { prompt: String::new(), steps })[" 1"]
    };
    // After one step up: half the time 9 to 1, half the time even.
    let truth = [after(&[]), after(&["Step 1: up."])];
    assert!((truth[0] - 0.5).abs() < 1e-12 && (truth[1] - 0.7).abs() < 1e-12, "{truth:?}");
    check(Estimator::Rollout, truth, 12);
}

#[test]
fn what_cannot_be_read_is_an_outcome() {
    let steps =
        |so_far: &Reasoning| if so_far.steps.is_empty() { vec![("up.".into(), 1.0)] } else { Vec::new() };
    let script = KnownAnswers::new(steps, |_| vec![(" 1".into(), 0.5), (" up".into(), 0.5)]);
    let model = Scripted::new(vocabulary(), script);
    for estimator in [Estimator::Sample, Estimator::Rollout] {
        let rows = measure(&model, &[task("up.")], &how(estimator, 16));
        let mean = mean_prob(&rows, 0);
        // 4,800 draws: 5 standard errors are 0.036.
        assert!((mean - 0.5).abs() < 0.036, "{mean}");
        assert!(rows.answers.iter().any(|row| &*row.answer == "[invalid]"));
        assert!(rows.prefixes.iter().all(|at| {
            let invalid =
                answers_at(&rows, at).iter().find(|row| &*row.answer == "[invalid]").map_or(0.0, |r| r.prob);
            (at.elicited_mass.unwrap() + invalid - 1.0).abs() < 1e-12
        }));
    }
}

#[test]
fn an_answer_that_the_limit_cuts_is_not_read() {
    let model = Scripted::new(vocabulary(), KnownAnswers::ignoring_the_trace(1, &[(" 12", 1.0)]));
    let short = Measurement { max_answer_tokens: 2, ..how(Estimator::Sample, 4) };
    let rows = measure(&model, &[task("Step 1: up.")], &short);
    assert!(rows.answers.iter().all(|row| &*row.answer == "[invalid]"));
    let long = Measurement { max_answer_tokens: 5, ..how(Estimator::Sample, 4) };
    let rows = measure(&model, &[task("Step 1: up.")], &long);
    assert!(rows.answers.iter().all(|row| &*row.answer == "12"));
}

#[test]
fn prefix_and_continuation_share_the_limit_of_a_trace() {
    let mut how = how(Estimator::Rollout, 4);
    how.traces.sampling.max_new_tokens = 6;
    let rows = measure(&model(), &[generated(0..30)], &how);
    let mut n_cut = 0;
    for trace in rows.traces.iter().filter(|trace| trace.n_trace_tokens == 6) {
        let of_trace = |at: &&PrefixRow| (&at.question_id, at.sample) == (&trace.question_id, trace.sample);
        let end = rows.prefixes.iter().rfind(of_trace).unwrap();
        assert_eq!(end.n_tokens, 6);
        let answers = answers_at(&rows, end);
        assert_eq!((answers.len(), answers[0].prob), (1, 1.0), "nothing may follow: {answers:?}");
        n_cut += 1;
    }
    assert!(n_cut > 10, "{n_cut}");
}

#[test]
fn greedy_rollouts_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut greedy = how(Estimator::Rollout, 4);
    greedy.traces.sampling.temperature = 0.0;
    let error = sit(dir.path(), &model(), &[task("Step 1: up.")], &greedy, &mut patient()).unwrap_err();
    assert!(
        matches!(&error, Error::Settings(_)) && error.to_string().contains("temperature above 0"),
        "{error}"
    );
    let none = how(Estimator::Sample, 0);
    let other = tempfile::tempdir().unwrap();
    let error = sit(other.path(), &model(), &[task("Step 1: up.")], &none, &mut patient()).unwrap_err();
    assert!(error.to_string().contains("at least one draw"), "{error}");
}

/// Questions with generated traces, in an order of one's own.
fn generated(order: impl Iterator<Item = usize>) -> TaskPlan {
    let item = |i: usize| -> WorkItem {
        let question: Question = question(i, Some("1"));
        asked(question, &format!("Q{i}\nA:"), &[TraceInput::Generate, TraceInput::Generate])
    };
    numbers(order.map(item).collect())
}

#[test]
fn draws_do_not_depend_on_batches_or_order() {
    let sorted = |mut rows: Rows| {
        rows.prefixes.sort_by_key(|r| (r.question_id.clone(), r.sample, r.step));
        rows.answers.sort_by_key(|r| (r.question_id.clone(), r.sample, r.step, r.answer.clone()));
        rows.traces.sort_by_key(|r| (r.question_id.clone(), r.sample));
        rows.tokens.sort_by_key(|r| (r.question_id.clone(), r.sample, r.index));
        rows
    };
    for estimator in [Estimator::Sample, Estimator::Rollout] {
        let of = |batch_size, backwards: bool| {
            let tasks = [if backwards { generated((0..12).rev()) } else { generated(0..12) }];
            sorted(measure(&model(), &tasks, &Measurement { batch_size, ..how(estimator, 5) }))
        };
        let first = of(16, false);
        assert!(first.traces.iter().any(|row| row.completion != first.traces[0].completion));
        for other in [of(1, false), of(5, false), of(16, true)] {
            assert_eq!(first, other);
        }
    }
}
