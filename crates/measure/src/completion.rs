//! A completion divided into thoughts and reply, and cut where it runs on into another question.
//!
//! Reasoning models think between marks and reply after them: `<think>3 + 4 = 7.</think>The answer is 7.` The reasoning is in the thought and
//! the answer in the reply, so the two must be told apart before a text is cut into steps or read. Which marks are known says `marks`; a
//! chat template may name a model's own ([`Thoughts::of_template`]).
//!
//! Rules, of a text and of whether its prompt opened a thought (R1's template ends with `<think>`):
//!
//! * A closing mark without an opening one closes everything before it, back to the thought before.
//! * A mark of its own kind within a thought opens nothing. Marks of another kind may be nested. A closing mark of a kind that is not open
//!   closes the thought all the same: models mix `<think>` and `</thinking>`.
//! * The reply is everything outside of thoughts. While a thought is open at the end there is no reply, and so no answer.
//! * The trace reaches to the closing mark of the last thought that is not blank. Where there is none it is the whole text.
//! * Outside of thoughts, a text ends where a turn ends (`<|im_end|>`) or another question begins (`Question:` at the start of a line), if
//!   something precedes it: what comes first is the question said again.
//!
//! Not here: how an answer is read from the reply ([`AnswerFormat`]).

mod marks;
mod run_on;
mod template;

use std::borrow::Cow;
use std::ops::Range;

use crate::answer::{Answer, AnswerFormat};
use crate::question::Choices;
use marks::Mark;
pub(crate) use marks::is_blank;
pub use marks::{ThoughtKind, Thoughts};

/// A completion with its thoughts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division<'a> {
    text: &'a str,
    thoughts: Vec<Thought>,
    end: usize,
}

/// Where one thought is, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Thought {
    kind: ThoughtKind,
    /// Where its opening mark begins.
    start: usize,
    /// Between the marks.
    inner: Range<usize>,
    /// Where its closing mark ends; `None` while it is open.
    closed: Option<usize>,
}

impl<'a> Division<'a> {
    /// Divides a completion; `opened` is the thought that the prompt leaves open.
    pub(crate) fn new(known: &Thoughts, text: &'a str, opened: Option<&ThoughtKind>) -> Self {
        let mut thoughts = thoughts(text, &known.marks(text), opened);
        let end = outside(&thoughts, text.len())
            .scan(false, |begun, range| {
                let found = run_on::start(&text[range.clone()], *begun).map(|at| range.start + at);
                *begun |= !text[range].trim().is_empty();
                Some(found)
            })
            .flatten()
            .next();
        let end = end.unwrap_or(text.len());
        thoughts.retain(|thought| thought.start < end || thought.start == 0);
        Self { text, thoughts, end }
    }

    /// The completion, all of it.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Bytes of the completion before it runs on into another question.
    pub fn end(&self) -> usize {
        self.end
    }

    /// Bytes of the completion that are its trace: its thoughts, or all of it before it runs on where there is none.
    pub fn trace_end(&self) -> usize {
        let last = self.thoughts.iter().rfind(|thought| !is_blank(&self.text[thought.inner.clone()]));
        last.filter(|thought| thought.closed.is_some()).map_or(self.end, |thought| thought.inner.end)
    }

    /// What is outside of thoughts; `None` while a thought is open at the end.
    pub fn reply(&self) -> Option<Cow<'a, str>> {
        if self.thoughts.last().is_some_and(|thought| thought.closed.is_none()) {
            return None;
        }
        let pieces: Vec<&str> = outside(&self.thoughts, self.end).map(|range| &self.text[range]).collect();
        Some(match pieces[..] {
            [whole] => Cow::Borrowed(whole),
            _ => Cow::Owned(pieces.concat()),
        })
    }

    /// The thought that is open after the first `n_bytes` of the completion, up to and including the place of its closing mark.
    pub fn open_at(&self, n_bytes: usize) -> Option<&ThoughtKind> {
        let is_open = |thought: &&Thought| {
            thought.inner.start <= n_bytes && (thought.closed.is_none() || n_bytes <= thought.inner.end)
        };
        self.thoughts.iter().find(is_open).map(|thought| &thought.kind)
    }

    /// The kind of the last thought, blank ones included.
    pub fn last_kind(&self) -> Option<&ThoughtKind> {
        self.thoughts.last().map(|thought| &thought.kind)
    }

    /// Bytes of the opening mark, with the white space after it, if the completion begins with one.
    pub fn opening_len(&self) -> usize {
        let first = self.thoughts.first().filter(|thought| self.text[..thought.start].trim().is_empty());
        first.map_or(0, |thought| {
            let inner = &self.text[thought.inner.clone()];
            thought.inner.start + inner.len() - inner.trim_start().len()
        })
    }

    /// The answer that the completion states: that of its reply, `Invalid` where there is none. `is_cut` says that the limit on tokens ended
    /// the completion; a reply that ran on was over before.
    pub fn answer(&self, format: &dyn AnswerFormat, is_cut: bool, choices: Option<&Choices>) -> Answer {
        match self.reply() {
            None => Answer::Invalid,
            Some(reply) if is_cut && self.end == self.text.len() => format.extract_cut(&reply, choices),
            Some(reply) => format.extract(&reply, choices),
        }
    }
}

