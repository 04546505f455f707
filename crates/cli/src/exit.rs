//! Exit codes, and how failures become them.
//!
//! 0 measured; 1 finished, with items that failed or nothing measured; 2 wrong usage or set-up; 3 engine or disk failure;
//! 130 interrupted, the same command resumes. A reader that closes the pipe early is no failure.

use crate::failure::Failure;
use crate::terminal;
use entrace_flags::Unparsed;
use entrace_study::Kind;
use std::io::Write;

/// How a command ended.
pub(crate) struct Exit {
    code: u8,
    message: Option<String>,
}

impl Exit {
    /// Everything was measured.
    pub(crate) fn success() -> Self {
        Self { code: 0, message: None }
    }

    /// Finished, with items that failed or nothing measured.
    pub(crate) fn with_failures() -> Self {
        Self { code: 1, message: None }
    }

    /// Stopped by the user before the end.
    pub(crate) fn interrupted() -> Self {
        Self { code: 130, message: None }
    }

    /// Whether nothing went wrong.
    pub(crate) fn is_success(&self) -> bool {
        self.code == 0
    }

    /// Of a command line that could not be read.
    pub(crate) fn of_unparsed(unparsed: Unparsed) -> Self {
        match unparsed {
            Unparsed::Clap(error) => Self::of_clap(error),
            unparsed => Self::of_failure(&Failure::of_unparsed(&unparsed)),
        }
    }

    /// What clap says: help and version are successes.
    fn of_clap(error: clap::Error) -> Self {
        // A closed pipe is no failure of ours.
        if error.use_stderr() {
            let _ = write!(terminal::stderr(), "{}", error.render());
            return Self { code: 2, message: None };
        }
        let _ = error.print();
        Self::success()
    }

    /// Of a command that failed. A reader that went away is no failure.
    pub(crate) fn of_error(error: anyhow::Error) -> Self {
        if is_broken_pipe(&error) { Self::success() } else { Self::of_failure(&Failure::of_error(&error)) }
    }

    /// Of a failure, by its kind.
    pub(crate) fn of_failure(failure: &Failure) -> Self {
        let code = match failure.kind {
            Kind::SetUp => 2,
            Kind::Failure => 3,
            Kind::Interrupted => 130,
        };
        Self { code, message: Some(failure.described()) }
    }

    /// Prints the message and gives the code.
    pub(crate) fn report(self) -> u8 {
        if let Some(message) = self.message {
            let _ = writeln!(terminal::stderr(), "entrace: {}", terminal::shortened(&message));
        }
        self.code
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
