//! A question with its choices and the true answer.
//!
//! A question is text as a benchmark states it, before any prompt is made of it. Its target is already canonical, so that answers
//! can be compared with it; a question without a target can be measured, but nothing about it is correct or wrong.

use crate::answer::Answer;

/// The options of a multiple-choice question, in the order in which they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    labels: Vec<String>,
    texts: Vec<String>,
}

/// Why labels and texts do not make a set of choices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotChoices {
    /// There are not as many labels as texts.
    #[error("{labels} labels for {texts} choice texts")]
    Uneven {
        /// Number of labels.
        labels: usize,
        /// Number of texts.
        texts: usize,
    },
    /// A choice between fewer than two options is none.
    #[error("a multiple-choice question needs at least 2 choices, found {0}")]
    TooFew(usize),
    /// Two options carry the same label.
    #[error("the choice label {0:?} appears twice")]
    Repeated(String),
}

impl Choices {
    /// Checks that every option has a label of its own and a text.
    pub fn new(labels: Vec<String>, texts: Vec<String>) -> Result<Self, NotChoices> {
        if labels.len() != texts.len() {
            return Err(NotChoices::Uneven { labels: labels.len(), texts: texts.len() });
        }
        if labels.len() < 2 {
            return Err(NotChoices::TooFew(labels.len()));
        }
        for (i, label) in labels.iter().enumerate() {
            if labels[..i].contains(label) {
                return Err(NotChoices::Repeated(label.clone()));
            }
        }
        Ok(Self { labels, texts })
    }

    /// Number of options, at least 2.
    #[expect(clippy::len_without_is_empty, reason = "choices are never empty")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Labels such as `A`, `B` or `1`, `2`.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Texts, one for each label.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }
}

/// One question of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Name of the task, such as `gsm8k`.
    pub task: String,
    /// Identity within the task; unique there.
    pub id: String,
    /// The question as stated, without its choices.
    pub text: String,
    /// The options, when the question lists some.
    pub choices: Option<Choices>,
    /// The true answer in canonical form; absent when the benchmark does not give it.
    pub target: Option<Answer>,
    /// A worked solution by a person, when the benchmark has one; used for few-shot prompts.
    pub rationale: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn choices_need_one_text_for_each_distinct_label() {
        assert!(Choices::new(strings(&["A", "B"]), strings(&["x", "y"])).is_ok());
        assert_eq!(
            Choices::new(strings(&["A", "B"]), strings(&["x"])),
            Err(NotChoices::Uneven { labels: 2, texts: 1 })
        );
        assert_eq!(Choices::new(strings(&["A"]), strings(&["x"])), Err(NotChoices::TooFew(1)));
        assert_eq!(
            Choices::new(strings(&["A", "A"]), strings(&["x", "y"])),
            Err(NotChoices::Repeated("A".into()))
        );
    }
}
