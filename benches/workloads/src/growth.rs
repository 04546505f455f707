//! How time and memory grow: with the number of prefixes of a trace, with the number of traces, and with the length of a text.
//!
//! Doubling the prefixes should add their cue tokens and nothing else, so seconds per token stay the same; time should be linear in
//! traces; memory should not depend on anything but the weights and the cache of one tree.

use crate::choices;
use crate::machine;
use crate::outcome::{Once, Outcome, Results};
use crate::tokens;
use crate::workload::{Choices, Tokens, Workload};
use anyhow::Result;
use entrace_decoder::LanguageModel;

/// Traces on which prefixes are varied.
const N_TRACES: usize = 16;

/// One point of a curve.
struct Point<'a> {
    outcome: Outcome,
    run: Box<dyn Fn() -> Result<Once> + 'a>,
}

pub(crate) fn measure(
    model: &LanguageModel,
    workload: &Workload,
    repeats: u32,
    results: &mut Results,
) -> Result<()> {
    let mut points = Vec::new();
    let some = &workload.choices[..workload.choices.len().min(N_TRACES)];
    for n_prefixes in [7, 14, 28, 56] {
        let traces: Vec<Choices> = some.iter().map(|trace| with_prefixes(trace, n_prefixes)).collect();
        points.push(Point {
            outcome: Outcome::new(format!("growth: {n_prefixes} prefixes each")),
            run: Box::new(move || choices::measure(model, &traces)),
        });
    }
    for share in [8, 4, 2, 1] {
        let traces = &workload.choices[..workload.choices.len() / share];
        points.push(Point {
            outcome: Outcome::new(format!("growth: {} traces", traces.len())),
            run: Box::new(move || choices::measure(model, traces)),
        });
    }
    let Some(text) = workload.tokens.first() else { return Ok(()) };
    for n_tokens in [512, 1024, 2048, 4096] {
        let token_ids = text.token_ids.iter().copied().cycle().take(n_tokens).collect();
        points.push(Point {
            outcome: Outcome::new(format!("growth: text of {n_tokens} tokens")),
            run: Box::new(move || tokens::measure(model, &[Tokens { token_ids: Vec::clone(&token_ids) }])),
        });
    }
    for _ in 0..repeats {
        for point in &mut points {
            machine::reset_peak();
            let once = (point.run)()?;
            point.outcome.add(once, machine::peak_bytes());
        }
    }
    results.outcomes.extend(points.into_iter().map(|point| point.outcome));
    Ok(())
}

/// The same trace with that many prefixes, spread evenly from the prompt alone to the whole trace.
fn with_prefixes(trace: &Choices, n: usize) -> Choices {
    let n_tokens = trace.trace_ids.len();
    let prefixes = (0..n).map(|k| k * n_tokens / (n - 1)).collect();
    Choices { prefixes, ..trace.clone() }
}
