//! Fuzzing of the text of an answer.

#![no_main]

#[path = "../../crates/datasets/tests/corpus/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(init: entrace_fuzz::expect_panics(), |data: &[u8]| readers::answer(data));
