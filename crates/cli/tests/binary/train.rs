//! Training from the command line: methods one after another, resuming, measuring, recipes, and what is refused.

use crate::support::{Scratch, expect};
use std::path::Path;

/// A training of a tiny model that takes a second.
pub(crate) const TINY: [&str; 16] = [
    "--layers=1",
    "--hidden-size=16",
    "--heads=2",
    "--intermediate-size=16",
    "--examples=60",
    "--eval-examples=8",
    "--steps=6",
    "--batch-tokens=512",
    "--warmup-steps=2",
    "--shards=2",
    "--checkpoint-every=3",
    "--evaluate-every=3",
    "--wrong-share=0.5",
    "--interrupted-share=0.5",
    "--learning-rate=1e-2",
    "--quiet",
];

fn mle(output: &str, more: &[&str]) -> String {
    expect(0, &[&["train", "mle", "--output-path", output][..], &TINY, more].concat())
}

pub(crate) fn weights(checkpoint: &str) -> Vec<u8> {
    std::fs::read(Path::new(checkpoint).join("model.safetensors")).unwrap()
}

#[test]
fn a_resumed_training_ends_with_the_same_weights() {
    let scratch = Scratch::new();
    let (whole, parts) = (scratch.arg("whole"), scratch.arg("parts"));
    let said = mle(&whole, &[]);
    assert!(said.contains("6 updates") && said.contains("step-000006"), "{said}");
    let checkpoint = format!("{whole}/step-000003");
    mle(&parts, &["--resume", &checkpoint]);
    assert_eq!(weights(&format!("{whole}/step-000006")), weights(&format!("{parts}/step-000006")));
    assert_ne!(weights(&format!("{whole}/step-000006")), weights(&checkpoint));
    let rows = std::fs::read_to_string(format!("{whole}/metrics.jsonl")).unwrap();
    assert_eq!(rows.lines().filter(|line| line.contains("\"loss\"")).count(), 6);
    assert_eq!(rows.lines().filter(|line| line.contains("\"eval_loss\"")).count(), 3);
    let args = [&["train", "mle", "--output-path", &parts][..], &TINY].concat();
    assert!(expect(0, &args).contains("6 updates"));
    let other = expect(2, &[&args[..], &["--batch-tokens=256"]].concat());
    assert!(other.contains("batch_tokens") && other.contains("--overwrite"), "{other}");
    let changed = [&args[..], &["--resume", &checkpoint, "--batch-tokens=256"]].concat();
    assert!(expect(2, &changed).contains("batch_tokens"));
}

#[test]
fn a_training_goes_on_as_fine_tuning_and_as_reinforcement() {
    let scratch = Scratch::new();
    let (first, tuned, rewarded) = (scratch.arg("mle"), scratch.arg("sft"), scratch.arg("rl"));
    let config = scratch.file("run.toml", "max_new_tokens = 8\nestimator = 'sample'\nsamples = 4\n");
    mle(&first, &["--measure=6", "--measure-limit=3", "--measure-config", &config]);
    let runs = ["step-000000", "step-000006"].map(|step| format!("{first}/measured/{step}"));
    assert!(expect(0, &["compare", &runs[0], &runs[1]]).contains("step-000006"));

    let rows = "{\"prompt\": \"Q: How many?\\nA:\", \"completion\": \" 5 <<2+3=5>>and 7.\"}\n".repeat(4);
    let data = scratch.file("rows.jsonl", &rows);
    let args = ["train", "sft", "--model", &first, "--data", &data, "--output-path", &tuned, "--steps=2"];
    let lora = ["--lora-rank=2", "--strip-annotations", "--quiet", "--shards=1"];
    expect(0, &[&args[..], &lora].concat());
    assert_ne!(weights(&format!("{tuned}/step-000002")), weights(&format!("{first}/step-000006")));

    let args = ["train", "rl", "--model", &tuned, "--output-path", &rewarded, "--steps=1", "--quiet"];
    let group = ["--questions=2", "--samples=2", "--max-new-tokens=8", "--examples=4", "--eval-examples=2"];
    let rehearsal = ["--rehearse=arith", "--interrupted-share=1", "--draft-wrong-share=0.5"];
    expect(0, &[&args[..], &group, &rehearsal].concat());
    let rows = std::fs::read_to_string(format!("{rewarded}/metrics.jsonl")).unwrap();
    assert!(rows.contains("\"eval_accuracy\""), "{rows}");
}

