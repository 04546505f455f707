//! `entrace ls`: what is built in.

use crate::args::{Listing, LsArgs};
use crate::exit::Exit;
use anyhow::Result;
use entrace_measure::signal::{SIGNALS, Signal};
use std::io::Write;

pub(crate) fn ls(args: &LsArgs) -> Result<Exit> {
    let rows: Vec<[String; 2]> = match args.what {
        Listing::Tasks => {
            let tasks = entrace_datasets::task::registry().iter();
            tasks
                .map(|t| [t.name.to_string(), format!("{} ({}; {})", t.description, t.hub_repo, t.citation)])
                .collect()
        }
        Listing::Architectures => {
            let gguf = |f: &entrace_decoder::arch::Family| if f.gguf.is_some() { "; also GGUF" } else { "" };
            let families = entrace_decoder::arch::FAMILIES.iter();
            families.map(|f| [f.model_type.to_string(), format!("{}{}", f.models, gguf(f))]).collect()
        }
        Listing::Estimators => {
            ESTIMATORS.iter().map(|[name, what]| [name.to_string(), what.to_string()]).collect()
        }
        Listing::Signals => signals(),
    };
    let width = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    for [name, what] in rows {
        writeln!(out, "{name:<width$}  {what}")?;
    }
    Ok(Exit::success())
}

const ESTIMATORS: [[&str; 2]; 5] = [
    ["auto", "choices where the question lists options, else enumerate"],
    ["choices", "forced: log-probability of every listed option after prefix and cue, renormalised"],
    [
        "enumerate",
        "forced: best-first expansion of answer strings after prefix and cue; certified entropy interval",
    ],
    ["sample", "forced: m sampled answers after prefix and cue"],
    ["rollout", "m sampled continuations to the end of the trace, each read for its final answer"],
];

fn signals() -> Vec<[String; 2]> {
    let needs =
        |signal: &Signal| signal.needs.iter().map(|input| input.name()).collect::<Vec<_>>().join(", ");
    let row = |signal: &Signal| {
        let what = format!("{} level; from {}; {}", signal.level.name(), needs(signal), signal.source);
        [signal.name.to_string(), what]
    };
    SIGNALS.iter().map(row).collect()
}
