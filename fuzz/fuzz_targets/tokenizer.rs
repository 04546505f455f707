//! Fuzzing of a tokenizer file.

#![no_main]

#[path = "../../crates/text/tests/corpus/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(init: entrace_fuzz::expect_panics(), |data: &[u8]| readers::tokenizer(data));
