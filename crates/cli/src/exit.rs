//! Exit codes, and how failures become them.
//!
//! 0 measured; 1 finished, with items that failed or nothing measured; 2 wrong usage or set-up; 3 engine or disk failure;
//! 130 interrupted, the same command resumes. A reader that closes the pipe early is no failure.

use crate::{hint, terminal};
use entrace_study::Kind;
use std::io::Write;

/// How a command ended.
pub(crate) struct Exit {
    code: u8,
    message: Option<String>,
}

/// A failure of usage or set-up, where `anyhow` alone would count as engine failure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SetUp(pub(crate) String);

/// Why a command line could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unparsed {
    /// What clap says, which includes help and version.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// What is wrong with a configuration file.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
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

    /// Wrong usage.
    pub(crate) fn usage(error: anyhow::Error) -> Self {
        Self { code: 2, message: Some(described(&error)) }
    }

    /// A panic that nobody caught.
    pub(crate) fn fault(message: String) -> Self {
        Self { code: 3, message: Some(message) }
    }

    /// Of a command line that could not be read.
    pub(crate) fn of_unparsed(unparsed: Unparsed) -> Self {
        match unparsed {
            Unparsed::Clap(error) => Self::of_clap(error),
            Unparsed::Other(error) => Self::usage(error),
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

    /// The code of an error, by the crate that it comes from.
    pub(crate) fn of_error(error: anyhow::Error) -> Self {
        if is_broken_pipe(&error) {
            return Self::success();
        }
        // A context is not found in the chain by its own type.
        let is_of_set_up = error.downcast_ref::<SetUp>().is_some();
        let code = if is_of_set_up { 2 } else { error.chain().find_map(code_of).unwrap_or(3) };
        Self { code, message: Some(described(&error)) }
    }

    /// Prints the message and gives the code.
    pub(crate) fn report(self) -> u8 {
        if let Some(message) = self.message {
            let _ = writeln!(terminal::stderr(), "entrace: {}", terminal::shortened(&message));
        }
        self.code
    }
}

fn code_of(error: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if error.is::<SetUp>() {
        return Some(2);
    }
    if let Some(decide) = error.downcast_ref::<entrace_decide::Error>() {
        return match decide {
            entrace_decide::Error::Record(record) => code_of(record),
            _ => Some(2),
        };
    }
    if let Some(view) = error.downcast_ref::<entrace_view::Error>() {
        return match view {
            entrace_view::Error::Record(record) => code_of(record),
            entrace_view::Error::Listen { .. } | entrace_view::Error::Random(_) => Some(3),
            _ => Some(2),
        };
    }
    let study = error.downcast_ref::<entrace_study::Error>();
    let kind = study.map(entrace_study::Error::kind).or_else(|| entrace_study::kind_of(error))?;
    Some(match kind {
        Kind::SetUp => 2,
        Kind::Failure => 3,
        Kind::Interrupted => 130,
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// What an error says; options are named as flags.
fn said(error: &(dyn std::error::Error + 'static)) -> String {
    let option = error.downcast_ref().and_then(entrace_study::Error::option);
    match (error.to_string(), option) {
        (text, Some(option)) => format!("--{}{}", option.replace('_', "-"), &text[option.len()..]),
        (text, None) => text,
    }
}

/// The chain of causes as one line, without repeating what a cause already says.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = said(cause);
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The causes, and the flags that help.
fn described(error: &anyhow::Error) -> String {
    let text = causes(error);
    match hint::of(error) {
        Some(hint) if text.contains('\n') => format!("{text}\n{hint}"),
        Some(hint) => format!("{text}; {hint}"),
        None => text,
    }
}
