//! A tiny model, small files, and running the program on them.

use candle_core::{Device, Tensor};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder that is removed at the end of the test.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and returns its path as an argument.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A path below the folder as an argument.
    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A model folder: a checkpoint of the goldens with the vocabulary of a small tokenizer.
    pub(crate) fn model(&self) -> String {
        let folder = self.path("model");
        std::fs::create_dir(&folder).unwrap();
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens");
        let source = goldens.join("text/out/smollm");
        for entry in std::fs::read_dir(&source).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
        let vocab_size = entrace_text::tokenizer::Tokenizer::from_dir(&source).unwrap().vocab_size();
        let checkpoint = goldens.join("models/out/llama-gqa");
        let config = std::fs::read_to_string(checkpoint.join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
        config["vocab_size"] = vocab_size.into();
        config["max_position_embeddings"] = 384.into();
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        let mut weights =
            candle_core::safetensors::load(checkpoint.join("model.safetensors"), &Device::Cpu).unwrap();
        for name in ["model.embed_tokens.weight", "lm_head.weight"] {
            let weight = weights.get_mut(name).unwrap();
            let width = weight.dim(1).unwrap();
            *weight =
                Tensor::from_vec(numbers(vocab_size * width), (vocab_size, width), &Device::Cpu).unwrap();
        }
        candle_core::safetensors::save(&weights, folder.join("model.safetensors")).unwrap();
        folder.display().to_string()
    }
}

/// Numbers in [−0.6, 0.6) without a pattern.
fn numbers(n: usize) -> Vec<f32> {
    let mix = |i: usize| {
        (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    (0..n).map(|i| (mix(i + 1) >> 40) as f32 / (1 << 24) as f32 * 1.2 - 0.6).collect()
}

/// The program with arguments, offline.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entrace"));
    command
        .args(args)
        .env("HF_HUB_OFFLINE", "1")
        .env("NO_COLOR", "1")
        .env_remove("RUST_BACKTRACE")
        .env_remove("OPENAI_BASE_URL")
        .env_remove("OPENAI_API_KEY");
    command
}

/// Runs the program.
pub(crate) fn entrace(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// What a run printed, for messages.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs the program and checks its exit code.
pub(crate) fn expect(code: i32, args: &[&str]) -> String {
    let output = entrace(args);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?} said:\n{said}");
    said
}

/// Questions with numbers as answers, one JSON object a line.
pub(crate) const QUESTIONS: &str = concat!(
    r#"{"id": "a", "question": "Mia has 3 pens and buys 4. How many pens has she?", "target": "7"}"#,
    "\n",
    r#"{"id": "b", "question": "A box holds 12 eggs. 5 break. How many are whole?", "target": "7"}"#,
    "\n",
    r#"{"id": "c", "question": "Two rows of 6 chairs. How many chairs?", "target": "12"}"#,
    "\n",
    r#"{"id": "d", "question": "What is 9 minus 8?", "target": "1"}"#,
    "\n",
);

/// Traces with options and recorded steps.
pub(crate) const TRACES: &str = concat!(
    r#"{"id": "a", "question": "Which is a fruit?", "choices": {"labels": ["A", "B"], "texts": ["pear", "stone"]}, "#,
    r#""trace": "A stone is not eaten.\nA pear is.\nThe answer is A.", "target": "A", "#,
    r#""steps": ["A stone is not eaten.\n", "A pear is.\n", "The answer is A."]}"#,
    "\n",
    r#"{"id": "b", "question": "Which is hot?", "choices": {"labels": ["A", "B"], "texts": ["ice", "fire"]}, "#,
    r#""trace": "Ice is cold.\nFire burns.\nThe answer is A.", "target": "B"}"#,
    "\n",
    r#"{"id": "c", "question": "Which is heavy?", "choices": {"labels": ["A", "B", "C"], "texts": ["air", "lead", "wool"]}, "#,
    r#""trace": "Wool is light.\nSo is air.\nThe answer is B.", "target": "B"}"#,
    "\n",
);

/// The rows of a run.
pub(crate) fn rows(dir: &str) -> entrace_record::rows::Rows {
    let reader = entrace_record::RunReader::open(Path::new(dir)).unwrap();
    entrace_record::rows::Rows {
        traces: reader.traces().unwrap(),
        prefixes: reader.prefixes().unwrap(),
        answers: reader.answers().unwrap(),
        tokens: reader.tokens().unwrap(),
        ..Default::default()
    }
}
