//! Quantities by stage of training: one panel for each, dots with intervals joined by a line.

use std::fmt::Write as _;

use plotters::prelude::*;

use super::frame::{Axis, Chart, Drawn, Frame, LEFT, draw, escape};
use super::labels::labels;
use super::style::{Role, px, size};
use crate::compare::{QuantityComparison, TaskComparison};
use crate::error::Error;
use crate::format::{decimal, printable};
use crate::metrics::Quantity;

/// Width and height of a panel in pixels.
const PANEL: (u32, u32) = (400, 290);

/// Panels in a row.
const COLUMNS: usize = 3;

/// Space to the right of the axes of a panel in pixels.
const RIGHT: u32 = 24;

/// Width of a character under an axis, in pixels, rounded up.
const CHARACTER: usize = 8;

/// Longest name of a stage under an axis.
const LONGEST: usize = 14;

/// Height of a line of the key in pixels.
const KEY_LINE: u32 = 20;

/// All quantities that some stage has, as one SVG. Where names of stages were shortened, a key below gives the full ones.
pub(crate) fn stages(task: &TaskComparison, stages: &[&str], level: f64) -> Result<String, Error> {
    let known = |q: &&QuantityComparison| q.stages.iter().any(|stage| stage.value.is_some());
    let room = (PANEL.0 - LEFT - RIGHT) as usize / stages.len().max(1) / CHARACTER;
    let names = labels(stages, room.saturating_sub(1).min(LONGEST));
    let panels: Vec<String> = task
        .quantities
        .iter()
        .filter(known)
        .map(|quantity| panel(quantity, &names, level))
        .collect::<Result<_, Error>>()?;
    let key = key(stages, &names);
    let n_rows = u32::try_from(panels.len().div_ceil(COLUMNS).max(1)).unwrap_or(u32::MAX);
    let top_of_key = PANEL.1 * n_rows;
    let (width, height) = (PANEL.0 * COLUMNS as u32, top_of_key + KEY_LINE * key.len() as u32);
    let mut svg = format!(
        r#"<svg width="{width}" height="{height}" role="img" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">"#
    );
    let title = format!("{} at each stage: {}", task.task, stages.join(", "));
    let _ = write!(svg, "\n<title>{}</title>", escape(&printable(&title)));
    for (i, panel) in panels.iter().enumerate() {
        let (x, y) = (PANEL.0 as usize * (i % COLUMNS), PANEL.1 as usize * (i / COLUMNS));
        // A panel is an SVG of its own; it only gets its place.
        let _ = write!(svg, "\n{}", panel.replacen("<svg ", &format!(r#"<svg x="{x}" y="{y}" "#), 1));
    }
    for (i, line) in key.iter().enumerate() {
        let y = top_of_key + KEY_LINE * i as u32 + 12;
        let text = escape(&printable(line));
        let _ = write!(
            svg,
            "\n<text x=\"10\" y=\"{y}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#5F6873\">{text}</text>"
        );
    }
    svg.push_str("\n</svg>\n");
    Ok(svg)
}

/// The full names of shortened ones, a line each; none where no name was shortened.
fn key(stages: &[&str], names: &[String]) -> Vec<String> {
    if stages.iter().zip(names).all(|(stage, name)| stage == name) {
        return Vec::new();
    }
    stages.iter().zip(names).map(|(stage, name)| format!("{name}: {stage}")).collect()
}

fn panel(quantity: &QuantityComparison, names: &[String], level: f64) -> Result<String, Error> {
    let last = (names.len() - 1) as f64;
    let ends = quantity.stages.iter().flat_map(|stage| [stage.value, stage.low, stage.high]).flatten();
    let (low, high) =
        ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let n_questions = quantity.stages.iter().map(|stage| stage.n_questions).min().unwrap_or(0);
    let frame = Frame {
        title: quantity.label.clone(),
        subtitle: format!("{n_questions} questions; bars: {} % intervals", decimal(100.0 * level, 0)),
        x_label: String::new(),
        extent: PANEL,
        left: LEFT,
        right: RIGHT,
        x: Axis {
            low: -0.4,
            high: last + 0.4,
            ticks: (0..names.len()).map(|i| i as f64).collect(),
            decimals: 0,
            names: names.to_vec(),
        },
        y: Axis::holding(low, high),
    };
    draw("stages", &frame, |_, chart| points(chart, &quantity.stages))
}

fn points(chart: &mut Chart<'_, '_>, stages: &[Quantity]) -> Drawn<()> {
    let color = Role::All.color();
    let at = |(i, stage): (usize, &Quantity)| Some((i as f64, stage.value?));
    let line: Vec<(f64, f64)> = stages.iter().enumerate().filter_map(at).collect();
    chart.draw_series([PathElement::new(line.clone(), color.mix(0.45).stroke_width(size(1)))])?;
    for (i, stage) in stages.iter().enumerate() {
        if let (Some(low), Some(high)) = (stage.low, stage.high) {
            let bar = vec![(i as f64, low), (i as f64, high)];
            chart.draw_series([PathElement::new(bar, color.stroke_width(size(2)))])?;
        }
    }
    chart.draw_series(line.into_iter().map(|place| Circle::new(place, px(4), color.filled())))?;
    Ok(())
}
