//! Logs of other programs as traces: one small file of each, with our own questions.
//!
//! They were written by the packages themselves (`goldens/foreign/generate.py`: inspect-ai 0.3.285, lighteval 0.13, TRL 1.16, verl 0.9, OpenAI's
//! types). In all of them two questions have two traces each, of which one is wrong.
//!
//! `ENTRACE_PYTHON_TRAINERS` makes them anew: `install` fetches the packages, else it is a Python that has some of them.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

use entrace_datasets::jsonl::Options;
use entrace_datasets::{ColumnMap, Error, Imported, TracePrompt, imported};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(name)
}

fn load(name: &str, requests: Option<&str>) -> Result<Imported, Error> {
    imported::load_with(&file(name), requests.map(file).as_deref(), "sums", &Options::default())
}

/// Questions and traces, each with what it states and whether that is right, are those of every file.
#[track_caller]
fn check_sums(read: &Imported) {
    let mut found: Vec<(&str, usize, &str)> =
        read.traces.iter().map(|t| (t.question.text.as_str(), t.sample, t.trace.as_str())).collect();
    found.sort_unstable();
    assert_eq!(found.len(), 4, "{found:?}");
    let (pens, eggs) = found.split_at(2);
    let is_about = |text: &str, what: &str| text.contains(what);
    assert!(pens.iter().all(|t| is_about(t.0, "Mia has 3 pens and buys 4. How many has she?")), "{pens:?}");
    assert!(eggs.iter().all(|t| is_about(t.0, "Tom has 9 eggs and eats 2. How many are left?")), "{eggs:?}");
    assert_eq!([pens[0].1, pens[1].1, eggs[0].1, eggs[1].1], [0, 1, 0, 1]);
    let mut answers = Vec::new();
    for trace in &read.traces {
        assert_eq!(trace.question.target.as_ref().unwrap().name(), "7");
        let format = trace.answer_format.format_in(read.style);
        let answer = format.extract(&trace.trace, trace.question.choices.as_ref());
        let is_right = Some(&answer) == trace.question.target.as_ref();
        assert!(trace.correct.is_none_or(|correct| correct == is_right), "{trace:?}");
        answers.push(answer.name().to_string());
    }
    answers.sort_unstable();
    assert_eq!(answers, ["7", "7", "7", "8"]);
}

fn verdicts(read: &Imported) -> (usize, usize) {
    let count = |verdict| read.traces.iter().filter(|trace| trace.correct == Some(verdict)).count();
    (count(true), count(false))
}

#[test]
fn logs_of_inspect_are_read_from_archives_and_from_json() {
    for name in ["inspect.eval", "inspect.json"] {
        let read = load(name, None).unwrap();
        check_sums(&read);
        assert!(read.traces.iter().all(|trace| trace.correct.is_some()), "{name}");
        let prompt = read.traces[0].prompt.as_ref().unwrap();
        assert!(matches!(prompt, TracePrompt::Messages(messages) if messages.len() == 1), "{prompt:?}");
    }
}

#[test]
fn options_of_inspect_are_options() {
    let read = load("inspect_choice.eval", None).unwrap();
    let trace = &read.traces[0];
    assert_eq!(trace.question.choices.as_ref().unwrap().texts(), ["stone", "apple", "chair"]);
    assert_eq!(trace.question.target.as_ref().unwrap().name(), "B");
    assert_eq!((trace.question.id.as_str(), trace.correct), ("1", Some(true)));
}

#[test]
fn a_log_of_another_version_is_refused_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = std::fs::read_to_string(file("inspect.json")).unwrap();
    let path = folder.path().join("log.json");
    std::fs::write(&path, log.replace("\"version\": 2,", "\"version\": 9,")).unwrap();
    let refused = imported::load(&path, "sums", &Options::default()).unwrap_err().to_string();
    assert!(refused.contains("version 9, expected 2"), "{refused}");
    let path = folder.path().join("log.eval");
    for (bytes, said) in [
        (&b"PK\x05\x06"[..], "a log of inspect"),
        (&[0x50, 0x4b, 0x05, 0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "no header.json"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let refused = imported::load(&path, "sums", &Options::default()).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn a_damaged_archive_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(file("inspect.eval")).unwrap();
    let path = folder.path().join("log.eval");
    for cut in [bytes.len() / 2, bytes.len() - 10] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(imported::load(&path, "sums", &Options::default()).is_err());
    }
    for at in (0..bytes.len()).step_by(37) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        std::fs::write(&path, damaged).unwrap();
        // Refused or read, without a panic.
        let _ = imported::load(&path, "sums", &Options::default());
    }
}

