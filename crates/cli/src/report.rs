//! `entrace report`: the report of a run folder, made again from its record.

use crate::args::ReportArgs;
use crate::exit::Exit;
use crate::outputs::{exit_of, terminal_width};
use anyhow::Result;
use entrace_record::RunReader;
use entrace_report::{ReportOptions, markdown, terminal, write_report};
use std::io::Write;

pub(crate) fn report(args: &ReportArgs) -> Result<Exit> {
    // Opened here first, so that a folder without a run counts as wrong usage.
    RunReader::open(&args.run)?;
    let report = write_report(&args.run, &ReportOptions::default())?;
    let mut out = std::io::stdout().lock();
    if args.markdown {
        write!(out, "{}", markdown::results(&report.metrics))?;
    } else {
        writeln!(out, "{}", terminal::results(&report.metrics, terminal_width()))?;
        writeln!(out, "{}", args.run.join("report.html").display())?;
    }
    Ok(exit_of(&report.metrics))
}
