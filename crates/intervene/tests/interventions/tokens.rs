//! What leaving out every step of 32 traces runs, in tokens.

use super::support::{Patient, engine, measurement, plan, questions, record, second_step};
use entrace_backend::scripted::Scripted;
use entrace_backend::{Branch, BranchScore, Each, Error, ScoreTree, TreeSession};
use entrace_datasets::FormatKind;
use entrace_intervene::{Draws, cost, measure};
use entrace_measure::intervention::{Kind, Reading};
use entrace_run::{Engine, Measurement};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A scorer that counts the tokens that it is given, but for those behind a place where an answer is asked for.
struct Counting<'a> {
    model: &'a Scripted,
    n_tokens: AtomicUsize,
}

struct CountingSession<'a> {
    session: Box<dyn TreeSession + 'a>,
    n_tokens: &'a AtomicUsize,
}

impl ScoreTree for Counting<'_> {
    fn session(&self) -> Result<Box<dyn TreeSession + '_>, Error> {
        Ok(Box::new(CountingSession { session: self.model.session()?, n_tokens: &self.n_tokens }))
    }
}

impl TreeSession for CountingSession<'_> {
    fn extend_each(&mut self, branches: &[Branch]) -> Each<BranchScore> {
        let asked = branches.iter().filter(|branch| branch.next.is_none()).map(|branch| branch.tokens.len());
        self.n_tokens.fetch_add(asked.sum(), Ordering::Relaxed);
        self.session.extend_each(branches)
    }

    fn truncate(&mut self, n_branches: usize) {
        self.session.truncate(n_branches);
    }

    fn n_branches(&self) -> usize {
        self.session.n_branches()
    }
}

#[test]
fn leaving_out_every_step_runs_half_of_every_trace() {
    let model = second_step();
    let recording = record(&model, questions(32), measurement(19), FormatKind::Number);
    let tasks = recording.tasks(&model, FormatKind::Number);
    let plan = plan(&[Kind::Delete], &[Reading::Forced], Draws { fewest: 8, most: 8 }, 0);
    let counting = Counting { model: &model, n_tokens: AtomicUsize::new(0) };
    let how = Measurement { max_nodes: 1, ..recording.how.clone() };
    let engine = Engine { scorer: Some(&counting), ..engine(&model) };
    let measured = measure(engine, None, &tasks, &how, &plan, None, &mut Patient).unwrap();
    let n_tokens = counting.n_tokens.load(Ordering::Relaxed);
    let (mut exact, mut rough, mut one_at_a_time) = (0, 0.0, 0);
    for recorded in &tasks[0].traces {
        let (prompt, t, k) = (recorded.prompt.token_ids.len(), recorded.trace.len(), recorded.n_steps());
        exact += prompt + t + recorded.ends[1..].iter().map(|end| t - end).sum::<usize>();
        rough += (prompt + t) as f64 + (k - 1) as f64 * t as f64 / 2.0;
        one_at_a_time +=
            (1..=k).map(|step| prompt + t - recorded.tokens(step).len()).sum::<usize>() + prompt + t;
    }
    println!(
        "{n_tokens} tokens run, {exact} by the formula, {rough:.0} as (K − 1)·T/2, {one_at_a_time} one trace at a time"
    );
    assert_eq!(measured.tokens_scored as usize, n_tokens);
    assert!((n_tokens as f64 - exact as f64).abs() <= 0.05 * exact as f64, "{n_tokens} {exact}");
    assert!((n_tokens as f64 - rough).abs() <= 0.05 * rough, "{n_tokens} {rough}");
    let planned = cost::costs(engine, &tasks, &plan);
    let planned: u64 = planned.values().map(|cost| cost.tokens_scored).sum();
    assert_eq!(planned as usize, n_tokens);
}
