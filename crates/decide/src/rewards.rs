//! What each step of a trace was worth for the true answer.
//!
//! With p_k(a*) the probability of the true answer after k steps and ℓ_k its logarithm, step k has
//!
//! * `gain`: ℓ_k − ℓ_{k−1}; `prob_gain`: p_k(a*) − p_{k−1}(a*).
//! * `watermark`: max(ℓ_k − max_{j<k} ℓ_j, 0), what it adds to the best so far (after arXiv:2602.01034).
//! * `importance`: r_k, the total variation between what the model answers when it goes on from before and from after the step, less the noise
//!   floor that chance alone reaches (`entrace intervene --readings rollout`), in [0, 1]; its sign is that of `gain`. Only where interventions
//!   were measured.
//! * `calibrated_gain`: the gain of ln T_τ p_k(a*), τ fitted on the other folds of questions (`fit`); only where the whole belief was found.
//!
//! and each of them divided by the tokens of the step. Rewards telescope: the gains of a trace sum to ℓ_K − ℓ_0, those of probability to
//! p_K − p_0, watermarks to max_k ℓ_k − ℓ_0. Steps are tokens t_{k−1}..t_k of the trace and bytes of its text. A trace without a target, or
//! with a prefix at which the target had no probability, has no rewards and is counted.
//!
//! `check` asks whether the reward is about the question: a trace should gain more for its own question than another question's trace
//! (control `swapped`) does in its place.
//!
//! Not here: how trainers read them (`rewards::format`).

pub mod format;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use entrace_measure::Control;
use entrace_measure::readout::{TEMPERATURES, TargetReadout};
use entrace_record::RunReader;
use entrace_record::interventions;
use entrace_record::rows::InterventionRow;
use entrace_record::spool::{InOrder, Spool};
use entrace_stats::bootstrap::{self, Resampling};
use entrace_stats::cross_validation::assign_folds;
use entrace_stats::{ClusterSums, Undefined};
use serde::Serialize;

use crate::error::Error;
use crate::fit;
use crate::judge::Measured;
use crate::recorded::{Order, RecordedPrefix, RecordedTrace, Texts, task_name};
use crate::rewards::format::Writing;

/// Folds of questions in which the temperature is fitted.
const N_FOLDS: usize = 5;

/// A trace with the rewards of its steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RewardedTrace {
    /// Identity of the question.
    pub id: String,
    /// Number of the trace.
    pub sample: u32,
    /// The question.
    pub question: String,
    /// The prompt as text.
    pub prompt: String,
    /// The trace as text.
    pub trace: String,
    /// The true answer.
    pub target: String,
    /// The answer of the trace.
    pub answer: String,
    /// Whether it is right.
    pub correct: Option<bool>,
    /// ℓ_0.
    pub target_logprob: f64,
    /// ℓ_K − ℓ_0.
    pub total_gain: f64,
    /// The steps k = 1..K.
    pub steps: Vec<StepReward>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReward {
    /// Its text.
    pub text: String,
    /// Its tokens in the trace: the first, and the first after it.
    pub tokens: [u32; 2],
    /// Its bytes in the text of the trace.
    pub bytes: [usize; 2],
    /// ℓ_k − ℓ_{k−1}.
    pub gain: f64,
    /// p_k − p_{k−1}.
    pub prob_gain: f64,
    /// What it adds to the best so far.
    pub watermark: f64,
    /// The gain of the calibrated belief; null where that is not known.
    pub calibrated_gain: Option<f64>,
    /// r_k above its noise floor, with the sign of the gain; null where it was not measured.
    pub importance: Option<f64>,
    /// `gain` by token.
    pub gain_per_token: f64,
    /// `prob_gain` by token.
    pub prob_gain_per_token: f64,
    /// `watermark` by token.
    pub watermark_per_token: f64,
    /// `calibrated_gain` by token.
    pub calibrated_gain_per_token: Option<f64>,
    /// `importance` by token.
    pub importance_per_token: Option<f64>,
}

