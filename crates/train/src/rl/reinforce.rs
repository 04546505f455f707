//! The loop of reinforcement learning.
//!
//! One step: draw questions in the epoch's order -> sample a group of completions of each -> rewards -> advantages, groups without spread
//! left out -> log-probabilities under the policy that sampled and under the reference -> one or more updates. The reference is the model
//! that training started from.
//!
//! Guards: an update whose loss or gradient is not finite is left out and counted; many of them in a row, or a divergence from the
//! reference beyond a limit, end the training with [`Outcome::Diverged`].

use super::advantage::{Baseline, advantages};
use super::objective::Objective;
use super::rehearsal::Rehearsal;
use super::rollout::{Draw, Sampler};
use crate::course::{self, Course, Method};
use crate::error::Error;
use crate::gradients::gradients;
use crate::journal::{Event, Flow};
use crate::model::Model;
use crate::ops::numbers;
use crate::optimizer::AdamW;
use crate::order::{Order, Position};
use crate::schedule::Schedule;
use crate::scoring::{logprobs, packs};
use crate::sequence::{Pack, Sequence};
use crate::trainer::{Outcome, Output, Plan, Trainer, Update, fingerprint};
use candle_core::Tensor;
use entrace_backend::{Completion, stream_seed};
use entrace_measure::StopReason;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How a model is reinforced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RlOptions {
    /// Steps.
    pub steps: u64,
    /// Questions in one step.
    pub questions: usize,
    /// Completions of each question.
    pub samples: usize,
    /// Most tokens of a completion.
    pub max_new_tokens: usize,
    /// Updates with the completions of one step.
    pub updates: usize,
    /// Weight of the mean loss of rehearsed tokens.
    pub rehearsal_weight: f64,
    /// Most tokens of rehearsed traces in one update.
    pub rehearsal_tokens: usize,
    /// Packs that run side by side.
    pub shards: usize,
    /// Rounds of `shards` packs in one update.
    pub accumulation: usize,
    /// Order of questions, and completions.
    pub seed: u64,
    /// What rewards are compared with.
    pub baseline: Baseline,
    /// The objective of a token.
    pub objective: Objective,
    /// The optimizer.
    pub optimizer: AdamW,
    /// The learning rate.
    pub schedule: Schedule,
    /// Largest mean divergence from the reference per token, in nats; beyond it training ends.
    pub max_kl: Option<f64>,
    /// Rewards of greedy answers to held-out questions are measured after every so many steps, and at start and end.
    pub evaluate_every: Option<u64>,
}

impl Default for RlOptions {
    fn default() -> Self {
        Self {
            steps: 100,
            questions: 16,
            samples: 8,
            max_new_tokens: 192,
            updates: 1,
            rehearsal_weight: 1.0,
            rehearsal_tokens: 2048,
            shards: 8,
            accumulation: 1,
            seed: 0,
            baseline: Baseline::Standardised,
            objective: Objective::default(),
            optimizer: AdamW { weight_decay: 0.0, ..AdamW::default() },
            schedule: Schedule { peak: 1e-4, warmup_steps: 5, ..Schedule::default() },
            max_kl: Some(1.0),
            evaluate_every: Some(10),
        }
    }
}

/// Questions with a way to judge completions.
#[derive(Clone, Copy)]
pub struct RlQuestions<'a> {
    /// Tokens of each prompt.
    pub prompts: &'a [Vec<u32>],
    /// Reward of a completion of the question with this index.
    pub reward: &'a (dyn Fn(usize, &Completion) -> f64 + Sync),
}

/// Questions that are learnt from, and questions that are only asked.
#[derive(Clone, Copy)]
pub struct RlData<'a> {
    /// Learnt from.
    pub train: RlQuestions<'a>,
    /// Only asked.
    pub held_out: Option<RlQuestions<'a>>,
    /// Learnt by maximum likelihood in every update; may be empty.
    pub rehearsed: &'a [Sequence],
}

