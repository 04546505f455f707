//! Models that think: variables of the chat template, and traces with thoughts from a file.

use crate::support::{QUESTIONS, Scratch, expect, rows};
use std::path::Path;

/// A template in the style of reasoning models: it opens the thought, or writes an empty one on request.
const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n\
    {{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n\
    {% if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}\
    {% else %}{{ '<think>\\n' }}{% endif %}";

fn model(scratch: &Scratch) -> String {
    let model = scratch.model();
    std::fs::write(Path::new(&model).join("chat_template.jinja"), TEMPLATE).unwrap();
    model
}

fn settings(out: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(Path::new(out).join("manifest.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["settings"].clone()
}

#[test]
fn variables_reach_the_template_and_the_manifest() {
    let scratch = Scratch::new();
    let (model, tasks, out) = (model(&scratch), scratch.file("sums.jsonl", QUESTIONS), scratch.arg("out"));
    let run = [
        ["run", "--model", &model, "--tasks", &tasks, "--max-new-tokens", "10", "--max-nodes", "4"]
            .as_slice(),
        &["--limit", "2", "--output-path", &out],
    ]
    .concat();
    let with = |vars: &'static str| [run.as_slice(), &["--template-vars", vars]].concat();
    expect(0, &with("enable_thinking=false"));
    assert!(rows(&out).traces.iter().all(|trace| trace.prompt.ends_with("<think>\n\n</think>\n\n")));
    assert_eq!(settings(&out)["template_vars"], serde_json::json!({"enable_thinking": false}));
    assert_eq!(settings(&out)["thought_close"], "\n</think>\n\n");

    assert!(expect(2, &run).contains("template_vars"));
    assert!(expect(2, &with("enable_thinking=true")).contains("template_vars.enable_thinking"));
    let config = scratch.file("c.toml", "[run.template-vars]\nenable_thinking = false\n");
    assert!(expect(0, &[run.as_slice(), &["--config", &config]].concat()).contains("complete already"));

    let said = expect(0, &[with("enable_thinkin=false").as_slice(), &["--overwrite"]].concat());
    assert!(said.contains("reads no variable enable_thinkin"), "{said}");
    assert!(rows(&out).traces.iter().all(|trace| trace.answer.as_deref() == Some("[invalid]")));
    let said =
        expect(2, &["run", "--template-vars", "enable_thinking=false", "--output-path", &out, "--overwrite"]);
    assert!(said.contains("needs a model with a chat template"), "{said}");
}

#[test]
fn thoughts_from_a_file_are_the_trace() {
    let scratch = Scratch::new();
    let thought = "Is it 5? The answer is 5.\n\nNo: 3 and 4 make 7.\n";
    let row = |id: &str, trace: String| {
        serde_json::json!({"id": id, "question": "3 + 4?", "target": "7", "trace": trace}).to_string() + "\n"
    };
    let file = [
        row("prompted", format!("{thought}</think>\n\nThe answer is 7.")),
        row("written", format!("<think>\n{thought}</think>\n\nThe answer is 7.")),
        row("cut", thought.to_string()),
    ];
    let (model, traces, out) = (model(&scratch), scratch.file("t.jsonl", &file.concat()), scratch.arg("out"));
    expect(0, &["score", "--model", &model, "--traces", &traces, "--max-nodes", "4", "--output-path", &out]);
    let rows = rows(&out);
    let of = |id: &str| rows.traces.iter().find(|trace| &*trace.question_id == id).unwrap();
    for (id, answer, correct) in
        [("prompted", "7", true), ("written", "7", true), ("cut", "[invalid]", false)]
    {
        let trace = of(id);
        assert_eq!((trace.answer.as_deref(), trace.correct), (Some(answer), Some(correct)), "{id}");
        assert_eq!(trace.n_steps, 2, "{id}");
        let tokens = rows.tokens.iter().filter(|token| &*token.question_id == id);
        let text: String = tokens.map(|token| token.text.as_str()).collect();
        assert_eq!(text.strip_prefix("<think>\n").unwrap_or(&text), thought, "{id}");
    }
    assert_eq!(of("prompted").n_trace_tokens, of("cut").n_trace_tokens);
}