/// Which of the rewards a format for trainers gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reward {
    /// `gain`.
    Gain,
    /// `prob_gain`.
    ProbGain,
    /// `watermark`.
    Watermark,
    /// `calibrated_gain`.
    CalibratedGain,
    /// `importance`.
    Importance,
}

impl Reward {
    /// Every reward.
    pub const ALL: [Self; 5] =
        [Self::Gain, Self::ProbGain, Self::Watermark, Self::CalibratedGain, Self::Importance];

    /// The name used in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gain => "gain",
            Self::ProbGain => "prob-gain",
            Self::Watermark => "watermark",
            Self::CalibratedGain => "calibrated-gain",
            Self::Importance => "importance",
        }
    }

    /// The reward of a step, by token where `per_token` says so.
    pub fn of(self, step: &StepReward, per_token: bool) -> Option<f64> {
        match (self, per_token) {
            (Self::Gain, false) => Some(step.gain),
            (Self::Gain, true) => Some(step.gain_per_token),
            (Self::ProbGain, false) => Some(step.prob_gain),
            (Self::ProbGain, true) => Some(step.prob_gain_per_token),
            (Self::Watermark, false) => Some(step.watermark),
            (Self::Watermark, true) => Some(step.watermark_per_token),
            (Self::CalibratedGain, false) => step.calibrated_gain,
            (Self::CalibratedGain, true) => step.calibrated_gain_per_token,
            (Self::Importance, false) => step.importance,
            (Self::Importance, true) => step.importance_per_token,
        }
    }
}

/// The rewards of a task, which are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewards {
    /// Name of the task.
    pub task: String,
    /// Traces that have rewards.
    pub n_traces: usize,
    /// Their steps.
    pub n_steps: usize,
    /// Of these traces, those that lack the reward that was asked for, and are not written.
    pub n_without: usize,
    /// Traces that have none: not measured, without a target, or with a target of probability zero.
    pub n_left_out: usize,
    /// Whether traces gain more for their own questions.
    pub check: Option<Check>,
}

/// Own traces against other questions' traces in their place.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Traces with both.
    pub n_traces: usize,
    /// Share of them whose own trace gains more; equal gains count a half.
    pub own_gains_more: Measured,
    /// Mean over questions of the own total gain less the other's, in nats.
    pub difference: Measured,
}

/// Writes the rewards of a task of a run, a line for each trace, in the order of questions and samples. Traces are read one after another; what
/// has to wait does so in a file in `folder`.
pub fn rewards(
    reader: &RunReader,
    task: Option<&str>,
    writing: &Writing,
    folder: &Path,
    mut write: impl FnMut(&[u8]) -> Result<(), entrace_record::Error>,
) -> Result<Rewards, Error> {
    let task = task_name(reader, task)?;
    let order = Order::of(reader, &task)?;
    let outlines = Outlines::read(reader, &order, folder)?;
    let importance = importance(reader, &task)?;
    let mut lines = InOrder::new(folder);
    let (mut n_traces, mut n_steps, mut n_without) = (0, 0, 0);
    order.for_each(reader, |rank, trace, texts| {
        let mut line = String::new();
        let temperature =
            outlines.of[rank].as_ref().and_then(|outline| outlines.temperatures[outline.question]);
        if let Some(trace) = trace
            && let Some(mut steps) = steps(&trace, temperature)
        {
            for (k, step) in (1..).zip(&mut steps) {
                let key = (trace.question_id.to_string(), trace.sample, k);
                step.weigh(importance.get(&key).copied());
            }
            (n_traces, n_steps) = (n_traces + 1, n_steps + steps.len());
            match format::line(&rewarded(&trace, texts, steps), &task, writing)? {
                Some(row) => line = row + "\n",
                None => n_without += 1,
            }
        }
        Ok(lines.push(rank, line.as_bytes(), &mut write)?)
    })?;
    if n_traces == 0 {
        let instead = "give the questions targets, and measure again";
        return Err(Error::NoTargets { what: "a reward", task, instead });
    }
    let check = check(reader, &task, &order, &outlines)?;
    let n_left_out = order.n_rows() - n_traces;
    Ok(Rewards { task, n_traces, n_steps, n_without, n_left_out, check })
}

