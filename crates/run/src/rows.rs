//! What is written: rows of the five tables, and of the decisions of a rule that stops traces.
//!
//! A trace whose own curve could not be made is `failed`, and its reason stands in the traces table; its tokens are kept. A control that
//! could not be made is left out.

use crate::control::Variant;
use crate::online::Decision;
use crate::rollouts::Curves;
use crate::signals::SignalValue;
use crate::sites::{Findings, Subject};
use crate::trace::{self, NoTrace, Posed, TokenScored, Traced, Unmeasured};
use entrace_measure::{Answer, Choices, EntropyCurve, Prefix, Question, Signature, Statement};
use entrace_record::rows::{AnswerRow, DecisionRow, Outcome, PrefixRow, Rows, SignalRow, TokenRow, TraceRow};
use std::sync::Arc;

/// Identity of a trace, as its rows carry it.
struct Identity {
    task: Arc<str>,
    question_id: Arc<str>,
    sample: u32,
}

impl Identity {
    fn of(posed: &Posed) -> Self {
        Self {
            task: posed.question.task.as_str().into(),
            question_id: posed.question.id.as_str().into(),
            sample: posed.sample,
        }
    }
}

/// Adds the rows of a measured trace with its controls.
pub(crate) fn add_traced(rows: &mut Rows, traced: &Traced, variants: &[Variant], findings: &Findings) {
    let identity = Identity::of(&traced.posed);
    let own = findings.curves.first();
    let signature = own.and_then(|curve| curve.as_ref().ok()).map(Signature::of);
    let reason = match own {
        Some(Ok(_)) => None,
        Some(Err(reason)) => Some(reason.clone()),
        None => Some("nothing was measured".to_string()),
    };
    let outcome = if reason.is_none() { Outcome::Measured } else { Outcome::Failed };
    rows.traces.push(trace_row(traced, &identity, outcome, reason, signature.as_ref()));
    for (variant, curve) in variants.iter().zip(&findings.curves) {
        if let Ok(curve) = curve {
            let statements = match variant.control {
                None => Statements::of(traced),
                Some(_) => Statements::default(),
            };
            let control = variant.control.map_or("none", |c| c.name());
            add_curve(rows, &identity, &Under { control, cue: 0 }, curve, &statements);
        }
    }
    add_tokens(rows, traced, &identity, findings.token_scores.as_ref());
}

/// Why a trace has no belief that nobody asked for.
pub(crate) const NOT_MEASURED: &str = "belief was not measured (estimator none)";

/// Adds the rows of a trace of which nothing is measured.
pub(crate) fn add_written(rows: &mut Rows, outcome: &trace::Outcome) {
    let traced = match outcome {
        Ok(traced) => traced,
        Err(unmeasured) => return add_unmeasured(rows, unmeasured),
    };
    let identity = Identity::of(&traced.posed);
    rows.traces.push(trace_row(traced, &identity, Outcome::Skipped, Some(NOT_MEASURED.to_string()), None));
    add_tokens(rows, traced, &identity, None);
}

/// Adds the rows of rollouts.
pub(crate) fn add_rollouts(rows: &mut Rows, subject: &Subject<'_>, curves: &Curves) {
    let identity = Identity::of(subject.posed);
    for (control, curve) in curves {
        let own = subject.traced.filter(|_| control.is_none());
        let statements = own.map_or_else(Statements::default, Statements::of);
        let under = Under { control: control.map_or("none", |c| c.name()), cue: 0 };
        add_curve(rows, &identity, &under, curve, &statements);
    }
}

/// Adds what was measured of a trace because it was asked for.
pub(crate) fn add_signals(rows: &mut Rows, traced: &Traced, signals: &[SignalValue]) {
    let identity = Identity::of(&traced.posed);
    rows.signals.extend(signals.iter().map(|signal| SignalRow {
        task: Arc::clone(&identity.task),
        question_id: Arc::clone(&identity.question_id),
        sample: identity.sample,
        signal: signal.signal.into(),
        value: signal.value.as_ref().ok().copied(),
        reason: signal.value.as_ref().err().cloned(),
    }));
}

/// Adds what a rule decided along a trace.
pub(crate) fn add_decisions(rows: &mut Rows, question: &Question, sample: u32, decisions: &[Decision]) {
    let (task, question_id) = (Arc::from(question.task.as_str()), Arc::from(question.id.as_str()));
    rows.decisions.extend(decisions.iter().map(|decision| DecisionRow {
        task: Arc::clone(&task),
        question_id: Arc::clone(&question_id),
        sample,
        step: count(decision.prefix.step),
        n_tokens: count(decision.prefix.n_tokens),
        n_written: count(decision.n_written),
        n_asked: count(decision.n_asked),
        stop_value: decision.judged.stop,
        give_up_value: decision.judged.give_up,
        decision: decision.judged.act.name().into(),
    }));
}

