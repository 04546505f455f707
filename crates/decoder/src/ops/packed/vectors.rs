//! Products in vector instructions.

use super::ends::{Prepared, Target};
use super::{Multiplier, PANEL, Packed, Panels};
use crate::ops::row_map::RowMap;
use crate::ops::rows::Rows;
use entrace_kernels::tile::{self, Kernel, Left};
use entrace_kernels::{pairs, parts};
use half::bf16;
use half::slice::HalfFloatSliceExt;

/// Steps of k for which a panel stays in the second-level cache.
const K_BLOCK: usize = 2048;

impl Packed {
    pub(super) fn float32_product(&self, x: Rows<'_>, map: Option<&dyn RowMap>, target: &Target<'_>) {
        let kernel = Kernel::best();
        let rounded = self.multiplier == Multiplier::RoundedVectors;
        let prepared = Prepared::new(x, map, self.k, 1, |row, out: &mut [f32]| {
            out.copy_from_slice(row);
            if rounded {
                out.iter_mut().for_each(|x| *x = bf16::from_f32(*x).to_f32());
            }
        });
        self.each_panel(|panel, scratch| {
            let b = self.panel(panel, scratch);
            for k0 in (0..self.k).step_by(K_BLOCK) {
                let k1 = (k0 + K_BLOCK).min(self.k);
                for first in (0..x.n_rows).step_by(kernel.max_rows()) {
                    let rows = kernel.max_rows().min(x.n_rows - first);
                    // SAFETY: the prepared rows have K numbers each, the panel 32 × K, of which k0..k1 are used. Tasks write different
                    // panels, hence different columns of the target.
                    unsafe {
                        kernel.run(&tile::Tile {
                            rows,
                            columns: target.columns(panel),
                            k: k1 - k0,
                            a: Left::Rows(prepared.from(first, k0).as_ptr(), prepared.pitch),
                            b: b.as_ptr().add(k0 * PANEL),
                            b_step: PANEL,
                            c: target.tile(first, rows, panel, k0 == 0),
                            c_row: self.n,
                            add: k0 > 0 || target.onto.is_some(),
                        });
                    }
                }
            }
        });
    }

    pub(super) fn pairs_product(
        &self,
        w: &[bf16],
        x: Rows<'_>,
        map: Option<&dyn RowMap>,
        target: &Target<'_>,
    ) {
        let k = parts::padded(self.k);
        let put = |row: &[f32], out: &mut [bf16]| pairs::round(row, &mut out[..row.len()]);
        let prepared = Prepared::new(x, map, k, 1, put);
        self.each_panel(|panel, _| {
            let b = &w[panel * PANEL * k..(panel + 1) * PANEL * k];
            for k0 in (0..k).step_by(2 * K_BLOCK) {
                let k1 = (k0 + 2 * K_BLOCK).min(k);
                for first in (0..x.n_rows).step_by(pairs::MAX_ROWS) {
                    let rows = pairs::MAX_ROWS.min(x.n_rows - first);
                    // SAFETY: as in `float32_product`, and pairs are supported.
                    unsafe {
                        pairs::run(&pairs::Tile {
                            rows,
                            columns: target.columns(panel),
                            n_pairs: (k1 - k0) / 2,
                            a: prepared.from(first, k0).as_ptr(),
                            a_row: prepared.pitch,
                            b: b.as_ptr().add(k0 * PANEL),
                            c: target.tile(first, rows, panel, k0 == 0),
                            c_row: self.n,
                            add: k0 > 0 || target.onto.is_some(),
                        });
                    }
                }
            }
        });
    }

    /// Runs `f` for every panel, with room for a widened one.
    fn each_panel(&self, f: impl Fn(usize, &mut Vec<f32>) + Sync) {
        self.each_range(|panels, scratch| panels.for_each(|panel| f(panel, scratch)));
    }

    /// A panel in float32, `[K, 32]`.
    pub(super) fn panel<'a>(&'a self, panel: usize, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let padded = parts::padded(self.k);
        let of = |k: usize| panel * PANEL * k..(panel + 1) * PANEL * k;
        if !matches!(self.panels, Panels::F32(_)) {
            scratch.resize(PANEL * padded, 0.0);
        }
        match &self.panels {
            Panels::F32(w) => return &w[of(self.k)],
            Panels::BF16(w) => pairs::widen(&w[of(self.k)], scratch),
            Panels::F16(w) => w[of(self.k)].convert_to_f32_slice(&mut scratch[..PANEL * self.k]),
            Panels::Pairs(w) => pairs::widen_panel(&w[of(padded)], scratch),
            Panels::Quantised(panels) => return panels[panel].numbers(&mut scratch[..PANEL * self.k]),
        }
        scratch
    }
}
