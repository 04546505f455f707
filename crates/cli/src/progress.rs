//! What a person sees while entrace works, on standard error: a bar with the traces done, what is being done for the batch in hand and how far
//! that is, tokens per second, and the time left once there is something to tell it from.
//!
//! Where standard error is not a terminal, as in the log of a batch system, it is a line every now and then instead. With `--quiet` there is
//! neither, and no notes. Ctrl-C or SIGTERM asks the run to stop
//! after what is in hand; a second one ends the process at once.

use crate::{fault, terminal};
use entrace_remote::Standing;
use entrace_run::{Event, Observer};
use entrace_study::TaskProgress;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

static STOP: AtomicBool = AtomicBool::new(false);
static HANDLER: OnceLock<bool> = OnceLock::new();

/// Shows the progress of a run.
pub(crate) struct Progress {
    quiet: bool,
    shown: bool,
    bar: Option<ProgressBar>,
    task: Option<TaskProgress>,
    last_line: Instant,
    /// The state of the servers.
    standing: Option<Box<dyn Fn() -> Standing + Send + Sync>>,
}

/// How far a task is, how fast, and how long it will take, as far as that is known.
fn described(task: &TaskProgress, now: Instant) -> String {
    let mut parts = vec![format!("{} of {} traces", task.n_done, task.n_traces)];
    if let Some(phase) = &task.phase {
        parts.push(format!("{} {}/{}", phase.phase.name(), phase.n_done, phase.n));
        parts.extend(phase.tokens_per_sec(now).map(|rate| format!("{rate:.0} tokens/s")));
    }
    parts.extend(task.time_left(now).map(|left| format!("about {} left", HumanDuration(left))));
    parts.join(", ")
}

/// Time between lines of progress where there is no bar.
pub(crate) const BETWEEN_LINES: Duration = Duration::from_secs(30);

impl Progress {
    /// Watches for Ctrl-C and SIGTERM from now on. `standing` tells the state of servers.
    pub(crate) fn new(quiet: bool, standing: Option<Box<dyn Fn() -> Standing + Send + Sync>>) -> Self {
        HANDLER.get_or_init(|| ctrlc::set_handler(interrupt).is_ok());
        let shown = !quiet && std::io::stderr().is_terminal();
        let now = Instant::now();
        Self { quiet, shown, bar: None, task: None, last_line: now, standing }
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

    /// Shows how far the task is: in the bar, or in a line of its own every now and then.
    fn show(&mut self, now: Instant) {
        let Some(task) = &self.task else { return };
        let standing = || {
            self.standing.as_ref().map_or(String::new(), |standing| format!(", {}", standing().describe()))
        };
        if let Some(bar) = &self.bar {
            bar.set_position(task.n_done as u64);
            bar.set_message(described(task, now) + &standing());
        } else if !self.quiet && now.duration_since(self.last_line) >= BETWEEN_LINES {
            self.last_line = now;
            print_line(&format!("{}: {}{}", task.name, described(task, now), standing()));
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&mut self) {
        self.task = None;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether Ctrl-C was pressed or SIGTERM came.
pub(crate) fn stop_is_asked_for() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// A line on standard error.
pub(crate) fn print_line(text: &str) {
    // Standard error may be closed; the work continues.
    let _ = writeln!(terminal::stderr(), "{text}");
}

fn interrupt() {
    if STOP.swap(true, Ordering::SeqCst) {
        std::process::exit(130);
    }
    let _ = writeln!(std::io::stderr(), "\nstopping; press Ctrl-C again to stop at once");
}

impl Observer for Progress {
    fn event(&mut self, event: Event<'_>) {
        let now = Instant::now();
        match event {
            Event::TaskBegins { task, n_traces, n_done, n_rolled_out } => {
                if n_done > 0 {
                    self.note(&format!("{task}: {n_done} of {n_traces} traces were measured before"));
                }
                self.task = Some(TaskProgress::new(task, n_traces, n_done, n_rolled_out));
                self.bar = self.shown.then(|| bar(task, n_traces));
            }
            Event::TaskEnds => {
                fault::doing("putting the tables together".to_string());
                self.end();
            }
            Event::Warning(text) => self.note(text),
            Event::BatchBegins { first, last } => {
                let task = self.task.as_ref().map_or("", |task| task.name.as_str());
                fault::doing(format!("measuring {task}, questions {first} to {last}"));
            }
            event => self.task.iter_mut().for_each(|task| task.note(&event, now)),
        }
        self.show(now);
    }

    fn should_stop(&self) -> bool {
        stop_is_asked_for()
    }
}

fn bar(task: &str, n_traces: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(n_traces as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{prefix:<12} {bar:20} {elapsed}  {wide_msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(terminal::printable(task).into_owned());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrace_run::Phase;

    #[test]
    fn the_phase_moves_and_the_time_left_waits_for_the_first_traces() {
        let mut task = TaskProgress::new("svamp", 40, 8, 32);
        let began = task.began;
        let at = |secs: u64| began + Duration::from_secs(secs);
        assert_eq!(described(&task, at(0)), "8 of 40 traces");
        task.note(&Event::PhaseBegins { phase: Phase::Rollouts, n: 100 }, at(10));
        task.note(&Event::PhaseAdvances(30), at(12));
        task.note(&Event::PhaseGrows(4), at(12));
        task.note(&Event::Tokens(500), at(12));
        assert_eq!(described(&task, at(20)), "8 of 40 traces, rollouts 30/104, 50 tokens/s");
        task.note(&Event::TracesDone(16), at(60));
        assert_eq!(described(&task, at(60)), "24 of 40 traces, about 60 seconds left");
        assert_eq!(described(&task, at(90)), "24 of 40 traces, about 30 seconds left");
        // Later than was expected, nothing is known of the time left.
        assert_eq!(described(&task, at(500)), "24 of 40 traces");
    }
}