/// Adds the rows of one control of a trace that was written before.
pub(crate) fn add_late_control(rows: &mut Rows, posed: &Posed, variant: &Variant, curve: &EntropyCurve) {
    let under = Under { control: variant.control.map_or("none", |c| c.name()), cue: 0 };
    add_curve(rows, &Identity::of(posed), &under, curve, &Statements::default());
}

/// Adds the rows of a trace itself under a further cue.
pub(crate) fn add_under_cue(rows: &mut Rows, traced: &Traced, cue: u32, curve: &EntropyCurve) {
    let under = Under { control: "none", cue };
    add_curve(rows, &Identity::of(&traced.posed), &under, curve, &Statements::of(traced));
}

/// What a curve was measured under.
struct Under {
    control: &'static str,
    /// Number of the cue, 0 for the one that carries the numbers.
    cue: u32,
}

fn trace_row(
    traced: &Traced,
    identity: &Identity,
    outcome: Outcome,
    reason: Option<String>,
    signature: Option<&Signature>,
) -> TraceRow {
    let question = &traced.posed.question;
    TraceRow {
        task: Arc::clone(&identity.task),
        question_id: Arc::clone(&identity.question_id),
        sample: traced.posed.sample,
        question: question.text.clone(),
        choices: question.choices.as_ref().map(choices_json),
        prompt: traced.posed.prompt.text.clone(),
        completion: traced.completion.clone(),
        target: question.target.as_ref().map(|target| target.name().to_string()),
        answer: Some(traced.answer.name().to_string()),
        correct: traced.correct,
        stop_reason: Some(traced.stop_reason.name().to_string()),
        n_prompt_tokens: count(traced.posed.prompt.token_ids.len()),
        n_trace_tokens: count(traced.trace.len()),
        n_steps: count(traced.prefixes.len().saturating_sub(1)),
        outcome,
        reason,
        lock_in_step: signature.and_then(|s| s.lock_in_step).map(count),
        total_drop: signature.map(|s| s.total_drop),
        monotone: signature.map(|s| s.monotone),
        n_violations: signature.map(|s| count(s.n_violations)),
        late_slope: signature.and_then(|s| s.late_slope),
        wasted_tokens: signature.and_then(|s| s.wasted_tokens).map(count),
    }
}

/// Adds the row of a trace that could not be measured.
pub(crate) fn add_unmeasured(rows: &mut Rows, unmeasured: &Unmeasured) {
    let question = &unmeasured.question;
    let (outcome, reason) = match &unmeasured.why {
        NoTrace::Failed(reason) => (Outcome::Failed, reason.clone()),
        NoTrace::Skipped(reason) => (Outcome::Skipped, reason.clone()),
    };
    rows.traces.push(TraceRow {
        completion: unmeasured.completion.clone(),
        answer: unmeasured.answer.as_ref().map(|answer| answer.name().to_string()),
        correct: unmeasured.correct,
        n_prompt_tokens: count(unmeasured.n_prompt_tokens),
        n_trace_tokens: count(unmeasured.n_trace_tokens),
        reason: Some(reason),
        ..unmeasured_row(question, unmeasured.sample, unmeasured.prompt.clone(), outcome)
    });
}

/// The row of a trace of which no more is known than what was asked.
pub(crate) fn unmeasured_row(question: &Question, sample: u32, prompt: String, outcome: Outcome) -> TraceRow {
    TraceRow {
        task: question.task.as_str().into(),
        question_id: question.id.as_str().into(),
        sample,
        question: question.text.clone(),
        choices: question.choices.as_ref().map(choices_json),
        prompt,
        completion: String::new(),
        target: question.target.as_ref().map(|target| target.name().to_string()),
        answer: None,
        correct: None,
        stop_reason: None,
        n_prompt_tokens: 0,
        n_trace_tokens: 0,
        n_steps: 0,
        outcome,
        reason: None,
        lock_in_step: None,
        total_drop: None,
        monotone: None,
        n_violations: None,
        late_slope: None,
        wasted_tokens: None,
    }
}

