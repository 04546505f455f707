//! `entrace rewards`: what each step of recorded traces was worth, as a trainer reads it.

use crate::exit::Exit;
use crate::fault;
use anyhow::Result;
use entrace_decide::rewards::format::lines;
use entrace_decide::rewards::{Reward, rewards};
use entrace_decide::text;
use entrace_flags::{RewardsArgs, SetUp};
use entrace_record::file;
use std::io::Write;

pub(crate) fn write(args: &RewardsArgs) -> Result<Exit> {
    fault::doing(format!("making rewards of {}", args.run.display()));
    let reader = crate::report::open(&args.run)?;
    let rewards = rewards(&reader, args.task.as_deref())?;
    let writing = args.writing();
    let (lines, n_without) = lines(&rewards, &writing)?;
    if lines.is_empty() && writing.reward == Reward::Importance {
        let how = "entrace intervene RUN --kinds resample --readings rollout";
        let problem = format!("no step has an importance that was measured; `{how}` measures it");
        return Err(SetUp(problem).into());
    }
    let name = format!("rewards_{}.jsonl", writing.format.name());
    let path = args.output_path.clone().unwrap_or_else(|| args.run.join(name));
    file::write(&path, lines.as_bytes())?;
    let mut out = crate::terminal::stdout();
    write!(out, "{}", text::rewards(&rewards, n_without))?;
    writeln!(out, "{}", path.display())?;
    Ok(if lines.is_empty() { Exit::with_failures() } else { Exit::success() })
}