/// A row about one step of reinforcement learning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RlRow {
    /// Steps so far.
    pub step: u64,
    /// Mean reward of the completions.
    pub reward: f64,
    /// Share of completions whose reward is at least 1.
    pub accuracy: f64,
    /// Groups whose rewards differ, out of all questions.
    pub n_groups_used: usize,
    /// Mean number of tokens of a completion.
    pub length: f64,
    /// Share of completions cut off at the largest length.
    pub truncated: f64,
    /// What the updates did; absent if no group had spread.
    pub update: Option<RlUpdate>,
    /// Tokens run by updates and sampled so far.
    pub n_tokens: u64,
    /// Training time so far.
    pub elapsed_secs: f64,
}

/// What the updates of one step did: numbers of the last one, per token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RlUpdate {
    /// Loss.
    pub loss: f64,
    /// Mean divergence from the reference in nats; absent without a reference.
    pub kl: Option<f64>,
    /// Mean entropy in nats.
    pub entropy: f64,
    /// Mean negative log-probability of rehearsed tokens in nats; absent without rehearsal.
    pub rehearsal_loss: Option<f64>,
    /// Share of tokens whose ratio was clipped.
    pub clip_share: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Whether the update was left out because a number was not finite.
    pub skipped: bool,
}

/// A row about held-out questions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RewardRow {
    /// Steps so far.
    pub step: u64,
    /// Mean reward of greedy completions.
    pub eval_reward: f64,
    /// Share whose reward is at least 1.
    pub eval_accuracy: f64,
    /// Number of questions.
    pub n_questions: usize,
}

/// Reinforces a model. `resume` is a checkpoint of the same training, and `model` the one it started from. `observe` is told what
/// happens and may stop it.
pub fn reinforce(
    model: &Model,
    data: RlData<'_>,
    options: &RlOptions,
    output: &Output,
    resume: Option<&Path>,
    observe: &mut dyn FnMut(&Event<'_>) -> Flow,
) -> Result<Outcome, Error> {
    options.check()?;
    if data.train.prompts.is_empty() {
        return Err(Error::NoExamples(" to ask"));
    }
    let needs_reference = options.objective.kl_weight > 0.0 || options.max_kl.is_some();
    let reference = if needs_reference { Some(model.frozen_copy()?) } else { None };
    let asked = data.train.prompts.iter().map(|p| (p.as_slice(), p.len()));
    let rehearsed = data.rehearsed.iter().map(|s| (s.token_ids(), s.n_learnt()));
    let plan = Plan {
        optimizer: options.optimizer.clone(),
        schedule: options.schedule.clone(),
        n_steps: options.steps,
        settings: serde_json::to_value(options).unwrap_or_default(),
        data_sha256: fingerprint(asked.chain(rehearsed)),
    };
    let trainer = Trainer::new(model, plan, output, resume)?;
    let order = Order::new(data.train.prompts.len(), options.seed, trainer.progress.position);
    let course = Course::new(trainer, options.evaluate_every, observe);
    course::run(Reinforce { course, reference, data, options, output, order }, resume.is_some())
}

impl RlOptions {
    fn check(&self) -> Result<(), Error> {
        let positive = [
            ("questions", self.questions),
            ("max_new_tokens", self.max_new_tokens),
            ("updates", self.updates),
            ("rehearsal_tokens", self.rehearsal_tokens),
            ("shards", self.shards),
            ("accumulation", self.accumulation),
        ];
        if let Some((option, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::option(option, "must be positive"));
        }
        if self.samples < 2 {
            return Err(Error::option("samples", "a group needs at least 2"));
        }
        Ok(())
    }
}

struct Reinforce<'a, 'o> {
    course: Course<'a, 'o>,
    reference: Option<Model>,
    data: RlData<'a>,
    options: &'a RlOptions,
    output: &'a Output,
    order: Order,
}

/// Completions that are learnt from, with what does not change while they are.
struct Batch {
    sequences: Vec<Sequence>,
    advantages: Vec<f64>,
    weights: Vec<f64>,
    /// Log-probabilities under the policy that sampled them; `None` if that is the policy of the only update.
    sampled: Option<Vec<Vec<f64>>>,
    reference: Option<Vec<Vec<f64>>>,
}

/// Sums over the tokens of a pack.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    loss: f64,
    kl: f64,
    entropy: f64,
    n_clipped: usize,
    n_tokens: usize,
    /// This pack's share of the mean loss of rehearsed tokens.
    rehearsal_loss: f64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.kl += other.kl;
        self.entropy += other.entropy;
        self.n_clipped += other.n_clipped;
        self.n_tokens += other.n_tokens;
        self.rehearsal_loss += other.rehearsal_loss;
    }
}

