//! ggml's blocks as whole numbers with scales and offsets.
//!
//! A number of the types that are read here is scale · q − offset, with a whole number q of at most eight bits. Which numbers share a scale differs
//! by type; here all have one for 16 numbers. What comes out is what candle makes of the same bytes, bit for bit but for the sign of a zero. Types with other
//! blocks are read as float32 numbers only. Source: the layouts of blocks in ggml's `ggml-common.h`.

use crate::ops::packed::{GROUP, Group};
use candle_core::quantized::GgmlDType;
use half::f16;

/// Whether blocks of a type can be read as whole numbers.
pub(super) fn are_whole(kind: GgmlDType) -> bool {
    reader(kind).is_some()
}

/// Reads a row of whole blocks; `false` where the type cannot be read so.
pub(super) fn read(kind: GgmlDType, bytes: &[u8], numbers: &mut [i8], groups: &mut [Group]) -> bool {
    let Some(reader) = reader(kind) else { return false };
    let (block, n_bytes) = (kind.block_size(), kind.type_size());
    let all = bytes.chunks_exact(n_bytes).zip(numbers.chunks_exact_mut(block));
    for ((bytes, numbers), groups) in all.zip(groups.chunks_exact_mut(block / GROUP)) {
        reader(bytes, numbers, groups);
    }
    true
}

/// Reads one block.
type Reader = fn(&[u8], &mut [i8], &mut [Group]);

fn reader(kind: GgmlDType) -> Option<Reader> {
    Some(match kind {
        GgmlDType::Q4_0 => q4_0,
        GgmlDType::Q4_1 => q4_1,
        GgmlDType::Q5_0 => q5_0,
        GgmlDType::Q5_1 => q5_1,
        GgmlDType::Q8_0 => q8_0,
        GgmlDType::Q4K => q4_k,
        GgmlDType::Q5K => q5_k,
        GgmlDType::Q6K => q6_k,
        _ => return None,
    })
}

fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// The lower halves of some bytes, and then the upper ones.
fn nibbles(bytes: &[u8], numbers: &mut [i8]) {
    let (low, high) = numbers.split_at_mut(bytes.len());
    for ((&byte, low), high) in bytes.iter().zip(low).zip(high) {
        (*low, *high) = ((byte & 15) as i8, (byte >> 4) as i8);
    }
}

/// Scale in float16, 32 numbers of four bits, of which 8 is zero.
fn q4_0(bytes: &[u8], numbers: &mut [i8], groups: &mut [Group]) {
    let scale = half(bytes, 0);
    nibbles(&bytes[2..], numbers);
    groups.fill(Group { scale, offset: 8.0 * scale });
}

/// Scale and least number.
fn q4_1(bytes: &[u8], numbers: &mut [i8], groups: &mut [Group]) {
    nibbles(&bytes[4..], numbers);
    groups.fill(Group { scale: half(bytes, 0), offset: -half(bytes, 2) });
}

/// Adds the fifth bits, those of 32 numbers in four bytes.
fn fifth_bits(bytes: &[u8], numbers: &mut [i8]) {
    for (i, number) in numbers.iter_mut().enumerate() {
        *number |= ((bytes[i / 8] >> (i % 8) & 1) << 4) as i8;
    }
}

/// As Q4_0 with five bits, of which 16 is zero.
fn q5_0(bytes: &[u8], numbers: &mut [i8], groups: &mut [Group]) {
    nibbles(&bytes[6..], numbers);
    fifth_bits(&bytes[2..6], numbers);
    numbers.iter_mut().for_each(|number| *number -= 16);
    groups.fill(Group { scale: half(bytes, 0), offset: 0.0 });
}

fn q5_1(bytes: &[u8], numbers: &mut [i8], groups: &mut [Group]) {
    nibbles(&bytes[8..], numbers);
    fifth_bits(&bytes[4..8], numbers);
    groups.fill(Group { scale: half(bytes, 0), offset: -half(bytes, 2) });
}

fn q8_0(bytes: &[u8], numbers: &mut [i8], groups: &mut [Group]) {
    for (number, &byte) in numbers.iter_mut().zip(&bytes[2..]) {
        *number = byte as i8;
    }
    groups.fill(Group { scale: half(bytes, 0), offset: 0.0 });
}

