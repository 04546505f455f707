//! Figures as SVG text.
//!
//! Input: metrics of a task. Output: one SVG per figure, by name. A figure has a title with its unit, a line that says on what it
//! stands (n), lines named at their right end, and pointwise intervals as bands. A group without traces is left out; a figure
//! without any value is not made. The SVGs hold no ids, scripts, styles or fonts of their own, so any number of them fits in one
//! page. The same metrics give the same bytes.

mod bands;
mod forest;
mod frame;
mod histogram;
mod labels;
mod stages;
mod style;
mod trace;

use std::collections::BTreeMap;

pub(crate) use stages::stages;
pub(crate) use trace::{TracePoint, trace_curve};

use crate::error::Error;
use crate::format::count;
use crate::metrics::{Curve, Metrics, TaskMetrics};
use bands::{Series, band_figure};
use style::Role;

/// Figures of a task in the order in which they are shown, as (name, SVG): `entropy`, `information_gain`, `separability`, `lock_in`,
/// `signals`.
pub fn task_figures(
    task: &TaskMetrics,
    depths: &[f64],
    level: f64,
) -> Result<Vec<(&'static str, String)>, Error> {
    let figures = [
        ("entropy", entropy(task, depths, level)?),
        ("usable_information", usable_information(task, depths, level)?),
        ("information_gain", information_gain(task, depths, level)?),
        ("separability", separability(task, depths, level)?),
        ("lock_in", histogram::lock_in(task)?),
        ("signals", forest::signals(task)?),
    ];
    Ok(figures.into_iter().filter_map(|(name, svg)| Some((name, svg?))).collect())
}

/// All figures of a run by file name, `<task>_<figure>.svg`.
pub fn figures(metrics: &Metrics) -> Result<BTreeMap<String, String>, Error> {
    let mut files = BTreeMap::new();
    for (task, stem) in
        metrics.tasks.iter().zip(file_stems(metrics.tasks.iter().map(|task| task.task.as_str())))
    {
        for (name, svg) in task_figures(task, &metrics.depths, metrics.options.level)? {
            files.insert(format!("{stem}_{name}.svg"), svg);
        }
    }
    Ok(files)
}

/// Task names as they can stand in file names: other characters become `-`, equal ones are numbered.
pub(crate) fn file_stems<'a>(tasks: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut stems: Vec<String> = Vec::new();
    for task in tasks {
        let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
        let name: String = task.chars().take(80).map(safe).collect();
        let name = name.trim_start_matches('.').to_string();
        let name = if name.is_empty() { "task".to_string() } else { name };
        let mut stem = name.clone();
        let mut number = 2;
        while stems.contains(&stem) {
            stem = format!("{name}-{number}");
            number += 1;
        }
        stems.push(stem);
    }
    stems
}

fn entropy(task: &TaskMetrics, depths: &[f64], level: f64) -> Result<Option<String>, Error> {
    let groups = &task.entropy;
    let mut series = Vec::new();
    if groups.correct.is_defined() {
        series.push(Series::new("correct", Role::Correct, &groups.correct));
    }
    if groups.wrong.is_defined() {
        series.push(Series::new("wrong", Role::Wrong, &groups.wrong));
    }
    if series.is_empty() && groups.all.is_defined() {
        series.push(Series::new("all", Role::All, &groups.all));
    }
    let subtitle = caption(task, &groups.all, level);
    band_figure("entropy", "Answer entropy H(s), nats", &subtitle, depths, &series, Some(0.0))
}

/// Both readouts where there are two, and the controls of the forced one.
fn usable_information(task: &TaskMetrics, depths: &[f64], level: f64) -> Result<Option<String>, Error> {
    let own = &task.usable_information.all;
    let mut series = Vec::new();
    if own.is_defined() {
        series.push(Series::new(
            if task.rollouts.is_some() { "forced" } else { "own trace" },
            Role::All,
            own,
        ));
    }
    if let Some(rollouts) =
        task.rollouts.as_ref().filter(|rollouts| rollouts.usable_information.all.is_defined())
    {
        series.push(Series::new("rollouts", Role::Correct, &rollouts.usable_information.all));
    }
    for control in task.controls.iter().filter(|c| c.usable_information.is_defined()) {
        series.push(Series::new(&control.control, Role::Control, &control.usable_information));
    }
    let subtitle = caption(task, own, level);
    let title = "Usable information about the true answer I(s), nats";
    band_figure("usable_information", title, &subtitle, depths, &series, Some(0.0))
}

fn information_gain(task: &TaskMetrics, depths: &[f64], level: f64) -> Result<Option<String>, Error> {
    let own = &task.information_gain.all;
    let mut series = Vec::new();
    if own.is_defined() {
        series.push(Series::new("own trace", Role::All, own));
    }
    for control in task.controls.iter().filter(|c| c.information_gain.is_defined()) {
        series.push(Series::new(&control.control, Role::Control, &control.information_gain));
    }
    let subtitle = caption(task, own, level);
    let title = "Information gained about the target G(s), nats";
    band_figure("information_gain", title, &subtitle, depths, &series, Some(0.0))
}

fn separability(task: &TaskMetrics, depths: &[f64], level: f64) -> Result<Option<String>, Error> {
    let area = &task.separability;
    if !area.is_defined() {
        return Ok(None);
    }
    let series = [Series::new("AUROC", Role::All, area)];
    let counts = format!(
        "{}: {} correct, {} wrong {}; band: {}",
        short(&task.task),
        task.counts.correct,
        task.counts.wrong,
        if task.counts.correct + task.counts.wrong == 1 { "trace" } else { "traces" },
        level_name(level)
    );
    bands::unit_figure("separability", "AUROC of −H(s) for correctness", &counts, depths, &series)
}

fn caption(task: &TaskMetrics, curve: &Curve, level: f64) -> String {
    format!(
        "{}: {}, {}; bands: {}",
        short(&task.task),
        count(curve.n_questions, "question"),
        count(curve.n_traces, "trace"),
        level_name(level)
    )
}

fn level_name(level: f64) -> String {
    format!("{} % intervals", crate::format::decimal(100.0 * level, 0))
}

/// A name that fits in a caption.
fn short(name: &str) -> String {
    if name.chars().count() <= 28 {
        return name.to_string();
    }
    name.chars().take(27).chain(['…']).collect()
}