impl<'a, 'o> Method<'a, 'o> for Reinforce<'a, 'o> {
    fn course(&mut self) -> &mut Course<'a, 'o> {
        &mut self.course
    }

    fn step(&mut self) -> Result<Option<String>, Error> {
        self.course.trainer.begin_step();
        let questions = self.order.draw(self.options.questions, |_| 1);
        let sampler = Sampler::of(self.course.trainer.model, &self.output.texts)?;
        let draw = Draw {
            seed: self.options.seed,
            step: self.course.trainer.progress.step,
            questions: &questions,
            n_samples: self.options.samples,
            temperature: 1.0,
            max_new_tokens: self.options.max_new_tokens,
        };
        let groups = sampler.draw(self.data.train.prompts, &draw)?;
        let rewards: Vec<Vec<f64>> = questions
            .iter()
            .zip(&groups)
            .map(|(&question, group)| group.iter().map(|c| (self.data.train.reward)(question, c)).collect())
            .collect();
        let (batch, n_groups_used) = self.batch(&sampler, &questions, &groups, &rewards)?;
        let update = match &batch {
            Some(batch) => Some(self.updates(batch)?),
            None => None,
        };
        let row = self.row(&groups, &rewards, n_groups_used, update);
        self.course.trainer.journal.write(&row)?;
        self.course.tell(&Event::Reinforced(&row));
        Ok(self.course.trainer.is_stuck().or_else(|| self.too_far(&row)))
    }

    fn evaluate(&mut self) -> Result<(), Error> {
        let Some(held_out) = self.data.held_out.filter(|q| !q.prompts.is_empty()) else { return Ok(()) };
        let sampler = Sampler::of(self.course.trainer.model, &self.output.texts)?;
        let questions: Vec<usize> = (0..held_out.prompts.len()).collect();
        let draw = Draw {
            seed: self.options.seed,
            step: self.course.trainer.progress.step,
            questions: &questions,
            n_samples: 1,
            temperature: 0.0,
            max_new_tokens: self.options.max_new_tokens,
        };
        let groups = sampler.draw(held_out.prompts, &draw)?;
        let judged = questions.iter().zip(groups.iter().flatten());
        let rewards: Vec<f64> = judged.map(|(&question, c)| (held_out.reward)(question, c)).collect();
        let n = rewards.len() as f64;
        let row = RewardRow {
            step: self.course.trainer.progress.step,
            eval_reward: rewards.iter().sum::<f64>() / n,
            eval_accuracy: rewards.iter().filter(|&&r| r >= 1.0).count() as f64 / n,
            n_questions: rewards.len(),
        };
        self.course.trainer.journal.write(&row)?;
        self.course.tell(&Event::Rewarded(&row));
        Ok(())
    }

    fn position(&self) -> Position {
        self.order.position()
    }
}

impl Reinforce<'_, '_> {
    fn too_far(&self, row: &RlRow) -> Option<String> {
        let (limit, kl) = (self.options.max_kl?, row.update.as_ref()?.kl?);
        (kl > limit)
            .then(|| format!("the mean divergence from the reference is {kl:.3} nats, more than {limit}"))
    }

