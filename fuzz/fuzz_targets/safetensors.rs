//! Fuzzing of a safetensors file.

#![no_main]

#[path = "../../crates/decoder/tests/corpus/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(init: entrace_fuzz::expect_panics(), |data: &[u8]| readers::safetensors(data));
