//! Signals: one score per trace that may tell whether its answer is correct.
//!
//! `SIGNALS` is the registry: each entry has a name, the level of representation at which it looks, its source, the data it needs,
//! its range, and the function that computes it from `TraceData`. Every score is oriented so that larger means more confident; a
//! quantity that measures uncertainty is negated. What is not recorded, or too short, is `Absent` with the reason, never a number.
//!
//! Input per trace, each part where it was recorded: per token `[T]` its log-probability, the entropy of the distribution it was drawn
//! from, the margin ln p_(1) − ln p_(2), the confidence −(1/k) Σ ln p over the k most likely tokens, and the divergence KL(U‖p) from the
//! even distribution; the token counts at which steps end; the answer curve; the profile of its leaders; single numbers for the rest;
//! and what the run measured for the signals of a `Group`.
//!
//! Differences from the sources:
//! * EDIS is computed as a published replication states the paper's equation 7, with its thresholds 1.36 and 1.33 nats; the window of 5
//!   tokens is that replication's, not confirmed against the paper.
//! * LEASH stops a model where the entropy slope over 8 tokens and the margin level off. The score here is the last of those slopes,
//!   negated; using it as a score is ours.
//! * DeepConf's windows of 2048 tokens shrink to the trace where it is shorter. Its formulas are as public reimplementations state
//!   them; the size k of the list is the recording's.
//! * EPR (arXiv:2509.04492) is the mean over tokens of the entropy of the 15 most likely ones. With recorded full-vocabulary entropies
//!   that is `mean_token_entropy`, so it has no entry of its own; nor has its learned variant, which needs calibration.
//! * EAT (arXiv:2509.26522) watches the variance of the next-token entropy after the cue; the score here is that entropy at the end.
//! * Step entropy sums (arXiv:2508.03346) are the source's per step; taking their mean over the steps is ours.
//!
//! * Entropy-Lens looks at the whole profile of lens entropies; its mean over tokens and layers, the drop of the last layer and the
//!   depth at which the answer is settled are the readings here.
//! * LLM-Check takes the mean of ln a_ii over tokens and adds up the heads of one layer; here it is the mean over heads and layers as
//!   well, so that the size of the model does not enter.
//! * INSIDE takes base-10 logarithms in its code; here they are natural.
//! * The signs of the last layer's drop, the depth drift and the attention readings are conventions: nothing says that they point one
//!   way for every model. An AUROC below one half says that they point the other way.
//!
//! * Semantic entropy is of the answers at the last prefix, whatever estimator found them; the source samples answers to the question.
//!
//! Not here: measuring what needs the model (layers, hidden states, attention, further questions), which `entrace_run` does.

mod answer;
mod eigen;
mod group;
mod token;

pub use eigen::eigen_score;
pub use group::{Group, Measured};

use crate::profile::Profile;
use crate::signature::Point;

/// What is known of one trace. `None` is what was not recorded.
#[derive(Debug, Clone, Copy, Default)]
pub struct TraceData<'a> {
    /// ln p of each trace token given all before it.
    pub token_logprobs: Option<&'a [f64]>,
    /// Entropy in nats of the distribution each token was drawn from.
    pub token_entropies: Option<&'a [f64]>,
    /// ln p of the most likely token less ln p of the second, at each token.
    pub token_margins: Option<&'a [f64]>,
    /// −(1/k) Σ ln p over the k most likely tokens, at each token.
    pub token_confidences: Option<&'a [f64]>,
    /// KL(U‖p) = −(1/V) Σ_v ln(V p_v) in nats, at each token.
    pub uniform_divergences: Option<&'a [f64]>,
    /// Token counts t_1 < … < t_K at which steps end.
    pub step_ends: Option<&'a [usize]>,
    /// The answer curve, the question alone first.
    pub curve: Option<&'a [Point<'a>]>,
    /// Leaders and path of the same curve.
    pub profile: Option<&'a Profile>,
    /// Entropy in nats of the next token after the last prefix and the answer cue.
    pub cue_entropy: Option<f64>,
    /// Share of sampled traces of the question that end in this trace's answer.
    pub agreement: Option<f64>,
    /// What the run measured for signals that it was asked for.
    pub measured: &'a [Measured<'a>],
}

