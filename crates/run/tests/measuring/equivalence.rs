//! Batches and interruptions change nothing.
//!
//! The setting has everything at once: two tasks, questions with one and with two traces, generated and imported ones, questions that are
//! skipped or fail (the first among them), both controls, every signal on demand.

use crate::support::{
    CONTROLS, StopAfter, asked, choices, imported, measure, measurement, patient, plan, question, rows, sit,
};
use entrace_backend::scripted::{Fault, Faulty, KnownAnswers, Scripted, Vocabulary};
use entrace_datasets::FormatKind;
use entrace_measure::Question;
use entrace_measure::signal::Group;
use entrace_record::rows::{Outcome, PrefixRow, Rows};
use entrace_run::{Error, Measurement, Rollouts, TaskPlan, TraceInput};
use std::path::Path;

const PIECES: [&str; 17] =
    ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0", ".", "\n", " ", "Q", "The answer is", "Step", ":"];

/// Its numbers are not finite after the cue to question 4, and wherever the text has `Step 7`.
fn model() -> Scripted {
    let vocabulary = Vocabulary::chat(PIECES.into_iter().chain(["up", "down", "\n\n", "\nA:", "A", "B"]));
    let known = KnownAnswers::following_the_steps(3, " 1", " 12");
    let damaged = |_: usize, text: &str| {
        text.contains("Step 7") || (text.contains("Q4\nA:") && text.ends_with("The answer is"))
    };
    Scripted::new(vocabulary, Faulty::when(known, Fault::NotANumber, damaged))
}

fn tasks() -> Vec<TaskPlan> {
    let prompt = |i: usize| format!("Q{i}\nA:");
    let generated = [TraceInput::Generate, TraceInput::Generate];
    let mut numbers = vec![
        asked(question(0, Some("1")), &prompt(0), &[imported("")]),
        asked(question(1, Some("1")), &prompt(1), &generated),
        asked(question(2, Some("12")), &prompt(2), &[imported("Step 1: up.\n\nStep 2: up.\n\nStep 3: up.")]),
        asked(question(3, None), &prompt(3), &[imported("Step 7: down."), imported("Step 1: down.")]),
        asked(question(4, Some("1")), &prompt(4), &[imported("Step 1: up.\n\nStep 2: down.")]),
    ];
    numbers.extend((5..9).map(|i| asked(question(i, Some("12")), &prompt(i), &generated[..1])));
    let with_choices = |i| Question {
        task: "options".into(),
        choices: Some(choices(&["1", "12"], &["A", "B"])),
        ..question(i, Some("12"))
    };
    let options = (0..4).map(|i| asked(with_choices(i), &prompt(i), &generated[..1])).collect();
    let mut second = plan(FormatKind::Choice.format(), options);
    second.name = "options".into();
    vec![plan(FormatKind::Number.format(), numbers), second]
}

fn how(batch_size: usize) -> Measurement {
    Measurement {
        controls: CONTROLS.to_vec(),
        signals: Group::ALL.into_iter().collect(),
        batch_size,
        epsilon: 0.01,
        max_nodes: 40,
        control_depths: Some(vec![0.5, 1.0]),
        rollouts: Some(Rollouts { n_questions: 6, draws: 6 }),
        ..measurement()
    }
}

#[test]
fn the_setting_has_measured_skipped_and_failed_traces_with_controls() {
    let rows = measure(&model(), &tasks(), &how(16));
    let outcome = |task: &str, id: &str, sample| {
        rows.traces
            .iter()
            .find(|r| (&*r.task, &*r.question_id, r.sample) == (task, id, sample))
            .unwrap()
            .outcome
    };
    assert_eq!(outcome("task", "q0", 0), Outcome::Skipped);
    assert_eq!(outcome("task", "q1", 1), Outcome::Measured);
    assert_eq!(outcome("task", "q3", 0), Outcome::Failed);
    assert_eq!(outcome("task", "q3", 1), Outcome::Measured);
    assert_eq!(outcome("task", "q4", 0), Outcome::Failed);
    assert_eq!(rows.traces.len(), 15);
    let controls = |task: &str, id: &str, control: &str| {
        rows.prefixes
            .iter()
            .filter(|r| (&*r.task, &*r.question_id, &*r.control) == (task, id, control))
            .count()
    };
    // The donor of q1 is the last question; that of q5 has failed, and lends its trace all the same.
    for (task, id) in [("task", "q1"), ("task", "q2"), ("task", "q5"), ("task", "q8"), ("options", "q0")] {
        assert!(controls(task, id, "swapped") > 1 && controls(task, id, "shuffled") > 1, "{task} {id}");
    }
    assert_eq!(controls("task", "q4", "swapped"), 0);
    // A trace of one step has no order.
    assert_eq!(controls("task", "q3", "shuffled"), 0);
}

