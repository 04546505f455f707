//! Answering a driver that times several engines in turn: see `benches/peers`.
//!
//! A line on standard input is `NAME` or `NAME N` (only the first N traces); the answer is one line of JSON with seconds, amount and
//! unit. `scores` answers with the numbers that W1 and W3 compute, `sgemm` with the rate of the machine.

use crate::choices;
use crate::outcome::Once;
use crate::workload::Workload;
use crate::{enumerate, machine, rollout, sgemm, tokens};
use anyhow::{Context, Result, bail};
use entrace_decoder::LanguageModel;
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn serve(model: &LanguageModel, workload: &Workload, max_nodes: usize) -> Result<()> {
    say(&json!({"ready": true}));
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let n = words.next().map(str::parse).transpose().context("N is no number")?;
        say(&answer(model, workload, name, n, max_nodes)?);
    }
    Ok(())
}

fn answer(
    model: &LanguageModel,
    workload: &Workload,
    name: &str,
    n: Option<usize>,
    max_nodes: usize,
) -> Result<Value> {
    let traces = &workload.choices[..n.unwrap_or(usize::MAX).min(workload.choices.len())];
    machine::reset_peak();
    let once = match name {
        "W1" => choices::measure(model, traces)?,
        "W2" => rollout::measure(model, &workload.rollout)?,
        "W3" => tokens::measure(model, &workload.tokens)?,
        "W4" => enumerate::measure(model, &workload.enumerate, max_nodes)?,
        "scores" => return scores(model, workload),
        "sgemm" => return Ok(json!({"gflops": sgemm::gflops()})),
        other => bail!("{other:?} is none of W1, W2, W3, W4, scores, sgemm"),
    };
    let Once { seconds, amount, unit, flop, notes } = once;
    let gflop = flop.map(|flop| flop / 1e9);
    Ok(json!({
        "seconds": seconds, "amount": amount, "unit": unit, "gflop": gflop, "notes": notes,
        "peak_bytes": machine::peak_bytes(),
    }))
}

fn scores(model: &LanguageModel, workload: &Workload) -> Result<Value> {
    let tokens: Vec<Vec<f64>> =
        workload.tokens.iter().map(|text| tokens::score(model, &text.token_ids)).collect::<Result<_>>()?;
    Ok(json!({"choices": choices::score(model, &workload.choices)?, "tokens": tokens}))
}

/// Writes the numbers of W1 and W3.
pub(crate) fn write_scores(model: &LanguageModel, workload: &Workload, file: &Path) -> Result<()> {
    std::fs::write(file, scores(model, workload)?.to_string())
        .with_context(|| format!("cannot write {}", file.display()))
}

#[expect(clippy::print_stdout, reason = "the answers are read by the driver")]
fn say(answer: &Value) {
    println!("{answer}");
}