    /// What can be learnt from, and the number of groups it comes from.
    fn batch(
        &self,
        sampler: &Sampler,
        questions: &[usize],
        groups: &[Vec<Completion>],
        rewards: &[Vec<f64>],
    ) -> Result<(Option<Batch>, usize), Error> {
        let (mut sequences, mut all, mut n_groups) = (Vec::new(), Vec::new(), 0);
        for ((&question, group), rewards) in questions.iter().zip(groups).zip(rewards) {
            let Some(found) = advantages(rewards, self.options.baseline) else { continue };
            n_groups += 1;
            for (completion, advantage) in group.iter().zip(found) {
                if let Some(sequence) = sampler.sequence(&self.data.train.prompts[question], completion) {
                    sequences.push(sequence);
                    all.push(advantage);
                }
            }
        }
        if sequences.is_empty() {
            return Ok((None, n_groups));
        }
        let lengths: Vec<usize> = sequences.iter().map(Sequence::n_learnt).collect();
        let weights = self.options.objective.averaging.weights(&lengths);
        let again = self.options.updates > 1;
        let sampled = if again { Some(logprobs(self.course.trainer.model, &sequences)?) } else { None };
        let reference = self.reference.as_ref().map(|model| logprobs(model, &sequences)).transpose()?;
        Ok((Some(Batch { sequences, advantages: all, weights, sampled, reference }), n_groups))
    }

    fn updates(&mut self, batch: &Batch) -> Result<RlUpdate, Error> {
        let options = self.options;
        let seed = stream_seed(options.seed, &["rehearsal", &self.course.trainer.progress.step.to_string()]);
        let rehearsal = Rehearsal::draw(self.data.rehearsed, options.rehearsal_tokens, options.shards, seed);
        let mut last = self.update(batch, &rehearsal)?;
        for _ in 1..options.updates {
            last = self.update(batch, &rehearsal)?;
        }
        Ok(last)
    }

    fn update(&mut self, batch: &Batch, rehearsal: &Rehearsal) -> Result<RlUpdate, Error> {
        let trainer = &mut self.course.trainer;
        let (model, options) = (trainer.model, self.options);
        let all: Vec<&Sequence> = batch.sequences.iter().collect();
        let packs = packs(&all, options.shards * options.accumulation);
        let n_packs = packs.len() + rehearsal.packs.len();
        let done = gradients(model, n_packs, options.shards, |i| match packs.get(i) {
            Some((members, pack)) => batch.loss(&options.objective, &model.scores(pack)?, members, pack),
            None => {
                let loss = rehearsal.loss(model, i - packs.len())?;
                let rehearsal_loss = f64::from(loss.to_scalar::<f32>()?);
                Ok(((loss * options.rehearsal_weight)?, Sums { rehearsal_loss, ..Sums::default() }))
            }
        })?;
        let mut sums = Sums::default();
        for note in &done.notes {
            sums.add(note);
        }
        let loss = sums.loss + options.rehearsal_weight * sums.rehearsal_loss;
        let Update { learning_rate, grad_norm, skipped } = trainer.update(loss, &done.gradients)?;
        let n_run = all.iter().map(|s| s.n_run()).sum::<usize>() + rehearsal.n_run;
        trainer.progress.n_tokens += n_run as u64;
        let n = sums.n_tokens as f64;
        Ok(RlUpdate {
            loss: sums.loss,
            kl: batch.reference.is_some().then_some(sums.kl / n),
            entropy: sums.entropy / n,
            rehearsal_loss: (rehearsal.n_learnt > 0).then_some(sums.rehearsal_loss),
            clip_share: sums.n_clipped as f64 / n,
            grad_norm,
            learning_rate,
            skipped,
        })
    }

    fn row(
        &mut self,
        groups: &[Vec<Completion>],
        rewards: &[Vec<f64>],
        n_groups_used: usize,
        update: Option<RlUpdate>,
    ) -> RlRow {
        let (all, rewards): (Vec<&Completion>, Vec<f64>) =
            (groups.iter().flatten().collect(), rewards.iter().flatten().copied().collect());
        let n = all.len() as f64;
        let n_sampled: usize = all.iter().map(|c| c.token_ids.len()).sum();
        self.course.trainer.progress.n_tokens += n_sampled as u64;
        RlRow {
            step: self.course.trainer.progress.step,
            reward: rewards.iter().sum::<f64>() / n,
            accuracy: rewards.iter().filter(|&&r| r >= 1.0).count() as f64 / n,
            n_groups_used,
            length: n_sampled as f64 / n,
            truncated: all.iter().filter(|c| c.stop_reason == StopReason::Length).count() as f64 / n,
            update,
            n_tokens: self.course.trainer.progress.n_tokens,
            elapsed_secs: self.course.trainer.elapsed_secs(),
        }
    }
}

