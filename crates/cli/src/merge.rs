//! `entrace merge`: the shards of a run become one.

use crate::exit::Exit;
use crate::report;
use anyhow::Result;
use entrace_flags::{MergeArgs, SetUp};
use entrace_record::merge::{Shards, ranges, shard_folders};
use std::io::Write;
use std::path::PathBuf;

pub(crate) fn merge(args: &MergeArgs) -> Result<Exit> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for run in &args.runs {
        folders.extend(shard_folders(run)?);
    }
    let shards = Shards::read(&folders)?;
    if args.check {
        let missing = shards.missing()?;
        if missing.is_empty() {
            return Ok(Exit::success());
        }
        writeln!(crate::terminal::stdout(), "{}", ranges(&missing))?;
        return Ok(Exit::with_failures());
    }
    let holds_shards = |run: &&PathBuf| args.runs.len() == 1 && !folders.contains(run);
    let out = args.output_path.as_ref().or(args.runs.first().filter(holds_shards));
    let out = out.ok_or_else(|| SetUp("--output-path is missing: a folder for the whole run".into()))?;
    let mut writer = shards.merge(out)?;
    let report = entrace_study::write_outputs(&mut writer, None)?;
    report::print(&report, writer.dir(), args.quiet)?;
    Ok(report::exit_of(&report.metrics))
}
