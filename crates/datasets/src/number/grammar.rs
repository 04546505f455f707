//! The automaton that decides what a number is.
//!
//! A number is a lead-in, a sign, digits with thousands commas, a point, decimals and an exponent; or a fraction `a/b`,
//! `\frac{a}{b}`, `½`, `1½`. It is complete as soon as it has a value, open while only a longer string would have one (`1,2`
//! may become `1,234`), and closed by the first character that cannot belong to it: a space, a unit, a line end.
//!
//! A character that can join two numbers (`12:30`, `5-10`, `2^3`, `1/2/2020`) does not close at once: a digit after it shows
//! that the string is no number, anything else closes.
//!
//! A sign belongs to what it touches: `-4` and `-$4` are negative, `- 4` is a dash or the bullet of a list, and 4.
//! Digits are those of ASCII and the full-width, Arabic and Devanagari ones.

use entrace_measure::{AnswerGrammar, GrammarState, Verdict};

use super::value;
use crate::lead::{self, Followed, Node};

/// The automaton; all numbers share one.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumberGrammar;

/// Where the string so far has led. The order of `PLAIN` numbers these states; commands come after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but lead-in.
    Lead,
    /// A sign, which a number must touch.
    Sign,
    /// A sign and a currency.
    SignCurrency,
    /// A point that digits must follow.
    LeadPoint,
    /// One to three digits, before which nothing stood: thousands may follow.
    Head1,
    Head2,
    Head3,
    /// More digits, or a leading zero: no thousands may follow.
    Long,
    /// A comma that may begin a group of thousands.
    Comma,
    /// One or two digits of a group.
    Group1,
    Group2,
    /// A whole group.
    Grouped,
    /// The decimal point.
    Point,
    Decimals,
    /// `e` after digits.
    Exponent,
    ExponentSign,
    Exponent1,
    Exponent2,
    /// `/` after digits.
    Slash,
    /// Zeros after the slash.
    ZeroDenominator,
    Denominator,
    /// A one-character fraction.
    Vulgar,
    /// After `\frac`.
    Frac,
    /// After `\frac{`.
    FracNumeratorOpen,
    FracNumerator,
    /// After `\frac{a}`.
    FracMiddle,
    /// After `\frac{a}{`.
    FracDenominatorOpen,
    FracZero,
    FracDenominator,
    /// After `\frac1`.
    FracShort,
    /// After `\frac{a}{b}` or `\frac12`.
    FracEnd,
    /// After a character that may join two numbers.
    Joint,
    Closed,
    Invalid,
    /// Inside a LaTeX command.
    Command(Node),
}

const PLAIN: [State; 34] = {
    use State::*;
    [
        Lead,
        Sign,
        SignCurrency,
        LeadPoint,
        Head1,
        Head2,
        Head3,
        Long,
        Comma,
        Group1,
        Group2,
        Grouped,
        Point,
        Decimals,
        Exponent,
        ExponentSign,
        Exponent1,
        Exponent2,
        Slash,
        ZeroDenominator,
        Denominator,
        Vulgar,
        Frac,
        FracNumeratorOpen,
        FracNumerator,
        FracMiddle,
        FracDenominatorOpen,
        FracZero,
        FracDenominator,
        FracShort,
        FracEnd,
        Joint,
        Closed,
        Invalid,
    ]
};

impl From<State> for GrammarState {
    fn from(state: State) -> Self {
        let plain = PLAIN.iter().position(|&known| known == state);
        Self(match (plain, state) {
            (Some(index), _) => index as u32,
            (None, State::Command(node)) => PLAIN.len() as u32 + node.code(),
            (None, _) => unreachable!("every state but the commands is listed"),
        })
    }
}

impl From<GrammarState> for State {
    fn from(GrammarState(number): GrammarState) -> Self {
        PLAIN
            .get(number as usize)
            .copied()
            .unwrap_or_else(|| Self::Command(Node::from_code(number - PLAIN.len() as u32)))
    }
}

impl AnswerGrammar for NumberGrammar {
    fn start(&self) -> GrammarState {
        State::Lead.into()
    }

    fn step(&self, state: GrammarState, character: char) -> GrammarState {
        next(state.into(), character).into()
    }

    fn verdict(&self, state: GrammarState) -> Verdict {
        verdict(state.into())
    }
}

fn verdict(state: State) -> Verdict {
    use State::*;
    match state {
        Head1 | Head2 | Head3 | Long | Comma | Grouped | Point | Decimals | Exponent | ExponentSign
        | Exponent1 | Exponent2 | Slash | Denominator | Vulgar | FracEnd | Joint => Verdict::Complete,
        Closed => Verdict::Closed,
        Invalid => Verdict::Invalid,
        _ => Verdict::Open,
    }
}

