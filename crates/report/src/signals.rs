//! The signals of `entrace_measure::signal`, computed from recorded rows.
//!
//! Tables hold what is known of each token, the steps of tokens, answer curves with the entropy after the cue, stated answers, and what
//! the run measured because it was asked for. A signal whose input is not in them is absent with that reason.
//!
//! Agreement (`self_consistency`) is the share of the question's traces, this one included, that state the same readable answer; it
//! needs two traces, and is 0 for a trace that states none.

use std::sync::Arc;

use entrace_measure::signal::{Absent, Input, Measured, SIGNALS, Signal, TraceData};
use entrace_measure::signature::Point;
use entrace_measure::{Answer, Profile};

use crate::facts::TraceFacts;

/// The score of a signal, or why there is none.
pub(crate) type Score = Result<f64, Absent>;

/// The score of every signal, in the order of the registry, eight bytes each: why there is none stands in the bits of a NaN.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scores(Box<[u64]>);

/// A NaN; the three bits after it say why there is no score, the lower ones which input, how many items are needed and how many there are.
const NONE: u64 = f64::NAN.to_bits();
const WHY: u32 = 48;
const INPUT: u32 = 40;
const NEEDS: u32 = 24;
const MOST_FOUND: u64 = (1 << NEEDS) - 1;

impl Scores {
    pub(crate) fn of(scores: &[Score]) -> Self {
        Self(scores.iter().zip(SIGNALS).map(|(score, signal)| encoded(*score, signal)).collect())
    }

    /// The score of a signal by its number in the registry.
    pub(crate) fn get(&self, signal: usize) -> Score {
        self.0.get(signal).map_or(Err(Absent::NotFound), |bits| decoded(*bits, &SIGNALS[signal]))
    }

    fn set(&mut self, signal: usize, score: Score) {
        self.0[signal] = encoded(score, &SIGNALS[signal]);
    }
}

fn encoded(score: Score, signal: &Signal) -> u64 {
    let input = |input: Input| signal.needs.iter().position(|need| *need == input).unwrap_or(0) as u64;
    let why = |why: u64| NONE | why << WHY;
    match score {
        Ok(score) if score.is_nan() => NONE,
        Ok(score) => score.to_bits(),
        Err(Absent::NotRecorded(lacking)) => why(1) | input(lacking) << INPUT,
        Err(Absent::TooShort { input: short, needs, found }) => {
            why(2) | input(short) << INPUT | (needs as u64) << NEEDS | (found as u64).min(MOST_FOUND)
        }
        Err(Absent::BadSteps) => why(3),
        Err(Absent::NeverMoved) => why(4),
        Err(Absent::NotFound) => why(5),
    }
}

fn decoded(bits: u64, signal: &Signal) -> Score {
    let field = |from: u32, to: u32| (bits >> from) & ((1 << (to - from)) - 1);
    let input = || signal.needs[field(INPUT, WHY) as usize];
    match field(WHY, WHY + 3) {
        _ if bits & NONE != NONE => Ok(f64::from_bits(bits)),
        0 => Ok(f64::NAN),
        1 => Err(Absent::NotRecorded(input())),
        2 => Err(Absent::TooShort {
            input: input(),
            needs: field(NEEDS, INPUT) as usize,
            found: (bits & MOST_FOUND) as usize,
        }),
        3 => Err(Absent::BadSteps),
        4 => Err(Absent::NeverMoved),
        _ => Err(Absent::NotFound),
    }
}

/// Scores of a trace of which nothing is known.
pub(crate) fn nothing_recorded() -> Vec<Score> {
    let data = TraceData::default();
    SIGNALS.iter().map(|signal| signal.score(&data)).collect()
}

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
fn fill(scores: &mut [Score], inputs: &[Input], data: &TraceData<'_>) {
    for (score, signal) in scores.iter_mut().zip(SIGNALS) {
        if signal.needs.iter().all(|need| inputs.contains(need)) {
            *score = signal.score(data);
        }
    }
}

