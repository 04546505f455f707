//! A true option that a file gives as a JSON number, where its options have no labels of their own.
//!
//! MMLU and its kin store the option's index, from 0; others the text of an option that is a number. A number that may be either is
//! refused: taking one of the two silently would turn all targets of the other kind of file wrong.

use entrace_measure::{Answer, Choices};

use super::with_text;

/// The option that the number names, by its index or by its text.
pub(crate) fn target(number: u64, choices: &Choices) -> Result<Answer, String> {
    let n = choices.len();
    let by_index = usize::try_from(number).ok().filter(|&index| index < n);
    let by_text = with_text(&number.to_string(), choices);
    let (labels, texts) = (choices.labels(), choices.texts());
    match (by_index, by_text) {
        (Some(index), Some(text)) if index != text => Err(format!(
            "the target {number} may be an index from 0 (option {}, {:?}) or the text of option {}; give the letter or \"{number}\"",
            labels[index], texts[index], labels[text]
        )),
        (Some(option), _) | (None, Some(option)) => Ok(Answer::Value(labels[option].clone())),
        (None, None) => Err(format!(
            "the target {number} is no option's text, and the indices of {n} options go from 0 to {}",
            n - 1
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(number: u64, texts: &[&str]) -> Result<String, String> {
        let labels = ('A'..='Z').map(String::from).take(texts.len()).collect();
        let texts = texts.iter().map(ToString::to_string).collect();
        target(number, &Choices::new(labels, texts).unwrap()).map(|answer| answer.name().to_string())
    }

    #[test]
    fn a_number_is_an_index_or_a_text_and_refused_where_it_may_be_both() {
        let counts = ["1", "2", "3", "4"];
        assert!(read(1, &counts).unwrap_err().contains("option B, \"2\") or the text of option A"));
        assert_eq!(read(0, &counts), Ok("A".into()));
        assert_eq!(read(4, &counts), Ok("D".into()));
        assert_eq!(read(1, &["0", "1"]), Ok("B".into()));
        assert_eq!(read(12, &["7", "12"]), Ok("B".into()));
        assert_eq!(read(1, &["ice", "fire"]), Ok("B".into()));
        assert!(read(2, &["ice", "fire"]).unwrap_err().contains("from 0 to 1"));
    }
}
