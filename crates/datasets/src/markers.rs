//! Where a completion states its final answer.
//!
//! Known are `#### 42`, which ends GSM8K's solutions (Cobbe et al. 2021; their scorer reads only this); `\boxed{..}`, which ends the
//! solutions of MATH (Hendrycks et al. 2021), and `[[..]]`; the tag `<answer>..</answer>`, which reasoning models are asked for; a cue in
//! words, `the answer is ..`, `Answer: ..`, as the prompts of Wei et al. 2022 end, in the languages of `abroad` too; and the words
//! `is the answer` after it. The last one from which an answer can be read wins, whatever its kind: models correct themselves, but remarks
//! on the answer (`the answer is correct`) come after all others; and a completion that quotes its instructions does so first. A completion
//! that runs on into another question must be cut before it comes here.
//!
//! Of a text that the limit on tokens cut, only closed statements count: a box or tag always, the others where text follows the end of
//! their line or, but for hashes, of their sentence.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::abroad;

/// What kind of place it is; the kinds differ in how much of the text belongs to the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkerKind {
    /// `####` at the start of a line.
    Hashes,
    /// `\boxed{..}`, `\fbox{..}` or `[[..]]`.
    Boxed,
    /// `<answer>..</answer>`.
    Tagged,
    /// Words such as `is the answer`, after the answer.
    Before,
    /// Words such as `the answer is`.
    Cue,
    /// `Answer:`, or `Final answer` on a line of its own. An answer may follow, or all of the reasoning.
    Heading,
}

/// A place where an answer is stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker<'a> {
    pub(crate) kind: MarkerKind,
    /// The content of a box or tag; the sentence before `is the answer`; the rest of the completion after hashes or a cue.
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
            MarkerKind::Boxed | MarkerKind::Tagged | MarkerKind::Before => true,
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
        \b (?: answers? | ans | (?:correct|best|right|final)\s+(?:option|choice|statement|result) )
        (?: \s+ (?:to|for|of) \b [^.:?!\n]{0,160}? )?
        (?: , [^.:?!\n]{0,80} , )?
        [\s*_"”')\]]* (?: (?:would|should|must|will) \s+ (?:then\s+|therefore\s+)? )?
        (?: \b(?:is|are|be|was|equals|(?:comes|works\s+out|amounts)\s+to)\b | = | : )
        | \b final \s+ answer \b [*_:]* [\ \t]* \n
        | (?m: ^ ) [\ \t*_\#>]* ans \.
        | (?m: ^ ) [\ \t*_\#>]* (?:final\s+)? answer \s* [-–—] \s
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
/// What follows a denied answer where the same sentence goes on to the true one.
static CORRECTED: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)^[\s*_]*not\b[^.!?\n]*?(?:\bbut\b(?:\s+rather\b)?|\brather\b|\binstead\b|,\s*it(?:['’]s|\s+is)\b)[\s,:]*",
    )
});
static DENIED: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)\banswer\s+(?:isn['’]t|wasn['’]t)\b[^.!?\n]*?(?:\bbut\b|,\s*it(?:['’]s|\s+is)\b)[\s,:]*")
});
static TAG: LazyLock<Regex> = LazyLock::new(|| regex(r"(?i)<(?:final[_ -]?)?answer>"));
static DOUBLE_BRACKETS: LazyLock<Regex> = LazyLock::new(|| regex(r"\[\[([^\[\]\n]{1,80})\]\]"));
static IS_THE_ANSWER: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?ix) \b (?:is|are|must\s+be|would\s+be) \s+ (?:(?:thus|therefore|then|clearly)\s+)? (?:the|our|my) \s+
        (?:(?:final|correct|right|best|required)\s+)* answers? \b",
    )
});
/// Words that only point at an answer which stands elsewhere.
static POINTS: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)\b(?:what|which|this|that|it|here|below|following|whichever)\s*$"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

/// Markers that are looked at: where none of so many states an answer, no other will.
const MOST_MARKERS: usize = 100;

