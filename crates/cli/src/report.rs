//! `entrace report`: the report of a run folder, made again from its record.

use crate::exit::Exit;
use crate::fault;
use anyhow::{Result, anyhow};
use entrace_flags::{ReportArgs, SetUp};
use entrace_record::RunReader;
use entrace_report::metrics::Metrics;
use entrace_report::{Report, ReportOptions, markdown, terminal, write_report};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;

pub(crate) fn report(args: &ReportArgs) -> Result<Exit> {
    fault::doing(format!("making the report of {}", args.run.display()));
    // Opened here first, so that a folder without a run counts as wrong usage.
    let reader = open(&args.run)?;
    let report = write_report(&args.run, &ReportOptions::default()).map_err(not_allowed)?;
    let exit = if args.markdown {
        write!(crate::terminal::stdout(), "{}", markdown::results(&report.metrics))?;
        exit_of(&report.metrics)
    } else {
        print(&report, &args.run, false)?;
        exit_of(&report.metrics)
    };
    if args.precomputed_scores {
        let path = args.run.join("precomputed_scores.jsonl");
        let lines = entrace_decide::confidence::precomputed_scores(&reader, None)?;
        entrace_record::file::write(&path, lines.as_bytes())?;
        writeln!(crate::terminal::stdout(), "{}", path.display())?;
    }
    Ok(exit)
}

/// Prints the results of a run and where its page is.
pub(crate) fn print(report: &Report, dir: &Path, quiet: bool) -> std::io::Result<()> {
    let mut out = crate::terminal::stdout();
    writeln!(out, "{}", terminal::results(&report.metrics, terminal_width()))?;
    if !quiet {
        writeln!(out, "{}", dir.join("report.html").display())?;
    }
    Ok(())
}

/// Whether items failed, or nothing at all was measured though something was to be. A trace that is skipped, as one without tokens is, is no
/// failure.
pub(crate) fn exit_of(metrics: &Metrics) -> Exit {
    let totals = metrics.totals();
    let is_empty = if metrics.measures_nothing() { totals.traces == 0 } else { totals.measured == 0 };
    if totals.failed + totals.bad_lines > 0 || is_empty { Exit::with_failures() } else { Exit::success() }
}

/// Columns of the terminal; `None` where the output goes elsewhere.
pub(crate) fn terminal_width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

/// Says where a report goes, to who may not write there: this command has no --output-path.
fn not_allowed(error: entrace_report::Error) -> anyhow::Error {
    match error {
        entrace_report::Error::Record(entrace_record::Error::Io { action, path, source })
            if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
        {
            anyhow!(
                "could not {action} {}: {source}; a report lies beside its record, so copy the run folder to where you \
                 may write",
                path.display()
            )
        }
        other => other.into(),
    }
}

/// Opens the run folder that an argument names; a file gets a message of its own.
pub(crate) fn open(run: &Path) -> Result<RunReader> {
    check_folder(run)?;
    Ok(RunReader::open(run)?)
}

/// An error where a run is named by a file.
pub(crate) fn check_folder(run: &Path) -> Result<()> {
    if run.is_file() {
        return Err(SetUp(format!("{} is a file; {}", run.display(), folder_to_name(run))).into());
    }
    Ok(())
}

/// Which folder to name in place of a file.
fn folder_to_name(file: &Path) -> String {
    match file.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }) {
        Some(folder) if RunReader::open(folder).is_ok() => {
            format!("name the run folder that it lies in: {}", folder.display())
        }
        _ => "name a run folder, which is what `entrace run` and `entrace score` write".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_read_only_is_to_be_copied() {
        let refused = |kind: ErrorKind| {
            let (path, source) = ("run/metrics.json".into(), std::io::Error::from(kind));
            let error = entrace_record::Error::Io { action: "create", path, source };
            not_allowed(error.into()).to_string()
        };
        let said = refused(ErrorKind::PermissionDenied);
        assert!(said.contains("run/metrics.json") && said.contains("copy the run folder"), "{said}");
        assert!(!said.contains("--output-path"), "{said}");
        assert!(refused(ErrorKind::StorageFull).contains("free some space"));
    }
}
