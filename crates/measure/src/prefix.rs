//! Prefixes of a trace: where its steps end, counted in tokens.
//!
//! `prefixes[0]` is the question alone (`n_tokens` = 0); `prefixes[k]` is the trace up to the end of step k. Token counts rise
//! strictly, and the last prefix is the whole trace, so an empty trace has the first prefix only.
//!
//! Text is never cut and tokenised again. A rule finds byte positions at which steps end; a step then ends at the largest token
//! count whose text ends at or before that position. Tokens that hold only the first bytes of a character belong to the step of
//! that character. Ends that fall on the same token are one end, and a step of white space and marks of thoughts (`<think>`) alone is
//! part of the step before it (of the first step where there is none before).
//!
//! What ends a step:
//! * `blank-line`: a run of blank lines; the end lies after it.
//! * `line`: a line break, with the blank lines that follow it.
//! * `sentence`: see `sentence_ends`; the end lies before the space that follows the sentence, or after its line break.
//! * `tokens:N`: every N tokens, whatever the text.
//! * `regex:PATTERN`: each match; the end lies after it. `(?=Wait)` is not available (no look-around); a step that should begin with
//!   a word is cut after the word.
//! * `steps`: the ends that were recorded with an imported trace.
//!
//! `max_steps` merges neighbours evenly by number: of K steps, step j of M ends where step round(jK/M) ended.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use crate::completion::is_blank;
use crate::sentence::sentence_ends;
use crate::trace::Trace;

/// One prefix of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// Number of steps k that it holds.
    pub step: usize,
    /// Number of trace tokens t_k that it holds.
    pub n_tokens: usize,
}

/// How a trace is cut into steps.
#[derive(Debug, Clone, PartialEq)]
pub enum Segmentation {
    /// Recorded steps where there are some, else blank lines, else lines, else sentences: the first that gives at least two steps.
    Auto,
    /// The steps that came with an imported trace.
    Steps,
    /// Blank lines.
    BlankLine,
    /// Line breaks.
    Line,
    /// Ends of sentences.
    Sentence,
    /// Every N tokens.
    Tokens(usize),
    /// After each match of a regular expression.
    Regex(String),
}

/// A segmentation cannot be read, or does not fit a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentationError {
    /// A segmentation is not one of those that exist.
    #[error(
        "could not read the segmentation {0:?}: expected `auto`, `steps`, `blank-line`, `line`, `sentence`, `tokens:N` (such as `tokens:64`) \
         or `regex:PATTERN` (such as `regex:Wait`)"
    )]
    UnknownSegmentation(String),
    /// Steps of a number of tokens that is not a positive number.
    #[error(
        "could not read the segmentation `tokens:{0}`: expected a whole number of at least 1, such as `tokens:64`"
    )]
    BadTokenCount(String),
    /// A pattern that does not compile.
    #[error("could not compile the step pattern {pattern:?}: {problem}")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What the regular expression engine says.
        problem: String,
    },
    /// The segmentation `steps` on a trace that came without any.
    #[error("could not cut the trace at its recorded steps: it has none (hint: use the segmentation `auto`)")]
    NoRecordedSteps,
    /// Recorded steps that run backwards or past the text.
    #[error(
        "could not cut the trace at recorded step {index}: its end {end} does not fit after {previous} in a text of {len} bytes"
    )]
    BadStepEnd {
        /// Number of the step, from 0.
        index: usize,
        /// Its end in bytes.
        end: usize,
        /// The end of the step before it.
        previous: usize,
        /// Length of the text in bytes.
        len: usize,
    },
    /// A limit of zero steps.
    #[error("could not cut the trace into at most 0 steps: the limit must be at least 1")]
    NoSteps,
}

impl Segmentation {
    /// Reads a name as `name` writes it.
    pub fn parse(text: &str) -> Result<Self, SegmentationError> {
        if let Some(count) = text.strip_prefix("tokens:") {
            return match count.parse() {
                Ok(n) if n > 0 => Ok(Self::Tokens(n)),
                _ => Err(SegmentationError::BadTokenCount(count.into())),
            };
        }
        if let Some(pattern) = text.strip_prefix("regex:") {
            return compile(pattern).map(|_| Self::Regex(pattern.into()));
        }
        Ok(match text {
            "auto" => Self::Auto,
            "steps" => Self::Steps,
            "blank-line" => Self::BlankLine,
            "line" => Self::Line,
            "sentence" => Self::Sentence,
            _ => return Err(SegmentationError::UnknownSegmentation(text.into())),
        })
    }

