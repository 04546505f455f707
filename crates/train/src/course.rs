//! The course of every training: evaluate, step until all are made, evaluate and write checkpoints when they are due, say how it ended.
//!
//! What a step does is the [`Method`]'s business. A watcher is told of everything that happens and may stop the training, which then ends
//! with a checkpoint.

use crate::error::Error;
use crate::journal::{Event, Flow};
use crate::order::Position;
use crate::trainer::{Outcome, Stay, Trainer};
use std::path::PathBuf;

/// A training under way, whatever its method.
pub(crate) struct Course<'a, 'o> {
    pub(crate) trainer: Trainer<'a>,
    evaluate_every: Option<u64>,
    observe: &'o mut dyn FnMut(&Event<'_>) -> Flow,
    flow: Flow,
}

/// How a model is trained.
pub(crate) trait Method<'a, 'o> {
    fn course(&mut self) -> &mut Course<'a, 'o>;
    /// One step; says why if training has to end.
    fn step(&mut self) -> Result<Option<String>, Error>;
    /// Measures on what is held out.
    fn evaluate(&mut self) -> Result<(), Error>;
    /// Where the next batch is drawn.
    fn position(&self) -> Position;
}

impl<'a, 'o> Course<'a, 'o> {
    pub(crate) fn new(
        trainer: Trainer<'a>,
        evaluate_every: Option<u64>,
        observe: &'o mut dyn FnMut(&Event<'_>) -> Flow,
    ) -> Self {
        Self { trainer, evaluate_every, observe, flow: Flow::Continue }
    }

    pub(crate) fn tell(&mut self, event: &Event<'_>) {
        if (self.observe)(event) == Flow::Stop {
            self.flow = Flow::Stop;
        }
    }

    fn is_evaluation(&self) -> bool {
        let step = self.trainer.progress.step;
        self.trainer.is_done() || self.evaluate_every.is_some_and(|n| n > 0 && step.is_multiple_of(n))
    }

    fn save(&mut self, position: Position, stay: Stay) -> Result<PathBuf, Error> {
        let folder = self.trainer.save(position, stay)?;
        if stay == Stay::Kept {
            self.tell(&Event::Saved { step: self.trainer.progress.step, folder: &folder });
        }
        Ok(folder)
    }
}

/// Trains to the end. A training that is not resumed is evaluated before its first step.
pub(crate) fn run<'a: 'o, 'o>(mut method: impl Method<'a, 'o>, resumed: bool) -> Result<Outcome, Error> {
    if !resumed {
        method.evaluate()?;
        save_if_due(&mut method)?;
    }
    let mut diverged = None;
    while !method.course().trainer.is_done() && method.course().flow == Flow::Continue && diverged.is_none() {
        diverged = method.step()?;
        if method.course().is_evaluation() {
            method.evaluate()?;
        }
        save_if_due(&mut method)?;
    }
    conclude(method, diverged)
}

fn save_if_due<'a: 'o, 'o>(method: &mut impl Method<'a, 'o>) -> Result<(), Error> {
    let position = method.position();
    let course = method.course();
    if let Some(stay) = course.trainer.due()
        && course.trainer.illness().is_none()
    {
        course.save(position, stay)?;
    }
    Ok(())
}

/// How training ended, with a checkpoint of where it did. A model whose numbers are not finite is not written.
fn conclude<'a: 'o, 'o>(mut method: impl Method<'a, 'o>, diverged: Option<String>) -> Result<Outcome, Error> {
    let position = method.position();
    let course = method.course();
    let step = course.trainer.progress.step;
    if let Some(reason) = course.trainer.illness() {
        return Ok(Outcome::Diverged { step, reason, checkpoint: course.trainer.last_checkpoint() });
    }
    let checkpoint = match course.trainer.kept_checkpoint() {
        Some(folder) => folder,
        None => course.save(position, Stay::Kept)?,
    };
    Ok(match diverged {
        Some(reason) => Outcome::Diverged { step, reason, checkpoint: Some(checkpoint) },
        None if course.trainer.is_done() => Outcome::Finished(course.trainer.ending(checkpoint)),
        None => Outcome::Stopped(course.trainer.ending(checkpoint)),
    })
}
