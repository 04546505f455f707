//! `entrace view`: runs as a page in the browser, served until Ctrl-C or written into a file.

use crate::exit::Exit;
use crate::fault;
use crate::report::check_folder;
use anyhow::{Context, Result};
use entrace_flags::{SetUp, ViewArgs};
use entrace_view::{Error, Server, View};
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
    let view = View::unread(&args.runs).map_err(of_view)?;
    let page = entrace_view::export(&view).map_err(of_view)?;
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
    let view = View::open(&args.runs).map_err(of_view)?;
    let server = Server::start(Arc::new(view), args.port).map_err(of_view)?;
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

/// What a view refuses is wrong usage, as is a port that is taken.
fn of_view(error: Error) -> anyhow::Error {
    match error {
        Error::Record(record) => record.into(),
        Error::Listen { ref source, .. }
            if matches!(source.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) =>
        {
            SetUp(format!("{error}; choose another --port, or leave it out for one that is free")).into()
        }
        Error::Listen { .. } | Error::Random(_) => error.into(),
        error => SetUp(error.to_string()).into(),
    }
}
