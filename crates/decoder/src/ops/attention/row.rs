//! Attention of a branch of one token: a step of decoding, or the next token of a search.
//!
//! The query heads that share a head of keys are few, so lanes are numbers of a key instead: each score is sixteen running sums over the
//! head's numbers, added up by halves, for sixteen keys at a time.

use super::{Attention, Head, Out, Scratch, Tile, Views, mix};
use entrace_kernels::exp::{exp, tanh};
use entrace_kernels::tile::Left;
use entrace_kernels::vectorised;

impl Attention<'_> {
    /// The one row of a tile.
    pub(super) fn row(&self, tile: &Tile<'_>, views: &Views<'_>, scratch: &mut Scratch, out: &Out) {
        let spec = self.spec;
        let seen = tile.seen(0, spec.window);
        let n_keys = seen.len();
        let ranges = tile.block.ranges(seen.start, seen.end);
        let row = tile.block.rows.start;
        let (group, dim) = (self.group(), spec.head_dim);

        let heads = tile.kv_head * group..(tile.kv_head + 1) * group;
        scratch.queries.clear();
        let queries = &views.q.row(row)[heads.start * dim..heads.end * dim];
        scratch.queries.extend(queries.iter().map(|x| x * spec.scale as f32));
        scratch.scores.resize(group * n_keys, 0.0);
        scores(&scratch.queries, Head::new(views.keys, tile.kv_head, dim), &ranges, &mut scratch.scores);
        for (scores, head) in scratch.scores.chunks_exact_mut(n_keys).zip(heads.clone()) {
            softmax(scores, spec.softcap);
            if self.read {
                let (own, entropy) = reading(scores);
                // SAFETY: see `Out`.
                unsafe { self.write_reading(out, row, head, own, entropy) };
            }
        }
        scratch.out.resize(group * spec.v_head_dim, 0.0);
        let values = Head::new(views.values, tile.kv_head, spec.v_head_dim);
        assert_eq!(scratch.scores.len(), group * n_keys);
        // SAFETY: weights are [queries, keys].
        unsafe {
            mix(values, &ranges, &mut scratch.out, |query, key| {
                Left::Rows(scratch.scores.as_ptr().add(query * n_keys + key), n_keys)
            });
        }
        // SAFETY: see `Out`; the columns of the tile's heads stand together.
        unsafe { out.write(row, heads.start * spec.v_head_dim, scratch.out.iter().copied()) };
    }
}

/// Scores `[queries, keys]` of queries `[queries, D]`.
fn scores(queries: &[f32], keys: Head<'_>, ranges: &[(usize, usize)], scores: &mut [f32]) {
    let n_keys: usize = ranges.iter().map(|&(_, n)| n).sum();
    let mut done = 0;
    for &(slot, n) in ranges {
        let keys_of_range = keys.slots(slot, n);
        for (query, scores) in queries.chunks_exact(keys.dim).zip(scores.chunks_exact_mut(n_keys)) {
            dots(query, keys_of_range, keys.stride, &mut scores[done..done + n]);
        }
        done += n;
    }
}

/// Products of a query with keys that lie `stride` apart.
fn dots(query: &[f32], keys: &[f32], stride: usize, scores: &mut [f32]) {
    let n_whole = scores.len() / SIXTEEN * SIXTEEN;
    let (whole, rest) = scores.split_at_mut(n_whole);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        for (block, scores) in whole.as_chunks_mut::<SIXTEEN>().0.iter_mut().enumerate() {
            let keys = &keys[block * SIXTEEN * stride..];
            // SAFETY: the instructions are there.
            unsafe { avx512::sixteen_dots(query, keys, stride, scores) };
        }
        for (i, score) in rest.iter_mut().enumerate() {
            // SAFETY: the instructions are there.
            *score = unsafe { avx512::dot(query, &keys[(n_whole + i) * stride..][..query.len()]) };
        }
        return;
    }
    for (i, score) in whole.iter_mut().chain(rest).enumerate() {
        *score = dot(query, &keys[i * stride..][..query.len()]);
    }
}

const SIXTEEN: usize = 16;

vectorised! {
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        let (a_chunks, a_rest) = a.as_chunks::<SIXTEEN>();
        let (b_chunks, b_rest) = b.as_chunks::<SIXTEEN>();
        let mut lanes = [0f32; SIXTEEN];
        for (a, b) in a_chunks.iter().zip(b_chunks) {
            for i in 0..SIXTEEN {
                lanes[i] += a[i] * b[i];
            }
        }
        halved_sum(lanes) + rest_dot(a_rest, b_rest)
    }
}

