//! Where a text runs on into another turn or question.
//!
//! Models that were not trained to stop, and files in which special tokens are spelled out, continue after the answer with a conversation or a
//! list of examples. Known are the tokens that end a turn or open the user's in common chat formats, and lines that begin as a question does in
//! prompts of examples: `Q:`, `Question:`, `Problem:`, `Human:`, `User:`, `### Instruction`.

use std::sync::LazyLock;

use regex::Regex;

static RUN_ON: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?xm)
        <\| (?: im_end | eot_id | eom_id | end_of_text | endoftext | eot | EOT | end | return | end_of_solution | user ) \|>
        | <\|im_start\|> \s* (?: user | system ) | <\|start_header_id\|> \s* (?: user | system )
        | <end_of_turn> | <start_of_turn> user | <｜end▁of▁sentence｜> | <｜User｜> | </s> | \[INST\]
        | ^ [\ \t]* (?:\*\*)? (?: Q | Question | Problem | Human | User ) (?:\*\*)? :
        | ^ \#{1,6} [\ \t]* (?: Instruction | Question | Human | User ) \b
        ",
    )
    .expect("the pattern is a constant")
});

/// The byte where the text begins to run on, once something has been said; `begun` is whether it was before this text.
pub(super) fn start(text: &str, begun: bool) -> Option<usize> {
    RUN_ON.find_iter(text).map(|hit| hit.start()).find(|&at| begun || !text[..at].trim().is_empty())
}
