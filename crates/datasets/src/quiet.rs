//! Panics of a library that are caught and said in our own words.
//!
//! A caught panic is still printed by the panic hook. The hook installed here passes on those of all threads but the ones that are
//! between the beginning and the end of `quietly`.

use std::cell::Cell;
use std::panic;
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs what catches its own panics, without a word about them.
pub(crate) fn quietly<T>(run: impl FnOnce() -> T) -> T {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                hook(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = run();
    QUIET.set(before);
    result
}
