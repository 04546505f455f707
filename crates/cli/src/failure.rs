//! A failure with its parts: where it comes from, what it is about, what happened, and what would help.
//!
//! The terminal prints what happened and what would help, and ends with the code of its kind (`exit`); a program that carries commands out in
//! itself takes the parts.

use entrace_flags::{SetUp, Unparsed, hint};
use entrace_study::{Kind, item_of, kind_of, origin_of};

pub use entrace_study::Origin;

/// Why a command ended without its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where it comes from.
    pub origin: Origin,
    /// What can be done about it.
    pub kind: Kind,
    /// What happened, flags as `--name`.
    pub message: String,
    /// The file, folder, repository, address or option that it is about, where it is about one.
    pub item: Option<String>,
    /// What would help, flags as `--name`.
    pub hint: Option<String>,
}

impl Failure {
    /// Of a command line that could not be read.
    pub(crate) fn of_unparsed(unparsed: &Unparsed) -> Self {
        match unparsed {
            Unparsed::Clap(error) => Self::of_clap(error),
            Unparsed::File(SetUp(problem)) => Self::of_usage(problem.clone()),
        }
    }

    fn of_clap(error: &clap::Error) -> Self {
        let said = error.render().to_string();
        let said = said.split("\n\nUsage:").next().unwrap_or(&said);
        let said = said.split("\n\nFor more information").next().unwrap_or(said);
        let said = said.strip_prefix("error: ").unwrap_or(said).trim();
        let (message, hint) = match said.split_once("\n\n  tip: ") {
            Some((message, hint)) => (message, Some(hint.trim().to_string())),
            None => (said, None),
        };
        let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Self { hint, ..Self::of_usage(message) }
    }

    /// Wrong usage.
    pub(crate) fn of_usage(message: String) -> Self {
        Self { origin: Origin::Usage, kind: Kind::SetUp, message, item: None, hint: None }
    }

    /// A panic that nobody caught.
    pub(crate) fn of_fault(message: String) -> Self {
        Self { origin: Origin::Fault, kind: Kind::Failure, message, item: None, hint: None }
    }

    /// The parts of an error of the library.
    pub fn of_study(error: entrace_study::Error) -> Self {
        Self::of_error(&error.into())
    }

    /// The parts of an error.
    pub fn of_error(error: &anyhow::Error) -> Self {
        let causes = || error.chain();
        // The chain shows a context in place of the error that it was put on.
        let is_of_set_up =
            error.downcast_ref::<SetUp>().is_some() || causes().any(|cause| cause.is::<SetUp>());
        let (origin, kind) = if is_of_set_up {
            (Origin::Usage, Kind::SetUp)
        } else {
            let origin = causes().find_map(origin_of).unwrap_or(Origin::Fault);
            (origin, causes().find_map(kind_of).unwrap_or(Kind::Failure))
        };
        let hint = causes().find_map(hint).map(str::to_string);
        Self { origin, kind, message: in_one_line(error), item: causes().find_map(item_of), hint }
    }

    /// What happened and what would help, as a command line says it.
    pub(crate) fn described(&self) -> String {
        let message = &self.message;
        match &self.hint {
            Some(hint) if message.contains('\n') => format!("{message}\n{hint}"),
            Some(hint) => format!("{message}; {hint}"),
            None => message.clone(),
        }
    }
}

/// The chain of causes, without repeating what a cause already says.
fn in_one_line(error: &anyhow::Error) -> String {
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

/// What an error says; options are named as flags.
fn said(error: &(dyn std::error::Error + 'static)) -> String {
    let option = error.downcast_ref().and_then(entrace_study::Error::option);
    match (error.to_string(), option) {
        (text, Some(option)) => format!("--{}{}", option.replace('_', "-"), &text[option.len()..]),
        (text, None) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrace_study::Error as Study;

    fn failure(arguments: &[&str]) -> Failure {
        let argv = ["entrace"].iter().chain(arguments).map(ToString::to_string).collect();
        Failure::of_unparsed(&entrace_flags::parse(argv).expect_err("these arguments are wrong"))
    }

    #[test]
    fn a_flag_that_is_wrong_is_said_without_usage() {
        let found = failure(&["run", "--limt", "3"]);
        assert_eq!((found.origin, found.kind), (Origin::Usage, Kind::SetUp));
        assert_eq!(found.message, "unexpected argument '--limt' found");
        assert_eq!(found.hint.as_deref(), Some("a similar argument exists: '--limit'"));
        let found = failure(&["run", "--dtype", "f8"]);
        assert!(found.message.starts_with("invalid value 'f8' for '--dtype <DTYPE>'"), "{}", found.message);
        assert!(found.message.contains("f32"), "{}", found.message);
    }

    #[test]
    fn an_error_has_its_origin_item_and_hint() {
        let record = entrace_record::Error::Locked { dir: "runs/a".into(), process: None };
        let found = Failure::of_error(&Study::from(record).into());
        assert_eq!((found.origin, found.kind), (Origin::Record, Kind::SetUp));
        assert_eq!(found.item.as_deref(), Some("runs/a"));
        assert_eq!(found.hint.as_deref(), Some("wait for it, or choose another --output-path"));
        let stopped = Failure::of_error(&Study::from(entrace_run::Error::Interrupted).into());
        assert_eq!((stopped.origin, stopped.kind), (Origin::Interrupted, Kind::Interrupted));
        let wrong = Study::Option { option: "num_fewshot", problem: "too many".into() };
        let found = Failure::of_error(&wrong.into());
        assert_eq!((found.origin, found.message.as_str()), (Origin::Usage, "--num-fewshot: too many"));
        assert_eq!(found.item.as_deref(), Some("num_fewshot"));
    }
}
