//! Damaged data that fuzzing found, and sound ones that it began with: none ends in a panic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod readers;
#[path = "../../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn rows() {
    replay("rows", readers::rows);
}

#[test]
fn parquet() {
    replay("parquet", readers::parquet);
}

#[test]
fn answer() {
    replay("answer", readers::answer);
}
