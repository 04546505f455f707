//! What was asked under each id, so that equal ids of different questions are found.
//!
//! Two rows ask the same where text, options and target agree; texts agree up to white space, and what one side lacks
//! counts as equal. A trace file may have prompts in the place of questions. A prompt agrees with a question that it
//! contains. Two prompts may ask the same in the templates of two models, so where both have a target, that decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use entrace_record::Manifest;
use entrace_record::manifest::TraceSource;
use entrace_record::rows::TraceRow;

use crate::format::{count, printable, shortened};

/// Characters of a text that a message shows.
const SHOWN: usize = 60;

/// One question as recorded.
#[derive(Debug)]
struct Asked {
    text: String,
    /// Whether the text is the whole prompt, for want of a question.
    is_prompt: bool,
    choices: Option<String>,
    target: Option<String>,
}

/// The questions of a run, by task and id.
#[derive(Debug)]
pub(super) struct Questions {
    is_imported: bool,
    tasks: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Asked>>,
}

impl Questions {
    pub(super) fn new(manifest: &Manifest) -> Self {
        let is_imported = matches!(manifest.settings.traces, TraceSource::Imported { .. });
        Self { is_imported, tasks: BTreeMap::new() }
    }

    /// Takes a row of `traces`; the first row of a question speaks for all.
    pub(super) fn add(&mut self, row: &TraceRow) {
        let is_imported = self.is_imported;
        let of_task = self.tasks.entry(row.task.clone()).or_default();
        of_task.entry(row.question_id.clone()).or_insert_with(|| Asked {
            text: row.question.clone(),
            is_prompt: is_imported && row.question.trim() == row.prompt.trim(),
            choices: row.choices.clone(),
            target: row.target.clone(),
        });
    }

    /// Which ids that both runs have stand for different questions of a task, as a sentence; `None` if none does.
    pub(super) fn difference(&self, other: &Self, task: &str, runs: [&str; 2]) -> Option<String> {
        let (ours, theirs) = (self.tasks.get(task)?, other.tasks.get(task)?);
        let shared: Vec<(&str, &Asked, &Asked)> =
            ours.iter().filter_map(|(id, asked)| Some((&**id, asked, theirs.get(id)?))).collect();
        let mut differ = shared.iter().filter(|(_, a, b)| !a.is_same(b));
        let (id, a, b) = differ.next()?;
        Some(format!(
            "questions of {task}: {} of the {} in both runs {} for different questions, first {:?}: {}; measure both \
             runs on the same file (a question without an id goes by its line)",
            1 + differ.count(),
            count(shared.len(), "id"),
            if shared.len() == 1 { "stands" } else { "stand" },
            printable(id),
            a.told_apart(b, runs)
        ))
    }
}

impl Asked {
    fn is_same(&self, other: &Self) -> bool {
        self.has_same_text(other)
            && agree(self.choices.as_deref(), other.choices.as_deref())
            && agree(self.target.as_deref(), other.target.as_deref())
    }

    fn has_same_text(&self, other: &Self) -> bool {
        let (a, b) = (one_line(&self.text), one_line(&other.text));
        if a == b || a.is_empty() || b.is_empty() {
            return true;
        }
        match (self.is_prompt, other.is_prompt) {
            (false, false) => false,
            (true, false) => a.contains(&b),
            (false, true) => b.contains(&a),
            (true, true) => self.target.is_some() && other.target.is_some(),
        }
    }

    /// The first thing in which the two differ, in both runs.
    fn told_apart(&self, other: &Self, runs: [&str; 2]) -> String {
        let [first, second] = runs;
        if !self.has_same_text(other) {
            let [a, b] = excerpts(&self.text, &other.text);
            return format!("\"{a}\" in {first}, \"{b}\" in {second}");
        }
        let (what, a, b) = if agree(self.choices.as_deref(), other.choices.as_deref()) {
            ("target", &self.target, &other.target)
        } else {
            ("options", &self.choices, &other.choices)
        };
        let [a, b] = excerpts(a.as_deref().unwrap_or_default(), b.as_deref().unwrap_or_default());
        let text = printable(&shortened(&self.text, SHOWN));
        format!("\"{text}\" has the {what} {a} in {first}, {b} in {second}")
    }
}

fn agree(a: Option<&str>, b: Option<&str>) -> bool {
    a.zip(b).is_none_or(|(a, b)| a.trim() == b.trim())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Both texts shortened, from shortly before the place where they part.
fn excerpts(a: &str, b: &str) -> [String; 2] {
    let (a, b) = (one_line(a), one_line(b));
    let n_common = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let skipped = if n_common > SHOWN / 2 { n_common - SHOWN / 4 } else { 0 };
    [a, b].map(|text| {
        let rest: String = text.chars().skip(skipped).collect();
        let mark = if skipped > 0 { "…" } else { "" };
        format!("{mark}{}", printable(&shortened(&rest, SHOWN)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str, target: Option<&str>) -> Asked {
        Asked { text: text.into(), is_prompt: false, choices: None, target: target.map(Into::into) }
    }

    fn prompt(text: &str, target: Option<&str>) -> Asked {
        Asked { is_prompt: true, ..asked(text, target) }
    }

    #[test]
    fn white_space_and_what_is_missing_make_no_difference() {
        let question = asked("What is 1 + 1?", Some("2"));
        for other in [
            asked(" What is\n1 + 1?", Some("2")),
            asked("", Some("2")),
            asked("What is 1 + 1?", None),
            prompt("Question: What is 1 + 1? Answer:", None),
        ] {
            assert!(question.is_same(&other) && other.is_same(&question), "{other:?}");
        }
    }

    #[test]
    fn other_texts_options_and_targets_are_other_questions() {
        let question = asked("What is 1 + 1?", Some("2"));
        let options = |text: &str| Asked { choices: Some(text.into()), ..asked("Which?", Some("A")) };
        for (a, b) in [
            (&question, &asked("What is 1 + 2?", Some("2"))),
            (&question, &asked("What is 1 + 1?", Some("3"))),
            (&question, &prompt("Question: What is 1 + 2? Answer:", None)),
            (&options("[\"ice\"]"), &options("[\"fire\"]")),
        ] {
            assert!(!a.is_same(b) && !b.is_same(a), "{a:?} {b:?}");
        }
    }

    #[test]
    fn prompts_of_two_models_are_told_apart_by_their_targets() {
        let (a, b) = (prompt("<user>1 + 1", Some("2")), prompt("[INST] 1 + 1", Some("2")));
        assert!(a.is_same(&b));
        assert!(!a.is_same(&prompt("[INST] 1 + 2", Some("3"))));
        assert!(!prompt("<user>1 + 1", None).is_same(&prompt("[INST] 1 + 1", None)));
    }

    #[test]
    fn long_texts_are_shown_from_where_they_part() {
        let start = "word ".repeat(40);
        let [a, b] = excerpts(&format!("{start}one"), &format!("{start}two"));
        assert!(a.starts_with('…') && a.ends_with("one") && b.ends_with("two"), "{a} {b}");
        assert_eq!(excerpts("one", "two"), ["one", "two"]);
    }
}
