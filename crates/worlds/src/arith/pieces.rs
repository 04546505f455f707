//! The vocabulary of these texts: pieces that together are the text, exactly.
//!
//! A piece is a run of letters, one digit, or one other character, each with the single space or line break before it if there is one;
//! a space or line break before neither is a piece of its own. So ` 34.` is ` 3`, `4`, `.`, and a new line opens with one piece, `\nThe`:
//! a step of a trace ends where its sentence ends, and a cue such as `\nThe answer is` follows a prefix as the next line would. Any text
//! is cut into pieces in one way ([`split_pieces`], [`PIECE_PATTERN`]); those of these texts are listed by [`pieces`].

use std::collections::BTreeSet;

use super::solution::{self, ANSWER_LEAD};
use super::story::{self, CONTAINERS, PEOPLE, THINGS, TIMES, TWICE, fill};

/// The rule as a regular expression whose matches are the pieces.
pub const PIECE_PATTERN: &str = r"[ \n]?(?:[A-Za-z]+|[0-9]|[^A-Za-z0-9 \n])|[ \n]";

/// Cuts a text into pieces.
pub fn split_pieces(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(first_piece(rest));
        found.push(piece);
        rest = after;
    }
    found
}

/// Bytes of the piece that a text, not empty, begins with.
fn first_piece(text: &str) -> usize {
    let lead = usize::from(text.starts_with([' ', '\n']));
    let body = &text[lead..];
    match body.chars().next() {
        None | Some(' ' | '\n') => lead,
        Some(c) if c.is_ascii_alphabetic() => {
            lead + body.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(body.len())
        }
        Some(c) => lead + c.len_utf8(),
    }
}

/// Stands for a slot while a phrasing is cut.
const SLOT: char = '\u{1}';

/// Every piece that prompts, questions and solutions are made of, sorted, each once.
pub fn pieces() -> Vec<String> {
    let mut found = BTreeSet::new();
    let questions = story::PHRASINGS.concat();
    let lines = solution::PHRASINGS.concat();
    for phrasing in questions.iter().chain(&lines) {
        let text = format!(" {}", fill(phrasing, |_| SLOT.to_string()));
        let fixed = split_pieces(&text).into_iter().filter(|piece| !piece.contains(SLOT));
        found.extend(fixed.map(str::to_string));
    }
    let words = PEOPLE.iter().flatten().chain(&THINGS).chain(CONTAINERS.iter().flatten());
    found.extend(words.chain([&TWICE, &TIMES]).map(|word| format!(" {word}")));
    found.extend(split_pieces(&format!(" {ANSWER_LEAD} + - * / =\nQ:\nA:")).into_iter().map(str::to_string));
    for opener in
        questions.iter().chain(&lines).flat_map(|phrasing| openers(phrasing)).chain(words_of("Q The"))
    {
        found.extend([format!("\n{opener}"), opener]);
    }
    found.extend((0..10).flat_map(|digit| ["", " ", "\n"].map(|lead| format!("{lead}{digit}"))));
    found.extend([" ", "\n"].map(String::from));
    found.into_iter().collect()
}

/// The words with which a phrasing may begin.
fn openers(phrasing: &str) -> Vec<String> {
    if phrasing.starts_with(['{']) {
        let slot = &phrasing[1..phrasing.find('}').unwrap_or(phrasing.len())];
        return match slot {
            "C" | "N" | "O" | "F" => PEOPLE.iter().map(|person| person[0].to_string()).collect(),
            "P" => words_of("He She"),
            _ => Vec::new(),
        };
    }
    split_pieces(phrasing).first().map(ToString::to_string).into_iter().collect()
}

fn words_of(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_string).collect()
}
