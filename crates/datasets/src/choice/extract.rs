//! The option that a completion states as its answer.
//!
//! 1. The last marker (`markers`) from which an option can be read. What follows it is tried as a label, as an option's text,
//!    and again without a few filling words (`option`, `clearly`, `the`); last, the sentence may mention exactly one option,
//!    unless it begins the reasoning after `Answer:`. As markers pass here, too, the words that choose or judge an option (`verdict`).
//! 2. Otherwise the whole completion, if it is nothing but an option.
//! 3. Otherwise an option that stands alone on the last line, or on the first with an explanation after it.
//! 4. Otherwise the only option that the last line mentions, or the only one that the completion mentions: `(B)`, `option B`,
//!    `**B**`, a line that begins with `B.`, or an option's text; one that is ruled out on the spot (`(A) is wrong`) does not
//!    count. A completion that weighs several options and concludes nothing has no answer; taking the last one mentioned, as
//!    other harnesses do, would often take a rejected one.
//!
//! Of a completion that the limit on tokens cut, only closed statements are read (markers but no verdicts).

use std::sync::LazyLock;

use entrace_measure::Choices;
use regex::{Match, Regex};

use super::grammar::read_label;
use super::verdict;
use super::{label_in_any_case, only, with_text};
use crate::lead;
use crate::markers::{self, Marker, MarkerKind};
use crate::plain::plain;

static FILLING: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?ix)^[\s*_:]*(?:(?:(?:option|choice|letter|answer|number|most|likely|probably|clearly|therefore|definitely|indeed
        |correct|that|the|is|either\s+only|opción|opcion|réponse|respuesta|antwort|risposta|resposta|la|el|die|der|das|le|il|a\s+opção|opção|opzione|вариант)\b
        |选项|選項|選択肢|보기)[\s*_:：]*)+",
    )
});
/// Words after `A` that show it to be a label; other small words follow an article.
static CONNECTIVE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x)^\s+(?:and|as|because|but|by|due|following|for|from|given|if|in|is|not|or|since|so|that|thus|was|when|which
        |while|with|would)\b",
    )
});
/// Words after `I` that show it to be a label; others follow the pronoun.
static CONNECTIVE_OF_I: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?x)^\s+(?:and|as|because|but|by|due|for|from|given|if|in|is|or|since|thus|which)\b")
});
/// A second option beside the first: then neither is the answer.
static SECOND: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^[)\]*]*\s*(?:,|/|&|\b(?:or|and|oder|und|ou|et|o|y)\b|或|和|、)\s*[(\[*]*(\w+)\b")
});
static MENTION: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?mx) \( ([^()\s]{1,12}) \) | \*\* ([^*\s]{1,12}?) [.:)]? \*\*
        | \b (?i:option|choice|answer|letter|antwort|réponse|respuesta|risposta|resposta|opción|opção|opzione) \s+ ([^\s()*.,:;]{1,12}) | (?:选项|選項) \s* ([A-Za-z0-9]{1,3}) | ^[\ \t]* ([^\s()*.,:;]{1,12}) [.):] (?:\s|$)",
    )
});

/// What shows that a reason follows a label.
static REASON: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[)\]*]*\s*(?:[,;:]?\s*(?:because|since)\b|\s[-–—]\s\p{L}{2,})"));

/// What shows, right after or before a mention, that the option is ruled out.
pub(super) static REJECTED_AFTER: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?ix) ^[)\]*.:]* \s* (?: (?:is|was|are|seems|would\s+be|can\s+be) \s+ )? (?:also\s+)?
        (?: wrong | incorrect | not | false | cannot | isn['’]t | can['’]t | doesn['’]t | ruled\s+out | eliminated ) \b",
    )
});
pub(super) static REJECTED_BEFORE: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)\b(?:not|rules?\s+out|eliminates?|excludes?)\s+(?:(?:option|choice)\s+)?[(\[*]*$")
});

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

/// Position of the stated option.
pub(super) fn extract(completion: &str, choices: &Choices) -> Option<usize> {
    let markers = markers::last_first(completion);
    let stated = markers.iter().find_map(|marker| stated_by(marker, choices));
    stated
        .or_else(|| verdict::last(completion, choices))
        .or_else(|| undisputed_whole(completion, choices))
        .or_else(|| alone(completion, choices))
        .or_else(|| {
            let last_line = completion.lines().rev().find(|line| !line.trim().is_empty())?;
            mentioned(last_line, choices).or_else(|| mentioned(completion, choices))
        })
}

