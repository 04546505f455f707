//! Text on its way to the terminal.
//!
//! Names of tensors, templates' messages, questions and paths come from strangers, and a terminal obeys the control characters in them: it
//! moves the cursor, changes its title, hides what was said before. Everything that entrace prints goes through [`printable`].

use std::borrow::Cow;
use std::io::{self, Write};

/// The text with control characters, but for line ends and tabs, and with marks that turn the direction of text, spelled as `\u{1b}`.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_obeyed(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A message without the middle of a name that is longer than anyone reads: one from a file may have millions of characters.
pub(crate) fn shortened(message: &str) -> Cow<'_, str> {
    const MOST_BYTES: usize = 4000;
    const KEPT: usize = 1500;
    if message.len() <= MOST_BYTES {
        return Cow::Borrowed(message);
    }
    let (start, end) = (message.floor_char_boundary(KEPT), message.ceil_char_boundary(message.len() - KEPT));
    Cow::Owned(format!("{} … {} bytes … {}", &message[..start], end - start, &message[end..]))
}

fn is_obeyed(c: char) -> bool {
    let turns_direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns_direction || (c.is_control() && c != '\n' && c != '\t')
}

/// A stream to which only printable text is written.
pub(crate) struct Printable<W>(W);

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for chunk in bytes.utf8_chunks() {
            self.0.write_all(printable(chunk.valid()).as_bytes())?;
            write!(self.0, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Standard output.
pub(crate) fn stdout() -> Printable<io::StdoutLock<'static>> {
    Printable(io::stdout().lock())
}

/// Standard error.
pub(crate) fn stderr() -> Printable<io::Stderr> {
    Printable(io::stderr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_spelled_out() {
        assert_eq!(printable("a\u{1b}[31mb\u{7}\rc"), "a\\u{1b}[31mb\\u{7}\\u{d}c");
        assert_eq!(printable("\u{9b}2J \u{7f} \u{202e}txt"), "\\u{9b}2J \\u{7f} \\u{202e}txt");
        let plain = "line\n\ttab é 你 👩‍👧";
        assert!(matches!(printable(plain), Cow::Borrowed(same) if same == plain));
    }

    #[test]
    fn a_name_without_end_is_shortened() {
        assert_eq!(shortened("model.norm"), "model.norm");
        let message = format!("the weight {} is missing", "é".repeat(1 << 20));
        let short = shortened(&message);
        assert!(short.len() < 4000 && short.starts_with("the weight éé"), "{short}");
        assert!(short.contains(" … 2094176 bytes … é") && short.ends_with("é is missing"), "{short}");
    }

    #[test]
    fn a_stream_spells_out_bytes_that_are_no_text_too() {
        let mut out = Printable(Vec::new());
        out.write_all(b"ok \x1b]0;title\x07 \xff\n").unwrap();
        writeln!(out, "{:>4}|\u{8}é", 7).unwrap();
        assert_eq!(String::from_utf8(out.0).unwrap(), "ok \\u{1b}]0;title\\u{7} \\xff\n   7|\\u{8}é\n");
    }
}
