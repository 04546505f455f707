//! Fuzzing of a file of a run folder.

#![no_main]

#[path = "../../crates/report/tests/corpus/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(init: entrace_fuzz::expect_panics(), |data: &[u8]| readers::record(data));
