//! e^x, sums and maxima in forms that compilers turn into vector instructions.

/// e^x for x in [−87, 88], clamped outside: x = n ln 2 + r with |r| ≤ ln 2 / 2, e^r by its Taylor polynomial of degree 6, 2^n by the
/// exponent's bits. Relative error below 4e-7.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // 1.5 · 2^23: adding it leaves the nearest whole number in the low bits.
    const TO_WHOLE: f32 = 12_582_912.0;
    const LN2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = x.clamp(-87.0, 88.0);
    let whole = x * std::f32::consts::LOG2_E + TO_WHOLE;
    let n = whole - TO_WHOLE;
    let r = (x - n * LN2.0) - n * LN2.1;
    let high = (1.0 / 720.0 * r + 1.0 / 120.0) * r + 1.0 / 24.0;
    let p = (((high * r + 1.0 / 6.0) * r + 0.5) * r + 1.0) * r + 1.0;
    p * f32::from_bits((whole.to_bits() << 23).wrapping_add(0x3f80_0000))
}

/// 1 / (1 + e^−x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

const LANES: usize = 16;

/// Σ f(x_i) over sixteen running sums.
#[inline(always)]
pub(crate) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += f(v);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&v| f(v)).sum::<f32>()
}

/// Σ x_i y_i over sixteen running sums.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let (ys, y_rest) = y.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for (x, y) in xs.iter().zip(ys) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    lanes.iter().sum::<f32>() + x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum::<f32>()
}

/// The largest number.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane = if v > *lane { v } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &v| m.max(v))
}

/// Replaces scores by their softmax; returns ln Σ e^x.
#[inline(always)]
pub(crate) fn softmax(x: &mut [f32]) -> f32 {
    let largest = max(x);
    for v in x.iter_mut() {
        *v = exp(*v - largest);
    }
    let total = sum(x, |v| v);
    let scale = 1.0 / total;
    for v in x.iter_mut() {
        *v *= scale;
    }
    largest + total.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_error_is_small() {
        for i in -86_900..88_000 {
            let x = i as f32 / 1000.0 + 0.000_21;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() / exact < 4e-7, "e^{x}");
        }
        assert!(exp(-1e9) < 1e-37 && exp(1e9).is_finite());
    }

    #[test]
    fn reductions_of_every_length() {
        for n in 1..70 {
            let x: Vec<f32> = (0..n).map(|i| ((i * 7919) % 13) as f32 - 6.0).collect();
            let exact: f32 = x.iter().sum();
            assert!((sum(&x, |v| v) - exact).abs() < 1e-4);
            assert!((dot(&x, &x) - x.iter().map(|v| v * v).sum::<f32>()).abs() < 1e-3);
            assert!((max(&x) - x.iter().fold(-9f32, |m, &v| m.max(v))).abs() < 1e-9);
            let mut p = x.clone();
            let lse = softmax(&mut p);
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!((lse - x.iter().map(|v| v.exp()).sum::<f32>().ln()).abs() < 1e-5);
        }
    }
}
