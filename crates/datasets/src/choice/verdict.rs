//! Options that a sentence chooses or judges: `I would go with B`, `B is correct`, `Therefore, B.`, `not A but B`, `因此，选择B`.
//!
//! The last verdict counts. One that is denied (`B is not correct`, `I would not choose B`) or names two options (`both A and B are correct`)
//! is none.

use std::sync::LazyLock;

use entrace_measure::Choices;
use regex::Regex;

use super::extract::{REJECTED_AFTER, REJECTED_BEFORE, at_start, end_of, label_named};
use crate::plain::plain;

/// Words before the option.
static CHOOSES: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(?ix)
        \b (?: choose | chose | choosing | pick | picked | select | selected | go(?:ing)?\s+(?:with|for) | went\s+with | opt\s+for | vote\s+for | settle\s+on
          | elijo | escojo | selecciono | wähle | choisis | scelgo | escolho | выбираю | kies ) \b
          (?: \s+ (?:the\s+)? (?:option|choice|answer|letter|opción|réponse|la\s+opción) \b )? [\s*_:]*
        | \b (?: (?:selected|chosen|correct|right|best|final|my) \s+ )? (?: correct | option | choice | letter | selection | pick | verdict | solution | conclusion ) [\s*_]* (?: : | \s(?:is|would\s+be|=)\s )
        | \b (?: correct | right | best | true ) \s+ (?: one | letter | alternative | response | option | choice | pick ) [\s*_]* (?: : | \s+(?:is|would\s+be|must\s+be|seems\s+to\s+be)\s )
        | \b (?: option | choice | answer | one | statement ) \s+ (?:that|which) \s+ [^.\n]{1,40}? \s is \s
        | \b (?: it | that | this | which | answer ) (?: \s+ (?: must | has\s+to | should | can\s+only | could\s+only | would\s+have\s+to ) \s+ be | ['’]s | \s+is ) \s+
        | \b (?: think | believe | guess | say | answer ) \s+
        | \b (?: leaves? | leaving ) (?: \s+ (?:us|only|with) )* \s+
        | \b (?: therefore | thus | hence | so | consequently ) [\s,:]+
        | (?: 故选 | 故選 | 选择 | 選擇 | 選択 | 选 | 選 ) [\s:：]*
        "#,
    )
});
/// Words after the option.
static JUDGED: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?ix) ^[)\]*`'’”.]* \s* (?: (?:option|choice|one)\s+ )?
        (?: (?: is | seems | looks | appears\s+to\s+be | must\s+be | would\s+be | has\s+to\s+be ) \s+ (?: (?:\w+ly|indeed|thus|the|most|probably|to\s+be) \s+ )*
            (?: correct | right | true | best | better | answer | (?:more|most)\s+likely | appropriate | accurate | suitable | only\s+(?:correct|possible|remaining) ) \b
          | (?: es | est | ist | è | é ) \s+ (?: (?:la|die|le|il|el|a) \s+ )? (?: correct[aeo]? | richtig(?:e)? | korrekt | corrett[ao] | corret[ao] | exacte | bonne ) \b
          | (?: fits | works ) \s+ best \b
          | \s* it \s+ is \b | (?:选项|選項)? (?: 是 )? (?: 正确 | 正確 | 正しい | 对的 | 正解 ) | (?: 가 | 이 )? \s* 정답 | が (?: 正解 | 正しい | 答え ) )",
    )
});
/// Two options together: the first of them.
static BESIDE_ANOTHER: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)([a-z0-9]{1,3})[)\]*]*\s*(?:\b(?:and|or|nor|und|oder|y|o|et|ou)\b|[,&/、和或])\s*(?:option\s+)?[(\[*]*$",
    )
});
/// What makes a judgement one that is only considered.
static CONDITIONAL: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(?:if|whether|suppose|supposing|assume|assuming|unless|why)\s+(?:that\s+)?(?:option\s+)?[(\[*]*$",
    )
});
static NOT_BUT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)\bnot\s+(?:option\s+)?[(\[*]*(\w{1,3})[)\]*]*\s*,?\s*but(?:\s+rather)?\s+"));
static DENIES: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)\b(?:not|never|cannot|neither|nor|\w+n['’]t)\s+(?:\w+\s+)?$|不\s*$"));
/// A name and its decoration, between words.
static NAME: LazyLock<Regex> = LazyLock::new(|| regex(r"[A-Za-z0-9]{1,3}"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

/// The option of the last verdict.
pub(super) fn last(completion: &str, choices: &Choices) -> Option<usize> {
    let mut verdicts: Vec<(usize, usize)> = Vec::new();
    verdicts.extend(CHOOSES.find_iter(completion).filter_map(|hit| {
        let denied = DENIES.is_match(end_of(&completion[..hit.start()]));
        let option = chosen(&completion[hit.end()..], hit.as_str(), choices)?;
        (!denied).then_some((hit.end(), option))
    }));
    verdicts.extend(NOT_BUT.captures_iter(completion).filter_map(|hit| {
        label_named(&hit[1], choices)?;
        let end = hit.get(0)?.end();
        Some((end, at_start(line(&completion[end..], choices), choices)?))
    }));
    verdicts.extend(NAME.find_iter(completion).filter_map(|name| {
        let option = label_named(name.as_str(), choices)?;
        let (before, after) = (end_of(&completion[..name.start()]), &completion[name.end()..]);
        let apart = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '\'');
        let judged = apart && JUDGED.is_match(after) && !is_beside_another(before, choices);
        (judged && !REJECTED_BEFORE.is_match(before) && !CONDITIONAL.is_match(before))
            .then_some((name.start(), option))
    }));
    verdicts.into_iter().max_by_key(|(at, _)| *at).map(|(_, option)| option)
}

fn is_beside_another(before: &str, choices: &Choices) -> bool {
    BESIDE_ANOTHER.captures(before).is_some_and(|found| label_named(&found[1], choices).is_some())
}

/// Bytes of a line that are looked at beyond the longest option: a text of nothing but words of choosing would else be read again from
/// each of them to its end.
const LOOKED_AT: usize = 512;

/// The line that a text begins with, as far as an option and what is said of it may reach.
fn line<'a>(text: &'a str, choices: &Choices) -> &'a str {
    let longest = choices.texts().iter().map(String::len).max().unwrap_or(0);
    let text = &text[..text.floor_char_boundary(longest + LOOKED_AT)];
    text.lines().next().unwrap_or("")
}

/// The option that follows words of choosing. After `so` and `it is`, which have other uses, nothing but a reason may
/// come after it.
fn chosen(text: &str, words: &str, choices: &Choices) -> Option<usize> {
    let line = plain(line(text, choices));
    let option = at_start(&line, choices)?;
    let bare = line.trim_start_matches(|c: char| !c.is_alphanumeric());
    let length = bare.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(bare.len());
    let by_label = label_named(&bare[..length], choices) == Some(option);
    let rest = &bare[length..];
    if REJECTED_AFTER.is_match(rest) {
        return None;
    }
    let is_weak = WEAK.is_match(words);
    let ends = ENDS.is_match(rest) && !bare.starts_with(|c: char| c.is_ascii_digit());
    (by_label && (!is_weak || ends)).then_some(option)
}

static WEAK: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)^(?:therefore|thus|hence|so|consequently|it|that|this|which|leav|think|believe|guess|say|answer)",
    )
});
static ENDS: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"^[)\]*`"']*(?:\s*$|[.!;,]|\s+(?:because|since|as|for)\b)"#));

/// The only option that the end of a sentence names, as before `is the answer`.
pub(super) fn named_at_end(sentence: &str, choices: &Choices) -> Option<usize> {
    let bare = sentence.trim_end_matches(|c: char| !c.is_alphanumeric());
    let word = bare.rsplit(|c: char| !c.is_alphanumeric()).next()?;
    let before = bare.len() - word.len();
    let option = label_named(word, choices)?;
    let beside = is_beside_another(&bare[..before], choices) || DENIES.is_match(&bare[..before]);
    (!beside).then_some(option)
}