/// The thoughts between marks.
fn thoughts(text: &str, marks: &[Mark], opened: Option<&ThoughtKind>) -> Vec<Thought> {
    let mut found: Vec<Thought> = Vec::new();
    // The kinds that are open, the outermost first, and the mark that opened it.
    let mut open: Vec<&ThoughtKind> = opened.into_iter().collect();
    let mut opening = 0..0;
    for mark in marks {
        if mark.opens {
            if open.is_empty() {
                opening = mark.range.clone();
            }
            if !open.contains(&&mark.kind) {
                open.push(&mark.kind);
            }
            continue;
        }
        let outermost = open.first().copied();
        let depth = open.iter().position(|&kind| kind == &mark.kind).unwrap_or(0);
        open.truncate(depth);
        if open.is_empty() {
            if outermost.is_none() {
                let before = found.last().and_then(|thought| thought.closed);
                let says_more = !is_blank(&text[mark.range.end..]);
                // A mark that nothing follows, after a reply, closes nothing.
                let start = before.filter(|_| says_more).or(before.map(|_| mark.range.start)).unwrap_or(0);
                opening = start..start;
            }
            found.push(Thought {
                kind: outermost.unwrap_or(&mark.kind).clone(),
                start: opening.start,
                inner: opening.end..mark.range.start,
                closed: Some(mark.range.end),
            });
        }
    }
    if let Some(&kind) = open.first() {
        let inner = opening.end..text.len();
        found.push(Thought { kind: kind.clone(), start: opening.start, inner, closed: None });
    }
    found
}

