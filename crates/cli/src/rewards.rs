//! `entrace rewards`: what each step of recorded traces was worth, as a trainer reads it.

use crate::exit::Exit;
use crate::fault;
use anyhow::Result;
use entrace_decide::rewards::{Reward, rewards};
use entrace_decide::text;
use entrace_flags::{RewardsArgs, SetUp};
use entrace_record::file::Unfinished;
use std::io::Write;
use std::path::Path;

pub(crate) fn write(args: &RewardsArgs) -> Result<Exit> {
    fault::doing(format!("making rewards of {}", args.run.display()));
    let reader = crate::report::open(&args.run)?;
    let writing = args.writing();
    let name = format!("rewards_{}.jsonl", writing.format.name());
    let path = args.output_path.clone().unwrap_or_else(|| args.run.join(name));
    let mut file = Unfinished::create(&path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let rewards = rewards(&reader, args.task.as_deref(), &writing, folder, |line| file.write(line))?;
    let n_lines = rewards.n_traces - rewards.n_without;
    if n_lines == 0 && writing.reward == Reward::Importance {
        let how = "entrace intervene RUN --kinds resample --readings rollout";
        let problem = format!("no step has an importance that was measured; `{how}` measures it");
        return Err(SetUp(problem).into());
    }
    file.publish()?;
    let mut out = crate::terminal::stdout();
    write!(out, "{}", text::rewards(&rewards))?;
    writeln!(out, "{}", path.display())?;
    Ok(if n_lines == 0 { Exit::with_failures() } else { Exit::success() })
}
