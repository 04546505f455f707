//! e^x on vectors: a branch-free float32 form that compilers turn into vector instructions. It is meant for loops that are compiled for the
//! processor's own instructions (`vector`): fused multiply-adds are function calls elsewhere.
//!
//! x = n ln 2 + r with |r| ≤ ln 2 / 2; e^r by a polynomial of degree 6 in Horner form; 2^n by the exponent's bits. Relative error below
//! 4e-7 on [−87.3, 88]; arguments outside are clamped there, so e^x never underflows to 0.

/// e^x.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let p = 1.0f32 / 720.0;
    let p = p.mul_add(r, 1.0 / 120.0);
    let p = p.mul_add(r, 1.0 / 24.0);
    let p = p.mul_add(r, 1.0 / 6.0);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r, 1.0);
    let p = p.mul_add(r, 1.0);
    // The low bits of `shifted` hold n; moved to the exponent they multiply by 2^n.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    p * scale
}

/// tanh x.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_error_is_small_everywhere() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0 + 0.000_37;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 4e-7, "e^{x}: relative error {error}");
        }
    }

    #[test]
    fn far_arguments_are_clamped() {
        assert!(exp(-1e9) > 0.0 && exp(-1e9) < 1e-37);
        assert!(exp(1e9).is_finite());
        assert!((tanh(20.0) - 1.0).abs() < 1e-6 && (tanh(-20.0) + 1.0).abs() < 1e-6);
    }
}
