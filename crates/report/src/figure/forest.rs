//! AUROCs of signals as dots with intervals, one line for each, by level.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::frame::{Axis, Canvas, Chart, Drawn, Frame, draw};
use super::style::{MUTED, Role, TICK, px, size, text};
use crate::error::Error;
use crate::format::Scale;
use crate::metrics::predict::{LEVELS, SignalMetrics};
use crate::metrics::{Quantity, TaskMetrics};

/// Height of a line in pixels.
const LINE: u32 = 21;

/// Width of the names at the left in pixels.
const NAMES: u32 = 240;

/// A line: its label at the left, and its area; `None` for a heading.
struct Line<'a> {
    label: String,
    area: Option<&'a Quantity>,
    role: Role,
}

/// The figure; `None` without areas.
pub(super) fn signals(task: &TaskMetrics) -> Result<Option<String>, Error> {
    let lines = lines(task);
    if lines.is_empty() {
        return Ok(None);
    }
    let n = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    let frame = Frame {
        title: "AUROC of each signal for correctness".to_string(),
        subtitle: format!(
            "{}: {} correct, {} wrong; 0.5 is chance",
            super::short(&task.task),
            task.predict.n_correct,
            task.predict.n_traces - task.predict.n_correct
        ),
        x_label: "AUROC".to_string(),
        extent: (760, 110 + LINE * n),
        left: NAMES,
        right: 130,
        x: Axis::unit(),
        y: Axis { low: 0.0, high: f64::from(n), ticks: Vec::new(), decimals: 0, names: Vec::new() },
    };
    draw("signals", &frame, |canvas, chart| {
        let chance = vec![(0.5, 0.0), (0.5, f64::from(n))];
        chart.draw_series(DashedLineSeries::new(chance, size(3), size(3), MUTED.stroke_width(size(1))))?;
        for (i, line) in lines.iter().enumerate() {
            draw_line(canvas, chart, line, f64::from(n) - i as f64 - 0.5)?;
        }
        Ok(())
    })
    .map(Some)
}

/// Headings and signals by level, the largest area first within each; the combined score last.
fn lines(task: &TaskMetrics) -> Vec<Line<'_>> {
    let ranked = task.predict.ranked();
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (level, _) in LEVELS {
        let signals: Vec<&&SignalMetrics> = ranked.iter().filter(|s| s.level == level).collect();
        if signals.is_empty() {
            continue;
        }
        lines.push(Line { label: format!("{level} level"), area: None, role: Role::Control });
        lines.extend(signals.into_iter().map(|s| Line {
            label: if s.negated { format!("−{}", s.signal) } else { s.signal.clone() },
            area: Some(&s.auroc),
            role: Role::All,
        }));
    }
    if task.predict.combined.auroc.value.is_some() {
        let area = Some(&task.predict.combined.auroc);
        lines.push(Line { label: "combined, cross-validated".to_string(), area, role: Role::Correct });
    }
    lines
}

fn draw_line(canvas: &Canvas<'_>, chart: &mut Chart<'_, '_>, line: &Line<'_>, y: f64) -> Drawn<()> {
    let (left, row) = chart.backend_coord(&(0.0, y));
    let right = chart.backend_coord(&(1.0, y)).0;
    let Some(area) = line.area else {
        let style = text(TICK, MUTED, HPos::Left);
        canvas.draw(&Text::new(line.label.clone(), (px(10), row), style))?;
        return Ok(());
    };
    let color = line.role.color();
    canvas.draw(&Text::new(line.label.clone(), (left - px(12), row), text(TICK, color, HPos::Right)))?;
    if let (Some(low), Some(high)) = (area.low, area.high) {
        let interval = PathElement::new(vec![(low, y), (high, y)], color.stroke_width(size(2)));
        chart.draw_series([interval])?;
    }
    if let Some(value) = area.value {
        chart.draw_series([Circle::new((value, y), px(4), color.filled())])?;
    }
    let numbers = Scale::Plain.with_interval(area);
    canvas.draw(&Text::new(numbers, (right + px(12), row), text(TICK, MUTED, HPos::Left)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use entrace_record::rows::SignalRow;

    use super::*;
    use crate::metrics::{MetricOptions, Metrics};
    use crate::synthetic;

    #[test]
    fn every_level_is_shown() {
        let (manifest, mut rows) = synthetic::run(60, 1);
        let names =
            ["semantic_entropy", "lens_entropy", "eigen_score", "attention_score", "verbalised_confidence"];
        for (n, trace) in rows.traces.iter().enumerate() {
            rows.signals.extend(names.map(|name| SignalRow {
                task: trace.task.clone(),
                question_id: trace.question_id.clone(),
                sample: trace.sample,
                signal: name.into(),
                value: Some((n * 7 % 31) as f64 / 31.0),
                reason: None,
            }));
        }
        let options = MetricOptions { replicates: 60, ..MetricOptions::default() };
        let metrics = Metrics::of(&manifest, &rows, &options);
        let task = &metrics.tasks[0];
        let shown = lines(task).iter().filter(|line| line.area.is_some()).count();
        let combined = usize::from(task.predict.combined.auroc.value.is_some());
        assert_eq!(shown, task.predict.ranked().len() + combined);
        for level in ["layer level", "hidden level", "attention level"] {
            assert!(lines(task).iter().any(|line| line.label == level), "{level}");
        }
    }
}