/// What has to be known of all traces before the rewards of one can be.
struct Outlines {
    /// By question and sample; `None` for a trace whose rows are damaged.
    of: Vec<Option<Outline>>,
    n_questions: usize,
    /// The temperature for each question, fitted on the other folds.
    temperatures: Vec<Option<f64>>,
}

/// ln p(target) at the ends of a trace.
struct Outline {
    question: usize,
    first: Option<f64>,
    last: Option<f64>,
}

impl Outlines {
    fn read(reader: &RunReader, order: &Order, folder: &Path) -> Result<Self, Error> {
        let n_traces = order.keys().len();
        let mut of: Vec<Option<Outline>> = (0..n_traces).map(|_| None).collect();
        let (mut readouts, mut places) = (Spool::create(folder)?, vec![None; n_traces]);
        order.for_each(reader, |rank, trace, _| {
            let Some(trace) = trace else { return Ok(()) };
            let logprob = |prefix: Option<&RecordedPrefix>| prefix.and_then(|prefix| prefix.target_logprob);
            let (first, last) = (logprob(trace.prefixes.first()), logprob(trace.prefixes.last()));
            of[rank] = Some(Outline { question: 0, first, last });
            if let Some(found) = fit::readouts(&trace) {
                let bytes: Vec<u8> = found.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
                places[rank] = Some(readouts.push(&bytes)?);
            }
            Ok(())
        })?;
        let mut n_questions = 0;
        let mut known: Option<&Arc<str>> = None;
        for (outline, (question, _)) in of.iter_mut().zip(order.keys()) {
            let Some(outline) = outline else { continue };
            n_questions += usize::from(known.is_some_and(|known| known != question));
            known = Some(question);
            outline.question = n_questions;
        }
        n_questions += usize::from(known.is_some());
        let temperatures = temperatures(&of, n_questions, |rank| {
            let Some((at, n_bytes)) = places[rank] else { return Ok(None) };
            let bytes = readouts.read(at, n_bytes)?;
            let values: Vec<f64> =
                bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
            Ok(Some(values.as_chunks().0.to_vec()))
        })?;
        Ok(Self { of, n_questions, temperatures })
    }
}

fn rewarded(
    trace: &RecordedTrace,
    Texts { question, prompt }: Texts,
    steps: Vec<StepReward>,
) -> RewardedTrace {
    let logprob = |k: usize| trace.prefixes[k].target_logprob.unwrap_or_default();
    RewardedTrace {
        id: trace.question_id.to_string(),
        sample: trace.sample,
        question,
        prompt,
        trace: trace.tokens.texts.concat(),
        target: trace.target.as_deref().unwrap_or_default().to_string(),
        answer: trace.answer.to_string(),
        correct: trace.correct,
        target_logprob: logprob(0),
        total_gain: logprob(trace.prefixes.len() - 1) - logprob(0),
        steps,
    }
}

/// The temperature for each question, fitted on the other folds; `readouts` are those of a trace, in the order of questions and samples.
fn temperatures(
    outlines: &[Option<Outline>],
    n_questions: usize,
    mut readouts: impl FnMut(usize) -> Result<Option<Vec<TargetReadout>>, Error>,
) -> Result<Vec<Option<f64>>, Error> {
    let n_folds = N_FOLDS.min(n_questions);
    if n_folds < 2 {
        return Ok(vec![None; n_questions]);
    }
    let folds = assign_folds(n_questions, n_folds, 0)?;
    let mut sums = vec![fit::TemperatureSums::default(); n_folds];
    for (rank, outline) in outlines.iter().enumerate() {
        let Some(outline) = outline else { continue };
        let Some(readouts) = readouts(rank)? else { continue };
        let others = sums.iter_mut().enumerate().filter(|(fold, _)| folds[outline.question] != *fold);
        others.for_each(|(_, sums)| sums.add(&readouts));
    }
    let fitted: Vec<Option<f64>> = sums.iter().map(fit::TemperatureSums::best).collect();
    Ok(folds.into_iter().map(|fold| fitted[fold]).collect())
}

