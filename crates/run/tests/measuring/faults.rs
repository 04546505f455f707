//! What goes wrong stays where it is: with its question, or with what comes after it.

use crate::support::{
    CONTROLS, asked, engine, imported, measure, measure_by, measurement, numbers, patient, question, rows,
    sit,
};
use entrace_backend::scripted::{Fault, Faulty, KnownAnswers, Scripted, Vocabulary};
use entrace_measure::Estimator;
use entrace_measure::signal::Group;
use entrace_record::rows::{Outcome, Rows};
use entrace_run::{Capability, Control, Engine, Error, EstimatorChoice, Measurement, TaskPlan, TraceInput};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const STEPS: &str = "Step 1: up.\n\nStep 2: down.";

fn vocabulary() -> Vocabulary {
    Vocabulary::chat([
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        ".",
        "\n",
        " ",
        "Q",
        "The answer is",
        "Step",
        ":",
        "up",
        "down",
    ])
}

fn known() -> KnownAnswers {
    KnownAnswers::following_the_steps(2, " 1", " 2")
}

fn task(traces: &[TraceInput]) -> TaskPlan {
    let item = |(i, trace): (usize, &TraceInput)| {
        asked(question(i, Some("1")), &format!("Q{i}\nA:"), std::slice::from_ref(trace))
    };
    numbers(traces.iter().enumerate().map(item).collect())
}

fn how() -> Measurement {
    Measurement { controls: CONTROLS.to_vec(), batch_size: 3, ..measurement() }
}

fn outcomes(rows: &Rows) -> Vec<Outcome> {
    rows.traces.iter().map(|row| row.outcome).collect()
}

fn n_prefixes(rows: &Rows, id: &str, control: &str) -> usize {
    rows.prefixes.iter().filter(|row| &*row.question_id == id && &*row.control == control).count()
}

#[test]
fn the_first_question_is_skipped() {
    let rows = measure(
        &Scripted::new(vocabulary(), known()),
        &[task(&[imported(""), imported(STEPS), imported(STEPS)])],
        &how(),
    );
    assert_eq!(outcomes(&rows), [Outcome::Skipped, Outcome::Measured, Outcome::Measured]);
    assert_eq!(rows.traces[0].reason.as_deref(), Some("the trace is empty"));
    assert_eq!((&rows.traces[0].answer, rows.traces[0].correct), (&None, None));
    assert_eq!((n_prefixes(&rows, "q1", "swapped"), n_prefixes(&rows, "q2", "swapped")), (3, 3));
}

#[test]
fn a_single_question_has_nobody_to_swap_with() {
    let rows = measure(&Scripted::new(vocabulary(), known()), &[task(&[imported(STEPS)])], &how());
    assert_eq!(outcomes(&rows), [Outcome::Measured]);
    assert_eq!((n_prefixes(&rows, "q0", "none"), n_prefixes(&rows, "q0", "shuffled")), (3, 3));
    assert_eq!(n_prefixes(&rows, "q0", "swapped"), 0);
}

#[test]
fn a_run_may_skip_everything_or_have_no_questions() {
    let model = Scripted::new(vocabulary(), known());
    let rows = measure(&model, &[task(&[imported(""), imported("")])], &how());
    assert_eq!(outcomes(&rows), [Outcome::Skipped; 2]);
    assert!(rows.prefixes.is_empty() && rows.tokens.is_empty());
    assert_eq!(measure(&model, &[task(&[])], &how()), Rows::default());
}

#[test]
fn what_was_measured_before_an_engine_fault_stays_and_the_run_goes_on() {
    let broken = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&broken);
    let at_question_4 = move |_: usize, text: &str| switch.load(Ordering::Relaxed) && text.contains("Q4");
    let model = Scripted::new(vocabulary(), Faulty::when(known(), Fault::Engine, at_question_4));
    let traces = vec![TraceInput::Generate; 7];
    let dir = tempfile::tempdir().unwrap();
    let error = sit(dir.path(), &model, &[task(&traces)], &how(), &mut patient()).unwrap_err();
    assert!(
        matches!(&error, Error::Engine(_)) && error.to_string().contains("the script fails here"),
        "{error}"
    );
    assert_eq!(outcomes(&rows(dir.path())), [Outcome::Measured; 3]);
    broken.store(false, Ordering::Relaxed);
    sit(dir.path(), &model, &[task(&traces)], &how(), &mut patient()).unwrap();
    let whole = measure(&Scripted::new(vocabulary(), known()), &[task(&traces)], &how());
    assert_eq!(rows(dir.path()), whole);
}

