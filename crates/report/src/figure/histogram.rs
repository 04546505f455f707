//! How deep in their traces answers lock in: counts by tenth of the depth, and those that never do.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::frame::{Axis, Canvas, Chart, Drawn, Frame, LEFT, draw};
use super::style::{LABEL, MUTED, Role, TICK, px, text};
use crate::error::Error;
use crate::format::count;
use crate::metrics::{LOCK_IN_BINS, LockInMetrics, TaskMetrics};

/// Left end of the bar of traces that never lock in, on an axis where the histogram ends at 1.
const NEVER: f64 = 1.1;

/// Right end of that axis.
const END: f64 = 1.22;

/// Bars of one group, stacked on those before it.
struct Layer<'a> {
    label: &'static str,
    role: Role,
    group: &'a LockInMetrics,
}

pub(super) fn lock_in(task: &TaskMetrics) -> Result<Option<String>, Error> {
    let groups = &task.lock_in;
    let n_traces = groups.all.histogram.iter().sum::<usize>() + groups.all.never;
    if n_traces == 0 {
        return Ok(None);
    }
    let known = task.counts.correct + task.counts.wrong;
    let layers = if known == n_traces {
        vec![
            Layer { label: "correct", role: Role::Correct, group: &groups.correct },
            Layer { label: "wrong", role: Role::Wrong, group: &groups.wrong },
        ]
    } else {
        vec![Layer { label: "all", role: Role::All, group: &groups.all }]
    };
    let tallest = groups.all.histogram.iter().copied().chain([groups.all.never]).max().unwrap_or(1);
    let mut y = Axis::holding(0.0, tallest as f64);
    y.ticks.retain(|tick| (tick - tick.round()).abs() < 1e-9);
    y.decimals = 0;
    let frame = Frame {
        title: "Depth at which the answer locks in, traces".to_string(),
        subtitle: format!(
            "{}: {}, {} of them never lock in",
            super::short(&task.task),
            count(n_traces, "trace"),
            groups.all.never
        ),
        x_label: "relative depth s of the lock-in step".to_string(),
        extent: (560, 370),
        left: LEFT,
        right: 96,
        x: Axis { high: END, ..Axis::unit() },
        y,
    };
    draw("lock_in", &frame, |canvas, chart| {
        let mut base = [0_usize; LOCK_IN_BINS + 1];
        for layer in &layers {
            stack(chart, layer, &mut base)?;
        }
        names(canvas, chart, &frame, &layers)
    })
    .map(Some)
}

/// Draws a layer's bars on top of `base` and raises it.
fn stack(chart: &mut Chart<'_, '_>, layer: &Layer<'_>, base: &mut [usize]) -> Drawn<()> {
    let width = 1.0 / LOCK_IN_BINS as f64;
    let heights = layer.group.histogram.iter().copied().chain([layer.group.never]);
    for (bin, height) in heights.enumerate().take(LOCK_IN_BINS + 1) {
        if height == 0 {
            continue;
        }
        let left = if bin < LOCK_IN_BINS { bin as f64 * width } else { NEVER };
        let low = (left + 0.06 * width, base[bin] as f64);
        base[bin] += height;
        let high = (left + 0.94 * width, base[bin] as f64);
        chart.draw_series([Rectangle::new([low, high], layer.role.color().mix(0.85).filled())])?;
    }
    Ok(())
}

/// Names the groups at the right, in the order in which they are stacked, and the bar that is no depth.
fn names(canvas: &Canvas<'_>, chart: &Chart<'_, '_>, frame: &Frame, layers: &[Layer<'_>]) -> Drawn<()> {
    let (right, top) = chart.backend_coord(&(END, frame.y.high));
    for (i, layer) in layers.iter().rev().enumerate() {
        let y = top + px(8 + 22 * i as i32);
        let square = [(right + px(9), y - px(5)), (right + px(19), y + px(5))];
        canvas.draw(&Rectangle::new(square, layer.role.color().mix(0.85).filled()))?;
        canvas.draw(&Text::new(
            layer.label.to_string(),
            (right + px(25), y),
            text(LABEL, layer.role.color(), HPos::Left),
        ))?;
    }
    let (x, bottom) = chart.backend_coord(&(NEVER + 0.05, frame.y.low));
    canvas.draw(&Text::new("never".to_string(), (x, bottom + px(15)), text(TICK, MUTED, HPos::Center)))?;
    Ok(())
}
