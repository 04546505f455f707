//! `entrace compare`: runs side by side, and what changed on the questions that they share.

use crate::args::CompareArgs;
use crate::exit::Exit;
use crate::measure::Sitting;
use crate::report::open;
use crate::run::Request;
use crate::sprout;
use anyhow::Result;
use entrace_record::RunReader;
use entrace_report::compare::{self as paired, Stage};
use entrace_report::metrics::MetricOptions;
use entrace_report::{Report, ReportOptions, terminal};
use entrace_study::{ModelOptions, TaskOptions, default_folder};
use std::io::Write;
use std::path::{Path, PathBuf};

pub(crate) fn compare(args: &CompareArgs) -> Result<Exit> {
    // An argument that is wrong is told before anything is measured.
    for run in &args.runs {
        if run.exists() {
            open(run)?;
        } else {
            sprout::Stage::named(&run.to_string_lossy())?;
        }
    }
    let dirs = args.runs.iter().map(|run| folder(run)).collect::<Result<Vec<PathBuf>>>()?;
    let names = paired::names(&dirs);
    let (mut runs, mut stages) = (Vec::new(), Vec::new());
    for ((dir, argument), name) in dirs.iter().zip(&args.runs).zip(names) {
        // A stage of sprout goes by the name that was given for it.
        let name = if dir == argument { name } else { argument.display().to_string() };
        let reader = open(dir)?;
        runs.push((name.clone(), Report::of_run(&reader, &ReportOptions::default())?.metrics));
        stages.push(Stage::of_run(&name, &reader)?);
    }
    let comparison = paired::of(&stages, &MetricOptions::default())?;
    if let Some(out) = &args.output_path {
        paired::write(&comparison, out)?;
    }
    let mut out = crate::terminal::stdout();
    writeln!(out, "{}\n{}", terminal::compare(&runs), terminal::comparison(&comparison))?;
    if let Some(dir) = &args.output_path {
        writeln!(out, "{}", dir.join("compare.html").display())?;
    }
    Ok(Exit::success())
}

/// The run folder that an argument names. A stage of sprout is measured as `entrace run --model sprout@STAGE` would; if that was done
/// before, nothing is measured again.
fn folder(run: &Path) -> Result<PathBuf> {
    let name = run.to_string_lossy();
    let Some(stage) = (if run.exists() { None } else { sprout::Stage::named(&name)? }) else {
        return Ok(run.to_path_buf());
    };
    let stage = stage.full_name();
    let folder = default_folder(&stage, &[sprout::TASK.to_string()]);
    if !RunReader::open(&folder).is_ok_and(|reader| reader.manifest().finished_at.is_some()) {
        let request = Request {
            stopping: None,
            model: ModelOptions::named(stage),
            tasks: TaskOptions::named([sprout::TASK]),
            how: sprout::measurement(),
            sitting: Sitting::default(),
        };
        request.carry_out()?;
    }
    Ok(folder)
}