/// A model whose numbers are not finite wherever the text has this part.
fn damaged_at(part: &str) -> Scripted {
    Scripted::new(vocabulary(), Faulty::where_text_has(known(), Fault::NotANumber, part))
}

#[test]
fn a_question_whose_trace_cannot_be_sampled_fails_alone() {
    let rows = measure(&damaged_at("Q1"), &[task(&vec![TraceInput::Generate; 4])], &how());
    assert_eq!(outcomes(&rows), [Outcome::Measured, Outcome::Failed, Outcome::Measured, Outcome::Measured]);
    assert!(rows.traces[1].reason.as_ref().unwrap().contains("not finite"), "{:?}", rows.traces[1]);
    assert!(
        ["q0", "q2", "q3"].iter().all(|id| n_prefixes(&rows, id, "swapped") == n_prefixes(&rows, id, "none"))
    );
}

#[test]
fn a_question_whose_trace_cannot_be_scored_fails_alone() {
    let bad = "Step 1: up.\n\nStep 6: down.";
    let rows =
        measure(&damaged_at("Step 6"), &[task(&[imported(STEPS), imported(bad), imported(STEPS)])], &how());
    assert_eq!(outcomes(&rows), [Outcome::Measured, Outcome::Failed, Outcome::Measured]);
    assert_eq!(n_prefixes(&rows, "q1", "none"), 0);
    assert_eq!(
        rows.tokens.iter().filter(|row| &*row.question_id == "q1").count(),
        rows.traces[1].n_trace_tokens as usize
    );
    // The damaged trace is the donor of the third question: that control is lost, and nothing else.
    assert_eq!(["none", "swapped", "shuffled"].map(|control| n_prefixes(&rows, "q2", control)), [3, 0, 3]);
    assert_eq!(["none", "swapped", "shuffled"].map(|control| n_prefixes(&rows, "q0", control)), [3, 3, 3]);
    assert!(rows.tokens.iter().filter(|row| &*row.question_id == "q2").all(|row| row.logprob.is_some()));
}

#[test]
fn prompt_trace_cue_and_answer_have_to_fit_the_context() {
    let model = || Scripted::new(vocabulary(), known());
    // Begin, Q, digit, line end, and two tokens for `A:` that no piece covers; the cue has two tokens and the answer eight.
    let n_prompt = 6;
    let n_trace = 16;
    let task = || task(&[imported(STEPS), imported("Step 1: up.")]);
    let fits = measure(&model().with_context_length(n_prompt + n_trace + 10), &[task()], &how());
    assert_eq!(fits.traces[0].n_prompt_tokens as usize, n_prompt);
    assert_eq!(fits.traces[0].n_trace_tokens as usize, n_trace);
    assert_eq!(outcomes(&fits), [Outcome::Measured; 2]);
    let tight = measure(&model().with_context_length(n_prompt + n_trace + 9), &[task()], &how());
    assert_eq!(outcomes(&tight), [Outcome::Skipped, Outcome::Measured]);
    let reason = tight.traces[0].reason.as_ref().unwrap();
    assert_eq!(reason, "prompt (6), trace (16), cue and answer (10) do not fit the context of 31 tokens");
    let stated = |rows: &Rows| (rows.traces[0].answer.clone(), rows.traces[0].correct);
    assert!(stated(&fits).0.is_some() && stated(&tight) == stated(&fits), "{:?}", stated(&tight));
}

