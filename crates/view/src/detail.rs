//! One trace as the page shows it.
//!
//! Numbers that are not finite are told as text (`-∞` is a log-probability of zero); what is undefined is null. Texts beyond any use are cut, with
//! the number of characters that are missing.

use std::sync::Arc;

use entrace_measure::Answer;
use entrace_record::Settings;
use entrace_record::rows::{AnswerRow, InterventionRow, PrefixRow, Rows, TokenRow, TraceRow};
use entrace_record::tables::TraceRows;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Most characters of a text.
const MOST_CHARACTERS: usize = 100_000;
/// Most answers at a prefix, besides the target.
const MOST_ANSWERS: usize = 12;
/// Most steps of a trace.
const MOST_STEPS: usize = 5_000;
/// Most tokens of a trace, and most bytes of their texts.
const MOST_TOKENS: usize = 100_000;
const MOST_TOKEN_BYTES: usize = 4 << 20;
/// Most characters of a name or an answer.
const MOST_NAME_CHARACTERS: usize = 5_000;

/// Everything about a trace.
#[derive(Debug, Serialize)]
pub(crate) struct Detail {
    number: u32,
    task: Name,
    id: Name,
    sample: u32,
    question: String,
    /// Labels and texts of the options.
    choices: Option<Value>,
    prompt: String,
    /// What was generated beyond the steps.
    rest: String,
    target: Option<String>,
    answer: Option<String>,
    correct: Option<bool>,
    stop_reason: Option<String>,
    outcome: &'static str,
    reason: Option<String>,
    n_prompt_tokens: u32,
    n_trace_tokens: u32,
    n_steps: u32,
    lock_in_step: Option<u32>,
    monotone: Option<bool>,
    total_drop: Option<Number>,
    steps: Vec<Step>,
    /// Steps that are too many to be shown.
    n_hidden_steps: usize,
    curves: Vec<CurveOf>,
    signals: Vec<Signal>,
    decisions: Vec<Decision>,
    changes: Vec<Change>,
}

/// A name that many rows share.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name(Arc<str>);

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&cut_at(&self.0, MOST_NAME_CHARACTERS))
    }
}

/// A finite number as such, any other as text.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => serializer.serialize_f64(rounded(value)),
            f64::INFINITY => serializer.serialize_str("∞"),
            f64::NEG_INFINITY => serializer.serialize_str("-∞"),
            _ => serializer.serialize_none(),
        }
    }
}

/// The value with six digits, which is more than a page shows.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// The text of a step, and its tokens.
#[derive(Debug, Serialize)]
struct Step {
    step: u32,
    /// Texts of its tokens.
    tokens: Vec<String>,
    /// Their entropies; empty where none was recorded.
    entropies: Vec<Option<Number>>,
    logprobs: Vec<Option<Number>>,
}

/// Beliefs along the trace or a control, by one estimator under one cue.
#[derive(Debug, Serialize)]
struct CurveOf {
    control: Name,
    estimator: Name,
    cue: u32,
    /// Whether it stands beside the run's estimator.
    beside: bool,
    points: Vec<Point>,
}

#[derive(Debug, Serialize)]
struct Point {
    step: u32,
    n_tokens: u32,
    depth: Number,
    entropy: Number,
    lower: Number,
    upper: Number,
    gain: Option<Number>,
    target_logprob: Option<Number>,
    leader: Name,
    leader_prob: Number,
    residual: Number,
    n_samples: Option<u32>,
    answer_stated: Option<bool>,
    target_stated: Option<bool>,
    /// Answers with their probabilities, the most likely first.
    answers: Vec<(Name, Number)>,
    /// Answers that are not told.
    n_more: usize,
}

