//! LaTeX, other scripts and typography as plain text, in which numbers and words can be read.
//!
//! `\boxed{\text{-}5}` becomes `-5`, `1\,200` becomes `1 200`, `90^\circ` becomes `90°`, `১৮` becomes `18`. A fraction in any spelling
//! becomes `(a)/(b)`, set off by a space from a digit before it; `½` becomes `1/2`; raised digits follow a `^`. Braces that only group
//! are dropped, those of a set become square brackets. Runs of spaces are one. A command that is not known stays with its backslash, so that a reader sees that
//! there is more than a number.
//!
//! A full-width comma keeps a space after it: it separates clauses, never decimals.

use unicode_normalization::UnicodeNormalization;

/// Fractions within fractions that are followed.
const MAX_DEPTH: usize = 6;
/// Longest argument of a fraction, in bytes.
const MAX_ARGUMENT: usize = 200;

/// Commands that stand for a character or two.
const SYMBOLS: [(&str, &str); 42] = [
    ("times", "×"),
    ("cdot", "·"),
    ("cdotp", "·"),
    ("div", "÷"),
    ("approx", "≈"),
    ("simeq", "≈"),
    ("cong", "≈"),
    ("sim", "≈"),
    ("pm", "±"),
    ("mp", "∓"),
    ("le", "≤"),
    ("leq", "≤"),
    ("ge", "≥"),
    ("geq", "≥"),
    ("lt", "<"),
    ("gt", ">"),
    ("neq", "≠"),
    ("ne", "≠"),
    ("degree", "°"),
    ("percent", "%"),
    ("pounds", "£"),
    ("euro", "€"),
    ("texteuro", "€"),
    ("to", "→"),
    ("rightarrow", "→"),
    ("Rightarrow", "→"),
    ("implies", "→"),
    ("pi", "π"),
    ("infty", "∞"),
    ("sqrt", "√"),
    ("minus", "-"),
    ("over", "/"),
    ("slash", "/"),
    ("colon", ":"),
    ("ldots", "…"),
    ("cdots", "…"),
    ("dots", "…"),
    ("quad", " "),
    ("qquad", " "),
    ("enspace", " "),
    ("thinspace", " "),
    ("newline", " "),
];

/// Commands that only say how their argument looks.
const LOOKS: [&str; 35] = [
    "text",
    "textbf",
    "textit",
    "textrm",
    "textsf",
    "texttt",
    "mathrm",
    "mathbf",
    "mathit",
    "mathsf",
    "mathtt",
    "operatorname",
    "mbox",
    "hbox",
    "boldsymbol",
    "bm",
    "emph",
    "underline",
    "boxed",
    "fbox",
    "left",
    "right",
    "big",
    "Big",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "bigg",
    "Bigg",
    "displaystyle",
    "textstyle",
    "limits",
    "bf",
    "rm",
];

const FRACTIONS: [&str; 6] = ["frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac"];

/// The text without LaTeX, in ASCII digits.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    write(text, 0, &mut out);
    out
}

fn write(text: &str, depth: usize, out: &mut String) {
    let (mut rest, mut before) = (text, None);
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => command(after, depth, out),
            '{' | '}' => after,
            _ => {
                character(c, before, after.chars().next(), out);
                after
            }
        };
        before = Some(c);
    }
}

/// Writes what the command after a backslash stands for, and returns what follows it.
fn command<'a>(text: &'a str, depth: usize, out: &mut String) -> &'a str {
    let Some(first) = text.chars().next() else {
        out.push('\\');
        return text;
    };
    if !first.is_ascii_alphabetic() {
        match first {
            '(' | ')' | '[' | ']' => {}
            '!' => return text[1..].trim_start_matches(' '),
            ',' | ';' | ':' | '\\' | '/' => space(out),
            '{' => out.push('['),
            '}' => out.push(']'),
            '%' | '$' | '#' | '&' | '_' => out.push(first),
            _ if first.is_whitespace() => space(out),
            _ => {
                out.push('\\');
                return text;
            }
        }
        return &text[first.len_utf8()..];
    }
    let (name, rest) = text.split_at(text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len()));
    if FRACTIONS.contains(&name)
        && depth < MAX_DEPTH
        && let Some((numerator, after)) = argument(rest)
        && let Some((denominator, after)) = argument(after)
    {
        if out.ends_with(|c: char| c.is_ascii_digit()) {
            out.push(' ');
        }
        out.push('(');
        write(numerator, depth + 1, out);
        out.push_str(")/(");
        write(denominator, depth + 1, out);
        out.push(')');
        return after;
    }
    if name == "circ" {
        if out.ends_with('^') {
            out.pop();
        }
        out.push('°');
    } else if let Some((_, symbol)) = SYMBOLS.iter().find(|(known, _)| *known == name) {
        out.push_str(symbol);
    } else if !LOOKS.contains(&name) {
        out.push('\\');
        out.push_str(name);
    }
    rest
}

