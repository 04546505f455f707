//! What a person sees while entrace works, on standard error: a bar with the traces done, what is being done for the batch in hand and how far
//! that is, tokens per second, and the time left once there is something to tell it from.
//!
//! Where standard error is not a terminal, as in the log of a batch system, it is a line every now and then instead. With `--quiet` there is
//! neither, and no notes. Ctrl-C or SIGTERM asks the run to stop
//! after what is in hand; a second one ends the process at once.

use crate::{fault, terminal};
use anyhow::Result;
use entrace_remote::Standing;
use entrace_run::{Event, Observer, Phase};
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
    task: Option<TaskState>,
    last_line: Instant,
    /// Tells how things stand with servers.
    standing: Option<Box<dyn Fn() -> Standing + Send + Sync>>,
}

/// How far a task is.
struct TaskState {
    name: String,
    n_traces: usize,
    /// Traces done, in this sitting or before.
    n_done: usize,
    /// Traces done in this sitting.
    n_done_here: usize,
    began: Instant,
    /// When the last traces were done.
    last_done: Instant,
    phase: Option<PhaseState>,
}

/// How far the batch in hand is in what is done for it.
struct PhaseState {
    phase: Phase,
    n: usize,
    n_done: usize,
    n_tokens: usize,
    began: Instant,
}

impl TaskState {
    fn new(name: &str, n_traces: usize, n_done: usize) -> Self {
        let now = Instant::now();
        let name = name.to_string();
        Self { name, n_traces, n_done, n_done_here: 0, began: now, last_done: now, phase: None }
    }

    /// What is done, how far it is, how fast, and how long it will take, as far as that is known.
    fn describe(&self, now: Instant) -> String {
        let mut parts = vec![format!("{} of {} traces", self.n_done, self.n_traces)];
        if let Some(phase) = &self.phase {
            parts.push(format!("{} {}/{}", phase.phase.name(), phase.n_done, phase.n));
            let secs = now.duration_since(phase.began).as_secs_f64();
            if phase.n_tokens > 0 && secs > 0.1 {
                parts.push(format!("{:.0} tokens/s", phase.n_tokens as f64 / secs));
            }
        }
        parts.extend(self.left(now).map(|left| format!("about {} left", HumanDuration(left))));
        parts.join(", ")
    }

    /// Time left at the pace of the traces done so far; `None` before the first ones are.
    fn left(&self, now: Instant) -> Option<Duration> {
        if self.n_done_here == 0 || self.n_done >= self.n_traces {
            return None;
        }
        let of_one = self.last_done.duration_since(self.began).as_secs_f64() / self.n_done_here as f64;
        let rest = of_one * (self.n_traces - self.n_done) as f64;
        let left = rest - now.duration_since(self.last_done).as_secs_f64();
        (left > 0.0).then(|| Duration::from_secs_f64(left))
    }

    /// Takes note of an event within the task.
    fn note(&mut self, event: &Event<'_>, now: Instant) {
        match (event, &mut self.phase) {
            (Event::PhaseBegins { phase, n }, _) => {
                self.phase = Some(PhaseState { phase: *phase, n: *n, n_done: 0, n_tokens: 0, began: now });
            }
            (Event::PhaseAdvances(n), Some(phase)) => phase.n_done = (phase.n_done + n).min(phase.n),
            (Event::PhaseGrows(n), Some(phase)) => phase.n += n,
            (Event::Tokens(n), Some(phase)) => phase.n_tokens += n,
            (Event::TracesDone(n), _) => {
                self.n_done += n;
                self.n_done_here += n;
                self.last_done = now;
                self.phase = None;
            }
            _ => {}
        }
    }
}

/// Time between lines of progress where there is no bar.
pub(crate) const BETWEEN_LINES: Duration = Duration::from_secs(30);

impl Progress {
    /// Watches for Ctrl-C and SIGTERM from now on.
    pub(crate) fn new(quiet: bool) -> Result<Self> {
        HANDLER.get_or_init(|| ctrlc::set_handler(interrupt).is_ok());
        let shown = !quiet && std::io::stderr().is_terminal();
        let now = Instant::now();
        Ok(Self { quiet, shown, bar: None, task: None, last_line: now, standing: None })
    }

    /// The same, also telling how things stand with servers.
    pub(crate) fn watching(mut self, standing: Option<Box<dyn Fn() -> Standing + Send + Sync>>) -> Self {
        self.standing = standing;
        self
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
            bar.set_message(task.describe(now) + &standing());
        } else if !self.quiet && now.duration_since(self.last_line) >= BETWEEN_LINES {
            self.last_line = now;
            print_line(&format!("{}: {}{}", task.name, task.describe(now), standing()));
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

/// Whether Ctrl-C was pressed or SIGTERM came.
pub(crate) fn stop_is_asked_for() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// A line on standard error.
pub(crate) fn print_line(text: &str) {
    // Nobody may be listening on standard error; the work continues.
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
            Event::TaskBegins { task, n_traces, n_done } => {
                if n_done > 0 {
                    self.note(&format!("{task}: {n_done} of {n_traces} traces were measured before"));
                }
                self.task = Some(TaskState::new(task, n_traces, n_done));
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

    #[test]
    fn the_phase_moves_and_the_time_left_waits_for_the_first_traces() {
        let mut task = TaskState::new("svamp", 40, 8);
        let began = task.began;
        let at = |secs: u64| began + Duration::from_secs(secs);
        assert_eq!(task.describe(at(0)), "8 of 40 traces");
        task.note(&Event::PhaseBegins { phase: Phase::Rollouts, n: 100 }, at(10));
        task.note(&Event::PhaseAdvances(30), at(12));
        task.note(&Event::PhaseGrows(4), at(12));
        task.note(&Event::Tokens(500), at(12));
        assert_eq!(task.describe(at(20)), "8 of 40 traces, rollouts 30/104, 50 tokens/s");
        task.note(&Event::TracesDone(16), at(60));
        assert_eq!(task.describe(at(60)), "24 of 40 traces, about 60 seconds left");
        assert_eq!(task.describe(at(90)), "24 of 40 traces, about 30 seconds left");
        // Later than was expected, nothing is known of the time left.
        assert_eq!(task.describe(at(500)), "24 of 40 traces");
    }
}