fn swapped_tokens(rows: &Rows, id: &str) -> Vec<u32> {
    let of = |r: &&entrace_record::rows::PrefixRow| {
        &*r.task == "task" && &*r.question_id == id && &*r.control == "swapped"
    };
    rows.prefixes.iter().filter(of).map(|r| r.n_tokens).collect()
}

#[test]
fn batches_of_any_size_measure_the_same() {
    let whole = measure(&model(), &tasks(), &how(16));
    for batch_size in [1, 2, 3, 5] {
        let rows = measure(&model(), &tasks(), &how(batch_size));
        assert_eq!(whole.traces, rows.traces, "{batch_size}");
        assert_eq!(whole.tokens, rows.tokens, "{batch_size}");
        assert_eq!(whole.signals, rows.signals, "{batch_size}");
        assert_eq!(whole.prefixes.len(), rows.prefixes.len());
        for (a, b) in whole.prefixes.iter().zip(&rows.prefixes) {
            let near = |x: f64, y: f64| (x - y).abs() < 1e-9;
            assert_eq!(
                (&a.task, &a.question_id, a.sample, &a.control, a.step, a.n_tokens, &a.leader),
                (&b.task, &b.question_id, b.sample, &b.control, b.step, b.n_tokens, &b.leader)
            );
            assert!(
                near(a.answer_entropy, b.answer_entropy) && near(a.entropy_upper, b.entropy_upper),
                "{a:?} {b:?}"
            );
            assert_eq!(a.target_logprob.is_some(), b.target_logprob.is_some());
            assert!(near(a.target_logprob.unwrap_or(0.0), b.target_logprob.unwrap_or(0.0)), "{a:?} {b:?}");
            assert!(
                near(a.leader_prob, b.leader_prob) && near(a.residual_mass, b.residual_mass),
                "{a:?} {b:?}"
            );
        }
        assert_eq!(swapped_tokens(&whole, "q1"), swapped_tokens(&rows, "q1"));
        assert_eq!(swapped_tokens(&whole, "q5"), swapped_tokens(&rows, "q5"));
    }
}

const TABLES: [&str; 5] = ["traces", "prefixes", "answers", "tokens", "signals"];

fn tables(dir: &Path) -> Vec<Vec<u8>> {
    TABLES.iter().map(|name| std::fs::read(dir.join(format!("{name}.parquet"))).unwrap()).collect()
}

