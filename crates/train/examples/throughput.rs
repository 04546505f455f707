//! Training speed as a share of this machine's rate of matrix products.
//!
//! `cargo run --release -p entrace-train --example throughput -- [steps] [batch tokens] [shards] [folder]` fits the default model, or
//! adapters of the model in the folder, to random sequences of 96 to 160 tokens and prints tokens per second. One token costs 4 operations
//! for each weight and 2 more for each trained one; the share is that over the rate of single-threaded products of 1024 × 1024 matrices on
//! all threads at once, measured before and after.

#![expect(clippy::print_stdout, reason = "an example that prints its result")]

use candle_core::{Device, Tensor};
use entrace_train::{
    Adaptation, Checkpoints, Event, ExportType, FitData, FitOptions, Flow, Lora, Model, ModelSize, Output,
    Sequence, TextFiles, VocabularyIds, fit,
};
use rayon::prelude::*;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| arguments.get(index).map_or(Ok(default), |a| a.parse());
    let (steps, batch_tokens, shards) = (number(0, 20)?, number(1, 8192)?, number(2, 8)?);

    let vocabulary = VocabularyIds { size: 400, bos: 1, eos: 2 };
    let model = match arguments.get(3) {
        Some(folder) => Model::load(folder.as_ref(), &Adaptation::Lora(Lora::default()), 0)?,
        None => Model::from_scratch(ModelSize::default().config(&vocabulary), 0)?,
    };
    let sequences: Vec<Sequence> = (0..2000u32)
        .filter_map(|i| {
            let n = 97 + i * 31 % 64;
            Sequence::new((0..n).map(|j| (i * 7919 + j * j * 31) % 397).collect(), 1)
        })
        .collect();
    let folder = tempfile::tempdir()?;
    let output = Output {
        folder: folder.path().to_path_buf(),
        texts: TextFiles::default(),
        checkpoints: Checkpoints::default(),
        export: ExportType::F32,
        resumable: false,
    };
    let options = FitOptions {
        steps: steps as u64,
        batch_tokens,
        shards,
        evaluate_every: None,
        ..FitOptions::default()
    };
    let before = products_per_sec()?;
    let mut rates = Vec::new();
    let data = FitData { train: &sequences, held_out: &[] };
    fit(&model, data, &options, &output, None, &mut |event| {
        if let Event::Fitted(row) = event {
            rates.push(row.tokens_per_sec);
        }
        Flow::Continue
    })?;
    let after = products_per_sec()?;
    rates.sort_by(f64::total_cmp);
    let rate = rates[rates.len() / 2];
    let sgemm = before.max(after);
    let n = model.n_parameters();
    println!(
        "{n} weights, {} trained, {} threads, {shards} shards",
        model.n_trained(),
        rayon::current_num_threads()
    );
    println!("median {rate:.0} tokens/s, best {:.0}", rates[rates.len() - 1]);
    println!("products: {:.1} and {:.1} Gflop/s", before / 1e9, after / 1e9);
    println!("share: {:.1} %", 100.0 * (4 * n + 2 * model.n_trained()) as f64 * rate / sgemm);
    Ok(())
}

/// Floating-point operations per second in matrix products on all threads.
fn products_per_sec() -> candle_core::Result<f64> {
    let n = 1024;
    let work = |_| {
        let a = Tensor::rand(-1f32, 1f32, (n, n), &Device::Cpu)?;
        let started = Instant::now();
        for _ in 0..8 {
            a.matmul(&a)?;
        }
        Ok(8.0 * 2.0 * (n as f64).powi(3) / started.elapsed().as_secs_f64())
    };
    let rates = (0..rayon::current_num_threads()).into_par_iter().map(work);
    Ok(rates.collect::<candle_core::Result<Vec<f64>>>()?.iter().sum())
}