fn choices_json(choices: &Choices) -> String {
    let list = |items: &[String]| items.iter().map(|s| json_string(s)).collect::<Vec<_>>().join(",");
    format!("{{\"labels\":[{}],\"texts\":[{}]}}", list(choices.labels()), list(choices.texts()))
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(crate) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Where a trace first states its own answer and the target.
#[derive(Default)]
struct Statements {
    answer: Option<Stated>,
    target: Option<Stated>,
}

/// The first step that states an answer which text can state; `None` where no step does.
struct Stated(Option<usize>);

impl Statements {
    fn of(traced: &Traced) -> Self {
        let trace = &traced.trace;
        let steps = traced.prefixes.iter().skip(1);
        let step_ends: Vec<usize> = steps.map(|prefix| trace.text_of_prefix(prefix.n_tokens).len()).collect();
        let stated = |answer: &Answer| {
            let statement = Statement::of(answer.name(), traced.posed.question.choices.as_ref())?;
            Some(Stated(statement.first_step(trace.text(), &step_ends)))
        };
        Self {
            answer: stated(&traced.answer),
            target: traced.posed.question.target.as_ref().and_then(stated),
        }
    }
}

impl Stated {
    fn by(&self, step: usize) -> bool {
        self.0.is_some_and(|first| first <= step)
    }
}

fn add_curve(
    rows: &mut Rows,
    identity: &Identity,
    under: &Under,
    curve: &EntropyCurve,
    statements: &Statements,
) {
    let control: Arc<str> = under.control.into();
    for point in curve.points() {
        let distribution = &point.distribution;
        let leader = distribution.leader();
        let estimator: Arc<str> = distribution.estimator.name().into();
        rows.prefixes.push(PrefixRow {
            task: Arc::clone(&identity.task),
            question_id: Arc::clone(&identity.question_id),
            sample: identity.sample,
            control: Arc::clone(&control),
            step: count(point.prefix.step),
            n_tokens: count(point.prefix.n_tokens),
            depth: point.depth,
            estimator: Arc::clone(&estimator),
            answer_entropy: distribution.entropy.nats,
            entropy_lower: distribution.entropy.lower,
            entropy_upper: distribution.entropy.upper,
            entropy_drop: point.entropy_drop,
            target_logprob: distribution.target_logprob,
            information_gain: point.information_gain,
            leader: leader.answer.name().into(),
            leader_prob: leader.prob,
            elicited_mass: distribution.elicited_mass,
            residual_mass: distribution.residual_mass(),
            n_samples: distribution.n_samples.map(count),
            cue_entropy: distribution.cue_entropy,
            answer_stated: statements.answer.as_ref().map(|stated| stated.by(point.prefix.step)),
            target_stated: statements.target.as_ref().map(|stated| stated.by(point.prefix.step)),
            cue: Some(under.cue),
        });
        rows.answers.extend(distribution.masses().iter().map(|mass| AnswerRow {
            task: Arc::clone(&identity.task),
            question_id: Arc::clone(&identity.question_id),
            sample: identity.sample,
            control: Arc::clone(&control),
            step: count(point.prefix.step),
            estimator: Some(Arc::clone(&estimator)),
            answer: mass.answer.name().into(),
            prob: mass.prob,
            logprob: mass.logprob,
            cue: Some(under.cue),
        }));
    }
}

fn add_tokens(rows: &mut Rows, traced: &Traced, identity: &Identity, scores: Option<&TokenScored>) {
    let trace = &traced.trace;
    let scores = traced.scores.as_ref().or(scores);
    let mut start = 0;
    for (index, (&token_id, &end)) in trace.token_ids().iter().zip(trace.token_ends()).enumerate() {
        let logprob = scores.and_then(|scores| scores.logprobs.get(index).copied().flatten());
        let sharpness = scores.and_then(|scores| scores.sharpness.get(index).copied().flatten());
        rows.tokens.push(TokenRow {
            task: Arc::clone(&identity.task),
            question_id: Arc::clone(&identity.question_id),
            sample: identity.sample,
            index: count(index),
            step: count(step_of(&traced.prefixes, index)),
            token_id,
            text: trace.text()[start..end].to_string(),
            logprob,
            token_entropy: sharpness.and_then(|s| s.entropy),
            top2_margin: sharpness.and_then(|s| s.top2_margin),
            topk_confidence: sharpness.and_then(|s| s.topk_confidence),
            uniform_divergence: sharpness.and_then(|s| s.uniform_divergence),
        });
        start = end;
    }
}

/// The step, from 1, to which the token at `index` belongs.
fn step_of(prefixes: &[Prefix], index: usize) -> usize {
    let after = prefixes.partition_point(|prefix| prefix.n_tokens <= index);
    prefixes.get(after).or(prefixes.last()).map_or(0, |prefix| prefix.step)
}
