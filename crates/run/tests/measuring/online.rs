//! Traces that are written and measured on one tree, and traces that a rule stops while they are written.

use crate::support::{
    StopAfter, asked, engine, imported, measure, measure_by, measurement, numbers, question, rows, sit,
};
use entrace_backend::generate::RequestCompletions;
use entrace_backend::scripted::{Fault, Faulty, KnownAnswers, Scripted, Vocabulary};
use entrace_backend::{
    Branch, BranchId, BranchScore, Each, Error, Generate, GenerateRequest, Sampled, Sampling,
    SamplingSession, ScoreTree, Stem, TreeSession, Watcher,
};
use entrace_measure::{Act, Estimator, Segmentation};
use entrace_record::manifest::StoppingRecord;
use entrace_record::rows::{Outcome, PrefixRow, Rows, TraceRow};
use entrace_run::{
    Control, Engine, EstimatorChoice, Judged, Measurement, Rollouts, Seen, StopWatch, Stopping, StoppingRule,
    TaskPlan, TraceInput, TraceMaking,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn model() -> Scripted {
    let pieces = ["1", "2", "3", "4", "5", "6", "7", "8", ".", "\n", " ", "Q", "The answer is", "Step", ":"];
    let vocabulary = Vocabulary::chat(pieces.into_iter().chain(["up", "down", "\n\n", "\nA:"]));
    Scripted::new(vocabulary, KnownAnswers::following_the_steps(7, " 1", " 12"))
}

fn task(n_questions: usize, n_traces: usize) -> TaskPlan {
    let traces = vec![TraceInput::Generate; n_traces];
    let item = |i: usize| asked(question(i, Some("1")), &format!("Q{}\nA:", i % 9), &traces);
    numbers((1..=n_questions).map(item).collect())
}

fn how() -> Measurement {
    Measurement {
        segmentation: Segmentation::BlankLine,
        max_answer_tokens: 3,
        batch_size: 4,
        ..measurement()
    }
}

/// Stops where the leader is likelier than `sure`, and gives up where the log-probability of the newest token is below a limit.
#[derive(Debug)]
struct Sure {
    sure: f64,
    unlikely: f64,
}

impl StoppingRule for Sure {
    fn watch(&self) -> Box<dyn StopWatch + '_> {
        Box::new(Looking(self))
    }
}

struct Looking<'a>(&'a Sure);

impl StopWatch for Looking<'_> {
    fn next(&mut self, seen: &Seen<'_>) -> Judged {
        assert_eq!(seen.logprobs.len(), seen.n_tokens, "a number for each token of the prefix");
        let stop = seen.belief.leader().prob;
        let give_up = seen.logprobs.last().copied().flatten();
        let act = match (stop > self.0.sure, give_up.is_some_and(|logprob| logprob < self.0.unlikely)) {
            (true, _) => Act::Stop,
            (_, true) => Act::GiveUp,
            _ => Act::Continue,
        };
        Judged { act, stop: Some(stop), give_up }
    }
}

fn stopping(sure: f64, unlikely: f64) -> Option<Stopping> {
    let record = StoppingRecord {
        rule: "stop when sure".into(),
        conditions: serde_json::json!({}),
        whole_tokens: None,
    };
    Some(Stopping { rule: Arc::new(Sure { sure, unlikely }), record })
}

fn of<'a>(rows: &'a Rows, trace: &TraceRow) -> Vec<&'a PrefixRow> {
    rows.prefixes
        .iter()
        .filter(|p| (&p.question_id, p.sample) == (&trace.question_id, trace.sample))
        .collect()
}

