//! `entrace doctor`: what a model is, and whether its numbers agree with themselves.
//!
//! A model whose tokenizer or chat template cannot be used is refused as `entrace run` refuses it. Of a model behind servers it prints what was
//! found out about them, as the beginning of every run finds out.

use crate::console::Console;
use crate::exit::Exit;
use crate::terminal::shortened;
use anyhow::Result;
use entrace_flags::DoctorArgs;
use entrace_study::check::Subject;
use entrace_study::{Model, ModelOptions, Remotes, remotes};
use std::io::Write;

pub(crate) fn doctor(args: &DoctorArgs) -> Result<Exit> {
    let (options, console) = (args.model.options(), Console::new(false));
    if let Some(servers) = remotes(&options, &console)? {
        return describe_servers(&options, &servers, &console);
    }
    let subject = Subject::open(&options, &console)?;
    let mut out = crate::terminal::stdout();
    for (name, found) in subject.facts() {
        writeln!(out, "{name:<15} {}", shortened(&found))?;
    }
    let mut all_pass = true;
    for ((name, found), passes) in subject.check()? {
        writeln!(out, "{name:<15} {found}")?;
        all_pass &= passes;
    }
    Ok(if all_pass { Exit::success() } else { Exit::with_failures() })
}

/// What servers can do, and what they cannot.
fn describe_servers(options: &ModelOptions, servers: &Remotes, console: &Console) -> Result<Exit> {
    let model = Model::connect(options, servers, console)?;
    let Some(profile) = model.profile() else { return Ok(Exit::with_failures()) };
    let mut out = crate::terminal::stdout();
    for (name, found) in profile.named() {
        writeln!(out, "{name:<15} {found}")?;
    }
    for lack in profile.lacks() {
        writeln!(out, "lacks           {lack}")?;
    }
    Ok(if profile.scores() || profile.draws() { Exit::success() } else { Exit::with_failures() })
}
