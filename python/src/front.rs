//! What a command that runs in a thread of its own tells the thread that called it: notes, how far it is, and whether it is to stop.

use crate::engine;
use entrace_cli::Front;
use entrace_hub::Event as Download;
use entrace_run::{Event, Observer};
use entrace_study::{BuiltIn, Error, Host, Model, OwnEngine, TaskProgress};
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The caller of a command.
pub(crate) struct Caller {
    argv: Vec<String>,
    stop: AtomicBool,
    state: Mutex<State>,
    engine: Option<(String, Py<PyAny>)>,
}

#[derive(Default)]
struct State {
    notes: Vec<String>,
    task: Option<TaskProgress>,
    download: Option<(String, u64, u64)>,
}

/// How far a command is: what it works on, how much of it is done, how much there is, and what is being done.
pub(crate) type Shown = (String, u64, u64, String);

impl Caller {
    /// The caller of a command line, with the engine that it brings along under a name.
    pub(crate) fn new(argv: Vec<String>, engine: Option<(String, Py<PyAny>)>) -> Self {
        Self { argv, stop: AtomicBool::new(false), state: Mutex::default(), engine }
    }

    /// Asks the command to stop.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// What there is to show: notes since the last time, and how far the work is.
    pub(crate) fn news(&self) -> (Vec<String>, Option<Shown>) {
        let mut state = self.state();
        let notes = std::mem::take(&mut state.notes);
        let now = Instant::now();
        let of_task = state.task.as_ref().map(|task| shown(task, now));
        let of_download =
            state.download.as_ref().map(|(name, done, all)| (name.clone(), *done, *all, "bytes".into()));
        (notes, of_download.or(of_task))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(task: &TaskProgress, now: Instant) -> Shown {
    let doing = task.phase.as_ref().map(|phase| {
        let rate = phase.tokens_per_sec(now).map_or_else(String::new, |rate| format!(", {rate:.0} tokens/s"));
        format!("{} {}/{}{rate}", phase.phase.name(), phase.n_done, phase.n)
    });
    (task.name.clone(), task.n_done as u64, task.n_traces as u64, doing.unwrap_or_default())
}

impl Front for Caller {
    fn host(&self, quiet: bool) -> Box<dyn Host + '_> {
        Box::new(Told { caller: self, quiet })
    }

    fn observer(&self, quiet: bool, _: &Model) -> Box<dyn Observer + '_> {
        Box::new(Told { caller: self, quiet })
    }

    fn command_line(&self) -> Vec<String> {
        self.argv.clone()
    }
}

/// The caller, who with `quiet` is told nothing.
struct Told<'c> {
    caller: &'c Caller,
    quiet: bool,
}

impl Host for Told<'_> {
    fn built_in(&self, name: &str) -> Result<Option<BuiltIn>, Error> {
        entrace_cli::sprout::built_in(name)
    }

    fn engine(&self, name: &str) -> Result<Option<Box<dyn OwnEngine>>, Error> {
        match &self.caller.engine {
            Some((known, object)) if known == name => engine::open(object).map(Some),
            _ => Ok(None),
        }
    }

    fn note(&self, text: &str) {
        if !self.quiet {
            self.caller.state().notes.push(text.to_string());
        }
    }

    fn downloads(&self) -> &dyn entrace_hub::Observer {
        self
    }
}

impl entrace_hub::Observer for Told<'_> {
    fn event(&self, event: Download<'_>) {
        if self.quiet {
            return;
        }
        let mut state = self.caller.state();
        match (event, &mut state.download) {
            (Download::Begins { repo, n_bytes, .. }, download) => {
                *download = Some((repo.to_string(), 0, n_bytes))
            }
            (Download::Received(n), Some((_, done, _))) => *done += n,
            (Download::Lost(n), Some((_, done, _))) => *done = done.saturating_sub(n),
            (Download::Note(text), _) => state.notes.push(text.to_string()),
            (Download::Ends, download) => *download = None,
            _ => {}
        }
    }
}

impl Observer for Told<'_> {
    fn event(&mut self, event: Event<'_>) {
        if self.quiet {
            return;
        }
        let now = Instant::now();
        match event {
            Event::TaskBegins { task, n_traces, n_done, n_rolled_out } => {
                if n_done > 0 {
                    self.note(&format!("{task}: {n_done} of {n_traces} traces were measured before"));
                }
                self.caller.state().task = Some(TaskProgress::new(task, n_traces, n_done, n_rolled_out));
            }
            Event::TaskEnds => self.caller.state().task = None,
            Event::Warning(text) => self.note(text),
            event => self.caller.state().task.iter_mut().for_each(|task| task.note(&event, now)),
        }
    }

    fn should_stop(&self) -> bool {
        self.caller.is_stopped()
    }
}
