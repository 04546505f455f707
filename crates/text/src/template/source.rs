//! A template's source as minijinja reads it.
//!
//! What jinja2's lexer does and minijinja's does not is done here, without moving anything to another line, so that errors name the
//! line of the template's file:
//!
//! - a line may end in CRLF or CR;
//! - string literals have Python's escapes: a backslash at the end of a line continues it, and one before a letter that means nothing
//!   stands for itself;
//! - `text % values` formats, where minijinja's `%` takes numbers only;
//! - transformers' `{% generation %}` marks a block, which is read over.
//!
//! Nesting is bounded, because parsers descend with it: a template of strangers must not overflow the stack.

use std::ops::Range;

/// The filter that stands for `%`.
pub(super) const PERCENT: &str = "__percent";

/// Bytes of a template; published ones have up to about 20,000.
const MOST_BYTES: usize = 1 << 20;
/// Names, numbers, strings and signs in one tag.
const MOST_TOKENS: usize = 2000;
/// Brackets and prefix operators within one another, and blocks within one another. An `elif` counts as a block within the one before.
const DEEPEST: usize = 100;

/// The source for minijinja, or why it is refused.
pub(super) fn prepared(source: &str) -> Result<String, String> {
    if source.len() > MOST_BYTES {
        return Err(format!("it has {} bytes, more than {MOST_BYTES}", source.len()));
    }
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut rest = source.as_str();
    let mut out = String::with_capacity(source.len());
    let mut blocks = Blocks::default();
    while let Some(start) = next_tag(rest) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let whole = match &rest[..2] {
            "{#" => rest.find("#}").map_or(rest.len(), |end| end + 2),
            _ => match Tag::read(rest) {
                None => rest.len(),
                Some(tag) if tag.word(rest) == Some("raw") => end_of_raw(rest, tag.len),
                Some(tag) => {
                    let refuse = |problem| format!("{problem} (line {})", out.matches('\n').count() + 1);
                    tag.check().and_then(|()| blocks.enter(&tag, rest)).map_err(refuse)?;
                    out.push_str(&tag.rewritten(rest));
                    rest = &rest[tag.len..];
                    continue;
                }
            },
        };
        out.push_str(&rest[..whole]);
        rest = &rest[whole..];
    }
    Ok(out + rest)
}

fn next_tag(text: &str) -> Option<usize> {
    ["{{", "{%", "{#"].iter().filter_map(|open| text.find(open)).min()
}

/// Where a raw block ends that opens with a tag of `open` bytes.
fn end_of_raw(text: &str, open: usize) -> usize {
    let mut at = open;
    while let Some(start) = text[at..].find("{%") {
        let inner = text[at + start + 2..].trim_start_matches(['-', '+']).trim_start();
        let closed = inner.starts_with("endraw").then(|| text[at + start..].find("%}")).flatten();
        if let Some(end) = closed {
            return at + start + end + 2;
        }
        at += start + 2;
    }
    text.len()
}

/// Open blocks, each with the number of its further branches.
#[derive(Default)]
struct Blocks {
    branches: Vec<usize>,
}

impl Blocks {
    fn enter(&mut self, tag: &Tag, text: &str) -> Result<(), String> {
        match tag.word(text) {
            Some("set") if (0..tag.tokens.len()).any(|at| tag.is(at, '=')) => {}
            Some(
                "for" | "if" | "macro" | "call" | "filter" | "with" | "set" | "block" | "autoescape"
                | "generation",
            ) => self.branches.push(1),
            Some("elif") => {
                if let Some(branches) = self.branches.last_mut() {
                    *branches += 1;
                }
            }
            Some(word) if word.starts_with("end") => drop(self.branches.pop()),
            _ => {}
        }
        let depth: usize = self.branches.iter().sum();
        if depth > DEEPEST {
            return Err(format!("more than {DEEPEST} blocks within one another"));
        }
        Ok(())
    }
}

/// What a piece of a tag is. Signs are single characters.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Space,
    Text,
    Number,
    Name,
    Sign(char),
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    place: Range<usize>,
}