/// Holds what was written under a rule against the whole traces: the same tokens, beliefs and decisions up to where the rule holds first.
fn assert_replayed(whole: &Rows, online: &Rows, rule: &Sure) -> usize {
    assert_eq!(whole.traces.len(), online.traces.len());
    let mut n_stopped = 0;
    for (whole_trace, trace) in whole.traces.iter().zip(&online.traces) {
        let (before, now) = (of(whole, whole_trace), of(online, trace));
        let tokens = |rows: &Rows| {
            let own = rows
                .tokens
                .iter()
                .filter(|t| (&t.question_id, t.sample) == (&trace.question_id, trace.sample));
            own.map(|t| (t.token_id, t.logprob, t.token_entropy)).collect::<Vec<_>>()
        };
        let (all, kept) = (tokens(whole), tokens(online));
        let mut expected = Vec::new();
        for prefix in before.iter().filter(|prefix| prefix.n_tokens < whole_trace.n_trace_tokens) {
            let n = prefix.n_tokens as usize;
            let give_up = n.checked_sub(1).and_then(|last| all[last].1);
            let stop = prefix.leader_prob;
            let act = match (stop > rule.sure, give_up.is_some_and(|logprob| logprob < rule.unlikely)) {
                (true, _) => "stop",
                (_, true) => "give-up",
                _ => "continue",
            };
            expected.push((prefix.step, prefix.n_tokens, Some(stop), give_up, act.to_string()));
            if act != "continue" {
                break;
            }
        }
        let own = online
            .decisions
            .iter()
            .filter(|d| (&d.question_id, d.sample) == (&trace.question_id, trace.sample));
        let found: Vec<_> = own
            .map(|d| (d.step, d.n_tokens, d.stop_value, d.give_up_value, d.decision.to_string()))
            .collect();
        assert_eq!(found, expected, "decisions on {} {}", trace.question_id, trace.sample);
        let last = expected.last().unwrap();
        let (n_kept, reason) = match last.4.as_str() {
            "continue" => (whole_trace.n_trace_tokens, whole_trace.stop_reason.as_deref()),
            "stop" => (last.1, Some("rule")),
            _ => (last.1, Some("gave-up")),
        };
        assert_eq!((trace.n_trace_tokens, trace.stop_reason.as_deref()), (n_kept, reason));
        assert_eq!(kept, all[..n_kept as usize], "the trace is the beginning of the whole one");
        assert_eq!(now.len(), trace.n_steps as usize + 1);
        for (now, before) in now.iter().zip(&before) {
            let numbers =
                |p: &PrefixRow| (p.step, p.n_tokens, p.answer_entropy, p.leader.clone(), p.target_logprob);
            assert_eq!(numbers(now), numbers(before), "belief is what it is in the whole trace");
        }
        if last.4 == "stop" {
            n_stopped += 1;
            let leader = now.last().unwrap().leader.to_string();
            assert_eq!((trace.answer.as_deref(), trace.correct), (Some(&*leader), Some(leader == "1")));
        } else if last.4 == "give-up" {
            assert_eq!((trace.answer.as_deref(), trace.correct), (Some("[invalid]"), Some(false)));
        }
    }
    n_stopped
}

#[test]
fn a_trace_under_a_rule_is_the_beginning_of_the_whole_one() {
    let (model, tasks) = (model(), [task(9, 2)]);
    for estimator in [EstimatorChoice::Auto, EstimatorChoice::Always(Estimator::Sample)] {
        let how = Measurement { estimator, ..how() };
        let whole = measure(&model, &tasks, &how);
        assert!(whole.decisions.is_empty());
        for (sure, unlikely) in [(0.85, -99.0), (0.95, -0.5), (0.4, -99.0), (2.0, -99.0)] {
            let rule = Sure { sure, unlikely };
            let online =
                measure(&model, &tasks, &Measurement { stopping: stopping(sure, unlikely), ..how.clone() });
            let n_stopped = assert_replayed(&whole, &online, &rule);
            match sure {
                2.0 => assert_eq!(n_stopped, 0),
                0.4 => assert_eq!(n_stopped, 18, "the question alone is enough"),
                _ => assert!(n_stopped > 0),
            }
        }
    }
}

