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

#[test]
fn doctor_refuses_what_run_refuses() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("q.jsonl", QUESTIONS));
    let both = |expected: &str| {
        let out = scratch.arg("o");
        let run = expect(2, &["run", "--model", &model, "--tasks", &tasks, "--output-path", &out]);
        let doctor = expect(2, &["doctor", "--model", &model]);
        for said in [run, doctor] {
            assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
        }
    };
    let template = scratch.path("model/chat_template.jinja");
    std::fs::write(&template, format!("{{{{ {}a }}}}", "not ".repeat(200_000))).unwrap();
    both("the chat template is not rendered");
    let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
    std::fs::write(&template, loops).unwrap();
    both("it does more than a conversation needs");
    std::fs::write(&template, "{{ ('{0}' * 2000).format('x' * 1000) }}").unwrap();
    both("it makes a prompt of 2000000 bytes");
    std::fs::remove_file(&template).unwrap();

    let definition = scratch.path("model/tokenizer.json");
    let sound: serde_json::Value = serde_json::from_slice(&std::fs::read(&definition).unwrap()).unwrap();
    let edited = |key: &str, value: serde_json::Value, expected: &str| {
        let mut json = sound.clone();
        json[key] = value;
        std::fs::write(&definition, json.to_string()).unwrap();
        both(expected);
    };
    let missing = serde_json::json!({"type": "TemplateProcessing", "special_tokens": {}, "pair": [],
        "single": [{"SpecialToken": {"id": "<missing>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]});
    edited("post_processor", missing, "tokenizer");
    let mark = serde_json::json!({"id": "<m>", "ids": [u32::MAX], "tokens": ["<m>"]});
    let unknown = serde_json::json!({"type": "TemplateProcessing", "special_tokens": {"<m>": mark}, "pair": [],
        "single": [{"SpecialToken": {"id": "<m>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]});
    edited("post_processor", unknown, "adds the token 4294967295");
    let step = serde_json::json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"});
    edited(
        "normalizer",
        serde_json::json!({"type": "Sequence", "normalizers": vec![step; 40]}),
        "times as long",
    );
}

#[cfg(unix)]
#[test]
fn a_run_folder_leads_nowhere() {
    let scratch = Scratch::new();
    let (folder, outside) = (scratch.arg("run"), scratch.path("outside"));
    expect(
        0,
        &["run", "--limit", "2", "--max-new-tokens", "24", "--rollouts", "0", "--output-path", &folder],
    );
    std::fs::create_dir(&outside).unwrap();
    let figures = scratch.path("run/figures");
    std::fs::remove_dir_all(&figures).unwrap();
    std::os::unix::fs::symlink(&outside, &figures).unwrap();
    assert!(expect(2, &["report", &folder]).contains("figures is a link"));
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    for name in ["prefixes.parquet", "manifest.json"] {
        let path = scratch.path("run").join(name);
        std::fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(expect(3, &["report", &folder]).contains("not an ordinary file"));
    }
}

#[test]
fn answers_without_end_are_read_in_time() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let row = |id: &str, target: &str, trace: String| {
        serde_json::json!({"id": id, "question": "How many?", "target": target, "trace": trace}).to_string()
    };
    let traces = [
        row("markers", "7", "the answer is ".repeat(7000)),
        row("signs", "7", "$".repeat(100_000)),
        row("brackets", "the moon", "(".repeat(100_000)),
        row("length", "7", "She has 3. ".repeat(200_000)),
        row("target", &"9".repeat(100_000), "7".to_string()),
        row("good", "7", "That is 7.".to_string()),
    ];
    let file = scratch.file("t.jsonl", &traces.join("\n"));
    let began = std::time::Instant::now();
    let said =
        expect(1, &["score", "--model", &model, "--traces", &file, "--output-path", &scratch.arg("o")]);
    assert!(said.contains("1 line"), "{said}");
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}
