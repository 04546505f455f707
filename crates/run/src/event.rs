//! What an observer is told during a run.

/// What is being done for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The model writes traces.
    Traces,
    /// Beliefs are asked for at prefixes, those of controls among them.
    Prefixes,
    /// The model continues from prefixes to an answer.
    Rollouts,
    /// Signals are measured that were asked for.
    Signals,
}

impl Phase {
    /// What is being done, in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Traces => "writing traces",
            Self::Prefixes => "measuring prefixes and controls",
            Self::Rollouts => "rollouts",
            Self::Signals => "signals",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A task begins; some of its traces may have been measured in an earlier sitting.
    TaskBegins {
        /// Its name.
        task: &'a str,
        /// Traces in all.
        n_traces: usize,
        /// Traces that were measured before.
        n_done: usize,
        /// Of those that are left, traces with rollouts beside the estimator.
        n_rolled_out: usize,
    },
    /// A batch begins.
    BatchBegins {
        /// The identifier of its first question.
        first: &'a str,
        /// The identifier of its last question.
        last: &'a str,
    },
    /// A phase of a batch begins.
    PhaseBegins {
        /// What is done.
        phase: Phase,
        /// How many there are: traces, prefixes, draws, or groups of signals.
        n: usize,
    },
    /// So many of a phase are done.
    PhaseAdvances(usize),
    /// There are so many more in the phase than was said.
    PhaseGrows(usize),
    /// Tokens were generated or scored.
    Tokens(usize),
    /// Traces were measured, skipped or failed, and written.
    TracesDone(usize),
    /// A task is complete.
    TaskEnds,
    /// Something the user should know.
    Warning(&'a str),
}

/// Nobody watches.
impl Observer for () {
    fn event(&mut self, _: Event<'_>) {}

    fn should_stop(&self) -> bool {
        false
    }
}

/// Watches a run and may stop it.
pub trait Observer {
    /// Takes note of an event.
    fn event(&mut self, event: Event<'_>);
    /// Whether to stop as soon as possible.
    fn should_stop(&self) -> bool;
}
