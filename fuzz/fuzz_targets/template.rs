//! Fuzzing of a chat template.

#![no_main]

#[path = "../../crates/text/tests/corpus/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(init: entrace_fuzz::expect_panics(), |data: &[u8]| readers::template(data));