#[test]
fn a_trace_that_does_not_fit_whole_is_not_lent() {
    let long_prompt = "Q0 0 0 0 0\nA:";
    let mut task = task(&[imported(STEPS), imported("Step 1: up.\n\nStep 2: up.")]);
    task.items[0] = asked(question(0, Some("1")), long_prompt, &[imported("Step 1: up.\n")]);
    let how = Measurement { controls: vec![Control::Swapped], ..how() };
    let rows = measure(&Scripted::new(vocabulary(), known()).with_context_length(33), &[task], &how);
    assert_eq!(outcomes(&rows), [Outcome::Measured; 2]);
    assert_eq!((n_prefixes(&rows, "q0", "swapped"), n_prefixes(&rows, "q1", "swapped")), (0, 2));
}

#[test]
fn what_an_engine_lacks_is_refused_before_anything_is_measured() {
    let model = Scripted::new(vocabulary(), known());
    let lacks = |engine: Engine<'_>, task: TaskPlan, how: &Measurement| match entrace_run::check(
        engine,
        &[task],
        how,
    ) {
        Err(Error::Lacks(capability)) => Some(capability),
        Ok(()) => None,
        Err(error) => panic!("{error}"),
    };
    let rollout = Measurement { estimator: EstimatorChoice::Always(Estimator::Rollout), ..how() };
    let mute = Engine { generator: None, ..engine(&model) };
    let blind = Engine { scorer: None, layers: None, ..engine(&model) };
    let (written, existing) = (|| task(&[TraceInput::Generate]), || task(&[imported("Step 1.")]));
    assert_eq!(lacks(mute, written(), &how()), Some(Capability::Generate));
    assert_eq!(lacks(mute, existing(), &how()), None);
    assert_eq!(lacks(mute, existing(), &rollout), Some(Capability::Generate));
    assert_eq!(lacks(blind, written(), &how()), Some(Capability::ScoreTree));
    assert_eq!(lacks(blind, written(), &rollout), None);
    let layers = Measurement { signals: [Group::Layers].into(), ..rollout.clone() };
    assert_eq!(lacks(blind, written(), &layers), Some(Capability::ReadLayers));
}

#[test]
fn an_engine_that_only_writes_measures_rollouts() {
    let rollout = Measurement { estimator: EstimatorChoice::Always(Estimator::Rollout), samples: 4, ..how() };
    let tasks = [task(&[TraceInput::Generate, imported(STEPS)])];
    let whole = measure(&Scripted::new(vocabulary(), known()), &tasks, &rollout);
    let model = Scripted::new(vocabulary(), known());
    let only_writes = Engine { scorer: None, layers: None, ..engine(&model) };
    let rows = measure_by(only_writes, &tasks, &rollout);
    assert_eq!(rows.prefixes, whole.prefixes);
    assert_eq!(rows.answers, whole.answers);
    let logprobs = |rows: &Rows, id: &str| {
        let tokens = rows.tokens.iter().filter(|token| &*token.question_id == id);
        tokens.filter(|token| token.logprob.is_some()).count()
    };
    assert_eq!(logprobs(&rows, "q0"), logprobs(&whole, "q0"), "scores come with what the engine writes");
    assert!(
        logprobs(&rows, "q1") == 0 && logprobs(&whole, "q1") > 0,
        "nobody scores what was written elsewhere"
    );
}

#[test]
fn a_prompt_longer_than_the_context_is_skipped() {
    let model = Scripted::new(vocabulary(), known()).with_context_length(40);
    let mut task = task(&[TraceInput::Generate, TraceInput::Generate]);
    task.items[0] = asked(question(0, Some("1")), &"Q ".repeat(30), &[TraceInput::Generate]);
    let rows = measure(&model, &[task], &how());
    assert_eq!(rows.traces[0].outcome, Outcome::Skipped);
    assert!(
        rows.traces[0].reason.as_ref().unwrap().contains("does not fit the context of 40"),
        "{:?}",
        rows.traces[0]
    );
    assert_eq!((rows.traces[0].answer.as_deref(), rows.traces[0].correct), (Some("[invalid]"), Some(false)));
}
