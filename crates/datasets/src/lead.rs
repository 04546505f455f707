//! What may stand between an answer cue and the answer: spaces, currency, emphasis, brackets, LaTeX wrappers.
//!
//! After `The answer is`, a model writes `: **$18**` or ` \(\boxed{18}\)` as readily as ` 18`. The grammars of numbers and
//! options pass over the same lead-in. It is a closed list, so that a word before the answer is not taken for one.
//!
//! LaTeX commands are followed letter by letter through a tree of the known ones: a node is the first command that has the
//! letters so far, and how many letters that is.

/// Whether the character may stand before an answer. Signs, points, digits and backslashes are for the grammars to judge.
pub(crate) fn is_lead(character: char) -> bool {
    character.is_whitespace()
        || is_currency(character)
        || matches!(
            character,
            '*' | '_'
                | ':'
                | '='
                | '~'
                | '≈'
                | '#'
                | '"'
                | '\''
                | '`'
                | '“'
                | '”'
                | '‘'
                | '’'
                | '('
                | '['
                | '{'
                | '—'
                | '→'
        )
}

/// Whether the character is the sign of a currency.
pub(crate) fn is_currency(character: char) -> bool {
    matches!(character, '$' | '€' | '£' | '¥' | '₹' | '₩' | '₽' | '¢')
}

/// What a whole command does to the answer string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// The answer follows, as after `\boxed{`.
    Wrapper,
    /// Numerator and denominator follow, as after `\frac`.
    Fraction,
}

/// Commands without their backslash. No command is the beginning of another.
const COMMANDS: [(&str, Command); 19] = [
    ("(", Command::Wrapper),
    ("[", Command::Wrapper),
    ("$", Command::Wrapper),
    (",", Command::Wrapper),
    (";", Command::Wrapper),
    ("!", Command::Wrapper),
    (" ", Command::Wrapper),
    ("approx ", Command::Wrapper),
    ("boxed{", Command::Wrapper),
    ("cfrac", Command::Fraction),
    ("dfrac", Command::Fraction),
    ("displaystyle ", Command::Wrapper),
    ("fbox{", Command::Wrapper),
    ("frac", Command::Fraction),
    ("mathbf{", Command::Wrapper),
    ("mathrm{", Command::Wrapper),
    ("text{", Command::Wrapper),
    ("textbf{", Command::Wrapper),
    ("tfrac", Command::Fraction),
];

/// Position in the tree of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    first: u32,
    letters: u32,
}

/// Where one more letter leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followed {
    /// Still inside a command.
    Inside(Node),
    /// A command is complete.
    Whole(Command),
    /// No known command.
    Unknown,
}

impl Node {
    /// Number of codes that `code` can give.
    pub(crate) const CODES: u32 = (COMMANDS.len() as u32) << 4;

    /// Just after the backslash.
    pub(crate) fn root() -> Self {
        Self { first: 0, letters: 0 }
    }

    /// The node as a small number.
    pub(crate) fn code(self) -> u32 {
        (self.first << 4) | self.letters
    }

    /// The inverse of `code`.
    pub(crate) fn from_code(code: u32) -> Self {
        Self { first: code >> 4, letters: code & 0xf }
    }

    /// Follows one more letter.
    pub(crate) fn follow(self, character: char) -> Followed {
        let Some((known, _)) = COMMANDS.get(self.first as usize) else { return Followed::Unknown };
        let Some(letters) = known.get(..self.letters as usize) else { return Followed::Unknown };
        let found = COMMANDS.iter().enumerate().find(|(_, (command, _))| {
            command.strip_prefix(letters).is_some_and(|rest| rest.starts_with(character))
        });
        match found {
            None => Followed::Unknown,
            Some((_, (command, meaning))) if command.len() == letters.len() + 1 => Followed::Whole(*meaning),
            Some((first, _)) => Followed::Inside(Self { first: first as u32, letters: self.letters + 1 }),
        }
    }
}

/// `text` without the lead-in characters before it and the same and closing ones after it.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_start_matches(is_lead)
        .trim_end_matches(|c| is_lead(c) || matches!(c, ')' | ']' | '}' | '.' | ',' | ';' | '!' | '?'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(command: &str) -> Followed {
        let mut node = Node::root();
        for character in command.chars() {
            match node.follow(character) {
                Followed::Inside(next) => node = Node::from_code(next.code()),
                other => return other,
            }
        }
        Followed::Inside(node)
    }

    #[test]
    fn every_command_is_followed_to_its_end_and_none_begins_another() {
        for (command, meaning) in COMMANDS {
            assert_eq!(follow(command), Followed::Whole(meaning), "{command}");
            assert!(command.is_ascii() && command.len() < 16);
            assert_eq!(
                COMMANDS.iter().filter(|(other, _)| other.starts_with(command)).count(),
                1,
                "{command}"
            );
        }
        assert_eq!(follow("sqrt"), Followed::Unknown);
        assert!(matches!(follow("bo"), Followed::Inside(node) if node.code() < Node::CODES));
    }

    #[test]
    fn trimming_leaves_the_answer() {
        assert_eq!(trim(" **(B)**."), "B");
        assert_eq!(trim("\"dry air\""), "dry air");
        assert_eq!(trim(" . "), "");
    }
}
