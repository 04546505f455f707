//! Work in a thread of its own, while the calling thread shows progress and listens for Ctrl-C.
//!
//! The interpreter is free meanwhile. The first Ctrl-C asks the work to stop after what is in hand, as the program does; a second one returns
//! at once and leaves the thread to end by itself.

use crate::front::Caller;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

/// Between two looks at signals; the first looks come sooner, since much is done in no time.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// Looks between two reports of progress.
const LOOKS_PER_REPORT: u32 = 4;

/// What the work comes to. `reporter` has `note(text)` and `progress(name, done, all, doing)`.
pub(crate) fn attended<T: Send + 'static>(
    py: Python<'_>,
    caller: &Arc<Caller>,
    reporter: &Bound<'_, PyAny>,
    work: impl FnOnce(&Caller) -> T + Send + 'static,
) -> PyResult<T> {
    let (tell, told) = channel();
    let of_thread = Arc::clone(caller);
    std::thread::Builder::new().name("entrace".into()).spawn(move || {
        // Nobody listens any more after a second Ctrl-C.
        let _ = tell.send(work(&of_thread));
    })?;
    let ended = wait(py, &told, caller, reporter);
    report(caller, reporter)?;
    ended
}

fn wait<T: Send>(
    py: Python<'_>,
    told: &Receiver<T>,
    caller: &Caller,
    reporter: &Bound<'_, PyAny>,
) -> PyResult<T> {
    for look in 1_u32.. {
        match told.try_recv() {
            Ok(ended) => return Ok(ended),
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {}
        }
        py.detach(|| std::thread::sleep(BETWEEN_LOOKS.min(Duration::from_millis(u64::from(look)))));
        // Ctrl-C may come while the reporter is at work, too.
        let reported = if look % LOOKS_PER_REPORT == 0 { report(caller, reporter) } else { Ok(()) };
        if let Err(error) = reported.and_then(|()| py.check_signals()) {
            let was_stopped = caller.is_stopped();
            caller.stop();
            if was_stopped || !error.is_instance_of::<PyKeyboardInterrupt>(py) {
                return Err(error);
            }
            reporter.call_method1(
                "note",
                ("stopping after what is in hand; interrupt again to return at once",),
            )?;
        }
    }
    Err(PyRuntimeError::new_err("a thread ended without a result"))
}

fn report(caller: &Caller, reporter: &Bound<'_, PyAny>) -> PyResult<()> {
    let (notes, shown) = caller.news();
    for note in notes {
        reporter.call_method1("note", (note,))?;
    }
    if let Some(shown) = shown {
        reporter.call_method1("progress", shown)?;
    }
    Ok(())
}
