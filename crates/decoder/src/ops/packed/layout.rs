//! How a matrix lies in memory: panels of 32 of its rows, in which all rows' numbers of one step of k are neighbours.

use super::PANEL;
use crate::ops::large_pages;
use entrace_kernels::turn::turn;
use entrace_kernels::{pairs, parts};
use half::slice::HalfFloatSliceExt;
use half::vec::HalfBitsVecExt;
use half::{bf16, f16};
use rayon::prelude::*;
use std::ops::{Deref, DerefMut, Range};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where number `k` of column `column` of a panel stands in it.
pub(super) fn place(k: usize, column: usize) -> usize {
    k * PANEL + column
}

/// A type that panels are kept in.
pub(super) trait Number: Copy + Send + Sync {
    /// bf16 parts that hold every number of the type exactly.
    const MOST_PARTS: usize;
    /// Zeros that take memory only when they are written.
    fn zeros(n: usize) -> Vec<Self>;
    /// Rounds numbers to the type.
    fn narrow(numbers: &[f32], out: &mut [Self]);
}

impl Number for f32 {
    const MOST_PARTS: usize = 3;

    fn zeros(n: usize) -> Vec<Self> {
        vec![0.0; n]
    }

    fn narrow(numbers: &[f32], out: &mut [Self]) {
        out.copy_from_slice(numbers);
    }
}

impl Number for bf16 {
    const MOST_PARTS: usize = 1;

    fn zeros(n: usize) -> Vec<Self> {
        vec![0u16; n].reinterpret_into()
    }

    fn narrow(numbers: &[f32], out: &mut [Self]) {
        pairs::round(numbers, out);
    }
}

impl Number for f16 {
    const MOST_PARTS: usize = 2;

    fn zeros(n: usize) -> Vec<Self> {
        vec![0u16; n].reinterpret_into()
    }

    fn narrow(numbers: &[f32], out: &mut [Self]) {
        out.convert_from_f32_slice(numbers);
    }
}

/// Steps of k, `[steps, 32]`, rounded to bf16 and two and two side by side.
fn side_by_side(steps: &[f32], out: &mut [bf16]) {
    for (steps, out) in steps.chunks(2 * PANEL).zip(out.chunks_exact_mut(2 * PANEL)) {
        for (i, step) in steps.chunks_exact(PANEL).enumerate() {
            let mut rounded = [bf16::ZERO; PANEL];
            pairs::round(step, &mut rounded);
            for (out, x) in out[i..].iter_mut().step_by(2).zip(rounded) {
                *out = x;
            }
        }
    }
}

/// Steps of k that are turned at a time, so that they stay in the first-level cache; an even number.
const TURNED: usize = 64;

/// A matrix that is read some rows at a time.
pub(super) struct Source<'a, R> {
    pub(super) n: usize,
    pub(super) k: usize,
    /// Gives some of the rows, `[rows, K]`.
    pub(super) read: &'a R,
}

/// Why panels are not laid out.
enum Stop<E> {
    Read(E),
    /// A number is not exact in the type.
    Inexact,
}

impl<E> From<E> for Stop<E> {
    fn from(problem: E) -> Self {
        Self::Read(problem)
    }
}

impl<E: Send, R: Fn(Range<usize>, &mut [f32]) -> Result<(), E> + Sync> Source<'_, R> {
    /// Panels of `[K, 32]` numbers.
    pub(super) fn plain<T: Number>(&self) -> Result<Vec<T>, E> {
        let store = |steps: &[f32], out: &mut [T]| {
            T::narrow(steps, out);
            Ok(())
        };
        let mut out = T::zeros(self.n_numbers(self.k));
        self.lay_out(self.k, &mut out, store).map(|()| out)
    }

    /// The same, and how many bf16 parts hold every number exactly.
    pub(super) fn counted<T: Number>(&self) -> Result<(Vec<T>, usize), E> {
        let most = AtomicUsize::new(1);
        let store = |steps: &[f32], out: &mut [T]| {
            T::narrow(steps, out);
            most.fetch_max(parts::needed(steps).min(T::MOST_PARTS), Ordering::Relaxed);
            Ok(())
        };
        let mut out = T::zeros(self.n_numbers(self.k));
        self.lay_out(self.k, &mut out, store)?;
        Ok((out, most.into_inner()))
    }

    /// Numbers rounded to bf16, those of two steps of k side by side.
    pub(super) fn pairs(&self) -> Result<Aligned<bf16>, E> {
        let padded = parts::padded(self.k);
        let mut out = Aligned::zeros(self.n_numbers(padded));
        self.lay_out(padded, &mut out, |steps, out| {
            side_by_side(steps, out);
            Ok(())
        })?;
        Ok(out)
    }

    /// The same, if no number has to be rounded.
    pub(super) fn exact_pairs(&self) -> Result<Option<Aligned<bf16>>, E> {
        let padded = parts::padded(self.k);
        let mut out = Aligned::zeros(self.n_numbers(padded));
        let laid_out = self.lay_out(padded, &mut out, |steps, out| match parts::needed(steps) {
            1 => {
                side_by_side(steps, out);
                Ok(())
            }
            _ => Err(Stop::Inexact),
        });
        match laid_out {
            Ok(()) => Ok(Some(out)),
            Err(Stop::Inexact) => Ok(None),
            Err(Stop::Read(problem)) => Err(problem),
        }
    }

    /// Numbers of panels of `padded` steps.
    fn n_numbers(&self, padded: usize) -> usize {
        self.n.div_ceil(PANEL) * PANEL * padded
    }

    /// Fills panels of `[padded, 32]` numbers, into which `store` writes steps of k. Rows beyond N and steps beyond K stay zero.
    fn lay_out<T: Number, S: From<E> + Send>(
        &self,
        padded: usize,
        panels: &mut [T],
        store: impl Fn(&[f32], &mut [T]) -> Result<(), S> + Sync,
    ) -> Result<(), S> {
        let (n, k) = (self.n, self.k);
        large_pages::ask_for(panels);
        let lay_out = |rows: &mut Vec<f32>, (panel, out): (usize, &mut [T])| {
            let which = panel * PANEL..n.min((panel + 1) * PANEL);
            let n_rows = which.len();
            rows.resize(n_rows * k, 0.0);
            (self.read)(which, rows)?;
            let mut turned = [0.0; TURNED * PANEL];
            for first in (0..k).step_by(TURNED) {
                let steps = TURNED.min(k - first);
                turn(&rows[first..], k, n_rows, steps, &mut turned);
                let end = (first + TURNED).min(padded);
                store(&turned[..steps * PANEL], &mut out[first * PANEL..end * PANEL])?;
            }
            Ok(())
        };
        panels.par_chunks_exact_mut((PANEL * padded).max(1)).enumerate().try_for_each_init(Vec::new, lay_out)
    }
}

/// An array that begins with a line of the cache.
#[derive(Debug)]
pub(super) struct Aligned<T> {
    data: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Number> Aligned<T> {
    /// Zeros that take memory only when they are written.
    fn zeros(len: usize) -> Self {
        let line = align_of::<parts::Line>();
        let data = T::zeros(len + line / size_of::<T>());
        let start = data.as_ptr().align_offset(line);
        Self { data, start, len }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.data[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..self.start + self.len]
    }
}
