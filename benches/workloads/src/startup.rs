//! From the start of a process to its first generated token, with the model's files already in the page cache.

use crate::args::Args;
use crate::outcome::{Once, Outcome};
use anyhow::{Result, ensure};
use entrace_backend::{Fork, Generate, GenerateRequest, Sampling, Text};
use entrace_decoder::Options;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Times new processes that end at their first token.
pub(crate) fn measure(model: &Path, args: &Args) -> Result<Outcome> {
    let mut outcome = Outcome::new("startup to first token");
    for _ in 0..args.repeats.max(3) {
        let begin = Instant::now();
        let program = std::env::current_exe()?;
        let status = Command::new(program).arg("--first-token").arg("--model").arg(model).status()?;
        let seconds = begin.elapsed().as_secs_f64();
        ensure!(status.success(), "the new process failed");
        let notes = BTreeMap::new();
        outcome.add(Once { seconds, amount: 1.0, unit: "start", flop: None, notes }, None);
    }
    Ok(outcome)
}

/// What the new process does.
pub(crate) fn first_token(path: &Path, options: Options) -> Result<()> {
    let model = crate::open(path, options)?;
    let context = model.encode_prompt("The answer to the question is")?.token_ids;
    let forks =
        vec![Fork { n_tokens: context.len(), suffix: Vec::new(), streams: vec![0], max_new_tokens: None }];
    let sampling = Sampling { temperature: 0.0, top_p: 1.0, top_k: 0, max_new_tokens: 1, stop: Vec::new() };
    model.generate(&[GenerateRequest { context, forks }], &sampling, &mut |_| true)?;
    Ok(())
}
