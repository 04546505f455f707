//! Options of multiple-choice questions: canonical form, grammar, extraction.
//!
//! The canonical form is the option's label as the benchmark spells it: `B`, or `2` where ARC numbers its options. A string is
//! read as an option by its label (`(B)`, `B.`, `B. fog`, `option B`, `b`) or by its text (`fog`, case and articles aside
//! unless two options differ only there). A label wins over an equal text. Without choices nothing can be read.
//!
//! In the forced reading after a cue only labels are answers, spelled as shown, up to the first character that is no letter or
//! digit; a model that writes an option's text there leaves the grammar. There ` A` in ` A dog` closes as option A: the
//! automaton cannot know which word follows. `extract` sees the sentence and does not take a bare article for option A.

mod extract;
mod grammar;
pub(crate) mod index;
mod verdict;

use entrace_measure::{Answer, AnswerFormat, AnswerGrammar, Choices};

use self::grammar::{OptionGrammar, read_label};
use crate::lead;
use crate::text::normalise;

/// The format of answers that name an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChoiceFormat;

impl AnswerFormat for ChoiceFormat {
    fn name(&self) -> &'static str {
        "choice"
    }

    fn extract(&self, completion: &str, choices: Option<&Choices>) -> Answer {
        answer(choices, |choices| extract::extract(completion, choices))
    }

    fn extract_cut(&self, text: &str, choices: Option<&Choices>) -> Answer {
        answer(choices, |choices| extract::extract_cut(text, choices))
    }

    fn canonical(&self, surface: &str, choices: Option<&Choices>) -> Answer {
        answer(choices, |choices| whole(surface, choices))
    }

    /// The label bare, in brackets, in bold, in a box; then the option's text. ` B.` is not among them: it begins with ` B`.
    fn surface_forms(&self, answer: &Answer, choices: Option<&Choices>) -> Vec<String> {
        let (Some(label), Some(choices)) = (answer.value(), choices) else { return Vec::new() };
        let Some(i) = choices.labels().iter().position(|known| known == label) else { return Vec::new() };
        let text = choices.texts()[i].trim();
        let mut forms = vec![
            format!(" {label}"),
            format!(" ({label})"),
            format!(" **{label}"),
            format!(" \\boxed{{{label}}}"),
            format!(" {text}"),
        ];
        forms.retain(|form| self.canonical(form, Some(choices)) == *answer);
        forms
    }

    fn grammar(&self, choices: Option<&Choices>) -> Box<dyn AnswerGrammar> {
        Box::new(OptionGrammar::new(choices.map(Choices::labels).unwrap_or_default()))
    }
}

fn answer(choices: Option<&Choices>, read: impl FnOnce(&Choices) -> Option<usize>) -> Answer {
    choices
        .and_then(|choices| read(choices).map(|i| Answer::Value(choices.labels()[i].clone())))
        .unwrap_or(Answer::Invalid)
}

/// The option that a whole string names: its position.
fn whole(surface: &str, choices: &Choices) -> Option<usize> {
    let labelled = read_label(choices.labels(), surface);
    if let Some(label) = labelled
        && !surface[label.end..].contains(char::is_alphanumeric)
    {
        return Some(label.index);
    }
    let bare = lead::trim(surface);
    label_in_any_case(bare, choices)
        .or_else(|| with_text(bare, choices))
        .or_else(|| labelled.map(|label| label.index))
        .or_else(|| {
            let (word, rest) = bare.split_once(char::is_whitespace)?;
            let names_a_label =
                matches!(word.to_lowercase().as_str(), "option" | "choice" | "answer" | "letter");
            if names_a_label { whole(rest, choices) } else { None }
        })
}

/// The option whose label this is, when case is set aside and no two labels differ only there.
fn label_in_any_case(text: &str, choices: &Choices) -> Option<usize> {
    only((0..choices.len()).filter(|&i| choices.labels()[i].eq_ignore_ascii_case(text)))
}

/// The option whose text this is: exactly, or normalised if that leaves one.
fn with_text(text: &str, choices: &Choices) -> Option<usize> {
    let same = |i: &usize| lead::trim(&choices.texts()[*i]) == text;
    let normal = normalise(text);
    only((0..choices.len()).filter(same)).or_else(|| {
        only((0..choices.len()).filter(|&i| !normal.is_empty() && normalise(&choices.texts()[i]) == normal))
    })
}

/// The only item, if there is exactly one.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests;