/// The last markers of a completion, the last one first, remarks after all others. Negated ones (`the answer is not 5`) are left out.
pub(crate) fn last_first(completion: &str) -> Vec<Marker<'_>> {
    let mut found: Vec<(usize, Marker<'_>)> = Vec::new();
    let after = |kind, end: usize| (end, Marker { kind, text: &completion[end..] });
    found.extend(HASHES.find_iter(completion).map(|hit| {
        let hashes = hit.start() + hit.as_str().find("####").unwrap_or(0) + 4;
        after(MarkerKind::Hashes, hashes)
    }));
    let enclosed = |kind, range: Range<usize>| (range.start, Marker { kind, text: &completion[range] });
    found.extend(boxes(completion).map(|range| enclosed(MarkerKind::Boxed, range)));
    let bracketed = DOUBLE_BRACKETS.captures_iter(completion).filter_map(|hit| hit.get(1));
    found.extend(bracketed.map(|inside| enclosed(MarkerKind::Boxed, inside.range())));
    found.extend(TAG.find_iter(completion).map(|open| {
        let length = completion[open.end()..].find("</").map(|length| open.end()..open.end() + length);
        length.map_or_else(|| after(MarkerKind::Cue, open.end()), |range| enclosed(MarkerKind::Tagged, range))
    }));
    found.extend(CUE.find_iter(completion).chain(abroad::cues(completion)).map(|hit| {
        let kind = if hit.as_str().trim_end_matches(' ').ends_with([':', '：', '\n']) {
            MarkerKind::Heading
        } else {
            MarkerKind::Cue
        };
        let denied = CORRECTED.find(&completion[hit.end()..]).map_or(0, |denied| denied.end());
        after(kind, hit.end() + denied)
    }));
    found.extend(DENIED.find_iter(completion).map(|hit| after(MarkerKind::Cue, hit.end())));
    found.extend(IS_THE_ANSWER.find_iter(completion).filter_map(|hit| {
        let start = sentence_start(&completion[..hit.start()]);
        let text = completion[start..hit.start()].trim();
        (!POINTS.is_match(text)).then_some((hit.end(), Marker { kind: MarkerKind::Before, text }))
    }));
    found.retain(|(_, marker)| marker.kind != MarkerKind::Cue || !NEGATED.is_match(marker.text));
    found.sort_by_cached_key(|(at, marker)| (marker.is_remark(), std::cmp::Reverse(*at)));
    found.truncate(MOST_MARKERS);
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

/// The line on which the statement stands: the first one with more than emphasis, colons and a bullet on it, without these.
pub(crate) fn line(text: &str) -> &str {
    let bare =
        text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_' | ':' | '：' | '#'));
    let skipped = &text[..text.len() - bare.len()];
    let item =
        bare.strip_prefix(['-', '–', '•']).filter(|item| item.starts_with(' ') && skipped.contains('\n'));
    item.unwrap_or(bare).lines().next().unwrap_or("")
}

/// Words whose point ends no sentence.
const ABBREVIATIONS: [&str; 22] = [
    "approx", "ca", "c", "rs", "no", "nr", "mr", "mrs", "ms", "dr", "st", "vs", "e.g", "i.e", "cf", "fig",
    "eq", "mio", "mrd", "fr", "jr", "prof",
];

/// The first sentence of a line, without the mark that ends it. A point between digits ends none, nor does that of an abbreviation.
pub(crate) fn sentence(line: &str) -> &str {
    sentence_end(line).map_or(line, |at| &line[..at])
}

/// Where the mark stands that ends the first sentence.
fn sentence_end(line: &str) -> Option<usize> {
    line.char_indices()
        .find(|&(at, c)| ends_sentence(&line[..at], c, &line[at + c.len_utf8()..]))
        .map(|(at, _)| at)
}

fn ends_sentence(before: &str, c: char, after: &str) -> bool {
    let abbreviated = || {
        let word = before.rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '*')).next().unwrap_or("");
        ABBREVIATIONS.iter().any(|known| word.eq_ignore_ascii_case(known))
    };
    let apart = || after.chars().next().is_none_or(|next| next.is_whitespace() || next == '*');
    match c {
        '。' | '！' | '？' | '；' | '।' | '؟' => true,
        '.' => apart() && !abbreviated(),
        '!' | '?' | ';' => apart(),
        _ => false,
    }
}

/// Where the last sentence of the text begins; at most a few hundred characters back.
fn sentence_start(text: &str) -> usize {
    let mut back = text.char_indices().rev().take(MAX_SENTENCE);
    let end = back.find(|&(at, c)| c == '\n' || ends_sentence(&text[..at], c, &text[at + c.len_utf8()..]));
    end.map_or_else(
        || text.char_indices().rev().nth(MAX_SENTENCE).map_or(0, |(at, _)| at),
        |(at, c)| at + c.len_utf8(),
    )
}

/// Longest sentence before `is the answer`, in characters.
const MAX_SENTENCE: usize = 300;

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
    fn answers_stand_in_tags_and_before_words_too() {
        assert_eq!(texts("<answer>18</answer> since 9"), ["18"]);
        assert_eq!(texts("my verdict is [[B]]"), ["B"]);
        assert_eq!(texts("It costs 4. So 18 is the final answer."), ["So 18"]);
        assert_eq!(texts("The answer is not 5 but 7."), ["7"]);
        assert!(texts("What is the answer?").is_empty());
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
        assert_eq!(sentence("approx. 18. Then"), "approx. 18");
        assert_eq!(sentence("১৮। ৩"), "১৮");
    }
}
