//! What layers, hidden states and attention say of a trace, each reduced to one number.
//!
//! One pass over prompt, trace, cue and the blank beginning of the final answer gives, with T trace tokens and L layers:
//!
//! - `lens_entropy`: mean of the lens entropies H_l over trace tokens and layers 1..=L
//! - `lens_last_drop`: mean over trace tokens of H_{L−1} − H_L
//! - `lens_answer_depth`: l/L for the first layer l from which on the lens after the cue leads with the final answer's first token that
//!   is not blank. The final answer is the leader of the last prefix; where the model's own output leads with another token there is no
//!   such depth
//! - `depth_drift`: mean of ‖h_l − h_{l−1}‖ over trace tokens and layers
//! - `attention_entropy`: mean over layers and heads of −Σ_j a_j ln a_j at the last trace token
//! - `attention_score`: mean of ln a_ii over trace tokens, layers and heads
//!
//! `eigen_score` needs the middle hidden state of the last token of each of m ≥ 2 answers that `sample` or `rollout` drew before any
//! reasoning, one pass each (arXiv:2402.03744 samples answers to the question too).

use super::{Asked, SignalValue};
use crate::cue;
use crate::error::{Error, own_failure};
use crate::event::{Event, Observer};
use crate::plan::TaskRun;
use entrace_backend::{LayerRequest, LayerScores, ReadLayers};
use entrace_measure::TokenId;
use entrace_measure::signal::{Group, eigen_score};
use std::collections::BTreeSet;

/// Values of each trace, as far as the groups are asked for.
pub(super) fn measure(
    run: TaskRun<'_>,
    asked: &[Asked<'_>],
    observer: &mut dyn Observer,
) -> Result<Vec<Vec<SignalValue>>, Error> {
    let groups: BTreeSet<Group> = [Group::Layers, Group::Hidden, Group::Attention]
        .into_iter()
        .filter(|group| run.how.signals.contains(group))
        .collect();
    let Some(reader) = run.engine.layers.filter(|_| !groups.is_empty()) else {
        return Ok(asked.iter().map(|_| Vec::new()).collect());
    };
    let reading = Reading { run, reader, groups: &groups };
    let mut values = Vec::with_capacity(asked.len());
    for one in asked {
        if observer.should_stop() {
            return Err(Error::Interrupted);
        }
        let read = own_failure(reading.read(one, observer))?;
        let mut found = match read {
            Ok(read) => read.values(&groups),
            Err(reason) => failed(&groups, &reason),
        };
        if groups.contains(&Group::Hidden) {
            let value = own_failure(spread(reader, one, observer))?.and_then(|value| value);
            found.push(SignalValue { signal: "eigen_score", value });
        }
        values.push(found);
    }
    Ok(values)
}

fn failed(groups: &BTreeSet<Group>, reason: &str) -> Vec<SignalValue> {
    let names = groups.iter().flat_map(|&group| super::names(group)).filter(|&name| name != "eigen_score");
    names.map(|signal| SignalValue { signal, value: Err(reason.to_string()) }).collect()
}

/// What was read, with the answer to look for.
struct Read {
    scores: LayerScores,
    /// The final answer's first token that is not blank.
    answer: Result<TokenId, String>,
}

/// What every trace is read with.
struct Reading<'a> {
    run: TaskRun<'a>,
    reader: &'a dyn ReadLayers,
    groups: &'a BTreeSet<Group>,
}

impl Reading<'_> {
    fn read(&self, one: &Asked<'_>, observer: &mut dyn Observer) -> Result<Read, Error> {
        let traced = one.traced;
        let n_prompt = traced.posed.prompt.token_ids.len();
        let mut context = [traced.posed.prompt.token_ids.as_slice(), traced.trace.token_ids()].concat();
        let tokens = n_prompt..context.len();
        let lens = self.groups.contains(&Group::Layers);
        let mut answer = Err(String::new());
        if lens {
            context.extend(cue::after_trace(self.run.engine.text, traced, &self.run.how.cue)?);
            answer = final_answer(self.run, one, &mut context)?;
        }
        let request = LayerRequest {
            tokens,
            lens,
            drift: self.groups.contains(&Group::Hidden),
            attention: self.groups.contains(&Group::Attention),
            middle: false,
        };
        let scores = self.reader.read_layers(&context, &request)?;
        observer.event(Event::Tokens(context.len()));
        Ok(Read { scores, answer })
    }
}