/// One part of `TraceData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// `token_logprobs`.
    TokenLogprobs,
    /// `token_entropies`.
    TokenEntropies,
    /// `token_margins`.
    TokenMargins,
    /// `token_confidences`.
    TokenConfidences,
    /// `uniform_divergences`.
    UniformDivergences,
    /// `step_ends`.
    StepEnds,
    /// `curve`.
    Curve,
    /// `profile`.
    Profile,
    /// `cue_entropy`.
    CueEntropy,
    /// `agreement`.
    Agreement,
    /// `measured`, of the signals of this group.
    Asked(Group),
}

impl Input {
    /// What it is, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::TokenLogprobs => "token log-probabilities",
            Self::TokenEntropies => "token entropies",
            Self::TokenMargins => "top-2 margins",
            Self::TokenConfidences => "top-k token confidences",
            Self::UniformDivergences => "divergences from the even distribution",
            Self::StepEnds => "step ends",
            Self::Curve => "the answer curve",
            Self::Profile => "the trajectory profile",
            Self::CueEntropy => "the entropy after the answer cue",
            Self::Agreement => "the agreement of sampled traces",
            Self::Asked(group) => group.describe(),
        }
    }
}

/// Why a signal has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// An input was not recorded.
    #[error("{} not recorded", .0.name())]
    NotRecorded(Input),
    /// There are fewer items than the signal needs.
    #[error("it needs at least {needs} items in {}, found {found}", .input.name())]
    TooShort {
        /// The input.
        input: Input,
        /// How many it needs.
        needs: usize,
        /// How many there are.
        found: usize,
    },
    /// Steps end beyond the tokens or do not rise.
    #[error("the step ends do not fit the tokens")]
    BadSteps,
    /// The belief never moved, so that its path has no direction.
    #[error("the belief never moved")]
    NeverMoved,
    /// The run was asked for it and found no value.
    #[error("the run found no value; the table `signals` says why")]
    NotFound,
}

/// Where a signal looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Single tokens of the trace.
    Token,
    /// Steps of the trace.
    Step,
    /// The answer distributions along the trace.
    Answer,
    /// Meanings of answers.
    Semantic,
    /// What single layers of the model say of the tokens.
    Layer,
    /// Hidden states of the model.
    Hidden,
    /// Attention weights of the model.
    Attention,
    /// Whole completions.
    Sequence,
}

impl Level {
    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Step => "step",
            Self::Answer => "answer",
            Self::Semantic => "semantic",
            Self::Layer => "layer",
            Self::Hidden => "hidden",
            Self::Attention => "attention",
            Self::Sequence => "sequence",
        }
    }
}

/// Whether the score is the quantity itself or its negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The quantity grows with confidence.
    AsMeasured,
    /// The quantity grows with uncertainty; the score is its negative.
    Negated,
}

/// One signal.
#[derive(Debug, Clone, Copy)]
pub struct Signal {
    /// The name used in flags and files.
    pub name: &'static str,
    /// Where it looks.
    pub level: Level,
    /// Where it is from.
    pub source: &'static str,
    /// What it needs.
    pub needs: &'static [Input],
    /// How the score relates to the quantity that gives the name.
    pub direction: Direction,
    /// Least and greatest possible score.
    pub range: (f64, f64),
    score: Score,
}

