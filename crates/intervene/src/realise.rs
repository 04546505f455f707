//! Changes of a trace's text as a path of tokens.
//!
//! Tokens before the first change are kept. A changed step is tokenised anew from the token in which its first change begins to its end; steps
//! without a change keep their tokens, so that an edit differs from the trace by what was edited alone. Where the tokenizer does not give a
//! changed step's text back, there is no path.

use crate::recorded::Recorded;
use entrace_backend::Text;
use entrace_measure::TokenId;
use entrace_measure::intervention::edit::{Change, apply};
use entrace_run::probe::Path;

/// The path of a trace with these changes, at least one, in order.
pub(crate) fn path(text: &dyn Text, recorded: &Recorded, changes: &[Change]) -> Result<Path, String> {
    let all = recorded.trace.token_ids();
    let mut kept: Option<usize> = None;
    let mut tail: Vec<TokenId> = Vec::new();
    for step in 1..=recorded.n_steps() {
        let (tokens, bytes) = (recorded.tokens(step), recorded.bytes(step));
        let here: Vec<Change> = changes
            .iter()
            .filter(|change| bytes.start <= change.bytes.start && change.bytes.end <= bytes.end)
            .filter(|change| !change.bytes.is_empty() || !change.text.is_empty())
            .cloned()
            .collect();
        let Some(first) = here.first() else {
            if kept.is_some() {
                tail.extend(&all[tokens]);
            }
            continue;
        };
        let from = n_tokens_before(recorded, first.bytes.start).max(tokens.start);
        match kept {
            None => kept = Some(from),
            Some(_) => tail.extend(&all[tokens.start..from]),
        }
        let start = recorded.trace.text_of_prefix(from).len();
        let within: Vec<Change> = here
            .into_iter()
            .map(|change| Change { bytes: change.bytes.start - start..change.bytes.end - start, ..change })
            .collect();
        tail.extend(encode(text, &apply(&recorded.trace.text()[start..bytes.end], &within))?);
    }
    let kept = kept.ok_or("the change lies in no step")?;
    Ok(Path { kept, tail })
}

/// The path in which the tokens of step k are these, with the white space that the step ends with after them.
pub(crate) fn path_with(
    text: &dyn Text,
    recorded: &Recorded,
    step: usize,
    instead: &[TokenId],
) -> Result<Path, String> {
    let tokens = recorded.tokens(step);
    let mut tail = instead.to_vec();
    tail.extend(encode(text, ending(recorded.text_of_step(step)))?);
    tail.extend(&recorded.trace.token_ids()[tokens.end..]);
    Ok(Path { kept: tokens.start, tail })
}

/// The white space at the end of a step.
pub(crate) fn ending(step: &str) -> &str {
    &step[step.trim_end().len()..]
}

/// Tokens of a piece of a trace, which must read as the piece.
pub(crate) fn encode(text: &dyn Text, piece: &str) -> Result<Vec<TokenId>, String> {
    if piece.is_empty() {
        return Ok(Vec::new());
    }
    let tokens = text.encode_completion(piece).map_err(|e| e.to_string())?;
    if text.decode(&tokens).text != piece {
        return Err("the tokenizer does not give the changed text back".into());
    }
    Ok(tokens)
}

/// Tokens that end at or before a byte; those that hold only the first bytes of the character there are not among them.
fn n_tokens_before(recorded: &Recorded, byte: usize) -> usize {
    let ends = recorded.trace.token_ends();
    let n = ends.partition_point(|&end| end < byte);
    if ends.get(n) == Some(&byte) && byte > 0 { n + 1 } else { n }
}
