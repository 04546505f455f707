//! Panels that stay quantised, as the weights of most GGUF files are: whole numbers of four bits or eight, with a scale and an offset for some steps of k.
//!
//! A number is scale · q − offset in float32, rounded as a reader of the file rounds it, so that products have the bits that they have with
//! weights kept in float32, in a fifth to a third of the memory. A panel is brought to float32 when it is used, once for all rows of a pass: where rows are few, this takes
//! less time than to bring so many more bytes from memory.

use super::{PANEL, layout};
use entrace_kernels::quantised::{widen_bytes, widen_nibbles};
use entrace_kernels::turn::turn;
use std::ops::Range;

/// Numbers of a row that share a scale and an offset.
pub(crate) const GROUP: usize = 16;

/// What such numbers are multiplied with, and what is then subtracted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Group {
    pub(crate) scale: f32,
    pub(crate) offset: f32,
}

/// 32 rows of a matrix.
#[derive(Debug)]
pub(super) enum Panel {
    Quantised(Quantised),
    /// Of which some rows are not; `[K, 32]`.
    Float32(Vec<f32>),
}

impl Panel {
    /// Some rows, at most 32, as `Packed::quantised` is given them.
    pub(super) fn of_rows<E>(
        rows: Range<usize>,
        k: usize,
        quants: impl Fn(usize, &mut [i8], &mut [Group]) -> bool,
        read: impl Fn(Range<usize>, &mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let (mut numbers, mut groups) = (vec![0; PANEL * k], vec![Group::default(); PANEL * (k / GROUP)]);
        let of_rows = numbers.chunks_exact_mut(k).zip(groups.chunks_exact_mut(k / GROUP));
        if rows.clone().zip(of_rows).all(|(row, (numbers, groups))| quants(row, numbers, groups)) {
            return Ok(Self::Quantised(Quantised::new(k, &numbers, &groups)));
        }
        let n_rows = rows.len();
        let (mut plain, mut panel) = (vec![0.0; n_rows * k], vec![0.0; PANEL * k]);
        read(rows, &mut plain)?;
        turn(&plain, k, n_rows, k, &mut panel);
        Ok(Self::Float32(panel))
    }

    pub(super) fn n_bytes(&self) -> usize {
        match self {
            Self::Quantised(panel) => panel.n_bytes(),
            Self::Float32(numbers) => size_of_val(numbers.as_slice()),
        }
    }

    /// The numbers, `[K, 32]`, in scratch memory if they have to be computed.
    pub(super) fn numbers<'a>(&'a self, scratch: &'a mut [f32]) -> &'a [f32] {
        match self {
            Self::Float32(numbers) => numbers,
            Self::Quantised(panel) => {
                panel.widen(scratch);
                scratch
            }
        }
    }

    pub(super) fn number(&self, step: usize, column: usize) -> f32 {
        match self {
            Self::Float32(numbers) => numbers[layout::place(step, column)],
            Self::Quantised(panel) => panel.number(step, column),
        }
    }
}

/// Rows as whole numbers.
#[derive(Debug)]
pub(super) struct Quantised {
    numbers: Numbers,
    /// Steps of k that share scales.
    steps: usize,
    /// `[K / steps, 32]`.
    scales: Vec<f32>,
    /// The same; none where all are zero.
    offsets: Vec<f32>,
}

#[derive(Debug)]
enum Numbers {
    /// `[K, 16]`, as `widen_nibbles` takes them.
    Nibbles(Vec<u8>),
    /// `[K, 32]`.
    Bytes(Vec<i8>),
}

impl Quantised {
    /// From 32 rows: whole numbers `[32, K]` and their groups `[32, K / 16]`.
    fn new(k: usize, numbers: &[i8], groups: &[Group]) -> Self {
        let per_row = k / GROUP;
        let two_agree = per_row.is_multiple_of(2) && groups.chunks_exact(2).all(|two| two[0] == two[1]);
        let each = if two_agree { 2 } else { 1 };
        let of_columns = |what: fn(Group) -> f32| -> Vec<f32> {
            let steps = (0..per_row).step_by(each);
            steps.flat_map(|at| (0..PANEL).map(move |column| what(groups[column * per_row + at]))).collect()
        };
        let (scales, mut offsets) = (of_columns(|group| group.scale), of_columns(|group| group.offset));
        if offsets.iter().all(|&offset| offset == 0.0) {
            offsets = Vec::new();
        }
        let rows = numbers.chunks_exact(k).enumerate();
        let numbers = if numbers.iter().all(|q| (0..16).contains(q)) {
            let mut both = vec![0; k * PANEL / 2];
            for (column, row) in rows {
                let shift = if column < PANEL / 2 { 0 } else { 4 };
                let out = both[column % (PANEL / 2)..].iter_mut().step_by(PANEL / 2);
                out.zip(row).for_each(|(both, &q)| *both |= (q as u8) << shift);
            }
            Numbers::Nibbles(both)
        } else {
            let mut turned = vec![0; k * PANEL];
            for (column, row) in rows {
                let out = turned[column..].iter_mut().step_by(PANEL);
                out.zip(row).for_each(|(turned, &q)| *turned = q);
            }
            Numbers::Bytes(turned)
        };
        Self { numbers, steps: each * GROUP, scales, offsets }
    }

    fn n_bytes(&self) -> usize {
        let numbers = match &self.numbers {
            Numbers::Nibbles(numbers) => numbers.len(),
            Numbers::Bytes(numbers) => numbers.len(),
        };
        numbers + size_of_val(self.scales.as_slice()) + size_of_val(self.offsets.as_slice())
    }

    fn widen(&self, out: &mut [f32]) {
        match &self.numbers {
            Numbers::Nibbles(numbers) => widen_nibbles(numbers, self.steps, &self.scales, &self.offsets, out),
            Numbers::Bytes(numbers) => widen_bytes(numbers, self.steps, &self.scales, &self.offsets, out),
        }
    }

    fn number(&self, step: usize, column: usize) -> f32 {
        let q = match &self.numbers {
            Numbers::Bytes(numbers) => f32::from(numbers[layout::place(step, column)]),
            Numbers::Nibbles(numbers) => {
                let both = numbers[step * PANEL / 2 + column % (PANEL / 2)];
                f32::from(if column < PANEL / 2 { both & 15 } else { both >> 4 })
            }
        };
        let group = step / self.steps * PANEL + column;
        q * self.scales[group] - self.offsets.get(group).unwrap_or(&0.0)
    }
}
