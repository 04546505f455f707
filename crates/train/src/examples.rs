//! Examples as text, and as tokens.
//!
//! An example is a prompt and its completion (reasoning and answer). As tokens it is the prompt with whatever the tokenizer puts in front,
//! then the draft and the completion as texts that continue it, then the end token: the divisions at which measurement cuts as well.

use crate::error::Error;
use crate::sequence::Sequence;
use entrace_text::tokenizer::Tokenizer;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A prompt with its completion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Example {
    /// What is given.
    pub prompt: String,
    /// What follows and is given as well: the beginning of a solution that is not to be learnt. Often empty.
    pub draft: String,
    /// What follows, without an end marker.
    pub completion: String,
}

/// Which tokens are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossOn {
    /// Those of the completion and the end token.
    Completion,
    /// All but the first.
    All,
}

/// Examples as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// In the order of the examples.
    pub sequences: Vec<Sequence>,
    /// Examples left out because they have more tokens than allowed.
    pub n_too_long: usize,
}

/// Removes the calculator annotations of GSM8K: `48/2 = <<48/2=24>>24` becomes `48/2 = 24`.
pub fn strip_annotations(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<<") {
        let Some((_, behind)) = after.split_once(">>") else { break };
        out.push_str(before);
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Tokens of examples; those longer than `max_tokens` are left out and counted.
pub fn encode(
    tokenizer: &Tokenizer,
    examples: &[Example],
    loss_on: LossOn,
    max_tokens: usize,
) -> Result<Encoded, Error> {
    let end = tokenizer.stop_tokens().first().copied();
    let encoded: Vec<Option<Sequence>> = examples
        .par_iter()
        .map(|example| {
            let mut token_ids = tokenizer.encode_prompt(&example.prompt)?;
            token_ids.extend(tokenizer.encode_completion(&example.draft)?);
            let n_given = if loss_on == LossOn::All { 1 } else { token_ids.len() };
            token_ids.extend(tokenizer.encode_completion(&example.completion)?);
            token_ids.extend(end);
            Ok(if token_ids.len() <= max_tokens { Sequence::new(token_ids, n_given) } else { None })
        })
        .collect::<Result<_, Error>>()?;
    let sequences: Vec<Sequence> = encoded.into_iter().flatten().collect();
    Ok(Encoded { n_too_long: examples.len() - sequences.len(), sequences })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_removed() {
        assert_eq!(strip_annotations("48/2 = <<48/2=24>>24 and 2<<1+1=2>>."), "48/2 = 24 and 2.");
        assert_eq!(strip_annotations("1 << 2"), "1 << 2");
        assert_eq!(strip_annotations(""), "");
    }
}