    /// The name used in flags and files.
    pub fn name(&self) -> String {
        match self {
            Self::Auto => "auto".into(),
            Self::Steps => "steps".into(),
            Self::BlankLine => "blank-line".into(),
            Self::Line => "line".into(),
            Self::Sentence => "sentence".into(),
            Self::Tokens(n) => format!("tokens:{n}"),
            Self::Regex(pattern) => format!("regex:{pattern}"),
        }
    }
}

impl fmt::Display for Segmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl FromStr for Segmentation {
    type Err = SegmentationError;

    fn from_str(text: &str) -> Result<Self, SegmentationError> {
        Self::parse(text)
    }
}

/// The prefixes of `trace`, the question alone first and the whole trace last.
///
/// `recorded_step_ends` are byte positions of the trace's text, never falling; an empty list is the same as none.
pub fn prefixes(
    trace: &Trace,
    segmentation: &Segmentation,
    recorded_step_ends: Option<&[usize]>,
    max_steps: Option<usize>,
) -> Result<Vec<Prefix>, SegmentationError> {
    let recorded = recorded_step_ends.filter(|ends| !ends.is_empty());
    let mut counts = if trace.is_empty() { Vec::new() } else { step_counts(trace, segmentation, recorded)? };
    if let Some(limit) = max_steps {
        counts = merge_evenly(&counts, limit)?;
    }
    let all = std::iter::once(0).chain(counts).enumerate();
    Ok(all.map(|(step, n_tokens)| Prefix { step, n_tokens }).collect())
}

/// The prefixes that stand for some relative depths: for each depth s the last prefix k of a trace of K steps with k/K ≤ s, as a curve is read
/// that is constant between prefixes. Each is given once, in order.
pub fn at_depths(prefixes: &[Prefix], depths: &[f64]) -> Vec<Prefix> {
    /// So that 3/20 counts as 0.15 whatever the rounding.
    const ROUNDING: f64 = 1e-9;
    let n_steps = prefixes.len().saturating_sub(1) as f64;
    let position = |&depth: &f64| ((depth + ROUNDING) * n_steps).floor() as usize;
    let mut positions: Vec<usize> = depths.iter().map(position).collect();
    positions.sort_unstable();
    positions.dedup();
    positions.into_iter().filter_map(|position| prefixes.get(position).copied()).collect()
}

/// The token count at which each step of a trace with tokens ends, strictly rising to T.
fn step_counts(
    trace: &Trace,
    segmentation: &Segmentation,
    recorded: Option<&[usize]>,
) -> Result<Vec<usize>, SegmentationError> {
    let text = trace.text();
    let byte_ends = match segmentation {
        Segmentation::Auto => return auto_counts(trace, recorded),
        Segmentation::Tokens(0) => return Err(SegmentationError::BadTokenCount("0".into())),
        Segmentation::Tokens(n) => return Ok((*n..trace.len()).step_by(*n).chain([trace.len()]).collect()),
        Segmentation::Steps => checked_ends(recorded.ok_or(SegmentationError::NoRecordedSteps)?, text.len())?,
        Segmentation::BlankLine => blank_line_ends(text),
        Segmentation::Line => line_ends(text),
        Segmentation::Sentence => sentence_ends(text),
        Segmentation::Regex(pattern) => compile(pattern)?.find_iter(text).map(|m| m.end()).collect(),
    };
    Ok(token_counts(trace, &byte_ends))
}

/// The first rule that gives at least two steps; one step where none does.
fn auto_counts(trace: &Trace, recorded: Option<&[usize]>) -> Result<Vec<usize>, SegmentationError> {
    let rules = [Segmentation::Steps, Segmentation::BlankLine, Segmentation::Line, Segmentation::Sentence];
    let skipped = usize::from(recorded.is_none());
    for rule in &rules[skipped..] {
        let counts = step_counts(trace, rule, recorded)?;
        if counts.len() >= 2 {
            return Ok(counts);
        }
    }
    Ok(vec![trace.len()])
}

fn compile(pattern: &str) -> Result<Regex, SegmentationError> {
    Regex::new(pattern).map_err(|problem| SegmentationError::BadPattern {
        pattern: pattern.into(),
        problem: problem.to_string(),
    })
}

