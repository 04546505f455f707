//! `entrace decide`: when a trace may be stopped, from a recorded run.

use crate::exit::Exit;
use crate::fault;
use anyhow::{Context, Result};
use entrace_decide::text;
use entrace_flags::DecideArgs;
use entrace_record::file;
use serde::Serialize;
use std::io::Write;
use std::path::Path;

pub(crate) fn decide(args: &DecideArgs) -> Result<Exit> {
    fault::doing(format!("deciding on {}", args.run.display()));
    let reader = crate::report::open(&args.run)?;
    let decision = entrace_decide::decide(&reader, &args.options())?;
    let folder = args.output_path.as_deref().unwrap_or(&args.run);
    let mut out = crate::terminal::stdout();
    write!(out, "{}", text::decision(&decision))?;
    if let Some(votes) = &decision.votes {
        write!(out, "{}", text::votes(votes))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
    write_json(&folder.join("decide.json"), &decision, &mut out)?;
    match &decision.rule {
        Some(rule) => {
            write_json(&folder.join("rule.json"), rule, &mut out)?;
            Ok(Exit::success())
        }
        None => Ok(Exit::with_failures()),
    }
}

fn write_json(path: &Path, value: &impl Serialize, out: &mut impl Write) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    file::write(path, &bytes)?;
    writeln!(out, "{}", path.display())?;
    Ok(())
}