/// The argument that the text begins with, a group in braces or one character, and what follows it.
fn argument(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let first = text.chars().next()?;
    if first != '{' {
        let single = first.is_alphanumeric().then(|| text.split_at(first.len_utf8()));
        return single;
    }
    let mut depth = 0_usize;
    for (at, c) in text.char_indices().take_while(|(at, _)| *at < MAX_ARGUMENT) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[1..at], &text[at + 1..]));
        }
    }
    None
}

fn character(c: char, before: Option<char>, next: Option<char>, out: &mut String) {
    if let Some(digit) = digit_value(c) {
        out.push(char::from(b'0' + digit));
        return;
    }
    if let Some(raised) = raised(c) {
        // A raised sign at the start raises nothing.
        if before
            .is_some_and(|before| before.is_alphanumeric() && self::raised(before).is_none() || before == ')')
        {
            out.push('^');
        }
        out.push(raised);
        return;
    }
    match c {
        '~' if before.is_some_and(|b| b.is_ascii_digit() || b == '{')
            && next.is_some_and(char::is_alphanumeric) =>
        {
            space(out)
        }
        '\u{200b}' | '\u{2060}' | '\u{feff}' => {}
        '\n' | '\r' => out.push(c),
        _ if c.is_whitespace() => space(out),
        '−' | '‐' | '‑' | '‒' | '﹣' | '－' => out.push('-'),
        '，' => out.push_str(", "),
        '٫' => out.push('.'),
        '٬' => out.push(','),
        '✕' | '⨯' | '⋅' | '∙' => out.push(if matches!(c, '⋅' | '∙') { '·' } else { '×' }),
        '≃' | '≅' => out.push('≈'),
        '’' | '‘' => out.push('\''),
        '\u{ff01}'..='\u{ff5e}' | '\u{1d400}'..='\u{1d7ff}' => out.extend(c.nfkc()),
        _ if !c.is_ascii() && c.is_numeric() => fraction(c, out),
        _ => out.push(c),
    }
}

/// A space, unless one is there.
fn space(out: &mut String) {
    if !out.ends_with(' ') {
        out.push(' ');
    }
}

/// `½` as `1/2`, any other numeral as it is.
fn fraction(c: char, out: &mut String) {
    let parts: String = c.nfkc().collect();
    match parts.split_once('⁄') {
        Some((numerator, denominator)) => {
            if out.ends_with(|c: char| c.is_ascii_digit()) {
                out.push(' ');
            }
            out.push_str(&format!("{numerator}/{denominator}"));
        }
        None => out.push(c),
    }
}

/// The digit or sign that the character raises.
fn raised(c: char) -> Option<char> {
    Some(match c {
        '⁰' => '0',
        '¹' => '1',
        '²' => '2',
        '³' => '3',
        '⁴'..='⁹' => char::from(b'4' + u8::try_from(u32::from(c) - u32::from('⁴')).ok()?),
        '⁻' => '-',
        _ => return None,
    })
}

/// Zeros of the scripts whose digits are read; nine more digits follow each: ASCII, Arabic-Indic, its Persian form, the scripts of India
/// from Devanagari to Malayalam, Thai, Lao, Myanmar, Khmer, full-width, and the five mathematical alphabets.
const ZEROS: [u32; 22] = [
    0x30, 0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0, 0x1040,
    0x17e0, 0xff10, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6,
];

/// The value of a decimal digit.
pub(crate) fn digit_value(c: char) -> Option<u8> {
    if c.is_ascii() {
        return c.to_digit(10).and_then(|value| u8::try_from(value).ok());
    }
    let value = ZEROS.iter().find_map(|zero| u32::from(c).checked_sub(*zero).filter(|&value| value < 10))?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latex_becomes_plain() {
        for (text, expected) in [
            (r"\frac{-3}{4}", "(-3)/(4)"),
            (r"5\dfrac12", "5 (1)/(2)"),
            (r"\frac {3} {4}", "(3)/(4)"),
            (r"\frac{3}4", "(3)/(4)"),
            (r"\text{-}5 \text{ km}^2", "-5 km^2"),
            (r"1\,234{,}5", "1 234,5"),
            (r"90^{\circ}", "90°"),
            (r"2\sqrt{3}", "2√3"),
            (r"\log_2 8", r"\log_2 8"),
            (r"\(18\) \$5 10\%", "18 $5 10%"),
            (r"\{1, 2\}", "[1, 2]"),
            (r"\frac{1", r"\frac1"),
            (r"3 \cdot 10^{-8}", "3 · 10^-8"),
            ("2~600", "2 600"),
            ("~600", "~600"),
            ("\\", "\\"),
            (r"11,\! 111", "11,111"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn other_scripts_become_ascii() {
        for (text, expected) in [
            ("১৮", "18"),
            ("２４．５", "24.5"),
            ("𝟐𝟒", "24"),
            ("2½", "2 1/2"),
            ("⅞", "7/8"),
            ("10⁻³ m²", "10^-3 m^2"),
            ("1\u{202f}200", "1 200"),
            ("−5", "-5"),
            ("3，4", "3, 4"),
            ("1’200", "1'200"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn nesting_without_end_is_taken() {
        plain(&"\\frac{".repeat(5000));
        plain(&"\\frac{1}{".repeat(5000));
    }
}
