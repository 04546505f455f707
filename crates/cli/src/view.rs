//! `entrace view`: runs as a page in the browser, served until Ctrl-C or written into a file.

use crate::args::ViewArgs;
use crate::exit::{Exit, SetUp};
use crate::fault;
use crate::report::check_folder;
use anyhow::{Context, Result};
use entrace_view::{Server, View};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::{Arc, mpsc};

pub(crate) fn view(args: &ViewArgs) -> Result<Exit> {
    fault::doing("opening runs to view".to_string());
    args.runs.iter().try_for_each(|run| check_folder(run))?;
    match &args.export {
        Some(file) => export(args, file),
        None => serve(args),
    }
}

fn export(args: &ViewArgs, file: &Path) -> Result<Exit> {
    if file.is_dir() {
        return Err(SetUp(format!("--export {}: expected a file, found a folder", file.display())).into());
    }
    let page = entrace_view::export(&View::unread(&args.runs)?)?;
    entrace_record::file::write(file, page.as_bytes())?;
    writeln!(crate::terminal::stdout(), "{}", file.display())?;
    Ok(Exit::success())
}

fn serve(args: &ViewArgs) -> Result<Exit> {
    // Set before the link is printed, so that whoever reads it can end the server.
    let (ended, end) = mpsc::channel();
    ctrlc::set_handler(move || {
        // The receiver is gone only when the process ends anyway.
        let _ = ended.send(());
    })
    .context("Ctrl-C cannot be handled")?;
    let server = Server::start(Arc::new(View::open(&args.runs)?), args.port).map_err(of_port)?;
    writeln!(crate::terminal::stdout(), "{}", server.link())?;
    let mut notes = crate::terminal::stderr();
    if args.open
        && let Err(problem) = open::that_detached(server.link())
    {
        writeln!(notes, "No browser could be opened ({problem}); open the link yourself.")?;
    }
    writeln!(notes, "The page is served on this machine alone, until Ctrl-C.")?;
    end.recv()?;
    Ok(Exit::success())
}

/// A port that cannot be had is wrong usage.
fn of_port(error: entrace_view::Error) -> anyhow::Error {
    match &error {
        entrace_view::Error::Listen { source, .. }
            if matches!(source.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) =>
        {
            SetUp(format!("{error}; choose another --port, or leave it out for one that is free")).into()
        }
        _ => error.into(),
    }
}