/// Position of the option that a closed statement of a cut completion gives.
pub(super) fn extract_cut(completion: &str, choices: &Choices) -> Option<usize> {
    let markers = markers::last_first(completion);
    markers.iter().filter(|marker| marker.is_closed()).find_map(|marker| stated_by(marker, choices))
}

fn stated_by(marker: &Marker<'_>, choices: &Choices) -> Option<usize> {
    match marker.kind {
        MarkerKind::Boxed => in_either(marker.text, |text| stated(text, choices)),
        MarkerKind::Tagged => {
            undisputed_whole(marker.text, choices).or_else(|| extract(marker.text, choices))
        }
        MarkerKind::Before => verdict::named_at_end(marker.text, choices)
            .or_else(|| with_text(lead::trim(marker.text), choices)),
        MarkerKind::Hashes | MarkerKind::Cue => {
            in_either(markers::line(marker.text), |line| stated(line, choices))
        }
        MarkerKind::Heading => {
            let line = markers::line(marker.text);
            let reasoning =
                marker.goes_on_with(markers::sentence(line), |later| later.contains(char::is_alphanumeric));
            in_either(line, |line| if reasoning { at_start(line, choices) } else { stated(line, choices) })
        }
    }
}

/// What `read` makes of the text as it is, or else without LaTeX and full-width signs.
fn in_either(text: &str, read: impl Fn(&str) -> Option<usize>) -> Option<usize> {
    read(text).or_else(|| read(&plain(text)))
}

/// The option that stands alone on the last line, or on the first before an explanation. A list of options states none.
fn alone(completion: &str, choices: &Choices) -> Option<usize> {
    let lines: Vec<&str> = completion.lines().filter(|line| line.contains(char::is_alphanumeric)).collect();
    let on = |line: &str| {
        let Some(read) = read_label(choices.labels(), line) else {
            return label_in_any_case(lead::trim(line), choices).map(|option| (option, true));
        };
        let rest = &line[read.end..];
        let bare = !rest.contains(char::is_alphanumeric);
        (bare
            || text_at(after_label(rest), choices) == Some(read.index)
                && with_text(after_label(rest).trim(), choices).is_some())
        .then_some((read.index, bare))
    };
    let (first, last) = (lines.first()?, lines.last()?);
    let listed = |line: Option<&&str>, option: usize| {
        line.and_then(|line| on(line)).is_some_and(|(other, _)| other != option)
    };
    let at_end = on(last).filter(|&(option, bare)| bare || !listed(lines.iter().rev().nth(1), option));
    let at_start = || on(first).filter(|&(option, _)| !listed(lines.get(1), option));
    at_end.or_else(at_start).map(|(option, _)| option)
}

fn stated(line: &str, choices: &Choices) -> Option<usize> {
    at_start(line, choices).or_else(|| mentioned(markers::sentence(line), choices))
}

pub(super) fn at_start(line: &str, choices: &Choices) -> Option<usize> {
    let filling = FILLING.find(line).map_or(0, |hit| hit.end());
    let starts = if filling == 0 { vec![line] } else { vec![line, &line[filling..]] };
    starts.iter().find_map(|text| label_at(text, choices).or_else(|| text_at(text, choices)))
}

/// A completion of one line that is an option: a label, alone or with its own text or a reason after it, or an option's text.
fn undisputed_whole(completion: &str, choices: &Choices) -> Option<usize> {
    let text = completion.trim();
    if text.contains('\n') {
        return None;
    }
    let labelled = label_at(text, choices).filter(|&option| {
        let rest = read_label(choices.labels(), text).map_or("", |label| &text[label.end..]);
        let reason = REASON.is_match(rest);
        reason || !rest.contains(char::is_alphanumeric) || text_at(after_label(rest), choices) == Some(option)
    });
    labelled.or_else(|| with_text(lead::trim(text), choices))
}

/// What follows a label and its punctuation.
fn after_label(rest: &str) -> &str {
    rest.trim_start_matches(|c: char| !c.is_alphanumeric())
}