/// A tag of a template: all of it, delimiters included.
struct Tag {
    len: usize,
    tokens: Vec<Token>,
}

impl Tag {
    /// Reads the tag that the text begins with; `None` if it has no end.
    fn read(text: &str) -> Option<Self> {
        let ends: &[&str] = if text.starts_with("{%") { &["%}", "-%}", "+%}"] } else { &["}}", "-}}"] };
        let mut tokens = Vec::new();
        let mut depth = 0usize;
        let mut at = 2;
        loop {
            let rest = text.get(at..)?;
            if depth == 0
                && let Some(end) = ends.iter().find(|end| rest.starts_with(**end))
            {
                return Some(Self { len: at + end.len(), tokens });
            }
            let (kind, n) = token(rest)?;
            match kind {
                Kind::Sign('(' | '[' | '{') => depth += 1,
                Kind::Sign(')' | ']' | '}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            tokens.push(Token { kind, place: at..at + n });
            at += n;
        }
    }

    /// The word that says what a block tag does.
    fn word<'a>(&self, text: &'a str) -> Option<&'a str> {
        let before_it = |token: &&Token| matches!(token.kind, Kind::Space | Kind::Sign('-' | '+'));
        let first = self.tokens.iter().find(|token| !before_it(token))?;
        (text.starts_with("{%") && first.kind == Kind::Name).then(|| &text[first.place.clone()])
    }

