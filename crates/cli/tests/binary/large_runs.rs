//! Runs of any length: what is made of them does not depend on the order of rows, and memory hardly on how many there are.

use crate::made_up;
use crate::support::{Scratch, command, expect};
use entrace_record::RunWriter;
use entrace_record::manifest::{Manifest, ShardRecord};
use entrace_record::merge::shard_folder;
use entrace_record::rows::{PrefixRow, Rows};
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Writes a run with all rows of a table in another order, each in one part.
fn write(dir: &str, manifest: &Manifest, rows: &Rows) {
    let mut writer = RunWriter::overwrite(Path::new(dir), manifest).unwrap();
    writer.write_part(0, rows).unwrap();
    writer.finish(1, "2026-01-02T03:04:05Z".parse().unwrap(), 1.0).unwrap();
}

/// Made-up traces of these numbers, with prefixes that end where their steps do.
fn rows(numbers: Range<usize>) -> Rows {
    let mut rows = Rows::default();
    for number in numbers {
        let trace = made_up::trace(number as u64, 1);
        let n_tokens = |step: u32| trace.tokens.iter().filter(|token| token.step <= step).count() as u32;
        let prefixes = trace.prefixes.iter().cloned();
        rows.prefixes.extend(prefixes.map(|row| PrefixRow { n_tokens: n_tokens(row.step), ..row }));
        rows.traces.extend(trace.traces);
        rows.answers.extend(trace.answers);
        rows.tokens.extend(trace.tokens);
        rows.signals.extend(trace.signals);
    }
    rows
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let scratch = Scratch::new();
    let (first, other) = (scratch.arg("first"), scratch.arg("other"));
    let (manifest, mut rows) = (made_up::manifest(300), rows(0..300));
    write(&first, &manifest, &rows);
    rows.prefixes.reverse();
    // Sums over the rows of one trace are made in their order, which is kept.
    let tokens = rows.tokens.partition_point(|row| *row.question_id < *"q000123");
    rows.tokens.rotate_left(tokens);
    let answers = rows.answers.partition_point(|row| *row.question_id < *"q000200");
    rows.answers.rotate_left(answers);
    rows.traces.rotate_right(17);
    write(&other, &manifest, &rows);
    for dir in [&first, &other] {
        expect(0, &["report", dir]);
        expect(0, &["rewards", dir]);
    }
    for name in ["metrics.json", "report.html", "rewards_jsonl.jsonl"] {
        let read = |dir: &str| std::fs::read_to_string(Path::new(dir).join(name)).unwrap();
        let hashes = |line: &&str| !line.contains(".parquet\": ");
        let without_hashes = |text: String| text.lines().filter(hashes).collect::<Vec<_>>().join("\n");
        assert!(without_hashes(read(&first)) == without_hashes(read(&other)), "{name}");
    }
}

/// Writes the parts of two shards of a made-up run.
fn write_shards(run: &Path, n_traces: usize) {
    let manifest = made_up::manifest(n_traces);
    let size = manifest.settings.batch_size;
    for index in 0..2 {
        let shard = ShardRecord { index, of: 2, n_parts: n_traces.div_ceil(size) };
        let manifest = Manifest { shard: Some(shard), ..manifest.clone() };
        let writer = RunWriter::overwrite(&shard_folder(run, &shard), &manifest).unwrap();
        for part in shard.parts() {
            let numbers = part * size..n_traces.min((part + 1) * size);
            writer.write_part(part, &rows(numbers)).unwrap();
        }
    }
}

/// The most memory that the program held while it carried a command out, in MB; `None` where the system does not tell.
fn peak(args: &[&str]) -> Option<u64> {
    let mut child = command(args).stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = None;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kilobytes = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        most = kilobytes.and_then(|n| n.trim().parse::<u64>().ok()).map(|n| n / 1_000).or(most);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success(), "{args:?}");
    most
}

#[test]
fn memory_is_bounded() {
    let Some(n) = std::env::var("ENTRACE_LARGE_RUN").ok().and_then(|n| n.parse::<usize>().ok()) else {
        return eprintln!("skipped: ENTRACE_LARGE_RUN is not set to a number of traces");
    };
    let scratch = Scratch::new();
    let run = scratch.arg("run");
    write_shards(Path::new(&run), n);
    for (args, most_bytes) in [
        // The report that both make keeps 120 bytes of each of twenty prefixes, and a kilobyte of a trace.
        (&["merge", &run][..], 4_000),
        (&["report", &run], 4_000),
        (&["rewards", &run], 700),
        (&["rewards", &run, "--format", "trl"], 700),
    ] {
        let Some(peak) = peak(args) else { return eprintln!("skipped: peaks of memory are not told here") };
        eprintln!("{n} traces: {args:?} took {peak} MB at most");
        let most = 150 + most_bytes * n as u64 / 1_000_000;
        assert!(peak < most, "{args:?} took {peak} MB, and {most} MB are expected at most");
    }
}