/// The rewards of a trace's steps; `None` where the target is without probability somewhere, or the tokens are not recorded.
pub fn steps(trace: &RecordedTrace, temperature: Option<f64>) -> Option<Vec<StepReward>> {
    let target = trace.target.as_deref()?;
    let logprobs: Vec<f64> =
        trace.prefixes.iter().map(|prefix| prefix.target_logprob).collect::<Option<_>>()?;
    let at = temperature
        .and_then(|temperature| TEMPERATURES.iter().position(|t| t.total_cmp(&temperature).is_eq()));
    let calibrated: Option<Vec<f64>> = at.and_then(|at| {
        trace.prefixes.iter().map(|prefix| fit::readout(prefix, target).map(|readout| readout[at])).collect()
    });
    let texts = &trace.tokens.texts;
    let ends: Vec<usize> = trace.prefixes.iter().map(|prefix| prefix.n_tokens as usize).collect();
    if texts.len() < *ends.last()? {
        return None;
    }
    let mut best = logprobs[0];
    let mut byte = 0;
    let mut steps = Vec::new();
    for k in 1..logprobs.len() {
        let text = texts[ends[k - 1]..ends[k]].concat();
        let n_tokens = (ends[k] - ends[k - 1]).max(1) as f64;
        let gain = logprobs[k] - logprobs[k - 1];
        let prob_gain = logprobs[k].exp() - logprobs[k - 1].exp();
        let watermark = (logprobs[k] - best).max(0.0);
        let calibrated_gain = calibrated.as_ref().map(|values| values[k] - values[k - 1]);
        best = best.max(logprobs[k]);
        steps.push(StepReward {
            tokens: [ends[k - 1] as u32, ends[k] as u32],
            bytes: [byte, byte + text.len()],
            gain,
            prob_gain,
            watermark,
            calibrated_gain,
            importance: None,
            importance_per_token: None,
            gain_per_token: gain / n_tokens,
            prob_gain_per_token: prob_gain / n_tokens,
            watermark_per_token: watermark / n_tokens,
            calibrated_gain_per_token: calibrated_gain.map(|gain| gain / n_tokens),
            text,
        });
        byte += steps.last().map_or(0, |step: &StepReward| step.text.len());
    }
    Some(steps)
}

impl StepReward {
    /// Takes note of how far the step's importance exceeds chance.
    fn weigh(&mut self, excess: Option<f64>) {
        let n_tokens = f64::from((self.tokens[1] - self.tokens[0]).max(1));
        self.importance = excess.map(|excess| excess.copysign(self.gain));
        self.importance_per_token = self.importance.map(|importance| importance / n_tokens);
    }
}

/// How far the importance of a step exceeds its noise floor, by question, trace and step; empty where no interventions were measured.
fn importance(reader: &RunReader, task: &str) -> Result<BTreeMap<(String, u32, u32), f64>, Error> {
    let Some((_, rows)) = interventions::read(reader.dir())? else { return Ok(BTreeMap::new()) };
    let of_step = |row: InterventionRow| {
        let is_resampled = &*row.kind == "resample" && row.variant.is_empty() && &*row.reading == "rollout";
        let excess = (row.tv? - row.noise_floor?).max(0.0);
        (is_resampled && &*row.task == task)
            .then(|| ((row.question_id.to_string(), row.sample, row.step), excess))
    };
    Ok(rows.into_iter().filter_map(of_step).collect())
}

/// Step and ln p(target) at the first and the last prefix of a swapped trace.
type Ends = [(u32, Option<f64>); 2];