/// A model that has learnt a question by heart answers it when `run` asks, so training asked in the same form.
#[test]
fn a_chat_model_learns_a_task_in_the_form_in_which_it_is_asked() {
    let scratch = Scratch::new();
    let (model, data, tuned, run) =
        (scratch.model(), scratch.arg("data"), scratch.arg("sft"), scratch.arg("run"));
    std::fs::create_dir_all(format!("{data}/gsm8k")).unwrap();
    let row =
        r#"{"question": "Ann has 2 pens. Bob has 3. How many?", "answer": "Both: 2+3=<<2+3=5>>5\n#### 5"}"#;
    std::fs::write(format!("{data}/gsm8k/train.jsonl"), format!("{row}\n")).unwrap();
    let asked = ["--model", &model, "--data-dir", &data, "--quiet", "--output-path"];
    let learn = ["--data=gsm8k", "--steps=60", "--learning-rate=2e-2", "--warmup-steps=2", "--shards=1"];
    expect(0, &[&["train", "sft"][..], &asked, &[&tuned], &learn].concat());

    let model = format!("{tuned}/step-000060");
    let asked = ["--model", &model, "--data-dir", &data, "--quiet", "--output-path"];
    let task = ["--tasks=gsm8k", "--split=train", "--max-new-tokens=48"];
    expect(0, &[&["run"][..], &asked, &[&run], &task].concat());
    let samples = std::fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().path());
    let samples = samples.filter(|path| path.to_string_lossy().contains("samples_"));
    let text: String = samples.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert!(text.contains("Both: 2+3=5\\nThe answer is 5."), "{text}");
}

#[test]
fn a_recipe_is_a_list_of_command_lines() {
    let scratch = Scratch::new();
    let out = scratch.arg("mle");
    let lines: Vec<String> = TINY
        .iter()
        .filter_map(|flag| flag.strip_prefix("--")?.split_once('='))
        .map(|(key, value)| format!("{} = {value}\n", key.replace('-', "_")))
        .collect();
    let stage = format!("[[stage]]\ntrain = 'mle'\noutput_path = '{out}'\n{}", lines.concat());
    let recipe = scratch.file("recipe.toml", &stage);
    assert!(expect(0, &["train", "recipe", &recipe, "--quiet"]).contains("6 updates"));
    assert!(expect(0, &["train", "recipe", &recipe]).contains("resuming from"));
    expect(0, &["train", "recipe", &recipe, "--quiet", "--overwrite", "--stages", "1"]);
    for (text, message) in [
        (format!("{stage}wrongshare = 0.1\n"), "wrongshare: no such flag of `entrace mle`"),
        (format!("{stage}seed = 'x'\n"), "stage 1"),
        ("[[stage]]\ntrain = 'ppo'\n".to_string(), "none of mle, sft, rl"),
        ("steps = 3\n".to_string(), "[[stage]] tables only"),
        (String::new(), "there is no [[stage]]"),
    ] {
        let said = expect(2, &["train", "recipe", &scratch.file("bad.toml", &text)]);
        assert!(said.contains(message), "{said}");
    }
}

#[test]
fn the_help_of_a_method_is_about_that_method() {
    let help = |method: &str| expect(0, &["train", method, "--help"]);
    for method in ["mle", "sft"] {
        let said = help(method);
        assert!(!said.contains("reinforcement") && !said.contains("for rl"), "{said}");
        assert!(said.contains("[default: 0.001]") && !said.contains("--rehearse"), "{said}");
    }
    let said = help("rl");
    assert!(
        said.contains("[default: 0.0001]") && said.matches("With --rehearse arith").count() == 4,
        "{said}"
    );
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    let refused = |args: &[&str], message: &str| {
        let said = expect(2, &[&["train"], args, &["--output-path", &out]].concat());
        assert!(said.contains(message), "{said}");
    };
    for flag in
        ["learning-rate", "weight-decay", "final-rate", "clip-norm", "wrong-share", "interrupted-share"]
    {
        for value in ["nan", "inf", "-1"] {
            refused(&["mle", &format!("--{flag}"), value], &format!("--{flag} <"));
        }
    }
    for flag in ["learning-rate", "kl-weight", "entropy-weight", "max-kl", "rehearsal-weight", "lora-alpha"] {
        refused(&["rl", "--model=sprout", &format!("--{flag}=nan")], &format!("--{flag} <"));
    }
    refused(&["mle", "--wrong-share=2"], "--wrong-share");
    refused(&["mle", "--draft-wrong-share", "-1"], "--draft-wrong-share");
    refused(&["rl", "--model=sprout", "--wrong-share=0.5"], "--rehearse");
    refused(&["mle", "--data=no-such-task"], "no-such-task");
    refused(&["mle", "--heads=3"], "--hidden-size");
    refused(&["mle", "--examples=9", "--measure=1", "--measure-config=no-such.toml"], "no-such.toml");
    refused(&["sft"], "--model is missing: a folder in Hugging Face layout");
    let gguf = scratch.file("model.gguf", "GGUF");
    refused(&["sft", "--model", &gguf], "training needs a folder in Hugging Face layout");
    let empty = scratch.arg("empty");
    std::fs::create_dir(&empty).unwrap();
    refused(&["rl", "--model", &empty], "has no config.json");
    assert!(!expect(2, &["train", "sft"]).contains("gguf"));
    refused(&["rl", "--model=sprout@base"], "init, mle, sft, rl");
    refused(&["rl", "--model=sprout", "--rehearsal-weight=1"], "--rehearse");
    let empty = scratch.file("empty.jsonl", "");
    refused(&["rl", "--model=sprout", "--examples=4", "--rehearse", &empty], "no traces");
    assert!(!Path::new(&out).exists());
}
