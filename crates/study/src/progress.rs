//! How far a task is, how fast, and how long it will take: what the events of a run say, for a program that shows it.

use entrace_run::{Event, Phase};
use std::time::{Duration, Instant};

/// How far a task is.
#[derive(Debug)]
pub struct TaskProgress {
    /// Its name.
    pub name: String,
    /// Its traces.
    pub n_traces: usize,
    /// Traces done, in this sitting or before.
    pub n_done: usize,
    /// What is done for the batch in hand.
    pub phase: Option<PhaseProgress>,
    /// When it began.
    pub began: Instant,
    /// Traces done in this sitting.
    n_done_here: usize,
    /// When the last traces were done.
    last_done: Instant,
}

/// How far the batch in hand is in what is done for it.
#[derive(Debug)]
pub struct PhaseProgress {
    /// What is done.
    pub phase: Phase,
    /// How many there are.
    pub n: usize,
    /// How many are done.
    pub n_done: usize,
    n_tokens: usize,
    began: Instant,
}

impl PhaseProgress {
    /// Tokens per second; `None` before there is anything to tell it from.
    pub fn tokens_per_sec(&self, now: Instant) -> Option<f64> {
        let secs = now.duration_since(self.began).as_secs_f64();
        (self.n_tokens > 0 && secs > 0.1).then(|| self.n_tokens as f64 / secs)
    }
}

impl TaskProgress {
    /// A task of `n_traces` of which `n_done` were measured before.
    pub fn new(name: &str, n_traces: usize, n_done: usize) -> Self {
        let now = Instant::now();
        let name = name.to_string();
        Self { name, n_traces, n_done, phase: None, n_done_here: 0, began: now, last_done: now }
    }

    /// Time left at the pace of the traces done so far; `None` before the first ones are.
    pub fn time_left(&self, now: Instant) -> Option<Duration> {
        if self.n_done_here == 0 || self.n_done >= self.n_traces {
            return None;
        }
        let of_one = self.last_done.duration_since(self.began).as_secs_f64() / self.n_done_here as f64;
        let rest = of_one * (self.n_traces - self.n_done) as f64;
        let left = rest - now.duration_since(self.last_done).as_secs_f64();
        (left > 0.0).then(|| Duration::from_secs_f64(left))
    }

    /// Takes note of an event within the task.
    pub fn note(&mut self, event: &Event<'_>, now: Instant) {
        match (event, &mut self.phase) {
            (Event::PhaseBegins { phase, n }, _) => {
                self.phase = Some(PhaseProgress { phase: *phase, n: *n, n_done: 0, n_tokens: 0, began: now });
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
