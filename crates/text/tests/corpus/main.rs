//! Damaged tokenizers and chat templates that fuzzing found, and sound ones that it began with: none ends in a panic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod readers;
#[path = "../../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn tokenizer() {
    replay("tokenizer", readers::tokenizer);
}

#[test]
fn template() {
    replay("template", readers::template);
}
