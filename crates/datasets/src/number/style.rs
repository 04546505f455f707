//! Which mark stands before decimals.
//!
//! Most numbers say it themselves: `1.450,50`, `1,450.50`, `0,75`, `3,5`, `2.345.678` can be read in one way only. One mark with
//! exactly three digits after it cannot: `1,450` is a thousand or so in English and less than two in German, and `1.450` the other way
//! round. There the point stands before decimals, as in the benchmarks and in LaTeX, unless the targets of the file show a comma there.

use super::numeral;

/// The mark that stands before decimals where a number does not say so itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum DecimalMark {
    /// `1.450` is less than two.
    #[default]
    Point,
    /// `1,450` is less than two.
    Comma,
}

impl DecimalMark {
    /// The mark that these targets show: a comma if one of them has decimals after a comma and none has decimals after a point.
    pub fn of_targets<'a>(targets: impl Iterator<Item = &'a str>) -> Self {
        let (mut point, mut comma) = (false, false);
        for target in targets {
            match numeral::decimal_mark(target) {
                Some(Self::Point) => point = true,
                Some(Self::Comma) => comma = true,
                None => {}
            }
        }
        if comma && !point { Self::Comma } else { Self::Point }
    }

    /// The mark as a character.
    pub(super) fn character(self) -> char {
        match self {
            Self::Point => '.',
            Self::Comma => ',',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_show_their_mark() {
        let of = |targets: &[&str]| DecimalMark::of_targets(targets.iter().copied());
        assert_eq!(of(&["1.450", "3,5"]), DecimalMark::Comma);
        assert_eq!(of(&["1.450,50", "7"]), DecimalMark::Comma);
        assert_eq!(of(&["2.345.678"]), DecimalMark::Comma);
        assert_eq!(of(&["3,5", "2.5"]), DecimalMark::Point);
        assert_eq!(of(&["1,450", "1.450", "yes"]), DecimalMark::Point);
        assert_eq!(of(&[]), DecimalMark::Point);
    }
}