impl Batch {
    /// Loss of a pack from its scores `[2, R]`. Its slope in every log-probability and entropy is known in closed form, so the tensor that
    /// is differentiated is linear in them; its value is in the sums.
    fn loss(
        &self,
        objective: &Objective,
        scores: &Tensor,
        members: &[usize],
        pack: &Pack,
    ) -> Result<(Tensor, Sums), Error> {
        let rows = scores.to_vec2::<f32>()?;
        let n = pack.rows.len();
        let mut slopes = vec![0f32; 2 * n];
        let mut sums = Sums::default();
        for (&member, range) in members.iter().zip(&pack.scored) {
            let weight = self.weights[member];
            for (at, row) in range.clone().enumerate() {
                let (logprob, entropy) = (f64::from(rows[0][row]), f64::from(rows[1][row]));
                let sampled = self.sampled.as_ref().map_or(logprob, |sampled| sampled[member][at]);
                let reference = self.reference.as_ref().map(|reference| reference[member][at]);
                let terms = objective.token(logprob, sampled, reference, self.advantages[member], entropy);
                slopes[row] = (-weight * terms.slope) as f32;
                slopes[n + row] = (-weight * objective.entropy_weight) as f32;
                sums.loss -= weight * terms.objective;
                sums.kl += terms.kl;
                sums.entropy += entropy;
                sums.n_clipped += usize::from(terms.clipped);
                sums.n_tokens += 1;
            }
        }
        Ok(((scores * numbers::tensor(slopes, (2, n))?)?.sum_all()?, sums))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goldens::Golden;
    use crate::rl::Averaging;

    #[test]
    fn loss_and_gradients_equal_pytorch() {
        let objective = Objective {
            clip_low: 0.2,
            clip_high: 0.28,
            kl_weight: 0.05,
            entropy_weight: 0.01,
            averaging: Averaging::Completions,
        };
        for golden in Golden::all() {
            let lengths: Vec<usize> = golden.sequences.iter().map(Sequence::n_learnt).collect();
            let split = |name: &str| {
                let mut all = golden.numbers(name).into_iter();
                lengths.iter().map(|&n| all.by_ref().take(n).collect()).collect::<Vec<Vec<f64>>>()
            };
            let found = advantages(&golden.numbers("grpo.rewards"), Baseline::Standardised).unwrap();
            for (found, expected) in found.iter().zip(golden.numbers("grpo.advantages")) {
                assert!((found - expected).abs() < 1e-9);
            }
            let batch = Batch {
                sequences: golden.sequences.clone(),
                advantages: found,
                weights: objective.averaging.weights(&lengths),
                sampled: Some(split("grpo.sampled")),
                reference: Some(split("grpo.reference")),
            };
            let all: Vec<&Sequence> = batch.sequences.iter().collect();
            let packs = packs(&all, 3);
            let done = gradients(&golden.model, packs.len(), 2, |i| {
                batch.loss(&objective, &golden.model.scores(&packs[i].1)?, &packs[i].0, &packs[i].1)
            })
            .unwrap();
            let loss: f64 = done.notes.iter().map(|note| note.loss).sum();
            assert!((loss - golden.numbers("grpo.loss")[0]).abs() < 2e-6);
            let n_clipped: usize = done.notes.iter().map(|note| note.n_clipped).sum();
            assert!((n_clipped as f64 - golden.numbers("grpo.n_clipped")[0]).abs() < 0.5);
            golden.compare_gradients(&done.gradients.0, "grpo.grad.", 2e-5);
        }
    }
}