/// Scales and offsets of eight times 32 numbers: six bits each, of two common ones in float16.
fn k_groups(bytes: &[u8], groups: &mut [Group]) {
    let (scale, offset, packed) = (half(bytes, 0), half(bytes, 2), &bytes[4..16]);
    for (i, groups) in groups.chunks_exact_mut(2).enumerate() {
        let (of_scale, of_offset) = if i < 4 {
            (packed[i] & 63, packed[i + 4] & 63)
        } else {
            let (both, high) = (packed[i + 4], |at: usize| packed[at] >> 6 << 4);
            (both & 15 | high(i - 4), both >> 4 | high(i))
        };
        groups.fill(Group { scale: scale * f32::from(of_scale), offset: offset * f32::from(of_offset) });
    }
}

fn q4_k(bytes: &[u8], numbers: &mut [i8], groups: &mut [Group]) {
    k_groups(bytes, groups);
    for (bytes, numbers) in bytes[16..].chunks_exact(32).zip(numbers.chunks_exact_mut(64)) {
        nibbles(bytes, numbers);
    }
}

fn q5_k(bytes: &[u8], numbers: &mut [i8], groups: &mut [Group]) {
    k_groups(bytes, groups);
    let (fifth, rest) = bytes[16..].split_at(32);
    for (bytes, numbers) in rest.chunks_exact(32).zip(numbers.chunks_exact_mut(64)) {
        nibbles(bytes, numbers);
    }
    for (i, numbers) in numbers.chunks_exact_mut(32).enumerate() {
        for (number, byte) in numbers.iter_mut().zip(fifth) {
            *number |= ((byte >> i & 1) << 4) as i8;
        }
    }
}

/// Lower four bits, upper two, sixteen scales of a byte, and a common one. Of six bits 32 is zero.
fn q6_k(bytes: &[u8], numbers: &mut [i8], groups: &mut [Group]) {
    let (low, rest) = bytes.split_at(128);
    let (high, rest) = rest.split_at(64);
    let scale = half(rest, 16);
    for (group, &own) in groups.iter_mut().zip(rest) {
        *group = Group { scale: scale * f32::from(own as i8), offset: 0.0 };
    }
    let halves = numbers.chunks_exact_mut(128).zip(low.chunks_exact(64)).zip(high.chunks_exact(32));
    for ((numbers, low), high) in halves {
        nibbles(low, numbers);
        for (i, numbers) in numbers.chunks_exact_mut(32).enumerate() {
            for (number, byte) in numbers.iter_mut().zip(high) {
                *number = (*number | ((byte >> (2 * i) & 3) << 4) as i8) - 32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use std::borrow::Cow;

    /// Blocks of random bytes whose float16 numbers, at these places, are finite.
    fn random_blocks(n: usize, n_bytes: usize, halves: &[usize], seed: u64) -> Vec<u8> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut bytes: Vec<u8> = (0..n * n_bytes).map(|_| rng.random()).collect();
        for block in bytes.chunks_exact_mut(n_bytes) {
            for &at in halves {
                let number = f16::from_f32(rng.random_range(-2.0..2.0));
                block[at..at + 2].copy_from_slice(&number.to_le_bytes());
            }
        }
        bytes
    }

    #[test]
    fn whole_numbers_are_those_that_candle_reads() {
        let kinds: [(GgmlDType, &[usize]); 8] = [
            (GgmlDType::Q4_0, &[0]),
            (GgmlDType::Q4_1, &[0, 2]),
            (GgmlDType::Q5_0, &[0]),
            (GgmlDType::Q5_1, &[0, 2]),
            (GgmlDType::Q8_0, &[0]),
            (GgmlDType::Q4K, &[0, 2]),
            (GgmlDType::Q5K, &[0, 2]),
            (GgmlDType::Q6K, &[208]),
        ];
        for (kind, halves) in kinds {
            const BLOCKS: usize = 50;
            let n = BLOCKS * kind.block_size();
            let bytes = random_blocks(BLOCKS, kind.type_size(), halves, 7);
            let expected = kind.from_data(Cow::Borrowed(&bytes)).dequantize(n).unwrap();
            let (mut numbers, mut groups) = (vec![0; n], vec![Group::default(); n / GROUP]);
            assert!(are_whole(kind) && read(kind, &bytes, &mut numbers, &mut groups));
            for (i, &expected) in expected.as_slice::<f32>().unwrap().iter().enumerate() {
                let Group { scale, offset } = groups[i / GROUP];
                let found = f32::from(numbers[i]) * scale - offset;
                // A sum with zero has the sign of zero that both share.
                assert_eq!((found + 0.0).to_bits(), (expected + 0.0).to_bits(), "{kind:?}, {i}: {found}");
            }
        }
    }

    #[test]
    fn other_blocks_are_not_read() {
        assert!(!are_whole(GgmlDType::Q2K));
        assert!(!read(GgmlDType::Q3K, &[0; 110], &mut [0; 256], &mut [Group::default(); 16]));
    }
}
