//! Damaged files of models that fuzzing found, and sound ones that it began with: none ends in a panic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod readers;
#[path = "../../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn gguf() {
    replay("gguf", readers::gguf);
}

#[test]
fn safetensors() {
    replay("safetensors", readers::safetensors);
}