/// Fills in what the tokens of a whole trace, in order, give; an input that a token lacks is not recorded. Tokens beyond the last step
/// belong to none.
pub(crate) fn from_tokens(scores: &mut [Score], n_steps: u32, tokens: &[Token]) {
    let all = |number: fn(&Token) -> Option<f64>| tokens.iter().map(number).collect::<Option<Vec<f64>>>();
    let (entropies, logprobs) = (all(|token| token.entropy), all(|token| token.logprob));
    let (margins, confidences) = (all(|token| token.margin), all(|token| token.confidence));
    let divergences = all(|token| token.divergence);
    let ends: Vec<usize> = (1..=n_steps).map(|k| tokens.partition_point(|token| token.step <= k)).collect();
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
    fill(scores, &inputs, &data);
}

/// Fills in what the answer curve gives, and its profile where all beliefs are known.
pub(crate) fn from_curve(scores: &mut [Score], curve: &[Point<'_>], profile: Option<&Profile>) {
    let data = TraceData { curve: Some(curve), profile, ..TraceData::default() };
    fill(scores, &[Input::Curve, Input::Profile], &data);
}

/// Fills in what the entropy after the cue gives, at the last prefix; a curve without one has none.
pub(crate) fn from_cue(scores: &mut [Score], cue_entropy: Option<f64>) {
    fill(scores, &[Input::CueEntropy], &TraceData { cue_entropy, ..TraceData::default() });
}

/// Fills in a signal that the run measured because it was asked for; a name that is not in the registry is skipped.
pub(crate) fn from_run(scores: &mut [Score], signal: &str, value: Option<f64>) {
    let Some(at) = SIGNALS.iter().position(|known| known.name == signal) else { return };
    let measured = [Measured { signal, value }];
    scores[at] = SIGNALS[at].score(&TraceData { measured: &measured, ..TraceData::default() });
}

/// Fills in the agreement of the traces of each question; traces are in order of question.
pub(crate) fn from_agreement(traces: &mut [TraceFacts]) {
    for group in traces.chunk_by_mut(|a, b| a.question == b.question) {
        let answers: Vec<Option<Arc<str>>> = group.iter().map(|trace| trace.answer.clone()).collect();
        let stated = answers.iter().flatten().count();
        if stated < 2 {
            continue;
        }
        for trace in group {
            let Some(answer) = &trace.answer else { continue };
            let equal = answers.iter().flatten().filter(|other| *other == answer).count();
            let readable = &**answer != Answer::INVALID_NAME;
            let share = if readable { equal as f64 / stated as f64 } else { 0.0 };
            let data = TraceData { agreement: Some(share), ..TraceData::default() };
            for (number, signal) in SIGNALS.iter().enumerate() {
                if signal.needs.iter().all(|need| *need == Input::Agreement) {
                    trace.scores.set(number, signal.score(&data));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_and_the_lack_of_one_are_kept_in_eight_bytes() {
        for signal in SIGNALS {
            let input = *signal.needs.last().unwrap();
            let short = |needs, found| Err(Absent::TooShort { input, needs, found });
            let scores = [
                Ok(-0.0),
                Ok(f64::NEG_INFINITY),
                Ok(1e-300),
                Err(Absent::NotRecorded(input)),
                short(4, 3),
                short(65_535, 0),
                Err(Absent::BadSteps),
                Err(Absent::NeverMoved),
                Err(Absent::NotFound),
            ];
            for score in scores {
                let kept = decoded(encoded(score, signal), signal);
                assert_eq!(
                    (kept, kept.map(f64::to_bits)),
                    (score, score.map(f64::to_bits)),
                    "{}",
                    signal.name
                );
            }
            assert!(decoded(encoded(Ok(-f64::NAN), signal), signal).unwrap().is_nan());
        }
    }
}
