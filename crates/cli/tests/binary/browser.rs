//! The page of `entrace view` in a browser.
//!
//! `ENTRACE_BROWSER` names a Chromium; node and npm must be there as well. The checks themselves are in crates/view/tests/browser, with their
//! dependencies pinned; npm puts these below the target folder, once.

#![expect(clippy::print_stderr, reason = "says why it skips, and what was measured")]

use crate::made_up;
use crate::support::{Scratch, expect};
use crate::viewing::Served;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Traces of the large run.
const MANY: usize = 100_000;
/// How often the times of the large run are measured at most.
const TRIES: usize = 4;
/// Most memory of a server of so many traces.
const MOST_KIB: u64 = 300 << 10;

/// The folder of the checks with what they need; `None` where no browser is named.
fn checks() -> Option<PathBuf> {
    if std::env::var_os("ENTRACE_BROWSER").is_none() {
        eprintln!("skipped: ENTRACE_BROWSER names no Chromium");
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../view/tests/browser");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    std::fs::create_dir_all(&folder).unwrap();
    let read = |folder: &Path, name: &str| std::fs::read(folder.join(name)).unwrap_or_default();
    let installed = read(&folder, "package-lock.json") == read(&source, "package-lock.json");
    for name in ["package.json", "package-lock.json", "checks.mjs"] {
        std::fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    if !installed || !folder.join("node_modules").exists() {
        let status = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .status()
            .unwrap();
        assert!(status.success(), "npm ci failed");
    }
    Some(folder)
}

/// Runs one of the checks; what it found is its output.
fn run_check(folder: &Path, name: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("node")
        .arg("checks.mjs")
        .arg(name)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = crate::support::said(&output);
    if output.status.success() { Ok(said) } else { Err(format!("{name}:\n{said}")) }
}

fn check(folder: &Path, name: &str, arguments: &[&str]) {
    let said = run_check(folder, name, arguments).unwrap_or_else(|fault| panic!("{fault}"));
    eprintln!("{said}");
}

#[test]
fn a_run_is_explored_by_pointer_and_keys() {
    let Some(folder) = checks() else { return };
    let scratch = Scratch::new();
    let (run, other) = (scratch.arg("run"), scratch.arg("other"));
    made_up::run(Path::new(&run), 400, 1);
    made_up::run(Path::new(&other), 400, 2);
    let served = Served::start(&[&run]);
    check(&folder, "explore", &[&served.link]);
    check(&folder, "accessible", &[&served.link]);
    let pair = Served::start(&[&run, &other]);
    check(&folder, "pair", &[&pair.link]);
    let (one, both) = (scratch.arg("one.html"), scratch.arg("both.html"));
    expect(0, &["view", &run, "--export", &one]);
    check(&folder, "explore", &[&format!("file://{one}")]);
    expect(0, &["view", &run, &other, "--export", &both]);
    check(&folder, "pair", &[&format!("file://{both}")]);
}

#[test]
fn hostile_texts_run_nothing() {
    let Some(folder) = checks() else { return };
    let scratch = Scratch::new();
    let (run, file) = (scratch.arg("run"), scratch.arg("run.html"));
    made_up::hostile_run(Path::new(&run));
    let served = Served::start(&[&run]);
    check(&folder, "hostile", &[&served.link]);
    expect(0, &["view", &run, "--export", &file]);
    check(&folder, "hostile", &[&format!("file://{file}")]);
    let endless = scratch.arg("endless");
    made_up::endless_run(Path::new(&endless));
    let served = Served::start(&[&endless]);
    check(&folder, "hostile", &[&served.link]);
}

#[test]
fn many_traces_open_and_filter_at_once() {
    let Some(folder) = checks() else { return };
    let scratch = Scratch::new();
    let run = scratch.arg("run");
    made_up::run(Path::new(&run), MANY, 1);
    // Other work on the machine takes time too: the best of a few tries counts.
    let tries = (0..TRIES).map(|_| {
        let begun = Instant::now();
        let served = Served::start(&[&run]);
        let opened = begun.elapsed().as_millis().to_string();
        let said = run_check(&folder, "many", &[&served.link, &opened]);
        eprintln!("{}", said.as_ref().unwrap_or_else(|fault| fault));
        said.map(|_| memory(served.process()))
    });
    let most_kib = tries.into_iter().find_map(Result::ok).expect("no try was quick enough");
    if let Some(kib) = most_kib {
        eprintln!("most memory of the server: {} MiB", kib >> 10);
        assert!(kib < MOST_KIB, "{kib} KiB");
    }
}

/// Most memory that a process had, in KiB, where the system tells.
fn memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
