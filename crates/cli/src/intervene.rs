//! `entrace intervene`: changes in recorded traces, and what they do to belief.
//!
//! It is a command of its own and no flag of `run` or `score`: it starts from traces that are recorded, can be repeated with other kinds or
//! another model without measuring anything again, and adds to the run folder what it finds. The model is the one that the manifest names,
//! unless `--model` names another; then whatever is measured is off-policy, and the table says so.

use crate::console::Console;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::report::{self, terminal_width};
use anyhow::Result;
use entrace_flags::InterveneArgs;
use entrace_intervene::cost;
use entrace_report::{ReportOptions, terminal, write_report};
use entrace_study::intervene::{Interventions, import_rollouts};
use entrace_study::{ModelOptions, open_language};
use std::io::Write;

pub(crate) fn intervene(args: InterveneArgs) -> Result<Exit> {
    let mut progress = Progress::new(args.quiet, None);
    if let Some(folder) = &args.import {
        let model = args.model.name().unwrap_or("imported");
        let notes = import_rollouts(folder, &args.run, model, args.seed, std::env::args().collect())?;
        notes.iter().for_each(|note| progress.note(note));
        return say(&args);
    }
    let (plan, options, console) = (args.plan()?, args.model.options(), Console::new(args.quiet));
    let interventions =
        Interventions::open(report::open(&args.run)?, plan.clone(), &options, args.limit, &console)?;
    if let Some(other) = interventions.other_model() {
        let recorded = interventions.recorded_model();
        progress.note(&format!(
            "{other} is not the model that the run was measured with ({recorded}): every effect is off-policy"
        ));
    }
    if args.dry_run {
        let (costs, rates) = interventions.costs()?;
        writeln!(crate::terminal::stdout(), "{}", cost::table(&costs, rates, &plan))?;
        return Ok(Exit::success());
    }
    let paraphraser = match &args.paraphraser {
        Some(name) => {
            let options = ModelOptions { names: vec![name.clone()], ..options };
            Some(open_language(&options, &console)?.0)
        }
        None => None,
    };
    let measured = interventions.measure(paraphraser.as_ref(), &mut progress);
    progress.end();
    measured?;
    say(&args)
}

/// Makes the report again and prints what was found.
fn say(args: &InterveneArgs) -> Result<Exit> {
    let dir = &args.run;
    let report = write_report(dir, &ReportOptions::default())?;
    let mut out = crate::terminal::stdout();
    if let Some(found) = &report.metrics.interventions {
        writeln!(out, "{}", terminal::interventions(found, terminal_width()))?;
    }
    if !args.quiet {
        writeln!(out, "{}", dir.join("report.html").display())?;
    }
    Ok(Exit::success())
}
