//! The automaton that decides what a number is after an answer cue.
//!
//! A number is a lead-in, a sign, digits with thousands commas, a point, decimals and an exponent; digits with decimals after a comma; or
//! a fraction `a/b`, `\frac{a}{b}`, `½`, `1½`. It is complete as soon as it has a value, open while only a longer string would have one
//! (`1,234,5` may become `1,234,567`), and closed by the first character that cannot belong to it: a space, a unit, a line end. What it
//! accepts, `numeral` gives its value; `numeral` reads other styles too, whose characters close or leave the automaton.
//!
//! A character that can join two numbers (`12:30`, `5-10`, `2^3`, `1/2/2020`) does not close at once: a digit after it shows
//! that the string is no number, anything else closes.
//!
//! `-4`, `- 4` and `-$4` are negative, but a dash or a plus and a space at the start of a line are the bullet of a list. Where decimals stand after
//! a comma (`style`), points and commas change their parts.

use entrace_measure::{AnswerGrammar, GrammarState, Verdict};

use super::style::DecimalMark;
use crate::lead::{self, Followed, Node};
use crate::plain::digit_value;

/// The automaton.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumberGrammar {
    /// The mark before decimals.
    pub(super) mark: DecimalMark,
}

/// Where the string so far has led. The order of `PLAIN` numbers these states; commands come after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but lead-in.
    Lead,
    /// The start of a further line.
    LeadLine,
    /// A sign.
    Sign,
    /// A sign at the start of a further line: with a space after it, a bullet.
    LineSign,
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
    /// The first comma, before thousands or decimals.
    Comma,
    /// One or two digits after it: decimals, or the beginning of thousands.
    Group1,
    Group2,
    /// Whole groups of thousands.
    Grouped,
    /// A further comma, which only thousands can follow.
    FurtherComma,
    FurtherGroup1,
    FurtherGroup2,
    /// A comma after digits that no thousands may follow.
    DecimalComma,
    CommaDecimals,
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
    FracNumeratorSign,
    FracNumerator,
    /// After `\frac{a}`.
    FracMiddle,
    /// After `\frac{a}{`.
    FracDenominatorOpen,
    FracDenominatorSign,
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
    /// The same after a sign.
    SignedCommand(Node),
}

const PLAIN: [State; 43] = {
    use State::*;
    [
        Lead,
        LeadLine,
        Sign,
        LineSign,
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
        FurtherComma,
        FurtherGroup1,
        FurtherGroup2,
        DecimalComma,
        CommaDecimals,
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
        FracNumeratorSign,
        FracNumerator,
        FracMiddle,
        FracDenominatorOpen,
        FracDenominatorSign,
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
            (None, State::SignedCommand(node)) => PLAIN.len() as u32 + Node::CODES + node.code(),
            (None, _) => unreachable!("every state but the commands is listed"),
        })
    }
}

impl From<GrammarState> for State {
    fn from(GrammarState(number): GrammarState) -> Self {
        let command = number.saturating_sub(PLAIN.len() as u32);
        match PLAIN.get(number as usize) {
            Some(&plain) => plain,
            None if command < Node::CODES => Self::Command(Node::from_code(command)),
            None => Self::SignedCommand(Node::from_code(command - Node::CODES)),
        }
    }
}

impl AnswerGrammar for NumberGrammar {
    fn start(&self) -> GrammarState {
        State::Lead.into()
    }

    fn step(&self, state: GrammarState, character: char) -> GrammarState {
        next(state.into(), character, self.mark).into()
    }

    fn verdict(&self, state: GrammarState) -> Verdict {
        verdict(state.into())
    }
}

fn verdict(state: State) -> Verdict {
    use State::*;
    match state {
        Head1 | Head2 | Head3 | Long | Comma | Group1 | Group2 | Grouped | FurtherComma | DecimalComma
        | CommaDecimals | Point | Decimals | Exponent | ExponentSign | Exponent1 | Exponent2 | Slash
        | Denominator | Vulgar | FracEnd | Joint => Verdict::Complete,
        Closed => Verdict::Closed,
        Invalid => Verdict::Invalid,
        _ => Verdict::Open,
    }
}

