//! Panels of quantised numbers, brought to float32: scale · q − offset with whole numbers q of four bits or eight.
//!
//! A panel has 32 columns. Some steps of k in a row share a scale and an offset for each column. The product is exact in float32 where q and scale have no
//! more than 24 bits together, and then only the difference is rounded.

use crate::tile::MAX_COLUMNS as COLUMNS;
use crate::vectorised;

/// Bytes of a step of four-bit numbers.
const HALF: usize = COLUMNS / 2;

/// Subtracted where no offsets are given.
const ZEROS: [f32; COLUMNS] = [0.0; COLUMNS];

vectorised! {
    /// Four-bit numbers `[K, 16]` to float32 `[K, 32]`: byte j of a step has column j in its lower half and column j + 16 in its upper one. `scales`
    /// and `offsets` are `[K / steps, 32]`; no offsets are zeros.
    pub fn widen_nibbles(numbers: &[u8], steps: usize, scales: &[f32], offsets: &[f32], out: &mut [f32]) {
        let groups = numbers.chunks(steps * HALF).zip(out.chunks_mut(steps * COLUMNS));
        for (group, (numbers, out)) in groups.enumerate() {
            let (scales, offsets) = (columns(scales, group), columns(offsets, group));
            for (numbers, out) in numbers.as_chunks::<HALF>().0.iter().zip(out.as_chunks_mut::<COLUMNS>().0) {
                for j in 0..HALF {
                    out[j] = f32::from(numbers[j] & 15) * scales[j] - offsets[j];
                    out[j + HALF] = f32::from(numbers[j] >> 4) * scales[j + HALF] - offsets[j + HALF];
                }
            }
        }
    }
}

vectorised! {
    /// Eight-bit numbers `[K, 32]` to float32, as `widen_nibbles` does.
    pub fn widen_bytes(numbers: &[i8], steps: usize, scales: &[f32], offsets: &[f32], out: &mut [f32]) {
        let groups = numbers.chunks(steps * COLUMNS).zip(out.chunks_mut(steps * COLUMNS));
        for (group, (numbers, out)) in groups.enumerate() {
            let (scales, offsets) = (columns(scales, group), columns(offsets, group));
            for (numbers, out) in numbers.as_chunks::<COLUMNS>().0.iter().zip(out.as_chunks_mut::<COLUMNS>().0) {
                for j in 0..COLUMNS {
                    out[j] = f32::from(numbers[j]) * scales[j] - offsets[j];
                }
            }
        }
    }
}

/// What a group has for each column.
#[inline(always)]
fn columns(all: &[f32], group: usize) -> [f32; COLUMNS] {
    all.as_chunks().0.get(group).copied().unwrap_or(ZEROS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests_support::random;

    /// Groups of `steps` steps, the last of which may be cut.
    fn check(k: usize, steps: usize, with_offsets: bool) {
        let n_groups = k.div_ceil(steps);
        let scales = random(n_groups * COLUMNS, 1);
        let offsets = if with_offsets { random(n_groups * COLUMNS, 2) } else { Vec::new() };
        let (nibbles, bytes): (Vec<u8>, Vec<i8>) = (
            (0..k * HALF).map(|i| (i * 37 % 256) as u8).collect(),
            (0..k * COLUMNS).map(|i| (i * 41 % 256) as u8 as i8).collect(),
        );
        let mut found = [vec![0.0; k * COLUMNS], vec![0.0; k * COLUMNS]];
        widen_nibbles(&nibbles, steps, &scales, &offsets, &mut found[0]);
        widen_bytes(&bytes, steps, &scales, &offsets, &mut found[1]);
        for (step, column) in (0..k).flat_map(|step| (0..COLUMNS).map(move |column| (step, column))) {
            let at = step / steps * COLUMNS + column;
            let both = nibbles[step * HALF + column % HALF];
            let nibble = if column < HALF { both & 15 } else { both >> 4 };
            let byte = bytes[step * COLUMNS + column];
            for (found, q) in found.iter().zip([f32::from(nibble), f32::from(byte)]) {
                let expected = q * scales[at] - offsets.get(at).unwrap_or(&0.0);
                assert_eq!(found[step * COLUMNS + column].to_bits(), expected.to_bits(), "{step}, {column}");
            }
        }
    }

    #[test]
    fn every_number_has_the_scale_and_the_offset_of_its_group() {
        for (k, steps) in [(0, 16), (16, 16), (32, 16), (64, 32), (40, 32)] {
            check(k, steps, true);
            check(k, steps, false);
        }
    }
}