fn next(state: State, c: char) -> State {
    use State::*;
    let digit = digit_value(c);
    match state {
        Lead | Sign | SignCurrency => before_number(state, c, digit),
        Command(node) => match node.follow(c) {
            Followed::Inside(node) => Command(node),
            Followed::Whole(lead::Command::Wrapper) => Lead,
            Followed::Whole(lead::Command::Fraction) => Frac,
            Followed::Unknown => Invalid,
        },
        LeadPoint => digit.map_or(Invalid, |_| Decimals),
        Head1 | Head2 | Head3 | Long | Grouped => in_integer(state, c, digit),
        Comma => digit.map_or(Closed, |_| Group1),
        Group1 => digit.map_or(Invalid, |_| Group2),
        Group2 => digit.map_or(Invalid, |_| Grouped),
        Point => digit.map_or(Closed, |_| Decimals),
        Decimals if digit.is_some() => Decimals,
        Decimals if matches!(c, 'e' | 'E') => Exponent,
        Exponent if matches!(c, '+' | '-' | '−') => ExponentSign,
        Exponent | ExponentSign => digit.map_or(Closed, |_| Exponent1),
        Exponent1 if digit.is_some() => Exponent2,
        Slash | ZeroDenominator => match (state, digit) {
            (_, Some(0)) => ZeroDenominator,
            (_, Some(_)) => Denominator,
            (Slash, None) => Closed,
            _ => Invalid,
        },
        Denominator if digit.is_some() => Denominator,
        Frac | FracNumeratorOpen | FracNumerator | FracMiddle | FracDenominatorOpen | FracZero
        | FracDenominator | FracShort => in_frac(state, c, digit),
        Joint => digit.map_or(Closed, |_| Invalid),
        Decimals | Exponent1 | Exponent2 | Denominator | Vulgar | FracEnd => after_value(c),
        Closed | Invalid => state,
    }
}

fn before_number(state: State, c: char, digit: Option<u8>) -> State {
    use State::*;
    match (c, digit) {
        (_, Some(0)) => Long,
        (_, Some(_)) => Head1,
        ('.', _) => LeadPoint,
        ('\\', _) => Command(Node::root()),
        _ if vulgar(c).is_some() => Vulgar,
        _ => match state {
            Lead if is_sign(c) => Sign,
            Lead if lead::is_lead(c) => Lead,
            Sign if lead::is_currency(c) => SignCurrency,
            Sign if c.is_whitespace() => Lead,
            SignCurrency if c.is_whitespace() => SignCurrency,
            _ => Invalid,
        },
    }
}

fn in_integer(state: State, c: char, digit: Option<u8>) -> State {
    use State::*;
    let head = matches!(state, Head1 | Head2 | Head3);
    match (state, c) {
        (Head1, _) if digit.is_some() => Head2,
        (Head2, _) if digit.is_some() => Head3,
        (Head3 | Long, _) if digit.is_some() => Long,
        (_, '.') => Point,
        (_, ',') if head || state == Grouped => Comma,
        (_, 'e' | 'E') if state != Grouped => Exponent,
        (_, '/' | '⁄') if state != Grouped => Slash,
        _ if head && vulgar(c).is_some() => Vulgar,
        _ => after_value(c),
    }
}

fn in_frac(state: State, c: char, digit: Option<u8>) -> State {
    use State::*;
    match (state, c, digit) {
        (Frac, '{', _) => FracNumeratorOpen,
        (Frac, _, Some(_)) => FracShort,
        (FracShort, _, Some(1..)) => FracEnd,
        (FracNumeratorOpen | FracNumerator, _, Some(_)) => FracNumerator,
        (FracNumerator, '}', _) => FracMiddle,
        (FracMiddle, '{', _) => FracDenominatorOpen,
        (FracDenominatorOpen | FracZero, _, Some(0)) => FracZero,
        (FracDenominatorOpen | FracZero | FracDenominator, _, Some(_)) => FracDenominator,
        (FracDenominator, '}', _) => FracEnd,
        _ => Invalid,
    }
}

/// After a value that no further digit can belong to: another digit or numeral shows that it was none.
fn after_value(c: char) -> State {
    let joins =
        matches!(c, '.' | ',' | ':' | '/' | '⁄' | '+' | '*' | '×' | '·' | '÷' | '^' | '_' | '\'' | '’' | '=');
    match () {
        () if c.is_numeric() => State::Invalid,
        () if joins || is_sign(c) => State::Joint,
        () => State::Closed,
    }
}

fn is_sign(c: char) -> bool {
    matches!(c, '+') || is_minus(c)
}

/// Hyphen, minus sign, en dash.
pub(super) fn is_minus(c: char) -> bool {
    matches!(c, '-' | '−' | '–')
}

