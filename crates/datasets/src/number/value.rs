//! Canonical strings of exact numbers.
//!
//! Everything works on strings of ASCII digits. Fractions are reduced where numerator and denominator fit 128 and 64 bits;
//! larger ones stay as written, which two different spellings of the same value would tell apart.

/// The canonical string of `±integer.decimals · 10^exponent`. Digits only; either part may be empty.
pub(super) fn decimal(negative: bool, integer: &str, decimals: &str, exponent: i32) -> String {
    let mut integer = integer.to_string();
    let mut decimals = decimals.to_string();
    for _ in 0..exponent.unsigned_abs() {
        if exponent > 0 {
            integer.push(if decimals.is_empty() { '0' } else { decimals.remove(0) });
        } else {
            decimals.insert(0, integer.pop().unwrap_or('0'));
        }
    }
    let integer = Some(integer.trim_start_matches('0')).filter(|digits| !digits.is_empty()).unwrap_or("0");
    let decimals = decimals.trim_end_matches('0');
    let sign = if negative && !(integer == "0" && decimals.is_empty()) { "-" } else { "" };
    if decimals.is_empty() { format!("{sign}{integer}") } else { format!("{sign}{integer}.{decimals}") }
}

/// The canonical string of `±numerator/denominator`; the denominator is not zero.
pub(super) fn fraction(negative: bool, numerator: &str, denominator: &str) -> String {
    let (Ok(whole), Ok(parts)) = (numerator.parse::<u128>(), denominator.parse::<u64>()) else {
        let sign = if negative { "-" } else { "" };
        let (numerator, denominator) =
            (numerator.trim_start_matches('0'), denominator.trim_start_matches('0'));
        return if numerator.is_empty() { "0".into() } else { format!("{sign}{numerator}/{denominator}") };
    };
    reduced(negative, whole, u128::from(parts))
}

fn reduced(negative: bool, numerator: u128, denominator: u128) -> String {
    let common = gcd(numerator, denominator).max(1);
    let (numerator, denominator) = (numerator / common, denominator / common);
    if decimals_end(denominator) {
        let (digits, mut rest) =
            (numerator.checked_div(denominator), numerator.checked_rem(denominator).unwrap_or(0));
        let mut decimals = String::new();
        while rest > 0 {
            rest *= 10;
            decimals.push_str(&(rest / denominator).to_string());
            rest %= denominator;
        }
        return decimal(negative, &digits.unwrap_or(0).to_string(), &decimals, 0);
    }
    format!("{}{numerator}/{denominator}", if negative { "-" } else { "" })
}

/// Whether 1/n has finitely many decimals: n has no prime factors but 2 and 5.
fn decimals_end(mut n: u128) -> bool {
    for prime in [2, 5] {
        while n > 0 && n.is_multiple_of(prime) {
            n /= prime;
        }
    }
    n == 1
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The decimal with a comma before every third digit of its integer part.
pub(super) fn with_thousands(size: &str) -> String {
    let (sign, size) = size.strip_prefix('-').map_or(("", size), |size| ("-", size));
    let (integer, decimals) = size.find('.').map_or((size, ""), |point| size.split_at(point));
    let mut grouped = String::new();
    for (i, digit) in integer.chars().enumerate() {
        if i > 0 && (integer.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{decimals}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        assert_eq!(decimal(false, "0018", "500", 0), "18.5");
        assert_eq!(decimal(true, "", "", 0), "0");
        assert_eq!(decimal(true, "0", "50", 0), "-0.5");
        assert_eq!(decimal(false, "1", "25", 3), "1250");
        assert_eq!(decimal(false, "1", "25", -3), "0.00125");
        let big = "123456789012345678901234567890123456789012345";
        assert_eq!(decimal(false, big, "", 0), big);
    }

    #[test]
    fn fractions_end_or_are_reduced() {
        assert_eq!(fraction(false, "1", "2"), "0.5");
        assert_eq!(fraction(true, "2", "6"), "-1/3");
        assert_eq!(fraction(false, "6", "3"), "2");
        assert_eq!(fraction(true, "0", "3"), "0");
        assert_eq!(fraction(false, "7", "40"), "0.175");
        let huge = "9".repeat(50);
        assert_eq!(fraction(false, &huge, "7"), format!("{huge}/7"));
        assert_eq!(fraction(false, "1", &u64::MAX.to_string()), format!("1/{}", u64::MAX));
    }

    #[test]
    fn thousands_are_set_off() {
        assert_eq!(with_thousands("123"), "123");
        assert_eq!(with_thousands("1234.5678"), "1,234.5678");
        assert_eq!(with_thousands("1234567"), "1,234,567");
    }
}
