//! The entropy curve of one trace: H_k at each step, with the interval that the estimator vouches for.
//!
//! A point says by colour and shape whether the leading answer at that step is the target. An interval that reaches far beyond the points, as that of a
//! search with much left to find may do, is cut at the edge of the figure, which then says how far it reaches.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::frame::{Axis, Canvas, Chart, Drawn, Frame, LEFT, draw};
use super::style::{Role, TICK, px, size, text};
use crate::error::Error;
use crate::format::decimal;

/// One prefix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TracePoint {
    /// k
    pub(crate) step: u32,
    /// H_k and its interval, nats.
    pub(crate) entropy: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    /// Whether the leader is the target; `None` without a target.
    pub(crate) leader_is_target: Option<bool>,
}

impl TracePoint {
    fn role(&self) -> Role {
        match self.leader_is_target {
            Some(true) => Role::Correct,
            Some(false) => Role::Wrong,
            None => Role::All,
        }
    }
}

/// The figure; points are in order of step and not empty.
pub(crate) fn trace_curve(points: &[TracePoint]) -> Result<String, Error> {
    let y = Axis::around(
        points.iter().map(|p| p.entropy).chain([0.0, 0.1]),
        points.iter().flat_map(|p| [p.lower, p.upper]),
        0.5,
    );
    let highest = points.iter().map(|p| p.upper).fold(0.0, f64::max);
    let last = points.last().map_or(0, |p| p.step);
    let stride = (last / 12 + 1).max(1);
    let x = Axis {
        low: 0.0,
        high: f64::from(last.max(1)),
        ticks: (0..=last.max(1)).step_by(stride as usize).map(f64::from).collect(),
        decimals: 0,
        names: Vec::new(),
    };
    let mut subtitle = format!("{} prefixes; k = 0 is the question alone", points.len());
    if highest > y.high {
        subtitle +=
            &format!("; intervals are cut at the edge, the widest reaches {} nats", decimal(highest, 1));
    }
    let frame = Frame {
        title: "Answer entropy by step, nats".to_string(),
        subtitle,
        x_label: "step k".to_string(),
        extent: (760, 250),
        left: LEFT,
        right: 168,
        x,
        y,
    };
    draw("trace", &frame, |canvas, chart| {
        curve(chart, points, &frame.y)?;
        legend(canvas, chart, &frame, points)
    })
}

fn curve(chart: &mut Chart<'_, '_>, points: &[TracePoint], axis: &Axis) -> Drawn<()> {
    let at = |p: &TracePoint, y: f64| (f64::from(p.step), axis.clipped(y));
    let band = points.iter().map(|p| at(p, p.upper)).chain(points.iter().rev().map(|p| at(p, p.lower)));
    let ink = Role::Control.color();
    chart.draw_series([Polygon::new(band.collect::<Vec<_>>(), ink.mix(0.2))])?;
    let line: Vec<(f64, f64)> = points.iter().map(|p| at(p, p.entropy)).collect();
    chart.draw_series([PathElement::new(line, ink.stroke_width(size(2)))])?;
    for point in points {
        let (place, fill) = (at(point, point.entropy), point.role().color().filled());
        match point.role() {
            Role::Wrong => chart.draw_series([TriangleMarker::new(place, px(5), fill)]).map(|_| ())?,
            _ => chart.draw_series([Circle::new(place, px(4), fill)]).map(|_| ())?,
        }
    }
    Ok(())
}

fn legend(canvas: &Canvas<'_>, chart: &Chart<'_, '_>, frame: &Frame, points: &[TracePoint]) -> Drawn<()> {
    let (right, top) = chart.backend_coord(&(frame.x.high, frame.y.high));
    let entries = [(Role::Correct, "leader is the target"), (Role::Wrong, "leader is another")];
    let shown = entries.into_iter().filter(|(role, _)| points.iter().any(|p| p.role() == *role));
    for (i, (role, label)) in shown.enumerate() {
        let place = (right + px(16), top + px(6 + 20 * i as i32));
        let fill = role.color().filled();
        if role == Role::Wrong {
            canvas.draw(&TriangleMarker::new(place, px(5), fill))?;
        } else {
            canvas.draw(&Circle::new(place, px(4), fill))?;
        }
        let at = (place.0 + px(9), place.1);
        canvas.draw(&Text::new(label.to_string(), at, text(TICK, role.color(), HPos::Left)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(uppers: [f64; 3]) -> String {
        let point = |(step, upper): (u32, f64)| TracePoint {
            step,
            entropy: 1.0 / f64::from(step + 1),
            lower: 0.1,
            upper,
            leader_is_target: Some(step > 0),
        };
        trace_curve(&(0..).zip(uppers).map(point).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn an_interval_that_reaches_far_is_cut_and_said_to_be() {
        let cut = drawn([1.2, 90.25, 0.5]);
        assert!(cut.contains("intervals are cut at the edge, the widest reaches 90.2 nats"), "{cut}");
        assert!(!drawn([1.2, 0.8, 0.5]).contains("cut at the edge"));
        let marks = |svg: &str| svg.matches("<text").count();
        assert_eq!(marks(&cut), marks(&drawn([1.2, 1.5, 0.5])));
    }
}
