//! Title, axes and grid that all figures share, and the step from canvas to an SVG of its stated size.

use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::style::{GRID, INK, MUTED, SCALE, TICK, TITLE, bold, px, size, text};
use crate::error::Error;
use crate::format::{decimal, printable};

/// The canvas of a figure.
pub(crate) type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Two number axes on it.
pub(crate) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// What drawing can fail with.
pub(crate) type Drawn<T> = Result<T, Box<dyn std::error::Error>>;

/// Usual space for the numbers of the vertical axis, in pixels.
pub(crate) const LEFT: u32 = 54;

/// Texts and ranges around the data.
#[derive(Debug)]
pub(crate) struct Frame {
    /// What the vertical axis shows, with its unit.
    pub(crate) title: String,
    /// On what, with numbers.
    pub(crate) subtitle: String,
    /// What the horizontal axis shows.
    pub(crate) x_label: String,
    /// Width and height in pixels.
    pub(crate) extent: (u32, u32),
    /// Space to the left of the axes for their numbers, in pixels.
    pub(crate) left: u32,
    /// Space to the right of the axes for labels, in pixels.
    pub(crate) right: u32,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

/// A number axis with its marks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) ticks: Vec<f64>,
    pub(crate) decimals: usize,
    /// Labels of the marks instead of their numbers; empty for the numbers.
    pub(crate) names: Vec<String>,
}

impl Axis {
    /// From 0 to 1, as relative depths and areas are.
    pub(crate) fn unit() -> Self {
        Self { low: 0.0, high: 1.0, ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0], decimals: 2, names: Vec::new() }
    }

    /// An axis with about five marks at round numbers that holds both ends.
    pub(crate) fn holding(low: f64, high: f64) -> Self {
        let span = if high - low > 1e-9 { high - low } else { 1.0 };
        let rough = span / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let first = (low / step + 1e-9).floor() as i64;
        let last = ((low + span) / step - 1e-9).ceil() as i64;
        let decimals = (0..6).find(|&d| is_whole(step * 10_f64.powi(d))).unwrap_or(6) as usize;
        Self {
            low: first as f64 * step,
            high: last as f64 * step,
            ticks: (first..=last).map(|i| i as f64 * step).collect(),
            decimals,
            names: Vec::new(),
        }
    }

    /// An axis for values with intervals. It holds every value, and the ends of intervals that lie no further from the values than `margin`
    /// times their range: one interval that reaches far does not flatten all curves. What reaches further has to be cut (`clipped`).
    pub(crate) fn around(
        values: impl IntoIterator<Item = f64>,
        ends: impl IntoIterator<Item = f64>,
        margin: f64,
    ) -> Self {
        let range = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
        let (low, high) = values.into_iter().fold((f64::INFINITY, f64::NEG_INFINITY), range);
        if low > high {
            return Self::unit();
        }
        let margin = margin * (high - low).max(0.1);
        let near = ends.into_iter().map(|end| end.clamp(low - margin, high + margin));
        let (low, high) = near.fold((low, high), range);
        Self::holding(low, high)
    }

    /// A value moved to the nearer end of the axis if it lies outside.
    pub(crate) fn clipped(&self, value: f64) -> f64 {
        value.clamp(self.low, self.high)
    }
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6
}

