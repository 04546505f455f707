//! Fuzzing of rows of JSON Lines.

#![no_main]

#[path = "../../crates/datasets/tests/corpus/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(init: entrace_fuzz::expect_panics(), |data: &[u8]| readers::rows(data));
