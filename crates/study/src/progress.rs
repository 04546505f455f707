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
    rollouts: Rollouts,
}

/// Rollouts are of the first questions only, and take longer than all else: their time is reckoned by itself.
#[derive(Debug)]
struct Rollouts {
    /// Traces that they are still to be made of.
    n_left: usize,
    /// Traces that they were made of in this sitting.
    n_done: usize,
    /// What those took.
    took: Duration,
    /// When those of the batch in hand began.
    began: Option<Instant>,
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
    /// A task of `n_traces` of which `n_done` were measured before, and `n_rolled_out` of the others have rollouts.
    pub fn new(name: &str, n_traces: usize, n_done: usize, n_rolled_out: usize) -> Self {
        let now = Instant::now();
        let name = name.to_string();
        let rollouts = Rollouts { n_left: n_rolled_out, n_done: 0, took: Duration::ZERO, began: None };
        Self { name, n_traces, n_done, phase: None, n_done_here: 0, began: now, last_done: now, rollouts }
    }

    /// Time left at the pace of the traces done so far; `None` before the first ones are.
    pub fn time_left(&self, now: Instant) -> Option<Duration> {
        if self.n_done_here == 0 || self.n_done >= self.n_traces {
            return None;
        }
        let of_all = |secs: f64, n_done: usize, n_left: usize| secs / n_done.max(1) as f64 * n_left as f64;
        let rollouts = &self.rollouts;
        let measuring = (self.last_done.duration_since(self.began) - rollouts.took).as_secs_f64();
        let rest = of_all(measuring, self.n_done_here, self.n_traces - self.n_done)
            + of_all(rollouts.took.as_secs_f64(), rollouts.n_done, rollouts.n_left);
        let left = rest - now.duration_since(self.last_done).as_secs_f64();
        (left > 0.0).then(|| Duration::from_secs_f64(left))
    }

    /// Takes note of an event within the task.
    pub fn note(&mut self, event: &Event<'_>, now: Instant) {
        self.rollouts.note(event, now);
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

impl Rollouts {
    fn note(&mut self, event: &Event<'_>, now: Instant) {
        match event {
            Event::PhaseBegins { phase: Phase::Rollouts, .. } => self.began = Some(now),
            Event::TracesDone(n) => {
                if let Some(began) = self.began.take() {
                    let n_done = self.n_left.min(*n);
                    self.n_left -= n_done;
                    self.n_done += n_done;
                    self.took += now.duration_since(began);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollouts_that_are_over_take_no_more_time() {
        let mut task = TaskProgress::new("svamp", 64, 0, 24);
        let began = task.began;
        let at = |secs: u64| began + Duration::from_secs(secs);
        // A batch of 16 takes 20 s, and 80 s more for its rollouts.
        task.note(&Event::PhaseBegins { phase: Phase::Rollouts, n: 640 }, at(20));
        task.note(&Event::TracesDone(16), at(100));
        assert_eq!(task.time_left(at(100)), Some(Duration::from_secs(60 + 40)));
        task.note(&Event::PhaseBegins { phase: Phase::Rollouts, n: 320 }, at(120));
        task.note(&Event::TracesDone(16), at(160));
        assert_eq!(task.time_left(at(160)), Some(Duration::from_secs(40)));
        assert_eq!(task.time_left(at(170)), Some(Duration::from_secs(30)));
    }
}