#[test]
fn an_interrupted_run_under_a_rule_is_resumed() {
    let (model, tasks) = (model(), [task(9, 1)]);
    let how = Measurement { stopping: stopping(0.85, -99.0), ..how() };
    let whole = measure(&model, &tasks, &how);
    let folder = tempfile::tempdir().unwrap();
    let interrupted = sit(folder.path(), &model, &tasks, &how, &mut StopAfter { n_traces: 4 });
    assert!(interrupted.is_err());
    sit(folder.path(), &model, &tasks, &how, &mut StopAfter { n_traces: usize::MAX }).unwrap();
    assert_eq!(rows(folder.path()), whole);
}

/// A scripted model that counts the tokens it is asked to run: those of branches and contexts, and those drawn.
struct Counting<'a> {
    model: &'a Scripted,
    on_tree: bool,
    n_tokens: AtomicUsize,
}

impl<'a> Counting<'a> {
    fn new(model: &'a Scripted, on_tree: bool) -> Self {
        Self { model, on_tree, n_tokens: AtomicUsize::new(0) }
    }

    fn engine(&self) -> Engine<'_> {
        Engine { text: self.model, generator: Some(self), scorer: Some(self), layers: None }
    }

    fn count(&self, n_tokens: usize) {
        self.n_tokens.fetch_add(n_tokens, Ordering::Relaxed);
    }
}

struct Counted<'a, S: ?Sized> {
    counting: &'a Counting<'a>,
    inner: Box<S>,
}

impl<S: TreeSession + ?Sized> TreeSession for Counted<'_, S> {
    fn extend_each(&mut self, branches: &[Branch]) -> Each<BranchScore> {
        self.counting.count(branches.iter().map(|branch| branch.tokens.len()).sum());
        self.inner.extend_each(branches)
    }

    fn truncate(&mut self, n_branches: usize) {
        self.inner.truncate(n_branches);
    }

    fn n_branches(&self) -> usize {
        self.inner.n_branches()
    }
}

impl SamplingSession for Counted<'_, dyn SamplingSession + '_> {
    fn sample(
        &mut self,
        stems: &[Stem],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<Vec<Sampled>> {
        let sampled = self.inner.sample(stems, sampling, watcher)?;
        self.counting
            .count(sampled.iter().flatten().flatten().map(|drawn| drawn.completion.token_ids.len()).sum());
        Ok(sampled)
    }

    fn resume(
        &mut self,
        paused: &[BranchId],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<Sampled> {
        self.inner.resume(paused, sampling, watcher)
    }
}

impl ScoreTree for Counting<'_> {
    fn session(&self) -> Result<Box<dyn TreeSession + '_>, Error> {
        Ok(Box::new(Counted { counting: self, inner: self.model.session()? }))
    }

    fn sampling_session(&self) -> Result<Option<Box<dyn SamplingSession + '_>>, Error> {
        if !self.on_tree {
            return Ok(None);
        }
        let inner = self.model.sampling_session()?;
        Ok(inner.map(|inner| Box::new(Counted { counting: self, inner }) as Box<dyn SamplingSession + '_>))
    }
}

impl Generate for Counting<'_> {
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<RequestCompletions> {
        let drawn = self.model.generate_each(requests, sampling, watcher)?;
        let completions = drawn.iter().flatten().flatten().flatten();
        self.count(requests.iter().map(|request| request.context.len()).sum());
        self.count(completions.map(|completion| completion.token_ids.len()).sum());
        Ok(drawn)
    }
}

#[test]
fn a_generated_trace_is_measured_where_it_grew() {
    let (model, tasks) = (model(), [task(6, 2)]);
    let how = Measurement { controls: vec![Control::Swapped], ..how() };
    let apart = Counting::new(&model, false);
    let together = Counting::new(&model, true);
    let expected = measure_by(apart.engine(), &tasks, &how);
    let found = measure_by(together.engine(), &tasks, &how);
    assert_eq!(found, expected);
    let n_saved: u32 = found.traces.iter().map(|trace| trace.n_prompt_tokens + trace.n_trace_tokens).sum();
    let [apart, together] = [apart, together].map(|counting| counting.n_tokens.into_inner());
    assert_eq!(apart - together, n_saved as usize, "prompt and trace of each are not run again");
}

