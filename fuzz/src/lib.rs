//! What all targets have in common.

/// Says nothing of panics, because some are caught where a library is known to fail; those that nobody catches end the fuzzer.
pub fn expect_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}