fn next(state: State, character: char, mark: DecimalMark) -> State {
    use State::*;
    let digit = digit_value(character);
    // The character in the part that it has where the point stands before decimals.
    let c = match (mark, character) {
        (DecimalMark::Comma, '.') => ',',
        (DecimalMark::Comma, ',') => '.',
        _ => character,
    };
    match state {
        Lead | LeadLine | Sign | LineSign | SignCurrency => before_number(state, character, digit),
        Command(node) | SignedCommand(node) => {
            let signed = matches!(state, SignedCommand(_));
            match node.follow(character) {
                Followed::Inside(node) if signed => SignedCommand(node),
                Followed::Inside(node) => Command(node),
                Followed::Whole(lead::Command::Wrapper) if signed => Sign,
                Followed::Whole(lead::Command::Wrapper) => Lead,
                Followed::Whole(lead::Command::Fraction) => Frac,
                Followed::Unknown => Invalid,
            }
        }
        LeadPoint => digit.map_or(Invalid, |_| Decimals),
        Head1 | Head2 | Head3 | Long | Grouped => in_integer(state, c, digit),
        Comma | FurtherComma | DecimalComma if digit.is_none() => Closed,
        Comma => Group1,
        FurtherComma => FurtherGroup1,
        DecimalComma => CommaDecimals,
        Group1 if digit.is_some() => Group2,
        Group2 if digit.is_some() => Grouped,
        FurtherGroup1 => digit.map_or(Invalid, |_| FurtherGroup2),
        FurtherGroup2 => digit.map_or(Invalid, |_| Grouped),
        CommaDecimals if digit.is_some() => CommaDecimals,
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
        Frac | FracNumeratorOpen | FracNumeratorSign | FracNumerator | FracMiddle | FracDenominatorOpen
        | FracDenominatorSign | FracZero | FracDenominator | FracShort => in_frac(state, c, digit),
        Joint => digit.map_or(Closed, |_| Invalid),
        Group1 | Group2 | CommaDecimals | Decimals | Exponent1 | Exponent2 | Denominator | Vulgar
        | FracEnd => after_value(c),
        Closed | Invalid => state,
    }
}

fn before_number(state: State, c: char, digit: Option<u8>) -> State {
    use State::*;
    let signed = matches!(state, Sign | LineSign | SignCurrency);
    match (c, digit) {
        (_, Some(0)) => Long,
        (_, Some(_)) => Head1,
        ('.', _) => LeadPoint,
        ('\\', _) if signed => SignedCommand(Node::root()),
        ('\\', _) => Command(Node::root()),
        _ if is_vulgar(c) => Vulgar,
        _ => match state {
            Lead | LeadLine if c == '\n' => LeadLine,
            LeadLine if is_sign(c) => LineSign,
            LeadLine if c.is_whitespace() => LeadLine,
            Lead if is_sign(c) => Sign,
            Lead | LeadLine if lead::is_lead(c) => Lead,
            LineSign if c.is_whitespace() => Lead,
            Sign | LineSign if lead::is_currency(c) => SignCurrency,
            Sign | SignCurrency if c.is_whitespace() && !matches!(c, '\n' | '\r') => state,
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
        (Grouped, ',') => FurtherComma,
        (Long, ',') => DecimalComma,
        (_, ',') => Comma,
        (_, 'e' | 'E') if state != Grouped => Exponent,
        (_, '/' | '⁄') if state != Grouped => Slash,
        _ if head && is_vulgar(c) => Vulgar,
        _ => after_value(c),
    }
}

fn in_frac(state: State, c: char, digit: Option<u8>) -> State {
    use State::*;
    match (state, c, digit) {
        (Frac, '{', _) => FracNumeratorOpen,
        (Frac, _, Some(_)) => FracShort,
        (FracShort | FracMiddle, _, Some(1..)) => FracEnd,
        (FracNumeratorOpen, _, None) if is_minus(c) => FracNumeratorSign,
        (FracNumeratorOpen | FracNumeratorSign | FracNumerator, _, Some(_)) => FracNumerator,
        (FracNumerator, '}', _) => FracMiddle,
        (FracShort | FracMiddle, '{', _) => FracDenominatorOpen,
        (FracDenominatorOpen, _, None) if is_minus(c) => FracDenominatorSign,
        (FracDenominatorOpen | FracDenominatorSign | FracZero, _, Some(0)) => FracZero,
        (FracDenominatorOpen | FracDenominatorSign | FracZero | FracDenominator, _, Some(_)) => {
            FracDenominator
        }
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
fn is_minus(c: char) -> bool {
    matches!(c, '-' | '−' | '–')
}

/// Whether the character is a fraction by itself.
fn is_vulgar(c: char) -> bool {
    matches!(c, '¼'..='¾' | '⅐'..='⅞' | '↉')
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
        for command in [State::Command, State::SignedCommand] {
            let inside = next(command(Node::root()), 'b', DecimalMark::Point);
            assert_eq!(State::from(GrammarState::from(inside)), inside);
        }
    }

    #[test]
    fn verdicts_along_a_string() {
        use Verdict::*;
        let along = |text: &str| {
            let grammar = NumberGrammar { mark: DecimalMark::Point };
            let mut state = grammar.start();
            text.chars()
                .map(|c| {
                    state = grammar.step(state, c);
                    grammar.verdict(state)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(along(" 18.5 "), [Open, Complete, Complete, Complete, Complete, Closed]);
        assert_eq!(along("1,234x"), [Complete, Complete, Complete, Complete, Complete, Closed]);
        assert_eq!(along("1,2 "), [Complete, Complete, Complete, Closed]);
        assert_eq!(along("1,234,5 ")[5..], [Complete, Open, Invalid]);
        assert_eq!(along("12:3"), [Complete, Complete, Complete, Invalid]);
        assert_eq!(along("12: "), [Complete, Complete, Complete, Closed]);
        assert_eq!(along("1/02"), [Complete, Complete, Open, Complete]);
        assert_eq!(along(" be"), [Open, Invalid, Invalid]);
        assert_eq!(along("\\$-5"), [Open, Open, Open, Complete]);
        assert_eq!(along("8\n9"), [Complete, Closed, Closed]);
    }
}
