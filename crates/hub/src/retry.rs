//! Failures that pass, and trying again.

use crate::error::Error;
use crate::hub::Patience;
use crate::progress::{Event, Observer};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two looks at whether to stop, while waiting.
const GLANCE: Duration = Duration::from_millis(50);

/// Why an attempt failed.
pub(crate) enum Failure {
    /// Another attempt may do better.
    Passing {
        url: String,
        problem: String,
        /// How long the server asks to wait.
        wait: Option<Duration>,
        /// Whether the attempt brought bytes that are kept.
        progressed: bool,
    },
    /// It would not.
    Final(Error),
}

impl Failure {
    pub(crate) fn passing(url: &str, problem: String) -> Self {
        Self::Passing { url: url.to_string(), problem, wait: None, progressed: false }
    }

    /// The same, with bytes that are kept.
    pub(crate) fn with_progress(self) -> Self {
        match self {
            Self::Passing { url, problem, wait, .. } => {
                Self::Passing { url, problem, wait, progressed: true }
            }
            failure => failure,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// What threads of one download share: who is told, and whether one of them has failed.
pub(crate) struct Watch<'a> {
    pub(crate) observer: &'a dyn Observer,
    is_cancelled: AtomicBool,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(observer: &'a dyn Observer) -> Self {
        Self { observer, is_cancelled: AtomicBool::new(false) }
    }

    pub(crate) fn note(&self, text: &str) {
        self.observer.event(Event::Note(text));
    }

    pub(crate) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// An error where another thread has failed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Waits, unless another thread fails meanwhile.
    pub(crate) fn wait(&self, duration: Duration) -> Result<(), Error> {
        let end = Instant::now() + duration;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(GLANCE));
        }
    }
}

/// Tries until it succeeds, fails for good, or has failed too often without progress.
pub(crate) fn patiently<T>(
    patience: Patience,
    watch: &Watch<'_>,
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Error> {
    let mut n_failed = 0;
    loop {
        watch.check()?;
        let (url, problem, wait) = match attempt() {
            Ok(value) => return Ok(value),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing { url, problem, wait, progressed }) => {
                n_failed = if progressed { 1 } else { n_failed + 1 };
                (url, problem, wait)
            }
        };
        let backoff = patience.backoff.saturating_mul(1 << (n_failed - 1).min(10));
        let pause = wait.unwrap_or(backoff);
        if n_failed >= patience.attempts || pause > patience.longest {
            return Err(Error::Unreachable { url, problem, attempts: n_failed });
        }
        watch.note(&format!("{url}: {problem}; trying again in {:.1} s", pause.as_secs_f64()));
        watch.wait(pause)?;
    }
}