/// The label at the start of a statement, unless it is an article or one of two options.
fn label_at(text: &str, choices: &Choices) -> Option<usize> {
    let Some(label) = read_label(choices.labels(), text) else { return small_label_at(text, choices) };
    let (name, rest) = (choices.labels()[label.index].as_str(), &text[label.end..]);
    let mut following = rest.chars();
    match (following.next(), following.next()) {
        (Some('-' | '\'' | '’'), Some(c)) if c.is_alphanumeric() => return None,
        (Some(c), next) if c.is_whitespace() => {
            if let Some(option) = text_at(text, choices) {
                return Some(option);
            }
            let lower_case = next.is_some_and(char::is_lowercase);
            let article = name.eq_ignore_ascii_case("a") && lower_case && !CONNECTIVE.is_match(rest);
            let pronoun = name == "I" && lower_case && !CONNECTIVE_OF_I.is_match(rest);
            if article || pronoun {
                return None;
            }
        }
        _ => {}
    }
    let second = SECOND.captures(rest).and_then(|found| label_in_any_case(&found[1], choices));
    second.is_none().then_some(label.index)
}

/// A label in the other case, closed by something other than a space: `(b)`, `b.`.
fn small_label_at(text: &str, choices: &Choices) -> Option<usize> {
    let bare = text.trim_start_matches(lead::is_lead);
    let end = bare.find(|c: char| !c.is_alphanumeric()).unwrap_or(bare.len());
    let (word, rest) = bare.split_at(end);
    let closed = rest.chars().next().is_none_or(|c| !c.is_whitespace() && !matches!(c, '-' | '\'' | '’'));
    let option = label_in_any_case(word, choices)?;
    (closed || rest.trim().is_empty() || CONNECTIVE.is_match(rest) && !word.eq_ignore_ascii_case("a"))
        .then_some(option)
}

/// The option whose text the statement begins with; the longest, case set aside unless two options differ only there.
fn text_at(text: &str, choices: &Choices) -> Option<usize> {
    let text = text.trim_start_matches(lead::is_lead);
    let begins = |fold: fn(&str) -> String| {
        let folded = fold(text);
        longest(choices, |option| {
            let option = fold(option);
            folded.strip_prefix(&option).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        })
    };
    begins(str::to_string).or_else(|| begins(str::to_lowercase))
}

/// The option with the longest text among those that `holds` is true of; `None` if two are equally long.
fn longest(choices: &Choices, holds: impl Fn(&str) -> bool) -> Option<usize> {
    let found: Vec<(usize, &str)> = choices
        .texts()
        .iter()
        .map(|text| lead::trim(text))
        .enumerate()
        .filter(|(_, text)| !text.is_empty() && holds(text))
        .collect();
    let length = found.iter().map(|(_, text)| text.len()).max()?;
    only(found.iter().filter(|(_, text)| text.len() == length)).map(|(i, _)| *i)
}

/// The only option that the text mentions without rejecting it, by label or else by its text.
fn mentioned(text: &str, choices: &Choices) -> Option<usize> {
    let names = MENTION.captures_iter(text).filter_map(|found| found.iter().skip(1).flatten().next());
    let accepted = |name: &Match<'_>| {
        !REJECTED_AFTER.is_match(&text[name.end()..])
            && !REJECTED_BEFORE.is_match(end_of(&text[..name.start()]))
    };
    let labels: Vec<(usize, bool)> =
        names.filter_map(|name| Some((label_named(name.as_str(), choices)?, accepted(&name)))).collect();
    if labels.is_empty() {
        return only(texts_within(text, choices).into_iter());
    }
    let mut options: Vec<usize> =
        labels.into_iter().filter_map(|(option, accepted)| accepted.then_some(option)).collect();
    options.sort_unstable();
    options.dedup();
    only(options.into_iter())
}

/// The last few characters: enough for what `REJECTED_BEFORE` looks for.
pub(super) fn end_of(text: &str) -> &str {
    text.char_indices().rev().nth(40).map_or(text, |(at, _)| &text[at..])
}

pub(super) fn label_named(name: &str, choices: &Choices) -> Option<usize> {
    choices.labels().iter().position(|label| label == name)
}

/// The options whose text occurs between word boundaries; one that occurs only within a longer one does not count.
fn texts_within(text: &str, choices: &Choices) -> Vec<usize> {
    let mut rest = text.to_lowercase();
    let mut options: Vec<(usize, String)> =
        choices.texts().iter().map(|text| lead::trim(text).to_lowercase()).enumerate().collect();
    options.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
    let mut found = Vec::new();
    for (i, option) in options {
        let hits: Vec<usize> = rest.match_indices(option.as_str()).map(|(at, _)| at).collect();
        let whole_words = |&at: &usize| {
            !rest[..at].ends_with(char::is_alphanumeric)
                && !rest[at + option.len()..].starts_with(char::is_alphanumeric)
        };
        if !option.is_empty() && hits.iter().any(whole_words) {
            found.push(i);
            rest = rest.replace(option.as_str(), "\u{0}");
        }
    }
    found
}
