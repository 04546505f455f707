//! `entrace completions SHELL`: a script that completes commands, flags and values, made of the definitions that parse them.

use crate::exit::Exit;
use anyhow::Result;
use entrace_flags::CompletionsArgs;
use std::io::Write;

pub(crate) fn completions(args: &CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut entrace_flags::command(), "entrace", &mut script);
    crate::terminal::stdout().write_all(&script)?;
    Ok(Exit::success())
}