fn checked_ends(ends: &[usize], len: usize) -> Result<Vec<usize>, SegmentationError> {
    let mut previous = 0;
    for (index, &end) in ends.iter().enumerate() {
        if end < previous || end > len {
            return Err(SegmentationError::BadStepEnd { index, end, previous, len });
        }
        previous = end;
    }
    Ok(ends.to_vec())
}

/// After each line break and the blank lines that follow it.
fn line_ends(text: &str) -> Vec<usize> {
    line_break_runs(text).into_iter().map(|(_, end)| end).collect()
}

/// After each run of line breaks that encloses a blank line.
fn blank_line_ends(text: &str) -> Vec<usize> {
    line_break_runs(text).into_iter().filter(|&(n_breaks, _)| n_breaks >= 2).map(|(_, end)| end).collect()
}

/// Runs of line breaks with nothing but white space between them: how many there are, and the byte after the last.
fn line_break_runs(text: &str) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, _) in text.match_indices('\n') {
        match runs.last_mut() {
            Some((n_breaks, end)) if text[*end..at].trim().is_empty() => {
                (*n_breaks, *end) = (*n_breaks + 1, at + 1)
            }
            _ => runs.push((1, at + 1)),
        }
    }
    runs
}

/// Token counts for byte positions that never fall; the last is T.
fn token_counts(trace: &Trace, byte_ends: &[usize]) -> Vec<usize> {
    let mut counts: Vec<usize> = Vec::new();
    let ends = byte_ends.iter().map(|&byte_end| token_count_within(trace, byte_end));
    for count in ends.filter(|&n| n > 0).chain([trace.len()]) {
        let previous = counts.last().copied().unwrap_or(0);
        let step = &trace.text_of_prefix(count)[trace.text_of_prefix(previous).len()..];
        // White space and marks alone are no step: they belong to the step before them, or to the first one.
        if is_blank(step) {
            if count == trace.len() || !counts.is_empty() {
                counts.pop();
                counts.push(count.max(previous));
            }
        } else {
            counts.push(count);
        }
    }
    counts
}

/// The largest number of tokens whose text ends at or before `byte_end`.
fn token_count_within(trace: &Trace, byte_end: usize) -> usize {
    let ends = trace.token_ends();
    let count = ends.partition_point(|&end| end <= byte_end);
    // Tokens without text of their own just before a character of several bytes are the first pieces of that character.
    let text_end = trace.text_of_prefix(count).len();
    let next = trace.text()[text_end..].chars().next();
    if next.is_some_and(|c| !c.is_ascii()) {
        return if text_end == 0 { 0 } else { ends.partition_point(|&end| end < text_end) + 1 };
    }
    count
}

