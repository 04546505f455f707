//! The signals of `entrace_measure::signal`, computed from recorded rows.
//!
//! Tables hold what is known of each token, the steps of tokens, answer curves with the entropy after the cue, stated answers, and what
//! the run measured because it was asked for. A signal whose input is not in them is absent with that reason.
//!
//! Agreement (`self_consistency`) is the share of the question's traces, this one included, that state the same readable answer; it
//! needs two traces, and is 0 for a trace that states none.

use entrace_measure::signal::{Absent, Input, Measured, SIGNALS, TraceData};
use entrace_measure::signature::Point;
use entrace_measure::{Answer, Profile};

use crate::facts::TraceFacts;

/// One token of a trace while its trace is being read.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) index: u32,
    pub(crate) step: u32,
    pub(crate) text: String,
    pub(crate) entropy: Option<f64>,
    pub(crate) logprob: Option<f64>,
    pub(crate) margin: Option<f64>,
    pub(crate) confidence: Option<f64>,
    pub(crate) divergence: Option<f64>,
}

/// Computes the signals that need nothing but these inputs.
fn fill(scores: &mut [Result<f64, Absent>], inputs: &[Input], data: &TraceData<'_>) {
    for (score, signal) in scores.iter_mut().zip(SIGNALS) {
        if signal.needs.iter().all(|need| inputs.contains(need)) {
            *score = signal.score(data);
        }
    }
}

/// Fills in what the tokens of a whole trace, in order, give; an input that a token lacks is not recorded. Tokens beyond the last step
/// belong to none.
pub(crate) fn from_tokens(trace: &mut TraceFacts, tokens: &[Token]) {
    let all = |number: fn(&Token) -> Option<f64>| tokens.iter().map(number).collect::<Option<Vec<f64>>>();
    let (entropies, logprobs) = (all(|token| token.entropy), all(|token| token.logprob));
    let (margins, confidences) = (all(|token| token.margin), all(|token| token.confidence));
    let divergences = all(|token| token.divergence);
    let ends: Vec<usize> =
        (1..=trace.n_steps).map(|k| tokens.partition_point(|token| token.step <= k)).collect();
    let data = TraceData {
        token_logprobs: logprobs.as_deref(),
        token_entropies: entropies.as_deref(),
        token_margins: margins.as_deref(),
        token_confidences: confidences.as_deref(),
        uniform_divergences: divergences.as_deref(),
        step_ends: Some(&ends),
        ..TraceData::default()
    };
    let inputs = [
        Input::TokenLogprobs,
        Input::TokenEntropies,
        Input::TokenMargins,
        Input::TokenConfidences,
        Input::UniformDivergences,
        Input::StepEnds,
    ];
    fill(&mut trace.scores, &inputs, &data);
}

/// Fills in what the answer curve gives, and its profile where all beliefs are known.
pub(crate) fn from_curve(scores: &mut [Result<f64, Absent>], curve: &[Point<'_>], profile: Option<&Profile>) {
    let data = TraceData { curve: Some(curve), profile, ..TraceData::default() };
    fill(scores, &[Input::Curve, Input::Profile], &data);
}

/// Fills in what the entropy after the cue gives, at the last prefix; a curve without one has none.
pub(crate) fn from_cue(scores: &mut [Result<f64, Absent>], cue_entropy: Option<f64>) {
    fill(scores, &[Input::CueEntropy], &TraceData { cue_entropy, ..TraceData::default() });
}

/// Fills in a signal that the run measured because it was asked for; a name that is not in the registry is skipped.
pub(crate) fn from_run(scores: &mut [Result<f64, Absent>], signal: &str, value: Option<f64>) {
    let Some(at) = SIGNALS.iter().position(|known| known.name == signal) else { return };
    let measured = [Measured { signal, value }];
    scores[at] = SIGNALS[at].score(&TraceData { measured: &measured, ..TraceData::default() });
}

/// Fills in the agreement of the traces of each question; traces are in order of question.
pub(crate) fn from_agreement(traces: &mut [TraceFacts]) {
    for group in traces.chunk_by_mut(|a, b| a.question == b.question) {
        let answers: Vec<Option<String>> = group.iter().map(|trace| trace.answer.clone()).collect();
        let stated = answers.iter().flatten().count();
        if stated < 2 {
            continue;
        }
        for trace in group {
            let Some(answer) = &trace.answer else { continue };
            let equal = answers.iter().flatten().filter(|other| *other == answer).count();
            let readable = answer != Answer::INVALID_NAME;
            let share = if readable { equal as f64 / stated as f64 } else { 0.0 };
            let data = TraceData { agreement: Some(share), ..TraceData::default() };
            fill(&mut trace.scores, &[Input::Agreement], &data);
        }
    }
}
