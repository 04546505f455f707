//! The text of the message in which a question is asked.
//!
//! The default asks for reasoning step by step (Kojima et al. 2022) and for a last sentence `The answer is X.`, which `extract`
//! looks for. A user's template has `{question}` and may have `{choices}`; without the latter, options follow the question.
//! Only a word in braces is a placeholder, so that `\boxed{}` stays as it is. Chat templates and special tokens are the model's
//! own part, not done here.

use entrace_measure::{Choices, Question};

use crate::format::FormatKind;

/// A prompt template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Question,
    Choices,
}

/// Why a text is no prompt template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotATemplate {
    /// A placeholder that stands for nothing.
    #[error("the placeholder {{{0}}} is unknown; known are {{question}} and {{choices}}")]
    UnknownPlaceholder(String),
    /// The question would not be asked.
    #[error("it has no {{question}}")]
    NoQuestion,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, NotATemplate> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            literal.push_str(before);
            let Some(name) = placeholder(from) else {
                literal.push('{');
                rest = &from[1..];
                continue;
            };
            parts.push(Part::Text(std::mem::take(&mut literal)));
            parts.push(match name {
                "question" => Part::Question,
                "choices" => Part::Choices,
                unknown => return Err(NotATemplate::UnknownPlaceholder(unknown.to_string())),
            });
            rest = &from[name.len() + 2..];
        }
        parts.push(Part::Text(literal + rest));
        if parts.contains(&Part::Question) { Ok(Self { parts }) } else { Err(NotATemplate::NoQuestion) }
    }

    /// The message for one question.
    pub fn render(&self, question: &Question) -> String {
        let choices = question.choices.as_ref().map(choice_lines);
        let apart = self.parts.contains(&Part::Choices);
        let piece = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Choices => choices.clone().unwrap_or_default(),
            Part::Question if apart => question.text.clone(),
            Part::Question => asked(question),
        };
        self.parts.iter().map(piece).collect()
    }
}

/// The word in the braces that the text begins with.
fn placeholder(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    word.then_some(name)
}

/// The default message: question, options, and how to answer.
pub fn zero_shot(question: &Question, kind: FormatKind) -> String {
    let x = match kind {
        FormatKind::Number => "where X is a number",
        FormatKind::Choice => "where X is the label of one of the options",
        FormatKind::Text => "where X is as short as possible",
    };
    format!("{}\n\nReason step by step. Finish with \"The answer is X.\", {x}.", asked(question))
}

/// The question, and its options below it.
pub fn asked(question: &Question) -> String {
    match &question.choices {
        Some(choices) => format!("{}\n{}", question.text, choice_lines(choices)),
        None => question.text.clone(),
    }
}

/// Options as lines `A. text`.
pub fn choice_lines(choices: &Choices) -> String {
    let lines = choices.labels().iter().zip(choices.texts()).map(|(label, text)| format!("{label}. {text}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn question(choices: bool) -> Question {
        let options =
            || Choices::new(vec!["A".into(), "B".into()], vec!["ice".into(), "steam".into()]).unwrap();
        Question {
            task: "t".into(),
            id: "1".into(),
            text: "What is frozen water?".into(),
            choices: choices.then(options),
            target: None,
            rationale: None,
        }
    }

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(text);
    }

    #[test]
    fn default_messages() {
        check(
            &zero_shot(&question(true), FormatKind::Choice),
            expect![[r#"
                What is frozen water?
                A. ice
                B. steam

                Reason step by step. Finish with "The answer is X.", where X is the label of one of the options."#]],
        );
        check(
            &zero_shot(&question(false), FormatKind::Number),
            expect![[r#"
                What is frozen water?

                Reason step by step. Finish with "The answer is X.", where X is a number."#]],
        );
    }

    #[test]
    fn templates_place_question_and_choices() {
        let render = |text: &str, choices| Template::parse(text).unwrap().render(&question(choices));
        check(
            &render("Q: {question}\n{choices}\nA:", true),
            expect![[r#"
            Q: What is frozen water?
            A. ice
            B. steam
            A:"#]],
        );
        check(
            &render("{question} Use \\boxed{} or {1}.", false),
            expect![[r#"What is frozen water? Use \boxed{} or {1}."#]],
        );
        check(
            &render("<{question}>", true),
            expect![[r#"
            <What is frozen water?
            A. ice
            B. steam>"#]],
        );
        check(&render("{question}{choices}", false), expect!["What is frozen water?"]);
    }

    #[test]
    fn other_placeholders_are_refused() {
        assert_eq!(
            Template::parse("{question} {topic}"),
            Err(NotATemplate::UnknownPlaceholder("topic".into()))
        );
        assert_eq!(Template::parse("{choices}"), Err(NotATemplate::NoQuestion));
        assert_eq!(Template::parse("{"), Err(NotATemplate::NoQuestion));
        assert_eq!(
            NotATemplate::UnknownPlaceholder("topic".into()).to_string(),
            "the placeholder {topic} is unknown; known are {question} and {choices}"
        );
    }
}
