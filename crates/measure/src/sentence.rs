//! Where the sentences of a reasoning trace end.
//!
//! Input: text. Output: byte positions, rising. A sentence ends after a run of `.`, `!`, `?` or `…` with its closing quotes and
//! brackets, where white space or the end of the text follows; after `。`, `！` or `？` without white space; and at every line break,
//! because models do not wrap lines. The end lies before a following space (tokenizers give the space to the next word) and after
//! following line breaks (tokenizers give them to the full stop).
//!
//! It continues where what follows on the line is a lower-case letter, an operator or a comma (`5! = 120`, `"Why?" he said`), and a
//! full stop does not end it after
//! * an abbreviation: one of a list (`Mr.`, `vs.`), or letters with full stops between them (`e.g.`, `U.S.`, but `5 p.m. She` ends),
//! * a list number or letter that opens a sentence (`1.`, `2.3.`, `A.`); `The answer is B. Next` ends.
//!
//! Decimals never end one, since no white space follows their point. Not here: languages that write abbreviations otherwise.

/// Abbreviations after which a capital letter or a number usually continues the sentence; lower case, without the full stop.
const ABBREVIATIONS: [&str; 30] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "mt", "gen", "col", "sgt", "capt", "rev", "hon", "vs",
    "cf", "fig", "figs", "eq", "eqs", "eqn", "sec", "ch", "thm", "ex", "no", "nos", "approx", "viz",
];

/// Those of the list that are words as well: an abbreviation only before a number (`No. 5`).
const ALSO_WORDS: [&str; 6] = ["no", "nos", "sec", "ex", "fig", "ch"];

/// Byte positions after which a sentence has ended.
pub(crate) fn sentence_ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut start = 0;
    let mut skip_to = 0;
    for (at, character) in text.char_indices() {
        if at < skip_to {
            continue;
        }
        let end = match character {
            '\n' => Some(after_line_breaks(text, at)),
            '.' | '!' | '?' | '…' => after_terminators(text, start, at),
            '。' | '！' | '？' => Some(after_closers(text, at)),
            _ => None,
        };
        if let Some(end) = end {
            ends.push(end);
            (start, skip_to) = (end, end);
        }
    }
    ends
}

/// The end of a sentence that began at `start`, if the terminator at `at` ends it.
fn after_terminators(text: &str, start: usize, at: usize) -> Option<usize> {
    let end = after_closers(text, at);
    let rest = &text[end..];
    let line_rest = rest.trim_start_matches([' ', '\t', '\r']);
    if line_rest.is_empty() || line_rest.starts_with('\n') {
        return Some(after_line_breaks(text, text.len() - line_rest.len()));
    }
    let next = line_rest.chars().next()?;
    let goes_on = line_rest.len() == rest.len() || next.is_lowercase() || "=+-*/<>,;:×÷·^".contains(next);
    let is_full_stop = text[at..].starts_with('.') && !text[at + 1..].starts_with('.');
    if goes_on || is_full_stop && keeps_sentence_open(&text[start..at], next) {
        return None;
    }
    Some(end)
}

/// Whether the sentence `before` a full stop continues because its last word is an abbreviation or a list label.
fn keeps_sentence_open(before: &str, next: char) -> bool {
    let word_start = before
        .rfind(char::is_whitespace)
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = before[word_start..].trim_start_matches(['(', '[', '"', '\'', '*', '_']);
    let opens_sentence = before[..word_start].trim().is_empty();
    let mut letters = word.chars();
    let is_single_letter = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none();
    let is_number = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    if opens_sentence && (is_single_letter || is_number) {
        return true;
    }
    let lower = word.to_lowercase();
    if lower.contains('.')
        && lower.split('.').all(|part| part.chars().count() == 1 && part.chars().all(char::is_alphabetic))
    {
        return !(matches!(lower.as_str(), "a.m" | "p.m") && next.is_uppercase());
    }
    let is_word = ALSO_WORDS.contains(&lower.as_str()) && !next.is_numeric();
    ABBREVIATIONS.contains(&lower.as_str()) && !is_word
}

/// The position after the terminators, closing quotes and closing brackets that begin at `at`.
fn after_closers(text: &str, at: usize) -> usize {
    let rest = text[at..].trim_start_matches(['.', '!', '?', '…', '。', '！', '？']);
    let rest = rest.trim_start_matches(['"', '\'', '”', '’', ')', ']', '}', '*', '_', '`', '$', '」', '』']);
    text.len() - rest.len()
}

/// The position after the last line break of the white space that begins at `at`, or after all of it at the end of the text.
fn after_line_breaks(text: &str, at: usize) -> usize {
    let rest = text[at..].trim_start();
    let white = &text[at..text.len() - rest.len()];
    if rest.is_empty() { text.len() } else { at + white.rfind('\n').map_or(0, |last| last + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        let mut start = 0;
        let ends = sentence_ends(text);
        let ends = ends.into_iter().chain([text.len()]);
        let parts = ends.map(|end| {
            let part = &text[start..end];
            start = end;
            part
        });
        parts.filter(|part| !part.is_empty()).collect()
    }

    #[test]
    fn full_stops_end_sentences() {
        assert_eq!(
            sentences("It is 3.5 km. So we add 2. Done!"),
            ["It is 3.5 km.", " So we add 2.", " Done!"]
        );
        assert_eq!(sentences("Is it? Yes... Maybe."), ["Is it?", " Yes...", " Maybe."]);
        assert_eq!(
            sentences("He said \"stop.\" Then (left.) End"),
            ["He said \"stop.\"", " Then (left.)", " End"]
        );
        assert_eq!(sentences("The answer is B. Next one."), ["The answer is B.", " Next one."]);
    }

    #[test]
    fn abbreviations_keep_sentences_open() {
        for whole in [
            "Mr. Smith has 2 cats.",
            "Use fruit, e.g. Apples, i.e. Food.",
            "The U.S. Army (cf. Smith) went.",
            "See Fig. 3 and No. 5 vs. Eq. 7.",
            "Take nuts, etc. from it.",
        ] {
            assert_eq!(sentences(whole), [whole]);
        }
        assert_eq!(sentences("Is it? No. Then go."), ["Is it?", " No.", " Then go."]);
        assert_eq!(sentences("She left at 5 p.m. She slept."), ["She left at 5 p.m.", " She slept."]);
        assert_eq!(sentences("We add nuts, etc. Then stir."), ["We add nuts, etc.", " Then stir."]);
    }

    #[test]
    fn labels_stay_with_their_items() {
        assert_eq!(sentences("1. Add 2.\n2. Take 3. A. Go on"), ["1. Add 2.\n", "2. Take 3.", " A. Go on"]);
        assert_eq!(sentences("First. 1.2. Sub"), ["First.", " 1.2. Sub"]);
    }

    #[test]
    fn operators_and_lower_case_go_on() {
        assert_eq!(sentences("Now 5! = 120 and \"Why?\" he said."), ["Now 5! = 120 and \"Why?\" he said."]);
    }

    #[test]
    fn line_breaks_end_sentences_and_belong_to_them() {
        assert_eq!(sentences("a = 1\nb = 2.\n\n c.  \nd"), ["a = 1\n", "b = 2.\n\n", " c.  \n", "d"]);
        assert_eq!(sentences("End.  "), ["End.  "]);
    }

    #[test]
    fn wide_full_stops_need_no_space() {
        assert_eq!(sentences("答案是三。所以，四！"), ["答案是三。", "所以，四！"]);
    }
}
