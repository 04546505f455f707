//! The look of all figures: one palette, one type scale, one frame.
//!
//! Colours carry meaning and mean the same everywhere: correct is blue, wrong is vermilion, all traces are indigo, a control is grey
//! (Okabe and Ito 2008, Tol 2021: told apart under the common colour blindnesses). Lines also differ by marker or dash, and are named
//! at their end, so nothing depends on colour alone. The report's style sheet maps these colours to lighter ones on a dark ground.
//!
//! Figures are drawn on a canvas of SCALE times their size, because the drawing library rounds to whole units.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Canvas units for one pixel.
pub(crate) const SCALE: i32 = 4;

/// Size of titles, in pixels of a figure 560 wide.
pub(crate) const TITLE: f64 = 17.0;
/// Size of names of lines and bars.
pub(crate) const LABEL: f64 = 15.0;
/// Size of numbers at axes and of subtitles.
pub(crate) const TICK: f64 = 13.5;

/// Text.
pub(crate) const INK: RGBColor = RGBColor(0x22, 0x26, 0x2B);
/// Secondary text and axes.
pub(crate) const MUTED: RGBColor = RGBColor(0x5F, 0x68, 0x73);
/// Grid lines.
pub(crate) const GRID: RGBColor = RGBColor(0xE4, 0xE6, 0xE8);

/// What a line or bar stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// All traces, or the trace itself.
    All,
    /// Correct traces.
    Correct,
    /// Wrong traces.
    Wrong,
    /// A control.
    Control,
}

impl Role {
    /// The colour that means this everywhere.
    pub(crate) fn color(self) -> RGBColor {
        match self {
            Self::All => RGBColor(0x3B, 0x3A, 0x9C),
            Self::Correct => RGBColor(0x00, 0x72, 0xB2),
            Self::Wrong => RGBColor(0xC8, 0x4E, 0x00),
            Self::Control => RGBColor(0x7D, 0x82, 0x88),
        }
    }
}

/// Pixels to canvas units.
pub(crate) fn px(pixels: i32) -> i32 {
    pixels * SCALE
}

/// The same for sizes that have no sign.
pub(crate) fn size(pixels: u32) -> u32 {
    pixels * SCALE.unsigned_abs()
}

/// A text style of a size in pixels; the library's sizes are 1.24 times those that it writes.
pub(crate) fn text(pixels: f64, color: RGBColor, h_pos: HPos) -> TextStyle<'static> {
    ("sans-serif", pixels * 1.24 * f64::from(SCALE))
        .into_font()
        .color(&color)
        .pos(Pos::new(h_pos, VPos::Center))
}

/// The same in bold.
pub(crate) fn bold(pixels: f64, color: RGBColor, h_pos: HPos) -> TextStyle<'static> {
    ("sans-serif", pixels * 1.24 * f64::from(SCALE), FontStyle::Bold)
        .into_font()
        .color(&color)
        .pos(Pos::new(h_pos, VPos::Center))
}

/// Moves labels apart: returns heights at least `gap` from each other, in the given order, as close to the wanted ones as a single
/// sweep from top to bottom and back allows, within `[top, bottom]`.
pub(crate) fn spread(wanted: &[i32], gap: i32, top: i32, bottom: i32) -> Vec<i32> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&i| wanted[i]);
    let mut heights = wanted.to_vec();
    let mut floor = top;
    for &i in &order {
        heights[i] = heights[i].max(floor);
        floor = heights[i] + gap;
    }
    let mut ceiling = bottom;
    for &i in order.iter().rev() {
        heights[i] = heights[i].min(ceiling);
        ceiling = heights[i] - gap;
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_collide() {
        assert_eq!(spread(&[100, 102, 30], 16, 0, 200), [100, 116, 30]);
        assert_eq!(spread(&[198, 199], 16, 0, 200), [184, 200]);
    }
}
