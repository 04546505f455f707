//! Whose trace stands in the place of a question's own.

use crate::support::{StopAfter, asked, imported, measure, measurement, numbers, question, rows, sit};
use entrace_backend::scripted::{KnownAnswers, Scripted, Vocabulary};
use entrace_record::rows::Rows;
use entrace_run::{Control, Error, Measurement, TaskPlan};

const SHORT: &str = "Step 1: up.";
const LONG: &str = "Step 1: up.\n\nStep 2: down.";

fn model() -> Scripted {
    let pieces = ["0", "1", "2", ".", "\n", " ", "Q", "The answer is", "Step", ":", "up", "down", "\nA:"];
    Scripted::new(Vocabulary::chat(pieces), KnownAnswers::following_the_steps(2, " 1", " 2"))
}

/// Three questions, the first two asked in two ways.
fn task() -> TaskPlan {
    let ways = [(0, "Q0\nA:"), (0, "Q 0\nA:"), (1, "Q1\nA:"), (1, "Q 1\nA:"), (2, "Q2\nA:")];
    let mut items: Vec<_> = ways
        .map(|(id, prompt)| asked(question(id, Some("1")), prompt, &[imported([LONG, SHORT, LONG][id])]))
        .into();
    for second in [1, 3] {
        items[second].traces[0].0 = 1;
    }
    numbers(items)
}

fn how(batch_size: usize) -> Measurement {
    Measurement { controls: vec![Control::Swapped], batch_size, ..measurement() }
}

/// Question, sample and number of prefixes of each swapped control.
fn swapped(rows: &Rows) -> Vec<(String, u32, usize)> {
    let lengths = rows.traces.iter().map(|trace| {
        let own = rows.prefixes.iter().filter(|at| {
            (&at.question_id, at.sample, &*at.control) == (&trace.question_id, trace.sample, "swapped")
        });
        (trace.question_id.to_string(), trace.sample, own.count())
    });
    lengths.collect()
}

#[test]
fn every_way_of_asking_a_question_has_the_same_donor() {
    let found = swapped(&measure(&model(), &[task()], &how(16)));
    let expected = [("q0", 0, 3), ("q0", 1, 3), ("q1", 0, 3), ("q1", 1, 3), ("q2", 0, 2)];
    assert_eq!(found, expected.map(|(id, sample, n)| (id.to_string(), sample, n)));
}

#[test]
fn donors_do_not_depend_on_batches_or_interruptions() {
    let whole = measure(&model(), &[task()], &how(16));
    for (batch_size, n_traces) in [(1, 1), (1, 2), (1, 3), (1, 4), (2, 2), (2, 4), (3, 3)] {
        let dir = tempfile::tempdir().unwrap();
        let error =
            sit(dir.path(), &model(), &[task()], &how(batch_size), &mut StopAfter { n_traces }).unwrap_err();
        assert!(matches!(error, Error::Interrupted));
        let mut patient = StopAfter { n_traces: usize::MAX };
        sit(dir.path(), &model(), &[task()], &how(batch_size), &mut patient).unwrap();
        let mut found = swapped(&rows(dir.path()));
        found.sort();
        assert_eq!(found, swapped(&whole), "{batch_size} {n_traces}");
    }
}

#[test]
fn another_trace_of_the_donor_is_lent_where_one_does_not_fit() {
    let items = vec![
        asked(question(0, Some("1")), "Q0\nA:", &[imported(LONG), imported(SHORT)]),
        asked(question(1, Some("1")), "Q 1 1 1 1\nA:", &[imported(SHORT), imported(SHORT)]),
    ];
    // Prompts of 4 and 11 tokens, traces of 16 and 7, cue and answer of 10.
    let model = model().with_context_length(30);
    let rows = measure(&model, &[numbers(items)], &how(16));
    let lent = rows.prefixes.iter().filter(|at| (&*at.question_id, &*at.control) == ("q1", "swapped"));
    let lengths: Vec<u32> = lent.map(|at| at.n_tokens).collect();
    assert_eq!(lengths, [0, 7, 0, 7]);
}

/// Step, tokens and whether the answer and the target are stated, of the rows of one trace under a control.
fn stated(rows: &Rows, sample: u32, control: &str) -> Vec<(u32, u32, Option<bool>, Option<bool>)> {
    let of = rows.prefixes.iter().filter(|at| at.sample == sample && &*at.control == control);
    of.map(|at| (at.step, at.n_tokens, at.answer_stated, at.target_stated)).collect()
}

#[test]
fn a_trace_without_its_statement_is_what_is_left_of_it() {
    let ending_in_1 = format!("{LONG}\n\nThe answer is 1.");
    let traces = [imported(&ending_in_1), imported("The answer is 1."), imported(LONG)];
    let items = vec![asked(question(0, Some("2")), "Q0\nA:", &traces)];
    let how = Measurement { controls: vec![Control::Unstated], ..measurement() };
    let rows = measure(&model(), &[numbers(items)], &how);
    let own = stated(&rows, 0, "none");
    let flags: Vec<_> = own.iter().map(|at| (at.2, at.3)).collect();
    assert_eq!(flags, [false, false, false, true].map(|stated| (Some(stated), Some(false))));
    let left: Vec<_> = own[..3].iter().map(|at| (at.0, at.1, None, None)).collect();
    assert_eq!(stated(&rows, 0, "unstated"), left);
    // Nothing is left of a trace that only states its answer: belief stays where it was.
    assert_eq!(stated(&rows, 1, "unstated"), [(0, 0, None, None)]);
    // The number of a step is no statement of it, so nothing can be left out.
    assert_eq!(stated(&rows, 2, "unstated"), []);
}