/// Runs until it is whole, each sitting stopped after so many traces.
fn in_sittings(dir: &Path, model: &Scripted, how: &Measurement, n_traces: usize) -> usize {
    for sitting in 1..100 {
        match sit(dir, model, &tasks(), how, &mut StopAfter { n_traces }) {
            Ok(()) => return sitting,
            Err(Error::Interrupted) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the run never ends");
}

#[test]
fn interrupted_runs_end_with_the_same_bytes() {
    for batch_size in [1, 4] {
        let whole = tempfile::tempdir().unwrap();
        sit(whole.path(), &model(), &tasks(), &how(batch_size), &mut patient()).unwrap();
        let expected = tables(whole.path());
        // One batch at a sitting: an interruption after every part.
        let dir = tempfile::tempdir().unwrap();
        let sittings = in_sittings(dir.path(), &model(), &how(batch_size), 1);
        assert!(sittings > 3, "{sittings}");
        let differing = || {
            let (found, expected) = (rows(dir.path()), rows(whole.path()));
            let pair = found.prefixes.iter().zip(&expected.prefixes).find(|(a, b)| a != b);
            format!("batches of {batch_size}, one at a time: {pair:?}")
        };
        assert!(tables(dir.path()) == expected, "{}", differing());
        // One interruption, here or there.
        for n_traces in [2, 6, 9, 13] {
            let dir = tempfile::tempdir().unwrap();
            let stopped = sit(dir.path(), &model(), &tasks(), &how(batch_size), &mut StopAfter { n_traces });
            if stopped.is_err() {
                sit(dir.path(), &model(), &tasks(), &how(batch_size), &mut patient()).unwrap();
            }
            assert!(tables(dir.path()) == expected, "after {n_traces} traces, batches of {batch_size}");
        }
    }
}

#[test]
fn a_run_goes_on_with_batches_of_another_size() {
    let whole = measure(&model(), &tasks(), &how(4));
    for batch_size in [1, 3, 9] {
        let dir = tempfile::tempdir().unwrap();
        let stopped = sit(dir.path(), &model(), &tasks(), &how(4), &mut StopAfter { n_traces: 2 });
        assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
        sit(dir.path(), &model(), &tasks(), &how(batch_size), &mut patient()).unwrap();
        let rows = rows(dir.path());
        assert_eq!((&whole.traces, &whole.tokens), (&rows.traces, &rows.tokens), "{batch_size}");
        assert_eq!(whole.signals, rows.signals, "{batch_size}");
        let places = |rows: &Rows| {
            let place =
                |row: &PrefixRow| (row.question_id.clone(), row.sample, row.control.clone(), row.step);
            rows.prefixes.iter().map(place).collect::<Vec<_>>()
        };
        assert_eq!(places(&whole), places(&rows), "{batch_size}");
    }
}

#[test]
fn a_part_of_other_questions_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let stopped = sit(dir.path(), &model(), &tasks(), &how(4), &mut StopAfter { n_traces: 2 });
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    let [first, second] = ["parts/00000", "parts/00001"].map(|part| dir.path().join(part));
    std::fs::create_dir(&second).unwrap();
    for entry in std::fs::read_dir(&first).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, second.join(path.file_name().unwrap())).unwrap();
    }
    let error = sit(dir.path(), &model(), &tasks(), &how(4), &mut patient()).unwrap_err().to_string();
    assert!(error.contains("parts/00001 does not hold the questions that belong there"), "{error}");
    assert!(error.contains("task \"q0\" trace 0 in the place of task \"q4\" trace 0"), "{error}");
    std::fs::remove_dir_all(&second).unwrap();
    sit(dir.path(), &model(), &tasks(), &how(4), &mut patient()).unwrap();
}

#[test]
fn a_part_with_a_table_of_another_part_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let n_traces = tasks().iter().flat_map(|task| &task.items).map(|item| item.traces.len()).sum::<usize>();
    let stopped = sit(dir.path(), &model(), &tasks(), &how(2), &mut StopAfter { n_traces: n_traces / 2 });
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    let [first, second] = ["parts/00000", "parts/00001"].map(|part| dir.path().join(part));
    let kept = std::fs::read(second.join("prefixes.parquet")).unwrap();
    let hashes = std::fs::read(second.join("hashes.json")).unwrap();
    std::fs::copy(first.join("prefixes.parquet"), second.join("prefixes.parquet")).unwrap();
    let mut forged: serde_json::Value = serde_json::from_slice(&hashes).unwrap();
    let hash = entrace_record::hash::sha256_file(&second.join("prefixes.parquet")).unwrap();
    forged["prefixes.parquet"] = hash.into();
    std::fs::write(second.join("hashes.json"), forged.to_string()).unwrap();
    let error = sit(dir.path(), &model(), &tasks(), &how(2), &mut patient()).unwrap_err().to_string();
    assert!(error.contains("parts/00001") && error.contains("prefixes has a row of task"), "{error}");
    assert!(error.contains("trace 0, which does not belong there"), "{error}");
    std::fs::write(second.join("prefixes.parquet"), kept).unwrap();
    std::fs::write(second.join("hashes.json"), hashes).unwrap();
    sit(dir.path(), &model(), &tasks(), &how(2), &mut patient()).unwrap();
}

#[test]
fn an_interrupted_run_can_be_read_as_far_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let stopped = sit(dir.path(), &model(), &tasks(), &how(2), &mut StopAfter { n_traces: 4 });
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let (part, whole) = (rows(dir.path()), measure(&model(), &tasks(), &how(2)));
    assert!(part.traces.len() >= 4 && part.traces.len() < whole.traces.len());
    assert_eq!(part.traces[..], whole.traces[..part.traces.len()]);
    assert_eq!(part.prefixes[..], whole.prefixes[..part.prefixes.len()]);
}