#[test]
fn a_fault_makes_nothing_run_again() {
    let pieces =
        ["1", "2", "3", "4", "5", "6", ".", "\n", " ", "Q", "The answer is", "Step", ":", "up", "down"];
    let known = KnownAnswers::following_the_steps(2, " 1", " 2");
    // The numbers of the second question's trace are damaged in the middle, and those of the fourth one's prompt.
    let damaged = |_: usize, text: &str| text.contains("Step 6") || text.contains("Q3");
    let model = Scripted::new(Vocabulary::chat(pieces), Faulty::when(known, Fault::NotANumber, damaged));
    let traces = [
        imported("Step 1: up.\n\nStep 2: down."),
        imported("Step 1: up.\n\nStep 6: down."),
        TraceInput::Generate,
        TraceInput::Generate,
        TraceInput::Generate,
    ];
    let item = |i: usize| asked(question(i, Some("1")), &format!("Q{i}\nA:"), &traces[i..=i]);
    for on_tree in [true, false] {
        for estimator in [Estimator::Enumerate, Estimator::Sample] {
            let how = Measurement { estimator: EstimatorChoice::Always(estimator), ..measurement() };
            let n_tokens = |questions: std::ops::Range<usize>, n_failed: usize| {
                let counting = Counting::new(&model, on_tree);
                let rows = measure_by(counting.engine(), &[numbers(questions.map(item).collect())], &how);
                let failed = rows.traces.iter().filter(|row| row.outcome == Outcome::Failed);
                assert_eq!(failed.count(), n_failed);
                counting.n_tokens.into_inner()
            };
            let apart: usize = (0..5).map(|i| n_tokens(i..i + 1, usize::from(i % 2 == 1))).sum();
            assert_eq!(n_tokens(0..5, 2), apart, "by {estimator:?}, on the tree: {on_tree}");
        }
    }
}

#[test]
fn engines_that_draw_elsewhere_stop_traces_by_growing_contexts() {
    let (model, tasks) = (model(), [task(9, 1)]);
    let mut how = how();
    how.traces = TraceMaking { sampling: Sampling { temperature: 0.0, ..how.traces.sampling } };
    let engine = Counting::new(&model, false);
    let whole = measure_by(engine.engine(), &tasks, &how);
    for sure in [0.85, 0.97] {
        let how = Measurement { stopping: stopping(sure, -99.0), ..how.clone() };
        let online = measure_by(engine.engine(), &tasks, &how);
        assert!(assert_replayed(&whole, &online, &Sure { sure, unlikely: -99.0 }) > 0);
    }
}

#[test]
fn what_cannot_be_known_while_a_trace_is_written_is_refused() {
    let (model, tasks) = (model(), [task(1, 1)]);
    let refused = |how: Measurement| {
        let how = Measurement { stopping: stopping(0.9, -99.0), ..how };
        entrace_run::check(engine(&model), &tasks, &how).unwrap_err().to_string()
    };
    for segmentation in [Segmentation::Auto, Segmentation::Steps, Segmentation::Regex("x".into())] {
        let message = refused(Measurement { segmentation, ..how() });
        assert!(message.contains("known only once a trace has ended"), "{message}");
    }
    let rollouts = Some(Rollouts { n_questions: 1, draws: 4 });
    for (how, said) in [
        (Measurement { max_steps: Some(3), ..how() }, "steps are merged"),
        (Measurement { controls: vec![Control::Shuffled], ..how() }, "controls"),
        (Measurement { rollouts, ..how() }, "rollouts"),
        (Measurement { more_cues: vec!["So".into()], ..how() }, "one cue"),
    ] {
        let message = refused(how);
        assert!(message.contains(said), "{message}");
    }
}
