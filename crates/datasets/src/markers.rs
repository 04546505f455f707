//! Where a completion states its final answer.
//!
//! Three markers are known: `#### 42`, which ends GSM8K's solutions (Cobbe et al. 2021; their scorer reads only this); `\boxed{..}`, which
//! ends the solutions of MATH (Hendrycks et al. 2021); and a cue in words, `the answer is ..`, `Answer: ..`, as the prompts of Wei et al.
//! 2022 end. The last one from which an answer can be read wins, whatever its kind: models correct themselves, but remarks on the answer
//! (`the answer is correct`) come after all others; and a completion that quotes its instructions does so first. A completion that runs on
//! into another question must be cut before it comes here.
//!
//! Of a text that the limit on tokens cut, only closed statements count: a box always, the others where text follows the end of
//! their line or, but for hashes, of their sentence.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// What kind of place it is; the kinds differ in how much of the text belongs to the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkerKind {
    /// `####` at the start of a line.
    Hashes,
    /// `\boxed{..}` or `\fbox{..}`.
    Boxed,
    /// Words such as `the answer is`.
    Cue,
    /// `Answer:`, or `Final answer` on a line of its own. An answer may follow, or all of the reasoning.
    Heading,
}

/// A place where an answer is stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker<'a> {
    pub(crate) kind: MarkerKind,
    /// The content of a box; the rest of the completion after hashes or a cue.
    pub(crate) text: &'a str,
}

impl Marker<'_> {
    /// Whether what stands after `statement`, a part of the marker's text, has what `is` looks for.
    pub(crate) fn goes_on_with(&self, statement: &str, is: impl Fn(&str) -> bool) -> bool {
        self.text.split_once(statement).is_some_and(|(_, later)| is(later))
    }

    /// Whether a cue is followed by a judgement of the answer, such as `correct` or `100% sure`.
    pub(crate) fn is_remark(&self) -> bool {
        self.kind == MarkerKind::Cue && REMARK.is_match(self.text)
    }

    /// Whether the statement ends before the text does, so that more text could not change it.
    pub(crate) fn is_closed(&self) -> bool {
        let line = line(self.text);
        let by_line = self.goes_on_with(line, |later| !line.is_empty() && later.starts_with(['\n', '\r']));
        match self.kind {
            MarkerKind::Boxed => true,
            MarkerKind::Hashes => by_line,
            MarkerKind::Cue | MarkerKind::Heading => {
                let mark = line[sentence(line).len()..].chars().next();
                by_line || mark.is_some_and(|mark| line.len() > sentence(line).len() + mark.len_utf8())
            }
        }
    }
}

static HASHES: LazyLock<Regex> = LazyLock::new(|| regex(r"(?m)^[ \t]*####(?:[^#]|$)"));
static BOX: LazyLock<Regex> = LazyLock::new(|| regex(r"\\[fb](?:ox|oxed)\s*\{"));
static CUE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(?ix)
        \b (?: answers? | (?:correct|best|right|final)\s+(?:option|choice|statement|result) )
        (?: \s+ (?:to|for|of) \b [^.:?!\n]{0,160}? )?
        [\s*_"”')\]]* (?: (?:would|should|must|will) \s+ (?:then\s+|therefore\s+)? )?
        (?: \b(?:is|are|be|was|equals)\b | = | : )
        | \b final \s+ answer \b [*_:]* [\ \t]* \n
        "#,
    )
});
/// A judgement of the answer in the place of one; after a colon the answer may still come.
static REMARK: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?ix) ^[\s*_:]* (?: \d+(?:\.\d+)?\s*(?:%|per\s?cent)\s+ )?
        (?: (?:\w+ly|also|indeed|very|most|quite|almost|to\s+be)\s+ )*
        (?: (?:in)?correct | right | wrong | (?:in)?accurate | (?:in)?valid | sure | (?:un)?certain | (?:un)?clear
        | obvious | (?:un)?reasonable | plausible | confirmed | verified | consistent | confident ) \b \s* (?: [^\s:] | $ )",
    )
});
static NEGATED: LazyLock<Regex> = LazyLock::new(|| regex(r"(?i)^[\s*_]*(?:not|never|neither)\b"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

/// The markers of a completion, the last one first, remarks after all others. Negated ones (`the answer is not 5`) are left out.
pub(crate) fn last_first(completion: &str) -> Vec<Marker<'_>> {
    let mut found: Vec<(usize, Marker<'_>)> = Vec::new();
    let after = |kind, end: usize| (end, Marker { kind, text: &completion[end..] });
    found.extend(HASHES.find_iter(completion).map(|hit| {
        let hashes = hit.start() + hit.as_str().find("####").unwrap_or(0) + 4;
        after(MarkerKind::Hashes, hashes)
    }));
    found.extend(boxes(completion).map(|range| {
        let text = &completion[range.clone()];
        (range.start, Marker { kind: MarkerKind::Boxed, text })
    }));
    found.extend(CUE.find_iter(completion).map(|hit| {
        let kind = if hit.as_str().ends_with([':', '\n']) { MarkerKind::Heading } else { MarkerKind::Cue };
        after(kind, hit.end())
    }));
    found.retain(|(_, marker)| marker.kind != MarkerKind::Cue || !NEGATED.is_match(marker.text));
    found.sort_by_key(|(at, marker)| (marker.is_remark(), std::cmp::Reverse(*at)));
    found.into_iter().map(|(_, marker)| marker).collect()
}

/// Longest content of a box, in characters; a completion that opens boxes without end is not searched again for each.
const MAX_BOX: usize = 1000;

/// Contents of the boxes, braces balanced; a box that is never closed was cut off and is left out.
fn boxes(completion: &str) -> impl Iterator<Item = Range<usize>> {
    BOX.find_iter(completion).filter_map(|open| {
        let mut depth = 1_usize;
        for (at, c) in completion[open.end()..].char_indices().take(MAX_BOX) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(open.end()..open.end() + at);
            }
        }
        None
    })
}