#[inline(always)]
fn rest_dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Sum of lanes by halves: four dependent additions instead of sixteen.
#[inline(always)]
fn halved_sum(mut lanes: [f32; SIXTEEN]) -> f32 {
    for half in [8, 4, 2, 1] {
        let (low, high) = lanes.split_at_mut(half);
        for (low, &high) in low.iter_mut().zip(&*high) {
            *low += high;
        }
    }
    lanes[0]
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{SIXTEEN, halved_sum, rest_dot};
    use std::arch::x86_64::{
        __m512, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_setzero_ps, _mm512_shuffle_f32x4,
        _mm512_shuffle_ps, _mm512_storeu_ps, _mm512_unpackhi_ps, _mm512_unpacklo_ps,
    };

    /// One product, with the bits that it has among sixteen.
    #[target_feature(enable = "avx512f")]
    pub(super) fn dot(query: &[f32], key: &[f32]) -> f32 {
        let (query_chunks, query_rest) = query.as_chunks::<SIXTEEN>();
        let (key_chunks, key_rest) = key.as_chunks::<SIXTEEN>();
        let mut sum = _mm512_setzero_ps();
        for (q, k) in query_chunks.iter().zip(key_chunks) {
            sum = _mm512_fmadd_ps(load(q), load(k), sum);
        }
        let mut lanes = [0f32; SIXTEEN];
        // SAFETY: sixteen numbers are written to sixteen.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
        halved_sum(lanes) + rest_dot(query_rest, key_rest)
    }

    /// Products of a query with the next sixteen keys.
    #[target_feature(enable = "avx512f")]
    pub(super) fn sixteen_dots(query: &[f32], keys: &[f32], stride: usize, scores: &mut [f32; SIXTEEN]) {
        let key = |i: usize| &keys[i * stride..][..query.len()];
        let (chunks, rest) = query.as_chunks::<SIXTEEN>();
        assert!(keys.len() >= (SIXTEEN - 1) * stride + query.len());
        let mut sums = [_mm512_setzero_ps(); SIXTEEN];
        for (c, chunk) in chunks.iter().enumerate() {
            let q = load(chunk);
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: key i has as many numbers as the query (asserted).
                let k = unsafe { _mm512_loadu_ps(keys.as_ptr().add(i * stride + c * SIXTEEN)) };
                *sum = _mm512_fmadd_ps(q, k, *sum);
            }
        }
        // SAFETY: sixteen numbers are written to sixteen.
        unsafe { _mm512_storeu_ps(scores.as_mut_ptr(), halved_sums(sums)) };
        if !rest.is_empty() {
            for (i, score) in scores.iter_mut().enumerate() {
                *score += rest_dot(rest, &key(i)[query.len() - rest.len()..]);
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    fn load(numbers: &[f32; SIXTEEN]) -> __m512 {
        // SAFETY: sixteen numbers are read of sixteen.
        unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
    }

    /// The sum of the lanes of each vector, by halves, all in one vector.
    #[target_feature(enable = "avx512f")]
    fn halved_sums(x: [__m512; SIXTEEN]) -> __m512 {
        // Halves of 8: quarters of vector i and of i + 8 stand side by side.
        let eights: [__m512; 8] = std::array::from_fn(|i| {
            let low = _mm512_shuffle_f32x4::<0x44>(x[i], x[i + 8]);
            _mm512_add_ps(low, _mm512_shuffle_f32x4::<0xEE>(x[i], x[i + 8]))
        });
        // Halves of 4: the quarters are of vectors i, i + 8, i + 4, i + 12.
        let fours: [__m512; 4] = std::array::from_fn(|i| {
            let low = _mm512_shuffle_f32x4::<0x88>(eights[i], eights[i + 4]);
            _mm512_add_ps(low, _mm512_shuffle_f32x4::<0xDD>(eights[i], eights[i + 4]))
        });
        // Halves of 2, then of 1, within quarters.
        let twos: [__m512; 2] = std::array::from_fn(|i| {
            let low = _mm512_unpacklo_ps(fours[2 * i], fours[2 * i + 1]);
            _mm512_add_ps(low, _mm512_unpackhi_ps(fours[2 * i], fours[2 * i + 1]))
        });
        let low = _mm512_shuffle_ps::<0x44>(twos[0], twos[1]);
        let ones = _mm512_add_ps(low, _mm512_shuffle_ps::<0xEE>(twos[0], twos[1]));
        _mm512_shuffle_f32x4::<0xD8>(ones, ones)
    }
}

vectorised! {
    /// Softmax over all scores.
    fn softmax(scores: &mut [f32], softcap: Option<f64>) {
        if let Some(cap) = softcap {
            let cap = cap as f32;
            scores.iter_mut().for_each(|s| *s = cap * tanh(*s / cap));
        }
        let (chunks, rest) = scores.as_chunks_mut::<SIXTEEN>();
        let mut lanes = [f32::NEG_INFINITY; SIXTEEN];
        for chunk in &*chunks {
            for (lane, &s) in lanes.iter_mut().zip(chunk) {
                *lane = if s > *lane { s } else { *lane };
            }
        }
        let max = lanes.iter().chain(&*rest).fold(f32::NEG_INFINITY, |m, &s| if s > m { s } else { m });
        let mut lanes = [0f32; SIXTEEN];
        for chunk in chunks {
            for (lane, s) in lanes.iter_mut().zip(chunk) {
                *s = exp(*s - max);
                *lane += *s;
            }
        }
        let mut sum: f32 = lanes.iter().sum();
        for s in rest {
            *s = exp(*s - max);
            sum += *s;
        }
        let scale = 1.0 / sum;
        scores.iter_mut().for_each(|s| *s *= scale);
    }
}

/// ln of the last weight, which is that of the row itself, and the entropy of all.
fn reading(weights: &[f32]) -> (f32, f32) {
    let ln = |weight: f32| weight.max(f32::MIN_POSITIVE).ln();
    let entropy = -weights.iter().map(|&w| w * ln(w)).sum::<f32>();
    (weights.last().map_or(0.0, |&own| ln(own)), entropy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::random;

    #[test]
    fn a_product_has_the_same_bits_alone_and_among_sixteen() {
        for dim in [16, 20, 64, 100] {
            let stride = dim + 3;
            let query = random(&[dim], 1).to_vec1::<f32>().unwrap();
            let keys = random(&[37 * stride], 2).to_vec1::<f32>().unwrap();
            let mut together = vec![0f32; 37];
            dots(&query, &keys, stride, &mut together);
            for (i, &found) in together.iter().enumerate() {
                let key = &keys[i * stride..][..dim];
                let exact: f64 = query.iter().zip(key).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                assert!((f64::from(found) - exact).abs() < 1e-5);
                let mut alone = [0f32];
                dots(&query, key, stride, &mut alone);
                assert_eq!(alone[0].to_bits(), found.to_bits(), "key {i} of {dim} numbers");
            }
        }
    }
}
