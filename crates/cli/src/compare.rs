//! `entrace compare`: runs side by side.

use crate::args::CompareArgs;
use crate::exit::Exit;
use anyhow::Result;
use entrace_record::RunReader;
use entrace_report::{Report, ReportOptions, terminal};
use std::io::Write;

pub(crate) fn compare(args: &CompareArgs) -> Result<Exit> {
    let mut runs = Vec::new();
    for dir in &args.runs {
        let reader = RunReader::open(dir)?;
        let name =
            dir.file_name().map_or_else(|| dir.display().to_string(), |n| n.to_string_lossy().into_owned());
        runs.push((name, Report::of_run(&reader, &ReportOptions::default())?.metrics));
    }
    writeln!(std::io::stdout().lock(), "{}", terminal::compare(&runs))?;
    Ok(Exit::success())
}
