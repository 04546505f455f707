//! What is said where entrace itself fails: a panic is a fault of the program, never a way to end.
//!
//! Nothing is printed when a panic begins, because some are caught where a library is known to fail on damaged files. One that nobody
//! caught ends the command with one line: what was being done, what failed and where. With `RUST_BACKTRACE` set, its calls follow.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

/// What is being done, in words that follow "while".
static DOING: Mutex<String> = Mutex::new(String::new());
/// Where the latest panic began.
static PLACE: Mutex<String> = Mutex::new(String::new());
/// What called what there, where that was asked for.
static CALLS: Mutex<String> = Mutex::new(String::new());

/// Notes what is being done from now on, in words that follow "while".
pub(crate) fn doing(what: String) {
    *DOING.lock().unwrap_or_else(PoisonError::into_inner) = what;
}

/// Runs a command. Of a panic it gives what there is to say.
pub(crate) fn guarded<T>(command: impl FnOnce() -> T) -> Result<T, String> {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
        let calls = Backtrace::capture();
        let calls = matches!(calls.status(), BacktraceStatus::Captured).then(|| format!("\n{calls}"));
        *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
        *CALLS.lock().unwrap_or_else(PoisonError::into_inner) = calls.unwrap_or_default();
    }));
    panic::catch_unwind(AssertUnwindSafe(command)).map_err(|payload| report(&*payload))
}

fn report(payload: &(dyn Any + Send)) -> String {
    let said = payload.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    let said = said.lines().collect::<Vec<_>>().join(" ");
    let doing = DOING.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let doing = if doing.is_empty() { "starting" } else { &doing };
    let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    format!(
        "a fault of entrace itself, while {doing}: {said}{place}; what was finished is kept, please report this line{calls}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_with_one_line_that_says_what_was_done() {
        doing("reading questions.jsonl".to_string());
        let nothing: &[u8] = &[];
        let said = guarded(|| -> u8 { panic!("two\nlines {}", nothing.len()) });
        let _ = panic::take_hook();
        let message = said.unwrap_err();
        assert!(message.starts_with(
            "a fault of entrace itself, while reading questions.jsonl: two lines 0 (crates/cli/src/fault.rs:"
        ));
        let line = message.lines().next().unwrap();
        assert!(line.ends_with("what was finished is kept, please report this line"), "{message}");
    }
}
