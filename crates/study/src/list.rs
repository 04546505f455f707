//! What is built in: tasks, estimators, signals and architectures, as rows of text.

use entrace_datasets::{Source, task};
use entrace_measure::signal::{Direction, SIGNALS, Signal};

/// Name and description of each task.
pub fn tasks() -> Vec<Vec<String>> {
    let from = |source: &Source| match source {
        Source::Published(files) => files.hub_repo,
        Source::Made(_) => "made, needs no files",
    };
    let row = |task: &entrace_datasets::TaskSpec| {
        let description = format!("{} ({}; {})", task.description, from(&task.source), task.citation);
        vec![task.name.into(), description]
    };
    task::registry().iter().map(row).collect()
}

/// `model_type` of each architecture, with the models that have it.
pub fn architectures() -> Vec<Vec<String>> {
    let families = entrace_decoder::arch::FAMILIES.iter();
    families.map(|f| vec![f.model_type.into(), format!("{} (GGUF: {})", f.models, f.gguf)]).collect()
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

/// Name and description of each estimator.
pub fn estimators() -> Vec<Vec<String>> {
    ESTIMATORS.iter().map(|row| row.map(String::from).into()).collect()
}

/// A head line and each signal: name, level, sign of the score (`+` the quantity as measured, `−` its negative, so that larger is always more
/// confident), range of the score, the group that must be asked for (none for what every run records), what it is computed from, source.
pub fn signals() -> Vec<Vec<String>> {
    let head = ["name", "level", "sign", "range", "group", "from", "source"].map(String::from);
    std::iter::once(head.into()).chain(SIGNALS.iter().map(signal)).collect()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_says_what_must_be_asked_for() {
        let row = |name| signal(Signal::from_name(name).unwrap());
        assert_eq!(row("lens_entropy")[1..5], ["layer", "−", "−∞ to 0", "layers"]);
        assert_eq!(row("p_true")[1..5], ["sequence", "+", "0 to 1", "p_true"]);
        assert_eq!(row("mean_logprob")[4], "");
    }
}
