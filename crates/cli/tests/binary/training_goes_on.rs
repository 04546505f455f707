//! Trainings that are killed or interrupted go on with the same command, and end with the same weights.

use crate::support::{Scratch, command, expect, said};
use crate::train::{TINY, weights};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A training that takes seconds, with a checkpoint after every update that the next one replaces.
const LONGER: [&str; 4] =
    ["--steps=400", "--checkpoint-every=200", "--evaluate-every=400", "--checkpoint-minutes=1e-9"];

fn training<'a>(output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "mle", "--output-path", output][..], &TINY, &LONGER, more].concat()
}

/// Waits until a training has written some twenty checkpoints.
fn wait_for_updates(output: &str) {
    let begun = Instant::now();
    let metrics = Path::new(output).join("metrics.jsonl");
    while std::fs::read_to_string(&metrics).unwrap_or_default().lines().count() < 20 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{output} does not train");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Names of what is in a folder.
fn names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_killed_training_goes_on_to_the_same_weights() {
    let scratch = Scratch::new();
    let (whole, killed) = (scratch.arg("whole"), scratch.arg("killed"));
    expect(0, &training(&whole, &[]));
    assert_eq!(names(&whole), ["metrics.jsonl", "step-000200", "step-000400"]);

    let args = training(&killed, &[]);
    let mut child = command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_updates(&killed);
    child.kill().unwrap();
    child.wait().unwrap();
    let loud: Vec<&str> = args.into_iter().filter(|&arg| arg != "--quiet").collect();
    let said = expect(0, &loud);
    assert!(said.contains("resuming from") && said.contains("400 updates"), "{said}");
    assert_eq!(names(&killed), names(&whole));
    assert_eq!(weights(&format!("{killed}/step-000400")), weights(&format!("{whole}/step-000400")));
}

#[cfg(unix)]
#[test]
fn an_interrupted_training_says_so_and_goes_on() {
    let scratch = Scratch::new();
    let (out, elsewhere) = (scratch.arg("out"), scratch.arg("elsewhere"));
    let interrupt = |more: &[&str]| {
        let args = training(&out, more);
        let child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for_updates(&out);
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", said(&output));
        said(&output)
    };
    let said = interrupt(&[]);
    assert!(said.contains("interrupted after update") && said.contains("of 400: "), "{said}");
    assert!(said.contains("run the same command again to resume"), "{said}");

    expect(0, &training(&elsewhere, &["--resume", &out]));
    assert!(expect(0, &training(&out, &[])).contains("400 updates"));
    assert_eq!(weights(&format!("{out}/step-000400")), weights(&format!("{elsewhere}/step-000400")));

    std::fs::remove_file(format!("{out}/metrics.jsonl")).unwrap();
    let said = interrupt(&["--overwrite"]);
    assert!(said.contains("run the same command without --overwrite to resume"), "{said}");
}

#[test]
fn another_model_or_a_training_that_cannot_go_on_is_refused() {
    let scratch = Scratch::new();
    let (out, last) = (scratch.arg("out"), scratch.arg("last"));
    let tuned = |model, more: &[&'static str]| {
        let args =
            ["train", "sft", "--model", model, "--examples=8", "--eval-examples=0", "--steps=1", "--quiet"];
        [&args[..], more].concat()
    };
    expect(0, &[&tuned("sprout@mle", &[])[..], &["--output-path", &out]].concat());
    let said = expect(2, &[&tuned("sprout@rl", &[])[..], &["--output-path", &out]].concat());
    assert!(said.contains("another model") && said.contains("--overwrite"), "{said}");

    let once = [&tuned("sprout", &["--no-resume"])[..], &["--output-path", &last]].concat();
    expect(0, &once);
    assert!(expect(2, &once).contains("cannot be resumed"));
    expect(0, &[&once[..], &["--overwrite"]].concat());
}

#[test]
fn what_was_not_measured_before_an_interruption_is_measured_when_training_goes_on() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    let config = scratch.file("run.toml", "max_new_tokens = 8\nestimator = 'sample'\nsamples = 4\n");
    let measure = ["--measure=3", "--measure-limit=2", "--measure-config", &config];
    let args = [&["train", "mle", "--output-path", &out][..], &TINY, &measure].concat();
    let whole = expect(0, &args);
    let missing = format!("{out}/measured/step-000003/metrics.json");
    std::fs::remove_file(&missing).unwrap();
    assert_eq!(expect(0, &args).lines().last(), whole.lines().last());
    assert!(Path::new(&missing).exists());
}

#[test]
fn a_training_that_diverges_says_so_and_leaves_no_broken_model() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    let wild = ["--learning-rate=1e30", "--steps=40", "--checkpoint-every=3"];
    let said = expect(3, &[&["train", "mle", "--output-path", &out][..], &TINY, &wild].concat());
    assert!(said.contains("not finite") && said.contains("no checkpoint was written"), "{said}");
    assert_eq!(names(&out), ["metrics.jsonl"]);
}
