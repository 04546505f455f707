//! `entrace compare`: runs side by side, and what changed on the questions that they share.

use crate::args::CompareArgs;
use crate::exit::{Exit, InSetUp};
use anyhow::Result;
use entrace_record::RunReader;
use entrace_report::metrics::MetricOptions;
use entrace_report::{Report, ReportOptions, compare as paired, terminal};
use std::io::Write;

pub(crate) fn compare(args: &CompareArgs) -> Result<Exit> {
    let mut runs = Vec::new();
    for dir in &args.runs {
        let reader = RunReader::open(dir)?;
        let name =
            dir.file_name().map_or_else(|| dir.display().to_string(), |n| n.to_string_lossy().into_owned());
        runs.push((name, Report::of_run(&reader, &ReportOptions::default())?.metrics));
    }
    let options = MetricOptions::default();
    let comparison = match &args.output_path {
        Some(out) => paired::write(&args.runs, out, &options).in_set_up()?,
        None => paired::of_dirs(&args.runs, &options).in_set_up()?,
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n{}", terminal::compare(&runs), terminal::comparison(&comparison))?;
    if let Some(dir) = &args.output_path {
        writeln!(out, "{}", dir.join("compare.html").display())?;
    }
    Ok(Exit::success())
}
