//! Training on files: questions are asked as `run` asks them, and bad lines are named.

use crate::support::{Scratch, expect, rows};
use serde_json::json;

/// Weights after two updates on a file of one row.
fn learnt(scratch: &Scratch, name: &str, model: &str, row: &serde_json::Value, more: &[&str]) -> Vec<u8> {
    let (data, out) = (scratch.file(&format!("{name}.jsonl"), &format!("{row}\n")), scratch.arg(name));
    let args = ["train", "sft", "--model", model, "--data", &data, "--output-path", &out, "--steps=2"];
    expect(0, &[&args[..], &["--warmup-steps=1", "--shards=1", "--quiet"], more].concat());
    std::fs::read(format!("{out}/step-000002/model.safetensors")).unwrap()
}

/// The prompt that `run` makes of the file's only question.
fn prompt_of_run(scratch: &Scratch, model: &str, tasks: &str) -> String {
    let out = scratch.arg("run");
    let args = ["run", "--model", model, "--tasks", tasks, "--output-path", &out, "--quiet", "--overwrite"];
    expect(0, &[&args[..], &["--max-new-tokens=8", "--estimator=sample", "--samples=1"]].concat());
    rows(&out).traces[0].prompt.clone()
}

#[test]
fn a_question_is_asked_in_training_as_run_asks_it() {
    let scratch = Scratch::new();
    let question = "Ann has 2 pens and buys 3. How many has she?";
    let (trace, target) = ("She has 2+3=5.\nThe answer is 5.", "5");
    let asked = json!({"question": question, "trace": trace, "target": target});
    let tasks = scratch.file("tasks.jsonl", &format!("{asked}\n"));
    for (model, space) in [(scratch.model().as_str(), ""), ("sprout", " ")] {
        let prompt = prompt_of_run(&scratch, model, &tasks);
        assert!(prompt.contains(question) && prompt != question, "{prompt}");
        let verbatim = json!({"prompt": prompt, "trace": format!("{space}{trace}"), "target": target});
        let by_question = learnt(&scratch, "question", model, &asked, &["--overwrite"]);
        assert!(by_question == learnt(&scratch, "prompt", model, &verbatim, &["--overwrite"]), "{prompt}");
        let bare = json!({"prompt": question, "trace": trace});
        assert!(by_question != learnt(&scratch, "bare", model, &bare, &["--overwrite"]), "{prompt}");
        let renamed = json!({"ask": question, "worked": trace, "gold": target});
        let map = ["--overwrite", "--map=question=ask,trace=worked,target=gold"];
        assert!(by_question == learnt(&scratch, "renamed", model, &renamed, &map), "{prompt}");
        let untold = json!({"question": question, "completion": trace});
        let number = ["--overwrite", "--answer-format=number"];
        assert!(by_question == learnt(&scratch, "untold", model, &untold, &number), "{prompt}");
    }
}

#[test]
fn a_bad_line_stops_training_and_is_named() {
    let scratch = Scratch::new();
    let good = json!({"question": "q", "completion": "c"});
    for (line, problem) in [("{", "not JSON"), ("{\"question\": \"q\"}", "no column trace or completion")] {
        let data = scratch.file("rows.jsonl", &format!("{good}\n{line}\n"));
        let said = expect(2, &["train", "sft", "--model=sprout", "--data", &data]);
        assert!(said.contains("rows.jsonl:2: ") && said.contains(problem), "{said}");
    }
}