/// Total gains of own traces against those of swapped ones; `None` where the run did not measure that control.
fn check(reader: &RunReader, task: &str, order: &Order, outlines: &Outlines) -> Result<Option<Check>, Error> {
    let settings = &reader.manifest().settings;
    let mut swapped: Vec<Option<Ends>> = vec![None; order.keys().len()];
    for row in reader.stream_prefixes() {
        let row = row?;
        let is_first_cue = row.cue.unwrap_or(0) == 0;
        if *row.task != *task
            || &*row.control != Control::Swapped.name()
            || !is_first_cue
            || settings.is_beside(&row.estimator)
        {
            continue;
        }
        let point = (row.step, row.target_logprob.filter(|value| value.is_finite()));
        let Some(rank) = order.rank(&row.question_id, row.sample) else { continue };
        let ends = swapped[rank].get_or_insert([point; 2]);
        if point.0 < ends[0].0 {
            ends[0] = point;
        }
        if point.0 > ends[1].0 {
            ends[1] = point;
        }
    }
    let mut sums = ClusterSums::new(outlines.n_questions, 2);
    let mut n_traces = 0;
    for (outline, swapped) in outlines.of.iter().zip(swapped) {
        let Some([(0, Some(first)), (_, Some(last))]) = swapped else { continue };
        let Some(&Outline { question, first: Some(own_first), last: Some(own_last) }) = outline.as_ref()
        else {
            continue;
        };
        let difference = (own_last - own_first) - (last - first);
        let more = if difference > 0.0 {
            1.0
        } else if difference < 0.0 {
            0.0
        } else {
            0.5
        };
        sums.add(question, 0, more, 1.0);
        sums.add(question, 1, difference, 1.0);
        n_traces += 1;
    }
    let (values, points) = (sums.ratios(), bootstrap::curve(&sums, &Resampling::default()));
    let column = |i: usize| -> Result<Measured, Undefined> { Ok(Measured::of(values[i], &points[i])) };
    Ok(if n_traces == 0 {
        None
    } else {
        Some(Check { n_traces, own_gains_more: column(0)?, difference: column(1)? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{prefix, trace};

    fn rewarded_steps(probs: &[f64]) -> (RecordedTrace, Vec<StepReward>) {
        let mut trace = trace(0, "7", probs.iter().map(|prob| prefix("7", *prob)).collect());
        trace.tokens.texts = (0..trace.n_tokens).map(|t| format!("é{t} ")).collect();
        let steps = steps(&trace, Some(2.0)).unwrap();
        (trace, steps)
    }

    #[test]
    fn rewards_sum_to_the_total_gain() {
        let (trace, steps) = rewarded_steps(&[0.2, 0.5, 0.1, 0.7, 0.65, 0.999]);
        let sum = |reward: fn(&StepReward) -> f64| steps.iter().map(reward).sum::<f64>();
        let logprob = |k: usize| trace.prefixes[k].target_logprob.unwrap();
        assert!((sum(|step| step.gain) - (logprob(5) - logprob(0))).abs() < 1e-9);
        assert!((sum(|step| step.prob_gain) - (0.999 - 0.2)).abs() < 1e-9);
        assert!((sum(|step| step.watermark) - (logprob(5) - logprob(0))).abs() < 1e-9);
        let readout = |k: usize| fit::readout(&trace.prefixes[k], "7").unwrap()[4];
        assert!((sum(|step| step.calibrated_gain.unwrap()) - (readout(5) - readout(0))).abs() < 1e-9);
        assert!(steps[1].gain < 0.0 && steps[1].watermark.abs() < 1e-15);
        assert!((steps[0].gain_per_token * 10.0 - steps[0].gain).abs() < 1e-12);
    }

    #[test]
    fn steps_are_aligned_to_tokens_and_text() {
        let (trace, steps) = rewarded_steps(&[0.2, 0.5, 0.1]);
        let text = trace.tokens.texts.concat();
        assert_eq!(steps.iter().map(|step| &text[step.bytes[0]..step.bytes[1]]).collect::<String>(), text);
        assert_eq!(steps.iter().map(|step| step.tokens).collect::<Vec<_>>(), [[0, 10], [10, 20]]);
        assert!(steps.iter().all(|step| step.text == text[step.bytes[0]..step.bytes[1]]));
    }

    #[test]
    fn a_target_without_probability_has_no_reward() {
        let mut trace = trace(0, "7", vec![prefix("7", 0.5), prefix("7", 0.9)]);
        trace.tokens.texts = vec![String::new(); 10];
        assert!(steps(&trace, None).unwrap()[0].calibrated_gain.is_none());
        trace.prefixes[1].target_logprob = None;
        assert_eq!(steps(&trace, None), None);
    }
}
