//! `entrace man [DIR]`: manual pages, made of the definitions that parse the command line.
//!
//! Without a folder the page of the program goes to standard output. With one it gets a page for each command: `entrace.1`, `entrace-run.1`,
//! `entrace-train-mle.1` and so on. The sections are those of clap_mangen, but for what stands below the program's help, which has headings of
//! its own here.

use crate::exit::Exit;
use anyhow::{Context, Result};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use entrace_flags::{ENVIRONMENT, EXIT_CODES, ManArgs};
use std::io::{self, Write};
use std::path::Path;

pub(crate) fn man(args: &ManArgs) -> Result<Exit> {
    let mut program = entrace_flags::command().disable_help_subcommand(true);
    program.build();
    let mut out = crate::terminal::stdout();
    match &args.folder {
        None => out.write_all(&page(&program)?)?,
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            write_pages(&program, folder)?;
            writeln!(out, "{}", folder.join(file_name(&program)).display())?;
        }
    }
    Ok(Exit::success())
}

/// Writes the pages of a command and of those below it.
fn write_pages(command: &clap::Command, folder: &Path) -> Result<()> {
    let path = folder.join(file_name(command));
    std::fs::write(&path, page(command)?).with_context(|| format!("cannot write {}", path.display()))?;
    command.get_subcommands().try_for_each(|below| write_pages(below, folder))
}

fn file_name(command: &clap::Command) -> String {
    Man::new(command.clone()).get_filename()
}

/// The manual page of a command.
fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let man =
        Man::new(command.clone()).manual("entrace").source(concat!("entrace ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut closing = Roff::new();
    for (heading, text) in [("EXIT STATUS", EXIT_CODES), ("ENVIRONMENT", ENVIRONMENT)] {
        closing.control("SH", [heading]).text([roman(text)]);
    }
    closing.to_writer(&mut page)?;
    Ok(page)
}
