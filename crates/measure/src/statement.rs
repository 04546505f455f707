//! Where a trace states an answer.
//!
//! A forced readout reads back what the text says: behind `= 63` it says 63, whether or not anything was reasoned. What belief does at
//! the step that states the answer is reading; what it does before is not. This module finds that step.
//!
//! Input: the text of a trace, the byte positions at which its steps end, and an answer in canonical form. Output: the first step, from 1,
//! whose text states the answer; `None` where none does. A statement is a place at which the text has the answer as
//! * a number: any number of the same value (`number`), be it a result, an operand or told in the question;
//! * an option: its label alone in the place of an answer (`(B)`, `**B**`, `\boxed{B}`, `B.`, `B)`, `option B`, `the answer is B`, a line of
//!   its own), not the article `A` or the pronoun `I` in running prose; or the option's text, as a number if it is one, else as whole words,
//!   and not within the longer text of another option;
//! * other text: its words in order, whole, without regard to case, punctuation and articles.
//!
//! Whether the text asserts or rejects what it names is not judged: either way it can be copied. What answers of one kind are read as
//! when they *end* a trace is another question (`AnswerFormat::extract`). Source: the copying of forced readouts, arXiv:2605.10799.

use std::ops::Range;

use crate::answer::Answer;
use crate::number::{Number, numerals};
use crate::question::Choices;
use crate::sentence::sentence_ends;

/// An answer to look for in text.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    form: Form,
    /// What states the answer as well: the label of an option.
    label: Option<String>,
    /// Texts of other options that contain this one's.
    longer: Vec<Form>,
}

#[derive(Debug, Clone, PartialEq)]
enum Form {
    Number(Number),
    /// In lower case, without articles unless there is nothing else.
    Words(Vec<String>),
}

impl Form {
    /// A number, where the text holds nothing else but signs (`$1,200`, `50 %`), or words.
    fn of(text: &str) -> Self {
        if let [numeral] = &numerals(text)[..] {
            let around = [&text[..numeral.bytes.start], &text[numeral.bytes.end..]];
            if around.iter().all(|part| !part.contains(char::is_alphanumeric)) {
                return Self::Number(numeral.number.clone());
            }
        }
        let mut words: Vec<String> = all_words(text).into_iter().map(|word| word.lower).collect();
        if !words.iter().all(|word| is_article(word)) {
            words.retain(|word| !is_article(word));
        }
        Self::Words(words)
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Words(words) if words.is_empty())
    }

    fn find(&self, text: &str) -> Vec<Range<usize>> {
        match self {
            Self::Number(number) => numerals(text)
                .into_iter()
                .filter(|numeral| numeral.number == *number)
                .map(|numeral| numeral.bytes)
                .collect(),
            Self::Words(sought) if sought.is_empty() => Vec::new(),
            Self::Words(sought) => {
                let mut words = all_words(text);
                if !sought.iter().all(|word| is_article(word)) {
                    words.retain(|word| !is_article(&word.lower));
                }
                let here = |window: &&[Word]| window.iter().zip(sought).all(|(word, s)| word.lower == *s);
                let bytes = |window: &[Word]| window[0].bytes.start..window[window.len() - 1].bytes.end;
                words.windows(sought.len()).filter(here).map(bytes).collect()
            }
        }
    }

    /// Whether these words hold the other's, and more.
    fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Words(long), Self::Words(short)) => {
                !short.is_empty() && long.len() > short.len() && long.windows(short.len()).any(|w| w == short)
            }
            _ => false,
        }
    }
}

impl Statement {
    /// How this answer, by its canonical name, is stated; `None` where it is no answer or has nothing that text could show.
    pub fn of(answer: &str, choices: Option<&Choices>) -> Option<Self> {
        if answer == Answer::INVALID_NAME {
            return None;
        }
        let option = choices.and_then(|choices| {
            let at = choices.labels().iter().position(|label| label == answer)?;
            Some((choices, at))
        });
        let Some((choices, at)) = option else {
            let form = Form::of(answer);
            return (!form.is_empty()).then_some(Self { form, label: None, longer: Vec::new() });
        };
        let form = Form::of(&choices.texts()[at]);
        let others = choices.texts().iter().map(|text| Form::of(text));
        let longer = others.filter(|other| other.contains(&form)).collect();
        Some(Self { form, label: Some(answer.to_string()), longer })
    }