/// The stretches outside of thoughts, up to `end`; at least one.
fn outside(thoughts: &[Thought], end: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let starts = std::iter::once(0).chain(thoughts.iter().map(move |thought| thought.closed.unwrap_or(end)));
    let ends = thoughts.iter().map(|thought| thought.start).chain([end]);
    starts.zip(ends).map(move |(start, stop)| start.min(end)..stop.clamp(start.min(end), end))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn divide<'a>(text: &'a str, prompt: &str) -> Division<'a> {
        let known = Thoughts::default();
        known.divide(text, known.opened_by(prompt).as_ref())
    }

    /// `trace` and `reply`, one a line; a completion that runs on shows what was cut.
    fn check(prompt: &str, text: &str, expected: Expect) {
        let division = divide(text, prompt);
        let cut = &text[division.end()..];
        let cut = if cut.is_empty() { String::new() } else { format!("cut {cut:?}\n") };
        let shown = format!(
            "trace {:?}\nreply {}\n{cut}",
            &text[..division.trace_end()],
            division.reply().map_or("none".into(), |reply| format!("{reply:?}"))
        );
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_text_without_marks_is_trace_and_reply() {
        check(
            "Q",
            "3 + 4 = 7.\nThe answer is 7.",
            expect![[r#"
            trace "3 + 4 = 7.\nThe answer is 7."
            reply "3 + 4 = 7.\nThe answer is 7."
        "#]],
        );
        check(
            "Q",
            "",
            expect![[r#"
            trace ""
            reply ""
        "#]],
        );
    }

    #[test]
    fn the_trace_is_the_thought_and_the_reply_follows_it() {
        check(
            "Q",
            "<think>\nIt is 5.\n</think>\n\nThe answer is 7.",
            expect![[r#"
            trace "<think>\nIt is 5.\n"
            reply "\n\nThe answer is 7."
        "#]],
        );
        check(
            "<|Assistant|><think>\n",
            "It is 5.\n</think>\n\nThe answer is 7.",
            expect![[r#"
            trace "It is 5.\n"
            reply "\n\nThe answer is 7."
        "#]],
        );
        check(
            "Q",
            "It is 5.\n</think>\n\nThe answer is 7.",
            expect![[r#"
            trace "It is 5.\n"
            reply "\n\nThe answer is 7."
        "#]],
        );
    }

    #[test]
    fn an_open_thought_has_no_reply() {
        check(
            "Q",
            "<think>\nThe answer is 5. But",
            expect![[r#"
            trace "<think>\nThe answer is 5. But"
            reply none
        "#]],
        );
        check(
            "<think>\n",
            "The answer is 5. But",
            expect![[r#"
            trace "The answer is 5. But"
            reply none
        "#]],
        );
        check(
            "Q",
            "<think>It is 5.</think> It is 7. <think>Or",
            expect![[r#"
            trace "<think>It is 5.</think> It is 7. <think>Or"
            reply none
        "#]],
        );
    }

    #[test]
    fn an_empty_thought_is_none() {
        check(
            "Q",
            "<think>\n\n</think>\n\n3 + 4 = 7.",
            expect![[r#"
            trace "<think>\n\n</think>\n\n3 + 4 = 7."
            reply "\n\n3 + 4 = 7."
        "#]],
        );
        check(
            "<think>\n\n</think>\n\n",
            "3 + 4 = 7.",
            expect![[r#"
            trace "3 + 4 = 7."
            reply "3 + 4 = 7."
        "#]],
        );
    }

    #[test]
    fn several_thoughts_are_one_trace() {
        check(
            "Q",
            "Hm. <think>5?</think> Let me see. <think>6?</think>It is 7.",
            expect![[r#"
            trace "Hm. <think>5?</think> Let me see. <think>6?"
            reply "Hm.  Let me see. It is 7."
        "#]],
        );
        check(
            "Q",
            "<think>5?</think> It is 6? </think>It is 7.",
            expect![[r#"
            trace "<think>5?</think> It is 6? "
            reply "It is 7."
        "#]],
        );
        check(
            "Q",
            "<think>5?</think> It is 7.</think>\n",
            expect![[r#"
            trace "<think>5?"
            reply " It is 7.\n"
        "#]],
        );
    }

    #[test]
    fn thoughts_may_speak_of_marks() {
        check(
            "Q",
            "<think>I am to use <think> and <reasoning> tags.</think>7",
            expect![[r#"
            trace "<think>I am to use <think> and <reasoning> tags."
            reply "7"
        "#]],
        );
        check(
            "Q",
            "<think>a <thought>b</thought> c</thinking>7",
            expect![[r#"
            trace "<think>a <thought>b</thought> c"
            reply "7"
        "#]],
        );
    }

    #[test]
    fn each_family_of_marks_is_known() {
        check(
            "Q",
            "<thinking>5?</thinking>7",
            expect![[r#"
            trace "<thinking>5?"
            reply "7"
        "#]],
        );
        check(
            "Q",
            "[THINK]5?[/THINK]7",
            expect![[r#"
            trace "[THINK]5?"
            reply "7"
        "#]],
        );
        check(
            "<|start|>assistant",
            "<|channel|>analysis<|message|>5?<|end|><|start|>assistant<|channel|>final<|message|>7<|return|>",
            expect![[r#"
                trace "<|channel|>analysis<|message|>5?"
                reply "7"
                cut "<|return|>"
            "#]],
        );
        check(
            "Q",
            "analysisWe add. 5?assistantfinal7",
            expect![[r#"
            trace "analysisWe add. 5?"
            reply "7"
        "#]],
        );
        check(
            "Q",
            "<|begin_of_thought|>\n\n5?\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n7 <|end_of_solution|>",
            expect![[r#"
                trace "<|begin_of_thought|>\n\n5?\n\n"
                reply "\n\n7 "
                cut "<|end_of_solution|>"
            "#]],
        );
    }

    #[test]
    fn channels_between_thought_and_reply_are_thoughts() {
        let text = "<|channel|>analysis<|message|>5?<|end|><|start|>assistant<|channel|>commentary<|message|>I add.<|end|>\
            <|start|>assistant<|channel|>final<|message|>7";
        assert_eq!(divide(text, "").reply().unwrap(), "7");
        let cut = text.split_once("<|channel|>final").unwrap().0;
        assert_eq!(divide(cut, "").reply(), None);
        assert_eq!(divide("<|channel|>final<|message|>7", "").reply().unwrap(), "7");
    }

    #[test]
    fn a_completion_ends_before_another_question() {
        check(
            "Q: 3 + 4?\nA:",
            " The answer is 7.\n\nQ: 1 + 1?\nA: The answer is 2.",
            expect![[r#"
            trace " The answer is 7.\n\n"
            reply " The answer is 7.\n\n"
            cut "Q: 1 + 1?\nA: The answer is 2."
        "#]],
        );
        for next in [
            "Question: 1 + 1?",
            "**Question:** 1 + 1?",
            "Human: 1 + 1?",
            "### Instruction:\n1 + 1?",
            "<|im_end|>\n<|im_start|>user\n1 + 1?",
            "<|start_header_id|>user<|end_header_id|>",
            "<end_of_turn>",
        ] {
            let text = format!("It is 7.\n{next}\nThe answer is 2.");
            assert_eq!(divide(&text, "Q").reply().unwrap(), "It is 7.\n", "{next}");
        }
    }

    #[test]
    fn what_is_no_other_question_cuts_nothing() {
        for text in [
            "Question: 3 + 4?\nThe answer is 7.",
            "\n\nQ: 3 + 4? It is 7.",
            "The question: is it 7? The answer to Q: 7.",
            "Questions: none.\nIt is 7.",
            "<think>First.\nQuestion: 3 + 4?\nFine.</think>It is 7.",
            "## Solution\nIt is 7.",
        ] {
            assert_eq!(divide(text, "").end(), text.len(), "{text}");
        }
    }

    #[test]
    fn a_thought_is_open_up_to_its_closing_mark() {
        let text = "<think>ab</think>cd";
        let division = divide(text, "");
        let open: String =
            (0..=text.len()).map(|at| if division.open_at(at).is_some() { '+' } else { '-' }).collect();
        assert_eq!(open, "-------+++----------");
        assert!(divide("ab</think>", "").open_at(0).is_some());
        assert!(divide("ab", "<think>").open_at(2).is_some());
        assert!(divide("ab", "").open_at(0).is_none());
    }

    #[test]
    fn the_opening_mark_has_a_length() {
        assert_eq!(divide("<think>\nab</think>", "").opening_len(), 8);
        assert_eq!(divide(" \n<think> ab", "").opening_len(), 10);
        assert_eq!(divide("Hm. <think>ab", "").opening_len(), 0);
        assert_eq!(divide("\nab</think>", "<think>").opening_len(), 1);
        assert_eq!(divide("ab", "").opening_len(), 0);
    }

    #[test]
    fn prompts_open_thoughts_at_their_end_only() {
        let opened = |prompt: &str| Thoughts::default().opened_by(prompt).is_some();
        assert!(opened("<|Assistant|><think>\n") && opened("[THINK]"));
        assert!(opened("<|start|>assistant<|channel|>analysis<|message|>"));
        assert!(!opened("Begin with <think>. 3 + 4?") && !opened("<think>\n\n</think>\n\n") && !opened(""));
    }

    fn any_text() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a",
            " ",
            "\n",
            "é",
            "<think>",
            "</think>",
            "<thinking>",
            "</thinking>",
            "[THINK]",
            "[/THINK]",
            "Q:",
            "\nQ:",
            "<|im_end|>",
            "<|channel|>analysis<|message|>",
            "<|channel|>final<|message|>",
            "<|end|>",
            "analysis",
            "assistantfinal",
            "<|end_of_thought|>",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn divisions_lie_within_the_text(text in any_text(), is_open in any::<bool>()) {
            let division = divide(&text, if is_open { "<think>\n" } else { "" });
            prop_assert!(division.trace_end() <= division.end() && division.end() <= text.len());
            prop_assert!(text.is_char_boundary(division.trace_end()) && text.is_char_boundary(division.end()));
            prop_assert!(division.opening_len() <= text.len());
            let reply = division.reply();
            prop_assert!(reply.as_ref().is_none_or(|reply| reply.len() <= division.end()));
            prop_assert!(reply.is_some() || division.open_at(text.len()).is_some());
        }
    }
}
