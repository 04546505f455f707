//! `entrace ls`: what is built in, as columns.
//!
//! Signals have a head line: name, level, sign of the score (`+` the quantity as measured, `−` its negative, so that larger is always
//! more confident), range of the score, what `--signals` must name for it (nothing for what every run records), what it is computed
//! from, source.

use crate::args::{Listing, LsArgs};
use crate::exit::Exit;
use anyhow::Result;
use entrace_datasets::Source;
use entrace_measure::signal::{Direction, SIGNALS, Signal};
use std::io::Write;

pub(crate) fn ls(args: &LsArgs) -> Result<Exit> {
    let rows: Vec<Vec<String>> = match args.what {
        Listing::Tasks => {
            let tasks = entrace_datasets::task::registry().iter();
            let from = |source: &Source| match source {
                Source::Published(files) => files.hub_repo,
                Source::Made(_) => "made, needs no files",
            };
            tasks
                .map(|t| {
                    vec![t.name.into(), format!("{} ({}; {})", t.description, from(&t.source), t.citation)]
                })
                .collect()
        }
        Listing::Architectures => {
            let families = entrace_decoder::arch::FAMILIES.iter();
            families.map(|f| vec![f.model_type.into(), format!("{} (GGUF: {})", f.models, f.gguf)]).collect()
        }
        Listing::Estimators => ESTIMATORS.iter().map(|row| row.map(String::from).into()).collect(),
        Listing::Signals => {
            let head = ["name", "level", "sign", "range", "--signals", "from", "source"].map(String::from);
            std::iter::once(head.into()).chain(SIGNALS.iter().map(signal)).collect()
        }
    };
    let mut out = crate::terminal::stdout();
    for line in aligned(&rows) {
        writeln!(out, "{line}")?;
    }
    Ok(Exit::success())
}

const ESTIMATORS: [[&str; 2]; 5] = [
    ["auto", "choices where the question lists options, else enumerate"],
    ["choices", "forced: log-probability of every listed option after prefix and cue, renormalised"],
    [
        "enumerate",
        "forced: best-first expansion of answer strings after prefix and cue; certified entropy interval",
    ],
    ["sample", "forced: m sampled answers after prefix and cue"],
    ["rollout", "m sampled continuations to the end of the trace, each read for its final answer"],
];

fn signal(signal: &Signal) -> Vec<String> {
    let sign = match signal.direction {
        Direction::AsMeasured => "+",
        Direction::Negated => "−",
    };
    let end = |bound: f64| {
        let size = if bound.is_finite() { bound.abs().to_string() } else { "∞".to_string() };
        if bound < 0.0 { format!("−{size}") } else { size }
    };
    let needs: Vec<&str> = signal.needs.iter().map(|input| input.name()).collect();
    vec![
        signal.name.into(),
        signal.level.name().into(),
        sign.into(),
        format!("{} to {}", end(signal.range.0), end(signal.range.1)),
        signal.group().map_or("", |group| group.name()).into(),
        needs.join(", "),
        signal.source.into(),
    ]
}

/// Rows with all columns but the last as wide as their widest cell.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..n_columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| match column + 1 == row.len() {
            true => cell.clone(),
            false => format!("{cell:<width$}", width = widths[column]),
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [["−∞", "b"], ["longer", "c"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(aligned(&rows), ["−∞      b", "longer  c"]);
    }

    #[test]
    fn a_signal_says_what_must_be_asked_for() {
        let row = |name| signal(Signal::from_name(name).unwrap());
        assert_eq!(row("lens_entropy")[1..5], ["layer", "−", "−∞ to 0", "layers"]);
        assert_eq!(row("p_true")[1..5], ["sequence", "+", "0 to 1", "p_true"]);
        assert_eq!(row("mean_logprob")[4], "");
    }
}
