//! What a person sees while entrace works: a bar with traces done, tokens per second and time left, on standard error.
//!
//! Where standard error is not a terminal, as in the log of a batch system, it is a line every now and then instead. With `--quiet` there is
//! neither, and no notes. Ctrl-C asks the run to stop
//! after what is in hand; a second one ends the process at once.

use anyhow::Result;
use entrace_run::{Event, Observer};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

static STOP: AtomicBool = AtomicBool::new(false);
static HANDLER: OnceLock<bool> = OnceLock::new();

/// Shows how a run goes on.
pub(crate) struct Progress {
    quiet: bool,
    shown: bool,
    bar: Option<ProgressBar>,
    n_tokens: u64,
    since: Instant,
    last_line: Instant,
}

/// Time between lines of progress where there is no bar.
const BETWEEN_LINES: Duration = Duration::from_secs(30);

impl Progress {
    /// Watches for Ctrl-C from now on.
    pub(crate) fn new(quiet: bool) -> Result<Self> {
        HANDLER.get_or_init(|| ctrlc::set_handler(interrupt).is_ok());
        let shown = !quiet && std::io::stderr().is_terminal();
        let now = Instant::now();
        Ok(Self { quiet, shown, bar: None, n_tokens: 0, since: now, last_line: now })
    }

    /// A line for the user.
    pub(crate) fn note(&self, text: &str) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| print_line(&format!("note: {text}"))),
            None => print_line(&format!("note: {text}")),
        }
    }

    /// What the bar would show, in a line of its own.
    fn line_now_and_then(&mut self) {
        let Some(bar) = self.bar.as_ref().filter(|_| !self.shown && !self.quiet) else { return };
        if self.last_line.elapsed() < BETWEEN_LINES {
            return;
        }
        self.last_line = Instant::now();
        let (task, done, all) = (bar.prefix(), bar.position(), bar.length().unwrap_or_default());
        let (rate, left) = (bar.message(), HumanDuration(bar.eta()));
        print_line(&format!("{task}: {done} of {all} traces, {rate}, about {left} left"));
    }

    /// Takes the bar away.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Whether Ctrl-C was pressed.
pub(crate) fn stop_is_asked_for() -> bool {
    STOP.load(Ordering::SeqCst)
}

fn print_line(text: &str) {
    // Nobody may be listening on standard error; the work goes on.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn interrupt() {
    if STOP.swap(true, Ordering::SeqCst) {
        std::process::exit(130);
    }
    let _ = writeln!(std::io::stderr(), "\nstopping; press Ctrl-C again to stop at once");
}

impl Observer for Progress {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::TaskBegins { task, n_traces, n_done } => {
                let target =
                    if self.shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
                let bar = ProgressBar::with_draw_target(Some(n_traces as u64), target);
                let style = "{prefix:<16} {wide_bar} {pos}/{len} traces  {msg}  {elapsed} + {eta}";
                if let Ok(style) = ProgressStyle::with_template(style) {
                    bar.set_style(style);
                }
                bar.set_prefix(task.to_string());
                bar.set_position(n_done as u64);
                bar.reset_eta();
                (self.n_tokens, self.since) = (0, Instant::now());
                if n_done > 0 {
                    self.note(&format!("{task}: {n_done} of {n_traces} traces were measured before"));
                }
                self.bar = Some(bar);
            }
            Event::Tokens(n) => {
                self.n_tokens += n as u64;
                if let Some(bar) = &self.bar {
                    let rate = self.n_tokens as f64 / self.since.elapsed().as_secs_f64().max(0.1);
                    bar.set_message(format!("{rate:.0} tokens/s"));
                    bar.tick();
                }
            }
            Event::TracesDone(n) => {
                if let Some(bar) = &self.bar {
                    bar.inc(n as u64);
                }
                self.line_now_and_then();
            }
            Event::TaskEnds => self.end(),
            Event::Warning(text) => self.note(text),
        }
    }

    fn should_stop(&self) -> bool {
        stop_is_asked_for()
    }
}
