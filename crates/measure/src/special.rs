//! Special functions behind the estimators: ln Γ, ψ = (ln Γ)′ and ψ′, each for x > 0.
//!
//! Arguments below 12 are shifted up by the recurrence, then the asymptotic series holds to about 1e-14 relative.
//! Source: Abramowitz and Stegun 1964, 6.1.41, 6.3.18 and 6.4.12.

use std::f64::consts::PI;

const SERIES_FROM: f64 = 12.0;

/// ln Γ(x).
pub(crate) fn ln_gamma(x: f64) -> f64 {
    let (mut y, mut shift) = (x, 0.0);
    while y < SERIES_FROM {
        shift += y.ln();
        y += 1.0;
    }
    let z = 1.0 / (y * y);
    let tail = 1.0 / 12.0 - z * (1.0 / 360.0 - z * (1.0 / 1260.0 - z * (1.0 / 1680.0 - z / 1188.0)));
    (y - 0.5) * y.ln() - y + 0.5 * (2.0 * PI).ln() + tail / y - shift
}

/// ψ(x).
pub(crate) fn digamma(x: f64) -> f64 {
    let (mut y, mut shift) = (x, 0.0);
    while y < SERIES_FROM {
        shift += 1.0 / y;
        y += 1.0;
    }
    let z = 1.0 / (y * y);
    let tail =
        z * (1.0 / 12.0 - z * (1.0 / 120.0 - z * (1.0 / 252.0 - z * (1.0 / 240.0 - z * (1.0 / 132.0)))));
    y.ln() - 0.5 / y - tail - shift
}

/// ψ′(x).
pub(crate) fn trigamma(x: f64) -> f64 {
    let (mut y, mut shift) = (x, 0.0);
    while y < SERIES_FROM {
        shift += 1.0 / (y * y);
        y += 1.0;
    }
    let z = 1.0 / (y * y);
    let tail = z * (1.0 / 6.0 - z * (1.0 / 30.0 - z * (1.0 / 42.0 - z * (1.0 / 30.0 - z * (5.0 / 66.0)))));
    (1.0 + 0.5 / y + tail) / y + shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        const EULER: f64 = 0.577_215_664_901_532_9;
        assert!((digamma(1.0) + EULER).abs() < 1e-13);
        assert!((digamma(0.5) + EULER + 4_f64.ln()).abs() < 1e-13);
        assert!((trigamma(1.0) - PI * PI / 6.0).abs() < 1e-13);
        assert!((trigamma(0.5) - PI * PI / 2.0).abs() < 1e-12);
        assert!((ln_gamma(0.5) - 0.5 * PI.ln()).abs() < 1e-13);
        assert!((ln_gamma(11.0) - 3_628_800_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn recurrences_hold_from_tiny_to_large() {
        for x in [1e-12, 1e-3, 0.3, 2.5, 11.9, 300.0] {
            assert!((ln_gamma(x + 1.0) - ln_gamma(x) - f64::ln(x)).abs() < 1e-12 * (1.0 + ln_gamma(x).abs()));
            assert!((digamma(x + 1.0) - digamma(x) - 1.0 / x).abs() < 1e-13 * (1.0 + 1.0 / x));
            assert!((trigamma(x + 1.0) - trigamma(x) + 1.0 / (x * x)).abs() < 1e-13 * (1.0 + 1.0 / (x * x)));
        }
    }
}