    /// The bytes of every statement in the text, in order of where they begin.
    pub fn find(&self, text: &str) -> Vec<Range<usize>> {
        let longer: Vec<Range<usize>> = self.longer.iter().flat_map(|form| form.find(text)).collect();
        let mut found = self.form.find(text);
        found.retain(|bytes| !longer.iter().any(|l| l.start <= bytes.start && bytes.end <= l.end));
        if let Some(label) = &self.label {
            let standing = text.match_indices(label.as_str()).map(|(at, label)| at..at + label.len());
            found.extend(standing.filter(|bytes| is_option(text, bytes)));
        }
        found.sort_by_key(|bytes| (bytes.start, bytes.end));
        found
    }

    /// The first step, from 1, that states the answer: the one in which the first statement ends.
    pub fn first_step(&self, text: &str, step_ends: &[usize]) -> Option<usize> {
        let end = self.find(text).into_iter().map(|bytes| bytes.end).min()?;
        let step = step_ends.partition_point(|&step_end| step_end < end) + 1;
        (step <= step_ends.len()).then_some(step)
    }

    /// The bytes of the sentences and lines that state the answer, in order; neighbours are one range.
    pub fn clauses(&self, text: &str) -> Vec<Range<usize>> {
        let statements = self.find(text);
        let mut ends = sentence_ends(text);
        if ends.last() != Some(&text.len()) {
            ends.push(text.len());
        }
        let mut clauses: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        for end in ends {
            let clause = start..end;
            start = end;
            if !statements.iter().any(|bytes| bytes.start < clause.end && clause.start < bytes.end) {
                continue;
            }
            match clauses.last_mut() {
                Some(last) if last.end == clause.start => last.end = clause.end,
                _ => clauses.push(clause),
            }
        }
        clauses
    }
}

/// A word of a text.
struct Word {
    bytes: Range<usize>,
    lower: String,
}

/// Runs of letters and digits.
fn all_words(text: &str) -> Vec<Word> {
    let mut all = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, c.is_alphanumeric()) {
            (None, true) => start = Some(at),
            (Some(begin), false) => {
                all.push(Word { bytes: begin..at, lower: text[begin..at].to_lowercase() });
                start = None;
            }
            _ => {}
        }
    }
    all
}

fn is_article(word: &str) -> bool {
    matches!(word, "a" | "an" | "the")
}

/// Whether the label at these bytes stands alone, in the place of an answer.
fn is_option(text: &str, bytes: &Range<usize>) -> bool {
    let (before, label, after) = (&text[..bytes.start], &text[bytes.clone()], &text[bytes.end..]);
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '_' | '\'' | '’');
    let is_hyphenated = after.strip_prefix('-').is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
    if before.ends_with(|c: char| joins(c) || c == '-') || after.starts_with(joins) || is_hyphenated {
        return false;
    }
    is_line(before, after)
        || is_enclosed(before, after)
        || is_named(before, label, after)
        || is_closed(before, label, after)
}

/// A line that holds nothing else.
fn is_line(before: &str, after: &str) -> bool {
    let line_before = before.rsplit('\n').next().unwrap_or("");
    let line_after = after.split('\n').next().unwrap_or("");
    !line_before.contains(char::is_alphanumeric) && !line_after.contains(char::is_alphanumeric)
}

/// `(B)`, `\boxed{B}`, `**B.**`, `"B"`.
fn is_enclosed(before: &str, after: &str) -> bool {
    let pairs = [("(", ")"), ("[", "]"), ("{", "}"), ("**", "**"), ("\"", "\""), ("“", "”"), ("`", "`")];
    let (before, after) = (before.trim_end(), after.trim_start_matches(['.', ':']).trim_start());
    pairs.iter().any(|(open, close)| before.ends_with(open) && after.starts_with(close))
}

