//! `entrace train`: maximum likelihood, fine-tuning and reinforcement learning of small models.
//!
//! `watch` shows its progress, and measures checkpoints.

mod watch;

use crate::console::Console;
use crate::exit::Exit;
use anyhow::{Context, Result};
use entrace_flags::train::{Method, MleArgs, OutputArgs, RecipeArgs, SftArgs, TrainArgs};
use entrace_study::train::{Place, Start, Training};
use entrace_train::Outcome;
use std::io::Write;
use std::path::Path;
use watch::{Measured, Measuring, Watch};

pub(crate) fn train(args: TrainArgs) -> Result<Exit> {
    match args.method {
        Method::Mle(MleArgs { size, learning }) => {
            let (output, data) = (&learning.output, &learning.data);
            carry_out("mle", output, (&data.data, data.data_dir.as_deref()), |place, console| {
                Ok(Training::mle(&size.size()?, learning.plan(), place, console)?)
            })
        }
        Method::Sft(SftArgs { model, lora, learning }) => {
            let start = Start { model, adaptation: lora.adaptation() };
            let (output, data) = (&learning.output, &learning.data);
            carry_out("sft", output, (&data.data, data.data_dir.as_deref()), |place, console| {
                Ok(Training::sft(&start, learning.plan(), place, console)?)
            })
        }
        Method::Rl(args) => {
            let start = Start { model: args.model.clone(), adaptation: args.lora.adaptation() };
            let (output, data) = (&args.output, &args.questions);
            carry_out("rl", output, (&data.data, data.data_dir.as_deref()), |place, console| {
                Ok(Training::rl(&start, args.plan(), place, console)?)
            })
        }
        Method::Recipe(args) => follow(&args),
    }
}

/// Trains the stages of a recipe. All are read before the first one is trained.
fn follow(args: &RecipeArgs) -> Result<Exit> {
    for (number, stage) in entrace_flags::stages(args)? {
        let exit = train(stage).with_context(|| format!("stage {number}"))?;
        if !exit.is_success() {
            return Ok(exit);
        }
    }
    Ok(Exit::success())
}

/// Sets a training up and carries it out. What is wrong with the place or with what is measured is told before data and models are read.
fn carry_out(
    method: &str,
    output: &OutputArgs,
    data: (&str, Option<&Path>),
    set_up: impl FnOnce(Place, &Console) -> Result<Training>,
) -> Result<Exit> {
    let (place, console) = (output.place(method)?, Console::new(output.quiet));
    let measuring = Measuring::of(output, data)?;
    watched(&set_up(place, &console)?, measuring, output)
}

/// Trains with progress, and says how it ended.
fn watched(training: &Training, measuring: Option<Measuring>, args: &OutputArgs) -> Result<Exit> {
    let mut watch = Watch::new(training, measuring, args.quiet);
    if let Some((n_weights, n_traces, n_tokens)) = training.sizes() {
        watch.note(&format!("{n_weights} weights, {n_traces} traces, {n_tokens} tokens"));
    }
    if training.n_too_long > 0 {
        watch.note(&format!("{} traces are longer than the context and were left out", training.n_too_long));
    }
    let outcome = training.run(&mut |event| watch.event(event))?;
    conclude(&outcome, training.steps(), &watch.end()?, &args.how_to_resume(&training.place().folder))
}

fn conclude(outcome: &Outcome, steps: u64, measured: &Measured, how_to_resume: &str) -> Result<Exit> {
    let mut out = crate::terminal::stdout();
    let (ending, is_stopped) = match outcome {
        Outcome::Finished(ending) => (ending, false),
        Outcome::Stopped(ending) => (ending, true),
        Outcome::Diverged { step, reason, checkpoint } => {
            let last =
                checkpoint.as_ref().map(|folder| format!("the last checkpoint is {}", folder.display()));
            let last = last.unwrap_or_else(|| "no checkpoint was written".to_string());
            anyhow::bail!("training ended at update {step}: {reason}; lower --learning-rate; {last}")
        }
    };
    let (step, secs, checkpoint) = (ending.step, ending.elapsed_secs, ending.checkpoint.display());
    if is_stopped {
        writeln!(out, "interrupted after update {step} of {steps}: {checkpoint}")?;
    } else {
        writeln!(out, "{step} updates in {secs:.0} s: {checkpoint}")?;
    }
    if ending.n_skipped > 0 {
        writeln!(out, "{} updates were left out: loss or gradient was not finite", ending.n_skipped)?;
    }
    if !measured.runs.is_empty() {
        let runs: Vec<String> = measured.runs.iter().map(|run| run.display().to_string()).collect();
        writeln!(out, "entrace compare {}", runs.join(" "))?;
    }
    if is_stopped || !measured.is_complete {
        writeln!(out, "{how_to_resume}")?;
        return Ok(Exit::interrupted());
    }
    Ok(Exit::success())
}