#[derive(Debug, Serialize)]
struct Signal {
    name: Name,
    value: Option<Number>,
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Decision {
    step: u32,
    decision: Name,
    stop_value: Option<Number>,
    give_up_value: Option<Number>,
}

/// What a change in the trace did.
#[derive(Debug, Serialize)]
struct Change {
    step: u32,
    kind: Name,
    variant: Name,
    reading: Name,
    tv: Option<Number>,
    target_change: Option<Number>,
    target_change_low: Option<Number>,
    target_change_high: Option<Number>,
    leader: Option<Name>,
    leader_before: Option<Name>,
    noise_floor: Option<Number>,
    p_value: Option<Number>,
    replacement: Option<String>,
    reason: Option<String>,
}

impl Detail {
    /// `None` where the rows have no trace.
    pub(crate) fn of(number: u32, found: TraceRows, settings: &Settings) -> Option<Self> {
        let TraceRows { mut rows, interventions } = found;
        let trace = rows.traces.pop()?;
        rows.tokens.sort_by_key(|token| token.index);
        let text: String = rows.tokens.iter().map(|token| token.text.as_str()).collect();
        let (steps, n_hidden_steps) = steps(&rows.tokens);
        Some(Self {
            number,
            question: cut(&trace.question),
            choices: trace.choices.as_deref().and_then(|json| serde_json::from_str(json).ok()),
            prompt: cut(&trace.prompt),
            rest: cut(rest(&trace, &text)),
            target: trace.target.as_deref().map(|target| cut_at(target, MOST_NAME_CHARACTERS)),
            answer: trace.answer.as_deref().map(|answer| cut_at(answer, MOST_NAME_CHARACTERS)),
            correct: trace.correct,
            stop_reason: trace.stop_reason,
            outcome: trace.outcome.name(),
            reason: trace.reason.as_deref().map(cut),
            n_prompt_tokens: trace.n_prompt_tokens,
            n_trace_tokens: trace.n_trace_tokens,
            n_steps: trace.n_steps,
            lock_in_step: trace.lock_in_step,
            monotone: trace.monotone,
            total_drop: trace.total_drop.map(Number),
            steps,
            n_hidden_steps,
            curves: curves(&rows, trace.target.as_deref(), settings),
            signals: rows.signals.into_iter().map(Signal::of).collect(),
            decisions: rows.decisions.into_iter().map(Decision::of).collect(),
            changes: interventions.into_iter().filter(|row| &*row.kind != "none").map(Change::of).collect(),
            task: Name(trace.task),
            id: Name(trace.question_id),
            sample: trace.sample,
        })
    }
}

/// What was generated beyond the text of the tokens: a reply after the thoughts, or all of it where no tokens were recorded.
fn rest<'a>(trace: &'a TraceRow, text: &str) -> &'a str {
    match trace.completion.split_once(text) {
        Some((_, rest)) => rest,
        None => &trace.completion,
    }
}

fn steps(tokens: &[TokenRow]) -> (Vec<Step>, usize) {
    let mut steps: Vec<Step> = Vec::new();
    let mut hidden = std::collections::BTreeSet::new();
    let mut n_bytes = 0;
    for (at, token) in tokens.iter().enumerate() {
        n_bytes += token.text.len();
        let fits = at < MOST_TOKENS && n_bytes <= MOST_TOKEN_BYTES;
        if steps.last().is_none_or(|step| step.step != token.step) {
            if steps.len() == MOST_STEPS || !fits {
                hidden.insert(token.step);
                continue;
            }
            let step =
                Step { step: token.step, tokens: Vec::new(), entropies: Vec::new(), logprobs: Vec::new() };
            steps.push(step);
        }
        let Some(step) = steps.last_mut() else { continue };
        if fits {
            step.tokens.push(cut(&token.text));
            step.entropies.push(token.token_entropy.map(Number));
            step.logprobs.push(token.logprob.map(Number));
        }
    }
    (steps, hidden.len())
}

/// Beliefs of each control, estimator and cue: those of the run first, then what stands beside, then controls and further cues.
fn curves(rows: &Rows, target: Option<&str>, settings: &Settings) -> Vec<CurveOf> {
    let mut curves: Vec<CurveOf> = Vec::new();
    for row in &rows.prefixes {
        let cue = row.cue.unwrap_or(0);
        let is_it = |curve: &CurveOf| {
            curve.control.0 == row.control && curve.estimator.0 == row.estimator && curve.cue == cue
        };
        let at = curves.iter().position(is_it).unwrap_or_else(|| {
            curves.push(CurveOf {
                control: Name(row.control.clone()),
                estimator: Name(row.estimator.clone()),
                cue,
                beside: settings.is_beside(&row.estimator),
                points: Vec::new(),
            });
            curves.len() - 1
        });
        curves[at].points.push(point(row));
    }
    for row in &rows.answers {
        add_answer(&mut curves, row);
    }
    for curve in &mut curves {
        curve.points.sort_by_key(|point| point.step);
        for point in &mut curve.points {
            point.shorten(target);
        }
    }
    curves.sort_by_key(|curve| (&*curve.control.0 != "none", curve.cue, curve.beside));
    curves
}

