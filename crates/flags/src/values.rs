//! Values that flags take: a library's own by their names, and numbers. A number that is not finite or out of range is refused while the command
//! line is read.

use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Reads one of a library's values by its name.
pub(crate) fn by_name<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let known = PossibleValuesParser::new(all.iter().map(|&value| name(value)));
    known.try_map(move |text| all.iter().copied().find(|&value| name(value) == text).ok_or("unknown"))
}

/// A number above 0.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    number(text, |x| x > 0.0, "a number above 0")
}

/// A number from 0.
pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    number(text, |x| x >= 0.0, "a number from 0")
}

/// A share.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    number(text, |x| (0.0..=1.0).contains(&x), "a share from 0 to 1")
}

fn number(text: &str, fits: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    let number: Option<f64> = text.trim().parse().ok();
    number.filter(|x| x.is_finite() && fits(*x)).ok_or_else(|| format!("expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_numbers_in_range_are_taken() {
        for text in ["nan", "inf", "-inf", "-1", "1e999", "x", ""] {
            assert!(positive(text).is_err() && not_negative(text).is_err() && share(text).is_err(), "{text}");
        }
        assert_eq!((positive("1e-3"), not_negative("0"), share("1")), (Ok(1e-3), Ok(0.0), Ok(1.0)));
        assert!(positive("0").is_err() && share("1.5").is_err());
    }
}
