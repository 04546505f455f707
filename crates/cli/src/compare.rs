//! `entrace compare`: runs side by side, and what changed on the questions that they share.

use crate::exit::Exit;
use crate::front::Front;
use crate::report::open;
use crate::run::Request;
use crate::sitting::Sitting;
use crate::sprout;
use anyhow::Result;
use entrace_flags::CompareArgs;
use entrace_record::RunReader;
use entrace_report::compare::{self as paired, Comparison, Stage};
use entrace_report::metrics::MetricOptions;
use entrace_report::{Metrics, Report, ReportOptions, terminal};
use entrace_study::{ModelOptions, TaskOptions, default_folder};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What `compare` comes to.
pub struct Compared {
    runs: Vec<(String, Metrics)>,
    comparison: Comparison,
    /// The folder that it was written into.
    folder: Option<PathBuf>,
}

impl Compared {
    /// What was compared and what changed.
    pub fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// Prints it, and ends the command.
    pub(crate) fn show(&self) -> Result<Exit> {
        let mut out = crate::terminal::stdout();
        writeln!(out, "{}\n{}", terminal::compare(&self.runs), terminal::comparison(&self.comparison))?;
        if let Some(dir) = &self.folder {
            writeln!(out, "{}", dir.join("compare.html").display())?;
        }
        Ok(Exit::success())
    }
}

pub(crate) fn compare(args: &CompareArgs, front: &dyn Front) -> Result<Compared> {
    // An argument that is wrong is told before anything is measured.
    for run in &args.runs {
        if run.exists() {
            open(run)?;
        } else {
            sprout::Stage::named(&run.to_string_lossy())?;
        }
    }
    let dirs = args.runs.iter().map(|run| folder(run, front)).collect::<Result<Vec<PathBuf>>>()?;
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
    Ok(Compared { runs, comparison, folder: args.output_path.clone() })
}

/// The run folder that an argument names. A stage of sprout is measured as `entrace run --model sprout@STAGE` would; if that was done
/// before, nothing is measured again.
fn folder(run: &Path, front: &dyn Front) -> Result<PathBuf> {
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
            sitting: Sitting::new(front),
        };
        front.measured_first(&request.carry_out()?)?;
    }
    Ok(folder)
}