fn digit_value(c: char) -> Option<u8> {
    // Zeros of ASCII, Arabic-Indic, extended Arabic-Indic, Devanagari and full-width digits; nine more follow each.
    [0x30, 0x660, 0x6f0, 0x966, 0xff10]
        .into_iter()
        .find_map(|zero| u32::from(c).checked_sub(zero).filter(|&value| value < 10))
        .and_then(|value| u8::try_from(value).ok())
}

/// Numerator and denominator of a one-character fraction.
pub(super) fn vulgar(c: char) -> Option<(u128, u128)> {
    Some(match c {
        '½' => (1, 2),
        '⅓' => (1, 3),
        '⅔' => (2, 3),
        '¼' => (1, 4),
        '¾' => (3, 4),
        '⅕' => (1, 5),
        '⅖' => (2, 5),
        '⅗' => (3, 5),
        '⅘' => (4, 5),
        '⅛' => (1, 8),
        '⅜' => (3, 8),
        '⅝' => (5, 8),
        '⅞' => (7, 8),
        _ => return None,
    })
}

/// A number found at the start of a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// Its canonical form.
    pub(super) value: String,
    /// Bytes up to the character that closed it, or up to the end of the string.
    pub(super) end: usize,
}

/// Reads the number at the start of `text`, after its lead-in. `None` if the grammar finds none there.
pub(super) fn read(text: &str) -> Option<Reading> {
    let (mut state, mut parts, mut end) = (State::Lead, Parts::default(), text.len());
    for (at, c) in text.char_indices() {
        let before = state;
        state = next(before, c);
        if matches!(state, State::Closed | State::Invalid) {
            end = at;
            break;
        }
        parts.take(before, state, c);
    }
    matches!(verdict(state), Verdict::Complete | Verdict::Closed)
        .then(|| Reading { value: parts.value(), end })
}

/// The parts of a number as they are read.
#[derive(Debug, Default)]
struct Parts {
    negative: bool,
    integer: String,
    decimals: String,
    exponent_negative: bool,
    exponent: String,
    denominator: String,
    vulgar: Option<(u128, u128)>,
}

impl Parts {
    fn take(&mut self, before: State, state: State, c: char) {
        use State::*;
        let digit = digit_value(c).map(|value| char::from(b'0' + value));
        match (state, digit) {
            (
                Head1 | Head2 | Head3 | Long | Group1 | Group2 | Grouped | FracNumerator | FracShort,
                Some(d),
            ) => {
                self.integer.push(d);
            }
            (Decimals, Some(d)) => self.decimals.push(d),
            (Exponent1 | Exponent2, Some(d)) => self.exponent.push(d),
            (ZeroDenominator | Denominator | FracZero | FracDenominator | FracEnd, Some(d)) => {
                self.denominator.push(d);
            }
            (Sign, None) => self.negative = is_minus(c),
            (Lead, None) if before == Sign => self.negative = false,
            (ExponentSign, None) => self.exponent_negative = is_minus(c),
            (Vulgar, None) => self.vulgar = vulgar(c),
            _ => {}
        }
    }

    fn value(&self) -> String {
        if let Some(fraction) = self.vulgar {
            return value::mixed(self.negative, &self.integer, fraction);
        }
        if !self.denominator.is_empty() {
            return value::fraction(self.negative, &self.integer, &self.denominator);
        }
        let exponent: i32 = self.exponent.parse().unwrap_or(0);
        let exponent = if self.exponent_negative { -exponent } else { exponent };
        value::decimal(self.negative, &self.integer, &self.decimals, exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_their_numbers_agree() {
        for (index, state) in PLAIN.into_iter().enumerate() {
            assert_eq!(GrammarState::from(state), GrammarState(index as u32));
            assert_eq!(State::from(GrammarState(index as u32)), state);
        }
        let inside = next(State::Command(Node::root()), 'b');
        assert_eq!(State::from(GrammarState::from(inside)), inside);
    }

    #[test]
    fn verdicts_along_a_string() {
        use Verdict::*;
        let along = |text: &str| {
            let mut state = NumberGrammar.start();
            text.chars()
                .map(|c| {
                    state = NumberGrammar.step(state, c);
                    NumberGrammar.verdict(state)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(along(" 18.5 "), [Open, Complete, Complete, Complete, Complete, Closed]);
        assert_eq!(along("1,234x"), [Complete, Complete, Open, Open, Complete, Closed]);
        assert_eq!(along("1,2 "), [Complete, Complete, Open, Invalid]);
        assert_eq!(along("12:3"), [Complete, Complete, Complete, Invalid]);
        assert_eq!(along("12: "), [Complete, Complete, Complete, Closed]);
        assert_eq!(along("1/02"), [Complete, Complete, Open, Complete]);
        assert_eq!(along(" be"), [Open, Invalid, Invalid]);
        assert_eq!(along("\\$-5"), [Open, Open, Open, Complete]);
        assert_eq!(along("8\n9"), [Complete, Closed, Closed]);
    }
}