fn merge_evenly(counts: &[usize], limit: usize) -> Result<Vec<usize>, SegmentationError> {
    if limit == 0 {
        return Err(SegmentationError::NoSteps);
    }
    let (n, m) = (counts.len(), limit.min(counts.len()));
    Ok((1..=m).map(|j| counts[(2 * j * n + m) / (2 * m) - 1]).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A trace whose tokens are the given pieces.
    fn trace_of(pieces: &[&str]) -> Trace {
        let ends = pieces.iter().scan(0, |end, piece| {
            *end += piece.len();
            Some(*end)
        });
        Trace::new(pieces.concat(), (0..pieces.len() as u32).collect(), ends.collect()).unwrap()
    }

    fn by_character(text: &str) -> Trace {
        trace_of(&text.split("").filter(|s| !s.is_empty()).collect::<Vec<_>>())
    }

    /// The texts of the steps.
    fn steps_of(trace: &Trace, segmentation: &str) -> Vec<String> {
        let cuts = prefixes(trace, &Segmentation::parse(segmentation).unwrap(), None, None).unwrap();
        let texts = cuts.windows(2).map(|w| {
            let start = trace.text_of_prefix(w[0].n_tokens).len();
            trace.text_of_prefix(w[1].n_tokens)[start..].to_string()
        });
        texts.collect()
    }

    #[test]
    fn names_round_trip() {
        let names =
            ["auto", "steps", "blank-line", "line", "sentence", "tokens:7", "regex:(?i)wait|a:b", "regex:"];
        for name in names {
            assert_eq!(Segmentation::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn bad_names_say_what_is_expected() {
        let message = |text: &str| Segmentation::parse(text).unwrap_err().to_string();
        assert!(message("paragraph").contains("blank-line"));
        assert!(message("tokens:0").contains("at least 1"));
        assert!(message("tokens:x").contains("`tokens:x`"));
        assert!(message("regex:(").contains("unclosed group"));
    }

    #[test]
    fn blank_lines_belong_to_the_step_before_them() {
        let trace = by_character("\n\none\ntwo\n \n\nthree\n\n");
        assert_eq!(steps_of(&trace, "blank-line"), ["\n\none\ntwo\n \n\n", "three\n\n"]);
        assert_eq!(steps_of(&trace, "line"), ["\n\none\n", "two\n \n\n", "three\n\n"]);
    }

    #[test]
    fn a_token_across_the_boundary_opens_the_next_step() {
        let trace = trace_of(&["one", ".\n", "\ntwo", " three"]);
        assert_eq!(steps_of(&trace, "blank-line"), ["one.\n", "\ntwo three"]);
    }

    #[test]
    fn pieces_of_a_character_stay_together() {
        // The second character takes three tokens, of which the last completes it.
        let trace = Trace::new("a\n\n🙂b".into(), vec![1, 2, 3, 4, 5, 6], vec![1, 3, 3, 3, 7, 8]).unwrap();
        let cuts = prefixes(&trace, &Segmentation::BlankLine, None, None).unwrap();
        assert_eq!(cuts.iter().map(|p| p.n_tokens).collect::<Vec<_>>(), [0, 2, 6]);
        let silent = Trace::new("a\n\nb".into(), vec![1, 2, 3, 4], vec![1, 3, 3, 4]).unwrap();
        let cuts = prefixes(&silent, &Segmentation::BlankLine, None, None).unwrap();
        assert_eq!(cuts.iter().map(|p| p.n_tokens).collect::<Vec<_>>(), [0, 3, 4]);
    }

    #[test]
    fn auto_takes_the_first_rule_with_two_steps() {
        assert_eq!(steps_of(&by_character("a. B.\nc\n\nd"), "auto"), ["a. B.\nc\n\n", "d"]);
        assert_eq!(steps_of(&by_character("Ax. B.\nc\nd"), "auto"), ["Ax. B.\n", "c\n", "d"]);
        assert_eq!(steps_of(&by_character("So ax. Then b."), "auto"), ["So ax.", " Then b."]);
        assert_eq!(steps_of(&by_character("nothing to cut"), "auto"), ["nothing to cut"]);
        let trace = by_character("ab\n\ncd");
        let cut = |recorded: &[usize]| prefixes(&trace, &Segmentation::Auto, Some(recorded), None).unwrap();
        assert_eq!(cut(&[1, 6]).iter().map(|p| p.n_tokens).collect::<Vec<_>>(), [0, 1, 6]);
        assert_eq!(cut(&[6]).iter().map(|p| p.n_tokens).collect::<Vec<_>>(), [0, 4, 6]);
        assert_eq!(cut(&[]).iter().map(|p| p.n_tokens).collect::<Vec<_>>(), [0, 4, 6]);
    }

    #[test]
    fn recorded_steps_must_be_there_and_in_order() {
        let trace = by_character("abc");
        let cut = |recorded| prefixes(&trace, &Segmentation::Steps, recorded, None);
        assert_eq!(cut(None), Err(SegmentationError::NoRecordedSteps));
        assert_eq!(cut(Some(&[])), Err(SegmentationError::NoRecordedSteps));
        assert_eq!(
            cut(Some(&[2, 1])),
            Err(SegmentationError::BadStepEnd { index: 1, end: 1, previous: 2, len: 3 })
        );
        assert!(matches!(cut(Some(&[4])), Err(SegmentationError::BadStepEnd { .. })));
        assert_eq!(cut(Some(&[0, 2, 2])).unwrap().len(), 3);
    }

    #[test]
    fn an_empty_trace_has_one_prefix() {
        let trace = trace_of(&[]);
        for name in ["auto", "steps", "line", "tokens:3", "regex:x"] {
            let segmentation = Segmentation::parse(name).unwrap();
            assert_eq!(
                prefixes(&trace, &segmentation, None, Some(4)).unwrap(),
                [Prefix { step: 0, n_tokens: 0 }],
                "{name}"
            );
        }
    }

    #[test]
    fn white_space_alone_is_one_step() {
        assert_eq!(steps_of(&by_character("\n\n\n"), "blank-line"), ["\n\n\n"]);
        assert_eq!(steps_of(&by_character(" \n"), "line"), [" \n"]);
    }

    #[test]
    fn marks_of_thoughts_are_no_steps() {
        let trace = by_character("<think>\nSo a.\n</think>\n<think>\nThen b.");
        assert_eq!(steps_of(&trace, "line"), ["<think>\nSo a.\n</think>\n<think>\n", "Then b."]);
    }

    #[test]
    fn a_pattern_ends_steps_after_its_matches() {
        assert_eq!(steps_of(&by_character("so Wait, no Wait"), "regex:Wait,?"), ["so Wait,", " no Wait"]);
    }

    #[test]
    fn steps_merge_evenly() {
        let trace = by_character("abcdefghij");
        let merged = |limit| {
            let cuts = prefixes(&trace, &Segmentation::Tokens(1), None, Some(limit)).unwrap();
            cuts.iter().map(|p| p.n_tokens).collect::<Vec<_>>()
        };
        assert_eq!(merged(1), [0, 10]);
        assert_eq!(merged(3), [0, 3, 7, 10]);
        assert_eq!(merged(5), [0, 2, 4, 6, 8, 10]);
        assert_eq!(merged(99).len(), 11);
        assert_eq!(prefixes(&trace, &Segmentation::Line, None, Some(0)), Err(SegmentationError::NoSteps));
    }

    /// Traces whose tokens are random pieces of text that is rich in boundaries, some without text of their own.
    fn any_trace() -> impl Strategy<Value = Trace> {
        prop::collection::vec("[ab.é1 \n]{0,3}", 0..30)
            .prop_map(|pieces| trace_of(&pieces.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    #[test]
    fn depths_are_read_at_the_last_prefix_before_them() {
        let of = |n_steps: usize| -> Vec<usize> {
            let all: Vec<Prefix> = (0..=n_steps).map(|step| Prefix { step, n_tokens: step }).collect();
            at_depths(&all, &[0.0, 0.25, 0.5, 0.75, 1.0]).iter().map(|prefix| prefix.step).collect()
        };
        assert_eq!(of(0), [0]);
        assert_eq!(of(1), [0, 1]);
        assert_eq!(of(3), [0, 1, 2, 3]);
        assert_eq!(of(4), [0, 1, 2, 3, 4]);
        assert_eq!(of(7), [0, 1, 3, 5, 7]);
        let twentieths: Vec<Prefix> = (0..=20).map(|step| Prefix { step, n_tokens: step }).collect();
        assert!(at_depths(&twentieths, &[0.15]).iter().all(|prefix| prefix.step == 3));
    }

    proptest! {
        #[test]
        fn prefixes_rise_to_the_whole_trace(
            trace in any_trace(),
            name in prop::sample::select(vec!["auto", "blank-line", "line", "sentence", "tokens:2", "tokens:50", "regex:a+"]),
            max_steps in prop::option::of(1_usize..6),
        ) {
            let cuts = prefixes(&trace, &Segmentation::parse(name).unwrap(), None, max_steps).unwrap();
            prop_assert_eq!(cuts[0], Prefix { step: 0, n_tokens: 0 });
            prop_assert_eq!(cuts[cuts.len() - 1].n_tokens, trace.len());
            prop_assert!(cuts.windows(2).all(|w| w[0].n_tokens < w[1].n_tokens && w[0].step + 1 == w[1].step));
            prop_assert!(max_steps.is_none_or(|limit| cuts.len() <= limit + 1));
            let texts = cuts.windows(2).map(|w| {
                &trace.text_of_prefix(w[1].n_tokens)[trace.text_of_prefix(w[0].n_tokens).len()..]
            });
            prop_assert_eq!(texts.collect::<String>(), trace.text());
        }

        #[test]
        fn steps_end_at_or_before_their_boundaries(trace in any_trace(), cuts in prop::collection::vec(0.0..1.0_f64, 1..6)) {
            let len = trace.text().len();
            let mut ends: Vec<usize> = cuts.iter().map(|c| (c * (len + 1) as f64) as usize).collect();
            ends.sort_unstable();
            let found = prefixes(&trace, &Segmentation::Steps, Some(&ends), None).unwrap();
            for prefix in &found[1..found.len().max(2) - 1] {
                let text_end = trace.text_of_prefix(prefix.n_tokens).len();
                // One more token with text of its own would pass every boundary that lies at or after this end.
                let next_end = trace.token_ends().iter().find(|&&end| end > text_end);
                prop_assert!(ends.iter().any(|&end| text_end <= end && next_end.is_none_or(|&next| next > end)));
            }
        }
    }
}