    fn check(&self) -> Result<(), String> {
        let tokens = self.tokens.iter().filter(|token| token.kind != Kind::Space);
        if tokens.count() > MOST_TOKENS {
            return Err(format!("more than {MOST_TOKENS} words and signs in one tag"));
        }
        let mut depth = 0usize;
        for token in &self.tokens {
            match token.kind {
                Kind::Sign('(' | '[' | '{') => depth += 1,
                Kind::Sign(')' | ']' | '}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > DEEPEST {
                return Err(format!("more than {DEEPEST} brackets within one another"));
            }
        }
        Ok(())
    }

    fn rewritten(&self, text: &str) -> String {
        let mut parts: Vec<String> =
            self.tokens.iter().map(|token| piece(token.kind, &text[token.place.clone()])).collect();
        match self.word(text) {
            Some("generation") => self.replace_word(text, &mut parts, "if true"),
            Some("endgeneration") => self.replace_word(text, &mut parts, "endif"),
            _ => {}
        }
        for at in 0..self.tokens.len() {
            if self.tokens[at].kind == Kind::Sign('%')
                && let Some(operand) = self.formatted_values(at)
            {
                parts[at] = format!("|{PERCENT}(");
                parts[operand.end - 1].push(')');
                if self.is_list_of_values(&operand) {
                    parts[operand.start].clear();
                    parts[operand.end - 1] = ")".into();
                    if let Some(comma) = self.before(operand.end - 1).filter(|&i| self.is(i, ',')) {
                        parts[comma].clear();
                    }
                }
            }
        }
        let end = self.tokens.last().map_or(2, |token| token.place.end);
        format!("{}{}{}", &text[..2], parts.concat(), &text[end..self.len])
    }

    fn replace_word(&self, text: &str, parts: &mut [String], with: &str) {
        let word = self.word(text);
        if let Some(at) = self.tokens.iter().position(|token| word == Some(&text[token.place.clone()])) {
            parts[at] = with.into();
        }
    }

    fn is(&self, at: usize, sign: char) -> bool {
        self.tokens[at].kind == Kind::Sign(sign)
    }

    /// The token before this one that is no space.
    fn before(&self, at: usize) -> Option<usize> {
        (0..at).rev().find(|&i| self.tokens[i].kind != Kind::Space)
    }

    /// The token from this place on that is no space.
    fn from(&self, at: usize) -> Option<usize> {
        (at..self.tokens.len()).find(|&i| self.tokens[i].kind != Kind::Space)
    }

    /// The right side of the `%` at this place, if its left side can be a text: it is one, or nothing says that it is a number.
    fn formatted_values(&self, at: usize) -> Option<Range<usize>> {
        let left = self.before(at)?;
        let right = self.operand(at + 1)?;
        match self.tokens[left].kind {
            Kind::Text => Some(right),
            Kind::Name | Kind::Sign(')' | ']') => {
                let number = self.tokens[right.start].kind == Kind::Number;
                let first = self.first_of_chain(left)?;
                let product =
                    self.before(first).is_some_and(|i| ['*', '/', '%'].iter().any(|&sign| self.is(i, sign)));
                (!number && !product).then_some(right)
            }
            _ => None,
        }
    }

    /// Where the name, call or filter chain begins that ends here.
    fn first_of_chain(&self, end: usize) -> Option<usize> {
        let mut at = end;
        loop {
            if self.is(at, ')') || self.is(at, ']') {
                at = self.opener(at)?;
                match self.before(at) {
                    Some(i) if matches!(self.tokens[i].kind, Kind::Name | Kind::Sign(')' | ']')) => at = i,
                    _ => return Some(at),
                }
                continue;
            }
            match self.before(at).filter(|&i| self.is(i, '.') || self.is(i, '|')) {
                Some(joint) => at = self.before(joint)?,
                None => return Some(at),
            }
        }
    }

    fn opener(&self, closer: usize) -> Option<usize> {
        let mut depth = 0usize;
        (0..=closer).rev().find(|&i| {
            match self.tokens[i].kind {
                Kind::Sign(')' | ']' | '}') => depth += 1,
                Kind::Sign('(' | '[' | '{') => depth -= 1,
                _ => {}
            }
            depth == 0
        })
    }

    fn closer(&self, opener: usize) -> Option<usize> {
        let mut depth = 0usize;
        (opener..self.tokens.len()).find(|&i| {
            match self.tokens[i].kind {
                Kind::Sign('(' | '[' | '{') => depth += 1,
                Kind::Sign(')' | ']' | '}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        })
    }

    /// One operand of a product: a value with what is called, looked up and filtered of it.
    fn operand(&self, from: usize) -> Option<Range<usize>> {
        let start = self.from(from)?;
        let first = if self.is(start, '-') || self.is(start, '+') { self.from(start + 1)? } else { start };
        let mut last = match self.tokens[first].kind {
            Kind::Sign('(' | '[' | '{') => self.closer(first)?,
            Kind::Name | Kind::Text | Kind::Number => first,
            _ => return None,
        };
        while let Some(next) = self.from(last + 1) {
            last = match self.tokens[next].kind {
                Kind::Sign('(' | '[') => self.closer(next)?,
                Kind::Sign('.' | '|') => self.from(next + 1)?,
                _ => break,
            };
        }
        Some(start..last + 1)
    }

    /// Whether an operand is a tuple, `(a, b)`: several values to format, not one.
    fn is_list_of_values(&self, operand: &Range<usize>) -> bool {
        if !self.is(operand.start, '(') || self.closer(operand.start) != Some(operand.end - 1) {
            return false;
        }
        let mut depth = 0usize;
        operand.clone().any(|i| {
            match self.tokens[i].kind {
                Kind::Sign('(' | '[' | '{') => depth += 1,
                Kind::Sign(')' | ']' | '}') => depth -= 1,
                _ => {}
            }
            depth == 1 && self.is(i, ',')
        })
    }
}

/// The first token of a text, and its length.
fn token(text: &str) -> Option<(Kind, usize)> {
    let first = text.chars().next()?;
    let run = |within: fn(char) -> bool| text.find(|c| !within(c)).unwrap_or(text.len());
    Some(match first {
        '\'' | '"' => (Kind::Text, text_len(text, first)?),
        c if c.is_whitespace() => (Kind::Space, run(char::is_whitespace)),
        c if c.is_ascii_digit() => (Kind::Number, run(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')),
        c if c.is_alphabetic() || c == '_' => (Kind::Name, run(|c| c.is_alphanumeric() || c == '_')),
        c => (Kind::Sign(c), c.len_utf8()),
    })
}

/// Bytes of a string literal with its quotes.
fn text_len(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn piece(kind: Kind, text: &str) -> String {
    if kind == Kind::Text && text.contains('\\') { literal(text) } else { text.to_owned() }
}

/// A string literal of Python with the escapes that minijinja knows. Line ends that it loses follow it.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut continued = 0;
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let mut escape = rest[at + 1..].chars();
        let Some(c) = escape.next() else { break };
        rest = escape.as_str();
        match c {
            '\n' => continued += 1,
            'a' => out.push_str("\\x07"),
            'v' => out.push_str("\\x0b"),
            '/' => out.push_str("\\\\/"),
            'U' => match rest.get(..8).and_then(|hex| char::from_u32(u32::from_str_radix(hex, 16).ok()?)) {
                Some(long) => {
                    out.push(long);
                    rest = &rest[8..];
                }
                None => out.push_str("\\\\U"),
            },
            other => out.extend(['\\', other]),
        }
    }
    out + rest + &"\n".repeat(continued)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_outside_of_tags_keeps_everything_but_carriage_returns() {
        let same = "a 'b\\' % c {# don't % \\ #} {% raw %}{{ '%' % x \\a }}{% endraw %} }}";
        assert_eq!(prepared(same).unwrap(), same);
        assert_eq!(prepared("a\r\nb\rc {{ 'd\r\ne' }}").unwrap(), "a\nb\nc {{ 'd\ne' }}");
    }

    #[test]
    fn a_continued_literal_keeps_its_lines_behind_it() {
        assert_eq!(prepared("{{ 'a\\\n  b' }}").unwrap(), "{{ 'a  b'\n }}");
        assert_eq!(prepared(r"{{ '\d\/\v\\\'' }}").unwrap(), r"{{ '\d\\/\x0b\\\'' }}");
        assert_eq!(prepared(r"{{ '\U0001F600 \u00e9' }}").unwrap(), "{{ '😀 \\u00e9' }}");
    }

    #[test]
    fn percent_becomes_a_filter_where_a_text_can_stand_before_it() {
        let check = |source: &str, expected: &str| assert_eq!(prepared(source).unwrap(), expected);
        check("{{ '%.2f' % x }}", "{{ '%.2f' |__percent( x) }}");
        check("{{ '%s %s' % (a, b[0]) ~ c }}", "{{ '%s %s' |__percent( a, b[0]) ~ c }}");
        check("{{ '%s' % (a,) }}", "{{ '%s' |__percent( a) }}");
        check("{{ '%s' % (a + b) }}", "{{ '%s' |__percent( (a + b)) }}");
        check("{{ '%s' % m.x|upper }}", "{{ '%s' |__percent( m.x|upper) }}");
        check("{%- set a = f % x -%}", "{%- set a = f |__percent( x) -%}");
    }

    #[test]
    fn percent_of_numbers_stays() {
        for source in ["{% if loop.index0 % 2 == 0 %}", "{{ 7 % n }}", "{{ a * b % c }}", "{{ {'a': {}} }}"] {
            assert_eq!(prepared(source).unwrap(), source);
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let refused = |source: String| prepared(&source).unwrap_err();
        let blocks = "{% if a %}".repeat(101);
        assert_eq!(refused(blocks), "more than 100 blocks within one another (line 1)");
        let branches = format!("\n{{% if a %}}{}", "{% elif b %}".repeat(101));
        assert_eq!(refused(branches), "more than 100 blocks within one another (line 2)");
        let brackets = format!("{{{{ {} }}}}", "(".repeat(101) + &")".repeat(101));
        assert_eq!(refused(brackets), "more than 100 brackets within one another (line 1)");
        let words = format!("{{{{ {}a }}}}", "not ".repeat(2001));
        assert_eq!(refused(words), "more than 2000 words and signs in one tag (line 1)");
        assert!(prepared(&"{% if a %}b{% endif %}".repeat(500)).is_ok());
    }
}
