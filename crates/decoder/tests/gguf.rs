//! GGUF files against transformers.
//!
//! The folders in `goldens/gguf/out` hold a tiny GGUF file and the logits that transformers computes from the numbers in it: those
//! of the `gguf` package's dequantisation, brought back to the layout of a checkpoint. Ours must agree within 1e-4 absolute + 1e-4
//! relative, as for safetensors (see `parity.rs`). Made by `goldens/gguf/generate.py`; `ENTRACE_GGUF_GOLDENS` names another folder of
//! the same layout.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{DType, Device};
use entrace_backend::conformance::{Tolerances, check_layers, check_tree};
use entrace_decoder::{Decoder, Options};
use std::path::{Path, PathBuf};

fn folders() -> Vec<PathBuf> {
    let root = match std::env::var_os("ENTRACE_GGUF_GOLDENS") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/gguf/out"),
    };
    let entries = std::fs::read_dir(&root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "no goldens in {}", root.display());
    folders
}

fn open(folder: &Path) -> Decoder {
    let whole = folder.join("model.gguf");
    let path = if whole.exists() { whole } else { folder.join("model-00001-of-00003.gguf") };
    Decoder::open("tiny", &path, Options::default()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn logits_equal_those_of_the_dequantised_weights() {
    for folder in folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let golden = candle_core::safetensors::load(folder.join("golden.safetensors"), &Device::Cpu).unwrap();
        let ids: Vec<u32> = golden["input_ids"].to_dtype(DType::U32).unwrap().to_vec1().unwrap();
        let expected = golden["logits"].to_vec2::<f32>().unwrap();
        let (_, logits) = open(&folder).hidden_states(&ids).unwrap();
        for (at, (found, expected)) in logits.to_vec2::<f32>().unwrap().iter().zip(&expected).enumerate() {
            for (found, expected) in found.iter().zip(expected) {
                let tolerance = 1e-4 + 1e-4 * expected.abs();
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{name}, token {at}: {found} against {expected}"
                );
            }
        }
    }
}

#[test]
fn what_a_file_says_of_itself_is_read() {
    let found: Vec<String> = folders()
        .iter()
        .map(|folder| {
            let decoder = open(folder);
            let info = decoder.info();
            format!(
                "{}: {}, {} layer(s), {} tokens, context {}, {} parameters",
                folder.file_name().unwrap().to_string_lossy(),
                info.architecture,
                info.n_layers.unwrap(),
                info.vocab_size,
                info.context_length,
                info.n_parameters.unwrap()
            )
        })
        .collect();
    if std::env::var_os("ENTRACE_GGUF_GOLDENS").is_some() {
        return println!("{}", found.join("\n"));
    }
    assert_eq!(found, EXPECTED);
}

const EXPECTED: [&str; 20] = [
    "deepseek-v2-bare-q8_0: deepseek_v2, 2 layer(s), 64 tokens, context 256, 51040 parameters",
    "deepseek-v2-q5_0: deepseek_v2, 2 layer(s), 64 tokens, context 256, 53152 parameters",
    "deepseek-v3-q4_1: deepseek_v3, 2 layer(s), 64 tokens, context 256, 53156 parameters",
    "gemma2-q4_1: gemma2, 2 layer(s), 64 tokens, context 256, 26912 parameters",
    "gemma3-bare-q8_0: gemma3_text, 6 layer(s), 64 tokens, context 2048, 58240 parameters",
    "gemma3-q5_0: gemma3_text, 3 layer(s), 64 tokens, context 256, 39424 parameters",
    "llama-bias-bf16: llama, 2 layer(s), 64 tokens, context 256, 22880 parameters",
    "llama-f32: llama, 2 layer(s), 64 tokens, context 256, 22688 parameters",
    "llama-k: llama, 1 layer(s), 64 tokens, context 256, 82688 parameters",
    "llama-linear-q5_1: llama, 2 layer(s), 64 tokens, context 1024, 22688 parameters",
    "llama3-tied-f16: llama, 2 layer(s), 64 tokens, context 256, 20640 parameters",
    "olmo-q8_0: olmo, 2 layer(s), 64 tokens, context 256, 24576 parameters",
    "olmo2-q8_0: olmo2, 2 layer(s), 64 tokens, context 256, 22784 parameters",
    "olmo3-q8_0: olmo3, 4 layer(s), 64 tokens, context 128, 41440 parameters",
    "phi3-longrope-bf16: phi3, 2 layer(s), 64 tokens, context 128, 22688 parameters",
    "phi3-q5_1: phi3, 2 layer(s), 64 tokens, context 256, 22688 parameters",
    "qwen2-q8_0: qwen2, 2 layer(s), 64 tokens, context 256, 22816 parameters",
    "qwen2-split-f16: qwen2, 2 layer(s), 64 tokens, context 256, 22816 parameters",
    "qwen2-yarn-tied-q5_0: qwen2, 2 layer(s), 64 tokens, context 128, 20768 parameters",
    "qwen3-q4_0: qwen3, 2 layer(s), 64 tokens, context 256, 28896 parameters",
];

#[test]
fn quantised_models_score_as_promised() {
    for folder in folders() {
        println!("{}", folder.display());
        let decoder = open(&folder);
        let tolerances = Tolerances { nats: 2e-4, ..Tolerances::default() };
        check_tree(&decoder, decoder.info(), &tolerances);
        check_layers(&decoder, decoder.info(), &tolerances);
    }
}