/// Where a score comes from.
#[derive(Debug, Clone, Copy)]
enum Score {
    /// A function of what is recorded of every trace.
    Of(fn(&TraceData<'_>) -> Result<f64, Absent>),
    /// The run measured it under the signal's name, because this group was asked for.
    Asked(Group),
}

impl Signal {
    /// The score of a trace; larger = more confident.
    pub fn score(&self, trace: &TraceData<'_>) -> Result<f64, Absent> {
        let group = match self.score {
            Score::Of(score) => return score(trace),
            Score::Asked(group) => group,
        };
        let found = trace.measured.iter().find(|measured| measured.signal == self.name);
        let value = found.ok_or(Absent::NotRecorded(Input::Asked(group)))?.value.ok_or(Absent::NotFound)?;
        Ok(match self.direction {
            Direction::AsMeasured => value,
            Direction::Negated => -value,
        })
    }

    /// The group that a run must be asked for; `None` for what every run records.
    pub fn group(&self) -> Option<Group> {
        match self.score {
            Score::Of(_) => None,
            Score::Asked(group) => Some(group),
        }
    }

    /// The signal of this name.
    pub fn from_name(name: &str) -> Option<&'static Self> {
        SIGNALS.iter().find(|signal| signal.name == name)
    }
}

const NEVER_ABOVE_0: (f64, f64) = (f64::NEG_INFINITY, 0.0);
const NEVER_BELOW_0: (f64, f64) = (0.0, f64::INFINITY);
const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
const UNIT: (f64, f64) = (0.0, 1.0);

const fn signal(
    name: &'static str,
    level: Level,
    direction: Direction,
    range: (f64, f64),
    needs: &'static [Input],
    source: &'static str,
    score: fn(&TraceData<'_>) -> Result<f64, Absent>,
) -> Signal {
    Signal { name, level, source, needs, direction, range, score: Score::Of(score) }
}

const fn asked(
    name: &'static str,
    level: Level,
    direction: Direction,
    range: (f64, f64),
    group: Group,
    source: &'static str,
) -> Signal {
    let needs: &[Input] = match group {
        Group::Layers => &[Input::Asked(Group::Layers)],
        Group::Hidden => &[Input::Asked(Group::Hidden)],
        Group::Attention => &[Input::Asked(Group::Attention)],
        Group::Verbalised => &[Input::Asked(Group::Verbalised)],
        Group::PTrue => &[Input::Asked(Group::PTrue)],
        Group::Semantic => &[Input::Asked(Group::Semantic)],
    };
    Signal { name, level, source, needs, direction, range, score: Score::Asked(group) }
}

use Direction::{AsMeasured, Negated};
use Level::{Answer, Attention, Hidden, Layer, Semantic, Sequence, Step, Token};

const ENTROPIES: &[Input] = &[Input::TokenEntropies];
const CONFIDENCES: &[Input] = &[Input::TokenConfidences];
const STEPS: &[Input] = &[Input::TokenEntropies, Input::StepEnds];
const CURVE: &[Input] = &[Input::Curve];
const PROFILE: &[Input] = &[Input::Profile];
const SIA: &str = "arXiv:2604.06192";
const MONOTONE: &str = "arXiv:2603.18940";
const TRAJECTORIES: &str = "arXiv:2609.09030";
const DEEPCONF: &str = "DeepConf, arXiv:2508.15260";
const LENS: &str = "Entropy-Lens, arXiv:2502.16570";
const COMMON: &str = "common baseline";

/// All signals, by level.
// One row is one signal: a table reads better than what rustfmt makes of it.
#[rustfmt::skip]
pub static SIGNALS: &[Signal] = &[
    signal("mean_token_entropy", Token, Negated, NEVER_ABOVE_0, ENTROPIES, "common baseline; EPR, arXiv:2509.04492", token::mean_entropy),
    signal("max_token_entropy", Token, Negated, NEVER_ABOVE_0, ENTROPIES, COMMON, token::max_entropy),
    signal("token_entropy_slope", Token, Negated, ANY, ENTROPIES, COMMON, token::entropy_slope),
    signal("edis", Token, Negated, NEVER_ABOVE_0, ENTROPIES, "EDIS, arXiv:2602.01288, eq. 7", token::edis),
    signal("windowed_entropy_slope", Token, Negated, ANY, ENTROPIES, "LEASH, arXiv:2511.04654, eq. 4", token::windowed_slope),
    signal("mean_logprob", Token, AsMeasured, NEVER_ABOVE_0, &[Input::TokenLogprobs], COMMON, token::mean_logprob),
    signal("mean_top2_margin", Token, AsMeasured, NEVER_BELOW_0, &[Input::TokenMargins], COMMON, token::mean_margin),
    signal("self_certainty", Token, AsMeasured, NEVER_BELOW_0, &[Input::UniformDivergences], "arXiv:2502.18581", token::self_certainty),
    signal("deepconf_mean", Token, AsMeasured, NEVER_BELOW_0, CONFIDENCES, DEEPCONF, token::mean_confidence),
    signal("deepconf_tail", Token, AsMeasured, NEVER_BELOW_0, CONFIDENCES, DEEPCONF, token::tail_confidence),
    signal("deepconf_lowest_group", Token, AsMeasured, NEVER_BELOW_0, CONFIDENCES, DEEPCONF, token::lowest_group_confidence),
    signal("deepconf_bottom_10", Token, AsMeasured, NEVER_BELOW_0, CONFIDENCES, DEEPCONF, token::bottom_group_confidence),
    signal("mean_step_entropy_sum", Step, Negated, NEVER_ABOVE_0, STEPS, "arXiv:2508.03346", token::mean_step_entropy_sum),
    signal("step_entropy_variance", Step, Negated, NEVER_ABOVE_0, STEPS, COMMON, token::step_entropy_variance),
    signal("initial_answer_entropy", Answer, Negated, NEVER_ABOVE_0, CURVE, SIA, answer::initial_entropy),
    signal("quarter_answer_entropy", Answer, Negated, NEVER_ABOVE_0, CURVE, SIA, answer::quarter_entropy),
    signal("middle_answer_entropy", Answer, Negated, NEVER_ABOVE_0, CURVE, SIA, answer::middle_entropy),
    signal("three_quarter_answer_entropy", Answer, Negated, NEVER_ABOVE_0, CURVE, SIA, answer::three_quarter_entropy),
    signal("final_answer_entropy", Answer, Negated, NEVER_ABOVE_0, CURVE, SIA, answer::final_entropy),
    signal("answer_entropy_area", Answer, Negated, NEVER_ABOVE_0, CURVE, SIA, answer::area),
    signal("total_drop", Answer, AsMeasured, ANY, CURVE, SIA, answer::total_drop),
    signal("monotone", Answer, AsMeasured, UNIT, CURVE, MONOTONE, answer::monotone),
    signal("violations", Answer, Negated, NEVER_ABOVE_0, CURVE, MONOTONE, answer::violations),
    signal("locked_share", Answer, AsMeasured, UNIT, CURVE, SIA, answer::locked_share),
    signal("final_effective_answers", Answer, Negated, (f64::NEG_INFINITY, -1.0), PROFILE, TRAJECTORIES, answer::effective_answers),
    signal("leader_switches", Answer, Negated, NEVER_ABOVE_0, PROFILE, TRAJECTORIES, answer::switches),
    signal("path_length", Answer, Negated, NEVER_ABOVE_0, PROFILE, TRAJECTORIES, answer::path_length),
    signal("directness", Answer, AsMeasured, UNIT, PROFILE, TRAJECTORIES, answer::directness),
    signal("top_answer_prob", Answer, AsMeasured, UNIT, CURVE, COMMON, answer::top_prob),
    signal("cue_entropy", Answer, Negated, NEVER_ABOVE_0, &[Input::CueEntropy], "EAT, arXiv:2509.26522", answer::cue_entropy),
    asked("semantic_entropy", Semantic, Negated, NEVER_ABOVE_0, Group::Semantic, "Farquhar et al. 2024, Nature 630"),
    asked("lens_entropy", Layer, Negated, NEVER_ABOVE_0, Group::Layers, LENS),
    asked("lens_last_drop", Layer, AsMeasured, ANY, Group::Layers, LENS),
    asked("lens_answer_depth", Layer, Negated, (-1.0, 0.0), Group::Layers, LENS),
    asked("depth_drift", Hidden, Negated, NEVER_ABOVE_0, Group::Hidden, COMMON),
    asked("eigen_score", Hidden, Negated, ANY, Group::Hidden, "INSIDE, arXiv:2402.03744"),
    asked("attention_entropy", Attention, Negated, NEVER_ABOVE_0, Group::Attention, COMMON),
    asked("attention_score", Attention, AsMeasured, NEVER_ABOVE_0, Group::Attention, "LLM-Check, in arXiv:2502.17598"),
    signal("sequence_logprob", Sequence, AsMeasured, NEVER_ABOVE_0, &[Input::TokenLogprobs], COMMON, token::sum_logprob),
    signal("self_consistency", Sequence, AsMeasured, UNIT, &[Input::Agreement], "arXiv:2203.11171", answer::agreement),
    asked("verbalised_confidence", Sequence, AsMeasured, UNIT, Group::Verbalised, "arXiv:2305.14975"),
    asked("p_true", Sequence, AsMeasured, UNIT, Group::PTrue, "arXiv:2207.05221"),
];

/// The items of an input, at least `needs` of them.
fn items<T>(input: Input, recorded: Option<&[T]>, needs: usize) -> Result<&[T], Absent> {
    let items = recorded.ok_or(Absent::NotRecorded(input))?;
    if items.len() < needs {
        return Err(Absent::TooShort { input, needs, found: items.len() });
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Belief;

    #[test]
    fn names_are_unique_and_found() {
        for (i, signal) in SIGNALS.iter().enumerate() {
            assert!(SIGNALS[..i].iter().all(|other| other.name != signal.name), "{}", signal.name);
            assert_eq!(Signal::from_name(signal.name).map(|s| s.name), Some(signal.name));
        }
        assert!(Signal::from_name("nothing").is_none());
    }

    #[test]
    fn every_signal_says_which_input_is_missing() {
        for signal in SIGNALS {
            let absent = signal.score(&TraceData::default()).unwrap_err();
            let Absent::NotRecorded(input) = absent else { panic!("{} {absent}", signal.name) };
            assert!(signal.needs.contains(&input), "{}", signal.name);
            assert!(absent.to_string().ends_with("not recorded"));
        }
    }

    #[test]
    fn signals_need_what_they_declare_and_stay_in_range() {
        let values = [0.5, 1.0, 2.0, 0.1, 0.0, 3.0, 0.2, 0.4, 0.3, 2.5];
        let logprobs = values.map(|v: f64| -v);
        let point = |(k, &entropy): (usize, &f64)| Point {
            n_tokens: 5 * k,
            depth: k as f64 / 2.0,
            entropy,
            leader: "a",
            leader_prob: 1.0 - entropy / 2.0,
        };
        let curve: Vec<Point<'_>> = [0.6, 0.7, 0.1].iter().enumerate().map(point).collect();
        let beliefs =
            [0.6, 0.5, 0.9].map(|p| Belief { entropy: 0.5, masses: vec![("a", p), ("b", 1.0 - p)] });
        let profile = Profile::of_beliefs(&beliefs, Some("a"), None).unwrap();
        let asked = SIGNALS.iter().filter(|signal| signal.group().is_some());
        let measured: Vec<Measured<'_>> = asked
            .map(|signal| {
                let score = if signal.range.1 > 0.0 { 0.25 } else { -0.25 };
                let value = if signal.direction == Negated { -score } else { score };
                Measured { signal: signal.name, value: Some(value) }
            })
            .collect();
        let whole = TraceData {
            token_logprobs: Some(&logprobs),
            token_entropies: Some(&values),
            token_margins: Some(&values),
            token_confidences: Some(&values),
            uniform_divergences: Some(&values),
            step_ends: Some(&[5, 10]),
            curve: Some(&curve),
            profile: Some(&profile),
            cue_entropy: Some(0.2),
            agreement: Some(0.75),
            measured: &measured,
        };
        for signal in SIGNALS {
            let score = signal.score(&whole).unwrap();
            assert!(
                score.is_finite() && signal.range.0 <= score && score <= signal.range.1,
                "{} {score}",
                signal.name
            );
            let only = keep(&whole, signal.needs);
            assert_eq!(signal.score(&only).map(f64::to_bits), Ok(score.to_bits()), "{}", signal.name);
        }
    }

    #[test]
    fn what_a_run_measured_is_turned_as_the_registry_says() {
        let measured = [("lens_entropy", Some(2.5)), ("attention_score", Some(-3.0)), ("p_true", None)]
            .map(|(signal, value)| Measured { signal, value });
        let trace = TraceData { measured: &measured, ..TraceData::default() };
        let score = |name| Signal::from_name(name).unwrap().score(&trace);
        assert_eq!(score("lens_entropy"), Ok(-2.5));
        assert_eq!(score("attention_score"), Ok(-3.0));
        assert_eq!(score("p_true"), Err(Absent::NotFound));
        assert_eq!(score("depth_drift"), Err(Absent::NotRecorded(Input::Asked(Group::Hidden))));
    }

    /// The trace with the named inputs alone.
    fn keep<'a>(whole: &TraceData<'a>, needs: &[Input]) -> TraceData<'a> {
        let has = |input| needs.contains(&input);
        TraceData {
            token_logprobs: whole.token_logprobs.filter(|_| has(Input::TokenLogprobs)),
            token_entropies: whole.token_entropies.filter(|_| has(Input::TokenEntropies)),
            token_margins: whole.token_margins.filter(|_| has(Input::TokenMargins)),
            token_confidences: whole.token_confidences.filter(|_| has(Input::TokenConfidences)),
            uniform_divergences: whole.uniform_divergences.filter(|_| has(Input::UniformDivergences)),
            step_ends: whole.step_ends.filter(|_| has(Input::StepEnds)),
            curve: whole.curve.filter(|_| has(Input::Curve)),
            profile: whole.profile.filter(|_| has(Input::Profile)),
            cue_entropy: whole.cue_entropy.filter(|_| has(Input::CueEntropy)),
            agreement: whole.agreement.filter(|_| has(Input::Agreement)),
            measured: if needs.iter().any(|need| matches!(need, Input::Asked(_))) {
                whole.measured
            } else {
                &[]
            },
        }
    }
}