/// Draws a figure: frame first, then `content` on its axes and canvas.
pub(crate) fn draw(
    name: &str,
    frame: &Frame,
    content: impl FnOnce(&Canvas<'_>, &mut Chart<'_, '_>) -> Drawn<()>,
) -> Result<String, Error> {
    let mut svg = String::new();
    render(&mut svg, frame, content)
        .map_err(|problem| Error::Figure { name: name.to_string(), problem: problem.to_string() })?;
    Ok(printable(&at_size(&svg, frame)))
}

fn render(
    svg: &mut String,
    frame: &Frame,
    content: impl FnOnce(&Canvas<'_>, &mut Chart<'_, '_>) -> Drawn<()>,
) -> Drawn<()> {
    let (width, height) = frame.extent;
    let canvas = SVGBackend::with_string(svg, (size(width), size(height))).into_drawing_area();
    canvas.draw(&Text::new(frame.title.clone(), (px(10), px(16)), bold(TITLE, INK, HPos::Left)))?;
    canvas.draw(&Text::new(frame.subtitle.clone(), (px(10), px(38)), text(TICK, MUTED, HPos::Left)))?;
    let mut chart = ChartBuilder::on(&canvas)
        .margin_top(size(60))
        .margin_left(size(frame.left))
        .margin_right(size(frame.right))
        .margin_bottom(size(50))
        .build_cartesian_2d(frame.x.low..frame.x.high, frame.y.low..frame.y.high)?;
    axes(&canvas, &chart, frame)?;
    content(&canvas, &mut chart)?;
    canvas.present()?;
    Ok(())
}

/// Horizontal grid lines, marks on both axes and their numbers.
fn axes(canvas: &Canvas<'_>, chart: &Chart<'_, '_>, frame: &Frame) -> Drawn<()> {
    let line = |from: (i32, i32), to: (i32, i32), color: RGBColor| {
        canvas.draw(&PathElement::new(vec![from, to], color.stroke_width(size(1))))
    };
    let (left, right) = (frame.x.low, frame.x.high);
    for &tick in &frame.y.ticks {
        let from = chart.backend_coord(&(left, tick));
        let is_zero = tick.abs() < 1e-12 && frame.y.low < -1e-12;
        line(from, chart.backend_coord(&(right, tick)), if is_zero { MUTED } else { GRID })?;
        let label = decimal(tick, frame.y.decimals);
        canvas.draw(&Text::new(label, (from.0 - px(8), from.1), text(TICK, MUTED, HPos::Right)))?;
    }
    let bottom = chart.backend_coord(&(left, frame.y.low)).1;
    for (i, &tick) in frame.x.ticks.iter().enumerate() {
        let x = chart.backend_coord(&(tick, frame.y.low)).0;
        line((x, bottom), (x, bottom + px(4)), MUTED)?;
        let label = frame.x.names.get(i).cloned().unwrap_or_else(|| decimal(tick, frame.x.decimals));
        canvas.draw(&Text::new(label, (x, bottom + px(15)), text(TICK, MUTED, HPos::Center)))?;
    }
    line(
        (chart.backend_coord(&(left, frame.y.low)).0, bottom),
        chart.backend_coord(&(right, frame.y.low)),
        MUTED,
    )?;
    let middle = chart.backend_coord(&(0.5 * (left + right), frame.y.low)).0;
    canvas.draw(&Text::new(
        frame.x_label.clone(),
        (middle, bottom + px(36)),
        text(TICK, MUTED, HPos::Center),
    ))?;
    Ok(())
}

/// States the size in pixels and leaves the canvas to the view box; adds the title for readers that do not see.
fn at_size(svg: &str, frame: &Frame) -> String {
    let (width, height) = frame.extent;
    let drawn = format!(r#"width="{}" height="{}""#, size(width), size(height));
    let stated = format!(r#"width="{width}" height="{height}" role="img""#);
    let label = escape(&format!("{}. {}", frame.title, frame.subtitle));
    let svg = svg.replacen(&drawn, &stated, 1);
    match svg.find('>') {
        Some(end) => format!("{}>\n<title>{label}</title>{}", &svg[..end], &svg[end + 1..]),
        None => svg,
    }
}

/// Text as XML content.
pub(crate) fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '<' => "&lt;".to_string(),
            '>' => "&gt;".to_string(),
            '&' => "&amp;".to_string(),
            '"' => "&quot;".to_string(),
            other => other.to_string(),
        })
        .collect()
}

/// Widths in canvas units are rounded, so a hair line is one pixel.
const _: () = assert!(SCALE >= 1, "a canvas unit is at most a pixel");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_at_round_numbers() {
        let axis = Axis::holding(0.0, 1.93);
        assert_eq!((axis.low, axis.high, axis.decimals), (0.0, 2.0, 1));
        assert_eq!(axis.ticks.len(), 6 - 1);
        let axis = Axis::holding(-0.12, 0.3);
        assert!(axis.low <= -0.12 && axis.high >= 0.3);
        let wide = Axis::around([0.0, 1.5, 0.2], [0.0, 1.6, 90.0], 0.5);
        assert_eq!((wide.low, wide.clipped(90.0)), (0.0, 2.5));
        let flat = Axis::holding(0.0, 0.0);
        assert!(flat.high > flat.low && flat.ticks.len() >= 2);
    }
}
