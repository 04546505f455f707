//! Trains a tiny model on sums of two digits and writes its checkpoint.
//!
//! `cargo run -p entrace-train --example tiny_checkpoint -- FOLDER` makes FOLDER/step-000200. The committed one, `goldens/train/out/trained`, was
//! made by it; `goldens/train/generate.py` adds what transformers makes of it.

use entrace_text::tokenizer::Tokenizer;
use entrace_train::{
    Checkpoints, Decay, Example, ExportType, FitData, FitOptions, Flow, LossOn, Model, ModelSize, Output,
    Schedule, Vocabulary, encode, fit,
};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("give a folder")?);
    let vocabulary = Vocabulary::new([" is", "What"].map(String::from))?;
    let texts = vocabulary.files(64);
    texts.write(&folder)?;
    let tokenizer = Tokenizer::from_dir(&folder)?;
    let size = ModelSize {
        hidden_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        intermediate_size: 48,
        max_position_embeddings: 64,
        ..ModelSize::default()
    };
    let model = Model::from_scratch(size.config(&vocabulary.ids()), 0)?;
    let sums = (0..100).map(|i| (i / 10, i % 10));
    let examples: Vec<Example> = sums
        .map(|(a, b)| Example {
            prompt: format!("What is {a}+{b}?"),
            completion: format!(" {}", a + b),
            ..Example::default()
        })
        .collect();
    let data = encode(&tokenizer, &examples, LossOn::Completion, 64)?;
    let output = Output {
        folder,
        texts,
        checkpoints: Checkpoints::default(),
        export: ExportType::Bf16,
        resumable: false,
    };
    let options = FitOptions {
        steps: 200,
        batch_tokens: 1000,
        schedule: Schedule { peak: 1e-2, warmup_steps: 10, decay: Decay::Cosine(0.1) },
        ..FitOptions::default()
    };
    fit(&model, FitData { train: &data.sequences, held_out: &[] }, &options, &output, None, &mut |_| {
        Flow::Continue
    })?;
    Ok(())
}
