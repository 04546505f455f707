//! What an onlooker is told while a run goes on.

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
    },
    /// Tokens were generated or scored.
    Tokens(usize),
    /// Traces were measured, skipped or failed, and written.
    TracesDone(usize),
    /// A task is complete.
    TaskEnds,
    /// Something the user should know.
    Warning(&'a str),
}

/// Somebody who watches a run and may stop it.
pub trait Observer {
    /// Takes note of an event.
    fn event(&mut self, event: Event<'_>);
    /// Whether to stop as soon as possible.
    fn should_stop(&self) -> bool;
}