fn add_answer(curves: &mut [CurveOf], row: &AnswerRow) {
    let cue = row.cue.unwrap_or(0);
    let is_it = |curve: &&mut CurveOf| {
        curve.control.0 == row.control
            && curve.cue == cue
            && row.estimator.as_ref().is_none_or(|estimator| *estimator == curve.estimator.0)
    };
    let Some(curve) = curves.iter_mut().find(is_it) else { return };
    if let Some(point) = curve.points.iter_mut().find(|point| point.step == row.step) {
        point.answers.push((Name(row.answer.clone()), Number(row.prob)));
    }
}

fn point(row: &PrefixRow) -> Point {
    Point {
        step: row.step,
        n_tokens: row.n_tokens,
        depth: Number(row.depth),
        entropy: Number(row.answer_entropy),
        lower: Number(row.entropy_lower),
        upper: Number(row.entropy_upper),
        gain: row.information_gain.map(Number),
        target_logprob: row.target_logprob.map(Number),
        leader: Name(row.leader.clone()),
        leader_prob: Number(row.leader_prob),
        residual: Number(row.residual_mass),
        n_samples: row.n_samples,
        answer_stated: row.answer_stated,
        target_stated: row.target_stated,
        answers: Vec::new(),
        n_more: 0,
    }
}

impl Point {
    /// Sorts answers by probability, ties as in an answer distribution, and keeps the first, with the target.
    fn shorten(&mut self, target: Option<&str>) {
        let order = |a: &(Name, Number), b: &(Name, Number)| {
            b.1.0.total_cmp(&a.1.0).then_with(|| Answer::from_name(&a.0.0).cmp(&Answer::from_name(&b.0.0)))
        };
        self.answers.sort_by(order);
        let n = self.answers.len();
        let kept = self.answers.split_off(n.min(MOST_ANSWERS));
        self.answers.extend(kept.into_iter().find(|(answer, _)| Some(&*answer.0) == target));
        self.n_more = n - self.answers.len();
    }
}

impl Signal {
    fn of(row: entrace_record::rows::SignalRow) -> Self {
        Self { name: Name(row.signal), value: row.value.map(Number), reason: row.reason }
    }
}

impl Decision {
    fn of(row: entrace_record::rows::DecisionRow) -> Self {
        Self {
            step: row.step,
            decision: Name(row.decision),
            stop_value: row.stop_value.map(Number),
            give_up_value: row.give_up_value.map(Number),
        }
    }
}

impl Change {
    fn of(row: InterventionRow) -> Self {
        Self {
            step: row.step,
            kind: Name(row.kind),
            variant: Name(row.variant),
            reading: Name(row.reading),
            tv: row.tv.map(Number),
            target_change: row.target_change.map(Number),
            target_change_low: row.target_change_low.map(Number),
            target_change_high: row.target_change_high.map(Number),
            leader: row.leader.map(Name),
            leader_before: row.leader_before.map(Name),
            noise_floor: row.noise_floor.map(Number),
            p_value: row.p_value.map(Number),
            replacement: row.replacement.as_deref().map(cut),
            reason: row.reason,
        }
    }
}

fn cut(text: &str) -> String {
    cut_at(text, MOST_CHARACTERS)
}

/// At most so many characters, with a note of how many are missing.
fn cut_at(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => {
            format!("{} … ({} more characters)", &text[..end], text[end..].chars().count())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_not_finite_are_told() {
        let json = |value: f64| serde_json::to_string(&Number(value)).unwrap();
        let all = [0.123_456_789, f64::NEG_INFINITY, f64::INFINITY, f64::NAN].map(json);
        assert_eq!(all, ["0.123457", "\"-∞\"", "\"∞\"", "null"]);
    }

    #[test]
    fn digits_are_kept_at_any_size() {
        let told = |value: f64| rounded(value).to_string();
        let all = [0.0, -1.5, 4.321_987_6e-4, 123_456_789.0].map(told);
        assert_eq!(all, ["0", "-1.5", "0.000432199", "123457000"]);
        assert!(rounded(1e300) > 9e299 && rounded(5e-324) > 0.0);
    }

    #[test]
    fn long_texts_are_cut_with_a_note() {
        let text = "é".repeat(MOST_CHARACTERS + 7);
        assert!(cut(&text).ends_with("é … (7 more characters)"));
        assert_eq!(cut("é"), "é");
    }
}