#[test]
fn rollouts_of_trainers_are_read() {
    let columns = ColumnMap::parse("target=answer").unwrap();
    let read = load("verl_1.jsonl", None).unwrap();
    check_sums(&read);
    assert_eq!(verdicts(&read), (3, 1));
    let read = load("completions_00001.parquet", None).unwrap();
    assert_eq!(read.traces.len(), 4);
    assert_eq!(read.traces[1].question.id, "step-1-prompt-1");
    assert_eq!((read.traces[1].sample, read.traces[2].sample), (1, 0));
    assert!(read.traces.iter().all(|trace| trace.question.target.is_none()));
    let missing = imported::load(
        &file("completions_00001.parquet"),
        "sums",
        &Options { columns, ..Options::default() },
    );
    assert!(missing.is_err(), "a column that was named must be there");
}

#[test]
fn batches_are_read_with_their_requests() {
    for name in ["batch_output.jsonl", "vllm_output.jsonl"] {
        let read = load(name, Some("batch_input.jsonl")).unwrap();
        check_sums(&read);
        assert_eq!(read.traces[0].question.id, "q0");
    }
    let read = load("batch_output.jsonl", Some("batch_input.jsonl")).unwrap();
    assert_eq!(read.bad_lines.len(), 1);
    assert!(read.bad_lines[0].reason.contains("completion window expired"), "{:?}", read.bad_lines);
    let alone = load("batch_output.jsonl", None).unwrap_err();
    let said = format!("{alone:?} {alone}");
    assert!(said.contains("give the file of requests"), "{said}");
}

#[test]
fn details_of_lighteval_are_read() {
    let read = load("details_sums.parquet", None).unwrap();
    check_sums(&read);
    assert!(read.traces.iter().all(|trace| trace.question.choices.is_none()));
}

/// The logs that a package writes today, in a folder of their own; `None` where it is not there.
#[expect(clippy::print_stdout, reason = "says why a test skips")]
fn written_by(package: &str, folder: &Path) -> Option<PathBuf> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/foreign");
    let python = match std::env::var("ENTRACE_PYTHON_TRAINERS").ok()?.as_str() {
        "install" => {
            let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{package}"));
            let script = scripts.join("install.py");
            let made = Command::new("python3").arg(script).arg(package).arg(place).output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            String::from_utf8(made.stdout).unwrap().trim().to_owned()
        }
        python => python.to_owned(),
    };
    let to = folder.join(package);
    let made = Command::new(python).arg(scripts.join("generate.py")).arg(package).arg(&to).output().unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    if !made.status.success() && said.contains("ModuleNotFoundError") {
        println!("skipped: {package} is not installed");
        return None;
    }
    assert!(made.status.success(), "{package}: {said}");
    println!("{package}: written");
    Some(to)
}

#[test]
fn what_the_packages_write_today_is_read() {
    if std::env::var("ENTRACE_PYTHON_TRAINERS").is_err() {
        println!(
            "skipped: ENTRACE_PYTHON_TRAINERS names no Python with inspect-ai, TRL, verl, lighteval or openai"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let read = |path: PathBuf, requests: Option<PathBuf>| {
        imported::load_with(&path, requests.as_deref(), "sums", &Options::default()).unwrap()
    };
    if let Some(made) = written_by("inspect", folder.path()) {
        check_sums(&read(made.join("inspect.eval"), None));
        check_sums(&read(made.join("inspect.json"), None));
        let options = read(made.join("inspect_choice.eval"), None);
        assert_eq!(options.traces[0].question.target.as_ref().unwrap().name(), "B");
    }
    if let Some(made) = written_by("trl", folder.path()) {
        let completions = read(made.join("completions_00001.parquet"), None);
        assert_eq!(completions.traces.len(), 4);
        assert!(completions.traces.iter().all(|trace| trace.question.target.is_none()));
    }
    if let Some(made) = written_by("verl", folder.path()) {
        let rollouts = read(made.join("verl_1.jsonl"), None);
        check_sums(&rollouts);
        assert_eq!(verdicts(&rollouts), (3, 1));
    }
    if let Some(made) = written_by("lighteval", folder.path()) {
        check_sums(&read(made.join("details_sums.parquet"), None));
    }
    if let Some(made) = written_by("openai", folder.path()) {
        for answers in ["batch_output.jsonl", "vllm_output.jsonl"] {
            check_sums(&read(made.join(answers), Some(made.join("batch_input.jsonl"))));
        }
    }
}
