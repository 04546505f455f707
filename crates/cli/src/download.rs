//! What a person sees while files come from the Hub: a bar with bytes, their rate and the time left, on standard error.
//!
//! As with the bar of a run, there are lines instead where standard error is not a terminal, and with `--quiet` neither.

use crate::progress::{BETWEEN_LINES, print_line};
use entrace_hub::{Event, Observer};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Shows the progress of a download.
pub(crate) struct Download {
    quiet: bool,
    shown: bool,
    state: Mutex<State>,
}

struct State {
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Download {
    pub(crate) fn new(quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        Self { quiet, shown, state: Mutex::new(State { bar: None, last_line: Instant::now() }) }
    }

    fn begin(&self, repo: &str, n_files: usize, n_bytes: u64) -> ProgressBar {
        let target = if self.shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(n_bytes), target);
        let style = "{prefix} {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {elapsed} + {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_prefix(crate::terminal::printable(repo).into_owned());
        if !self.shown && !self.quiet {
            print_line(&format!("downloading {repo}: {n_files} file(s), {}", HumanBytes(n_bytes)));
        }
        bar
    }

    fn line_now_and_then(&self, state: &mut State) {
        let Some(bar) = state.bar.as_ref().filter(|_| !self.shown && !self.quiet) else { return };
        if state.last_line.elapsed() < BETWEEN_LINES {
            return;
        }
        state.last_line = Instant::now();
        let (done, all) = (HumanBytes(bar.position()), HumanBytes(bar.length().unwrap_or_default()));
        print_line(&format!("{}: {done} of {all}, about {} left", bar.prefix(), HumanDuration(bar.eta())));
    }
}

impl Observer for Download {
    fn event(&self, event: Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (event, state.bar.clone()) {
            (Event::Begins { repo, n_files, n_bytes }, _) => {
                state.bar = Some(self.begin(repo, n_files, n_bytes));
                state.last_line = Instant::now();
            }
            (Event::Received(n), Some(bar)) => {
                bar.inc(n);
                self.line_now_and_then(&mut state);
            }
            (Event::Lost(n), Some(bar)) => {
                // What an earlier command had left was not counted.
                let done = bar.position();
                bar.set_position(done.saturating_sub(n));
                bar.inc_length(n.saturating_sub(done));
            }
            (Event::Note(_), _) if self.quiet => {}
            (Event::Note(text), Some(bar)) => bar.suspend(|| print_line(&format!("note: {text}"))),
            (Event::Note(text), None) => print_line(&format!("note: {text}")),
            (Event::Ends, Some(bar)) => {
                bar.finish_and_clear();
                state.bar = None;
            }
            _ => {}
        }
    }
}