/// The final answer's first token that is not blank; the blank ones before it are put at the end of the context.
fn final_answer(
    TaskRun { engine, task, .. }: TaskRun<'_>,
    one: &Asked<'_>,
    context: &mut Vec<TokenId>,
) -> Result<Result<TokenId, String>, Error> {
    let leader = &one.curve.last().distribution.leader().answer;
    let choices = one.traced.posed.question.choices.as_ref();
    let Some(form) = task.format.surface_forms(leader, choices).into_iter().next() else {
        return Ok(Err(format!("the leading answer {} has no written form", leader.name())));
    };
    for token in engine.text.encode_plain(&form)? {
        if !engine.text.token_text(token).trim().is_empty() {
            return Ok(Ok(token));
        }
        context.push(token);
    }
    Ok(Err(format!("the leading answer {} has no token of its own", leader.name())))
}

impl Read {
    fn values(&self, groups: &BTreeSet<Group>) -> Vec<SignalValue> {
        let scores = &self.scores;
        let mut values = Vec::new();
        let mut add = |signal, value: Option<f64>| {
            let value = value.ok_or_else(|| "the layers gave no finite numbers".to_string());
            values.push(SignalValue { signal, value });
        };
        if groups.contains(&Group::Layers) {
            add("lens_entropy", mean(scores.lens_entropy[1..].iter().flatten().copied()));
            add("lens_last_drop", last_drop(&scores.lens_entropy));
        }
        if groups.contains(&Group::Hidden) {
            add("depth_drift", mean(scores.drift.iter().flatten().copied().map(Some)));
        }
        if groups.contains(&Group::Attention) {
            let last = scores.attention_entropy.iter().map(|layer| layer.last().copied());
            add("attention_entropy", mean(last));
            add("attention_score", mean(scores.self_attention.iter().flatten().copied().map(Some)));
        }
        if groups.contains(&Group::Layers) {
            let value = self.answer.clone().and_then(|token| answer_depth(&scores.lens_leaders, token));
            values.push(SignalValue { signal: "lens_answer_depth", value });
        }
        values
    }
}

/// `None` if a number is missing or not finite, or there is none at all.
fn mean(numbers: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0usize);
    for number in numbers {
        sum += number?;
        n += 1;
    }
    let mean = sum / n as f64;
    mean.is_finite().then_some(mean)
}

/// Mean over tokens of H_{L−1} − H_L.
fn last_drop(lens_entropy: &[Vec<Option<f64>>]) -> Option<f64> {
    let [.., below, last] = lens_entropy else { return None };
    mean(below.iter().zip(last).map(|(below, last)| Some((*below)? - (*last)?)))
}

/// l/L of the first layer from which on the token leads.
fn answer_depth(leaders: &[TokenId], token: TokenId) -> Result<f64, String> {
    let n_layers = leaders.len().saturating_sub(1);
    let n_led = leaders.iter().rev().take_while(|&&leader| leader == token).count();
    if n_led == 0 || n_layers == 0 {
        return Err("the model's own output does not lead with the final answer".into());
    }
    Ok((leaders.len() - n_led) as f64 / n_layers as f64)
}

/// EigenScore of the answers drawn before any reasoning.
fn spread(
    reader: &dyn ReadLayers,
    one: &Asked<'_>,
    observer: &mut dyn Observer,
) -> Result<Result<f64, String>, Error> {
    if one.draws.len() < 2 {
        let needs = "it needs at least two sampled answers (of the estimator sample or rollout)";
        return Ok(Err(needs.into()));
    }
    let request = LayerRequest { middle: true, ..LayerRequest::default() };
    let mut states = Vec::with_capacity(one.draws.len());
    for context in one.draws {
        states.push(reader.read_layers(context, &request)?.middle_state);
        observer.event(Event::Tokens(context.len()));
    }
    Ok(eigen_score(&states).ok_or_else(|| "the hidden states are not finite".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_settled_where_it_leads_for_good() {
        assert_eq!(answer_depth(&[7, 3, 7, 7], 7), Ok(2.0 / 3.0));
        assert_eq!(answer_depth(&[7, 7, 7], 7), Ok(0.0));
        assert_eq!(answer_depth(&[1, 2, 7], 7), Ok(1.0));
        assert!(answer_depth(&[7, 7, 3], 7).is_err());
    }

    #[test]
    fn means_are_of_finite_numbers() {
        assert_eq!(mean([Some(1.0), Some(2.0)].into_iter()), Some(1.5));
        assert_eq!(mean([Some(1.0), None].into_iter()), None);
        assert_eq!(mean([Some(f64::INFINITY)].into_iter()), None);
        assert_eq!(mean(std::iter::empty()), None);
        let drop = last_drop(&[vec![Some(9.0)], vec![Some(3.0), Some(1.0)], vec![Some(2.0), Some(1.0)]]);
        assert_eq!(drop, Some(0.5));
    }
}
