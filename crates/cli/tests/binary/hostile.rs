//! What strangers send: refused in words, without a hang, and without a say over the terminal.

use crate::support::{QUESTIONS, Scratch, TRACES, command, entrace, expect, said};
use std::process::Command;

/// Runs the program and checks that it says nothing that a terminal obeys.
fn quiet_terminal(args: &[&str]) -> String {
    let said = said(&entrace(args));
    assert!(!said.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{said:?}");
    said
}

#[test]
fn nothing_that_is_printed_steers_the_terminal() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("q.jsonl", QUESTIONS));
    let out = scratch.arg("o");
    let escape = "\u{1b}]0;owned\u{7}";
    quiet_terminal(&[&format!("--{escape}")]);
    assert!(quiet_terminal(&["run", "--model", &format!("/no/{escape}")]).contains("--tasks"));
    let run = |model: &str, tasks: &str| {
        quiet_terminal(&["run", "--model", model, "--tasks", tasks, "--output-path", &out])
    };
    assert!(run(&format!("/no/{escape}"), &tasks).contains("\\u{1b}]0;owned\\u{7}"));
    assert!(run(&model, &scratch.arg(&format!("{escape}.jsonl"))).contains("\\u{1b}"));

    let config = scratch.path("model/tokenizer_config.json");
    let mut json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
    json["chat_template"] = format!("{{{{ raise_exception('{escape}') }}}}").into();
    std::fs::write(&config, json.to_string()).unwrap();
    quiet_terminal(&["doctor", "--model", &model]);
    run(&model, &tasks);

    let weights = scratch.path("model/config.json");
    let text = std::fs::read_to_string(&weights).unwrap();
    std::fs::write(&weights, text.replace("\"llama\"", "\"\\u001b[2Jmamba\"")).unwrap();
    assert!(run(&model, &tasks).contains("\\u{1b}[2Jmamba"));
}

#[cfg(unix)]
#[test]
fn pipes_and_folders_in_the_place_of_files_are_refused() {
    let scratch = Scratch::new();
    let (model, tasks, pipe) =
        (scratch.model(), scratch.file("q.jsonl", QUESTIONS), scratch.arg("pipe.jsonl"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let out = scratch.arg("o");
    let run = |model: &str, tasks: &str| {
        expect(2, &["run", "--model", model, "--tasks", tasks, "--output-path", &out])
    };
    run(&pipe, &tasks);
    assert!(run(&model, &pipe).contains("not an ordinary file"));
    let folder = scratch.arg("folder.jsonl");
    std::fs::create_dir(&folder).unwrap();
    run(&model, &folder);
    let definition = scratch.path("model/tokenizer.json");
    std::fs::remove_file(&definition).unwrap();
    assert!(Command::new("mkfifo").arg(&definition).status().unwrap().success());
    assert!(run(&model, &tasks).contains("not an ordinary file"));
}

#[test]
fn an_empty_stop_is_refused() {
    let scratch = Scratch::new();
    let (model, traces) = (scratch.model(), scratch.file("t.jsonl", TRACES));
    let args = ["score", "--model", &model, "--traces", &traces, "--output-path", &scratch.arg("o")];
    let output = command(&args).args(["--stop", ""]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--stop"));
}

#[test]
fn a_mistyped_path_is_not_looked_for_on_the_hub() {
    let scratch = Scratch::new();
    let tasks = scratch.file("q.jsonl", QUESTIONS);
    let said = expect(
        2,
        &["run", "--model", "folder/model.gguf", "--tasks", &tasks, "--output-path", &scratch.arg("o")],
    );
    assert!(!said.contains("HF_HUB_OFFLINE"), "{said}");
}
