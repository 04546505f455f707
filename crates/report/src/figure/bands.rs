//! Lines with bands along relative depth.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::frame::{Axis, Canvas, Chart, Drawn, Frame, LEFT, draw};
use super::style::{LABEL, MUTED, Role, SCALE, TICK, px, size, spread, text};
use crate::error::Error;
use crate::metrics::Curve;

/// A named curve.
#[derive(Debug)]
pub(crate) struct Series<'a> {
    label: String,
    role: Role,
    curve: &'a Curve,
}

impl<'a> Series<'a> {
    pub(crate) fn new(label: &str, role: Role, curve: &'a Curve) -> Self {
        Self { label: label.to_string(), role, curve }
    }
}

/// Curves on an axis that holds all values, and `include` if given; bands that reach far beyond them are cut at its ends. `None` without
/// curves.
pub(crate) fn band_figure(
    name: &str,
    title: &str,
    subtitle: &str,
    depths: &[f64],
    series: &[Series<'_>],
    include: Option<f64>,
) -> Result<Option<String>, Error> {
    if series.is_empty() {
        return Ok(None);
    }
    let values = series.iter().flat_map(|s| &s.curve.value).copied().flatten().chain(include);
    let ends = || series.iter().flat_map(|s| [&s.curve.low, &s.curve.high]).flatten().copied().flatten();
    let axis = Axis::around(values, ends(), 1.0);
    let is_cut = ends().any(|end| !(axis.low..=axis.high).contains(&end));
    let subtitle = if is_cut { format!("{subtitle}, cut at the edge") } else { subtitle.to_string() };
    figure(name, title, &subtitle, depths, series, axis, None).map(Some)
}

/// Curves in [0, 1] with a line at one half.
pub(crate) fn unit_figure(
    name: &str,
    title: &str,
    subtitle: &str,
    depths: &[f64],
    series: &[Series<'_>],
) -> Result<Option<String>, Error> {
    let axis = Axis::unit();
    figure(name, title, subtitle, depths, series, axis, Some((0.5, "chance"))).map(Some)
}

fn figure(
    name: &str,
    title: &str,
    subtitle: &str,
    depths: &[f64],
    series: &[Series<'_>],
    y: Axis,
    reference: Option<(f64, &str)>,
) -> Result<String, Error> {
    let frame = Frame {
        title: title.to_string(),
        subtitle: subtitle.to_string(),
        x_label: "relative depth s = k/K".to_string(),
        extent: (560, 370),
        left: LEFT,
        right: 96,
        x: Axis::unit(),
        y,
    };
    draw(name, &frame, |canvas, chart| {
        for series in series {
            band(chart, depths, series, &frame.y)?;
        }
        if let Some((value, label)) = reference {
            reference_line(canvas, chart, value, label)?;
        }
        for series in series {
            line(chart, depths, series)?;
        }
        end_labels(canvas, chart, depths, series, &frame)
    })
}

fn band(chart: &mut Chart<'_, '_>, depths: &[f64], series: &Series<'_>, axis: &Axis) -> Drawn<()> {
    for run in runs(depths, |i| Some((series.curve.low[i]?, series.curve.high[i]?))) {
        let upper = run.iter().map(|&(s, (_, high))| (s, axis.clipped(high)));
        let lower = run.iter().rev().map(|&(s, (low, _))| (s, axis.clipped(low)));
        let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
        chart.draw_series([Polygon::new(outline, series.role.color().mix(0.16))])?;
    }
    Ok(())
}

fn line(chart: &mut Chart<'_, '_>, depths: &[f64], series: &Series<'_>) -> Drawn<()> {
    let style = series.role.color().stroke_width(size(2));
    for run in runs(depths, |i| series.curve.value[i]) {
        if series.role == Role::Control {
            chart.draw_series(DashedLineSeries::new(run.clone(), size(6), size(4), style))?;
        } else {
            chart.draw_series([PathElement::new(run.clone(), style)])?;
        }
        let marked = run.into_iter().filter(|(s, _)| (s * 4.0 - (s * 4.0).round()).abs() < 1e-9);
        let fill = series.role.color().filled();
        match series.role {
            Role::All | Role::Correct => {
                chart.draw_series(marked.map(|at| Circle::new(at, px(4), fill)))?;
            }
            Role::Wrong => {
                chart.draw_series(marked.map(|at| TriangleMarker::new(at, px(5), fill)))?;
            }
            Role::Control => {
                chart.draw_series(marked.map(|at| Cross::new(at, px(3), style)))?;
            }
        }
    }
    Ok(())
}

fn reference_line(canvas: &Canvas<'_>, chart: &mut Chart<'_, '_>, value: f64, label: &str) -> Drawn<()> {
    let ends = vec![(0.0, value), (1.0, value)];
    chart.draw_series(DashedLineSeries::new(ends, size(3), size(3), MUTED.stroke_width(size(1))))?;
    let (x, y) = chart.backend_coord(&(0.0, value));
    canvas.draw(&Text::new(label.to_string(), (x + px(6), y + px(10)), text(TICK, MUTED, HPos::Left)))?;
    Ok(())
}

/// Names each line beside its last value.
fn end_labels(
    canvas: &Canvas<'_>,
    chart: &Chart<'_, '_>,
    depths: &[f64],
    series: &[Series<'_>],
    frame: &Frame,
) -> Drawn<()> {
    let mut ends = Vec::new();
    for series in series {
        let last = depths.iter().zip(&series.curve.value).rev().find_map(|(&s, value)| Some((s, (*value)?)));
        if let Some((s, value)) = last {
            ends.push((series, chart.backend_coord(&(s, value)).1));
        }
    }
    let top = chart.backend_coord(&(0.0, frame.y.high)).1;
    let bottom = chart.backend_coord(&(0.0, frame.y.low)).1 - SCALE;
    let wanted: Vec<i32> = ends.iter().map(|&(_, y)| y).collect();
    let right = chart.backend_coord(&(1.0, frame.y.low)).0 + px(9);
    for (&(series, _), y) in ends.iter().zip(spread(&wanted, px(18), top, bottom)) {
        let style = text(LABEL, series.role.color(), HPos::Left);
        canvas.draw(&Text::new(series.label.clone(), (right, y), style))?;
    }
    Ok(())
}

/// Stretches of the grid on which something is defined.
fn runs<T: Copy>(depths: &[f64], value: impl Fn(usize) -> Option<T>) -> Vec<Vec<(f64, T)>> {
    let mut runs: Vec<Vec<(f64, T)>> = Vec::new();
    let mut open = false;
    for (i, &s) in depths.iter().enumerate() {
        match value(i) {
            Some(value) if open => {
                if let Some(run) = runs.last_mut() {
                    run.push((s, value));
                }
            }
            Some(value) => {
                runs.push(vec![(s, value)]);
                open = true;
            }
            None => open = false,
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_break_a_line() {
        let values = [Some(1), None, Some(2), Some(3)];
        let depths = [0.0, 0.1, 0.2, 0.3];
        assert_eq!(runs(&depths, |i| values[i]), [vec![(0.0, 1)], vec![(0.2, 2), (0.3, 3)]]);
    }
}
