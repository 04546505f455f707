//! `entrace run`: a model reasons on benchmarks.

use crate::front::Front;
use crate::measured::Measured;
use crate::sitting::Sitting;
use crate::sprout;
use anyhow::Result;
use entrace_flags::{AskedRule, MAX_NEW_TOKENS, RunArgs, SetUp};
use entrace_study::{Measurement, ModelOptions, Study, TaskOptions, names};
use std::path::Path;

pub(crate) fn run(args: RunArgs, front: &dyn Front) -> Result<Measured> {
    Request::of(args, front)?.carry_out()
}

/// A run that is asked for.
pub(crate) struct Request<'f> {
    pub(crate) model: ModelOptions,
    pub(crate) tasks: TaskOptions,
    pub(crate) how: Measurement,
    pub(crate) sitting: Sitting<'f>,
    /// The rule by which traces are stopped.
    pub(crate) stopping: Option<AskedRule>,
}

impl<'f> Request<'f> {
    /// The run that flags describe. Without a model, or with sprout and without tasks, what comes with entrace is measured.
    pub(crate) fn of(mut args: RunArgs, front: &'f dyn Front) -> Result<Self> {
        args.tasks = names(&args.tasks, |name| Path::new(name).exists());
        let is_sprout = fill_in_sprout(&mut args, front)?;
        if args.tasks.is_empty() {
            return Err(SetUp("--tasks is missing; `entrace ls tasks` lists what is built in".into()).into());
        }
        // Sprout's solutions have some forty tokens; without training it would fill its context, which leaves no room to ask for an answer.
        let mut how =
            args.measure.measurement(if is_sprout { sprout::TRACE_TOKENS } else { MAX_NEW_TOKENS })?;
        let stopping = args.stopping(&mut how)?;
        Ok(Self {
            model: args.model.options(),
            how,
            stopping,
            sitting: Sitting::of(&args.measure, front)?,
            tasks: args.tasks()?,
        })
    }

    /// Measures it.
    pub(crate) fn carry_out(mut self) -> Result<Measured> {
        // What can be told without the model comes before it is opened, which may take long.
        let names = self.tasks.names.clone();
        let tasks = self.tasks.open(&*self.sitting.host())?;
        let mut model = self.sitting.open(&self.model, &mut self.how)?;
        if let Some(stopping) = &self.stopping {
            let host = self.sitting.host();
            stopping.check(&model, &names)?.iter().for_each(|note| host.note(note));
        }
        let observer = self.sitting.observer(&model);
        let study = Study::of_tasks(&mut model, tasks, self.how)?;
        self.sitting.measure(study, observer)
    }
}

/// Without a model, or with sprout and without tasks, what comes with entrace is measured. Returns whether the model is sprout.
fn fill_in_sprout(args: &mut RunArgs, front: &dyn Front) -> Result<bool> {
    let host = front.host(args.measure.quiet);
    if args.model.model.is_empty() && args.model.server.base_url.is_empty() {
        if let Some(other) = args.tasks.iter().find(|task| *task != sprout::TASK) {
            let (name, task) = (sprout::NAME, sprout::TASK);
            let problem = format!(
                "--model is missing: {name}, the model that comes with entrace, has learnt {task} alone and is not taken for {other} \
                 unless it is named (--model {name})"
            );
            return Err(SetUp(problem).into());
        }
        host.note(&format!("no --model: {}, the small model that comes with entrace", sprout::NAME));
        args.model.model = vec![sprout::NAME.to_string()];
    }
    if sprout::Stage::named(args.model.name().unwrap_or_default())?.is_none() {
        return Ok(false);
    }
    if args.tasks.is_empty() {
        host.note(&format!("no --tasks: {}, word problems that it has not seen", sprout::TASK));
        args.tasks.push(sprout::TASK.to_string());
    }
    Ok(true)
}