/// The line on which the statement stands: the first one with more than emphasis and colons on it, without these.
pub(crate) fn line(text: &str) -> &str {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_' | ':' | '#'));
    text.lines().next().unwrap_or("")
}

/// The first sentence of a line, without the mark that ends it. A point between digits ends none.
pub(crate) fn sentence(line: &str) -> &str {
    let end = line.char_indices().find(|&(at, c)| {
        matches!(c, '.' | '!' | '?' | ';')
            && line[at + c.len_utf8()..].chars().next().is_none_or(|next| next.is_whitespace() || next == '*')
    });
    end.map_or(line, |(at, _)| &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(completion: &str) -> Vec<&str> {
        last_first(completion).into_iter().map(|marker| sentence(line(marker.text))).collect()
    }

    #[test]
    fn markers_come_last_first() {
        assert_eq!(texts("The answer is 5. No: the answer is 6.\n#### 7"), ["7", "6", "5"]);
        assert_eq!(texts(r"So \boxed{\frac{1}{2}} and \boxed{{3}}, \boxed{4"), ["{3}", r"\frac{1}{2}"]);
        assert_eq!(texts("**Final Answer**\n\n18"), ["18"]);
        assert_eq!(texts("**Answer:** 18"), ["18"]);
        assert_eq!(texts("The correct option would be (B)."), ["(B)"]);
        assert_eq!(texts("The answer to the last part of it is 12 cows"), ["12 cows"]);
    }

    #[test]
    fn statements_are_closed_by_what_follows_their_end() {
        let closed = |completion: &str| -> Vec<bool> {
            last_first(completion).iter().map(Marker::is_closed).collect()
        };
        assert_eq!(closed("The answer is 5. So the answer is 6.5"), [false, true]);
        assert_eq!(closed("The answer is 5."), [false]);
        assert_eq!(closed("The answer is 5\n"), [true]);
        assert_eq!(closed("Answer:\n"), [false]);
        assert_eq!(closed("**Answer:** 18.** "), [true]);
        assert_eq!(closed("#### 18 dollars. It"), [false]);
        assert_eq!(closed("#### 18\nIt"), [true]);
        assert_eq!(closed("\\boxed{18}"), [true]);
    }

    #[test]
    fn remarks_come_after_statements() {
        assert_eq!(texts("The answer is fog. This answer is clearly correct."), ["fog", "clearly correct"]);
        assert_eq!(texts("The answer is 18. I am 100% sure the answer is 100% right"), ["18", "100% right"]);
        assert_eq!(texts("The answer is left. The answer is rightly so"), ["rightly so", "left"]);
    }

    #[test]
    fn what_only_looks_like_a_marker_is_none() {
        assert!(texts("The answer is not 5. The answer isn't 6. Nobody answered 7.").is_empty());
        assert!(texts("##### 3\n### 4\nsee #### 5").is_empty());
        assert!(texts("").is_empty());
    }

    #[test]
    fn sentences_end_at_marks_before_spaces() {
        assert_eq!(sentence("$3.50 for it. Then 4."), "$3.50 for it");
        assert_eq!(sentence("18.** Done"), "18");
        assert_eq!(sentence("18"), "18");
    }
}
