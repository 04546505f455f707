//! What is put after a prefix to ask for the answer.
//!
//! It is the cue; while a thought is open there, first what closes the thought, as the model's template writes it. A cue within a thought would
//! ask how the thought continues, where models doubt, correct themselves and begin anew. Line breaks are not written twice: those at the
//! beginning of the closing text are left out after a line break, and those at the beginning of the cue after a closing text that ends with one.

use crate::error::Error;
use crate::plan::{Engine, Measurement};
use crate::trace::Traced;
use entrace_backend::{Prompt, Text};
use entrace_measure::{Division, ThoughtKind, TokenId};

/// Tokens that close a thought, if one is open after `before`, and of a cue.
pub(crate) fn after(
    text: &dyn Text,
    before: &str,
    open: Option<&ThoughtKind>,
    cue: &str,
) -> Result<Vec<TokenId>, Error> {
    let Some(kind) = open else { return Ok(text.encode_plain(cue)?) };
    let closing = closing(text, before, kind);
    let cue = if closing.ends_with('\n') { cue.trim_start_matches('\n') } else { cue };
    let mut tokens = text.encode_completion(&closing)?;
    tokens.extend(text.encode_plain(cue)?);
    Ok(tokens)
}

/// The same after a whole trace.
pub(crate) fn after_trace(text: &dyn Text, traced: &Traced, cue: &str) -> Result<Vec<TokenId>, Error> {
    let trace = traced.trace.text();
    let division = text.thoughts().divide(trace, traced.posed.opened.as_ref());
    after(text, trace, division.open_at(trace.len()), cue)
}

/// The same after a prompt.
pub(crate) fn after_prompt(text: &dyn Text, prompt: &Prompt, cue: &str) -> Result<Vec<TokenId>, Error> {
    after(text, &prompt.text, text.thoughts().opened_by(&prompt.text).as_ref(), cue)
}

/// What closes a thought after `before`.
pub(crate) fn closing(text: &dyn Text, before: &str, kind: &ThoughtKind) -> String {
    let closing = text.thoughts().closing(kind);
    if before.ends_with('\n') { closing.trim_start_matches('\n').to_string() } else { closing }
}

/// Tokens of cue and answer, for which a context needs room after prompt and trace.
pub(crate) fn room(engine: Engine<'_>, division: &Division<'_>, how: &Measurement) -> Result<usize, Error> {
    let kind = division.last_kind().cloned().or_else(|| engine.text.thoughts().template_kind());
    let mut longest = 0;
    for cue in std::iter::once(&how.cue).chain(&how.more_cues) {
        for kind in [None, kind.as_ref()] {
            longest = longest.max(after(engine.text, "", kind, cue)?.len());
        }
    }
    Ok(longest + how.max_answer_tokens)
}
