//! Maximum likelihood: the mean negative log-probability of learnt tokens falls, from scratch or from a checkpoint.
//!
//! One step: draw sequences in the epoch's order up to the token budget -> divide them into packs -> loss of each pack
//! −Σ ln p(token) / N with N the learnt tokens of the whole batch -> sum of gradients -> one update. Dividing by N makes the result that of
//! one pass over the whole batch, however it is divided.

use crate::course::{self, Course, Method};
use crate::error::Error;
use crate::gradients::gradients;
use crate::journal::{EvalRow, Event, FitRow, Flow};
use crate::model::Model;
use crate::optimizer::AdamW;
use crate::order::{Order, Position};
use crate::schedule::Schedule;
use crate::scoring::{mean_loss, packs};
use crate::sequence::Sequence;
use crate::trainer::{Outcome, Output, Plan, Trainer, Update, fingerprint};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;

/// How a model is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitOptions {
    /// Updates.
    pub steps: u64,
    /// Most tokens in the batch of one update.
    pub batch_tokens: usize,
    /// Packs that run side by side; the sums depend on it, the number of threads does not matter. Packs of about a thousand tokens of a
    /// small model stay in the caches.
    pub shards: usize,
    /// Rounds of `shards` packs in one update: more of them need less memory.
    pub accumulation: usize,
    /// Order of the data.
    pub seed: u64,
    /// The optimizer.
    pub optimizer: AdamW,
    /// The learning rate.
    pub schedule: Schedule,
    /// The held-out loss is measured after every so many updates, and at start and end.
    pub evaluate_every: Option<u64>,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch_tokens: 8192,
            shards: 8,
            accumulation: 1,
            seed: 0,
            optimizer: AdamW::default(),
            schedule: Schedule::default(),
            evaluate_every: Some(100),
        }
    }
}

/// What is learnt from, and what is only measured.
#[derive(Debug, Clone, Copy)]
pub struct FitData<'a> {
    /// Learnt.
    pub train: &'a [Sequence],
    /// Measured; may be empty.
    pub held_out: &'a [Sequence],
}

/// Fits a model. `resume` is a checkpoint of the same training. `observe` is told what happens and may stop it.
pub fn fit(
    model: &Model,
    data: FitData<'_>,
    options: &FitOptions,
    output: &Output,
    resume: Option<&Path>,
    observe: &mut dyn FnMut(&Event<'_>) -> Flow,
) -> Result<Outcome, Error> {
    options.check()?;
    if data.train.is_empty() {
        return Err(Error::NoExamples(" to learn from"));
    }
    let sequences = data.train.iter().map(|s| (s.token_ids(), s.n_learnt()));
    let plan = Plan {
        optimizer: options.optimizer.clone(),
        schedule: options.schedule.clone(),
        n_steps: options.steps,
        settings: serde_json::to_value(options).unwrap_or_default(),
        data_sha256: fingerprint(sequences),
    };
    let trainer = Trainer::new(model, plan, output, resume)?;
    let order = Order::new(data.train.len(), options.seed, trainer.progress.position);
    let course = Course::new(trainer, options.evaluate_every, observe);
    course::run(Fit { course, data, options, order }, resume.is_some())
}

impl FitOptions {
    fn check(&self) -> Result<(), Error> {
        for (option, value) in [
            ("batch_tokens", self.batch_tokens),
            ("shards", self.shards),
            ("accumulation", self.accumulation),
        ] {
            if value == 0 {
                return Err(Error::option(option, "must be positive"));
            }
        }
        Ok(())
    }
}

struct Fit<'a, 'o> {
    course: Course<'a, 'o>,
    data: FitData<'a>,
    options: &'a FitOptions,
    order: Order,
}

impl<'a, 'o> Method<'a, 'o> for Fit<'a, 'o> {
    fn course(&mut self) -> &mut Course<'a, 'o> {
        &mut self.course
    }

    fn step(&mut self) -> Result<Option<String>, Error> {
        let begun = Instant::now();
        let trainer = &mut self.course.trainer;
        trainer.begin_step();
        let epoch = self.order.position().epoch;
        let train = self.data.train;
        let drawn = self.order.draw(self.options.batch_tokens, |i| train[i].n_run());
        let batch: Vec<&Sequence> = drawn.into_iter().map(|i| &train[i]).collect();
        let packs = packs(&batch, self.options.shards * self.options.accumulation);
        let n_learnt: usize = batch.iter().map(|s| s.n_learnt()).sum();
        let model = trainer.model;
        let batch_gradients = gradients(model, packs.len(), self.options.shards, |i| {
            Ok(((model.scores(&packs[i].1)?.get(0)?.sum_all()? * (-1.0 / n_learnt as f64))?, ()))
        })?;
        let loss = batch_gradients.loss;
        let Update { learning_rate, grad_norm, skipped } =
            trainer.update(loss, &batch_gradients.gradients)?;
        let n_run: usize = batch.iter().map(|s| s.n_run()).sum();
        trainer.progress.n_tokens += n_run as u64;
        let row = FitRow {
            step: trainer.progress.step,
            loss,
            learning_rate,
            grad_norm,
            epoch,
            n_tokens: trainer.progress.n_tokens,
            tokens_per_sec: n_run as f64 / begun.elapsed().as_secs_f64(),
            elapsed_secs: trainer.elapsed_secs(),
            skipped,
        };
        trainer.journal.write(&row)?;
        self.course.tell(&Event::Fitted(&row));
        Ok(self.course.trainer.is_stuck())
    }

    fn evaluate(&mut self) -> Result<(), Error> {
        let trainer = &mut self.course.trainer;
        let Some(eval_loss) = mean_loss(trainer.model, self.data.held_out)? else { return Ok(()) };
        let n_tokens = self.data.held_out.iter().map(Sequence::n_learnt).sum();
        let row = EvalRow { step: trainer.progress.step, eval_loss, n_tokens };
        trainer.journal.write(&row)?;
        self.course.tell(&Event::Evaluated(&row));
        Ok(())
    }

    fn position(&self) -> Position {
        self.order.position()
    }
}
