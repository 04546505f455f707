//! Examples as text, and as tokens.
//!
//! An example is a prompt and its completion (reasoning and answer). As tokens it is the prompt with whatever the tokenizer puts in front,
//! then the draft and the completion as texts that continue it, then the end token: the divisions at which measurement cuts as well.

use crate::error::Error;
use crate::sequence::Sequence;
use entrace_decoder::tokenizer::Tokenizer;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

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

/// Keys under which a row may have its prompt, and its completion; the first that is there counts.
const PROMPT_KEYS: [&str; 2] = ["prompt", "question"];
const COMPLETION_KEYS: [&str; 3] = ["completion", "trace", "answer"];

/// Reads examples from JSON Lines with `prompt` or `question`, and `completion`, `trace` or `answer`. Empty lines are skipped.
pub fn read_jsonl(path: &Path) -> Result<Vec<Example>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let rows = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    rows.map(|(index, line)| {
        let refuse = |problem: String| Error::Example { path: path.to_path_buf(), line: index + 1, problem };
        let row: Map<String, Value> = serde_json::from_str(line).map_err(|e| refuse(e.to_string()))?;
        let field = |keys: &[&str]| {
            let found = keys.iter().find_map(|key| row.get(*key)?.as_str());
            found.map(str::to_string).ok_or_else(|| refuse(format!("no text under {}", keys.join(" or "))))
        };
        let (prompt, completion) = (field(&PROMPT_KEYS)?, field(&COMPLETION_KEYS)?);
        Ok(Example { prompt, draft: String::new(), completion })
    })
    .collect()
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
            token_ids.extend(tokenizer.encode_plain(&example.draft)?);
            let n_given = if loss_on == LossOn::All { 1 } else { token_ids.len() };
            token_ids.extend(tokenizer.encode_plain(&example.completion)?);
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

    #[test]
    fn rows_by_any_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(
            &path,
            "{\"question\":\"a\",\"answer\":\"b\"}\n\n{\"prompt\":\"c\",\"trace\":\"d\"}\n",
        )
        .unwrap();
        let rows = read_jsonl(&path).unwrap();
        assert_eq!(rows.iter().map(|r| r.prompt.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        std::fs::write(&path, "{\"question\":\"a\"}\n").unwrap();
        assert!(read_jsonl(&path).unwrap_err().to_string().contains("line 1"));
    }
}