/// `option B`, `the answer is: B`. An `A` or `I` behind `answer` or a verb has to end its clause.
fn is_named(before: &str, label: &str, after: &str) -> bool {
    let opens = |c: char| matches!(c, ' ' | ':' | '*' | '_' | '(' | '[' | '{' | '"' | '“' | '`' | '$' | '\\');
    let mut words =
        before.trim_end_matches(opens).rsplit(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    let last = words.next().unwrap_or_default();
    let names_answers = words.filter(|word| !word.is_empty()).take(2).any(|word| is_noun(&word));
    let is_letter = label.chars().all(char::is_alphabetic);
    match last.as_str() {
        "option" | "choice" | "letter" => true,
        "answer" => ends_clause(label, after),
        "is" | "was" | "be" | "choose" | "pick" | "select" => {
            (is_letter || names_answers) && ends_clause(label, after)
        }
        _ => false,
    }
}

fn is_noun(word: &str) -> bool {
    matches!(word, "option" | "choice" | "letter" | "answer")
}

/// Whether a label that may be a word is none here: what follows it ends or joins a clause.
fn ends_clause(label: &str, after: &str) -> bool {
    let next = after.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    let is_word = matches!(label, "A" | "I" | "a");
    !is_word || matches!(next, "" | "and" | "as" | "because" | "for" | "is" | "since" | "so")
}

/// `B.`, `B)` or `B:` with a letter that is no initial.
fn is_closed(before: &str, label: &str, after: &str) -> bool {
    let Some(rest) = after.strip_prefix(['.', ')', ':']) else { return false };
    let ends = rest.is_empty()
        || rest.starts_with(|c: char| c.is_whitespace() || matches!(c, '*' | ')' | '"' | '$'));
    let word_before = before.trim_end().strip_suffix('.').and_then(|before| before.rsplit(' ').next());
    let is_initial =
        word_before.is_some_and(|word| word.chars().count() == 1 && word.chars().all(char::is_uppercase));
    ends && label.chars().all(char::is_alphabetic) && !is_initial
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(text: &str, answer: &str, choices: Option<&Choices>) -> bool {
        !Statement::of(answer, choices).unwrap().find(text).is_empty()
    }

    fn choices(texts: [&str; 4]) -> Choices {
        let labels = ["A", "B", "C", "I"].map(str::to_string).to_vec();
        Choices::new(labels, texts.map(str::to_string).to_vec()).unwrap()
    }

    /// Where the first statement is when each line is a step.
    fn step(lines: &[&str], answer: &str) -> Option<usize> {
        let text = lines.join("\n");
        let mut ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        ends.push(text.len());
        Statement::of(answer, None).unwrap().first_step(&text, &ends)
    }

    #[test]
    fn a_trace_that_builds_the_answer_up_and_one_that_names_it_last_are_told_apart() {
        let built = [
            "Tom has 17 + 5 = 22 shells.",
            "The bags hold 3 * 4 = 12.",
            "22 + 12 = 34.",
            "Check.",
            "The answer is 34.",
        ];
        let last =
            ["Let us think.", "He has some shells.", "He finds more.", "So we add.", "The answer is 34."];
        assert_eq!((step(&built, "34"), step(&last, "34")), (Some(3), Some(5)));
        assert_eq!((step(&built, "22"), step(&built, "35")), (Some(1), None));
        assert_eq!(step(&["The answer is 34."], "34"), Some(1));
    }

    #[test]
    fn a_statement_belongs_to_the_step_in_which_it_ends() {
        let statement = Statement::of("eiffel tower", None).unwrap();
        let text = "It is the Eiffel Tower, so";
        assert_eq!(statement.first_step(text, &[9, 16, 26]), Some(3));
        assert_eq!(statement.first_step(text, &[9, 22, 26]), Some(2));
        assert_eq!(statement.first_step(text, &[9]), None);
        assert_eq!(statement.first_step(text, &[]), None);
    }

    #[test]
    fn labels_are_answers_where_they_stand_as_such() {
        let choices = choices(["fog", "dry air", "warm rain", "snow"]);
        for text in [
            "(B)",
            "So **B**.",
            "so **B.** it is",
            "\\boxed{B}",
            "$\\boxed{\\text{B}}$",
            "B",
            "It is\nB\nthen",
            "B. dry air",
            "It is B.",
            "I take B) then",
            "option B fits",
            "Option (B) fits",
            "The answer is B because",
            "the correct answer is: **B",
            "Answer: B",
        ] {
            assert!(states(text, "B", Some(&choices)), "{text:?}");
        }
        for text in [
            "Vitamin B is",
            "B-vitamins",
            "B's",
            "ABC",
            "A, B and C",
            "J. B. Bach",
            "J.B. Bach",
            "Plan B failed",
        ] {
            assert!(!states(text, "B", Some(&choices)), "{text:?}");
        }
        assert!(states("The answer is A.", "A", Some(&choices)));
        assert!(states("The answer is A because", "A", Some(&choices)));
        assert!(states("option A fits", "A", Some(&choices)));
        assert!(states("(I)", "I", Some(&choices)));
        for text in [
            "A dog is here",
            "It is A dog",
            "Answer: A dog",
            "That is the answer. A dog",
            "I think so",
            "so I",
        ] {
            assert!(!states(text, "A", Some(&choices)), "{text:?}");
            assert!(!states(text, "I", Some(&choices)), "{text:?}");
        }
    }

    #[test]
    fn numbers_as_labels_need_a_place_of_their_own() {
        let labels = ["1", "2"].map(str::to_string).to_vec();
        let choices = Choices::new(labels, vec!["fog".into(), "rain".into()]).unwrap();
        for text in ["(2)", "**2**", "option 2", "The answer is 2.", "2"] {
            assert!(states(text, "2", Some(&choices)), "{text:?}");
        }
        for text in ["It is 2.", "2. Then", "1 + 2 = 3", "2 dogs"] {
            assert!(!states(text, "2", Some(&choices)), "{text:?}");
        }
    }

    #[test]
    fn an_option_is_stated_by_its_text_too() {
        let choices = choices(["the fog", "air", "dry air", "18"]);
        assert!(states("Then Fog comes", "A", Some(&choices)));
        assert!(!states("Then foggy days", "A", Some(&choices)));
        assert!(states("In air", "B", Some(&choices)));
        assert!(!states("In dry air", "B", Some(&choices)));
        assert!(states("In dry\nair", "C", Some(&choices)));
        assert!(states("18.0 of them", "I", Some(&choices)));
        assert!(!states("118 of them", "I", Some(&choices)));
        let labels = ["A", "B"].map(str::to_string).to_vec();
        let prices = Choices::new(labels, vec!["$1,200".into(), "5 m/s".into()]).unwrap();
        assert!(states("1200 in all", "A", Some(&prices)) && !states("1,200.5", "A", Some(&prices)));
        assert!(states("at 5 m/s", "B", Some(&prices)) && !states("5 of them", "B", Some(&prices)));
    }

    #[test]
    fn texts_are_found_as_whole_words() {
        assert!(states("It is The  EIFFEL tower.", "eiffel tower", None));
        assert!(states("in re-sent mail", "re-sent", None));
        assert!(states("Dr. Who came", "dr. who", None));
        assert!(!states("Eiffel towers", "eiffel tower", None));
        assert_eq!(Statement::of("[invalid]", None), None);
        assert_eq!(Statement::of("+", None), None);
        assert!(states("vitamin a is", "a", None));
    }

    #[test]
    fn clauses_are_whole_sentences_and_lines() {
        let text = "He has 3. So 3 + 4 = 7 cats. It is more.\nThe answer is 7.\nYes, 7!\n";
        let clauses = Statement::of("7", None).unwrap().clauses(text);
        let cut: Vec<&str> = clauses.iter().map(|clause| &text[clause.clone()]).collect();
        assert_eq!(cut, [" So 3 + 4 = 7 cats.", "The answer is 7.\nYes, 7!\n"]);
        assert!(Statement::of("8", None).unwrap().clauses(text).is_empty());
    }
}
